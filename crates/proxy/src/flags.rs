//! The command line.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use component::flags::{ClientFlags, LoggingFlags, RetiredFlags, duration};

/// Flags that kube-proxy once had, or that concern what this one does not do.
pub const RETIRED: RetiredFlags = &[
    ("cleanup-iptables", "use --cleanup"),
    ("cleanup-ipvs", "there are no IPVS rules"),
    ("config-sync-period", "services are watched"),
    ("healthz-port", "use --healthz-bind-address"),
    ("metrics-port", "use --metrics-bind-address"),
    ("oom-score-adj", "set it where the process is started"),
    ("proxy-port-range", "no ports are opened"),
    ("resource-container", "not supported"),
    ("udp-timeout", "the kernel forwards"),
    ("bind-address-hard-fail", "a server that cannot be bound always ends the process"),
    ("ipvs-scheduler", "there is no IPVS mode"),
    ("ipvs-sync-period", "there is no IPVS mode"),
    ("ipvs-min-sync-period", "there is no IPVS mode"),
    ("ipvs-strict-arp", "there is no IPVS mode"),
    ("ipvs-exclude-cidrs", "there is no IPVS mode"),
    ("ipvs-tcp-timeout", "there is no IPVS mode"),
    ("ipvs-tcpfin-timeout", "there is no IPVS mode"),
    ("ipvs-udp-timeout", "there is no IPVS mode"),
    ("write-config-to", "/configz tells the configuration"),
    ("show-hidden-metrics-for-version", "no metrics are hidden"),
    ("config-map", "use --config"),
    ("conntrack-max", "use --conntrack-min"),
    ("boot-id-file", "not supported"),
    ("machine-id-file", "not supported"),
    ("log-cadvisor-usage", "not supported"),
    ("google-json-key", "not supported"),
    ("legacy-userspace-proxy", "not supported"),
    ("windows-line-endings", "not supported"),
    ("etcd-servers", "use --kubeconfig or --master"),
];

