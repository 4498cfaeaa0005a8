//! What the rules depend on besides Services and EndpointSlices.

use std::net::IpAddr;

use ipnet::IpNet;
use iptables::{Family, Mark, PortChoice, Rule, Test};

/// `--iptables-masquerade-bit`'s default: 14, so the mark is `0x4000/0x4000`.
pub const DEFAULT_MASQUERADE_BIT: u8 = 14;

/// Settings of the rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The packet mark that asks for masquerading.
    pub mark: Mark,
    /// Which traffic to virtual addresses is masqueraded.
    pub masquerade: Masquerade,
    /// How the traffic of this node's or the cluster's pods is recognised.
    pub pods: PodTraffic,
    /// On which of the node's addresses node ports answer.
    pub node_ports: NodePortAddresses,
    /// Whether node ports answer on IPv4 loopback addresses.
    pub localhost: LocalhostNodePorts,
    /// What is done with packets that connection tracking calls invalid.
    pub invalid: InvalidPackets,
    /// This node's own addresses.
    pub node_addresses: Vec<IpAddr>,
    /// The ranges of virtual addresses, as far as they are known.
    pub service_ranges: Vec<IpNet>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            mark: Mark::bits(1 << DEFAULT_MASQUERADE_BIT),
            masquerade: Masquerade::OffCluster,
            pods: PodTraffic::Unknown,
            node_ports: NodePortAddresses::All,
            localhost: LocalhostNodePorts::Answered,
            invalid: InvalidPackets::Dropped,
            node_addresses: Vec::new(),
            service_ranges: Vec::new(),
        }
    }
}

impl Settings {
    /// The ranges of virtual addresses of one family.
    pub(crate) fn ranges(&self, family: Family) -> impl Iterator<Item = IpNet> {
        self.service_ranges.iter().filter(move |net| Family::of(net.addr()) == family).map(IpNet::trunc)
    }
}

/// Which traffic to virtual addresses is masqueraded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Masquerade {
    /// `--masquerade-all`
    All,
    /// Only what does not come from pods, when it is known which that is.
    OffCluster,
}

/// How a pod's traffic is recognised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PodTraffic {
    /// It is not.
    Unknown,
    /// By source: the networks of this node's pods, as soon as they are known.
    NodeCidrs,
    /// By source: the first network of each family counts.
    Cidrs(Vec<IpNet>),
    /// By the bridge over which it arrives.
    Bridge(String),
    /// By the beginning of the name of the interface over which it arrives.
    InterfacePrefix(String),
}

impl PodTraffic {
    /// Adds the condition "a pod sent it" to a rule; `None` when pods are not recognised in this family.
    pub(crate) fn when_from_pod(&self, rule: Rule, family: Family) -> Option<Rule> {
        self.condition(rule, family, Side::Pods)
    }

    /// Adds the condition "no pod sent it" to a rule; `None` when pods are not recognised in this family.
    pub(crate) fn unless_from_pod(&self, rule: Rule, family: Family) -> Option<Rule> {
        self.condition(rule, family, Side::Others)
    }

    fn condition(&self, mut rule: Rule, family: Family, side: Side) -> Option<Rule> {
        match self {
            PodTraffic::Unknown | PodTraffic::NodeCidrs => return None,
            PodTraffic::Cidrs(nets) => {
                let net = *nets.iter().find(|net| Family::of(net.addr()) == family)?;
                rule.source = Some(side.test(net.trunc()));
            }
            PodTraffic::Bridge(name) => rule.in_interface = Some(side.test(name.clone())),
            PodTraffic::InterfacePrefix(prefix) => rule.in_interface = Some(side.test(format!("{prefix}+"))),
        }
        Some(rule)
    }
}

#[derive(Clone, Copy)]
enum Side {
    Pods,
    Others,
}

impl Side {
    fn test<T>(self, value: T) -> Test<T> {
        match self {
            Side::Pods => Test::Is(value),
            Side::Others => Test::Not(value),
        }
    }
}

/// On which of the node's addresses node ports answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NodePortAddresses {
    /// All of them.
    All,
    /// These.
    These(Vec<IpAddr>),
}

/// Whether node ports answer on IPv4 loopback addresses. (On IPv6 the kernel cannot do it.)
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LocalhostNodePorts {
    /// They do; needs `route_localnet`.
    Answered,
    /// They do not.
    Refused,
}

/// What is done with packets that connection tracking calls invalid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InvalidPackets {
    /// Discarded: they would go out untranslated and make the peer reset the connection.
    Dropped,
    /// Nothing: with `nf_conntrack_tcp_be_liberal` there are none.
    Ignored,
}

/// Source ports of masqueraded connections are always chosen at random: two pods that resolve a name at the same
/// moment would otherwise collide, and lose a packet.
pub(crate) const MASQUERADE_PORTS: PortChoice = PortChoice::RandomFully;
