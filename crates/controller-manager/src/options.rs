//! Flags, and the configuration they make.

use std::{collections::BTreeSet, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use clap::Parser;
use component::{
    flags::{ClientFlags, LeaderElectionFlags, LoggingFlags, RetiredFlags, duration},
    jwt::SigningKey,
    profiling::ProfilingFlags,
    serve::guard::GuardFlags,
};
use ipnet::IpNet;

use crate::{
    certificates::{Signers, SigningFlags},
    controllers::{CONTROLLERS, Controller},
    load_balancer::{Addresses, DEFAULT_RESERVED, ReservedPorts},
};

/// Flags of upstream's controller manager that mean nothing here.
pub const RETIRED: RetiredFlags = &[
    ("pod-eviction-timeout", "pods are evicted by their tolerations of NoExecute taints"),
    ("enable-taint-manager", "NoExecute taints always evict"),
    ("node-sync-period", "nodes are watched"),
    ("deployment-controller-sync-period", "deployments are watched"),
    ("min-resync-period", "informers do not resync"),
    ("horizontal-pod-autoscaler-upscale-delay", "autoscalers say how fast they scale up"),
    ("horizontal-pod-autoscaler-use-rest-clients", "metrics are always read from the metrics APIs"),
    ("namespace-sync-period", "namespaces are watched"),
    ("service-sync-period", "services are watched"),
    ("register-retry-count", "not needed"),
    ("deleting-pods-qps", "not limited"),
    ("deleting-pods-burst", "not limited"),
    ("enable-garbage-collector", "the garbage collector is a controller: --controllers=-garbagecollector"),
    ("kube-api-content-type", "JSON is always used"),
    ("pvclaimbinder-sync-period", "volumes and claims are watched"),
    ("controller-start-interval", "controllers start together"),
    ("mirroring-endpointslice-updates-batch-period", "mirrors are written as soon as endpoints change"),
    ("flex-volume-plugin-dir", "not supported"),
    ("cloud-provider", "there is no cloud provider"),
    ("cloud-config", "there is no cloud provider"),
    ("configure-cloud-routes", "there is no cloud provider"),
    ("cidr-allocator-type", "the range allocator is always used"),
    ("authentication-skip-lookup", "nothing is looked up in the cluster; see --client-ca-file"),
    ("authentication-tolerate-lookup-failure", "nothing is looked up in the cluster; see --client-ca-file"),
    ("requestheader-client-ca-file", "no proxy is trusted to say who a client is"),
    ("cluster-name", "not used"),
    ("tls-cert-file", "the health port makes its own certificate"),
    ("tls-private-key-file", "the health port makes its own certificate"),
    ("attach-detach-reconcile-sync-period", "not supported"),
    ("disable-attach-detach-reconcile-sync", "not supported"),
    ("disable-force-detach-on-timeout", "not supported"),
    ("external-cloud-volume-plugin", "not supported"),
    ("volume-host-allow-local-loopback", "not supported"),
    ("volume-host-cidr-denylist", "not supported"),
    ("cert-dir", "the health port makes its own certificate"),
    ("cluster-monitor-period", "there is no cloud provider"),
    ("route-reconciliation-period", "there is no cloud provider"),
    ("concurrent-device-taint-eviction-syncs", "not supported"),
    ("concurrent-resource-claim-syncs", "not supported"),
    ("concurrent-service-syncs", "not supported"),
    ("concurrent-validating-admission-policy-status-syncs", "not supported"),
    ("controller-shutdown-timeout", "not supported"),
    ("enable-leader-migration", "not supported"),
    ("leader-migration-config", "not supported"),
    ("legacy-service-account-token-clean-up-period", "not supported"),
    ("max-endpoints-per-slice", "not supported"),
    ("daemonset-lookup-cache-size", "owners are indexed"),
    ("replicaset-lookup-cache-size", "owners are indexed"),
    ("replication-controller-lookup-cache-size", "owners are indexed"),
    ("endpoint-updates-batch-period", "changes are put together as they come"),
    ("endpointslice-updates-batch-period", "changes are put together as they come"),
    (
        "insecure-experimental-approve-all-kubelet-csrs-for-group",
        "who may have a certificate approved is a matter of roles",
    ),
    ("leader-elect-resource-lock", "leases are always used"),
    ("leader-elect-resource-name", "the lease is named kube-controller-manager"),
    ("machines", "kubelets register their nodes"),
    ("minion-regexp", "kubelets register their nodes"),
    ("node-memory", "kubelets register their nodes"),
    ("node-milli-cpu", "kubelets register their nodes"),
    ("sync-nodes", "kubelets register their nodes"),
    ("pv-recycler-increment-timeout-nfs", "volumes are not recycled"),
    ("pv-recycler-maximum-retry", "volumes are not recycled"),
    ("pv-recycler-minimum-timeout-hostpath", "volumes are not recycled"),
    ("pv-recycler-minimum-timeout-nfs", "volumes are not recycled"),
    ("pv-recycler-pod-template-filepath-hostpath", "volumes are not recycled"),
    ("pv-recycler-pod-template-filepath-nfs", "volumes are not recycled"),
    ("pv-recycler-timeout-increment-hostpath", "volumes are not recycled"),
    ("requestheader-allowed-names", "no proxy is trusted to say who a client is"),
    ("requestheader-extra-headers-prefix", "no proxy is trusted to say who a client is"),
    ("requestheader-group-headers", "no proxy is trusted to say who a client is"),
    ("requestheader-uid-headers", "no proxy is trusted to say who a client is"),
    ("requestheader-username-headers", "no proxy is trusted to say who a client is"),
];

/// The command line.
#[derive(Clone, Debug, Parser)]
#[command(name = "kube-controller-manager", version = component::KUBERNETES_VERSION, about = "The control loops of Kubernetes")]
pub struct Flags {
    /// Logging
    #[command(flatten)]
    pub logging: LoggingFlags,
    /// The API server
    #[command(flatten)]
    pub client: ClientFlags,
    /// Leader election
    #[command(flatten)]
    pub leader: LeaderElectionFlags,
    /// Who may use the health and metrics port
    #[command(flatten)]
    pub guard: GuardFlags,
    /// What that port tells of where time is spent
    #[command(flatten)]
    pub profiling: ProfilingFlags,
    /// Controllers to run: '*' means all but bootstrap-signer-controller and token-cleaner-controller, 'foo' that one, '-foo' not that one
    #[arg(long, value_delimiter = ',', default_value = "*", allow_hyphen_values = true, value_name = "NAMES")]
    pub controllers: Vec<String>,
    /// Give every node a Pod CIDR out of --cluster-cidr
    #[arg(long, default_value = "false", default_missing_value = "true", num_args = 0..=1, require_equals = true, action = clap::ArgAction::Set, value_name = "BOOL")]
    pub allocate_node_cidrs: bool,
    /// Ranges of pod addresses, at most one per address family
    #[arg(long, value_delimiter = ',', value_name = "CIDRS")]
    pub cluster_cidr: Vec<IpNet>,
    /// Ranges of service addresses, kept out of the nodes' Pod CIDRs
    #[arg(long, value_delimiter = ',', value_name = "CIDRS")]
    pub service_cluster_ip_range: Vec<IpNet>,
    /// Prefix length of a node's Pod CIDR (IPv4)
    #[arg(long, alias = "node-cidr-mask-size-ipv4", default_value_t = 24, value_name = "BITS")]
    pub node_cidr_mask_size: u8,
    /// Prefix length of a node's Pod CIDR (IPv6)
    #[arg(long, default_value_t = 64, value_name = "BITS")]
    pub node_cidr_mask_size_ipv6: u8,
    /// Addresses for services of type LoadBalancer: 'nodes' for those of the nodes, or ranges that are routed to the nodes; none when not given
    #[arg(long, value_name = "nodes|CIDRS")]
    pub load_balancer_addresses: Option<Addresses>,
    /// Ports of the nodes' addresses that no service of type LoadBalancer gets; with an empty list all but those of kubelets, API servers and pods
    #[arg(long, default_value = DEFAULT_RESERVED, value_name = "PORT[-PORT][/PROTOCOL],…")]
    pub load_balancer_reserved_ports: ReservedPorts,
    /// How long a node may be silent before it counts as unreachable
    #[arg(long, default_value = "40s", value_parser = duration, value_name = "DURATION")]
    pub node_monitor_grace_period: Duration,
    /// How long a new node may be silent
    #[arg(long, default_value = "1m", value_parser = duration, value_name = "DURATION")]
    pub node_startup_grace_period: Duration,
    /// Accepted; nodes are watched, and looked at again exactly when their grace period ends
    #[arg(long, default_value = "5s", value_parser = duration, value_name = "DURATION")]
    pub node_monitor_period: Duration,
    /// Nodes per second whose pods may be evicted while a zone is healthy
    #[arg(long, default_value_t = 0.1, value_name = "RATE")]
    pub node_eviction_rate: f64,
    /// The same while a zone is unhealthy; 0 in clusters that are not large
    #[arg(long, default_value_t = 0.01, value_name = "RATE")]
    pub secondary_node_eviction_rate: f64,
    /// Share of silent nodes from which on a zone is unhealthy
    #[arg(long, default_value_t = 0.55, value_name = "SHARE")]
    pub unhealthy_zone_threshold: f64,
    /// From how many nodes on a cluster is large
    #[arg(long, default_value_t = 50, value_name = "NODES")]
    pub large_cluster_size_threshold: usize,
    /// PEM bundle published as kube-root-ca.crt in every namespace
    #[arg(long, value_name = "FILE")]
    pub root_ca_file: Option<PathBuf>,
    /// Key that signs the tokens in secrets of service accounts; without it these stay empty
    #[arg(long, value_name = "FILE")]
    pub service_account_private_key_file: Option<PathBuf>,
    /// Accepted; one set of credentials is used
    #[arg(long, default_value = "false", default_missing_value = "true", num_args = 0..=1, require_equals = true, action = clap::ArgAction::Set, value_name = "BOOL")]
    pub use_service_account_credentials: bool,
    /// Finished pods that are kept; more than this and the oldest are deleted; 0 keeps all
    #[arg(long, default_value_t = 12_500, value_name = "PODS")]
    pub terminated_pod_gc_threshold: usize,
    /// Most addresses of a subset of endpoints that are mirrored to a slice
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u16).range(1..=1000), value_name = "N")]
    pub mirroring_max_endpoints_per_subset: u16,
    /// How often the usage of every quota is counted anew
    #[arg(long, default_value = "5m", value_parser = duration, value_name = "DURATION")]
    pub resource_quota_sync_period: Duration,
    /// Ask provisioners for volumes that claims of their classes lack
    #[arg(long, default_value = "true", default_missing_value = "true", num_args = 0..=1, require_equals = true, action = clap::ArgAction::Set, value_name = "BOOL")]
    pub enable_dynamic_provisioning: bool,
    /// Address of the HTTPS port
    #[arg(long, default_value = "0.0.0.0", value_name = "IP")]
    pub bind_address: std::net::IpAddr,
    /// HTTPS port for /healthz and /metrics; 0 for none
    #[arg(long, default_value_t = 10257, value_name = "PORT")]
    pub secure_port: u16,
    /// Address of the plain HTTP port
    #[arg(long, default_value = "127.0.0.1", value_name = "IP")]
    pub address: std::net::IpAddr,
    /// Plain HTTP port for /healthz and /metrics, once 10252; 0 for none
    #[arg(long, default_value_t = 0, value_name = "PORT")]
    pub port: u16,
    /// Who signs requests for certificates
    #[command(flatten)]
    pub signing: SigningFlags,
    /// How targets are scaled
    #[command(flatten)]
    pub autoscaling: Autoscaling,
    /// How many keys of each controller are worked on at once
    #[command(flatten)]
    pub concurrency: Concurrency,
}

