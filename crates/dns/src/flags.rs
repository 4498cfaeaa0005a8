//! The command line.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use clap::Parser;
use component::flags::{ClientFlags, LoggingFlags, RetiredFlags};
use hickory_proto::rr::Name;
use ipnet::IpNet;

use crate::forward::{domain, server};

/// Flags that kube-dns once had.
pub const RETIRED: RetiredFlags = &[
    ("config-map", "mount it, and name the directory with --config-dir"),
    ("config-map-namespace", "see --config-dir"),
    ("config-period", "files are read again when they change"),
    ("federations", "not supported"),
    ("initial-sync-timeout", "queries about the cluster fail until it is known"),
    ("profiling", "not supported"),
];

/// kube-dns: names of Services and pods, and everything else from upstream servers.
#[derive(Parser, Clone, Debug)]
#[command(name = "kube-dns", version = component::KUBERNETES_VERSION)]
pub struct Flags {
    /// How to reach the API server.
    #[command(flatten)]
    pub client: ClientFlags,
    /// Logging.
    #[command(flatten)]
    pub logging: LoggingFlags,
    /// The cluster's domain
    #[arg(long, alias = "cluster-domain", default_value = "cluster.local", value_parser = domain, value_name = "DOMAIN")]
    pub domain: Name,
    /// Addresses to serve DNS on. On a host with several addresses name them: an answer leaves with the address of
    /// the socket
    #[arg(
        long = "bind-address",
        alias = "dns-bind-address",
        value_delimiter = ',',
        default_value = "0.0.0.0",
        value_name = "IP[,IP]"
    )]
    pub bind_addresses: Vec<IpAddr>,
    /// Networks whose clients are answered; everybody when not given
    #[arg(long, value_delimiter = ',', value_name = "CIDR[,CIDR]")]
    pub allowed_clients: Vec<IpNet>,
    /// Port to serve DNS on
    #[arg(long, default_value_t = 53, value_name = "PORT")]
    pub dns_port: u16,
    /// Servers for all other names; those of --resolv-conf when not given
    #[arg(long, alias = "nameservers", value_delimiter = ',', value_parser = server, value_name = "IP[:PORT],…")]
    pub forward: Option<Vec<SocketAddr>>,
    /// Where the servers for all other names are listed
    #[arg(long, default_value = "/etc/resolv.conf", value_name = "FILE")]
    pub resolv_conf: PathBuf,
    /// Directory with the files stubDomains ({"DOMAIN": ["IP[:PORT]"]}) and upstreamNameservers (["IP[:PORT]"]), such as a
    /// mounted ConfigMap; read again when they change
    #[arg(long, value_name = "DIR")]
    pub config_dir: Option<PathBuf>,
    /// Where /healthz, /readyz, /ready and /metrics are served; empty for nowhere
    #[arg(long, default_value = "127.0.0.1:10054", value_name = "IP:PORT")]
    pub healthz_bind_address: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_spellings_are_understood() {
        let words =
            "kube-dns --cluster_domain=K8s.Example --dns-bind-address 10.0.0.1,::1 --nameservers=8.8.8.8,1.1.1.1:5353";
        let flags: Flags = component::flags::parse(words.split(' ').map(Into::into), RETIRED).unwrap();
        assert_eq!(flags.domain.to_string(), "k8s.example.");
        assert_eq!(flags.bind_addresses.len(), 2);
        assert_eq!(flags.forward.unwrap()[1].to_string(), "1.1.1.1:5353");
    }
}
