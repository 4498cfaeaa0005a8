//! What is enforced, as values, and how nftables writes it.
//!
//! Two chains look at what is forwarded: one at what pods of this node send, one at what they are sent. What one accepts the other
//! still sees. A pod that no policy selects is in neither map, and costs two lookups a connection.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::{self, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use super::ranges::Ranges;

/// The table: ours, and nobody else's.
pub const TABLE: &str = "kube-network-policies";

/// Which way a connection goes, as seen from the pod that a policy selects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// Out of the pod.
    Egress,
    /// Into the pod.
    Ingress,
}

impl Direction {
    /// Both, in the order in which a packet meets them.
    pub const ALL: [Direction; 2] = [Direction::Egress, Direction::Ingress];

    /// The name of the chain, and of the maps.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Direction::Egress => "egress",
            Direction::Ingress => "ingress",
        }
    }

    /// Which address of a packet is the selected pod's.
    const fn own(self) -> &'static str {
        match self {
            Direction::Egress => "saddr",
            Direction::Ingress => "daddr",
        }
    }

    /// Which address of a packet is the other side's.
    const fn other(self) -> &'static str {
        match self {
            Direction::Egress => "daddr",
            Direction::Ingress => "saddr",
        }
    }
}

/// The other side of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Peers {
    /// Everybody.
    Anybody,
    /// These.
    Some {
        /// Addresses of pods.
        addresses: BTreeSet<IpAddr>,
        /// Blocks of addresses, of IPv4 and of IPv6.
        blocks: [Ranges; 2],
    },
}

/// Which ports are meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ports {
    /// All, of every protocol.
    All,
    /// These.
    Some {
        /// Ranges by protocol, in nftables' spelling; the whole range means the protocol as such.
        ranges: BTreeMap<&'static str, Ranges>,
        /// Ports that are known by name only, and so differ from pod to pod.
        named: BTreeSet<(IpAddr, &'static str, u16)>,
    },
}

/// What a policy allows in one direction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The other side. Rules that mean the same share it.
    pub peers: Arc<Peers>,
    /// The ports of whoever is asked.
    pub ports: Ports,
}

/// Everything that is enforced on a node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ruleset {
    /// What each policy allows, by direction and the policy's `namespace/name`.
    pub policies: BTreeMap<(Direction, String), Vec<Rule>>,
    /// The policies of each address that is isolated.
    pub isolated: BTreeMap<(Direction, IpAddr), BTreeSet<String>>,
}

impl Ruleset {
    /// Whether nothing is restricted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.isolated.is_empty()
    }

    /// The script that brings this into force in place of whatever was in force, at once.
    #[must_use]
    pub fn to_script(&self) -> String {
        let clear = clear_script();
        if self.is_empty() { clear } else { format!("{clear}{self}") }
    }
}

/// The script after which nothing is restricted. It works, too, where nothing was.
#[must_use]
pub fn clear_script() -> String {
    format!("add table inet {TABLE}\ndelete table inet {TABLE}\n")
}

impl fmt::Display for Ruleset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut writer = Writer::default();
        for ((direction, policy), rules) in &self.policies {
            writer.policy(*direction, policy, rules)?;
        }
        let groups: BTreeSet<_> =
            self.isolated.iter().map(|((direction, _), policies)| (*direction, policies)).collect();
        for (direction, policies) in groups {
            writer.group(direction, policies)?;
        }
        writeln!(f, "table inet {TABLE} {{")?;
        for (name, content) in &writer.sets {
            writeln!(f, "  set {name} {{\n{content}  }}")?;
        }
        f.write_str(&writer.chains)?;
        // A pod is never kept from itself.
        for family in Family::ALL {
            let elements = self.isolated.keys().map(|(_, ip)| *ip).filter(|ip| family.has(ip)).collect::<BTreeSet<_>>();
            let pairs = elements.iter().map(|ip| format!("{ip} . {ip}"));
            let content = content(&format!("{0} . {0}", family.kind), "", pairs);
            writeln!(f, "  set itself-{} {{\n{content}  }}", family.digit)?;
        }
        for direction in Direction::ALL {
            self.write_base_chain(f, direction)?;
        }
        writeln!(f, "}}")
    }
}

