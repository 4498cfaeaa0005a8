//! The network's configuration: one JSON document for all nodes.

use std::net::Ipv4Addr;
use std::ops::RangeInclusive;

use ipnet::Ipv4Net;
use serde::Deserialize;
use serde_json::{Map, Value};

/// Why a configuration is of no use.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("the network's configuration: {0}")]
pub struct InvalidConfig(String);

/// The network, and how its nodes reach each other.
#[derive(Clone, Debug, PartialEq)]
pub struct NetworkConfig {
    /// Of which every node's subnet is a part.
    pub network: Ipv4Net,
    /// Prefix length of a node's subnet.
    pub subnet_len: u8,
    /// The first subnet that a node may have.
    pub subnet_min: Ipv4Addr,
    /// The last.
    pub subnet_max: Ipv4Addr,
    /// The addresses that pods may have: the whole network, unless the configuration narrows it. Nodes have none of these.
    pub pods: RangeInclusive<Ipv4Addr>,
    /// How nodes reach each other.
    pub backend: BackendConfig,
}

/// How nodes reach each other.
#[derive(Clone, Debug, PartialEq)]
pub enum BackendConfig {
    /// Routes by way of the other node.
    HostGw,
    /// The kernel's tunnel.
    Vxlan(VxlanConfig),
    /// A tunnel of our own.
    Udp {
        /// UDP port of every node.
        port: u16,
    },
}

impl BackendConfig {
    /// The name in leases.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            BackendConfig::HostGw => "host-gw",
            BackendConfig::Vxlan(_) => "vxlan",
            BackendConfig::Udp { .. } => "udp",
        }
    }
}

/// Settings of the kernel's tunnel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VxlanConfig {
    /// The network's number in the tunnel.
    pub vni: u32,
    /// UDP port of every node.
    pub port: u16,
    /// Whether the kernel learns where hardware addresses are from what it receives.
    pub learning: bool,
    /// Whether nodes of one link reach each other without the tunnel.
    pub direct_routing: bool,
    /// Of the tunnel's device; 0 is what fits, and no more than that is possible.
    pub mtu: u32,
    /// What hardware addresses begin with.
    pub mac_prefix: [u8; 2],
}

/// The tunnel's port, which is Linux' own default and not IANA's 4789, as upstream.
const VXLAN_PORT: u16 = 8472;
/// As upstream.
const UDP_PORT: u16 = 8285;
/// As upstream's `0E-2A`.
const MAC_PREFIX: [u8; 2] = [0x0e, 0x2a];

/// What is absent or null has Go's zero value.
#[derive(Default, Deserialize)]
#[serde(rename_all = "lowercase", default)]
struct Document {
    #[serde(rename = "enableipv4")]
    enable_ipv4: Option<bool>,
    #[serde(rename = "enableipv6")]
    enable_ipv6: Option<bool>,
    network: Option<String>,
    #[serde(rename = "subnetlen")]
    subnet_len: Option<u8>,
    #[serde(rename = "subnetmin")]
    subnet_min: Option<Ipv4Addr>,
    #[serde(rename = "subnetmax")]
    subnet_max: Option<Ipv4Addr>,
    backend: Value,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "lowercase", default)]
struct Backend {
    #[serde(rename = "type")]
    kind: Option<String>,
    vni: Option<u32>,
    port: Option<u16>,
    learning: Option<bool>,
    #[serde(rename = "directrouting")]
    direct_routing: Option<bool>,
    mtu: Option<u32>,
    #[serde(rename = "macprefix")]
    mac_prefix: Option<String>,
}

