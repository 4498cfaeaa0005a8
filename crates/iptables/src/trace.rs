//! A packet tracer: what would become of a packet under a set of rules.
//!
//! It follows the kernel's order of hooks for the first packet of a connection, through the tables `raw`, `mangle`,
//! `nat` and `filter`. It is exact for what this crate understands; a rule with a match or target that it does not
//! understand is an error and not a guess. Chance is an input: [`Packet::branch`] says how many random matches fail
//! before one succeeds.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::net::{IpAddr, SocketAddr};

use crate::matches::{AddrType, ConntrackState, Mark, Match, PhysDev, RecentAction};
use crate::names::{ChainName, Table};
use crate::rule::{Protocol, Rule};
use crate::ruleset::{Policy, Ruleset};
use crate::target::{RejectWith, Target};

/// How deep chains may call each other; the kernel refuses loops when rules are loaded.
const MAX_DEPTH: usize = 64;

/// Where a packet comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A process of this host sent it.
    Local,
    /// It arrived over this interface.
    Interface(String),
}

/// The first packet of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// Where it comes from.
    pub origin: Origin,
    /// Its protocol.
    pub protocol: Protocol,
    /// Its source.
    pub source: SocketAddr,
    /// Its destination.
    pub destination: SocketAddr,
    /// What connection tracking says of it.
    pub state: ConntrackState,
    /// Its mark on arrival.
    pub mark: u32,
    /// How many `statistic` matches fail before one succeeds.
    pub branch: usize,
}

impl Packet {
    /// A new TCP connection.
    #[must_use]
    pub fn tcp(origin: Origin, source: SocketAddr, destination: SocketAddr) -> Self {
        let state = ConntrackState::New;
        Self { origin, protocol: Protocol::Tcp, source, destination, state, mark: 0, branch: 0 }
    }

    /// The same with another protocol.
    #[must_use]
    pub fn over(mut self, protocol: Protocol) -> Self {
        self.protocol = protocol;
        self
    }

    /// The same with another random choice.
    #[must_use]
    pub fn branch(mut self, branch: usize) -> Self {
        self.branch = branch;
        self
    }
}

/// The host that the packet meets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Host {
    /// Its own addresses. Loopback addresses are always local.
    pub addresses: Vec<IpAddr>,
}

impl Host {
    fn is_local(&self, ip: IpAddr) -> bool {
        ip.is_loopback() || self.addresses.contains(&ip)
    }

    fn kind(&self, ip: IpAddr) -> AddrType {
        let broadcast = matches!(ip, IpAddr::V4(v4) if v4.is_broadcast());
        match ip {
            ip if self.is_local(ip) => AddrType::Local,
            ip if ip.is_multicast() => AddrType::Multicast,
            _ if broadcast => AddrType::Broadcast,
            _ => AddrType::Unicast,
        }
    }
}

/// How a packet's way ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// A process of this host gets it.
    Delivered,
    /// It leaves this host.
    Sent,
    /// Discarded silently.
    Dropped,
    /// Discarded with an answer.
    Rejected(RejectWith),
}

/// What became of a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// How it ended.
    pub fate: Fate,
    /// Its destination at the end.
    pub destination: SocketAddr,
    /// Whether the destination was translated.
    pub translated: bool,
    /// Whether it was masqueraded.
    pub masqueraded: bool,
    /// Every rule with a target that matched, as `TABLE CHAIN RULE`.
    pub path: Vec<String>,
}

impl fmt::Display for Outcome {
    /// One line: `DNAT to 10.10.0.5:8080, masqueraded, sent`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.translated {
            write!(f, "DNAT to {}, ", self.destination)?;
        }
        if self.masqueraded {
            f.write_str("masqueraded, ")?;
        }
        f.write_str(match self.fate {
            Fate::Delivered => "delivered",
            Fate::Sent => "sent",
            Fate::Dropped => "dropped",
            Fate::Rejected(RejectWith::PortUnreachable) => "rejected",
            Fate::Rejected(RejectWith::TcpReset) => "reset",
        })
    }
}

/// The tracer does not know what the kernel would do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unclear {
    /// A match or target that is not understood.
    #[error("{table} {chain}: not understood: {rule}")]
    Rule {
        /// The table.
        table: Table,
        /// The chain.
        chain: ChainName,
        /// The rule.
        rule: String,
    },
    /// A rule jumps to a chain that does not exist.
    #[error("{table}: no chain {chain}")]
    NoChain {
        /// The table.
        table: Table,
        /// The chain.
        chain: ChainName,
    },
    /// Chains call each other in a circle.
    #[error("{table} {chain}: chains call each other in a circle")]
    Loop {
        /// The table.
        table: Table,
        /// The chain in which the tracer gave up.
        chain: ChainName,
    },
}

