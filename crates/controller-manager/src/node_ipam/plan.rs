//! Who has which part of the range of pod addresses.

use std::{
    collections::{BTreeMap, HashMap},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use ipnet::IpNet;

/// Largest number of parts that a range is cut into.
const MOST_PARTS: u128 = 1 << 24;

/// Parts of one range, numbered from 0. Each part has at most one owner.
#[derive(Debug)]
pub(super) struct Range {
    network: IpNet,
    mask: u8,
    /// Owners by part; parts outside have none.
    taken: BTreeMap<u32, Owner>,
    /// Where the search for a free part goes on: parts are given out in turn, so that one that was
    /// released rests before it is used again.
    next: u32,
}

/// Who has a part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    /// A node, by name.
    Node(String),
    /// It overlaps something that is no pod network.
    Reserved,
}

/// A range has no part left.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the range {0} has no free part")]
pub(super) struct Exhausted(IpNet);

impl Range {
    /// `network` in parts with prefix length `mask`.
    pub(super) fn new(network: IpNet, mask: u8) -> Self {
        Self { network: network.trunc(), mask, taken: BTreeMap::new(), next: 0 }
    }

    fn parts(&self) -> u32 {
        let bits = u32::from(self.mask.saturating_sub(self.network.prefix_len()));
        let parts = 1u128.checked_shl(bits).unwrap_or(MOST_PARTS).min(MOST_PARTS);
        u32::try_from(parts).unwrap_or(u32::MAX)
    }

    fn part(&self, index: u32) -> Option<IpNet> {
        let shift = u32::from(self.network.max_prefix_len() - self.mask);
        let offset = u128::from(index) << shift;
        let address = match self.network.network() {
            IpAddr::V4(base) => {
                let base = u128::from(u32::from(base));
                IpAddr::V4(Ipv4Addr::from(u32::try_from(base + offset).ok()?))
            }
            IpAddr::V6(base) => IpAddr::V6(Ipv6Addr::from(u128::from(base).checked_add(offset)?)),
        };
        IpNet::new(address, self.mask).ok()
    }

    /// The first and last part that `other` overlaps.
    fn overlap(&self, other: &IpNet) -> Option<(u32, u32)> {
        let index = |address: IpAddr| {
            let (base, address) = match (self.network.network(), address) {
                (IpAddr::V4(base), IpAddr::V4(address)) => {
                    (u128::from(u32::from(base)), u128::from(u32::from(address)))
                }
                (IpAddr::V6(base), IpAddr::V6(address)) => (u128::from(base), u128::from(address)),
                _ => return None,
            };
            u32::try_from(address.checked_sub(base)? >> (self.network.max_prefix_len() - self.mask)).ok()
        };
        let last_part = self.parts() - 1;
        if self.network.contains(other) {
            Some((index(other.network())?, index(other.broadcast())?.min(last_part)))
        } else {
            other.contains(&self.network).then_some((0, last_part))
        }
    }

    /// Notes that `cidr` is in use. Parts that another node has stay that node's; it is returned.
    pub(super) fn occupy(&mut self, cidr: &IpNet, owner: &Owner) -> Option<Owner> {
        let (first, last) = self.overlap(cidr)?;
        let mut rival = None;
        for part in first..=last {
            match self.taken.get(&part) {
                Some(current) if current != owner => rival = Some(current.clone()),
                Some(_) => {}
                None => {
                    self.taken.insert(part, owner.clone());
                    self.next = self.next.max((part + 1) % self.parts());
                }
            }
        }
        rival
    }

    fn allocate(&mut self, node: &str) -> Result<IpNet, Exhausted> {
        let parts = self.parts();
        let free = (0..parts).map(|i| (self.next + i) % parts).find(|part| !self.taken.contains_key(part));
        let (part, cidr) = free.and_then(|part| Some((part, self.part(part)?))).ok_or(Exhausted(self.network))?;
        self.taken.insert(part, Owner::Node(node.to_owned()));
        self.next = (part + 1) % parts;
        Ok(cidr)
    }

    fn release(&mut self, node: &str) {
        self.taken.retain(|_, owner| !matches!(owner, Owner::Node(name) if name == node));
    }
}

/// All ranges, and what each node was given.
#[derive(Debug)]
pub(super) struct Allocator {
    ranges: Vec<Range>,
    /// By node name: one part of each range. A node is given the same again until it is gone, so
    /// that a write that is tried twice does not take two parts.
    given: HashMap<String, Vec<IpNet>>,
}