impl NetworkConfig {
    /// Reads a configuration. As for Go's decoder, case does not matter in names, and unknown ones are passed over.
    ///
    /// # Errors
    /// When it is no JSON, makes no sense, or asks for what there is not.
    pub fn parse(text: &str) -> Result<Self, InvalidConfig> {
        let value: Value = serde_json::from_str(text).map_err(|error| InvalidConfig(error.to_string()))?;
        let document: Document =
            serde_json::from_value(lower_case(value)).map_err(|error| InvalidConfig(error.to_string()))?;
        if document.enable_ipv6 == Some(true) || document.enable_ipv4 == Some(false) {
            return Err(InvalidConfig("EnableIPv6: only IPv4 networks are supported".to_owned()));
        }
        let network = network(document.network.as_deref().unwrap_or_default())?;
        let subnet_len = subnet_len(network, document.subnet_len.unwrap_or(0))?;
        let (subnet_min, subnet_max) = bounds(network, subnet_len, &document)?;
        let first = document.subnet_min.map_or(network.network(), |_| subnet_min);
        let last = Ipv4Net::new_assert(subnet_max, subnet_len).broadcast();
        let backend = backend(document.backend)?;
        Ok(Self { network, subnet_len, subnet_min, subnet_max, pods: first..=last, backend })
    }

    /// How many subnets there are that nodes may have.
    #[must_use]
    pub fn count(&self) -> u32 {
        ((u32::from(self.subnet_max) - u32::from(self.subnet_min)) >> (32 - self.subnet_len)) + 1
    }

    /// The subnets that nodes may have, from the one of this number on, and then those before it.
    pub fn subnets(&self, from: u32) -> impl Iterator<Item = Ipv4Net> + use<> {
        let (first, length, count) = (u32::from(self.subnet_min), self.subnet_len, self.count());
        let subnet = move |number: u32| Ipv4Net::new_assert((first + (number << (32 - length))).into(), length);
        (from.min(count)..count).chain(0..from.min(count)).map(subnet)
    }

    /// Whether a node may have this subnet.
    #[must_use]
    pub fn admits(&self, subnet: Ipv4Net) -> bool {
        subnet.prefix_len() == self.subnet_len
            && subnet.trunc() == subnet
            && (self.subnet_min..=self.subnet_max).contains(&subnet.network())
    }
}

/// A network whose addresses pods can have.
fn network(text: &str) -> Result<Ipv4Net, InvalidConfig> {
    let network: Ipv4Net =
        text.parse().map_err(|_| InvalidConfig(format!("Network: {text:?} is not an IPv4 network")))?;
    let network = network.trunc();
    // "This" network, loopback, multicast and what is reserved (RFC 6890); whatever holds one of them, too.
    for other in
        [[0, 8], [127, 8], [224, 3]].map(|[first, length]| Ipv4Net::new_assert([first, 0, 0, 0].into(), length))
    {
        if network.contains(&other) || other.contains(&network) {
            return Err(InvalidConfig(format!("Network: {network} is, or holds, {other}, which no pod can be in")));
        }
    }
    Ok(network)
}

/// Upstream's rule: at least four subnets; 24 bits where there is room, else two more than the network's.
fn subnet_len(network: Ipv4Net, asked: u8) -> Result<u8, InvalidConfig> {
    let own = network.prefix_len();
    match asked {
        0 if own > 28 => Err(InvalidConfig("network is too small. Minimum useful network prefix is /28".to_owned())),
        0 if own <= 22 => Ok(24),
        0 => Ok(own + 2),
        asked if asked < own + 2 => {
            Err(InvalidConfig("network must be able to accommodate at least four subnets".to_owned()))
        }
        // A subnet needs an address for the node's bridge and one for a pod.
        asked if asked > 30 => Err(InvalidConfig(format!("SubnetLen: {asked} is too long"))),
        asked => Ok(asked),
    }
}

fn bounds(network: Ipv4Net, length: u8, document: &Document) -> Result<(Ipv4Addr, Ipv4Addr), InvalidConfig> {
    let size = 1_u32 << (32 - length);
    let first = u32::from(network.network());
    let last = u32::from(network.broadcast()) - (size - 1);
    // The first subnet is left out, as upstream: its first address is the network's own.
    let minimum = document.subnet_min.map_or(first + size, u32::from);
    let maximum = document.subnet_max.map_or(last, u32::from);
    for (name, ip) in [("SubnetMin", minimum), ("SubnetMax", maximum)] {
        if !(first..=last).contains(&ip) {
            return Err(InvalidConfig(format!("{name}: {} is not in the network", Ipv4Addr::from(ip))));
        }
        if ip % size != 0 {
            return Err(InvalidConfig(format!("{name}: {} is not on a SubnetLen boundary", Ipv4Addr::from(ip))));
        }
    }
    if minimum > maximum {
        return Err(InvalidConfig("SubnetMin is after SubnetMax".to_owned()));
    }
    Ok((minimum.into(), maximum.into()))
}