/// Traces packets through one set of rules. It remembers what `recent` lists hold from one packet to the next.
#[derive(Clone, Debug)]
pub struct Tracer<'a> {
    rules: &'a Ruleset,
    host: Host,
    recent: HashMap<String, HashSet<IpAddr>>,
}

/// The way a hook or a chain ended for a packet.
enum Ruling {
    /// Nothing decided: back to the caller.
    Return,
    /// This table lets it pass.
    Accept,
    /// The packet's way is over.
    End(Fate),
}

/// A packet on its way.
struct Walk {
    packet: Packet,
    /// How many more random matches fail.
    failures_left: usize,
    translated: bool,
    masqueraded: bool,
    path: Vec<String>,
}

const PREROUTING: &[Table] = &[Table::Raw, Table::Mangle, Table::Nat];
const INPUT: &[Table] = &[Table::Mangle, Table::Filter, Table::Nat];
const FORWARD: &[Table] = &[Table::Mangle, Table::Filter];
const OUTPUT: &[Table] = &[Table::Raw, Table::Mangle, Table::Nat, Table::Filter];
const POSTROUTING: &[Table] = &[Table::Mangle, Table::Nat];

impl<'a> Tracer<'a> {
    /// A tracer for a host with these rules.
    #[must_use]
    pub fn new(rules: &'a Ruleset, host: Host) -> Self {
        Self { rules, host, recent: HashMap::new() }
    }

    /// Follows the packet to its end.
    ///
    /// # Errors
    /// [`Unclear`] when the packet meets something whose effect is not known.
    pub fn trace(&mut self, packet: Packet) -> Result<Outcome, Unclear> {
        let failures_left = packet.branch;
        let mut walk = Walk { packet, failures_left, translated: false, masqueraded: false, path: Vec::new() };
        let fate = self.walk(&mut walk)?;
        Ok(Outcome {
            fate,
            destination: walk.packet.destination,
            translated: walk.translated,
            masqueraded: walk.masqueraded,
            path: walk.path,
        })
    }

    /// Every outcome that chance can bring, each once, in the order of the branches.
    ///
    /// # Errors
    /// As [`Tracer::trace`].
    pub fn outcomes(&self, packet: &Packet) -> Result<Vec<Outcome>, Unclear> {
        let mut outcomes: Vec<Outcome> = Vec::new();
        for branch in 0.. {
            let outcome = self.clone().trace(packet.clone().branch(branch))?;
            if outcomes.contains(&outcome) {
                break;
            }
            outcomes.push(outcome);
        }
        Ok(outcomes)
    }

    fn walk(&mut self, walk: &mut Walk) -> Result<Fate, Unclear> {
        let local = walk.packet.origin == Origin::Local;
        let first = if local { (&ChainName::OUTPUT, OUTPUT) } else { (&ChainName::PREROUTING, PREROUTING) };
        if let Some(end) = self.hook(walk, first)? {
            return Ok(end);
        }
        if self.host.is_local(walk.packet.destination.ip()) {
            return Ok(self.hook(walk, (&ChainName::INPUT, INPUT))?.unwrap_or(Fate::Delivered));
        }
        if !local && let Some(end) = self.hook(walk, (&ChainName::FORWARD, FORWARD))? {
            return Ok(end);
        }
        Ok(self.hook(walk, (&ChainName::POSTROUTING, POSTROUTING))?.unwrap_or(Fate::Sent))
    }

    fn hook(&mut self, walk: &mut Walk, (name, tables): (&ChainName, &[Table])) -> Result<Option<Fate>, Unclear> {
        for &table in tables {
            let Some(policy) = self.rules.chain(table, name).map(|chain| chain.policy) else { continue };
            match self.chain(walk, table, name, 0)? {
                Ruling::End(fate) => return Ok(Some(fate)),
                Ruling::Return if policy == Some(Policy::Drop) => return Ok(Some(Fate::Dropped)),
                Ruling::Return | Ruling::Accept => {}
            }
        }
        Ok(None)
    }

