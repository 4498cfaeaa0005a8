//! Who has which address: pure.
//!
//! An address of a pool belongs to one service. An address of a node belongs to many, of which each has some ports.

use std::{
    collections::{BTreeSet, HashMap},
    fmt,
    net::IpAddr,
};

use component::informer::ObjectKey;
use ipnet::IpNet;

use super::reserved::Reserved;

/// A protocol and a port's number.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Port {
    /// `TCP`, `UDP` or `SCTP`.
    pub protocol: String,
    /// Its number.
    pub number: i32,
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.number, self.protocol)
    }
}

/// What only one service can have: a port of an address, or all of it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Claim {
    /// The address.
    pub ip: IpAddr,
    /// `None` for all of it.
    pub port: Option<Port>,
}

impl fmt::Display for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.port {
            Some(port) => write!(f, "port {port} of {}", self.ip),
            None => self.ip.fmt(f),
        }
    }
}

/// What a service asks for.
#[derive(Clone, Debug)]
pub(super) struct Request {
    /// `IPv4`, `IPv6`.
    pub families: Vec<String>,
    /// The ports that it listens on.
    pub ports: Vec<Port>,
    /// `spec.loadBalancerIP`.
    pub asked: Option<IpAddr>,
}

impl Request {
    fn takes(&self, ip: IpAddr) -> bool {
        self.families.iter().any(|family| is_of_family(ip, family))
    }
}

/// Something that a service wants has somebody already.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{claim} belongs to {owner}")]
pub(super) struct Conflict {
    claim: Claim,
    owner: String,
}

/// A service got no address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    /// No node is there that could take its traffic.
    #[error("There are no available nodes for LoadBalancer")]
    NoNodes,
    /// Somebody else has what it wants.
    #[error(transparent)]
    Taken(#[from] Conflict),
    /// It asks for an address that is nobody's to give.
    #[error("loadBalancerIP {0} is not among the addresses that services are given")]
    NotOffered(IpAddr),
    /// All addresses of its families are in use.
    #[error("no address of {} is free in --load-balancer-addresses", .0.join(" or "))]
    Exhausted(Vec<String>),
}

/// What a service got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Grant {
    /// Never empty, sorted.
    pub addresses: Vec<IpAddr>,
    /// Why it did not get all that there are.
    pub conflict: Option<Conflict>,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    owners: HashMap<Claim, ObjectKey>,
    claims: HashMap<ObjectKey, BTreeSet<Claim>>,
}

impl Ledger {
    /// Notes what a service has had since before; what somebody else has it does not get.
    pub fn adopt(&mut self, service: &ObjectKey, claims: impl IntoIterator<Item = Claim>) {
        let free = claims.into_iter().filter(|claim| !self.owners.contains_key(claim)).collect();
        self.replace(service, free);
    }

    /// Takes back what a service has; whether that was anything.
    pub fn release(&mut self, service: &ObjectKey) -> bool {
        self.replace(service, BTreeSet::new())
    }

    /// Those of the nodes' addresses on which the service's ports are free, and not `reserved` by somebody who is no
    /// service; whether something became free comes second.
    pub fn settle_on_nodes(
        &mut self,
        service: &ObjectKey,
        request: &Request,
        addresses: &[IpAddr],
        reserved: &Reserved,
    ) -> (Result<Grant, Refusal>, bool) {
        let fitting: BTreeSet<IpAddr> = addresses.iter().copied().filter(|ip| request.takes(*ip)).collect();
        let wanted: Vec<IpAddr> =
            fitting.iter().copied().filter(|ip| request.asked.is_none_or(|asked| asked == *ip)).collect();
        let (mut granted, mut claims, mut conflict) = (Vec::new(), BTreeSet::new(), None);
        for ip in &wanted {
            let of_ports: Vec<Claim> = claims_of_ports(*ip, &request.ports).collect();
            let rival = of_ports.iter().find_map(|claim| self.conflict(service, claim, reserved));
            match rival {
                Some(rival) => conflict = conflict.or(Some(rival)),
                None => {
                    granted.push(*ip);
                    claims.extend(of_ports);
                }
            }
        }
        let freed = self.replace(service, claims);
        let result = match (granted.is_empty(), conflict, request.asked) {
            (false, conflict, _) => Ok(Grant { addresses: granted, conflict }),
            (true, Some(conflict), _) => Err(Refusal::Taken(conflict)),
            (true, None, Some(asked)) if !fitting.is_empty() => Err(Refusal::NotOffered(asked)),
            (true, None, _) => Err(Refusal::NoNodes),
        };
        (result, freed)
    }

