//! The kernel's tunnel. Nothing is asked on it: what a hardware address is, and at which node, is written down for
//! every node.

use crate::config::VxlanConfig;
use crate::interface::Interface;
use crate::lease::{Lease, Mac, VxlanData, quote};

use super::{Device, Leases, Plan, Via};

pub(super) fn plan(config: &VxlanConfig, interface: &Interface, peers: &Leases) -> Plan {
    let mut plan = Plan::default();
    for (subnet, lease) in peers {
        let public_ip = lease.attributes.public_ip;
        let mac = match claim(config, lease) {
            Ok(mac) => mac,
            Err(fault) => {
                plan.complaints.push(format!("{subnet}: {fault}"));
                continue;
            }
        };
        if config.direct_routing && interface.reaches(public_ip) {
            plan.routes.insert(*subnet, Via { gateway: public_ip, device: Device::External });
        } else {
            let end = subnet.network();
            plan.routes.insert(*subnet, Via { gateway: end, device: Device::Tunnel });
            plan.neighbours.insert(end, mac);
        }
        // Also with direct routes: the other node may come through the tunnel.
        plan.forwarding.insert(mac, public_ip);
    }
    plan
}

/// The hardware address of the other end.
pub(super) fn claim(config: &VxlanConfig, lease: &Lease) -> Result<Mac, String> {
    let data = lease.attributes.backend_data.clone();
    let data: VxlanData = serde_json::from_value(data).map_err(|error| quote(&error.to_string()))?;
    // Versions that do not say have the same.
    match data.vni.filter(|theirs| *theirs != config.vni) {
        Some(theirs) => Err(format!("its VNI is {theirs}, not {}", config.vni)),
        None => Ok(data.mac),
    }
}
