//! The command line: upstream's flags, old and new.

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use component::flags::{ClientFlags, LoggingFlags, RetiredFlags, duration};

/// Flags that once meant something.
pub const RETIRED: RetiredFlags = &[
    ("container-runtime", "containers always run on Docker"),
    ("cgroup-driver", "Docker's own is used"),
    ("cgroups-per-qos", "not supported"),
    ("enforce-node-allocatable", "not supported"),
    ("fail-swap-on", "swap is accepted"),
    ("configure-cbr0", "--network-plugin=kubenet makes cbr0 by itself"),
    ("reconcile-cidr", "--network-plugin=kubenet makes cbr0 by itself"),
    ("hairpin-mode", "hairpin is always on"),
    ("require-kubeconfig", "without --kubeconfig the kubelet runs static pods only"),
    ("docker", "use --docker-endpoint"),
    ("runtime-cgroups", "not supported"),
    ("kubelet-cgroups", "not supported"),
    ("cadvisor-port", "not supported"),
    ("enable-server", "the server always runs"),
    ("enable-controller-attach-detach", "not supported"),
    ("host-network-sources", "not supported"),
    ("image-gc-high-threshold", "not supported"),
    ("image-gc-low-threshold", "not supported"),
    ("eviction-hard", "not supported"),
    ("eviction-soft", "not supported"),
    ("serialize-image-pulls", "images are pulled at the same time"),
    ("rotate-certificates", "not supported"),
    ("rotate-server-certificates", "not supported"),
    ("bootstrap-kubeconfig", "not supported"),
    ("runonce", "not supported"),
    ("maximum-dead-containers", "one dead container is kept for each that runs"),
    ("maximum-dead-containers-per-container", "one dead container is kept for each that runs"),
    ("minimum-container-ttl-duration", "one dead container is kept for each that runs"),
    ("node-labels-file", "use --node-labels"),
    ("read-only-port", "the read-only port is not served"),
    ("image-service-endpoint", "Docker serves images too"),
    ("cloud-provider", "there are no cloud providers"),
    ("cloud-config", "there are no cloud providers"),
    ("volume-plugin-dir", "not supported"),
];

