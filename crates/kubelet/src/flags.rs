//! The command line: upstream's flags, old and new.

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use component::flags::{ClientFlags, LoggingFlags, RetiredFlags, duration};
use component::profiling::ProfilingFlags;

/// Flags that once meant something.
pub const RETIRED: RetiredFlags = &[
    ("container-runtime", "--container-runtime-endpoint says which it is"),
    ("cgroup-driver", "the runtime's own is used"),
    ("cgroups-per-qos", "not supported"),
    ("enforce-node-allocatable", "not supported"),
    ("fail-swap-on", "swap is accepted"),
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
    ("serialize-image-pulls", "images are pulled at the same time"),
    ("runonce", "not supported"),
    ("maximum-dead-containers", "one dead container is kept for each that runs"),
    ("maximum-dead-containers-per-container", "one dead container is kept for each that runs"),
    ("minimum-container-ttl-duration", "one dead container is kept for each that runs"),
    ("node-labels-file", "use --node-labels"),
    ("read-only-port", "the read-only port is not served"),
    ("cloud-provider", "there are no cloud providers"),
    ("cloud-config", "there are no cloud providers"),
    ("volume-plugin-dir", "not supported"),
    ("application-metrics-count-limit", "not supported"),
    ("azure-container-registry-config", "not supported"),
    ("bootstrap-checkpoint-path", "not supported"),
    ("cgroup-root", "not supported"),
    ("chaos-chance", "not supported"),
    ("contain-pod-resources", "not supported"),
    ("cpu-cfs-quota", "not supported"),
    ("cpu-cfs-quota-period", "not supported"),
    ("cpu-manager-policy", "not supported"),
    ("cpu-manager-policy-options", "not supported"),
    ("cpu-manager-reconcile-period", "not supported"),
    ("dynamic-config-dir", "not supported"),
    ("enable-cadvisor-json-endpoints", "not supported"),
    ("enable-custom-metrics", "not supported"),
    ("enable-load-reader", "not supported"),
    ("experimental-cgroups-per-qos", "not supported"),
    ("experimental-mounter-path", "not supported"),
    ("experimental-nvidia-gpus", "not supported"),
    ("experimental-qos-reserved", "not supported"),
    ("image-credential-provider-bin-dir", "not supported"),
    ("image-credential-provider-config", "not supported"),
    ("kube-reserved-cgroup", "not supported"),
    ("local-storage-capacity-isolation", "not supported"),
    ("lock-file", "not supported"),
    ("exit-on-lock-contention", "not supported"),
    ("memory-manager-policy", "not supported"),
    ("memory-swap-behavior", "not supported"),
    ("node-status-max-images", "not supported"),
    ("pod-max-pids", "not supported"),
    ("pods-per-core", "not supported"),
    ("qos-reserved", "not supported"),
    ("reserved-cpus", "not supported"),
    ("reserved-memory", "not supported"),
    ("shutdown-grace-period", "not supported"),
    ("shutdown-grace-period-critical-pods", "not supported"),
    ("streaming-connection-idle-timeout", "not supported"),
    ("system-cgroups", "not supported"),
    ("system-container", "not supported"),
    ("system-reserved-cgroup", "not supported"),
    ("topology-manager-policy", "not supported"),
    ("topology-manager-policy-options", "not supported"),
    ("topology-manager-scope", "not supported"),
    ("volume-stats-agg-period", "not supported"),
    ("resource-container", "not supported"),
    ("auth-path", "use --kubeconfig"),
    ("babysit-daemons", "not needed"),
    ("nosystemd", "not needed"),
    ("really-crash-for-testing", "not needed"),
    ("boot-id-file", "there is no cAdvisor inside"),
    ("container-hints", "there is no cAdvisor inside"),
    ("event-storage-age-limit", "there is no cAdvisor inside"),
    ("event-storage-event-limit", "there is no cAdvisor inside"),
    ("global-housekeeping-interval", "there is no cAdvisor inside"),
    ("housekeeping-interval", "there is no cAdvisor inside"),
    ("log-cadvisor-usage", "there is no cAdvisor inside"),
    ("machine-id-file", "there is no cAdvisor inside"),
    ("storage-driver-buffer-duration", "there is no cAdvisor inside"),
    ("storage-driver-db", "there is no cAdvisor inside"),
    ("storage-driver-host", "there is no cAdvisor inside"),
    ("storage-driver-password", "there is no cAdvisor inside"),
    ("storage-driver-secure", "there is no cAdvisor inside"),
    ("storage-driver-table", "there is no cAdvisor inside"),
    ("storage-driver-user", "there is no cAdvisor inside"),
    ("containerd", "see --container-runtime-endpoint and --docker-endpoint"),
    ("containerd-namespace", "see --container-runtime-endpoint and --docker-endpoint"),
    ("containerized", "see --container-runtime-endpoint and --docker-endpoint"),
    ("docker-disable-shared-pid", "see --container-runtime-endpoint and --docker-endpoint"),
    ("docker-env-metadata-whitelist", "see --container-runtime-endpoint and --docker-endpoint"),
    ("docker-exec-handler", "see --container-runtime-endpoint and --docker-endpoint"),
    ("docker-only", "see --container-runtime-endpoint and --docker-endpoint"),
    ("docker-root", "see --container-runtime-endpoint and --docker-endpoint"),
    ("docker-tls", "see --container-runtime-endpoint and --docker-endpoint"),
    ("docker-tls-ca", "see --container-runtime-endpoint and --docker-endpoint"),
    ("docker-tls-cert", "see --container-runtime-endpoint and --docker-endpoint"),
    ("docker-tls-key", "see --container-runtime-endpoint and --docker-endpoint"),
    ("experimental-cri", "see --container-runtime-endpoint and --docker-endpoint"),
    ("experimental-dockershim", "see --container-runtime-endpoint and --docker-endpoint"),
    ("experimental-dockershim-root-directory", "see --container-runtime-endpoint and --docker-endpoint"),
    ("redirect-container-streaming", "see --container-runtime-endpoint and --docker-endpoint"),
    ("rkt-api-endpoint", "see --container-runtime-endpoint and --docker-endpoint"),
    ("rkt-path", "see --container-runtime-endpoint and --docker-endpoint"),
    ("rkt-stage1-image", "see --container-runtime-endpoint and --docker-endpoint"),
    ("runtime-integration-type", "see --container-runtime-endpoint and --docker-endpoint"),
    ("network-container-image", "see --container-runtime-endpoint and --docker-endpoint"),
    ("default-service-account", "not used"),
    ("master-service-namespace", "not used"),
    ("resource-domain-name", "not used"),
    ("event-burst", "events are aggregated"),
    ("event-qps", "events are aggregated"),
    ("event-record-qps", "events are aggregated"),
    ("eviction-minimum-reclaim", "not supported"),
    ("experimental-allocatable-ignore-eviction", "not supported"),
    ("experimental-kernel-memcg-notification", "not supported"),
    ("kernel-memcg-notification", "not supported"),
    ("low-diskspace-threshold-mb", "not supported"),
    ("outofdisk-transition-frequency", "not supported"),
    ("minimum-image-ttl-duration", "not supported"),
    ("image-gc-policy", "not supported"),
    ("experimental-check-node-capabilities-before-mount", "not needed"),
    ("experimental-logging-sanitization", "not needed"),
    ("experimental-fail-swap-on", "swap is accepted"),
    ("experimental-flannel-overlay", "run flanneld"),
    ("etcd-servers", "use --kubeconfig"),
    ("host-ipc-sources", "pods of all sources may"),
    ("host-pid-sources", "pods of all sources may"),
    ("image-pull-progress-deadline", "pulls are not limited"),
    ("registry-burst", "pulls are not limited"),
    ("registry-qps", "pulls are not limited"),
    ("iptables-drop-bit", "that is kube-proxy's affair"),
    ("iptables-masquerade-bit", "that is kube-proxy's affair"),
    ("make-iptables-util-chains", "that is kube-proxy's affair"),
    ("keep-terminated-pod-volumes", "volumes go with their pod"),
    ("max-open-files", "set it where the process is started"),
    ("oom-score-adj", "set it where the process is started"),
    ("protect-kernel-defaults", "kernel parameters of that kind are left alone"),
    ("seccomp-profile-root", "see --root-dir"),
    ("sync-frequency", "pods are watched"),
];

