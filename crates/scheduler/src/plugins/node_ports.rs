//! Two pods cannot have the same port on one host.

use api_types::pod::host_ports::HostPort;

use crate::{
    cache::{NodeInfo, Snapshot},
    framework::{Candidate, Change, Hint, Plugin, PreFilter, Rejection},
};

/// See the module.
#[derive(Debug)]
pub struct NodePorts;

fn conflict(wanted: &[HostPort], taken: &[HostPort]) -> bool {
    wanted.iter().any(|port| taken.iter().any(|other| port.conflicts_with(other)))
}

impl Plugin for NodePorts {
    fn name(&self) -> &'static str {
        "NodePorts"
    }

    fn hint(&self, candidate: Candidate<'_>, change: &Change) -> Hint {
        match change {
            Change::Node { old: None, .. } => Hint::Queue,
            Change::Pod { old: Some(old), new: None } => {
                Hint::when(conflict(&candidate.info.host_ports, &old.info.host_ports))
            }
            _ => Hint::Skip,
        }
    }

    fn pre_filter<'a>(&'a self, candidate: Candidate<'a>, _: &'a Snapshot) -> Result<PreFilter<'a>, Rejection> {
        let wanted = &candidate.info.host_ports;
        if wanted.is_empty() {
            return Ok(PreFilter::default());
        }
        Ok(PreFilter::each(move |node: &NodeInfo| {
            if conflict(wanted, node.host_ports()) {
                return Err(Rejection::not_now("node(s) didn't have free ports for the requested pod ports"));
            }
            Ok(())
        }))
    }
}