impl Allocator {
    /// Nothing given yet; nothing that overlaps `reserved` ever will be.
    pub(super) fn new(ranges: impl IntoIterator<Item = Range>, reserved: &[IpNet]) -> Self {
        let mut ranges: Vec<Range> = ranges.into_iter().collect();
        for range in &mut ranges {
            for cidr in reserved {
                range.occupy(cidr, &Owner::Reserved);
            }
        }
        Self { ranges, given: HashMap::new() }
    }

    /// A node has these already. Rivals that have one of them, too.
    pub(super) fn occupy(&mut self, node: &str, cidrs: &[IpNet]) -> Vec<Owner> {
        self.given.insert(node.to_owned(), cidrs.to_vec());
        let owner = Owner::Node(node.to_owned());
        let mut rivals = Vec::new();
        for range in &mut self.ranges {
            rivals.extend(cidrs.iter().filter_map(|cidr| range.occupy(cidr, &owner)));
        }
        rivals
    }

    /// A part of each range for a node that has none: all or nothing.
    pub(super) fn allocate(&mut self, node: &str) -> Result<Vec<IpNet>, Exhausted> {
        if let Some(given) = self.given.get(node) {
            return Ok(given.clone());
        }
        let allocated: Result<Vec<IpNet>, Exhausted> =
            self.ranges.iter_mut().map(|range| range.allocate(node)).collect();
        match allocated {
            Ok(cidrs) => {
                self.given.insert(node.to_owned(), cidrs.clone());
                Ok(cidrs)
            }
            Err(exhausted) => {
                self.release(node);
                Err(exhausted)
            }
        }
    }

    /// The node is gone.
    pub(super) fn release(&mut self, node: &str) {
        self.given.remove(node);
        for range in &mut self.ranges {
            range.release(node);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cidr(text: &str) -> IpNet {
        text.parse().unwrap()
    }

    fn allocator(ranges: &[(&str, u8)], reserved: &[&str]) -> Allocator {
        let reserved: Vec<IpNet> = reserved.iter().map(|text| cidr(text)).collect();
        Allocator::new(ranges.iter().map(|(range, mask)| Range::new(cidr(range), *mask)), &reserved)
    }

    fn give(allocator: &mut Allocator, node: &str) -> String {
        match allocator.allocate(node) {
            Ok(cidrs) => cidrs.iter().map(ToString::to_string).collect::<Vec<_>>().join(","),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn parts_are_given_in_order_and_once() {
        let mut allocator = allocator(&[("10.10.0.0/22", 24)], &[]);
        for (node, expected) in [
            ("a", "10.10.0.0/24"),
            ("b", "10.10.1.0/24"),
            ("a", "10.10.0.0/24"),
            ("c", "10.10.2.0/24"),
            ("d", "10.10.3.0/24"),
            ("e", "the range 10.10.0.0/22 has no free part"),
        ] {
            assert_eq!(give(&mut allocator, node), expected, "{node}");
        }
        allocator.release("b");
        assert_eq!(give(&mut allocator, "e"), "10.10.1.0/24");
    }

    #[test]
    fn what_nodes_have_already_is_not_given_again() {
        let mut allocator = allocator(&[("10.10.0.0/16", 24)], &[]);
        assert!(allocator.occupy("b", &[cidr("10.10.1.0/24")]).is_empty());
        assert!(allocator.occupy("a", &[cidr("10.10.0.0/24")]).is_empty());
        assert!(allocator.occupy("wide", &[cidr("10.10.2.0/23")]).is_empty());
        assert_eq!(allocator.occupy("twin", &[cidr("10.10.1.0/24")]), [Owner::Node("b".into())]);
        assert_eq!(give(&mut allocator, "c"), "10.10.4.0/24");
        assert_eq!(give(&mut allocator, "b"), "10.10.1.0/24");
    }

    #[test]
    fn services_and_families_stay_apart() {
        let mut allocator = allocator(&[("10.0.0.0/8", 24), ("fd00::/56", 64)], &["10.0.0.0/23"]);
        assert_eq!(give(&mut allocator, "a"), "10.0.2.0/24,fd00::/64");
        assert_eq!(give(&mut allocator, "b"), "10.0.3.0/24,fd00:0:0:1::/64");
    }
}
