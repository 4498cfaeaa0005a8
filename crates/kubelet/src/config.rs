//! The kubelet's settings: flags over configuration file over defaults, all mistakes told at once.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::time::Duration;

use api_types::core::Taint;
use api_types::quantity::Quantity;
use component::flags::ClientFlags;
use component::profiling::Profiling;
use ipnet::IpNet;

use crate::admission::sysctls;
use crate::config_file::{self, KubeletConfiguration};
use crate::dns::ClusterDns;
use crate::eviction;
use crate::flags::Flags;
use crate::identity::IdentityConfig;
use crate::network::cni::CniConfig;
use crate::runtime::cri::CriConfig;
use crate::runtime::docker::{DEFAULT_ENDPOINT, DockerConfig};
use crate::server::access::config::AccessConfig;

/// Upstream's ports.
const PORT: u16 = 10250;
const HEALTHZ_PORT: u16 = 10248;
/// Upstream's defaults.
const MAX_PODS: i64 = 110;
const STATUS_UPDATE: Duration = Duration::from_secs(10);
const STATUS_REPORT: Duration = Duration::from_secs(300);

/// `--network-plugin`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NetworkPlugin {
    /// The kubelet's own bridge.
    Kubenet,
    /// Docker's bridge.
    Docker,
    /// Programs of others.
    Cni,
}

/// The container runtime, which is that behind `--container-runtime-endpoint`.
#[derive(Debug, Clone)]
pub enum RuntimeConfig {
    /// Docker.
    Docker(DockerConfig),
    /// One behind CRI.
    Cri(CriConfig),
}

/// The node as it is registered.
#[derive(Debug, Clone)]
pub struct NodeConfig {
    /// Its name.
    pub name: String,
    /// Its addresses, the primary one first; never empty.
    pub ips: Vec<IpAddr>,
    /// The machine's own name.
    pub hostname: String,
    /// `--register-node`.
    pub register: bool,
    /// `--node-labels`.
    pub labels: BTreeMap<String, String>,
    /// `--register-with-taints`.
    pub taints: Vec<Taint>,
    /// `--register-schedulable=false`.
    pub unschedulable: bool,
    /// `--provider-id`.
    pub provider_id: Option<String>,
    /// `--max-pods`.
    pub max_pods: i64,
    /// What pods may not use, by resource.
    pub reserved: BTreeMap<String, Quantity>,
    /// How often the status is computed.
    pub status_update: Duration,
    /// How often it is told when nothing has changed.
    pub status_report: Duration,
    /// Port of the kubelet's API.
    pub port: u16,
}

/// All settings.
#[derive(Debug, Clone)]
pub struct Config {
    /// The API server; `None` is a kubelet that runs static pods only.
    pub client: Option<ClientFlags>,
    /// The node.
    pub node: NodeConfig,
    /// The manifest directory.
    pub manifests: Option<PathBuf>,
    /// How often to rescan it.
    pub file_check: Duration,
    /// The manifest URL.
    pub manifest_url: Option<http::Uri>,
    /// How often to ask it.
    pub http_check: Duration,
    /// `--root-dir`.
    pub root: PathBuf,
    /// `--local-volume-directory`.
    pub local_volumes: PathBuf,
    /// The kubelet's API.
    pub listen: SocketAddr,
    /// The health port.
    pub healthz: Option<SocketAddr>,
    /// Certificate and key of the kubelet's API.
    pub certificate: Option<(PathBuf, PathBuf)>,
    /// How it is known to the API server, and to clients of its own API.
    pub identity: IdentityConfig,
    /// Who may use the kubelet's API.
    pub access: AccessConfig,
    /// Whether it tells where time is spent.
    pub profiling: Profiling,
    /// The cluster's DNS.
    pub dns: ClusterDns,
    /// `--resolv-conf`.
    pub resolv_conf: PathBuf,
    /// `--allowed-unsafe-sysctls`.
    pub unsafe_sysctls: Vec<String>,
    /// `--pod-logs-dir`.
    pub pod_logs: PathBuf,
    /// When pods go for the node's sake.
    pub eviction: eviction::Settings,
    /// What runs containers.
    pub runtime: RuntimeConfig,
    /// How pods get addresses.
    pub network: NetworkPlugin,
    /// For [`NetworkPlugin::Cni`].
    pub cni: CniConfig,
    /// Name of kubenet's bridge.
    pub bridge: String,
    /// MTU of pods.
    pub mtu: Option<u32>,
    /// `--pod-cidr`.
    pub pod_cidrs: Vec<IpNet>,
    /// `--cluster-cidr`.
    pub cluster_cidrs: Vec<ipnet::Ipv4Net>,
}

