//! Which subnet a node gets: pure.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use crate::config::NetworkConfig;
use crate::lease::Attributes;

/// What a node is to do to get a subnet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// Take over the lease that is this node's already.
    Renew(Ipv4Net),
    /// Claim a subnet that nobody has.
    Claim(Ipv4Net),
}

/// Every subnet has an owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("out of subnets: each of the {count} of {network} is taken, or on this node's link")]
pub struct Exhausted {
    count: u32,
    network: Ipv4Net,
}

/// What a node would have, and what not.
#[derive(Clone, Copy, Debug)]
pub struct Wishes {
    /// The subnet of an earlier run.
    pub before: Option<Ipv4Net>,
    /// The network on the node's link, of which no subnet may hold a part: the other nodes are there.
    pub link: Ipv4Net,
}

/// Chooses: a lease under this node's address, that of an earlier run first; else the subnet of an earlier run, if it is free;
/// else any that is free, so that nodes which start together seldom want the same.
///
/// # Errors
/// When none is free.
pub fn choose(
    config: &NetworkConfig,
    leases: &BTreeMap<Ipv4Net, Attributes>,
    own: &Attributes,
    wishes: Wishes,
) -> Result<Choice, Exhausted> {
    let may_be = |subnet: Ipv4Net| {
        config.admits(subnet) && !wishes.link.contains(&subnet.network()) && !subnet.contains(&wishes.link.network())
    };
    let mine = |subnet: &Ipv4Net| leases.get(subnet).is_some_and(|theirs| theirs.public_ip == own.public_ip);
    let before = wishes.before.filter(|subnet| may_be(*subnet));
    let any_of_mine = || leases.keys().copied().find(|subnet| mine(subnet) && may_be(*subnet));
    if let Some(subnet) = before.filter(mine).or_else(any_of_mine) {
        return Ok(Choice::Renew(subnet));
    }
    let taken = Taken::new(leases.keys());
    let is_free = |subnet: &Ipv4Net| may_be(*subnet) && !taken.overlaps(*subnet);
    if let Some(subnet) = before.filter(is_free) {
        return Ok(Choice::Claim(subnet));
    }
    let from = rand::random_range(0..config.count());
    let free = config.subnets(from).find(is_free);
    free.map(Choice::Claim).ok_or(Exhausted { count: config.count(), network: config.network })
}

/// What is taken, in whatever lengths: a configuration may have changed the length of subnets.
struct Taken {
    /// Where each begins, in order, and where the furthest of it and those before it ends.
    reach: Vec<(Ipv4Addr, Ipv4Addr)>,
}

impl Taken {
    /// Of subnets in order.
    fn new<'a>(subnets: impl Iterator<Item = &'a Ipv4Net>) -> Self {
        let mut furthest = Ipv4Addr::UNSPECIFIED;
        let reach = subnets.map(|subnet| {
            furthest = furthest.max(subnet.broadcast());
            (subnet.network(), furthest)
        });
        Self { reach: reach.collect() }
    }

    fn overlaps(&self, subnet: Ipv4Net) -> bool {
        let begin_before_its_end = self.reach.partition_point(|(first, _)| *first <= subnet.broadcast());
        let last = begin_before_its_end.checked_sub(1).and_then(|last| self.reach.get(last));
        last.is_some_and(|(_, furthest)| *furthest >= subnet.network())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    fn node(number: u8) -> Attributes {
        Attributes {
            public_ip: [192, 168, 0, number].into(),
            public_ipv6: None,
            backend_type: "udp".into(),
            backend_data: Value::Null,
        }
    }

    fn wishes(before: Option<Ipv4Net>) -> Wishes {
        Wishes { before, link: "192.168.0.0/24".parse().unwrap() }
    }

    fn config() -> NetworkConfig {
        NetworkConfig::parse(r#"{"Network": "10.5.0.0/24", "SubnetLen": 28}"#).unwrap()
    }

    #[test]
    fn what_a_node_had_it_gets_again() {
        let net = |text: &str| text.parse::<Ipv4Net>().unwrap();
        let mut leases = BTreeMap::from([(net("10.5.0.16/28"), node(1)), (net("10.5.0.32/28"), node(2))]);
        assert_eq!(choose(&config(), &leases, &node(2), wishes(None)), Ok(Choice::Renew(net("10.5.0.32/28"))));
        let free = Some(net("10.5.0.48/28"));
        assert_eq!(choose(&config(), &leases, &node(3), wishes(free)), Ok(Choice::Claim(net("10.5.0.48/28"))));
        let Ok(Choice::Claim(other)) = choose(&config(), &leases, &node(3), wishes(Some(net("10.5.0.16/28")))) else {
            panic!()
        };
        assert!(!leases.contains_key(&other), "not somebody else's");
        leases.insert(net("10.5.0.0/26"), node(9));
        let Ok(Choice::Claim(other)) = choose(&config(), &leases, &node(3), wishes(free)) else { panic!() };
        assert!(!net("10.5.0.0/26").contains(&other), "not within somebody else's, which is larger");
    }

    #[test]
    fn of_two_the_one_of_an_earlier_run() {
        let net = |text: &str| text.parse::<Ipv4Net>().unwrap();
        let leases = BTreeMap::from([(net("10.5.0.16/28"), node(1)), (net("10.5.0.32/28"), node(1))]);
        let before = Some(net("10.5.0.32/28"));
        assert_eq!(choose(&config(), &leases, &node(1), wishes(before)), Ok(Choice::Renew(net("10.5.0.32/28"))));
    }

    #[test]
    fn the_link_is_the_nodes() {
        let config = NetworkConfig::parse(r#"{"Network": "192.168.0.0/22", "SubnetLen": 24}"#).unwrap();
        for link in ["192.168.2.0/24", "192.168.2.128/25"] {
            let wishes = Wishes { before: Some("192.168.2.0/24".parse().unwrap()), link: link.parse().unwrap() };
            let mut leases = BTreeMap::new();
            while let Ok(choice) = choose(&config, &leases, &node(leases.len() as u8), wishes) {
                let Choice::Claim(subnet) = choice else { panic!("{choice:?}") };
                leases.insert(subnet, node(leases.len() as u8));
            }
            assert_eq!(
                leases.keys().map(ToString::to_string).collect::<Vec<_>>(),
                ["192.168.1.0/24", "192.168.3.0/24"]
            );
        }
        let inside = Wishes { before: None, link: "192.168.0.0/16".parse().unwrap() };
        let error = choose(&config, &BTreeMap::new(), &node(1), inside).unwrap_err();
        assert_eq!(
            error.to_string(),
            "out of subnets: each of the 3 of 192.168.0.0/22 is taken, or on this node's link"
        );
    }

    proptest! {
        #[test]
        fn no_two_nodes_have_the_same(order in proptest::collection::vec(1_u8..40, 1..60)) {
            let mut leases = BTreeMap::new();
            for number in order {
                match choose(&config(), &leases, &node(number), wishes(None)) {
                    Ok(Choice::Renew(subnet)) => prop_assert_eq!(&leases[&subnet], &node(number)),
                    Ok(Choice::Claim(subnet)) => {
                        prop_assert!(config().admits(subnet));
                        prop_assert!(leases.insert(subnet, node(number)).is_none());
                    }
                    // The first is left out.
                    Err(Exhausted { .. }) => prop_assert_eq!(leases.len(), 15),
                }
            }
        }
    }
}
