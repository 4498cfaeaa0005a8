//! The command line.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use clap::Parser;
use component::flags::{ClientFlags, LoggingFlags, RetiredFlags};
use hickory_proto::rr::Name;
use ipnet::IpNet;

/// Flags that kube-dns once had.
pub const RETIRED: RetiredFlags = &[
    ("config-dir", "use --forward"),
    ("config-map", "use --forward"),
    ("config-map-namespace", "use --forward"),
    ("config-period", "use --forward"),
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
    #[arg(long, alias = "nameservers", value_delimiter = ',', value_parser = upstream, value_name = "IP[:PORT],…")]
    pub forward: Option<Vec<SocketAddr>>,
    /// Where the servers for all other names are listed
    #[arg(long, default_value = "/etc/resolv.conf", value_name = "FILE")]
    pub resolv_conf: PathBuf,
    /// Where /healthz, /ready and /metrics are served; empty for nowhere
    #[arg(long, default_value = "127.0.0.1:10054", value_name = "IP:PORT")]
    pub healthz_bind_address: String,
}

fn domain(text: &str) -> Result<Name, String> {
    let mut name = Name::from_ascii(text).map_err(|e| e.to_string())?;
    name.set_fqdn(true);
    if name.is_root() { Err("the root is not a cluster's domain".to_owned()) } else { Ok(name.to_lowercase()) }
}

/// `IP`, `IP:PORT`, `[IPv6]:PORT`
fn upstream(text: &str) -> Result<SocketAddr, String> {
    match text.trim().parse::<IpAddr>() {
        Ok(ip) => Ok(SocketAddr::new(ip, 53)),
        Err(_) => text.trim().parse().map_err(|_| format!("{text:?} is neither IP nor IP:PORT")),
    }
}

/// The `nameserver` lines of a `resolv.conf`.
#[must_use]
pub fn nameservers(resolv_conf: &str) -> Vec<SocketAddr> {
    let value = |line: &str| {
        let mut words = line.split_whitespace();
        (words.next() == Some("nameserver")).then(|| words.next().map(str::to_owned)).flatten()
    };
    resolv_conf.lines().filter_map(value).filter_map(|text| upstream(&text).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nameservers_are_read() {
        let text = "# x\nsearch a b\nnameserver 10.0.0.1\nnameserver fd00::1\n nameserver 10.0.0.2 # y\nnameserver x\n";
        let expected = ["10.0.0.1:53", "[fd00::1]:53", "10.0.0.2:53"];
        assert_eq!(nameservers(text).iter().map(ToString::to_string).collect::<Vec<_>>(), expected);
    }

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