impl RuntimeConfig {
    /// Where the runtime listens.
    #[must_use]
    pub fn endpoint(&self) -> &str {
        match self {
            Self::Docker(docker) => &docker.endpoint,
            Self::Cri(cri) => &cri.endpoint,
        }
    }

    /// `--container-log-max-size` in bytes, and `--container-log-max-files`.
    #[must_use]
    pub fn log_limits(&self) -> (u64, u32) {
        match self {
            Self::Docker(docker) => (docker.log_max_size, docker.log_max_files),
            Self::Cri(cri) => (cri.log_max_size, cri.log_max_files),
        }
    }

    /// Where images are, if it is elsewhere.
    #[must_use]
    pub fn image_endpoint(&self) -> Option<&str> {
        match self {
            Self::Docker(_) => None,
            Self::Cri(cri) => cri.image_endpoint.as_deref(),
        }
    }
}

/// All that is wrong with the settings.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.join("; "))]
pub struct ConfigError(pub Vec<String>);

/// Collects mistakes.
#[derive(Default)]
struct Mistakes(Vec<String>);

impl Mistakes {
    fn take<T>(&mut self, result: Result<T, String>) -> Option<T> {
        result.map_err(|mistake| self.0.push(mistake)).ok()
    }
}

impl Config {
    /// The settings that the flags mean.
    ///
    /// # Errors
    /// Everything that is wrong with them.
    pub fn new(flags: Flags) -> Result<Self, ConfigError> {
        let mut mistakes = Mistakes::default();
        let (file, config_directory) = config_file(&flags, &mut mistakes);
        let network = mistakes.take(network_plugin(&flags)).unwrap_or(NetworkPlugin::Kubenet);
        let runtime = runtime(&flags, &file, network);
        let pod_logs = pod_logs(&flags, &file);
        mistakes.take(fits(&runtime, network));
        let node = node(&flags, &file, &mut mistakes);
        let pod_cidrs = pod_cidrs(&flags, &file, &mut mistakes);
        let local_volumes = mistakes.take(local_volumes(&flags)).unwrap_or_default();
        let access = AccessConfig::new(&flags, &file, has_server(&flags.client), &mut mistakes.0);
        let identity = mistakes.take(identity(&flags, &file)).unwrap_or_default();
        let eviction = eviction(&flags, &file, &mut mistakes);
        let unsafe_sysctls = unsafe_sysctls(&flags, &file, &mut mistakes);
        let url = file.static_pod_url.as_deref().map(|url| url.parse().map_err(|_| format!("staticPodURL {url:?}")));
        let url = url.and_then(|url| mistakes.take(url));
        if !mistakes.0.is_empty() {
            return Err(ConfigError(mistakes.0));
        }
        let any = IpAddr::from(Ipv4Addr::UNSPECIFIED);
        let port = node.port;
        let healthz_port = flags.healthz_port.or(file.healthz_port).unwrap_or(HEALTHZ_PORT);
        let healthz_address = flags.healthz_bind_address.or(file.healthz_bind_address);
        let healthz_address = healthz_address.unwrap_or(Ipv4Addr::LOCALHOST.into());
        let certificate = flags.tls_cert_file.clone().or(file.tls_cert_file);
        let key = flags.tls_private_key_file.clone().or(file.tls_private_key_file);
        let dns = if flags.cluster_dns.is_empty() { file.cluster_dns } else { flags.cluster_dns.clone() };
        Ok(Self {
            client: has_server(&flags.client).then(|| flags.client.clone()),
            manifests: flags.pod_manifest_path.clone().or(config_directory).or(file.static_pod_path),
            file_check: flags.file_check_frequency,
            manifest_url: flags.manifest_url.clone().or(url),
            http_check: flags.http_check_frequency,
            listen: SocketAddr::new(flags.address.or(file.address).unwrap_or(any), port),
            healthz: (healthz_port > 0).then(|| SocketAddr::new(healthz_address, healthz_port)),
            certificate: certificate.zip(key),
            identity,
            access,
            profiling: if file.enable_profiling_handler == Some(false) {
                Profiling::Absent
            } else {
                Profiling::from(&flags.profiling)
            },
            dns: ClusterDns {
                servers: dns,
                domain: flags.cluster_domain.clone().or(file.cluster_domain).unwrap_or_default(),
            },
            resolv_conf: flags.resolv_conf.clone().or(file.resolv_conf).unwrap_or("/etc/resolv.conf".into()),
            runtime,
            bridge: flags.bridge_name.clone(),
            cni: CniConfig {
                configurations: flags.cni_conf_dir.clone(),
                plugins: flags.cni_bin_dir.clone(),
                state: flags.cni_cache_dir.clone(),
            },
            mtu: Some(flags.network_plugin_mtu).filter(|mtu| *mtu > 0),
            cluster_cidrs: flags.cluster_cidr.clone(),
            unsafe_sysctls,
            eviction,
            pod_logs,
            local_volumes,
            root: flags.root_dir,
            network,
            node,
            pod_cidrs,
        })
    }
}