fn backend(value: Value) -> Result<BackendConfig, InvalidConfig> {
    let value = if value.is_null() { Value::Object(Map::new()) } else { value };
    let backend: Backend = serde_json::from_value(value).map_err(|error| InvalidConfig(format!("Backend: {error}")))?;
    let flag = |value: Option<bool>| value.unwrap_or(false);
    match backend.kind.as_deref().unwrap_or_default() {
        "" | "udp" => match backend.port.unwrap_or(UDP_PORT) {
            0 => Err(InvalidConfig("Backend: Port 0 is no port on which others could find a node".to_owned())),
            port => Ok(BackendConfig::Udp { port }),
        },
        "host-gw" => Ok(BackendConfig::HostGw),
        "vxlan" => {
            let vni = backend.vni.unwrap_or(1);
            if vni >= 1 << 24 {
                return Err(InvalidConfig(format!("Backend: VNI {vni} has more than 24 bits")));
            }
            Ok(BackendConfig::Vxlan(VxlanConfig {
                vni,
                // 0 is the kernel's default.
                port: backend.port.filter(|port| *port != 0).unwrap_or(VXLAN_PORT),
                learning: flag(backend.learning),
                direct_routing: flag(backend.direct_routing),
                mtu: mtu(backend.mtu.unwrap_or(0))?,
                mac_prefix: mac_prefix(backend.mac_prefix.as_deref().unwrap_or_default())?,
            }))
        }
        other => Err(InvalidConfig(format!("Backend: there is no {other:?}; there are host-gw, udp and vxlan"))),
    }
}

/// Every link of IPv4 carries 68 bytes (RFC 791); 0 is what fits.
fn mtu(asked: u32) -> Result<u32, InvalidConfig> {
    match asked {
        0 | 68.. => Ok(asked),
        _ => Err(InvalidConfig(format!("Backend: MTU {asked} is too small"))),
    }
}

/// `XX-XX` or `XX:XX`
fn mac_prefix(text: &str) -> Result<[u8; 2], InvalidConfig> {
    if text.is_empty() {
        return Ok(MAC_PREFIX);
    }
    let bytes: Option<Vec<u8>> = text.split(['-', ':']).map(|part| u8::from_str_radix(part, 16).ok()).collect();
    match bytes.as_deref() {
        Some([first, second]) if first & 1 == 0 => Ok([*first, *second]),
        _ => Err(InvalidConfig(format!("Backend: MacPrefix {text:?} is not XX-XX"))),
    }
}