    fn chain(&mut self, walk: &mut Walk, table: Table, name: &ChainName, depth: usize) -> Result<Ruling, Unclear> {
        if depth > MAX_DEPTH {
            return Err(Unclear::Loop { table, chain: name.clone() });
        }
        let rules = self.rules;
        let chain = rules.chain(table, name).ok_or_else(|| Unclear::NoChain { table, chain: name.clone() })?;
        for rule in &chain.rules {
            let unclear = || Unclear::Rule { table, chain: name.clone(), rule: rule.to_string() };
            if !self.matches(walk, rule).ok_or_else(unclear)? {
                continue;
            }
            let Some(target) = &rule.target else { continue };
            walk.path.push(format!("{table} {name} {rule}"));
            let ruling = match target {
                Target::Jump(called) => match self.chain(walk, table, called, depth + 1)? {
                    Ruling::Return => continue,
                    ruling => ruling,
                },
                Target::Goto(called) => self.chain(walk, table, called, depth + 1)?,
                Target::SetMark(mark) => {
                    walk.packet.mark = (walk.packet.mark & !mark.mask) ^ mark.value;
                    continue;
                }
                target => terminal(walk, target).ok_or_else(unclear)?,
            };
            return Ok(ruling);
        }
        Ok(Ruling::Return)
    }

    /// Whether all conditions hold; `None` when one of them is not understood.
    fn matches(&mut self, walk: &mut Walk, rule: &Rule) -> Option<bool> {
        let packet = &walk.packet;
        let in_interface = match &packet.origin {
            Origin::Interface(name) => name.as_str(),
            Origin::Local => "",
        };
        let basics = rule.source.as_ref().is_none_or(|t| t.holds(|net| net.contains(&packet.source.ip())))
            && rule.destination.as_ref().is_none_or(|t| t.holds(|net| net.contains(&packet.destination.ip())))
            && rule.in_interface.as_ref().is_none_or(|t| t.holds(|name| interface_matches(name, in_interface)))
            && rule.protocol.as_ref().is_none_or(|t| t.holds(|p| *p == packet.protocol));
        if !basics {
            return Some(false);
        }
        if rule.out_interface.is_some() {
            return None;
        }
        for m in &rule.matches {
            if !self.extension(walk, m)? {
                return Some(false);
            }
        }
        Some(true)
    }

    fn extension(&mut self, walk: &mut Walk, m: &Match) -> Option<bool> {
        let packet = &walk.packet;
        Some(match m {
            Match::Comment(_) => true,
            Match::Ports(ports) => {
                ports.protocol == packet.protocol
                    && ports.source.as_ref().is_none_or(|t| t.holds(|r| r.contains(packet.source.port())))
                    && ports.destination.as_ref().is_none_or(|t| t.holds(|r| r.contains(packet.destination.port())))
            }
            Match::AddrType(types) => {
                let is = |ip: IpAddr| move |kind: &AddrType, host: &Host| host.kind(ip) == *kind;
                let (source, destination) = (is(packet.source.ip()), is(packet.destination.ip()));
                types.source.as_ref().is_none_or(|t| t.holds(|kind| source(kind, &self.host)))
                    && types.destination.as_ref().is_none_or(|t| t.holds(|kind| destination(kind, &self.host)))
            }
            Match::Mark(test) => test.holds(|Mark { value, mask }| packet.mark & mask == *value),
            Match::Statistic(_) => match walk.failures_left.checked_sub(1) {
                None => true,
                Some(left) => {
                    walk.failures_left = left;
                    false
                }
            },
            Match::Recent(recent) => {
                let source = packet.source.ip();
                let list = self.recent.entry(recent.list.clone()).or_default();
                match recent.action {
                    RecentAction::Set => {
                        list.insert(source);
                        true
                    }
                    RecentAction::Check { .. } => list.contains(&source),
                }
            }
            Match::Conntrack(test) => test.holds(|states| {
                states.contains(&packet.state) || (walk.translated && states.contains(&ConntrackState::Dnat))
            }),
            Match::PhysDev(test) => match test.value() {
                PhysDev::IsBridged | PhysDev::IsIn | PhysDev::IsOut => test.holds(|_| false),
                PhysDev::In(_) | PhysDev::Out(_) => return None,
            },
            Match::Other(_) => return None,
        })
    }
}

fn interface_matches(pattern: &str, name: &str) -> bool {
    match pattern.strip_suffix('+') {
        Some(prefix) => name.starts_with(prefix),
        None => pattern == name,
    }
}