fn identity(flags: &Flags, file: &KubeletConfiguration) -> Result<IdentityConfig, String> {
    let bootstrap = flags.bootstrap_kubeconfig.clone().filter(|path| !path.as_os_str().is_empty());
    if bootstrap.is_some() && flags.client.kubeconfig.is_none() {
        return Err("--bootstrap-kubeconfig needs --kubeconfig, where what comes of it is written".to_owned());
    }
    let request_serving = flags.rotate_server_certificates.or(file.server_tls_bootstrap).unwrap_or(false);
    if request_serving && !has_server(&flags.client) {
        return Err("serverTLSBootstrap and --rotate-server-certificates need an API server".to_owned());
    }
    let rotate_client = flags.rotate_certificates.or(file.rotate_certificates).unwrap_or(false);
    Ok(IdentityConfig { bootstrap, rotate_client, request_serving, cert_dir: flags.cert_dir.clone() })
}

fn has_server(flags: &ClientFlags) -> bool {
    flags.kubeconfig.is_some() || flags.master.is_some()
}

/// `--config` is a file of today, or a directory of 2015.
fn config_file(flags: &Flags, mistakes: &mut Mistakes) -> (KubeletConfiguration, Option<PathBuf>) {
    match &flags.config {
        None => (KubeletConfiguration::default(), None),
        Some(path) if is_directory(path) => (KubeletConfiguration::default(), Some(path.clone())),
        Some(path) => (mistakes.take(config_file::read(path)).unwrap_or_default(), None),
    }
}

/// A path that is not there yet can only become a manifest directory.
fn is_directory(path: &Path) -> bool {
    path.is_dir() || (!path.exists() && path.extension().is_none())
}

/// Who names none means the one of his time: kubelets that had `--api-servers` left pods on Docker's bridge unless they were to
/// make `cbr0`.
fn network_plugin(flags: &Flags) -> Result<NetworkPlugin, String> {
    match flags.network_plugin.as_deref() {
        None | Some("") if flags.client.master.is_some() && flags.configure_cbr0 != Some(true) => {
            tracing::info!("--api-servers is given and no --network-plugin: pods are on Docker's bridge");
            Ok(NetworkPlugin::Docker)
        }
        None | Some("" | "kubenet") => Ok(NetworkPlugin::Kubenet),
        Some("docker") => Ok(NetworkPlugin::Docker),
        Some("cni") => Ok(NetworkPlugin::Cni),
        Some(name) => Err(format!("--network-plugin {name:?} is none of kubenet, docker, cni")),
    }
}