/// `--horizontal-pod-autoscaler-…`
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Autoscaling {
    /// How often metrics are read and targets scaled
    #[arg(long = "horizontal-pod-autoscaler-sync-period", default_value = "15s", value_parser = duration, value_name = "DURATION")]
    pub sync_period: Duration,
    /// How long fewer replicas must have been enough before a target is scaled down, unless its autoscaler says
    #[arg(
        long = "horizontal-pod-autoscaler-downscale-stabilization",
        alias = "horizontal-pod-autoscaler-downscale-delay",
        default_value = "5m",
        value_parser = duration,
        value_name = "DURATION"
    )]
    pub downscale_stabilization: Duration,
    /// How far a metric may be from its target before something is done, unless the autoscaler says
    #[arg(long = "horizontal-pod-autoscaler-tolerance", default_value_t = 0.1, value_name = "SHARE")]
    pub tolerance: f64,
    /// How long processors that a pod uses are believed to be for its start, as long as it is not ready
    #[arg(
        long = "horizontal-pod-autoscaler-cpu-initialization-period",
        default_value = "5m",
        value_parser = duration,
        value_name = "DURATION"
    )]
    pub cpu_initialization_period: Duration,
    /// How long after its start a change of a pod's readiness is taken for its first
    #[arg(
        long = "horizontal-pod-autoscaler-initial-readiness-delay",
        default_value = "30s",
        value_parser = duration,
        value_name = "DURATION"
    )]
    pub initial_readiness_delay: Duration,
}

