//! Which subnet a node gets: pure.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use rand::seq::IteratorRandom;

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
#[error("out of subnets: every subnet of {0} is taken")]
pub struct Exhausted(Ipv4Net);

/// Chooses: the lease under this node's address, as it may be; else the subnet of an earlier run, if it is free; else any that is
/// free, so that nodes which start together seldom want the same.
///
/// # Errors
/// When none is free.
pub fn choose(
    config: &NetworkConfig,
    leases: &BTreeMap<Ipv4Net, Attributes>,
    own: &Attributes,
    before: Option<Ipv4Net>,
) -> Result<Choice, Exhausted> {
    let mine = leases.iter().find(|(_, attributes)| attributes.public_ip == own.public_ip).map(|(subnet, _)| *subnet);
    if let Some(subnet) = mine.filter(|subnet| config.admits(*subnet)) {
        return Ok(Choice::Renew(subnet));
    }
    let taken = Taken::new(leases.keys());
    let is_free = |subnet: &Ipv4Net| !taken.overlaps(*subnet);
    if let Some(subnet) = before.filter(|subnet| config.admits(*subnet) && is_free(subnet)) {
        return Ok(Choice::Claim(subnet));
    }
    let free = config.subnets().filter(is_free).choose(&mut rand::rng());
    free.map(Choice::Claim).ok_or(Exhausted(config.network))
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

    fn config() -> NetworkConfig {
        NetworkConfig::parse(r#"{"Network": "10.5.0.0/24", "SubnetLen": 28}"#).unwrap()
    }

    #[test]
    fn what_a_node_had_it_gets_again() {
        let net = |text: &str| text.parse::<Ipv4Net>().unwrap();
        let mut leases = BTreeMap::from([(net("10.5.0.16/28"), node(1)), (net("10.5.0.32/28"), node(2))]);
        assert_eq!(choose(&config(), &leases, &node(2), None), Ok(Choice::Renew(net("10.5.0.32/28"))));
        let free = Some(net("10.5.0.48/28"));
        assert_eq!(choose(&config(), &leases, &node(3), free), Ok(Choice::Claim(net("10.5.0.48/28"))));
        let Ok(Choice::Claim(other)) = choose(&config(), &leases, &node(3), Some(net("10.5.0.16/28"))) else {
            panic!()
        };
        assert!(!leases.contains_key(&other), "not somebody else's");
        leases.insert(net("10.5.0.0/26"), node(9));
        let Ok(Choice::Claim(other)) = choose(&config(), &leases, &node(3), free) else { panic!() };
        assert!(!net("10.5.0.0/26").contains(&other), "not within somebody else's, which is larger");
    }

    proptest! {
        #[test]
        fn no_two_nodes_have_the_same(order in proptest::collection::vec(1_u8..40, 1..60)) {
            let mut leases = BTreeMap::new();
            for number in order {
                match choose(&config(), &leases, &node(number), None) {
                    Ok(Choice::Renew(subnet)) => prop_assert_eq!(&leases[&subnet], &node(number)),
                    Ok(Choice::Claim(subnet)) => {
                        prop_assert!(config().admits(subnet));
                        prop_assert!(leases.insert(subnet, node(number)).is_none());
                    }
                    // The first is left out.
                    Err(Exhausted(_)) => prop_assert_eq!(leases.len(), 15),
                }
            }
        }
    }
}
