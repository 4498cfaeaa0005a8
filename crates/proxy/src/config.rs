//! Flags and the configuration file, made into one configuration; all mistakes are reported at once.

use std::fmt::{self, Display};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use component::flags::ClientFlags;
use component::profiling::Profiling;
use ipnet::IpNet;
use iptables::Mark;

use crate::file::ConfigFile;
use crate::flags::Flags;
use crate::mode::ProxyMode;
use crate::settings::{
    DEFAULT_MASQUERADE_BIT, InvalidPackets, LocalhostNodePorts, Masquerade, NodePortAddresses, PodTraffic, Settings,
};

/// `--iptables-sync-period`'s default, as upstream's.
const SYNC_PERIOD: Duration = Duration::from_secs(30);
/// `--healthz-bind-address`'s default, as upstream's.
const HEALTHZ: &str = "0.0.0.0:10256";
/// `--metrics-bind-address`'s default, as upstream's.
const METRICS: &str = "127.0.0.1:10249";

/// The configuration of a kube-proxy.
#[derive(Clone, Debug)]
pub struct Config {
    /// How to reach the API server.
    pub client: ClientFlags,
    /// This node's name.
    pub node: String,
    /// What the rules depend on. Node port addresses are still unresolved: see `node_ports`.
    pub settings: Settings,
    /// On which of this node's addresses node ports answer; empty means on all.
    pub node_ports: Vec<NodePortPlace>,
    /// The mode that is asked for.
    pub mode: Option<ProxyMode>,
    /// When the rules are written.
    pub pace: Pace,
    /// Where health is served.
    pub healthz: Option<SocketAddr>,
    /// Where metrics are served.
    pub metrics: Option<SocketAddr>,
    /// Whether profiles are made there.
    pub profiling: Profiling,
    /// Settings of connection tracking.
    pub conntrack: ConntrackLimits,
    /// What to tell the user about the configuration.
    pub warnings: Vec<String>,
}

/// Addresses of this node on which node ports answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodePortPlace {
    /// `primary`: the node's own, one a family, as the API server knows them.
    Primary,
    /// Those in this network.
    Within(IpNet),
}

impl NodePortPlace {
    /// The networks that are meant.
    #[must_use]
    pub fn networks(self, primary: &[IpAddr]) -> Vec<IpNet> {
        match self {
            NodePortPlace::Primary => primary.iter().copied().map(IpNet::from).collect(),
            NodePortPlace::Within(net) => vec![net],
        }
    }
}

/// When the rules are written.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// How often the rules are looked after.
    pub verify: Duration,
    /// The shortest time between two changes; `None` adapts it to how long a change takes.
    pub minimum: Option<Duration>,
}

/// Limits of connection tracking; `None` leaves the kernel's.
#[derive(Clone, Copy, Debug)]
pub struct ConntrackLimits {
    /// Connections to track at least, per processor.
    pub per_core: u32,
    /// Connections to track at least.
    pub least: u32,
    /// `nf_conntrack_tcp_timeout_established`
    pub established: Duration,
    /// `nf_conntrack_tcp_timeout_close_wait`
    pub close_wait: Duration,
    /// `nf_conntrack_udp_timeout`
    pub udp: Duration,
    /// `nf_conntrack_udp_timeout_stream`
    pub udp_stream: Duration,
    /// `nf_conntrack_tcp_be_liberal`
    pub liberal: bool,
}

/// Every mistake in flags and file.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub struct Mistakes(pub Vec<String>);

impl Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("; "))
    }
}

/// Collects mistakes while values are read.
#[derive(Default)]
struct Reader {
    mistakes: Vec<String>,
}

impl Reader {
    fn value<T: FromStr>(&mut self, name: &str, text: &str) -> Option<T>
    where
        T::Err: Display,
    {
        text.trim().parse().map_err(|e| self.mistakes.push(format!("{name}: {text:?}: {e}"))).ok()
    }

    fn list<T: FromStr>(&mut self, name: &str, text: &str) -> Vec<T>
    where
        T::Err: Display,
    {
        text.split(',').filter(|part| !part.trim().is_empty()).filter_map(|part| self.value(name, part)).collect()
    }