/// `kubelet`.
#[derive(Debug, Clone, Parser)]
#[command(name = "kubelet", version, about = "Runs a node's pods on Docker")]
pub struct Flags {
    /// Reaching the API server.
    #[command(flatten)]
    pub client: ClientFlags,
    /// Logging.
    #[command(flatten)]
    pub logging: LoggingFlags,
    /// A KubeletConfiguration file; or, as in 2015, the directory of manifests
    #[arg(long, value_name = "PATH")]
    pub config: Option<PathBuf>,
    /// Directory of manifests of static pods
    #[arg(long, value_name = "DIR")]
    pub pod_manifest_path: Option<PathBuf>,
    /// URL of a manifest of static pods
    #[arg(long, value_name = "URL")]
    pub manifest_url: Option<http::Uri>,
    /// How often the manifest directory is read even without news
    #[arg(long, value_parser = duration, default_value = "20s", value_name = "DURATION")]
    pub file_check_frequency: Duration,
    /// How often the manifest URL is asked
    #[arg(long, value_parser = duration, default_value = "20s", value_name = "DURATION")]
    pub http_check_frequency: Duration,
    /// Name of this node; the machine's by default
    #[arg(long, value_name = "NAME")]
    pub hostname_override: Option<String>,
    /// Addresses of this node, the primary one first
    #[arg(long, value_delimiter = ',', value_name = "IP")]
    pub node_ip: Vec<std::net::IpAddr>,
    /// Where pods keep their files
    #[arg(long, default_value = "/var/lib/kubelet", value_name = "DIR")]
    pub root_dir: PathBuf,
    /// Address of the kubelet's API
    #[arg(long, value_name = "IP")]
    pub address: Option<std::net::IpAddr>,
    /// Port of the kubelet's API
    #[arg(long, value_name = "PORT")]
    pub port: Option<u16>,
    /// Address of the health port
    #[arg(long, value_name = "IP")]
    pub healthz_bind_address: Option<std::net::IpAddr>,
    /// Health port; 0 turns it off
    #[arg(long, value_name = "PORT")]
    pub healthz_port: Option<u16>,
    /// Certificate of the kubelet's API
    #[arg(long, value_name = "FILE")]
    pub tls_cert_file: Option<PathBuf>,
    /// Its key
    #[arg(long, value_name = "FILE")]
    pub tls_private_key_file: Option<PathBuf>,
    /// Where a self-made certificate is kept
    #[arg(long, default_value = "/var/lib/kubelet/pki", value_name = "DIR")]
    pub cert_dir: PathBuf,
    /// Authorities of clients of the kubelet's API
    #[arg(long, value_name = "FILE")]
    pub client_ca_file: Option<PathBuf>,
    /// Answer requests without credentials as system:anonymous; false by default
    #[arg(long, default_missing_value = "true", num_args = 0..=1, require_equals = true, value_name = "BOOL")]
    pub anonymous_auth: Option<bool>,
    /// Ask the API server about bearer tokens; true by default where there is an API server
    #[arg(long, default_missing_value = "true", num_args = 0..=1, require_equals = true, value_name = "BOOL")]
    pub authentication_token_webhook: Option<bool>,
    /// How long its word about a token holds; 2m by default
    #[arg(long, value_parser = duration, value_name = "DURATION")]
    pub authentication_token_webhook_cache_ttl: Option<Duration>,
    /// AlwaysAllow, or Webhook: ask the API server; the latter by default where there is an API server
    #[arg(long, value_name = "MODE")]
    pub authorization_mode: Option<String>,
    /// How long its permission holds; 5m by default
    #[arg(long, value_parser = duration, value_name = "DURATION")]
    pub authorization_webhook_cache_authorized_ttl: Option<Duration>,
    /// How long its refusal holds; 30s by default
    #[arg(long, value_parser = duration, value_name = "DURATION")]
    pub authorization_webhook_cache_unauthorized_ttl: Option<Duration>,
    /// DNS servers of pods
    #[arg(long, value_delimiter = ',', value_name = "IP")]
    pub cluster_dns: Vec<String>,
    /// Domain of the cluster
    #[arg(long, value_name = "DOMAIN")]
    pub cluster_domain: Option<String>,
    /// The node's resolver configuration
    #[arg(long, value_name = "FILE")]
    pub resolv_conf: Option<PathBuf>,
    /// Docker's socket
    #[arg(long, alias = "docker-endpoint", value_name = "URL")]
    pub container_runtime_endpoint: Option<String>,
    /// Image of the sandbox container; a built-in one by default
    #[arg(long, value_name = "IMAGE")]
    pub pod_infra_container_image: Option<String>,
    /// How pods get addresses: kubenet, docker or cni
    #[arg(long, default_value = "kubenet", value_name = "NAME")]
    pub network_plugin: String,
    /// Directory of CNI configuration
    #[arg(long, alias = "network-plugin-dir", default_value = "/etc/cni/net.d", value_name = "DIR")]
    pub cni_conf_dir: PathBuf,
    /// Directory of CNI plugins
    #[arg(long, default_value = "/opt/cni/bin", value_name = "DIR")]
    pub cni_bin_dir: PathBuf,
    /// MTU of pods with kubenet
    #[arg(long, default_value_t = 0, value_name = "BYTES")]
    pub network_plugin_mtu: u32,
    /// Name of kubenet's bridge
    #[arg(long, default_value = crate::network::kubenet::DEFAULT_BRIDGE, value_name = "NAME")]
    pub bridge_name: String,
    /// Pod CIDR without an API server
    #[arg(long, value_delimiter = ',', value_name = "CIDR")]
    pub pod_cidr: Vec<ipnet::IpNet>,
    /// Traffic to these is not masqueraded
    #[arg(long, alias = "non-masquerade-cidr", value_delimiter = ',', value_name = "CIDR")]
    pub cluster_cidr: Vec<ipnet::Ipv4Net>,
    /// Make the node's object in the API
    #[arg(long, default_missing_value = "true", num_args = 0..=1, require_equals = true, value_name = "BOOL")]
    pub register_node: Option<bool>,
    /// Labels of the node that is registered
    #[arg(long, value_delimiter = ',', value_name = "KEY=VALUE")]
    pub node_labels: Vec<String>,
    /// Taints of the node that is registered
    #[arg(long, value_delimiter = ',', value_name = "KEY=VALUE:EFFECT")]
    pub register_with_taints: Vec<String>,
    /// Register the node as unschedulable or not
    #[arg(long, default_missing_value = "true", num_args = 0..=1, require_equals = true, value_name = "BOOL")]
    pub register_schedulable: Option<bool>,
    /// Provider id of the node
    #[arg(long, value_name = "ID")]
    pub provider_id: Option<String>,
    /// How many pods the node takes
    #[arg(long, value_name = "COUNT")]
    pub max_pods: Option<i64>,
    /// Kept for the system: cpu=100m,memory=1Gi
    #[arg(long, value_delimiter = ',', value_name = "NAME=AMOUNT")]
    pub system_reserved: Vec<String>,
    /// Kept for Kubernetes: cpu=100m,memory=1Gi
    #[arg(long, value_delimiter = ',', value_name = "NAME=AMOUNT")]
    pub kube_reserved: Vec<String>,
    /// How often the node's status is computed
    #[arg(long, value_parser = duration, value_name = "DURATION")]
    pub node_status_update_frequency: Option<Duration>,
    /// How often the node's status is told when nothing has changed
    #[arg(long, value_parser = duration, value_name = "DURATION")]
    pub node_status_report_frequency: Option<Duration>,
    /// How large a container's log grows before it is rotated, in bytes
    #[arg(long, default_value_t = 10 << 20, value_name = "BYTES")]
    pub container_log_max_size: u64,
    /// How many log files a container keeps
    #[arg(long, default_value_t = 5, value_name = "COUNT")]
    pub container_log_max_files: u32,
    /// How long Docker may take to answer
    #[arg(long, value_parser = duration, default_value = "2m", value_name = "DURATION")]
    pub runtime_request_timeout: Duration,
}
