//! The command line: upstream's flags, with one dash or two, and `FLANNELD_…` in the environment.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Parser};
use component::flags::{LoggingFlags, RetiredFlags, duration};

/// Flags of upstream's that mean nothing here.
pub const RETIRED: RetiredFlags = &[
    ("iptables-resync", "rules are compared whenever routes are"),
    ("public-ipv6", "only IPv4 networks are supported"),
    ("kube-iptables-resync", "rules are compared whenever routes are"),
    ("ip-blackhole-route", "not supported"),
    ("auto-detect-ipv4", "--iface is found by the default route"),
    ("auto-detect-ipv6", "only IPv4 networks are supported"),
    ("remote", "use --etcd-endpoints"),
    ("listen", "use --etcd-endpoints"),
];

/// flanneld: the network between nodes.
#[derive(Parser, Clone, Debug)]
#[command(name = "flanneld", version = component::KUBERNETES_VERSION)]
pub struct Flags {
    /// Logging
    #[command(flatten)]
    pub logging: LoggingFlags,
    /// etcd's addresses
    #[arg(
        long,
        env = "FLANNELD_ETCD_ENDPOINTS",
        value_delimiter = ',',
        default_value = "http://127.0.0.1:4001,http://127.0.0.1:2379",
        value_name = "URLS"
    )]
    pub etcd_endpoints: Vec<String>,
    /// Where in etcd the network is
    #[arg(long, env = "FLANNELD_ETCD_PREFIX", default_value = "/coreos.com/network", value_name = "KEY")]
    pub etcd_prefix: String,
    /// The key of the certificate that is shown to etcd
    #[arg(long, env = "FLANNELD_ETCD_KEYFILE", default_value = "", value_name = "FILE")]
    pub etcd_keyfile: String,
    /// The certificate that is shown to etcd
    #[arg(long, env = "FLANNELD_ETCD_CERTFILE", default_value = "", value_name = "FILE")]
    pub etcd_certfile: String,
    /// Who vouches for etcd
    #[arg(long, env = "FLANNELD_ETCD_CAFILE", default_value = "", value_name = "FILE")]
    pub etcd_cafile: String,
    /// A user of etcd
    #[arg(long, env = "FLANNELD_ETCD_USERNAME", default_value = "", value_name = "NAME")]
    pub etcd_username: String,
    /// The user's password
    #[arg(long, env = "FLANNELD_ETCD_PASSWORD", default_value = "", hide_env_values = true, value_name = "PASSWORD")]
    pub etcd_password: String,
    /// Take subnets from the nodes' Pod CIDRs, and not from etcd
    #[arg(long, env = "FLANNELD_KUBE_SUBNET_MGR", default_value = "false", default_missing_value = "true", num_args = 0..=1, require_equals = true, action = ArgAction::Set, value_name = "BOOL")]
    pub kube_subnet_mgr: bool,
    /// The API server's address; overrides the kubeconfig
    #[arg(long, env = "FLANNELD_KUBE_API_URL", default_value = "", value_name = "URL")]
    pub kube_api_url: String,
    /// Path of a kubeconfig file; the pod's service account when not given
    #[arg(long, env = "FLANNELD_KUBECONFIG_FILE", value_name = "FILE")]
    pub kubeconfig_file: Option<PathBuf>,
    /// What the names of annotations begin with
    #[arg(
        long,
        env = "FLANNELD_KUBE_ANNOTATION_PREFIX",
        default_value = "flannel.alpha.coreos.com",
        value_name = "PREFIX"
    )]
    pub kube_annotation_prefix: String,
    /// The network's configuration, when subnets are not from etcd
    #[arg(
        long,
        env = "FLANNELD_NET_CONFIG_PATH",
        default_value = "/etc/kube-flannel/net-conf.json",
        value_name = "FILE"
    )]
    pub net_config_path: PathBuf,
    /// The node's name; $NODE_NAME, that of the node of the pod $POD_NAME in $POD_NAMESPACE, or the host's, when not given
    #[arg(long, env = "NODE_NAME", value_name = "NAME")]
    pub node_name: Option<String>,
    /// Tell that the node has a network, when it has one
    #[arg(long, env = "FLANNELD_SET_NODE_NETWORK_UNAVAILABLE", default_value = "true", default_missing_value = "true", num_args = 0..=1, require_equals = true, action = ArgAction::Set, value_name = "BOOL")]
    pub set_node_network_unavailable: bool,
    /// The interface by which nodes reach each other, by name or address; the default route's when not given
    #[arg(long, env = "FLANNELD_IFACE", value_name = "NAME")]
    pub iface: Vec<String>,
    /// The same by a regular expression of names or addresses
    #[arg(long, env = "FLANNELD_IFACE_REGEX", value_name = "PATTERN")]
    pub iface_regex: Vec<String>,
    /// The interface by which this address is reached, when neither of these names one
    #[arg(long, env = "FLANNELD_IFACE_CAN_REACH", value_name = "IP")]
    pub iface_can_reach: Option<Ipv4Addr>,
    /// Where the other nodes find this one, when it is not the interface's address
    #[arg(long, env = "FLANNELD_PUBLIC_IP", value_name = "IP")]
    pub public_ip: Option<Ipv4Addr>,
    /// Masquerade what leaves the network
    #[arg(long, env = "FLANNELD_IP_MASQ", default_value = "false", default_missing_value = "true", num_args = 0..=1, require_equals = true, action = ArgAction::Set, value_name = "BOOL")]
    pub ip_masq: bool,
    /// Masquerade with ports that come one after the other
    #[arg(long, env = "FLANNELD_IP_MASQ_FULLY_RANDOM_DISABLE", default_value = "false", default_missing_value = "true", num_args = 0..=1, require_equals = true, action = ArgAction::Set, value_name = "BOOL")]
    pub ip_masq_fully_random_disable: bool,
    /// Let packets of the network be forwarded
    #[arg(long, env = "FLANNELD_IPTABLES_FORWARD_RULES", default_value = "true", default_missing_value = "true", num_args = 0..=1, require_equals = true, action = ArgAction::Set, value_name = "BOOL")]
    pub iptables_forward_rules: bool,
    /// Where the subnet is written
    #[arg(long, env = "FLANNELD_SUBNET_FILE", default_value = "/run/flannel/subnet.env", value_name = "FILE")]
    pub subnet_file: PathBuf,
    /// How long before its end a lease is renewed, in minutes
    #[arg(long, env = "FLANNELD_SUBNET_LEASE_RENEW_MARGIN", default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..1440), value_name = "MINUTES")]
    pub subnet_lease_renew_margin: u32,
    /// Address of /healthz
    #[arg(long, env = "FLANNELD_HEALTHZ_IP", default_value = "0.0.0.0", value_name = "IP")]
    pub healthz_ip: IpAddr,
    /// Port of /healthz; 0 for none
    #[arg(long, env = "FLANNELD_HEALTHZ_PORT", default_value_t = 0, value_name = "PORT")]
    pub healthz_port: u16,
    /// How often it is made sure that nobody changed routes and rules
    #[arg(long, env = "FLANNELD_RESYNC_PERIOD", default_value = "10s", value_parser = duration, value_name = "DURATION")]
    pub resync_period: Duration,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn upstreams_spelling() {
        let words = "flanneld -etcd-endpoints=https://10.0.0.1:2379,https://10.0.0.2:2379 -etcd-prefix /kubernetes/network \
                     -etcd-cafile=/ca.pem -iface=eth0 -iface=eth1 -ip-masq -kube-subnet-mgr=false -iptables-resync=5 \
                     -iface-can-reach 10.0.0.9 -ip-masq-fully-random-disable=false -set-node-network-unavailable=false \
                     -ip-blackhole-route -public-ipv6= -v=1 -vmodule= -log_backtrace_at=:0 -healthz-port=8471";
        let flags: Flags = component::flags::parse(words.split_whitespace().map(Into::into), RETIRED).unwrap();
        assert_eq!(flags.etcd_endpoints.len(), 2);
        assert!(flags.ip_masq && !flags.kube_subnet_mgr && flags.iptables_forward_rules);
        assert!(!flags.ip_masq_fully_random_disable && !flags.set_node_network_unavailable);
        assert_eq!(flags.iface, ["eth0", "eth1"]);
        assert_eq!((flags.healthz_port, flags.iface_can_reach), (8471, Some(Ipv4Addr::new(10, 0, 0, 9))));
    }
}