/// `--concurrent-…-syncs`
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Concurrency {
    /// Deployments worked on at once
    #[arg(long = "concurrent-deployment-syncs", default_value_t = 5, value_name = "N")]
    pub deployment: usize,
    /// Replica sets worked on at once
    #[arg(long = "concurrent-replicaset-syncs", default_value_t = 5, value_name = "N")]
    pub replica_set: usize,
    /// Replication controllers worked on at once
    #[arg(long = "concurrent-rc-syncs", default_value_t = 5, value_name = "N")]
    pub replication_controller: usize,
    /// Daemon sets worked on at once
    #[arg(long = "concurrent-daemonset-syncs", default_value_t = 2, value_name = "N")]
    pub daemon_set: usize,
    /// Stateful sets worked on at once
    #[arg(long = "concurrent-statefulset-syncs", default_value_t = 5, value_name = "N")]
    pub stateful_set: usize,
    /// Jobs worked on at once
    #[arg(long = "concurrent-job-syncs", default_value_t = 5, value_name = "N")]
    pub job: usize,
    /// Cron jobs worked on at once
    #[arg(long = "concurrent-cron-job-syncs", default_value_t = 5, value_name = "N")]
    pub cron_job: usize,
    /// Jobs that have ended and are to go, worked on at once
    #[arg(long = "concurrent-ttl-after-finished-syncs", default_value_t = 5, value_name = "N")]
    pub ttl_after_finished: usize,
    /// Services whose endpoints are worked on at once
    #[arg(long = "concurrent-endpoint-syncs", default_value_t = 5, value_name = "N")]
    pub endpoints: usize,
    /// Services whose endpoint slices are worked on at once
    #[arg(long = "concurrent-service-endpoint-syncs", default_value_t = 5, value_name = "N")]
    pub endpoint_slice: usize,
    /// Services whose endpoints are mirrored at once
    #[arg(long = "mirroring-concurrent-service-endpoint-syncs", default_value_t = 5, value_name = "N")]
    pub endpoint_slice_mirroring: usize,
    /// Autoscalers worked on at once
    #[arg(long = "concurrent-horizontal-pod-autoscaler-syncs", default_value_t = 5, value_name = "N")]
    pub pod_autoscaler: usize,
    /// Namespaces worked on at once
    #[arg(
        id = "concurrent-namespace-syncs",
        long = "concurrent-namespace-syncs",
        default_value_t = 10,
        value_name = "N"
    )]
    pub namespace: usize,
    /// Quotas worked on at once
    #[arg(long = "concurrent-resource-quota-syncs", default_value_t = 5, value_name = "N")]
    pub resource_quota: usize,
    /// Objects the garbage collector works on at once
    #[arg(long = "concurrent-gc-syncs", default_value_t = 20, value_name = "N")]
    pub garbage_collector: usize,
    /// Pods whose own volumes get claims, worked on at once
    #[arg(long = "concurrent-ephemeralvolume-syncs", default_value_t = 5, value_name = "N")]
    pub ephemeral_volume: usize,
    /// Claims to devices, and pods that want some, worked on at once
    #[arg(long = "concurrent-resource-claim-syncs", default_value_t = 10, value_name = "N")]
    pub resource_claim: usize,
    /// Namespaces whose service accounts are worked on at once
    #[arg(long = "concurrent-serviceaccount-token-syncs", default_value_t = 5, value_name = "N")]
    pub service_account: usize,
}

