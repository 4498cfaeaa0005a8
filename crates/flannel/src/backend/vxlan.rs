//! The kernel's tunnel. Nothing is asked on it: what a hardware address is, and at which node, is written down for
//! every node.

use crate::config::VxlanConfig;
use crate::interface::Interface;
use crate::lease::{Lease, Mac, VxlanData};

use super::{Device, Leases, Plan, Via};

pub(super) fn plan(config: &VxlanConfig, interface: &Interface, peers: &Leases) -> Plan {
    let mut plan = Plan::default();
    for (subnet, lease) in peers {
        let public_ip = lease.attributes.public_ip;
        let mac = match end_of(lease, config.vni, &plan) {
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

/// The hardware address of the other end, if it can be believed.
fn end_of(lease: &Lease, vni: u32, plan: &Plan) -> Result<Mac, String> {
    let data: VxlanData =
        serde_json::from_value(lease.attributes.backend_data.clone()).map_err(|error| error.to_string())?;
    // Versions that do not say have the same.
    if let Some(theirs) = data.vni.filter(|theirs| *theirs != vni) {
        return Err(format!("its VNI is {theirs}, not {vni}"));
    }
    match plan.forwarding.get(&data.mac) {
        Some(other) => Err(format!("{} is also the hardware address of {other}", data.mac)),
        None => Ok(data.mac),
    }
}
