//! Rules that endpoints, endpoint slices, services and container ports share.

use std::net::IpAddr;

use crate::field::{FieldError, Path};

/// What ports speak.
pub(crate) const PROTOCOLS: [&str; 3] = ["TCP", "UDP", "SCTP"];

/// TCP, UDP or SCTP.
pub(crate) fn protocol(path: &Path, protocol: Option<&str>) -> Option<FieldError> {
    match protocol.unwrap_or_default() {
        "" => Some(FieldError::required(path, "")),
        protocol if PROTOCOLS.contains(&protocol) => None,
        protocol => Some(FieldError::not_supported(path, protocol, &PROTOCOLS)),
    }
}

/// Not an address that means the machine itself, a link or a group.
pub(crate) fn special_ip(path: &Path, ip: &str) -> Option<FieldError> {
    let address: IpAddr = ip.parse().ok()?;
    let link_local = match address {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    };
    let detail = if address.is_unspecified() {
        format!("may not be unspecified ({ip})")
    } else if address.is_loopback() {
        "may not be in the loopback range (127.0.0.0/8, ::1/128)".to_owned()
    } else if link_local {
        "may not be in the link-local range (169.254.0.0/16, fe80::/10)".to_owned()
    } else if address.is_multicast() {
        "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)".to_owned()
    } else {
        return None;
    };
    Some(FieldError::invalid(path, ip, detail))
}