fn fits(runtime: &RuntimeConfig, network: NetworkPlugin) -> Result<(), String> {
    match (runtime, network) {
        (RuntimeConfig::Cri(_), NetworkPlugin::Docker) => {
            Err("--network-plugin=docker needs Docker; use kubenet or cni".to_owned())
        }
        _ => Ok(()),
    }
}

fn pod_logs(flags: &Flags, file: &KubeletConfiguration) -> PathBuf {
    flags.pod_logs_dir.clone().or(file.pod_logs_dir.clone()).unwrap_or("/var/log/pods".into())
}

/// Docker, unless the endpoint is another's.
fn runtime(flags: &Flags, file: &KubeletConfiguration, network: NetworkPlugin) -> RuntimeConfig {
    let given = flags.container_runtime_endpoint.clone().or(file.container_runtime_endpoint.clone());
    let given = given.filter(|endpoint| !endpoint.is_empty());
    match (&flags.docker_endpoint, given) {
        (Some(endpoint), _) => RuntimeConfig::Docker(docker(flags, endpoint.clone(), network)),
        (None, Some(endpoint)) if !is_dockers(&endpoint) => RuntimeConfig::Cri(CriConfig {
            endpoint,
            image_endpoint: flags.image_service_endpoint.clone().or(file.image_service_endpoint.clone()),
            request_timeout: flags.runtime_request_timeout,
            pod_logs: pod_logs(flags, file),
            log_max_size: flags.container_log_max_size,
            log_max_files: flags.container_log_max_files,
        }),
        // Upstream's own way to Docker had a socket of its own, beyond which Docker was.
        (None, given) => {
            let endpoint = given.filter(|endpoint| !endpoint.ends_with("/dockershim.sock"));
            RuntimeConfig::Docker(docker(flags, endpoint.unwrap_or(DEFAULT_ENDPOINT.to_owned()), network))
        }
    }
}

/// Docker speaks HTTP, and nobody else listens at a socket of its name.
fn is_dockers(endpoint: &str) -> bool {
    let sockets = ["/docker.sock", "/dockershim.sock"];
    sockets.iter().any(|socket| endpoint.ends_with(socket))
        || ["tcp://", "http://"].iter().any(|scheme| endpoint.starts_with(scheme))
}

fn docker(flags: &Flags, endpoint: String, network: NetworkPlugin) -> DockerConfig {
    let default = DockerConfig::default();
    DockerConfig {
        endpoint,
        sandbox_network: if network == NetworkPlugin::Docker { "bridge".to_owned() } else { default.sandbox_network },
        request_timeout: flags.runtime_request_timeout,
        pause_image: flags.pod_infra_container_image.clone().unwrap_or(default.pause_image),
        log_max_size: flags.container_log_max_size,
        log_max_files: flags.container_log_max_files,
    }
}

fn eviction(flags: &Flags, file: &KubeletConfiguration, mistakes: &mut Mistakes) -> eviction::Settings {
    let mut list = |flag: &str, text: &str, between: char| {
        mistakes.take(eviction::pairs(text, between).map_err(|why| format!("{flag}: {why}"))).unwrap_or_default()
    };
    let hard = flags.eviction_hard.as_deref().map(|text| list("--eviction-hard", text, '<'));
    let soft = list("--eviction-soft", &flags.eviction_soft, '<');
    let soft_grace = list("--eviction-soft-grace-period", &flags.eviction_soft_grace_period, '=');
    let transition = file.eviction_pressure_transition_period.as_deref().map(component::flags::duration);
    let transition = transition.and_then(|transition| mistakes.take(transition));
    let settings = eviction::Settings::new(&eviction::Given {
        hard: hard.or(file.eviction_hard.clone()),
        soft: if soft.is_empty() { file.eviction_soft.clone() } else { soft },
        soft_grace: if soft_grace.is_empty() { file.eviction_soft_grace_period.clone() } else { soft_grace },
        transition: flags.eviction_pressure_transition_period.or(transition),
        max_grace: flags.eviction_max_pod_grace_period.or(file.eviction_max_pod_grace_period),
    });
    settings.unwrap_or_else(|wrong| {
        mistakes.0.extend(wrong);
        eviction::Settings::default()
    })
}

