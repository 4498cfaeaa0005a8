//! Flags and the configuration file, made into one configuration; all mistakes are reported at once.

use std::fmt::{self, Display};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use component::flags::ClientFlags;
use ipnet::IpNet;
use iptables::Mark;

use crate::file::ConfigFile;
use crate::flags::Flags;
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
    /// What the rules depend on. Node port addresses are still unresolved: see `node_port_networks`.
    pub settings: Settings,
    /// Node ports answer on this node's addresses in these networks; empty means on all.
    pub node_port_networks: Vec<IpNet>,
    /// When the rules are written.
    pub pace: Pace,
    /// Where health is served.
    pub healthz: Option<SocketAddr>,
    /// Where metrics are served.
    pub metrics: Option<SocketAddr>,
    /// Settings of connection tracking.
    pub conntrack: ConntrackLimits,
    /// What to tell the user about the configuration.
    pub warnings: Vec<String>,
}

/// When the rules are written.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// How often all rules are compared with the kernel's.
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
        let node_port_networks = reader.list("nodeport-addresses", &networks.unwrap_or_default().join(","));
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
            node_port_networks,
            pace: Pace {
                verify: file.iptables.sync_period.or(flags.iptables_sync_period).unwrap_or(SYNC_PERIOD),
                minimum: file.iptables.min_sync_period.or(flags.iptables_min_sync_period),
            },
            healthz: reader.address("healthz-bind-address", &healthz, HEALTHZ),
            metrics: reader.address("metrics-bind-address", &metrics.unwrap_or_else(|| METRICS.into()), METRICS),
            conntrack: conntrack(flags, file),
            warnings: warnings(flags, file),
        };
        if config.pace.verify.is_zero() {
            reader.mistakes.push("iptables-sync-period: must be greater than 0".into());
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
    let bit = file.iptables.masquerade_bit.or(flags.iptables_masquerade_bit).unwrap_or(DEFAULT_MASQUERADE_BIT);
    if bit > 31 {
        reader.mistakes.push(format!("iptables-masquerade-bit: {bit}: must be within 0 and 31"));
    }
    let all = file.iptables.masquerade_all.or(flags.masquerade_all).unwrap_or(false);
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
    }
}

fn pod_traffic(flags: &Flags, file: &ConfigFile, reader: &mut Reader) -> PodTraffic {
    let either = |file: &str, flag: &Option<String>| given(file).or_else(|| flag.clone()).unwrap_or_default();
    let cidrs: Vec<IpNet> = reader.list("cluster-cidr", &either(&file.cluster_cidr, &flags.cluster_cidr));
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
        "BridgeInterface" => required("pod-bridge-interface", bridge, PodTraffic::Bridge),
        "InterfaceNamePrefix" => required("pod-interface-name-prefix", prefix, PodTraffic::InterfacePrefix),
        other => {
            reader.mistakes.push(format!(
                "detect-local-mode: {other:?}: not one of ClusterCIDR, BridgeInterface, InterfaceNamePrefix"
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
        liberal: given.tcp_be_liberal.or(flags.conntrack_tcp_be_liberal).unwrap_or(false),
    }
}

fn warnings(flags: &Flags, file: &ConfigFile) -> Vec<String> {
    let mode = given(&file.mode).or_else(|| flags.proxy_mode.clone()).unwrap_or_default();
    match mode.as_str() {
        "" | "iptables" => Vec::new(),
        other => vec![format!("proxy mode {other:?} is not supported: iptables is used")],
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
                     --detect-local-mode=BridgeInterface --metrics-bind-address=x";
        let Mistakes(mistakes) = config(flags, "{}").unwrap_err();
        assert_eq!(mistakes.len(), 5, "{mistakes:#?}");
    }
}
