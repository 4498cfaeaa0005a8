//! A node's part of the network, as nodes tell each other: upstream's keys and JSON.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A node's subnet, and how to reach it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The subnet.
    pub subnet: Ipv4Net,
    /// How to reach it.
    pub attributes: Attributes,
}

/// How a node is reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Attributes {
    /// Where the other nodes find it.
    #[serde(rename = "PublicIP")]
    pub public_ip: Ipv4Addr,
    /// Not used; upstream writes it.
    #[serde(rename = "PublicIPv6", default)]
    pub public_ipv6: Option<String>,
    /// The backend's name.
    #[serde(default)]
    pub backend_type: String,
    /// What only the backend understands.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub backend_data: Value,
}

/// `BackendData` of a vxlan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VxlanData {
    /// The network's number in the tunnel.
    #[serde(rename = "VNI", default)]
    pub vni: Option<u32>,
    /// The hardware address of the node's end of it.
    #[serde(rename = "VtepMAC")]
    pub mac: Mac,
}

/// A hardware address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Mac(pub [u8; 6]);

impl std::fmt::Display for Mac {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl From<Mac> for String {
    fn from(mac: Mac) -> Self {
        mac.to_string()
    }
}

impl TryFrom<String> for Mac {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let bytes: Option<Vec<u8>> = text.split(':').map(|part| u8::from_str_radix(part, 16).ok()).collect();
        let array = bytes.and_then(|bytes| <[u8; 6]>::try_from(bytes).ok());
        // A group's address, or nobody's, is no node's.
        match array {
            Some(mac) if mac[0] & 1 == 0 && mac != [0; 6] => Ok(Self(mac)),
            _ => Err(format!("{text:?} is not the hardware address of a node")),
        }
    }
}

/// The subnet as it is written in keys: `10.5.1.0-24`.
#[must_use]
pub fn key(subnet: Ipv4Net) -> String {
    format!("{}-{}", subnet.network(), subnet.prefix_len())
}

/// Reads a key. Of one of two families (`10.5.1.0-24&fd00::-64`) the first counts.
#[must_use]
pub fn from_key(key: &str) -> Option<Ipv4Net> {
    let (ip, length) = key.split('&').next()?.split_once('-')?;
    let net = Ipv4Net::new(ip.parse().ok()?, length.parse().ok()?).ok()?;
    (net.trunc() == net).then_some(net)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn upstreams_json() {
        let text = r#"{"PublicIP":"192.168.0.1","PublicIPv6":null,"BackendType":"vxlan","BackendData":{"VNI":1,"VtepMAC":"0e:2a:00:01:02:03"}}"#;
        let attributes: Attributes = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&attributes).unwrap(), text);
        let data: VxlanData = serde_json::from_value(attributes.backend_data).unwrap();
        assert_eq!(data.mac.0, [0x0e, 0x2a, 0, 1, 2, 3]);
    }

    #[test]
    fn hardware_addresses_of_nobody_are_refused() {
        for text in ["ff:ff:ff:ff:ff:ff", "01:00:5e:00:00:01", "00:00:00:00:00:00", "0e:2a:00:01:02", "x"] {
            assert!(Mac::try_from(text.to_owned()).is_err(), "{text}");
        }
    }

    #[test]
    fn keys_are_read() {
        let net: Ipv4Net = "10.5.1.0/24".parse().unwrap();
        assert_eq!(key(net), "10.5.1.0-24");
        assert_eq!(from_key("10.5.1.0-24"), Some(net));
        assert_eq!(from_key("10.5.1.0-24&fd00::-64"), Some(net));
        for text in ["10.5.1.0", "10.5.1.1-24", "10.5.1.0-33", "x-24", ""] {
            assert_eq!(from_key(text), None, "{text}");
        }
    }
}
