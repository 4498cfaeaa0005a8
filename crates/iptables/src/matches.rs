//! Match extensions (`-m …`).

use std::collections::BTreeSet;
use std::fmt;

use crate::rule::{Protocol, Test};
use crate::words::Words;

/// Longest comment that the kernel keeps (`XT_MAX_COMMENT_LEN` less the terminating zero).
const MAX_COMMENT: usize = 255;

/// One match extension with its options.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Match {
    /// `comment`: always true.
    Comment(String),
    /// `tcp`, `udp`, `sctp`: ports.
    Ports(Ports),
    /// `addrtype`: what kind of address source or destination is.
    AddrType(AddrTypes),
    /// `mark`: the packet mark.
    Mark(Test<Mark>),
    /// `statistic --mode random`: true with a probability.
    Statistic(Probability),
    /// `recent`: remembers source addresses.
    Recent(Recent),
    /// `conntrack --ctstate`: the state of the connection.
    Conntrack(Test<BTreeSet<ConntrackState>>),
    /// `physdev`: the bridge port.
    PhysDev(Test<PhysDev>),
    /// Anything else, word by word as it was read.
    Other(Vec<String>),
}

/// Ports of a transport protocol.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Ports {
    /// The protocol whose ports are meant; the rule's `-p` says the same.
    pub protocol: Protocol,
    /// `--sport`
    pub source: Option<Test<PortRange>>,
    /// `--dport`
    pub destination: Option<Test<PortRange>>,
}

/// A port, or an inclusive range of ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PortRange {
    /// The lowest port.
    pub first: u16,
    /// The highest port, not below `first`.
    pub last: u16,
}

impl PortRange {
    /// Just one port.
    #[must_use]
    pub fn one(port: u16) -> Self {
        Self { first: port, last: port }
    }

    /// Whether the port is within.
    #[must_use]
    pub fn contains(self, port: u16) -> bool {
        (self.first..=self.last).contains(&port)
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (first, last) = text.split_once(':').unwrap_or((text, text));
        let bound = |s: &str, open: u16| if s.is_empty() { Some(open) } else { s.parse().ok() };
        Some(Self { first: bound(first, 0)?, last: bound(last, u16::MAX)? })
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last { write!(f, "{}", self.first) } else { write!(f, "{}:{}", self.first, self.last) }
    }
}

/// `addrtype` conditions.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AddrTypes {
    /// `--src-type`
    pub source: Option<Test<AddrType>>,
    /// `--dst-type`
    pub destination: Option<Test<AddrType>>,
}

/// What an address is to this host's routing table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AddrType {
    /// An address of this host.
    Local,
    /// An address that is routed elsewhere.
    Unicast,
    /// A broadcast address.
    Broadcast,
    /// A multicast address.
    Multicast,
}

impl AddrType {
    const ALL: [AddrType; 4] = [AddrType::Local, AddrType::Unicast, AddrType::Broadcast, AddrType::Multicast];

    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|t| t.name() == name)
    }

    fn name(self) -> &'static str {
        match self {
            AddrType::Local => "LOCAL",
            AddrType::Unicast => "UNICAST",
            AddrType::Broadcast => "BROADCAST",
            AddrType::Multicast => "MULTICAST",
        }
    }
}

impl fmt::Display for AddrType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A packet mark under a mask: `value` where `mask` has ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Mark {
    /// The bits.
    pub value: u32,
    /// Which bits count.
    pub mask: u32,
}

impl Mark {
    /// One or more bits that are all set.
    #[must_use]
    pub fn bits(bits: u32) -> Self {
        Self { value: bits, mask: bits }
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (value, mask) = text.split_once('/').unwrap_or((text, "0xffffffff"));
        Some(Self { value: hex(value)?, mask: hex(mask)? })
    }
}

fn hex(text: &str) -> Option<u32> {
    match text.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.mask {
            u32::MAX => write!(f, "{:#x}", self.value),
            mask => write!(f, "{:#x}/{mask:#x}", self.value),
        }
    }
}

/// A probability in the kernel's unit: 2^31 is certainty.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Probability(u32);

impl Probability {
    const ONE: u32 = 1 << 31;

    /// One in `n`. Zero counts as one.
    #[must_use]
    pub fn one_in(n: usize) -> Self {
        let n = u64::try_from(n.max(1)).unwrap_or(u64::MAX);
        let rounded = (u64::from(Self::ONE) + n / 2) / n;
        Self(u32::try_from(rounded).unwrap_or(Self::ONE))
    }

    /// Parses what iptables prints, eleven decimals.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let fraction: f64 = text.parse().ok().filter(|p| (0.0..=1.0).contains(p))?;
        Some(Self((fraction * f64::from(Self::ONE)).round() as u32))
    }

    /// The probability as a fraction of one.
    #[must_use]
    pub fn fraction(self) -> f64 {
        f64::from(self.0) / f64::from(Self::ONE)
    }
}

impl fmt::Display for Probability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.11}", self.fraction())
    }
}

/// The `recent` match: a named list of source addresses.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Recent {
    /// The list's name.
    pub list: String,
    /// What is done with the source address.
    pub action: RecentAction,
}

