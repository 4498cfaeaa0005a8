//! The chains that are there without any service, and the hooks that lead to them.

use std::net::{Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use iptables::{ChainName, ConntrackState, Desired, Family, Hook, Mark, Place, Rule, Table, Target};

use crate::chains::{
    CANARY, EXTERNAL_SERVICES, FIREWALL, FORWARD, MARK_MASQ, NODE_PORTS, POSTROUTING, PROXY_FIREWALL, SERVICES,
};
use crate::settings::{InvalidPackets, LocalhostNodePorts, MASQUERADE_PORTS, Settings};

/// Which packets a hook takes.
#[derive(Clone, Copy)]
enum Takes {
    /// All of them.
    All,
    /// The first of each connection: rejecting later ones would cut connections that are being drained.
    New,
}

/// Table, the kernel's chain, where it leads, which packets, comment; in the order in which they stand in a chain.
const HOOKS: [(Table, ChainName, ChainName, Takes, &str); 12] = {
    use Table::{Filter, Nat};
    use Takes::{All, New};
    const BALANCER: &str = "kubernetes load balancer firewall";
    const EXTERNAL: &str = "kubernetes externally-visible service portals";
    const PORTALS: &str = "kubernetes service portals";
    [
        (Filter, ChainName::INPUT, PROXY_FIREWALL, New, BALANCER),
        (Filter, ChainName::INPUT, NODE_PORTS, All, "kubernetes health check service ports"),
        (Filter, ChainName::INPUT, EXTERNAL_SERVICES, New, EXTERNAL),
        (Filter, ChainName::FORWARD, PROXY_FIREWALL, New, BALANCER),
        (Filter, ChainName::FORWARD, FORWARD, All, "kubernetes forwarding rules"),
        (Filter, ChainName::FORWARD, SERVICES, New, PORTALS),
        (Filter, ChainName::FORWARD, EXTERNAL_SERVICES, New, EXTERNAL),
        (Filter, ChainName::OUTPUT, PROXY_FIREWALL, New, BALANCER),
        (Filter, ChainName::OUTPUT, SERVICES, New, PORTALS),
        (Nat, ChainName::PREROUTING, SERVICES, All, PORTALS),
        (Nat, ChainName::OUTPUT, SERVICES, All, PORTALS),
        (Nat, ChainName::POSTROUTING, POSTROUTING, All, "kubernetes postrouting rules"),
    ]
};

/// Adds them.
pub(super) fn add(desired: &mut Desired, settings: &Settings, family: Family) {
    for name in [&SERVICES, &EXTERNAL_SERVICES, &NODE_PORTS, &PROXY_FIREWALL, &CANARY] {
        desired.chain(Table::Filter, name);
    }
    for name in [&SERVICES, &NODE_PORTS, &CANARY] {
        desired.chain(Table::Nat, name);
    }
    *desired.chain(Table::Nat, &MARK_MASQ) = vec![Rule::new().target(Target::SetMark(settings.mark))];
    *desired.chain(Table::Nat, &POSTROUTING) = postrouting(settings.mark);
    *desired.chain(Table::Filter, &FORWARD) = forward(settings);
    for (table, chain, to, takes, comment) in HOOKS {
        let rule = match takes {
            Takes::All => Rule::new(),
            Takes::New => Rule::new().state([ConntrackState::New]),
        };
        desired.hook(Hook { table, chain, place: Place::First, rule: rule.comment(comment).jump(to) });
    }
    if family == Family::V4 && settings.localhost == LocalhostNodePorts::Answered {
        protect_loopback(desired);
    }
}

/// What a proxy needs of iptables that translates by other means: policies and rules of iptables that refuse to forward
/// packets cannot be overruled from another table.
pub(super) fn add_forwarding(desired: &mut Desired, settings: &Settings) {
    *desired.chain(Table::Filter, &FORWARD) = forward(settings);
    for (table, chain, to, _, comment) in HOOKS {
        if to == FORWARD {
            desired.hook(Hook { table, chain, place: Place::First, rule: Rule::new().comment(comment).jump(to) });
        }
    }
}

/// What is still for a virtual address when destinations have been translated is for a port that no service has. It
/// would leave the node by its default route.
pub(super) fn refuse_ranges(settings: &Settings, family: Family) -> impl Iterator<Item = Rule> {
    let comment = "no service has this port";
    settings.ranges(family).map(move |net| Rule::new().comment(comment).destination(net).reject())
}

/// Un-marks before masquerading: the packet may pass this hook again inside a tunnel.
fn postrouting(mark: Mark) -> Vec<Rule> {
    vec![
        Rule::new().not_mark(mark).target(Target::Return),
        Rule::new().target(Target::SetMark(Mark { value: mark.value, mask: 0 })),
        Rule::new().comment("kubernetes service traffic requiring SNAT").masquerade(MASQUERADE_PORTS),
    ]
}

/// Lets translated packets through even where forwarding is otherwise refused, as Docker's daemon sets it up.
fn forward(settings: &Settings) -> Vec<Rule> {
    let invalid = Rule::new().state([ConntrackState::Invalid]).target(Target::Drop);
    let later = [ConntrackState::Related, ConntrackState::Established];
    let mut rules = match settings.invalid {
        InvalidPackets::Dropped => vec![invalid],
        InvalidPackets::Ignored => Vec::new(),
    };
    rules.extend([
        Rule::new().comment("kubernetes forwarding rules").mark(settings.mark).target(Target::Accept),
        Rule::new().comment("kubernetes forwarding conntrack rule").state(later).target(Target::Accept),
    ]);
    rules
}

/// `route_localnet` lets the network reach services that listen on loopback addresses only; this rule keeps it out,
/// see CVE-2020-8558.
fn protect_loopback(desired: &mut Desired) {
    let ours = [ConntrackState::Related, ConntrackState::Established, ConntrackState::Dnat];
    let loopback = loopback(Family::V4);
    let rule = Rule::new().comment("block incoming localnet connections");
    *desired.chain(Table::Filter, &FIREWALL) =
        vec![rule.destination(loopback).not_source(loopback).not_state(ours).target(Target::Drop)];
    for chain in [ChainName::INPUT, ChainName::OUTPUT] {
        let rule = Rule::new().jump(FIREWALL);
        desired.hook(Hook { table: Table::Filter, chain, place: Place::First, rule });
    }
}

/// The loopback addresses.
pub(super) fn loopback(family: Family) -> IpNet {
    match family {
        Family::V4 => Ipv4Net::new_assert(Ipv4Addr::new(127, 0, 0, 0), 8).into(),
        Family::V6 => Ipv6Net::new_assert(Ipv6Addr::LOCALHOST, 128).into(),
    }
}
