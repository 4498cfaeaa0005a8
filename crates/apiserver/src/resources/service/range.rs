//! Ranges of addresses and ports as numbered places, and the set of places that are taken.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use super::PortRange;

/// The most addresses of a range that are used, as upstream.
const MAX_PLACES: u32 = 1 << 20;

/// A range of which single places are handed out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Range {
    /// Cluster IPs; the network's own address and the broadcast address are left out.
    Addresses(IpNet),
    /// Node ports.
    Ports(PortRange),
}

/// A place in a range, counted from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place(pub u32);

impl Range {
    /// How many places there are.
    #[must_use]
    pub fn size(&self) -> u32 {
        match self {
            Self::Ports(ports) => ports.size(),
            Self::Addresses(network) => {
                let bits = u32::from(network.max_prefix_len() - network.prefix_len());
                let total = 1_u32.checked_shl(bits).filter(|total| *total <= MAX_PLACES).unwrap_or(MAX_PLACES);
                total.saturating_sub(2)
            }
        }
    }

    /// The text by which a stored set is recognised as being of this range.
    #[must_use]
    pub fn spec(&self) -> String {
        match self {
            Self::Addresses(network) => network.to_string(),
            Self::Ports(ports) => format!("{}-{}", ports.first, ports.last),
        }
    }

    /// The network, where addresses are handed out.
    #[must_use]
    pub fn network(&self) -> Option<IpNet> {
        match self {
            Self::Addresses(network) => Some(*network),
            Self::Ports(_) => None,
        }
    }

    /// The address at a place.
    #[must_use]
    pub fn address(&self, place: Place) -> Option<IpAddr> {
        match self {
            Self::Addresses(IpNet::V4(network)) => {
                Some(IpAddr::V4(Ipv4Addr::from(u32::from(network.network()) + 1 + place.0)))
            }
            Self::Addresses(IpNet::V6(network)) => {
                Some(IpAddr::V6(Ipv6Addr::from(u128::from(network.network()) + 1 + u128::from(place.0))))
            }
            Self::Ports(_) => None,
        }
    }

    /// The place of an address; `None` when it is not in the range.
    #[must_use]
    pub fn place_of_address(&self, address: IpAddr) -> Option<Place> {
        let offset = match (self, address) {
            (Self::Addresses(IpNet::V4(network)), IpAddr::V4(address)) => {
                u32::from(address).checked_sub(u32::from(network.network()))?
            }
            (Self::Addresses(IpNet::V6(network)), IpAddr::V6(address)) => {
                u32::try_from(u128::from(address).checked_sub(u128::from(network.network()))?).ok()?
            }
            _ => return None,
        };
        offset.checked_sub(1).filter(|place| *place < self.size()).map(Place)
    }

    /// The port at a place.
    #[must_use]
    pub fn port(&self, place: Place) -> Option<i32> {
        match self {
            Self::Ports(ports) => i32::try_from(u32::from(ports.first) + place.0).ok(),
            Self::Addresses(_) => None,
        }
    }

    /// The place of a port; `None` when it is not in the range.
    #[must_use]
    pub fn place_of_port(&self, port: i32) -> Option<Place> {
        match self {
            Self::Ports(ports) => {
                let port = u16::try_from(port).ok().filter(|port| ports.contains(*port))?;
                Some(Place(u32::from(port - ports.first)))
            }
            Self::Addresses(_) => None,
        }
    }

    /// The first place that is handed out to those who do not care; the ones before are left to those who choose, until
    /// the rest is used up. Upstream's rule.
    fn first_dynamic(&self) -> u32 {
        let size = self.size();
        let (least, most, share) = match self {
            Self::Addresses(_) => (16, 256, size / 16),
            Self::Ports(_) => (16, 128, size / 32),
        };
        if size <= least { 0 } else { share.clamp(least, most) }
    }

    /// A place at random, of those that are handed out to who does not care.
    #[must_use]
    pub fn guess(&self) -> Option<Place> {
        let (size, dynamic) = (self.size(), self.first_dynamic());
        (dynamic < size).then(|| Place(rand::random_range(dynamic..size)))
    }

