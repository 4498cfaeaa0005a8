//! One rule: conditions and what happens when all of them hold.

use std::fmt;

use ipnet::IpNet;

use crate::matches::{AddrType, AddrTypes, ConntrackState, Mark, Match, PortRange, Ports, Probability, Recent};
use crate::names::ChainName;
use crate::target::{Nat, PortChoice, RejectWith, Target};
use crate::words::Words;

/// A condition or its negation (`!`).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Test<T> {
    /// The packet has this.
    Is(T),
    /// The packet has anything but this.
    Not(T),
}

impl<T> Test<T> {
    /// The value, negated or not.
    pub fn value(&self) -> &T {
        match self {
            Test::Is(v) | Test::Not(v) => v,
        }
    }

    /// Whether the condition holds, given whether the value itself does.
    pub fn holds(&self, matched: impl FnOnce(&T) -> bool) -> bool {
        match self {
            Test::Is(v) => matched(v),
            Test::Not(v) => !matched(v),
        }
    }
}

/// The transport protocol as `-p` names it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Protocol {
    /// `tcp`
    Tcp,
    /// `udp`
    Udp,
    /// `sctp`
    Sctp,
    /// Any other, by the name or number that iptables prints (`icmp`, `ipv6-icmp`, `132`).
    Other(String),
}