/// Mistakes in the flags, all of them at once.
#[derive(Debug, thiserror::Error)]
#[error("invalid flags: {}", .0.join("; "))]
pub struct InvalidFlags(Vec<String>);

/// What the flags mean.
#[derive(Clone, Debug)]
pub struct Config {
    /// The flags, known to be sound.
    pub flags: Flags,
    /// Names of the controllers to run.
    pub enabled: BTreeSet<&'static str>,
    /// The PEM bundle of `--root-ca-file`.
    pub root_ca: Option<String>,
    /// The key of `--service-account-private-key-file`.
    pub service_account_key: Option<Arc<SigningKey>>,
    /// The authorities of `--cluster-signing-…`.
    pub signers: Signers,
}

impl Config {
    /// Checks the flags and reads the files they name.
    ///
    /// # Errors
    /// Every mistake, in one error.
    pub fn new(flags: Flags) -> Result<Self, InvalidFlags> {
        let mut mistakes = Vec::new();
        let enabled = enabled_controllers(&flags.controllers, &mut mistakes);
        if flags.allocate_node_cidrs {
            check_ranges(&flags, &mut mistakes);
        }
        let root_ca = flags.root_ca_file.as_ref().and_then(|path| match std::fs::read_to_string(path) {
            Ok(pem) => Some(pem),
            Err(error) => {
                mistakes.push(format!("--root-ca-file {}: {error}", path.display()));
                None
            }
        });
        let service_account_key = signing_key(&flags, &mut mistakes);
        let signers = Signers::read(&flags.signing, &mut mistakes);
        if mistakes.is_empty() {
            Ok(Self { flags, enabled, root_ca, service_account_key, signers })
        } else {
            Err(InvalidFlags(mistakes))
        }
    }

