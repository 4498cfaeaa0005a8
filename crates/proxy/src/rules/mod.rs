//! Services to rules: pure.
//!
//! ```text
//! nat     PREROUTING, OUTPUT → KUBE-SERVICES ─ virtual address ──────→ KUBE-SVC (any endpoint)  ─→ KUBE-SEP → DNAT
//!                                  │                                   KUBE-SVL (local endpoint) ─→ KUBE-SEP → DNAT
//!                                  ├ external, load balancer address → [KUBE-FW →] KUBE-EXT → KUBE-SVC | KUBE-SVL
//!                                  └ local address → KUBE-NODEPORTS ─→ KUBE-EXT
//!         POSTROUTING → KUBE-POSTROUTING: masquerades what was marked by KUBE-MARK-MASQ
//! filter  INPUT, FORWARD, OUTPUT → KUBE-SERVICES, KUBE-EXTERNAL-SERVICES: rejects what has no endpoint
//!                                  KUBE-PROXY-FIREWALL: drops what load balancer source ranges exclude
//!                                  KUBE-FORWARD: accepts what was translated
//! ```

mod base;
mod service;

pub use service::{add_own, add_shared};

use iptables::{AddrType, Desired, Family, Rule, Table};

use crate::chains::{NODE_PORTS, SERVICES};
use crate::entrance::{Entrance, entrances, owners};
use crate::service::ServiceMap;
use crate::settings::{LocalhostNodePorts, NodePortAddresses, Settings};

/// Every rule of one address family.
#[must_use]
pub fn render(services: &ServiceMap, settings: &Settings, family: Family) -> Desired {
    let mut desired = shared(services, settings, family);
    for (name, port) in services {
        add_own(&mut desired, name, port, settings, family);
    }
    desired
}

/// The chains that all services share.
#[must_use]
pub fn shared(services: &ServiceMap, settings: &Settings, family: Family) -> Desired {
    let mut desired = Desired::default();
    base::add(&mut desired, settings, family);
    let owners = owners(services, |_| true);
    for (name, port) in services {
        let has = |entrance: &Entrance| owners.get(&entrance.key()).is_some_and(|owner| owner.name == *name);
        let entrances = entrances(port).into_iter().filter(has).collect();
        add_shared(&mut desired, name, port, settings, family, entrances);
    }
    desired.chain(Table::Nat, &SERVICES).extend(node_port_dispatch(settings, family));
    desired.chain(Table::Filter, &SERVICES).extend(base::refuse_ranges(settings, family));
    desired
}

/// The rules that let translated packets be forwarded, and no others.
#[must_use]
pub fn forwarding(settings: &Settings) -> Desired {
    let mut desired = Desired::default();
    base::add_forwarding(&mut desired, settings);
    desired
}

/// The last rules of KUBE-SERVICES: what is for this node itself may be for a node port.
fn node_port_dispatch(settings: &Settings, family: Family) -> Vec<Rule> {
    let rule = Rule::new().comment("kubernetes service nodeports; NOTE: this must be the last rule in this chain");
    let answered = family == Family::V4 && settings.localhost == LocalhostNodePorts::Answered;
    match &settings.node_ports {
        NodePortAddresses::All => {
            let rule = rule.destination_type(AddrType::Local).jump(NODE_PORTS);
            vec![if answered { rule } else { rule.not_destination(base::loopback(family)) }]
        }
        NodePortAddresses::These(addresses) => addresses
            .iter()
            .filter(|ip| Family::of(**ip) == family && (answered || !ip.is_loopback()))
            .map(|ip| rule.clone().destination(*ip).jump(NODE_PORTS))
            .collect(),
    }
}