    /// `IP:PORT`, or only an IP, or empty for nowhere.
    fn address(&mut self, name: &str, text: &str, default: &str) -> Option<SocketAddr> {
        let port = default.rsplit(':').next().and_then(|port| port.parse().ok()).unwrap_or(0);
        match text {
            "" => None,
            text => match text.parse::<IpAddr>() {
                Ok(ip) => Some(SocketAddr::new(ip, port)),
                Err(_) => self.value(name, text),
            },
        }
    }
}

fn given(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

impl Config {
    /// Combines flags and file. `host` is this host's name.
    ///
    /// # Errors
    /// All mistakes at once.
    pub fn new(flags: &Flags, file: &ConfigFile, host: &str) -> Result<Self, Mistakes> {
        let mut reader = Reader::default();
        let settings = settings(flags, file, &mut reader);
        let networks = file.node_port_addresses.clone().or_else(|| flags.node_port_addresses.clone());
        let node_ports = node_ports(&networks.unwrap_or_default(), &mut reader);
        let mut warnings = Vec::new();
        let mode = mode(flags, file, &mut reader, &mut warnings);
        let sections = [file.iptables.sync_period, file.nftables.sync_period];
        let rests = [file.iptables.min_sync_period, file.nftables.min_sync_period];
        let of_mode = |[iptables, nftables]: [Option<Duration>; 2]| match mode {
            Some(ProxyMode::Iptables) => iptables,
            Some(ProxyMode::Nftables) => nftables,
            None => nftables.or(iptables),
        };
        let node =
            given(&flags.hostname_override.clone().unwrap_or_default()).or_else(|| given(&file.hostname_override));
        let bind = |own: &Option<String>, flag: &Option<String>, default: &str| {
            own.clone().or_else(|| flag.clone()).unwrap_or_else(|| bind_default(flags, file, default))
        };
        let healthz = bind(&file.healthz_bind_address, &flags.healthz_bind_address, HEALTHZ);
        let metrics = file.metrics_bind_address.clone().or_else(|| flags.metrics_bind_address.clone());
        let config = Self {
            client: client(flags, file),
            node: node.unwrap_or_else(|| host.to_owned()).trim().to_lowercase(),
            settings,
            node_ports,
            mode,
            pace: Pace {
                verify: of_mode(sections).or(flags.iptables_sync_period).unwrap_or(SYNC_PERIOD),
                minimum: of_mode(rests).or(flags.iptables_min_sync_period),
            },
            healthz: reader.address("healthz-bind-address", &healthz, HEALTHZ),
            profiling: match file.enable_profiling.or(flags.profiling) {
                Some(true) => Profiling::Served,
                Some(false) | None => Profiling::Absent,
            },
            metrics: reader.address("metrics-bind-address", &metrics.unwrap_or_else(|| METRICS.into()), METRICS),
            conntrack: conntrack(flags, file),
            warnings,
        };
        if config.pace.verify.is_zero() {
            reader.mistakes.push("iptables-sync-period: must be greater than 0".into());
        }
        if config.pace.minimum.is_some_and(|minimum| minimum > config.pace.verify) {
            reader.mistakes.push("iptables-sync-period: must not be less than iptables-min-sync-period".into());
        }
        if !file.bind_address.is_empty() {
            reader.value::<IpAddr>("bindAddress", &file.bind_address);
        }
        if reader.mistakes.is_empty() { Ok(config) } else { Err(Mistakes(reader.mistakes)) }
    }
}

/// The health server listens on every address, or on the one that `--bind-address` names.
fn bind_default(flags: &Flags, file: &ConfigFile, default: &str) -> String {
    let bind = file.bind_address.parse().ok().or(flags.bind_address).filter(|ip: &IpAddr| !ip.is_unspecified());
    bind.map_or_else(|| default.to_owned(), |ip| ip.to_string())
}

fn client(flags: &Flags, file: &ConfigFile) -> ClientFlags {
    let mut client = flags.client.clone();
    if !file.client_connection.kubeconfig.as_os_str().is_empty() {
        client.kubeconfig = Some(PathBuf::from(&file.client_connection.kubeconfig));
    }
    client
}

fn settings(flags: &Flags, file: &ConfigFile, reader: &mut Reader) -> Settings {
    let bit = file.iptables.masquerade_bit.or(file.nftables.masquerade_bit);
    let bit = bit.or(flags.iptables_masquerade_bit).unwrap_or(DEFAULT_MASQUERADE_BIT);
    if bit > 31 {
        reader.mistakes.push(format!("iptables-masquerade-bit: {bit}: must be within 0 and 31"));
    }
    let all = file.iptables.masquerade_all.or(file.nftables.masquerade_all);
    let all = all.or(flags.masquerade_all).unwrap_or(false);
    let ranges = flags.service_cluster_ip_range.clone().unwrap_or_default();
    let localhost = file.iptables.localhost_node_ports.or(flags.iptables_localhost_node_ports).unwrap_or(true);
    let liberal = file.conntrack.tcp_be_liberal.or(flags.conntrack_tcp_be_liberal).unwrap_or(false);
    Settings {
        mark: Mark::bits(1 << bit.min(31)),
        masquerade: if all { Masquerade::All } else { Masquerade::OffCluster },
        pods: pod_traffic(flags, file, reader),
        node_ports: NodePortAddresses::All,
        localhost: if localhost { LocalhostNodePorts::Answered } else { LocalhostNodePorts::Refused },
        invalid: if liberal { InvalidPackets::Ignored } else { InvalidPackets::Dropped },
        node_addresses: Vec::new(),
        service_ranges: reader.list("service-cluster-ip-range", &ranges),
    }
}

/// The keywords may stand among networks.
fn node_ports(texts: &[String], reader: &mut Reader) -> Vec<NodePortPlace> {
    let mut places = Vec::new();
    for text in texts.iter().flat_map(|text| text.split(',')).map(str::trim).filter(|text| !text.is_empty()) {
        let networks = match text {
            "primary" => {
                places.push(NodePortPlace::Primary);
                continue;
            }
            "localhost" => "127.0.0.0/8,::1/128",
            "all" => "0.0.0.0/0,::/0",
            network => network,
        };
        places.extend(reader.list("nodeport-addresses", networks).into_iter().map(NodePortPlace::Within));
    }
    places
}

fn pod_traffic(flags: &Flags, file: &ConfigFile, reader: &mut Reader) -> PodTraffic {
    let either = |file: &str, flag: &Option<String>| given(file).or_else(|| flag.clone()).unwrap_or_default();
    let cidrs: Vec<IpNet> = reader.list("cluster-cidr", &either(&file.cluster_cidr, &flags.cluster_cidr));
    for v4 in [true, false] {
        if cidrs.iter().filter(|net| net.addr().is_ipv4() == v4).count() > 1 {
            reader.mistakes.push("cluster-cidr: at most one network of each family".into());
        }
    }
    let bridge = either(&file.detect_local.bridge_interface, &flags.pod_bridge_interface);
    let prefix = either(&file.detect_local.interface_name_prefix, &flags.pod_interface_name_prefix);
    let mut required = |name: &str, value: String, make: fn(String) -> PodTraffic| {
        if value.is_empty() {
            reader.mistakes.push(format!("detect-local-mode: {name} must be set"));
        }
        make(value)
    };
    match either(&file.detect_local_mode, &flags.detect_local_mode).as_str() {
        "" | "ClusterCIDR" if cidrs.is_empty() => PodTraffic::Unknown,
        "" | "ClusterCIDR" => PodTraffic::Cidrs(cidrs),
        "NodeCIDR" => PodTraffic::NodeCidrs,
        "BridgeInterface" => required("pod-bridge-interface", bridge, PodTraffic::Bridge),
        "InterfaceNamePrefix" => required("pod-interface-name-prefix", prefix, PodTraffic::InterfacePrefix),
        other => {
            reader.mistakes.push(format!(
                "detect-local-mode: {other:?}: not one of ClusterCIDR, NodeCIDR, BridgeInterface, InterfaceNamePrefix"
            ));
            PodTraffic::Unknown
        }
    }
}

/// Upstream's defaults where nothing is given.
fn conntrack(flags: &Flags, file: &ConfigFile) -> ConntrackLimits {
    let given = &file.conntrack;
    let day = Duration::from_secs(86_400);
    let hour = Duration::from_secs(3_600);
    ConntrackLimits {
        per_core: given.max_per_core.or(flags.conntrack_max_per_core).unwrap_or(32_768),
        least: given.min.or(flags.conntrack_min).unwrap_or(131_072),
        established: given.tcp_established_timeout.or(flags.conntrack_tcp_timeout_established).unwrap_or(day),
        close_wait: given.tcp_close_wait_timeout.or(flags.conntrack_tcp_timeout_close_wait).unwrap_or(hour),
        udp: given.udp_timeout.or(flags.conntrack_udp_timeout).unwrap_or_default(),
        udp_stream: given.udp_stream_timeout.or(flags.conntrack_udp_timeout_stream).unwrap_or_default(),
        liberal: given.tcp_be_liberal.or(flags.conntrack_tcp_be_liberal).unwrap_or(false),
    }
}

fn mode(flags: &Flags, file: &ConfigFile, reader: &mut Reader, warnings: &mut Vec<String>) -> Option<ProxyMode> {
    let mode = given(&file.mode).or_else(|| flags.proxy_mode.clone()).unwrap_or_default();
    match mode.as_str() {
        "" => {}
        "iptables" => return Some(ProxyMode::Iptables),
        "nftables" => return Some(ProxyMode::Nftables),
        old @ ("ipvs" | "userspace") => {
            warnings.push(format!("there is no proxy mode {old:?} here: another is chosen"));
        }
        other => reader.mistakes.push(format!("proxy-mode: {other:?}: not one of nftables, iptables")),
    }
    None
}

impl Config {
    /// What `/configz` tells, in the words of a configuration file.
    #[must_use]
    pub fn told(&self, mode: ProxyMode) -> serde_json::Value {
        let seconds = |duration: Duration| format!("{}s", duration.as_secs_f64());
        let address = |address: Option<SocketAddr>| address.map(|address| address.to_string()).unwrap_or_default();
        let settings = &self.settings;
        let (detect, cidrs, bridge, prefix) = match &settings.pods {
            PodTraffic::Unknown => ("ClusterCIDR", Vec::new(), "", ""),
            PodTraffic::NodeCidrs => ("NodeCIDR", Vec::new(), "", ""),
            PodTraffic::Cidrs(nets) => ("ClusterCIDR", nets.iter().map(ToString::to_string).collect(), "", ""),
            PodTraffic::Bridge(name) => ("BridgeInterface", Vec::new(), name.as_str(), ""),
            PodTraffic::InterfacePrefix(prefix) => ("InterfaceNamePrefix", Vec::new(), "", prefix.as_str()),
        };
        let places = self.node_ports.iter().map(|place| match place {
            NodePortPlace::Primary => "primary".to_owned(),
            NodePortPlace::Within(net) => net.to_string(),
        });
        let rules = serde_json::json!({
            "masqueradeBit": settings.mark.value.trailing_zeros(),
            "masqueradeAll": settings.masquerade == Masquerade::All,
            "localhostNodePorts": settings.localhost == LocalhostNodePorts::Answered,
            "syncPeriod": seconds(self.pace.verify),
            "minSyncPeriod": seconds(self.pace.minimum.unwrap_or_default()),
        });
        serde_json::json!({
            "mode": mode.name(),
            "hostnameOverride": self.node,
            "healthzBindAddress": address(self.healthz),
            "metricsBindAddress": address(self.metrics),
            "enableProfiling": self.profiling == Profiling::Served,
            "clusterCIDR": cidrs.join(","),
            "detectLocalMode": detect,
            "detectLocal": {"bridgeInterface": bridge, "interfaceNamePrefix": prefix},
            "nodePortAddresses": places.collect::<Vec<_>>(),
            "iptables": rules,
            "nftables": rules,
            "conntrack": {
                "maxPerCore": self.conntrack.per_core,
                "min": self.conntrack.least,
                "tcpEstablishedTimeout": seconds(self.conntrack.established),
                "tcpCloseWaitTimeout": seconds(self.conntrack.close_wait),
                "udpTimeout": seconds(self.conntrack.udp),
                "udpStreamTimeout": seconds(self.conntrack.udp_stream),
                "tcpBeLiberal": self.conntrack.liberal,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(words: &str, yaml: &str) -> Result<Config, Mistakes> {
        let args = std::iter::once("kube-proxy").chain(words.split_whitespace()).map(Into::into);
        let flags: Flags = component::flags::parse(args, crate::flags::RETIRED).unwrap();
        let file = serde_json::from_value(api_types::yaml::from_str(yaml).unwrap()).unwrap();
        Config::new(&flags, &file, "Host.Example")
    }

    #[test]
    fn defaults_are_upstreams() {
        let config = config("--logtostderr=true --v=0 --master=http://m:8080", "{}").unwrap();
        assert_eq!(config.node, "host.example");
        assert_eq!(config.settings, Settings::default());
        assert_eq!(config.healthz, Some("0.0.0.0:10256".parse().unwrap()));
        assert_eq!(config.metrics, Some("127.0.0.1:10249".parse().unwrap()));
    }

    #[test]
    fn the_file_counts_more_than_flags() {
        let yaml =
            "{clusterCIDR: 10.10.0.0/16, healthzBindAddress: '', iptables: {masqueradeAll: true, syncPeriod: 1m0s}}";
        let config = config("--cluster-cidr 10.1.0.0/16 --masquerade_all=false --proxy-mode=ipvs", yaml).unwrap();
        assert_eq!(config.settings.pods, PodTraffic::Cidrs(vec!["10.10.0.0/16".parse().unwrap()]));
        assert_eq!(config.settings.masquerade, Masquerade::All);
        assert_eq!(config.pace.verify.as_secs(), 60);
        assert_eq!(config.healthz, None);
        assert_eq!(config.warnings.len(), 1);
    }

    #[test]
    fn all_mistakes_are_reported_at_once() {
        let flags = "--cluster-cidr=ten --nodeport-addresses=1.2.3.4/40 --iptables-masquerade-bit=40 \
                     --detect-local-mode=BridgeInterface --metrics-bind-address=x --proxy-mode=magic";
        let Mistakes(mistakes) = config(flags, "{}").unwrap_err();
        assert_eq!(mistakes.len(), 6, "{mistakes:#?}");
        let yaml = "{bindAddress: nowhere, clusterCIDR: '10.1.0.0/16,10.2.0.0/16,fd00::/64', \
                    iptables: {syncPeriod: 1s, minSyncPeriod: 2s}, mode: iptables}";
        let Mistakes(mistakes) = config("", yaml).unwrap_err();
        assert_eq!(mistakes.len(), 3, "{mistakes:#?}");
    }

    #[test]
    fn each_mode_has_its_own_pace() {
        let yaml = "{nftables: {syncPeriod: 7s}, iptables: {syncPeriod: 9s}}";
        for (flag, expected) in [("", 7), ("--proxy-mode=nftables", 7), ("--proxy-mode=iptables", 9)] {
            assert_eq!(config(flag, yaml).unwrap().pace.verify.as_secs(), expected, "{flag}");
        }
    }

    #[test]
    fn node_ports_may_be_named_by_keywords() {
        let places = config("--nodeport-addresses=primary,10.0.0.0/8,localhost", "{}").unwrap().node_ports;
        let networks: Vec<_> = places.iter().flat_map(|place| place.networks(&["10.1.1.1".parse().unwrap()])).collect();
        let networks: Vec<_> = networks.iter().map(ToString::to_string).collect();
        assert_eq!(networks, ["10.1.1.1/32", "10.0.0.0/8", "127.0.0.0/8", "::1/128"]);
    }

    #[test]
    fn the_configuration_is_told() {
        let told = config("--cluster-cidr 10.1.0.0/16,fd00::/64", "{}").unwrap().told(ProxyMode::Nftables);
        let (mode, bit) = (&told["mode"], &told["nftables"]["masqueradeBit"]);
        assert_eq!((mode, &told["clusterCIDR"]), (&"nftables".into(), &"10.1.0.0/16,fd00::/64".into()));
        assert_eq!(bit, 14);
    }
}
