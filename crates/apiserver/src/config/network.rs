//! Addresses and ports in flags.

use std::{
    net::{IpAddr, Ipv4Addr, UdpSocket},
    str::FromStr,
};

use ipnet::IpNet;

/// A range of ports, both ends in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortRange {
    /// The first port.
    pub first: u16,
    /// The last port.
    pub last: u16,
}

impl Default for PortRange {
    /// Upstream's node ports.
    fn default() -> Self {
        Self { first: 30000, last: 32767 }
    }
}

impl PortRange {
    /// Whether a port is in the range.
    #[must_use]
    pub fn contains(&self, port: u16) -> bool {
        (self.first..=self.last).contains(&port)
    }

    /// How many ports there are.
    #[must_use]
    pub fn size(&self) -> u32 {
        u32::from(self.last - self.first) + 1
    }
}

impl FromStr for PortRange {
    type Err = String;

    /// `30000-32767`, or upstream's other form, `30000+2767`.
    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || format!("invalid port range {text:?}, want FROM-TO");
        let number = |text: &str| text.trim().parse::<u16>().map_err(|_| bad());
        let (first, last) = match (text.split_once('-'), text.split_once('+')) {
            (Some((first, last)), _) => (number(first)?, number(last)?),
            (None, Some((first, more))) => {
                let first = number(first)?;
                (first, first.checked_add(number(more)?).ok_or_else(bad)?)
            }
            (None, None) => (number(text)?, number(text)?),
        };
        if first == 0 || last < first { Err(bad()) } else { Ok(Self { first, last }) }
    }
}

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
    fn port_ranges_are_read() {
        let range = |text: &str| text.parse::<PortRange>().map(|range| (range.first, range.last)).ok();
        assert_eq!(range("30000-32767"), Some((30000, 32767)));
        assert_eq!(range("30000+10"), Some((30000, 30010)));
        assert_eq!(range("8080"), Some((8080, 8080)));
        for bad in ["", "9-1", "0-5", "a-b", "1-70000", "60000+60000"] {
            assert_eq!(range(bad), None, "{bad}");
        }
    }

    #[test]
    fn service_ranges_are_read() {
        assert_eq!(service_range("10.254.3.4/16").unwrap().to_string(), "10.254.0.0/16");
        assert_eq!(service_range("10.0.0.0/24,fd00::/108").unwrap().to_string(), "10.0.0.0/24");
        assert!(service_range("10.0.0.0/30").is_err());
        assert!(service_range("x").is_err());
    }
}
