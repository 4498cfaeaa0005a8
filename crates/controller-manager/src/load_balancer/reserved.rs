//! `--load-balancer-reserved-ports`, and what else no service may take away from a machine.

use std::{collections::HashMap, ops::RangeInclusive, str::FromStr};

use super::ledger::{Claim, Port};

/// SSH, DNS, etcd, the API server, flanneld's backends, Kubernetes' own daemons, and node ports.
pub const DEFAULT_RESERVED: &str = "22/TCP,53,2379-2380/TCP,6443/TCP,8285/UDP,8472/UDP,10248-10259/TCP,30000-32767";
/// As whose a refused service is told of such a port.
const OWNER: &str = "the nodes (--load-balancer-reserved-ports)";
const PROTOCOLS: [&str; 3] = ["TCP", "UDP", "SCTP"];

/// Ports of the nodes' addresses that no service gets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReservedPorts(Vec<Range>);

/// Ports of one protocol, or of all.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Range {
    numbers: RangeInclusive<u16>,
    protocol: Option<&'static str>,
}

impl ReservedPorts {
    fn contain(&self, port: &Port) -> bool {
        let is_in = |range: &Range| {
            range.protocol.is_none_or(|protocol| protocol == port.protocol)
                && u16::try_from(port.number).is_ok_and(|number| range.numbers.contains(&number))
        };
        self.0.iter().any(is_in)
    }
}

impl FromStr for ReservedPorts {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Ok(Self::default());
        }
        text.split(',').map(|text| range(text.trim())).collect::<Result<_, _>>().map(Self)
    }
}

/// `PORT`, `PORT-PORT`, `PORT/PROTOCOL`, `PORT-PORT/PROTOCOL`
fn range(text: &str) -> Result<Range, String> {
    let mistake = || format!("{text:?} is not PORT[-PORT][/TCP|UDP|SCTP]");
    let (numbers, protocol) = match text.split_once('/') {
        Some((numbers, protocol)) => (numbers, Some(protocol)),
        None => (text, None),
    };
    let known = |text: &str| PROTOCOLS.into_iter().find(|known| *known == text).ok_or_else(mistake);
    let (first, last) = numbers.split_once('-').unwrap_or((numbers, numbers));
    let number = |text: &str| text.parse::<u16>().map_err(|_| mistake());
    let numbers = number(first)?..=number(last)?;
    if *numbers.start() == 0 || numbers.is_empty() {
        return Err(mistake());
    }
    Ok(Range { numbers, protocol: protocol.map(known).transpose()? })
}

/// What no service gets, and whose it is.
#[derive(Clone, Debug, Default)]
pub(super) struct Reserved {
    /// On all addresses.
    pub ports: ReservedPorts,
    /// On some.
    pub owners: HashMap<Claim, String>,
}

impl Reserved {
    /// Who has it, if somebody who is no service has.
    pub fn owner(&self, claim: &Claim) -> Option<String> {
        let is_reserved = claim.port.as_ref().is_some_and(|port| self.ports.contain(port));
        self.owners.get(claim).cloned().or_else(|| is_reserved.then(|| OWNER.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_read() {
        let port = |text: &str| {
            let (number, protocol) = text.split_once('/').unwrap();
            Port { protocol: protocol.to_owned(), number: number.parse().unwrap() }
        };
        let default: ReservedPorts = DEFAULT_RESERVED.parse().unwrap();
        let reserved = [
            "22/TCP",
            "53/TCP",
            "53/UDP",
            "2379/TCP",
            "2380/TCP",
            "6443/TCP",
            "8285/UDP",
            "8472/UDP",
            "10250/TCP",
            "10256/TCP",
            "30000/SCTP",
            "32767/UDP",
        ];
        let free =
            ["22/UDP", "80/TCP", "443/UDP", "2381/TCP", "8472/TCP", "29999/TCP", "32768/TCP", "65558/TCP", "-1/TCP"];
        for text in reserved {
            assert!(default.contain(&port(text)), "{text}");
        }
        for text in free {
            assert!(!default.contain(&port(text)), "{text}");
        }
        assert_eq!("".parse(), Ok(ReservedPorts::default()));
        for text in ["x", "0", "5-4", "65536", "22/tcp", "22/ICMP", "22,", "1-2-3", "-5", "22/"] {
            assert!(text.parse::<ReservedPorts>().unwrap_err().contains("is not PORT"), "{text}");
        }
    }
}