    /// An address of each of the service's families: the one that it asks for, the one that it has, or the first that is
    /// free; whether something became free comes second.
    pub fn settle_in_pool(
        &mut self,
        service: &ObjectKey,
        request: &Request,
        pool: &[IpNet],
    ) -> (Result<Grant, Refusal>, bool) {
        let chosen = self.choose(service, request, pool);
        let claims = chosen.iter().flat_map(|grant| &grant.addresses).map(|ip| whole(*ip)).collect();
        let freed = self.replace(service, claims);
        (chosen, freed)
    }

    fn choose(&self, service: &ObjectKey, request: &Request, pool: &[IpNet]) -> Result<Grant, Refusal> {
        let in_pool = |ip: IpAddr| pool.iter().any(|net| net.contains(&ip));
        if let Some(asked) = request.asked {
            if !in_pool(asked) || !request.takes(asked) {
                return Err(Refusal::NotOffered(asked));
            }
            if let Some(conflict) = self.conflict(service, &whole(asked), &Reserved::default()) {
                return Err(conflict.into());
            }
        }
        let has = || self.claims.get(service).into_iter().flatten().map(|claim| claim.ip).filter(|ip| in_pool(*ip));
        let of = |family: &String| {
            let asked = request.asked.filter(|ip| is_of_family(*ip, family));
            let own = || has().find(|ip| is_of_family(*ip, family));
            asked.or_else(own).or_else(|| self.first_free(pool, family))
        };
        let mut addresses: Vec<IpAddr> = request.families.iter().filter_map(of).collect();
        addresses.sort_unstable();
        match addresses.is_empty() {
            true => Err(Refusal::Exhausted(request.families.clone())),
            false => Ok(Grant { addresses, conflict: None }),
        }
    }

    /// At most one address more is looked at than are in use.
    fn first_free(&self, pool: &[IpNet], family: &str) -> Option<IpAddr> {
        let nets = pool.iter().filter(|net| is_of_family(net.addr(), family));
        nets.flat_map(IpNet::hosts).find(|ip| !self.owners.contains_key(&whole(*ip)))
    }

    fn conflict(&self, service: &ObjectKey, claim: &Claim, reserved: &Reserved) -> Option<Conflict> {
        let rival = self.owners.get(claim).filter(|owner| *owner != service).map(|owner| format!("service {owner}"));
        let owner = reserved.owner(claim).or(rival)?;
        Some(Conflict { claim: claim.clone(), owner })
    }

    /// Whether a claim was given up.
    fn replace(&mut self, service: &ObjectKey, claims: BTreeSet<Claim>) -> bool {
        let before = self.claims.remove(service).unwrap_or_default();
        for gone in before.difference(&claims) {
            self.owners.remove(gone);
        }
        self.owners.extend(claims.difference(&before).map(|claim| (claim.clone(), service.clone())));
        let freed = before.difference(&claims).next().is_some();
        if !claims.is_empty() {
            self.claims.insert(service.clone(), claims);
        }
        freed
    }
}

/// All of an address.
pub(super) fn whole(ip: IpAddr) -> Claim {
    Claim { ip, port: None }
}

/// These ports of an address.
pub(super) fn claims_of_ports(ip: IpAddr, ports: &[Port]) -> impl Iterator<Item = Claim> {
    ports.iter().map(move |port| Claim { ip, port: Some(port.clone()) })
}

