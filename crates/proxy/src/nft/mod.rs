//! Services to nftables: pure, but for [`apply`].
//!
//! What a packet costs does not depend on how many services there are: its address, protocol and port are looked up in
//! a map, which leads to a chain that all services of the same shape share, which looks up the endpoint.
//!
//! ```text
//! nat     prerouting, output → services ─ @service-ips ─→ cluster-ip-N, external-N, … ─ by chance ─→ pick-I
//!                                  └ local address ─ @node-ports ─→ node-port-N, … ─ by chance ─→ node-port-pick-I
//!                              pick-I: DNAT to what @endpoints-I has for address, protocol and port
//!         postrouting → masquerading: what was marked, and endpoints that call themselves (@hairpin)
//! filter  before nat: @firewall leads to what load balancer source ranges drop
//!         input, forward, output: @no-endpoints, @no-endpoint-node-ports, ranges of virtual addresses: rejected or
//!         dropped
//! ```
//!
//! `@endpoints-I` has the I-th endpoint of every service that has so many; endpoints on this node have maps of their
//! own for services that keep traffic here. Only services with session affinity have chains of their own, one an
//! endpoint, since what is remembered is a set an endpoint.

pub mod apply;
pub mod face;
pub mod skeleton;
pub mod state;

use iptables::Family;
use netfilter::Table;

/// The table, with the same name as upstream's, which it replaces.
#[must_use]
pub fn table(family: Family) -> Table {
    let family = match family {
        Family::V4 => netfilter::Family::Ip,
        Family::V6 => netfilter::Family::Ip6,
    };
    Table { family, name: "kube-proxy" }
}