fn unsafe_sysctls(flags: &Flags, file: &KubeletConfiguration, mistakes: &mut Mistakes) -> Vec<String> {
    let given = &flags.allowed_unsafe_sysctls;
    let patterns = if given.is_empty() { &file.allowed_unsafe_sysctls } else { given };
    for pattern in patterns {
        mistakes.take(sysctls::check_pattern(pattern));
    }
    patterns.clone()
}

fn pod_cidrs(flags: &Flags, file: &KubeletConfiguration, mistakes: &mut Mistakes) -> Vec<IpNet> {
    if !flags.pod_cidr.is_empty() {
        return flags.pod_cidr.clone();
    }
    let text = file.pod_cidr.as_deref().unwrap_or_default();
    let parse = |cidr: &str| cidr.trim().parse().map_err(|_| format!("podCIDR {cidr:?} is not a CIDR"));
    text.split(',').filter(|cidr| !cidr.is_empty()).filter_map(|cidr| mistakes.take(parse(cidr))).collect()
}

/// Others are told of it, so that it is a path from the root on.
fn local_volumes(flags: &Flags) -> Result<PathBuf, String> {
    let given = flags.local_volume_directory.clone().unwrap_or_else(|| flags.root_dir.join("local-volumes"));
    std::path::absolute(&given).map_err(|error| format!("--local-volume-directory {}: {error}", given.display()))
}

fn node(flags: &Flags, file: &KubeletConfiguration, mistakes: &mut Mistakes) -> NodeConfig {
    let hostname = nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok()).unwrap_or_default();
    let name = flags.hostname_override.clone().unwrap_or_else(|| hostname.clone()).trim().to_ascii_lowercase();
    if !is_subdomain(&name) {
        mistakes.0.push(format!(
            "node name {name:?} is not a DNS-1123 subdomain: it must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character"
        ));
    }
    let update = file.node_status_update_frequency.as_deref().map(component::flags::duration);
    let report = file.node_status_report_frequency.as_deref().map(component::flags::duration);
    let update = flags.node_status_update_frequency.or(update.and_then(|update| mistakes.take(update)));
    let report = flags.node_status_report_frequency.or(report.and_then(|report| mistakes.take(report)));
    NodeConfig {
        ips: if flags.node_ip.is_empty() { vec![own_address()] } else { flags.node_ip.clone() },
        register: flags.register_node.or(file.register_node).unwrap_or(true),
        labels: pairs(&flags.node_labels, "--node-labels", mistakes).into_iter().collect(),
        taints: flags.register_with_taints.iter().filter_map(|taint| mistakes.take(parse_taint(taint))).collect(),
        unschedulable: flags.register_schedulable == Some(false),
        provider_id: flags.provider_id.clone().or(file.provider_id.clone()),
        max_pods: flags.max_pods.or(file.max_pods).unwrap_or(MAX_PODS),
        reserved: reserved(flags, file, mistakes),
        status_update: update.unwrap_or(STATUS_UPDATE),
        status_report: report.unwrap_or(STATUS_REPORT),
        port: flags.port.or(file.port).unwrap_or(PORT),
        name,
        hostname,
    }
}

fn is_subdomain(name: &str) -> bool {
    let label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-')
    };
    name.len() <= 253 && name.split('.').all(label)
}