impl Ruleset {
    fn write_base_chain(&self, f: &mut fmt::Formatter<'_>, direction: Direction) -> fmt::Result {
        let name = direction.name();
        for family in Family::ALL {
            let isolated = self.isolated.iter().filter(|((d, ip), _)| *d == direction && family.has(ip));
            let elements =
                isolated.map(|((_, ip), policies)| format!("{ip} : goto {}", group_name(direction, policies)));
            let content = content(&format!("{} : verdict", family.kind), "", elements);
            writeln!(f, "  map {name}-{} {{\n{content}  }}", family.digit)?;
        }
        // Before kube-proxy's and everybody else's filters, after translation: what is seen is who really talks to whom.
        let priority = match direction {
            Direction::Egress => 20,
            Direction::Ingress => 19,
        };
        writeln!(f, "  chain {name} {{\n    type filter hook forward priority filter - {priority}; policy accept;")?;
        writeln!(f, "    ct state established,related accept")?;
        // Bridged neighbours find each other by these.
        writeln!(
            f,
            "    icmpv6 type {{ nd-router-solicit, nd-router-advert, nd-neighbor-solicit, nd-neighbor-advert }} accept"
        )?;
        for family in Family::ALL {
            let Family { word, digit, .. } = family;
            writeln!(f, "    {word} saddr . {word} daddr @itself-{digit} accept")?;
            writeln!(f, "    {word} {} vmap @{name}-{digit}", direction.own())?;
        }
        writeln!(f, "  }}")
    }
}

/// An address family in nftables' words.
#[derive(Clone, Copy)]
struct Family {
    word: &'static str,
    kind: &'static str,
    digit: char,
}

impl Family {
    const ALL: [Family; 2] =
        [Family { word: "ip", kind: "ipv4_addr", digit: '4' }, Family { word: "ip6", kind: "ipv6_addr", digit: '6' }];

    fn has(self, ip: &IpAddr) -> bool {
        ip.is_ipv4() == (self.digit == '4')
    }

    /// The address of this number.
    fn address(self, number: u128) -> IpAddr {
        match u32::try_from(number) {
            Ok(number) if self.digit == '4' => Ipv4Addr::from_bits(number).into(),
            _ => Ipv6Addr::from_bits(number).into(),
        }
    }
}

/// Sets and chains under construction.
#[derive(Default)]
struct Writer {
    /// By a name that is a digest of the content: rules that mean the same share a set.
    sets: BTreeMap<String, String>,
    /// The conditions of peers that several rules share.
    peers: HashMap<(Direction, *const Peers), Vec<String>>,
    chains: String,
}

impl Writer {
    /// A policy's chain. What it takes grows with the sum of peers and ports, not with their product.
    fn policy(&mut self, direction: Direction, policy: &str, rules: &[Rule]) -> fmt::Result {
        let mut lines = String::new();
        for rule in rules {
            let (peers, ports) = (self.peers(direction, &rule.peers), self.ports(&rule.ports));
            for (peer, port) in peers.iter().flat_map(|peer| ports.iter().map(move |port| (peer, port))) {
                writeln!(lines, "    {peer}{port}accept")?;
            }
        }
        writeln!(self.chains, "  chain {} {{\n{lines}  }}", policy_name(direction, policy))
    }

    /// The chain of pods that these policies select. Who is told at once need not find out by waiting.
    fn group(&mut self, direction: Direction, policies: &BTreeSet<String>) -> fmt::Result {
        writeln!(self.chains, "  chain {} {{", group_name(direction, policies))?;
        for policy in policies {
            writeln!(self.chains, "    jump {}", policy_name(direction, policy))?;
        }
        writeln!(self.chains, "    reject with icmpx admin-prohibited\n  }}")
    }