/// `kubelet`.
#[derive(Debug, Clone, Parser)]
#[command(name = "kubelet", version, about = "Runs a node's pods on Docker, or on a runtime behind CRI")]
pub struct Flags {
    /// Reaching the API server.
    #[command(flatten)]
    pub client: ClientFlags,
    /// Logging.
    #[command(flatten)]
    pub logging: LoggingFlags,
    /// What the kubelet's API tells of where time is spent.
    #[command(flatten)]
    pub profiling: ProfilingFlags,
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
    /// Where the directories of volumes are that are made on this node for claims; 'local-volumes' in --root-dir when not given
    #[arg(long, value_name = "DIRECTORY")]
    pub local_volume_directory: Option<PathBuf>,
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
    /// Credentials to ask for a client certificate with, when --kubeconfig is not there or has none that is good
    #[arg(long, alias = "experimental-bootstrap-kubeconfig", value_name = "FILE")]
    pub bootstrap_kubeconfig: Option<PathBuf>,
    /// Ask for another client certificate before the one in use runs out
    #[arg(long, default_missing_value = "true", num_args = 0..=1, require_equals = true, value_name = "BOOL")]
    pub rotate_certificates: Option<bool>,
    /// Ask the API server for the certificate of the kubelet's API, and for another before it runs out
    #[arg(long, default_missing_value = "true", num_args = 0..=1, require_equals = true, value_name = "BOOL")]
    pub rotate_server_certificates: Option<bool>,
    /// Where certificates are kept that were asked for or made
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
    /// Socket of the container runtime: Docker's, or one of a runtime behind CRI (unix:///run/containerd/containerd.sock)
    #[arg(long, value_name = "URL")]
    pub container_runtime_endpoint: Option<String>,
    /// Socket of what serves images to a runtime behind CRI; the runtime's own by default
    #[arg(long, value_name = "URL")]
    pub image_service_endpoint: Option<String>,
    /// Docker's socket, whatever it is called
    #[arg(long, value_name = "URL")]
    pub docker_endpoint: Option<String>,
    /// Image of the sandbox container; a built-in one by default
    #[arg(long, value_name = "IMAGE")]
    pub pod_infra_container_image: Option<String>,
    /// How pods get addresses: kubenet, docker or cni. Kubenet by default; with --api-servers, and without --configure-cbr0, Docker's
    /// bridge, as in their time
    #[arg(long, value_name = "NAME")]
    pub network_plugin: Option<String>,
    /// Make the bridge cbr0 from the node's Pod CIDR: what --network-plugin=kubenet does
    #[arg(long, default_missing_value = "true", num_args = 0..=1, require_equals = true, value_name = "BOOL")]
    pub configure_cbr0: Option<bool>,
    /// Directory of CNI configuration
    #[arg(long, alias = "network-plugin-dir", default_value = "/etc/cni/net.d", value_name = "DIR")]
    pub cni_conf_dir: PathBuf,
    /// Directories of CNI plugins, comma separated
    #[arg(long, default_value = "/opt/cni/bin", value_delimiter = ',', value_name = "DIR")]
    pub cni_bin_dir: Vec<PathBuf>,
    /// Where is remembered how CNI plugins connected each pod
    #[arg(long, default_value = "/var/lib/cni/cache/kubelet", value_name = "DIR")]
    pub cni_cache_dir: PathBuf,
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
    /// Kernel parameters that pods may set beside the safe ones: names, or beginnings with a * after them
    #[arg(long, alias = "experimental-allowed-unsafe-sysctls", value_delimiter = ',', value_name = "NAME")]
    pub allowed_unsafe_sysctls: Vec<String>,
    /// Where links to the logs of containers are; more are in the directory `containers` beside it
    #[arg(long, value_name = "DIR")]
    pub pod_logs_dir: Option<PathBuf>,
    /// When pods go at once: memory.available<100Mi,nodefs.available<10%
    #[arg(long, value_name = "SIGNAL<LIMIT")]
    pub eviction_hard: Option<String>,
    /// When pods go after a while
    #[arg(long, default_value = "", value_name = "SIGNAL<LIMIT")]
    pub eviction_soft: String,
    /// After which while
    #[arg(long, default_value = "", value_name = "SIGNAL=DURATION")]
    pub eviction_soft_grace_period: String,
    /// Most seconds that containers then have
    #[arg(long, value_name = "SECONDS")]
    pub eviction_max_pod_grace_period: Option<u32>,
    /// How long a pressure lasts after it was last seen
    #[arg(long, value_parser = duration, value_name = "DURATION")]
    pub eviction_pressure_transition_period: Option<Duration>,
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
