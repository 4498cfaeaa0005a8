//! What cluster IPs and node ports are taken from.

use std::str::FromStr;

use ipnet::IpNet;

/// The addresses of services.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServiceNetwork {
    /// Cluster IPs.
    pub addresses: IpNet,
    /// Node ports.
    pub ports: PortRange,
}

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
}
