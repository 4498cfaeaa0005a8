//! Addresses and ports in flags.

use std::net::{IpAddr, Ipv4Addr, UdpSocket};

use ipnet::IpNet;

/// Services need at least this many addresses.
const MIN_ADDRESSES: u32 = 8;

/// The range of cluster IPs: the first of several when it is a list (dual stack is not supported yet).
pub(super) fn service_range(text: &str) -> Result<IpNet, String> {
    let first = text.split(',').next().unwrap_or_default().trim();
    let range: IpNet = first.parse().map_err(|_| format!("invalid CIDR {first:?}"))?;
    let host_bits = u32::from(range.max_prefix_len() - range.prefix_len());
    if host_bits < MIN_ADDRESSES.ilog2() {
        return Err(format!("the range {range} is too small, it must have at least {MIN_ADDRESSES} addresses"));
    }
    Ok(range.trunc())
}

/// The address of the interface that has the default route, else the loopback address. Nothing is sent.
pub(super) fn own_address() -> IpAddr {
    // TEST-NET-1: connecting a datagram socket only looks the route up.
    const ANYWHERE: (Ipv4Addr, u16) = (Ipv4Addr::new(192, 0, 2, 1), 9);
    let looked_up = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).and_then(|socket| {
        socket.connect(ANYWHERE)?;
        socket.local_addr()
    });
    looked_up.map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), |address| address.ip())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn service_ranges_are_read() {
        assert_eq!(service_range("10.254.3.4/16").unwrap().to_string(), "10.254.0.0/16");
        assert_eq!(service_range("10.0.0.0/24,fd00::/108").unwrap().to_string(), "10.0.0.0/24");
        assert!(service_range("10.0.0.0/30").is_err());
        assert!(service_range("x").is_err());
    }
}
