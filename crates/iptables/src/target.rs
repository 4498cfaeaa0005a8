//! Targets (`-j …`).

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use crate::matches::Mark;
use crate::names::ChainName;
use crate::words::Words;

/// What happens to a packet that a rule matches.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    /// Continue in another chain and come back.
    Jump(ChainName),
    /// Continue in another chain and do not come back.
    Goto(ChainName),
    /// Let it pass this table's hook.
    Accept,
    /// Discard it silently.
    Drop,
    /// Go back to the calling chain.
    Return,
    /// Discard it and answer.
    Reject(RejectWith),
    /// Send it elsewhere.
    Dnat(Nat),
    /// Give it the outgoing interface's address as its source.
    Masquerade(PortChoice),
    /// `MARK --set-xmark VALUE/MASK`: clear the mask's bits, then flip the value's.
    SetMark(Mark),
    /// Any other with options, word by word as it was read.
    Other(Vec<String>),
}

/// How a rejection is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RejectWith {
    /// ICMP port unreachable, in either family; iptables' default.
    PortUnreachable,
    /// A TCP reset.
    TcpReset,
}

/// Where a destination is translated to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Nat {
    /// The new address.
    pub ip: IpAddr,
    /// The new port; `None` keeps it.
    pub port: Option<u16>,
}

impl From<SocketAddr> for Nat {
    fn from(to: SocketAddr) -> Self {
        Self { ip: to.ip(), port: Some(to.port()) }
    }
}

impl Nat {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if let Ok(to) = text.parse::<SocketAddr>() {
            return Some(to.into());
        }
        Some(Self { ip: text.parse().ok()?, port: None })
    }
}

impl fmt::Display for Nat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.port {
            Some(port) => SocketAddr::new(self.ip, port).fmt(f),
            None => self.ip.fmt(f),
        }
    }
}

/// How a translated source port is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PortChoice {
    /// Kept when it is free, else the next free one.
    Keep,
    /// `--random-fully`: by the kernel's random generator, which avoids collisions between connections that are
    /// translated at the same moment.
    RandomFully,
}

impl Target {
    pub(crate) fn write(&self, out: &mut Words) {
        match self {
            Target::Goto(chain) => out.push("-g").push(chain),
            Target::Other(words) => words.iter().fold(out.push("-j"), Words::verbatim),
            Target::Jump(chain) => out.push("-j").push(chain),
            Target::Accept => out.push("-j ACCEPT"),
            Target::Drop => out.push("-j DROP"),
            Target::Return => out.push("-j RETURN"),
            Target::Reject(RejectWith::PortUnreachable) => out.push("-j REJECT"),
            Target::Reject(RejectWith::TcpReset) => out.push("-j REJECT --reject-with tcp-reset"),
            Target::Dnat(to) => out.push("-j DNAT --to-destination").push(to),
            Target::Masquerade(PortChoice::Keep) => out.push("-j MASQUERADE"),
            Target::Masquerade(PortChoice::RandomFully) => out.push("-j MASQUERADE --random-fully"),
            Target::SetMark(mark) => {
                out.push("-j MARK --set-xmark").push(format_args!("{:#x}/{:#x}", mark.value, mark.mask))
            }
        };
    }

    /// Reads the words after `-j`.
    pub(crate) fn parse(words: &[String]) -> Self {
        let texts: Vec<&str> = words.iter().map(String::as_str).collect();
        let known = match texts.as_slice() {
            ["ACCEPT"] => Some(Target::Accept),
            ["DROP"] => Some(Target::Drop),
            ["RETURN"] => Some(Target::Return),
            ["REJECT"] | ["REJECT", "--reject-with", "icmp-port-unreachable" | "icmp6-port-unreachable"] => {
                Some(Target::Reject(RejectWith::PortUnreachable))
            }
            ["REJECT", "--reject-with", "tcp-reset"] => Some(Target::Reject(RejectWith::TcpReset)),
            ["DNAT", "--to-destination", to] => Nat::parse(to).map(Target::Dnat),
            ["MASQUERADE"] => Some(Target::Masquerade(PortChoice::Keep)),
            ["MASQUERADE", "--random-fully"] => Some(Target::Masquerade(PortChoice::RandomFully)),
            ["MARK", "--set-xmark", mark] => Mark::parse(mark).map(Target::SetMark),
            [chain] => ChainName::new(*chain).ok().map(Target::Jump),
            _ => None,
        };
        known.unwrap_or_else(|| Target::Other(words.to_vec()))
    }
}