    /// Where HTTPS is served, if it is.
    #[must_use]
    pub fn secure_address(&self) -> Option<SocketAddr> {
        (self.flags.secure_port != 0).then(|| SocketAddr::new(self.flags.bind_address, self.flags.secure_port))
    }

    /// Where plain HTTP is served, if it is.
    #[must_use]
    pub fn insecure_address(&self) -> Option<SocketAddr> {
        (self.flags.port != 0).then(|| SocketAddr::new(self.flags.address, self.flags.port))
    }

    /// The prefix length of a node's share of `range`.
    #[must_use]
    pub fn node_mask(&self, range: &IpNet) -> u8 {
        match range {
            IpNet::V4(_) => self.flags.node_cidr_mask_size,
            IpNet::V6(_) => self.flags.node_cidr_mask_size_ipv6,
        }
    }
}

fn signing_key(flags: &Flags, mistakes: &mut Vec<String>) -> Option<Arc<SigningKey>> {
    let path = flags.service_account_private_key_file.as_ref()?;
    let read = std::fs::read(path).map_err(|error| error.to_string());
    let key = read.and_then(|pem| SigningKey::parse(&pem).map_err(|error| error.to_string()));
    let noted = key.map_err(|error| {
        mistakes.push(format!("--service-account-private-key-file {}: {error}", path.display()));
    });
    noted.ok().map(Arc::new)
}

fn check_ranges(flags: &Flags, mistakes: &mut Vec<String>) {
    if flags.cluster_cidr.is_empty() {
        mistakes.push("--allocate-node-cidrs needs --cluster-cidr".to_owned());
    }
    for range in &flags.cluster_cidr {
        let (mask, most) = match range {
            IpNet::V4(_) => (flags.node_cidr_mask_size, 30),
            IpNet::V6(_) => (flags.node_cidr_mask_size_ipv6, 126),
        };
        if mask < range.prefix_len() || mask > most {
            mistakes.push(format!("--node-cidr-mask-size {mask} does not fit into --cluster-cidr {range}"));
        }
    }
}