    /// A free place, at random so that one that was just given back is seldom the next.
    #[must_use]
    pub fn pick(&self, taken: &Places) -> Option<Place> {
        let (size, dynamic) = (self.size(), self.first_dynamic());
        taken.free_from(dynamic, size).or_else(|| taken.free_from(0, dynamic))
    }
}

/// The places of a range that are taken, one bit each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Places(Vec<u8>);

impl Places {
    /// A set from its bits, the least significant bit of the first byte being place 0.
    #[must_use]
    pub fn from_bits(bits: Vec<u8>) -> Self {
        Self(bits)
    }

    /// The bits.
    #[must_use]
    pub fn bits(&self) -> &[u8] {
        &self.0
    }

    /// Whether a place is taken.
    #[must_use]
    pub fn contains(&self, place: Place) -> bool {
        self.0.get(place.0 as usize / 8).is_some_and(|byte| byte & (1 << (place.0 % 8)) != 0)
    }

    /// Takes a place; whether it was free.
    pub fn insert(&mut self, place: Place) -> bool {
        let index = place.0 as usize / 8;
        if index >= self.0.len() {
            self.0.resize(index + 1, 0);
        }
        let free = !self.contains(place);
        self.0[index] |= 1 << (place.0 % 8);
        free
    }

    /// Gives a place back; whether it was taken.
    pub fn remove(&mut self, place: Place) -> bool {
        let taken = self.contains(place);
        if let Some(byte) = self.0.get_mut(place.0 as usize / 8) {
            *byte &= !(1 << (place.0 % 8));
        }
        taken
    }

    /// Every place that is taken.
    pub fn iter(&self) -> impl Iterator<Item = Place> {
        let bits =
            (0..).zip(&self.0).flat_map(|(index, byte)| (0..8).map(move |bit| (index * 8 + bit, byte & (1 << bit))));
        bits.filter(|(_, bit)| *bit != 0).map(|(place, _)| Place(place))
    }

    /// A free place from `first` up to `end`, searched for from a random start.
    fn free_from(&self, first: u32, end: u32) -> Option<Place> {
        if first >= end {
            return None;
        }
        let start = rand::random_range(first..end);
        (start..end).chain(first..start).map(Place).find(|place| !self.contains(*place))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses() -> Range {
        Range::Addresses("10.0.0.0/28".parse().unwrap())
    }

    #[test]
    fn places_and_addresses_correspond() {
        let range = addresses();
        assert_eq!(range.size(), 14);
        assert_eq!(range.address(Place(0)).unwrap().to_string(), "10.0.0.1");
        for place in (0..14).map(Place) {
            assert_eq!(range.place_of_address(range.address(place).unwrap()), Some(place));
        }
        for outside in ["10.0.0.0", "10.0.0.15", "10.0.1.1", "9.9.9.9", "fd00::1"] {
            assert_eq!(range.place_of_address(outside.parse().unwrap()), None, "{outside}");
        }
    }

    #[test]
    fn large_ranges_are_used_in_part() {
        assert_eq!(Range::Addresses("10.0.0.0/8".parse().unwrap()).size(), (1 << 20) - 2);
        assert_eq!(Range::Addresses("fd00::/64".parse().unwrap()).size(), (1 << 20) - 2);
    }

    #[test]
    fn ports_correspond_to_places() {
        let range = Range::Ports("30000-30009".parse().unwrap());
        assert_eq!((range.size(), range.port(Place(9))), (10, Some(30009)));
        assert_eq!(range.place_of_port(30003), Some(Place(3)));
        assert_eq!(range.place_of_port(29999), None);
        assert_eq!(range.place_of_port(-1), None);
    }

    #[test]
    fn every_place_is_handed_out_once() {
        let range = addresses();
        let mut taken = Places::default();
        for _ in 0..range.size() {
            let place = range.pick(&taken).unwrap();
            assert!(taken.insert(place));
        }
        assert_eq!(range.pick(&taken), None);
        assert!(taken.remove(Place(3)) && !taken.remove(Place(3)));
        assert_eq!(range.pick(&taken), Some(Place(3)));
        assert_eq!(taken.iter().count(), 13);
    }
}