fn pairs(list: &[String], flag: &str, mistakes: &mut Mistakes) -> Vec<(String, String)> {
    let split = |pair: &String| {
        let parts = pair.split_once('=').map(|(key, value)| (key.to_owned(), value.to_owned()));
        parts.ok_or_else(|| format!("{flag}: {pair:?} is not key=value"))
    };
    list.iter().filter(|pair| !pair.is_empty()).filter_map(|pair| mistakes.take(split(pair))).collect()
}

/// `key=value:Effect` or `key:Effect`.
fn parse_taint(text: &str) -> Result<Taint, String> {
    let wrong = || format!("--register-with-taints: {text:?} is not key=value:effect");
    let (left, effect) = text.rsplit_once(':').ok_or_else(wrong)?;
    if !matches!(effect, "NoSchedule" | "PreferNoSchedule" | "NoExecute") {
        return Err(wrong());
    }
    let (key, value) = left.split_once('=').map_or((left, None), |(key, value)| (key, Some(value.to_owned())));
    Ok(Taint { key: key.to_owned(), value, effect: effect.to_owned(), ..Taint::default() })
}

fn reserved(flags: &Flags, file: &KubeletConfiguration, mistakes: &mut Mistakes) -> BTreeMap<String, Quantity> {
    let mut total: BTreeMap<String, Quantity> = BTreeMap::new();
    for (list, map, flag) in [
        (&flags.system_reserved, &file.system_reserved, "--system-reserved"),
        (&flags.kube_reserved, &file.kube_reserved, "--kube-reserved"),
    ] {
        let given = pairs(list, flag, mistakes);
        let amounts = if given.is_empty() { map.clone().into_iter().collect() } else { given };
        for (name, amount) in amounts {
            let parsed = amount.parse::<Quantity>().map_err(|error| format!("{flag}: {amount:?}: {error}"));
            if let Some(amount) = mistakes.take(parsed) {
                *total.entry(name).or_default() += amount;
            }
        }
    }
    total
}

/// The address that packets to elsewhere leave from; nothing is sent.
fn own_address() -> IpAddr {
    // TEST-NET-1: routed like any foreign address.
    let route = UdpSocket::bind("0.0.0.0:0").and_then(|socket| {
        socket.connect("192.0.2.1:9")?;
        socket.local_addr()
    });
    route.map_or_else(|_| any_interface(), |address| address.ip())
}