impl Protocol {
    /// The name as iptables prints it.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
            Protocol::Sctp => "sctp",
            Protocol::Other(name) => name,
        }
    }

    /// The protocol of this name.
    #[must_use]
    pub fn named(name: &str) -> Self {
        match name {
            "tcp" => Protocol::Tcp,
            "udp" => Protocol::Udp,
            "sctp" => Protocol::Sctp,
            other => Protocol::Other(other.to_owned()),
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One rule. Its `Display` is what `iptables-save` prints after `-A CHAIN`.
///
/// Build one with [`Rule::new`] and the methods named after iptables' options; matches are evaluated in the order in
/// which they were added.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Rule {
    /// `-s`
    pub source: Option<Test<IpNet>>,
    /// `-d`
    pub destination: Option<Test<IpNet>>,
    /// `-i`: interface name; a trailing `+` matches any suffix.
    pub in_interface: Option<Test<String>>,
    /// `-o`: interface name; a trailing `+` matches any suffix.
    pub out_interface: Option<Test<String>>,
    /// `-p`
    pub protocol: Option<Test<Protocol>>,
    /// `-m …`, in order.
    pub matches: Vec<Match>,
    /// `-j`/`-g`; `None` counts the packet and goes on.
    pub target: Option<Target>,
}

impl Rule {
    /// A rule that matches everything and does nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// `-s NET`
    #[must_use]
    pub fn source(mut self, net: impl Into<IpNet>) -> Self {
        self.source = Some(Test::Is(net.into().trunc()));
        self
    }

    /// `! -s NET`
    #[must_use]
    pub fn not_source(mut self, net: impl Into<IpNet>) -> Self {
        self.source = Some(Test::Not(net.into().trunc()));
        self
    }

    /// `-d NET`
    #[must_use]
    pub fn destination(mut self, net: impl Into<IpNet>) -> Self {
        self.destination = Some(Test::Is(net.into().trunc()));
        self
    }

    /// `! -d NET`
    #[must_use]
    pub fn not_destination(mut self, net: impl Into<IpNet>) -> Self {
        self.destination = Some(Test::Not(net.into().trunc()));
        self
    }

    /// `-i INTERFACE`
    #[must_use]
    pub fn in_interface(mut self, name: impl Into<String>) -> Self {
        self.in_interface = Some(Test::Is(name.into()));
        self
    }

    /// `-o INTERFACE`
    #[must_use]
    pub fn out_interface(mut self, name: impl Into<String>) -> Self {
        self.out_interface = Some(Test::Is(name.into()));
        self
    }

    /// `-p PROTOCOL`
    #[must_use]
    pub fn protocol(mut self, protocol: Protocol) -> Self {
        self.protocol = Some(Test::Is(protocol));
        self
    }

    /// `-p PROTOCOL -m PROTOCOL --dport PORT`
    #[must_use]
    pub fn destination_port(mut self, protocol: Protocol, port: u16) -> Self {
        self.matches.push(Match::Ports(Ports {
            protocol: protocol.clone(),
            source: None,
            destination: Some(Test::Is(PortRange::one(port))),
        }));
        self.protocol(protocol)
    }

    /// `-p PROTOCOL -m PROTOCOL`, as it is written when a target needs the protocol and no port is matched.
    #[must_use]
    pub fn any_port(mut self, protocol: Protocol) -> Self {
        self.matches.push(Match::Ports(Ports { protocol: protocol.clone(), source: None, destination: None }));
        self.protocol(protocol)
    }

    /// `-m comment --comment TEXT`. Control characters become spaces and the text is cut at the kernel's 255 bytes.
    #[must_use]
    pub fn comment(mut self, text: impl AsRef<str>) -> Self {
        self.matches.push(Match::comment(text.as_ref()));
        self
    }

    /// `-m addrtype --src-type TYPE`
    #[must_use]
    pub fn source_type(mut self, kind: AddrType) -> Self {
        self.matches.push(Match::AddrType(AddrTypes { source: Some(Test::Is(kind)), destination: None }));
        self
    }

    /// `-m addrtype --dst-type TYPE`
    #[must_use]
    pub fn destination_type(mut self, kind: AddrType) -> Self {
        self.matches.push(Match::AddrType(AddrTypes { source: None, destination: Some(Test::Is(kind)) }));
        self
    }

    /// `-m addrtype ! --dst-type TYPE`
    #[must_use]
    pub fn not_destination_type(mut self, kind: AddrType) -> Self {
        self.matches.push(Match::AddrType(AddrTypes { source: None, destination: Some(Test::Not(kind)) }));
        self
    }

    /// `-m mark --mark MARK`
    #[must_use]
    pub fn mark(mut self, mark: Mark) -> Self {
        self.matches.push(Match::Mark(Test::Is(mark)));
        self
    }

    /// `-m mark ! --mark MARK`
    #[must_use]
    pub fn not_mark(mut self, mark: Mark) -> Self {
        self.matches.push(Match::Mark(Test::Not(mark)));
        self
    }

    /// `-m statistic --mode random --probability P`
    #[must_use]
    pub fn probability(mut self, probability: Probability) -> Self {
        self.matches.push(Match::Statistic(probability));
        self
    }

    /// `-m recent …`
    #[must_use]
    pub fn recent(mut self, recent: Recent) -> Self {
        self.matches.push(Match::Recent(recent));
        self
    }

    /// `-m conntrack --ctstate STATES`
    #[must_use]
    pub fn state(mut self, states: impl IntoIterator<Item = ConntrackState>) -> Self {
        self.matches.push(Match::Conntrack(Test::Is(states.into_iter().collect())));
        self
    }

    /// `-m conntrack ! --ctstate STATES`
    #[must_use]
    pub fn not_state(mut self, states: impl IntoIterator<Item = ConntrackState>) -> Self {
        self.matches.push(Match::Conntrack(Test::Not(states.into_iter().collect())));
        self
    }

    /// `-j CHAIN`
    #[must_use]
    pub fn jump(self, chain: ChainName) -> Self {
        self.target(Target::Jump(chain))
    }

    /// `-j DNAT --to-destination TO`
    #[must_use]
    pub fn dnat(self, to: impl Into<Nat>) -> Self {
        self.target(Target::Dnat(to.into()))
    }

    /// `-j MASQUERADE [--random-fully]`
    #[must_use]
    pub fn masquerade(self, ports: PortChoice) -> Self {
        self.target(Target::Masquerade(ports))
    }

    /// `-j REJECT` with iptables' default answer (port unreachable).
    #[must_use]
    pub fn reject(self) -> Self {
        self.target(Target::Reject(RejectWith::PortUnreachable))
    }

    /// `-j TARGET`
    #[must_use]
    pub fn target(mut self, target: Target) -> Self {
        self.target = Some(target);
        self
    }

    /// The chain that this rule jumps or goes to, if it does.
    #[must_use]
    pub fn calls(&self) -> Option<&ChainName> {
        match &self.target {
            Some(Target::Jump(chain) | Target::Goto(chain)) => Some(chain),
            _ => None,
        }
    }

    pub(crate) fn write(&self, out: &mut Words) {
        out.test("-s", self.source.as_ref());
        out.test("-d", self.destination.as_ref());
        out.test("-i", self.in_interface.as_ref());
        out.test("-o", self.out_interface.as_ref());
        out.test("-p", self.protocol.as_ref());
        for m in &self.matches {
            m.write(out);
        }
        if let Some(target) = &self.target {
            target.write(out);
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut words = Words::default();
        self.write(&mut words);
        f.write_str(words.as_str())
    }
}