/// What `recent` does with the source address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RecentAction {
    /// `--set`: remembers it; always true.
    Set,
    /// `--rcheck --seconds N --reap`: true when it was remembered within the last `seconds`; older ones are purged.
    Check {
        /// For how long an address counts as recent.
        seconds: u32,
    },
}

/// The state of a connection. The order is that in which iptables prints them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ConntrackState {
    /// Belongs to no connection.
    Invalid,
    /// The first packet of a connection.
    New,
    /// A new connection that belongs to an existing one, or an ICMP error about one.
    Related,
    /// Part of a connection that was seen in both directions.
    Established,
    /// Exempt from tracking.
    Untracked,
    /// The source was translated.
    Snat,
    /// The destination was translated.
    Dnat,
}

impl ConntrackState {
    const ALL: [ConntrackState; 7] = [
        ConntrackState::Invalid,
        ConntrackState::New,
        ConntrackState::Related,
        ConntrackState::Established,
        ConntrackState::Untracked,
        ConntrackState::Snat,
        ConntrackState::Dnat,
    ];

    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|s| s.name() == name)
    }

    fn name(self) -> &'static str {
        match self {
            ConntrackState::Invalid => "INVALID",
            ConntrackState::New => "NEW",
            ConntrackState::Related => "RELATED",
            ConntrackState::Established => "ESTABLISHED",
            ConntrackState::Untracked => "UNTRACKED",
            ConntrackState::Snat => "SNAT",
            ConntrackState::Dnat => "DNAT",
        }
    }
}

/// The bridge port over which a packet came or goes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum PhysDev {
    /// `--physdev-in NAME`
    In(String),
    /// `--physdev-is-in`: it came over some bridge port.
    IsIn,
    /// `--physdev-out NAME`
    Out(String),
    /// `--physdev-is-out`: it leaves over some bridge port.
    IsOut,
    /// `--physdev-is-bridged`: it is bridged and not routed.
    IsBridged,
}

impl Match {
    /// A comment; control characters become spaces and the text is cut at the kernel's 255 bytes.
    #[must_use]
    pub fn comment(text: &str) -> Self {
        let mut text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        let cut = (0..=MAX_COMMENT.min(text.len())).rev().find(|&i| text.is_char_boundary(i)).unwrap_or(0);
        text.truncate(cut);
        Match::Comment(text)
    }

    pub(crate) fn write(&self, out: &mut Words) {
        match self {
            Match::Comment(text) => out.push("-m comment --comment").text(text),
            Match::Ports(ports) => out
                .push("-m")
                .push(&ports.protocol)
                .test("--sport", ports.source.as_ref())
                .test("--dport", ports.destination.as_ref()),
            Match::AddrType(types) => out
                .push("-m addrtype")
                .test("--src-type", types.source.as_ref())
                .test("--dst-type", types.destination.as_ref()),
            Match::Mark(mark) => out.push("-m mark").test("--mark", Some(mark)),
            Match::Statistic(p) => out.push("-m statistic --mode random --probability").push(p),
            Match::Recent(recent) => recent.write(out),
            Match::Conntrack(states) => {
                let names = |set: &BTreeSet<ConntrackState>| set.iter().map(|s| s.name()).collect::<Vec<_>>().join(",");
                let named = match states {
                    Test::Is(set) => Test::Is(names(set)),
                    Test::Not(set) => Test::Not(names(set)),
                };
                out.push("-m conntrack").test("--ctstate", Some(&named))
            }
            Match::PhysDev(dev) => {
                out.push("-m physdev");
                if matches!(dev, Test::Not(_)) {
                    out.push('!');
                }
                dev.value().write(out)
            }
            Match::Other(words) => words.iter().fold(out, Words::verbatim),
        };
    }
}

impl Recent {
    fn write<'w>(&self, out: &'w mut Words) -> &'w mut Words {
        out.push("-m recent");
        match self.action {
            RecentAction::Set => out.push("--set"),
            RecentAction::Check { seconds } => out.push("--rcheck --seconds").push(seconds).push("--reap"),
        };
        out.push("--name").push(&self.list)
    }
}

impl PhysDev {
    fn write<'w>(&self, out: &'w mut Words) -> &'w mut Words {
        match self {
            PhysDev::In(name) => out.push("--physdev-in").push(name),
            PhysDev::IsIn => out.push("--physdev-is-in"),
            PhysDev::Out(name) => out.push("--physdev-out").push(name),
            PhysDev::IsOut => out.push("--physdev-is-out"),
            PhysDev::IsBridged => out.push("--physdev-is-bridged"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probabilities_survive_the_kernels_rounding() {
        for n in (1..2000).chain([5000, 100_000]) {
            let p = Probability::one_in(n);
            assert_eq!(Probability::parse(&p.to_string()), Some(p), "1/{n} printed as {p}");
        }
        assert_eq!(Probability::one_in(3).to_string(), "0.33333333349");
    }

    #[test]
    fn comments_are_made_harmless() {
        assert_eq!(Match::comment("a\n-A INPUT -j ACCEPT"), Match::Comment("a -A INPUT -j ACCEPT".into()));
        let Match::Comment(long) = Match::comment(&"ü".repeat(200)) else { unreachable!() };
        assert_eq!(long.len(), 254);
    }
}
