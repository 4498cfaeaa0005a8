//! Sets of numbers, such as addresses or ports, as ranges.

use std::net::IpAddr;

use ipnet::IpNet;

/// Inclusive ranges that neither overlap nor touch, in order: what sets of nftables take, whatever was asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ranges(Vec<(u128, u128)>);

impl FromIterator<(u128, u128)> for Ranges {
    /// The union; a range whose end is before its start is empty.
    fn from_iter<I: IntoIterator<Item = (u128, u128)>>(ranges: I) -> Self {
        let mut ranges: Vec<_> = ranges.into_iter().filter(|(first, last)| first <= last).collect();
        ranges.sort_unstable();
        let mut joined: Vec<(u128, u128)> = Vec::new();
        for (first, last) in ranges {
            match joined.last_mut() {
                Some((_, end)) if first <= end.saturating_add(1) => *end = last.max(*end),
                _ => joined.push((first, last)),
            }
        }
        Self(joined)
    }
}

impl Ranges {
    /// Those addresses of a network that are in none of its parts `except`, which may overlap and reach beyond it.
    pub fn without(net: IpNet, except: impl IntoIterator<Item = IpNet>) -> Self {
        let (start, end) = bounds(net);
        let mut rest = Vec::new();
        let mut from = Some(start);
        for (first, last) in except.into_iter().map(bounds).collect::<Self>().0 {
            let Some(at) = from.filter(|at| *at <= end) else { break };
            if at < first {
                rest.push((at, end.min(first.saturating_sub(1))));
            }
            from = last.checked_add(1).map(|next| next.max(at));
        }
        rest.extend(from.filter(|at| *at <= end).map(|at| (at, end)));
        Self(rest)
    }

    /// Whether nothing is in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The ranges.
    pub fn iter(&self) -> impl Iterator<Item = (u128, u128)> {
        self.0.iter().copied()
    }
}

/// The first and the last address.
fn bounds(net: IpNet) -> (u128, u128) {
    (number(net.network()), number(net.broadcast()))
}

fn number(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(ip) => u128::from(ip.to_bits()),
        IpAddr::V6(ip) => ip.to_bits(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_overlaps_or_touches_is_joined() {
        for (given, expected) in [
            (vec![], vec![]),
            (vec![(5, 4)], vec![]),
            (vec![(8, 9), (1, 3), (2, 6)], vec![(1, 6), (8, 9)]),
            (vec![(1, 3), (4, 6)], vec![(1, 6)]),
            (vec![(1, 9), (2, 3)], vec![(1, 9)]),
            (vec![(0, u128::MAX), (7, 8)], vec![(0, u128::MAX)]),
        ] {
            assert_eq!(given.iter().copied().collect::<Ranges>().0, expected, "{given:?}");
        }
    }

    /// By trying every address of a small network.
    #[test]
    fn exceptions_are_taken_out() {
        let net: IpNet = "10.0.0.32/27".parse().unwrap();
        let cases: &[&[&str]] = &[
            &[],
            &["10.0.0.32/27"],
            &["10.0.0.0/8"],
            &["10.0.0.32/30", "10.0.0.60/30"],
            &["10.0.0.40/30", "10.0.0.40/31", "10.0.0.44/32"],
            &["10.0.0.0/27", "10.0.0.64/27"],
            &["255.255.255.255/32", "10.0.0.63/32"],
        ];
        for except in cases {
            let except: Vec<IpNet> = except.iter().map(|text| text.parse().unwrap()).collect();
            let rest = Ranges::without(net, except.iter().copied());
            for ip in net.hosts().chain([net.network(), net.broadcast()]) {
                let expected = !except.iter().any(|hole| hole.contains(&ip));
                let n = number(ip);
                assert_eq!(rest.iter().any(|(a, b)| (a..=b).contains(&n)), expected, "{ip} with {except:?}");
            }
        }
        let all = Ranges::without("::/0".parse().unwrap(), ["ffff::/16".parse().unwrap()]);
        assert_eq!(all.0, [(0, (0xffff << 112) - 1)]);
        assert!(Ranges::without("::/0".parse().unwrap(), ["::/0".parse().unwrap()]).is_empty());
    }
}
