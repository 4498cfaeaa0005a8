//! `--load-balancer-addresses`.

use std::str::FromStr;

use ipnet::IpNet;

/// Which addresses services of type `LoadBalancer` get.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Addresses {
    /// Those of the nodes; services share them, each with its ports.
    Nodes,
    /// Of these ranges, one a service and family.
    Pool(Vec<IpNet>),
}

impl Addresses {
    /// Whether they come and go with the nodes.
    #[must_use]
    pub fn are_nodes(&self) -> bool {
        *self == Self::Nodes
    }
}

impl FromStr for Addresses {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "nodes" {
            return Ok(Self::Nodes);
        }
        let nets: Vec<IpNet> = text.split(',').map(range).collect::<Result<_, _>>()?;
        let overlap = |(i, net): (usize, &IpNet)| {
            nets[..i].iter().find(|other| other.contains(&net.addr()) || net.contains(&other.addr())).copied()
        };
        match nets.iter().enumerate().find_map(|pair| Some((pair.1, overlap(pair)?))) {
            Some((net, other)) => Err(format!("{net} and {other} overlap")),
            None => Ok(Self::Pool(nets)),
        }
    }
}

/// A CIDR, or an address alone.
fn range(text: &str) -> Result<IpNet, String> {
    let text = text.trim();
    let net: Result<IpNet, _> = text.parse();
    let net = net.or_else(|_| text.parse::<std::net::IpAddr>().map(IpNet::from));
    let net = net.map_err(|_| format!("{text:?} is neither \"nodes\" nor a range of addresses"))?.trunc();
    let odd = [net.network(), net.broadcast()];
    if odd.iter().any(|ip| ip.is_loopback() || ip.is_multicast() || ip.is_unspecified()) {
        return Err(format!("{net} has addresses that no service can have"));
    }
    Ok(net)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read() {
        let cases = [
            ("nodes", Ok("Nodes")),
            ("192.0.2.7/29,2001:db8::1", Ok("Pool([192.0.2.0/29, 2001:db8::1/128])")),
            ("", Err("neither")),
            ("nodes,192.0.2.0/24", Err("neither")),
            ("127.0.0.0/8", Err("no service")),
            ("0.0.0.0/0", Err("no service")),
            ("10.0.0.0/8,192.0.2.0/24,10.1.0.0/16", Err("10.1.0.0/16 and 10.0.0.0/8 overlap")),
        ];
        for (text, expected) in cases {
            match (text.parse::<Addresses>(), expected) {
                (Ok(addresses), Ok(expected)) => assert_eq!(format!("{addresses:?}"), expected),
                (Err(error), Err(part)) => assert!(error.contains(part), "{text}: {error}"),
                (result, _) => panic!("{text}: {result:?}"),
            }
        }
    }
}
