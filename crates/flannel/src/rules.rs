//! The iptables rules of the network: forwarding, and masquerading what leaves it.

use ipnet::Ipv4Net;
use iptables::{
    BadChainName, ChainName, Delta, Desired, Family, Hook, HostIptables, Iptables, Mark, Observed, Place, PortChoice,
    Rule, Table, Target,
};

/// kube-proxy masquerades what it has marked with this bit.
const KUBE_PROXY_MARK: u32 = 0x4000;

/// What the rules are made of.
#[derive(Clone, Copy, Debug)]
pub struct Facts {
    /// The network.
    pub network: Ipv4Net,
    /// This node's part of it.
    pub subnet: Ipv4Net,
    /// How what leaves the network is masqueraded, if it is.
    pub masquerade: Option<PortChoice>,
    /// Whether packets of the network are let through.
    pub forward: bool,
}

fn chains() -> Result<(ChainName, ChainName), BadChainName> {
    Ok((ChainName::new("FLANNEL-POSTRTG")?, ChainName::new("FLANNEL-FWD")?))
}

/// The rules, all of them.
///
/// # Errors
/// Never: the names of the chains are acceptable.
pub fn render(facts: &Facts) -> Result<Desired, BadChainName> {
    let (postrouting, forward) = chains()?;
    let (network, subnet) = (facts.network, facts.subnet);
    let group = Ipv4Net::new_assert(std::net::Ipv4Addr::new(224, 0, 0, 0), 4);
    let mut desired = Desired::default();
    let comment = "flanneld";
    if let Some(ports) = facts.masquerade {
        let rules = vec![
            Rule::new().mark(Mark::bits(KUBE_PROXY_MARK)).target(Target::Return),
            Rule::new().source(subnet).destination(network).target(Target::Return),
            Rule::new().source(network).destination(subnet).target(Target::Return),
            // What comes from outside to a pod here was let in by another node's port, and goes back that way.
            Rule::new().not_source(network).destination(subnet).target(Target::Return),
            Rule::new().source(network).not_destination(group).masquerade(ports),
            Rule::new().not_source(network).destination(network).masquerade(ports),
        ];
        *desired.chain(Table::Nat, &postrouting) = rules;
        let rule = Rule::new().comment(comment).jump(postrouting);
        desired.hook(Hook { table: Table::Nat, chain: ChainName::POSTROUTING, place: Place::First, rule });
    }
    if facts.forward {
        let rules = vec![
            Rule::new().source(network).target(Target::Accept),
            Rule::new().destination(network).target(Target::Accept),
        ];
        *desired.chain(Table::Filter, &forward) = rules;
        let rule = Rule::new().comment(comment).jump(forward);
        desired.hook(Hook { table: Table::Filter, chain: ChainName::FORWARD, place: Place::Last, rule });
    }
    Ok(desired)
}

/// Makes our rules these: reads what is there and writes what differs. Rules of others stay.
///
/// # Errors
/// When rules cannot be read or written.
pub async fn apply(iptables: &HostIptables, facts: &Facts) -> anyhow::Result<()> {
    let (postrouting, forward) = chains()?;
    let observed = Observed::of(&iptables.save(Family::V4).await?);
    let delta = Delta::between(&render(facts)?, &observed, |chain| *chain == postrouting || *chain == forward);
    if !delta.is_empty() {
        iptables.restore(Family::V4, &delta.to_script()).await?;
    }
    Ok(())
}