/// As upstream: a name turns a controller on, `-name` off, `*` all of those that are not named and wait for no request.
fn enabled_controllers(words: &[String], mistakes: &mut Vec<String>) -> BTreeSet<&'static str> {
    for word in words {
        let name = word.strip_prefix('-').unwrap_or(word);
        if name != "*" && !CONTROLLERS.iter().any(|controller| controller.is_called(name)) {
            mistakes.push(format!("--controllers: {name:?} is not in the list of known controllers"));
        }
    }
    let all = words.iter().any(|word| word == "*");
    let named = |name: &str| {
        words.iter().find_map(|word| {
            let controller = CONTROLLERS.iter().find(|controller| controller.name == name)?;
            match word.strip_prefix('-') {
                Some(off) => controller.is_called(off).then_some(false),
                None => controller.is_called(word).then_some(true),
            }
        })
    };
    let runs = |controller: &&Controller| named(controller.name).unwrap_or(all && !controller.on_request);
    CONTROLLERS.iter().filter(runs).map(|controller| controller.name).collect()
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::*;

    fn config(words: &str) -> Result<Config, InvalidFlags> {
        let words = std::iter::once("kube-controller-manager").chain(words.split_whitespace()).map(OsString::from);
        Config::new(component::flags::parse(words, RETIRED).unwrap())
    }

    #[test]
    fn controllers_are_turned_on_and_off() {
        let all = CONTROLLERS.iter().filter(|controller| !controller.on_request).count();
        let cases = [
            ("", all),
            ("--controllers=*,-podgc", all - 1),
            ("--controllers=*,bootstrapsigner,tokencleaner", CONTROLLERS.len()),
            ("--controllers=deployment,replicaset-controller", 2),
        ];
        for (words, count) in cases {
            assert_eq!(config(words).unwrap().enabled.len(), count, "{words}");
        }
        assert!(!config("--controllers=*,-podgc").unwrap().enabled.contains("pod-garbage-collector-controller"));
    }

    #[test]
    fn all_mistakes_are_told_at_once() {
        let error = config("--controllers=nonsense --allocate-node-cidrs --root-ca-file=/nonexistent").unwrap_err();
        for part in ["nonsense", "--cluster-cidr", "/nonexistent"] {
            assert!(error.to_string().contains(part), "{error}");
        }
        assert!(config("--allocate-node-cidrs=true --cluster-cidr=10.10.0.0/25").is_err());
        let error = config("--cluster-signing-kubelet-client-cert-file=/nonexistent").unwrap_err();
        assert!(error.to_string().contains("--cluster-signing-kubelet-client-key-file need each other"), "{error}");
        let flags = "--cluster-signing-cert-file=/nonexistent --cluster-signing-key-file=/nonexistent";
        assert!(config(flags).unwrap_err().to_string().contains("--cluster-signing-cert-file: "));
        assert!(config("--cluster-signing-cert-file=/nonexistent").is_ok(), "half of a pair is none");
    }

    #[test]
    fn old_flags_are_accepted() {
        let config = config(
            "--master=http://127.0.0.1:8080 --address=0.0.0.0 --port=10252 --pod-eviction-timeout=30s --logtostderr=true \
             --allocate-node-cidrs --cluster-cidr=10.10.0.0/16 --service-cluster-ip-range=10.0.0.0/24",
        )
        .unwrap();
        assert_eq!(config.insecure_address().unwrap().to_string(), "0.0.0.0:10252");
    }

    #[test]
    fn a_highly_available_cluster_of_2019_is_understood() {
        config(
            "--port=0 --profiling --cluster-name=kubernetes --controllers=*,bootstrapsigner,tokencleaner --kube-api-qps=1000 \
             --kube-api-burst=2000 --leader-elect --use-service-account-credentials --concurrent-service-syncs=2 \
             --bind-address=10.0.0.1 --secure-port=10252 --tls-cert-file=/nonexistent --tls-private-key-file=/nonexistent \
             --requestheader-allowed-names=aggregator --requestheader-client-ca-file=/nonexistent \
             --requestheader-extra-headers-prefix=X-Remote-Extra- --requestheader-group-headers=X-Remote-Group \
             --requestheader-username-headers=X-Remote-User --experimental-cluster-signing-duration=8760h \
             --concurrent-deployment-syncs=10 --concurrent-gc-syncs=30 --node-cidr-mask-size=24 \
             --service-cluster-ip-range=10.254.0.0/16 --pod-eviction-timeout=6m --terminated-pod-gc-threshold=10000 --v=2",
        )
        .unwrap();
    }
}