/// kube-proxy: makes Services reachable by way of nftables or iptables rules.
///
/// Where a value is given both here and in the file that --config names, the file's counts.
#[derive(Parser, Clone, Debug, Default)]
#[command(name = "kube-proxy", version = component::KUBERNETES_VERSION)]
pub struct Flags {
    /// How to reach the API server.
    #[command(flatten)]
    pub client: ClientFlags,
    /// Logging.
    #[command(flatten)]
    pub logging: LoggingFlags,
    /// A KubeProxyConfiguration file
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// How to forward: nftables or iptables; when not given, nftables if it works here
    #[arg(long, value_name = "MODE")]
    pub proxy_mode: Option<String>,
    /// The networks of the cluster's pods: traffic to services from elsewhere is masqueraded
    #[arg(long = "cluster-cidr", value_name = "CIDR[,CIDR]")]
    pub cluster_cidr: Option<String>,
    /// Masquerade all traffic to the virtual addresses of services
    #[arg(long, default_missing_value = "true", num_args = 0..=1, require_equals = true, value_name = "BOOL")]
    pub masquerade_all: Option<bool>,
    /// The bit of the packet mark that asks for masquerading
    #[arg(long, value_name = "BIT")]
    pub iptables_masquerade_bit: Option<u8>,
    /// Whether node ports answer on 127.0.0.1
    #[arg(long = "iptables-localhost-nodeports", default_missing_value = "true", num_args = 0..=1, require_equals = true, value_name = "BOOL")]
    pub iptables_localhost_node_ports: Option<bool>,
    /// How often the rules are looked after
    #[arg(long, alias = "sync-period", value_parser = duration, value_name = "DURATION")]
    pub iptables_sync_period: Option<Duration>,
    /// The shortest time between two changes of the rules; by default ten times as long as a change takes, at most 1s
    #[arg(long, value_parser = duration, value_name = "DURATION")]
    pub iptables_min_sync_period: Option<Duration>,
    /// The ranges of the virtual addresses of services, when the API server does not tell: connections to ports there
    /// that no service has are refused
    #[arg(long, value_name = "CIDR[,CIDR]")]
    pub service_cluster_ip_range: Option<String>,
    /// On which addresses of the node node ports answer, as networks, or primary, localhost or all
    #[arg(long = "nodeport-addresses", value_delimiter = ',', value_name = "CIDR[,CIDR]")]
    pub node_port_addresses: Option<Vec<String>>,
    /// How a pod's traffic is recognised: ClusterCIDR, NodeCIDR, BridgeInterface or InterfaceNamePrefix
    #[arg(long, value_name = "MODE")]
    pub detect_local_mode: Option<String>,
    /// The pods' bridge, for BridgeInterface
    #[arg(long, value_name = "NAME")]
    pub pod_bridge_interface: Option<String>,
    /// What the names of the pods' interfaces begin with, for InterfaceNamePrefix
    #[arg(long, value_name = "PREFIX")]
    pub pod_interface_name_prefix: Option<String>,
    /// The node's name, when it is not the host's
    #[arg(long, value_name = "NAME")]
    pub hostname_override: Option<String>,
    /// Where the health and metrics servers listen when their own flags name no address
    #[arg(long, value_name = "IP")]
    pub bind_address: Option<IpAddr>,
    /// Where /healthz and /livez are served; empty for nowhere
    #[arg(long, value_name = "IP:PORT")]
    pub healthz_bind_address: Option<String>,
    /// Where /metrics is served; empty for nowhere
    #[arg(long, value_name = "IP:PORT")]
    pub metrics_bind_address: Option<String>,
    /// Answer /debug/pprof/ and /debug/flags/v beside /metrics, which anybody may read who gets there
    #[arg(long, default_missing_value = "true", num_args = 0..=1, require_equals = true, value_name = "BOOL")]
    pub profiling: Option<bool>,
    /// Leave TCP packets outside of the window alone, and INVALID ones undropped
    #[arg(long, default_missing_value = "true", num_args = 0..=1, require_equals = true, value_name = "BOOL")]
    pub conntrack_tcp_be_liberal: Option<bool>,
    /// Connections to track at least, per processor; 0 leaves the kernel's limit
    #[arg(long, value_name = "COUNT")]
    pub conntrack_max_per_core: Option<u32>,
    /// Connections to track at least
    #[arg(long, value_name = "COUNT")]
    pub conntrack_min: Option<u32>,
    /// For how long an idle established TCP connection is remembered; 0 leaves the kernel's setting
    #[arg(long, value_parser = duration, value_name = "DURATION")]
    pub conntrack_tcp_timeout_established: Option<Duration>,
    /// For how long a half-closed TCP connection is remembered; 0 leaves the kernel's setting
    #[arg(long, value_parser = duration, value_name = "DURATION")]
    pub conntrack_tcp_timeout_close_wait: Option<Duration>,
    /// Enforce NetworkPolicies for the pods of this node, with nftables. Not where a network plugin does
    #[arg(long, default_missing_value = "true", num_args = 0..=1, require_equals = true, value_name = "BOOL")]
    pub enforce_network_policies: Option<bool>,
    /// For how long a UDP flow without an answer is remembered; 0 leaves the kernel's setting
    #[arg(long, value_parser = duration, value_name = "DURATION")]
    pub conntrack_udp_timeout: Option<Duration>,
    /// For how long a UDP flow with answers is remembered; 0 leaves the kernel's setting
    #[arg(long, value_parser = duration, value_name = "DURATION")]
    pub conntrack_udp_timeout_stream: Option<Duration>,
    /// Set the kernel's parameters, and exit
    #[arg(long, default_missing_value = "true", num_args = 0..=1, require_equals = true, value_name = "BOOL")]
    pub init_only: Option<bool>,
    /// Remove every rule and chain that kube-proxy made, and exit
    #[arg(long, default_missing_value = "true", num_args = 0..=1, require_equals = true, value_name = "BOOL")]
    pub cleanup: Option<bool>,
}
