//! What is enforced, as values, and how nftables writes it.
//!
//! Two chains look at what is forwarded: one at what pods of this node send, one at what they are sent. What one accepts the other
//! still sees. A pod that no policy selects is in neither map, and costs two lookups a connection.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;

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
    /// These addresses, and these networks without parts of them.
    Some {
        /// Addresses of pods.
        addresses: BTreeSet<IpAddr>,
        /// Networks, each with its exceptions.
        blocks: Vec<(IpNet, Vec<IpNet>)>,
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
        ranges: BTreeMap<&'static str, BTreeSet<(u16, u16)>>,
        /// Ports that are known by name only, and so differ from pod to pod.
        named: BTreeSet<(IpAddr, &'static str, u16)>,
    },
}

/// What a policy allows in one direction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The other side.
    pub peers: Peers,
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
        writeln!(f, "table inet {TABLE} {{")?;
        for ((direction, policy), rules) in &self.policies {
            write_policy(f, *direction, policy, rules)?;
        }
        let groups: BTreeSet<_> =
            self.isolated.iter().map(|((direction, _), policies)| (*direction, policies)).collect();
        for (direction, policies) in groups {
            writeln!(f, "  chain {} {{", group_name(direction, policies))?;
            for policy in policies {
                writeln!(f, "    jump {}", policy_name(direction, policy))?;
            }
            // Who is told at once need not find out by waiting.
            writeln!(f, "    reject with icmpx admin-prohibited\n  }}")?;
        }
        // A pod is never kept from itself.
        for family in Family::ALL {
            let elements = self.isolated.keys().map(|(_, ip)| *ip).filter(|ip| family.has(ip)).collect::<BTreeSet<_>>();
            let pairs = elements.iter().map(|ip| format!("{ip} . {ip}"));
            write_set(f, &format!("itself-{}", family.digit), &format!("{0} . {0}", family.kind), "", pairs)?;
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
            writeln!(f, "  map {name}-{} {{\n    type {} : verdict", family.digit, family.kind)?;
            let isolated = self.isolated.iter().filter(|((d, ip), _)| *d == direction && family.has(ip));
            let elements =
                isolated.map(|((_, ip), policies)| format!("{ip} : goto {}", group_name(direction, policies)));
            write_elements(f, elements)?;
            writeln!(f, "  }}")?;
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
}

/// A policy's chain, behind the sets that its rules look into.
fn write_policy(f: &mut fmt::Formatter<'_>, direction: Direction, policy: &str, rules: &[Rule]) -> fmt::Result {
    let chain = policy_name(direction, policy);
    let mut lines = Vec::new();
    for (number, rule) in rules.iter().enumerate() {
        let name = format!("{chain}-{number}");
        let peers = write_peers(f, direction, &rule.peers, &name)?;
        let ports = write_ports(f, &rule.ports, &name)?;
        for peer in &peers {
            lines.extend(ports.iter().map(|port| format!("    {peer}{port}accept")));
        }
    }
    writeln!(f, "  chain {chain} {{")?;
    for line in lines {
        writeln!(f, "{line}")?;
    }
    writeln!(f, "  }}")
}

/// Writes the sets of addresses, and gives the conditions of which one must hold.
fn write_peers(
    f: &mut fmt::Formatter<'_>,
    direction: Direction,
    peers: &Peers,
    name: &str,
) -> Result<Vec<String>, fmt::Error> {
    let Peers::Some { addresses, blocks } = peers else { return Ok(vec![String::new()]) };
    let mut conditions = Vec::new();
    let side = direction.other();
    for family in Family::ALL {
        let Family { word, digit, kind } = family;
        let members: Vec<String> = addresses.iter().filter(|ip| family.has(ip)).map(ToString::to_string).collect();
        if !members.is_empty() {
            write_set(f, &format!("{name}-{digit}"), kind, "", members.into_iter())?;
            conditions.push(format!("{word} {side} @{name}-{digit} "));
        }
    }
    for (net, except) in blocks {
        let word = if net.addr().is_ipv4() { "ip" } else { "ip6" };
        let mut condition = format!("{word} {side} {net} ");
        for hole in except {
            condition.push_str(&format!("{word} {side} != {hole} "));
        }
        conditions.push(condition);
    }
    Ok(conditions)
}

/// Writes the sets of ports by name, and gives the conditions of which one must hold.
fn write_ports(f: &mut fmt::Formatter<'_>, ports: &Ports, name: &str) -> Result<Vec<String>, fmt::Error> {
    let Ports::Some { ranges, named } = ports else { return Ok(vec![String::new()]) };
    let mut conditions = Vec::new();
    for (protocol, ranges) in ranges {
        if ranges.contains(&(0, u16::MAX)) {
            conditions.push(format!("meta l4proto {protocol} "));
        } else {
            // One by one: ranges of a policy may overlap, which a set of nftables may not.
            conditions.extend(ranges.iter().map(|(first, last)| format!("{protocol} dport {first}-{last} ")));
        }
    }
    for family in Family::ALL {
        let Family { word, digit, kind } = family;
        let of_family = named.iter().filter(|(ip, ..)| family.has(ip));
        let members: Vec<String> =
            of_family.map(|(ip, protocol, port)| format!("{ip} . {protocol} . {port}")).collect();
        if !members.is_empty() {
            write_set(
                f,
                &format!("{name}-port-{digit}"),
                &format!("{kind} . inet_proto . inet_service"),
                "",
                members.into_iter(),
            )?;
            conditions.push(format!("{word} daddr . meta l4proto . th dport @{name}-port-{digit} "));
        }
    }
    Ok(conditions)
}

fn write_set(
    f: &mut fmt::Formatter<'_>,
    name: &str,
    kind: &str,
    flags: &str,
    elements: impl Iterator<Item = String>,
) -> fmt::Result {
    writeln!(f, "  set {name} {{\n    type {kind}")?;
    f.write_str(flags)?;
    write_elements(f, elements)?;
    writeln!(f, "  }}")
}

fn write_elements(f: &mut fmt::Formatter<'_>, mut elements: impl Iterator<Item = String>) -> fmt::Result {
    let Some(first) = elements.next() else { return Ok(()) };
    write!(f, "    elements = {{ {first}")?;
    for element in elements {
        write!(f, ", {element}")?;
    }
    writeln!(f, " }}")
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
    hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}
