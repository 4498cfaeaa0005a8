//! The rules of one service port.

use std::net::IpAddr;

use iptables::{
    AddrType, ChainName, Desired, Family, Probability, Protocol, Recent, RecentAction, RejectWith, Rule, Table, Target,
};

use crate::chains::{
    EXTERNAL_SERVICES, MARK_MASQ, NODE_PORTS, PROXY_FIREWALL, SERVICES, ServiceChains, endpoint_chain,
};
use crate::endpoint::{Endpoint, Reachable};
use crate::entrance::Entrance;
use crate::service::{ServicePort, ServicePortName, TrafficPolicy};
use crate::settings::{Masquerade, Settings};

/// Why traffic is not taken: what is done with it, and the comment.
struct Refusal {
    target: Target,
    comment: String,
}

/// One service port on its way to rules.
struct Port<'a> {
    name: &'a ServicePortName,
    spec: &'a ServicePort,
    settings: &'a Settings,
    family: Family,
    chains: ServiceChains,
    reachable: Reachable,
    /// Those that it has, among those that it claims.
    entrances: Vec<Entrance>,
}

/// Adds the rules of one service port to the chains that all share: those of its entrances that it has.
pub fn add_shared(
    desired: &mut Desired,
    name: &ServicePortName,
    spec: &ServicePort,
    settings: &Settings,
    family: Family,
    entrances: Vec<Entrance>,
) {
    let port = Port { entrances, ..Port::new(name, spec, settings, family) };
    for entrance in &port.entrances {
        match *entrance {
            Entrance::ClusterIp(ip, ..) => port.capture_cluster_ip(desired, ip),
            Entrance::Balanced(ip, ..) => port.capture_balanced(desired, ip),
            Entrance::External(ip, ..) => port.capture_outside(desired, ip, "external IP", &port.chains.external),
            Entrance::NodePort(_, number) => port.capture_node_port(desired, number),
        }
    }
    port.accept_health_checks(desired);
}

/// Adds the chains of one service port.
pub fn add_own(desired: &mut Desired, name: &ServicePortName, spec: &ServicePort, settings: &Settings, family: Family) {
    let port = Port::new(name, spec, settings, family);
    if port.reachable.anywhere {
        port.add_external_chain(desired);
        port.add_firewall_chain(desired);
        port.masquerade_cluster_ip(desired);
        port.add_balancing_chains(desired);
        for endpoint in port.reachable.all() {
            *desired.chain(Table::Nat, &port.endpoint_chain(&endpoint)) = port.endpoint_rules(&endpoint);
        }
    }
}

impl<'a> Port<'a> {
    fn new(name: &'a ServicePortName, spec: &'a ServicePort, settings: &'a Settings, family: Family) -> Self {
        let chains = ServiceChains::of(name, spec.transport);
        Self { name, spec, settings, family, chains, reachable: Reachable::of(spec), entrances: Vec::new() }
    }
}

