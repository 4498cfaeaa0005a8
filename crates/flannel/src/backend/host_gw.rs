//! Routes by way of the other node, which has to be on the same link.

use super::{Device, Leases, Plan, Via};
use crate::interface::Interface;

pub(super) fn plan(interface: &Interface, peers: &Leases) -> Plan {
    let mut plan = Plan::default();
    for (subnet, lease) in peers {
        let gateway = lease.attributes.public_ip;
        if interface.reaches(gateway) {
            plan.routes.insert(*subnet, Via { gateway, device: Device::External });
        } else {
            plan.complaints.push(format!("{subnet}: {gateway} is not on the link of {}", interface.name));
        }
    }
    plan
}