/// Names in lower case, in the document and in `Backend`.
fn lower_case(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            map.into_iter().map(|(key, value)| (key.to_ascii_lowercase(), lower_case(value))).collect()
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_walkthroughs_configuration() {
        let config = NetworkConfig::parse(r#"{"Network":"10.0.0.0/16"}"#).unwrap();
        assert_eq!((config.subnet_len, config.backend.clone()), (24, BackendConfig::Udp { port: 8285 }));
        assert_eq!(
            (config.subnet_min.to_string(), config.subnet_max.to_string()),
            ("10.0.1.0".into(), "10.0.255.0".into())
        );
        assert_eq!((config.subnets(0).count(), config.count()), (255, 255));
        assert_eq!(config.pods, "10.0.0.0".parse().unwrap()..="10.0.255.255".parse().unwrap());
    }

    #[test]
    fn subnets_are_counted_from_any() {
        let config =
            NetworkConfig::parse(r#"{"Network":"10.0.0.0/24", "SubnetLen": 26, "SubnetMin": "10.0.0.64"}"#).unwrap();
        let from = |number| config.subnets(number).map(|subnet| subnet.network().octets()[3]).collect::<Vec<_>>();
        assert_eq!((from(0), from(2), from(9)), (vec![64, 128, 192], vec![192, 64, 128], vec![64, 128, 192]));
        assert_eq!(config.pods, "10.0.0.64".parse().unwrap()..="10.0.0.255".parse().unwrap());
    }

    #[test]
    fn null_is_as_good_as_absent() {
        let text = r#"{"Network": "10.0.0.0/16", "EnableIPv4": null, "EnableIPv6": null, "SubnetLen": null, "SubnetMin": null,
            "SubnetMax": null, "Backend": {"Type": "vxlan", "VNI": null, "Port": null, "Learning": null, "DirectRouting": null,
            "MTU": null, "MacPrefix": null}}"#;
        assert_eq!(
            NetworkConfig::parse(text),
            NetworkConfig::parse(r#"{"Network": "10.0.0.0/16", "Backend": {"Type": "vxlan", "Port": 0}}"#)
        );
        assert!(NetworkConfig::parse(r#"{"Network": "10.0.0.0/16", "Backend": null}"#).is_ok());
    }

    #[test]
    fn configurations_are_read() {
        let text = r#"{"network": "10.5.0.0/20", "SubnetLen": 26, "SubnetMin": "10.5.1.0", "SubnetMax": "10.5.2.64",
            "Backend": {"type": "vxlan", "VNI": 7, "Port": 4789, "DirectRouting": true, "MacPrefix": "02-42", "x": 1}}"#;
        let config = NetworkConfig::parse(text).unwrap();
        assert_eq!(config.subnets(0).count(), 6);
        let BackendConfig::Vxlan(vxlan) = &config.backend else { panic!("{config:?}") };
        assert_eq!((vxlan.vni, vxlan.port, vxlan.direct_routing, vxlan.mac_prefix), (7, 4789, true, [2, 0x42]));
        assert!(config.admits("10.5.2.64/26".parse().unwrap()));
        for other in ["10.5.2.128/26", "10.5.1.0/24", "10.5.0.192/26"] {
            assert!(!config.admits(other.parse().unwrap()), "{other}");
        }
    }

    #[test]
    fn nonsense_is_named() {
        let cases = [
            ("", "EOF"),
            ("[]", "Network"),
            (r#"{"Network": "x"}"#, "Network: \"x\""),
            (r#"{"Network": null}"#, "Network: \"\""),
            (r#"{"Network": "0.0.0.0/0"}"#, "0.0.0.0/8"),
            (r#"{"Network": "127.1.0.0/16"}"#, "127.0.0.0/8"),
            (r#"{"Network": "239.0.0.0/16"}"#, "224.0.0.0/3"),
            (r#"{"Network": "10.0.0.0/16", "SubnetLen": 300}"#, "300"),
            (r#"{"Network": "10.0.0.0/16", "Backend": "vxlan"}"#, "Backend"),
            (r#"{"Network": "10.0.0.0/16", "Backend": {"Port": 0}}"#, "Port 0"),
            (r#"{"Network": "10.0.0.0/16", "Backend": {"Port": 65536}}"#, "65536"),
            (r#"{"Network": "10.0.0.0/16", "Backend": {"Type": "vxlan", "MTU": 60}}"#, "MTU 60"),
            (r#"{"Network": "10.0.0.0/29"}"#, "too small"),
            (r#"{"Network": "10.0.0.0/24", "SubnetLen": 25}"#, "four subnets"),
            (r#"{"Network": "10.0.0.0/16", "SubnetLen": 31}"#, "too long"),
            (r#"{"Network": "10.0.0.0/16", "SubnetMin": "10.1.0.0"}"#, "SubnetMin"),
            (r#"{"Network": "10.0.0.0/16", "SubnetMax": "10.0.9.7"}"#, "boundary"),
            (r#"{"Network": "10.0.0.0/16", "SubnetMin": "10.0.9.0", "SubnetMax": "10.0.8.0"}"#, "after"),
            (r#"{"Network": "10.0.0.0/16", "EnableIPv6": true}"#, "EnableIPv6"),
            (r#"{"Network": "10.0.0.0/16", "Backend": {"Type": "magic"}}"#, "magic"),
            (r#"{"Network": "10.0.0.0/16", "Backend": {"Type": "vxlan", "VNI": 16777216}}"#, "24 bits"),
            (r#"{"Network": "10.0.0.0/16", "Backend": {"Type": "vxlan", "MacPrefix": "01-00"}}"#, "MacPrefix"),
        ];
        for (text, part) in cases {
            let error = NetworkConfig::parse(text).unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