impl Port<'_> {
    /// A rule that matches the service's port on one address.
    fn to(&self, comment: &str, ip: IpAddr) -> Rule {
        Rule::new().comment(comment).destination(ip).destination_port(self.spec.transport.protocol(), self.spec.port)
    }

    fn endpoints(&self, policy: TrafficPolicy) -> &[Endpoint] {
        match policy {
            TrafficPolicy::Cluster => &self.reachable.cluster,
            TrafficPolicy::Local => &self.reachable.local,
        }
    }

    fn balancing_chain(&self, policy: TrafficPolicy) -> &ChainName {
        match policy {
            TrafficPolicy::Cluster => &self.chains.cluster,
            TrafficPolicy::Local => &self.chains.local,
        }
    }

    fn endpoint_chain(&self, endpoint: &Endpoint) -> ChainName {
        endpoint_chain(self.name, self.spec.transport, endpoint)
    }

    /// Without any endpoint callers are told at once. Without a local one, under a policy that asks for it, packets
    /// are dropped: a load balancer that has not noticed yet retries elsewhere.
    fn refusal(&self, policy: TrafficPolicy) -> Option<Refusal> {
        let name = self.name;
        if !self.reachable.anywhere {
            let target = Target::Reject(RejectWith::PortUnreachable);
            return Some(Refusal { target, comment: format!("{name} has no endpoints") });
        }
        let comment = || format!("{name} has no local endpoints");
        self.endpoints(policy).is_empty().then(|| Refusal { target: Target::Drop, comment: comment() })
    }

    fn to_cluster_ip(&self) -> Rule {
        self.to(&format!("{} cluster IP", self.name), self.spec.cluster_ip)
    }

    fn masquerade_cluster_ip(&self, desired: &mut Desired) {
        let policy = self.spec.internal_policy;
        if self.refusal(policy).is_none() {
            let rule = self.masquerade_off_cluster(self.to_cluster_ip());
            desired.chain(Table::Nat, self.balancing_chain(policy)).extend(rule);
        }
    }

    fn capture_cluster_ip(&self, desired: &mut Desired, ip: IpAddr) {
        match self.refusal(self.spec.internal_policy) {
            None => {
                let chain = self.balancing_chain(self.spec.internal_policy);
                desired.chain(Table::Nat, &SERVICES).push(self.to_cluster_ip().jump(chain.clone()));
            }
            Some(refusal) => {
                let rule = self.to(&refusal.comment, ip).target(refusal.target);
                desired.chain(Table::Filter, &SERVICES).push(rule);
            }
        }
    }

    /// Somebody outside of the cluster may route virtual addresses to any node; the answer must come back over the
    /// same node.
    fn masquerade_off_cluster(&self, rule: Rule) -> Option<Rule> {
        let rule = match self.settings.masquerade {
            Masquerade::All => rule,
            Masquerade::OffCluster => self.settings.pods.unless_from_pod(rule, self.family)?,
        };
        Some(rule.jump(MARK_MASQ))
    }

    fn uses_firewall(&self) -> bool {
        !self.spec.load_balancer_ips().is_empty() && self.spec.sources().is_some()
    }

    /// Takes traffic to an address outside of the cluster's own.
    fn capture_outside(&self, desired: &mut Desired, ip: IpAddr, kind: &str, chain: &ChainName) {
        if self.reachable.anywhere {
            let rule = self.to(&format!("{} {kind}", self.name), ip).jump(chain.clone());
            desired.chain(Table::Nat, &SERVICES).push(rule);
        }
        if let Some(refusal) = self.refusal(self.spec.external_policy) {
            let rule = self.to(&refusal.comment, ip).target(refusal.target);
            desired.chain(Table::Filter, &EXTERNAL_SERVICES).push(rule);
        }
    }

    fn capture_balanced(&self, desired: &mut Desired, ip: IpAddr) {
        let guarded = self.uses_firewall();
        let chain = if guarded { &self.chains.firewall } else { &self.chains.external };
        self.capture_outside(desired, ip, "loadbalancer IP", chain);
        if self.reachable.anywhere && guarded {
            let comment = format!("{} traffic not accepted by {}", self.name, self.chains.firewall);
            desired.chain(Table::Filter, &PROXY_FIREWALL).push(self.to(&comment, ip).target(Target::Drop));
        }
    }

    fn capture_node_port(&self, desired: &mut Desired, number: u16) {
        let protocol = || self.spec.transport.protocol();
        if self.reachable.anywhere {
            let rule = Rule::new().comment(self.name.to_string()).destination_port(protocol(), number);
            desired.chain(Table::Nat, &NODE_PORTS).push(rule.jump(self.chains.external.clone()));
        }
        if let Some(refusal) = self.refusal(self.spec.external_policy) {
            let rule = Rule::new().comment(refusal.comment).destination_type(AddrType::Local);
            let rule = rule.destination_port(protocol(), number).target(refusal.target);
            desired.chain(Table::Filter, &EXTERNAL_SERVICES).push(rule);
        }
    }

    fn accept_health_checks(&self, desired: &mut Desired) {
        if let Some(number) = self.spec.health_check_node_port {
            let rule = Rule::new().comment(format!("{} health check node port", self.name));
            let rule = rule.destination_port(Protocol::Tcp, number).target(Target::Accept);
            desired.chain(Table::Filter, &NODE_PORTS).push(rule);
        }
    }

    /// Even without a usable external endpoint: traffic from this node itself may still go anywhere.
    fn add_external_chain(&self, desired: &mut Desired) {
        if !self.spec.externally_accessible() {
            return;
        }
        let policy = self.spec.external_policy;
        let rules = desired.chain(Table::Nat, &self.chains.external);
        match policy {
            TrafficPolicy::Cluster => rules.push(self.masquerade_external()),
            TrafficPolicy::Local => rules.extend(self.bypass_local_policy()),
        }
        if self.refusal(policy).is_none() {
            rules.push(Rule::new().jump(self.balancing_chain(policy).clone()));
        }
    }

    /// The endpoint may be on another node, and its answer must come back here.
    fn masquerade_external(&self) -> Rule {
        let comment = format!("masquerade traffic for {} external destinations", self.name);
        Rule::new().comment(comment).jump(MARK_MASQ)
    }

    /// The policy is about traffic that comes from outside. What pods and the node itself send to an external address
    /// is treated as if it had gone out and come back by way of a node that has endpoints.
    fn bypass_local_policy(&self) -> Vec<Rule> {
        let comment = |what: &str| Rule::new().comment(format!("{what} for {} external destinations", self.name));
        let to_any = || self.chains.cluster.clone();
        let from_pod = self.settings.pods.when_from_pod(comment("pod traffic"), self.family);
        let from_node = |what: &str| comment(what).source_type(AddrType::Local);
        let mut rules: Vec<Rule> = from_pod.into_iter().map(|rule| rule.jump(to_any())).collect();
        rules.push(from_node("masquerade LOCAL traffic").jump(MARK_MASQ));
        rules.push(from_node("route LOCAL traffic").jump(to_any()));
        rules
    }

    fn add_firewall_chain(&self, desired: &mut Desired) {
        if !self.uses_firewall() {
            return;
        }
        let accepted = || Rule::new().comment(format!("{} loadbalancer IP", self.name));
        let onward = || self.chains.external.clone();
        let ranges = self.spec.sources().unwrap_or_default();
        let rules = desired.chain(Table::Nat, &self.chains.firewall);
        rules.extend(ranges.iter().map(|net| accepted().source(*net).jump(onward())));
        let this_node = ranges.iter().any(|net| self.settings.node_addresses.iter().any(|ip| net.contains(ip)));
        if this_node {
            // Where the load balancer's address is also an address of this node, the node uses it as its source.
            let own = self.spec.load_balancer_ips().iter().map(|ip| accepted().source(*ip).jump(onward()));
            rules.extend(own);
        }
        let comment = format!("other traffic to {} will be dropped by KUBE-PROXY-FIREWALL", self.name);
        rules.push(Rule::new().comment(comment));
    }

    fn add_balancing_chains(&self, desired: &mut Desired) {
        for policy in [TrafficPolicy::Cluster, TrafficPolicy::Local] {
            let endpoints = self.endpoints(policy);
            if !endpoints.is_empty() {
                desired.chain(Table::Nat, self.balancing_chain(policy)).extend(self.balance(endpoints));
            }
        }
    }

    /// First the endpoint that the client used last, then one by chance: each with the same probability.
    fn balance(&self, endpoints: &[Endpoint]) -> Vec<Rule> {
        let to = |endpoint: &Endpoint| Rule::new().comment(format!("{} -> {}", self.name, endpoint.address));
        let mut rules = Vec::new();
        if let Some(seconds) = self.spec.affinity {
            rules.extend(endpoints.iter().map(|endpoint| {
                let chain = self.endpoint_chain(endpoint);
                let recent = Recent { list: chain.to_string(), action: RecentAction::Check { seconds } };
                to(endpoint).recent(recent).jump(chain)
            }));
        }
        for (i, endpoint) in endpoints.iter().enumerate() {
            let rule = match endpoints.len() - i {
                1 => to(endpoint),
                left => to(endpoint).probability(Probability::one_in(left)),
            };
            rules.push(rule.jump(self.endpoint_chain(endpoint)));
        }
        rules
    }

    /// An endpoint that calls its own service must see the answer come from somebody else.
    fn endpoint_rules(&self, endpoint: &Endpoint) -> Vec<Rule> {
        let named = || Rule::new().comment(self.name.to_string());
        let hairpin = named().source(endpoint.address.ip()).jump(MARK_MASQ);
        let mut forward = named();
        if self.spec.affinity.is_some() {
            let list = self.endpoint_chain(endpoint).to_string();
            forward = forward.recent(Recent { list, action: RecentAction::Set });
        }
        vec![hairpin, forward.any_port(self.spec.transport.protocol()).dnat(endpoint.address)]
    }
}