fn is_of_family(ip: IpAddr, family: &str) -> bool {
    ip.is_ipv6() == (family == "IPv6")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> ObjectKey {
        ObjectKey::new("ns", name)
    }

    fn port(number: i32) -> Port {
        Port { protocol: "TCP".to_owned(), number }
    }

    fn request(families: &[&str], ports: &[i32], asked: Option<&str>) -> Request {
        Request {
            families: families.iter().map(ToString::to_string).collect(),
            ports: ports.iter().copied().map(port).collect(),
            asked: asked.map(|ip| ip.parse().unwrap()),
        }
    }

    /// The addresses, or why there are none.
    fn say(result: (Result<Grant, Refusal>, bool)) -> String {
        match result.0 {
            Ok(grant) => {
                let addresses: Vec<String> = grant.addresses.iter().map(ToString::to_string).collect();
                let conflict = grant.conflict.map(|conflict| format!("; {conflict}")).unwrap_or_default();
                addresses.join(" ") + &conflict
            }
            Err(refusal) => refusal.to_string(),
        }
    }

    #[test]
    fn ports_of_nodes_are_given_once() {
        let nodes: Vec<IpAddr> = ["10.0.0.2", "10.0.0.1", "fd00::1"].map(|ip| ip.parse().unwrap()).into();
        let kubelet = Claim { ip: nodes[0], port: Some(port(10250)) };
        let owners = HashMap::from([(kubelet, "the kubelet".to_owned())]);
        let reserved = Reserved { ports: "22".parse().unwrap(), owners };
        let mut ledger = Ledger::default();
        let cases = [
            ("a", request(&["IPv4"], &[80], None), "10.0.0.1 10.0.0.2"),
            ("b", request(&["IPv4"], &[81, 443], Some("10.0.0.1")), "10.0.0.1"),
            (
                "c",
                request(&["IPv4", "IPv6"], &[443], None),
                "10.0.0.2 fd00::1; port 443/TCP of 10.0.0.1 belongs to service ns/b",
            ),
            ("d", request(&["IPv4"], &[80, 90], None), "port 80/TCP of 10.0.0.1 belongs to service ns/a"),
            (
                "e",
                request(&["IPv4"], &[88, 22], None),
                "port 22/TCP of 10.0.0.1 belongs to the nodes (--load-balancer-reserved-ports)",
            ),
            ("e", request(&["IPv4"], &[10250], Some("10.0.0.2")), "port 10250/TCP of 10.0.0.2 belongs to the kubelet"),
            (
                "f",
                request(&["IPv4"], &[99], Some("10.9.9.9")),
                "loadBalancerIP 10.9.9.9 is not among the addresses that services are given",
            ),
            ("b", request(&["IPv4"], &[81], Some("10.0.0.1")), "10.0.0.1"),
            ("c", request(&["IPv4"], &[443], None), "10.0.0.1 10.0.0.2"),
        ];
        for (name, request, expected) in cases {
            assert_eq!(say(ledger.settle_on_nodes(&key(name), &request, &nodes, &reserved)), expected, "{name}");
        }
        let nobody = ledger.settle_on_nodes(&key("a"), &request(&["IPv4"], &[80], None), &[], &reserved);
        assert_eq!(nobody, (Err(Refusal::NoNodes), true));
        let d = ledger.settle_on_nodes(&key("d"), &request(&["IPv4"], &[80, 90], None), &nodes, &reserved);
        assert_eq!(say(d), "10.0.0.1 10.0.0.2", "what is given up is free");
    }

    #[test]
    fn addresses_of_a_pool_are_given_once() {
        let pool: Vec<IpNet> = ["192.0.2.0/30", "2001:db8::/64"].map(|net| net.parse().unwrap()).into();
        let mut ledger = Ledger::default();
        ledger.adopt(&key("old"), [whole("192.0.2.1".parse().unwrap())]);
        ledger.adopt(&key("thief"), [whole("192.0.2.1".parse().unwrap())]);
        let (four, both) = (&["IPv4"][..], &["IPv4", "IPv6"][..]);
        let cases = [
            ("a", request(four, &[80], Some("192.0.2.1")), "192.0.2.1 belongs to service ns/old"),
            ("b", request(both, &[80], None), "192.0.2.2 2001:db8::"),
            ("b", request(both, &[80], None), "192.0.2.2 2001:db8::"),
            ("c", request(four, &[80], None), "no address of IPv4 is free in --load-balancer-addresses"),
            ("d", request(both, &[80], None), "2001:db8::1"),
            (
                "e",
                request(four, &[80], Some("2001:db8::9")),
                "loadBalancerIP 2001:db8::9 is not among the addresses that services are given",
            ),
            ("b", request(both, &[80], Some("2001:db8::9")), "192.0.2.2 2001:db8::9"),
        ];
        for (name, request, expected) in cases {
            assert_eq!(say(ledger.settle_in_pool(&key(name), &request, &pool)), expected, "{name}");
        }
        assert!(ledger.release(&key("old")));
        assert!(!ledger.release(&key("old")));
        assert_eq!(say(ledger.settle_in_pool(&key("c"), &request(four, &[80], None), &pool)), "192.0.2.1");
    }
}
