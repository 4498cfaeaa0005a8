//! A node's part of the network, as nodes tell each other: upstream's keys and JSON.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Longer descriptions of a node are refused; upstream's have some 150 bytes.
const MAX_ATTRIBUTES: usize = 2048;
/// What others wrote is quoted up to this length.
const MAX_QUOTE: usize = 100;

/// Of what is wrong with leases, no more is remembered.
pub const MAX_FAULTS: usize = 1000;

/// What is known of everybody's leases.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// The leases that could be read; those that were there first come first.
    pub leases: Vec<Lease>,
    /// What is wrong with the rest, a line each.
    pub faults: Vec<String>,
}

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

impl Attributes {
    /// Reads what a node says of itself.
    ///
    /// # Errors
    /// When it is too long, or says no such thing.
    pub fn read(json: &[u8]) -> Result<Self, String> {
        if json.len() > MAX_ATTRIBUTES {
            return Err(format!("it has {} bytes, which is more than {MAX_ATTRIBUTES}", json.len()));
        }
        serde_json::from_slice(json).map_err(|error| quote(&error.to_string()))
    }

    /// The same from its parts. As upstream, no data is `null`.
    ///
    /// # Errors
    /// When there is too much of it, or it cannot be read.
    pub fn from_parts(public_ip: &str, backend_type: &str, backend_data: &str) -> Result<Self, String> {
        if backend_type.len() + backend_data.len() > MAX_ATTRIBUTES {
            return Err(format!("it says more of its backend than {MAX_ATTRIBUTES} bytes"));
        }
        let data = if backend_data.is_empty() { "null" } else { backend_data };
        Ok(Self {
            public_ip: public_ip.parse().map_err(|_| format!("{:?} is no IPv4 address", quote(public_ip)))?,
            public_ipv6: None,
            backend_type: backend_type.to_owned(),
            backend_data: serde_json::from_str(data).map_err(|error| quote(&error.to_string()))?,
        })
    }

    /// Whether this is the backend of that name; upstream's `udp` says none.
    #[must_use]
    pub fn is_of(&self, backend: &str) -> bool {
        self.backend_type == backend || self.backend_type.is_empty() && backend == "udp"
    }
}

/// What somebody else wrote, so that it can be put in a log: a line, and not a long one.
#[must_use]
pub fn quote(text: &str) -> String {
    let shown: String = text.chars().take(MAX_QUOTE).flat_map(char::escape_debug).collect();
    if text.chars().nth(MAX_QUOTE).is_some() { shown + "…" } else { shown }
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
    fn what_is_too_much_is_refused() {
        let long = format!(r#"{{"PublicIP":"192.168.0.1","BackendData":"{}"}}"#, "x".repeat(MAX_ATTRIBUTES));
        assert!(Attributes::read(long.as_bytes()).unwrap_err().contains("more than 2048"));
        assert!(Attributes::from_parts("192.168.0.1", "vxlan", &long).is_err());
        let deep = format!(r#"{{"PublicIP":"192.168.0.1","BackendData":{}"#, "[".repeat(1000));
        assert!(Attributes::read(deep.as_bytes()).unwrap_err().contains("recursion"));
        for text in ["", "null", "[]", "{}", r#"{"PublicIP":7}"#, r#"{"PublicIP":"::1"}"#, "\u{0}"] {
            assert!(Attributes::read(text.as_bytes()).is_err(), "{text}");
        }
        assert_eq!(quote(&format!("a\n\u{1b}[2J{}", "y".repeat(200))), format!("a\\n\\u{{1b}}[2J{}…", "y".repeat(94)));
    }

    #[test]
    fn upstreams_udp_names_no_backend() {
        let attributes = Attributes::read(br#"{"PublicIP":"192.168.0.1","PublicIPv6":null}"#).unwrap();
        assert!(attributes.is_of("udp") && !attributes.is_of("vxlan"));
        assert_eq!(Attributes::from_parts("192.168.0.1", "", ""), Ok(attributes));
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