/// Applies a target that ends the chain; `None` when it is not understood.
fn terminal(walk: &mut Walk, target: &Target) -> Option<Ruling> {
    match target {
        Target::Accept => Some(Ruling::Accept),
        Target::Drop => Some(Ruling::End(Fate::Dropped)),
        Target::Return => Some(Ruling::Return),
        Target::Reject(with) => Some(Ruling::End(Fate::Rejected(*with))),
        Target::Dnat(to) => {
            let port = to.port.unwrap_or(walk.packet.destination.port());
            walk.packet.destination = SocketAddr::new(to.ip, port);
            walk.translated = true;
            Some(Ruling::Accept)
        }
        Target::Masquerade(_) => {
            walk.masqueraded = true;
            Some(Ruling::Accept)
        }
        Target::Jump(_) | Target::Goto(_) | Target::SetMark(_) | Target::Other(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: &str = "\
*nat
:PREROUTING ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
:SVC - [0:0]
:ONE - [0:0]
:TWO - [0:0]
:MASQ - [0:0]
-A PREROUTING -d 10.96.0.1/32 -p tcp -m tcp --dport 80 -j SVC
-A OUTPUT -d 10.96.0.1/32 -p tcp -m tcp --dport 80 -j SVC
-A PREROUTING -p udp -m addrtype --dst-type LOCAL -m udp --dport 53 -j ONE
-A POSTROUTING -m mark --mark 0x4000/0x4000 -j MASQUERADE --random-fully
-A MASQ -j MARK --set-xmark 0x4000/0x4000
-A SVC ! -s 10.244.0.0/16 -j MASQ
-A SVC -m recent --rcheck --seconds 60 --reap --name TWO -j TWO
-A SVC -m statistic --mode random --probability 0.5 -j ONE
-A SVC -j TWO
-A ONE -p tcp -m tcp -j DNAT --to-destination 10.244.0.5:8080
-A ONE -p udp -m udp -j DNAT --to-destination 10.244.0.5:5353
-A TWO -p tcp -m recent --set --name TWO -m tcp -j DNAT --to-destination 10.244.1.6:8080
COMMIT
*filter
:INPUT ACCEPT [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
-A FORWARD -p tcp -m conntrack --ctstate DNAT -j ACCEPT
-A INPUT -p tcp -m tcp --dport 9 -j REJECT --reject-with icmp-port-unreachable
-A OUTPUT -m helper --helper ftp -j ACCEPT
COMMIT
";

    fn outcomes(packet: &Packet) -> Vec<String> {
        let rules: Ruleset = RULES.parse().unwrap();
        let host = Host { addresses: vec!["192.168.0.1".parse().unwrap()] };
        match Tracer::new(&rules, host).outcomes(packet) {
            Ok(outcomes) => outcomes.iter().map(ToString::to_string).collect(),
            Err(unclear) => vec![unclear.to_string()],
        }
    }

    #[test]
    fn packets_end_where_the_rules_say() {
        let pod = "10.244.0.9:4000";
        let stranger = "172.16.0.1:4000";
        let arrives = |source: &str, destination: &str| {
            let from = Origin::Interface("eth0".into());
            Packet::tcp(from, source.parse().unwrap(), destination.parse().unwrap())
        };
        let cases: [(Packet, &[&str]); 6] = [
            (arrives(pod, "10.96.0.1:80"), &["DNAT to 10.244.0.5:8080, sent", "DNAT to 10.244.1.6:8080, sent"]),
            (
                arrives(stranger, "10.96.0.1:80"),
                &["DNAT to 10.244.0.5:8080, masqueraded, sent", "DNAT to 10.244.1.6:8080, masqueraded, sent"],
            ),
            (arrives(stranger, "8.8.8.8:80"), &["dropped"]),
            (arrives(stranger, "192.168.0.1:9"), &["rejected"]),
            (arrives(stranger, "192.168.0.1:53").over(Protocol::Udp), &["DNAT to 10.244.0.5:5353, dropped"]),
            (
                Packet { origin: Origin::Local, ..arrives("192.168.0.1:4000", "8.8.8.8:80") },
                &["filter OUTPUT: not understood: -m helper --helper ftp -j ACCEPT"],
            ),
        ];
        for (packet, expected) in cases {
            assert_eq!(outcomes(&packet), expected, "{packet:?}");
        }
    }

    #[test]
    fn recent_lists_live_from_packet_to_packet() {
        let rules: Ruleset = RULES.parse().unwrap();
        let mut tracer = Tracer::new(&rules, Host::default());
        let packet = Packet::tcp(
            Origin::Interface("eth0".into()),
            "10.244.0.9:1".parse().unwrap(),
            "10.96.0.1:80".parse().unwrap(),
        );
        assert_eq!(tracer.trace(packet.clone().branch(1)).unwrap().to_string(), "DNAT to 10.244.1.6:8080, sent");
        assert_eq!(tracer.trace(packet.branch(0)).unwrap().to_string(), "DNAT to 10.244.1.6:8080, sent");
    }
}