    /// The conditions of which one must hold.
    fn peers(&mut self, direction: Direction, peers: &Arc<Peers>) -> Vec<String> {
        let key = (direction, Arc::as_ptr(peers));
        if let Some(known) = self.peers.get(&key) {
            return known.clone();
        }
        let conditions = self.new_peers(direction.other(), peers);
        self.peers.insert(key, conditions.clone());
        conditions
    }

    fn new_peers(&mut self, side: &str, peers: &Peers) -> Vec<String> {
        let Peers::Some { addresses, blocks } = peers else { return vec![String::new()] };
        let mut conditions = Vec::new();
        for (family, blocks) in Family::ALL.into_iter().zip(blocks) {
            let Family { word, kind, .. } = family;
            let members = addresses.iter().filter(|ip| family.has(ip)).map(ToString::to_string);
            let ranges = blocks.iter().map(|(first, last)| range(family.address(first), family.address(last)));
            for (flags, elements) in [("", members.collect::<Vec<_>>()), (INTERVAL, ranges.collect())] {
                if !elements.is_empty() {
                    conditions.push(format!("{word} {side} @{} ", self.set(kind, flags, elements.into_iter())));
                }
            }
        }
        conditions
    }

    /// The conditions of which one must hold.
    fn ports(&mut self, ports: &Ports) -> Vec<String> {
        let Ports::Some { ranges, named } = ports else { return vec![String::new()] };
        let mut conditions = Vec::new();
        for (protocol, ranges) in ranges.iter().filter(|(_, ranges)| !ranges.is_empty()) {
            if ranges.iter().eq([(0, u128::from(u16::MAX))]) {
                conditions.push(format!("meta l4proto {protocol} "));
            } else {
                let elements = ranges.iter().map(|(first, last)| range(first, last));
                conditions.push(format!("{protocol} dport @{} ", self.set("inet_service", INTERVAL, elements)));
            }
        }
        for family in Family::ALL {
            let Family { word, kind, .. } = family;
            let of_family = named.iter().filter(|(ip, ..)| family.has(ip));
            let mut members = of_family.map(|(ip, protocol, port)| format!("{ip} . {protocol} . {port}")).peekable();
            if members.peek().is_some() {
                let name = self.set(&format!("{kind} . inet_proto . inet_service"), "", members);
                conditions.push(format!("{word} daddr . meta l4proto . th dport @{name} "));
            }
        }
        conditions
    }

    /// The name of the set of these elements.
    fn set(&mut self, kind: &str, flags: &str, elements: impl Iterator<Item = String>) -> String {
        let content = content(kind, flags, elements);
        let name = format!("set-{}", digest([content.as_str()]));
        self.sets.entry(name.clone()).or_insert(content);
        name
    }
}

/// What makes a set one of ranges.
const INTERVAL: &str = "    flags interval\n";

fn range<T: fmt::Display + PartialEq>(first: T, last: T) -> String {
    if first == last { first.to_string() } else { format!("{first}-{last}") }
}

/// The content of a set or map.
fn content(kind: &str, flags: &str, elements: impl Iterator<Item = String>) -> String {
    let mut content = format!("    type {kind}\n{flags}");
    for (i, element) in elements.enumerate() {
        content.push_str(if i == 0 { "    elements = { " } else { ", " });
        content.push_str(&element);
    }
    if content.contains('{') {
        content.push_str(" }\n");
    }
    content
}

/// A policy's chain: a digest, since names may be longer than nftables allows, and as much of the name as people need.
fn policy_name(direction: Direction, policy: &str) -> String {
    let readable: String = policy.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).take(60).collect();
    format!("{}-{}-{readable}", direction.name(), digest([policy]))
}

/// The chain of pods that these policies select.
fn group_name(direction: Direction, policies: &BTreeSet<String>) -> String {
    format!("{}-of-{}", direction.name(), digest(policies.iter().map(String::as_str)))
}

fn digest<'a>(parts: impl IntoIterator<Item = &'a str>) -> String {
    use sha2::Digest as _;
    let mut hash = sha2::Sha256::new();
    for part in parts {
        // A name holds no NUL.
        hash.update(part);
        hash.update([0]);
    }
    hash.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}