/// The first address that is not the loopback's.
fn any_interface() -> IpAddr {
    let addresses = nix::ifaddrs::getifaddrs().into_iter().flatten();
    let mut found = addresses.filter_map(|interface| {
        let address = interface.address?;
        address.as_sockaddr_in().map(nix::sys::socket::SockaddrIn::ip).filter(|ip| !ip.is_loopback())
    });
    found.next().unwrap_or(Ipv4Addr::LOCALHOST).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(words: &str) -> Result<Config, String> {
        let words = std::iter::once("kubelet").chain(words.split_whitespace()).map(Into::into);
        let flags = component::flags::parse(words, crate::flags::RETIRED).map_err(|error| error.to_string())?;
        Config::new(flags).map_err(|error| error.to_string())
    }

    #[test]
    fn old_walkthroughs_still_work() {
        let lines = [
            "--logtostderr=true --v=0 --address=0.0.0.0 --api-servers=http://m:8080 --register-node=true \
             --allow-privileged=true --cluster-dns=10.254.10.2 --cluster-domain=cluster.local --hostname-override=boba",
            "--address=0.0.0.0 --port=10250 --hostname_override=n --cluster-dns=1.1.1.1 --cluster-domain=c \
             --api_servers=m:8080 --network-plugin=cni --network-plugin-dir=/etc/cni/net.d",
            "--config=/etc/kubernetes/manifests --configure-cbr0=true --hostname-override=n --register-node=false",
            "--config=/etc/kubernetes/manifests --configure-cbr0=true --hostname-override=n --api-servers=http://m",
            "--allow-privileged=true --cni-conf-dir=/etc/cni/net.d --container-runtime=docker --root-dir=/data/kubelet \
             --container-runtime-endpoint=unix:///var/run/dockershim.sock --hostname-override=n --v=2 --logtostderr=true \
             --pod-infra-container-image=r/pause:3.1 --image-pull-progress-deadline=15m --volume-plugin-dir=/data/plugins",
        ];
        let networks = lines.map(|line| config(line).unwrap().network);
        let kubenet = NetworkPlugin::Kubenet;
        assert_eq!(networks, [NetworkPlugin::Docker, NetworkPlugin::Cni, kubenet, kubenet, kubenet]);
        let RuntimeConfig::Docker(docker) = config(lines[4]).unwrap().runtime else { panic!() };
        assert_eq!(docker.endpoint, DEFAULT_ENDPOINT);
        let config = config(lines[0]).unwrap();
        assert_eq!((config.node.name.as_str(), config.node.port), ("boba", 10250));
        assert_eq!(config.client.unwrap().master.as_deref(), Some("http://m:8080"));
    }

    #[test]
    fn the_endpoint_says_which_runtime_it_is() {
        let endpoint = |words: &str| match config(&format!("--hostname-override=n {words}"))?.runtime {
            RuntimeConfig::Docker(docker) => Ok::<_, String>(format!("docker at {}", docker.endpoint)),
            RuntimeConfig::Cri(cri) => Ok(format!("cri at {}", cri.endpoint)),
        };
        for (words, expected) in [
            ("", "docker at unix:///var/run/docker.sock"),
            ("--docker-endpoint=unix:///x.sock", "docker at unix:///x.sock"),
            ("--container-runtime-endpoint=unix:///n/docker.sock", "docker at unix:///n/docker.sock"),
            ("--container-runtime-endpoint=tcp://h:2375", "docker at tcp://h:2375"),
            (
                "--container-runtime-endpoint=unix:///run/containerd/containerd.sock --network-plugin=cni",
                "cri at unix:///run/containerd/containerd.sock",
            ),
            ("--container-runtime-endpoint=/run/crio/crio.sock", "cri at /run/crio/crio.sock"),
        ] {
            assert_eq!(endpoint(words).as_deref(), Ok(expected), "{words}");
        }
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("kubelet.yaml");
        std::fs::write(&file, "kind: KubeletConfiguration\ncontainerRuntimeEndpoint: unix:///run/c.sock\n").unwrap();
        assert_eq!(endpoint(&format!("--config={}", file.display())).as_deref(), Ok("cri at unix:///run/c.sock"));
        let misfit = "--network-plugin=docker --container-runtime-endpoint=/run/c.sock";
        assert!(endpoint(misfit).unwrap_err().contains("--network-plugin"));
    }

    #[test]
    fn config_is_a_file_or_a_directory() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("kubelet.yaml");
        std::fs::write(&file, "kind: KubeletConfiguration\nport: 1234\nmaxPods: 7\n").unwrap();
        let from_file = config(&format!("--hostname-override=n --config={}", file.display())).unwrap();
        assert_eq!((from_file.node.port, from_file.node.max_pods, from_file.manifests), (1234, 7, None));
        let from_directory = config(&format!("--hostname-override=n --config={}", directory.path().display())).unwrap();
        assert_eq!(from_directory.manifests.as_deref(), Some(directory.path()));
        let over = config(&format!("--hostname-override=n --port=5 --config={}", file.display())).unwrap();
        assert_eq!(over.node.port, 5);
    }

    #[test]
    fn every_mistake_is_told() {
        let error = config(
            "--hostname-override=No_de --network-plugin=x --node-labels=a --register-with-taints=b --kube-reserved=cpu=x",
        )
        .unwrap_err();
        for words in ["no_de", "--network-plugin", "--node-labels", "--register-with-taints", "--kube-reserved"] {
            assert!(error.contains(words), "{words}: {error}");
        }
    }
}
