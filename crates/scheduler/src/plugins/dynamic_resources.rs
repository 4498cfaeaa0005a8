//! Pods that claim devices (DRA): claims without devices get some of the node, by a search within bounds; those that have
//! some tie the pod to the nodes from which these can be reached.

mod claims;
mod outcome;
mod reservation;
mod search;
mod selectors;
#[cfg(test)]
mod tests;
mod wants;

use std::sync::Arc;

use api_types::{devices::AllocationResult, pod::node_affinity::Required};
use component::informer::ObjectKey;

use self::{
    claims::{Claim, claims, names},
    reservation::Promised,
    search::search,
    selectors::Selectors,
    wants::Wants,
};
use crate::{
    cache::{NodeInfo, Snapshot},
    devices::Devices,
    framework::{Candidate, Change, Hint, Plugin, PreFilter, Rejection, Reservation},
    model::{Node, Pod},
};

const ELSEWHERE: &str = "resourceclaim not available on the node";
const NOT_ENOUGH: &str = "cannot allocate all claims";
const IN_USE: &str = "resourceclaim in use";
/// How many may use a claim.
const MAX_USERS: usize = 256;

/// See the module.
#[derive(Debug, Default)]
pub struct DynamicResources {
    selectors: Selectors,
}

/// What a pod needs of a node.
struct Needs {
    claims: Vec<Claim>,
    /// What those claims want that have nothing yet, by their place in `claims`.
    wants: Vec<(usize, Wants)>,
}

/// What claims get: by their place among the pod's claims.
type Given = Vec<(usize, AllocationResult)>;

impl Needs {
    /// What the claims without devices get on a node.
    ///
    /// # Errors
    /// When the node has not what the pod needs.
    fn on(&self, node: &NodeInfo, devices: &Devices) -> Result<Given, Rejection> {
        let reachable = |own: &AllocationResult| {
            own.node_selector.as_ref().is_none_or(|own| Required::of_selector(Some(own)).matches(node.view()))
        };
        if !self.claims.iter().filter_map(|claim| claim.allocation.as_deref()).all(reachable) {
            return Err(Rejection::not_now(ELSEWHERE));
        }
        if self.wants.is_empty() {
            return Ok(Vec::new());
        }
        let offered = devices.offered(node.view());
        let wants: Vec<&Wants> = self.wants.iter().map(|(_, wants)| wants).collect();
        let found = search(&wants, &offered).map_err(Rejection::never_here)?;
        let found = found.ok_or_else(|| Rejection::not_now(NOT_ENOUGH))?;
        let given = self.wants.iter().zip(&found);
        Ok(given.map(|((place, wants), picked)| (*place, outcome::result(wants, picked, &offered, node))).collect())
    }
}

impl DynamicResources {
    /// What a pod needs; `None` when it claims no devices.
    fn needs(&self, pod: &Pod, devices: &Devices) -> Result<Option<Needs>, Rejection> {
        if pod.spec.resource_claims.is_empty() {
            return Ok(None);
        }
        let claims = claims(pod, devices)?;
        let mut wants = Vec::new();
        for (place, claim) in claims.iter().enumerate().filter(|(_, claim)| claim.allocation.is_none()) {
            wants.push((place, Wants::of(&claim.object, devices, &self.selectors).map_err(Rejection::never_here)?));
        }
        if claims.iter().any(|claim| !claim.takes(pod)) {
            return Err(Rejection::not_now(IN_USE));
        }
        Ok(Some(Needs { claims, wants }))
    }
}

fn changes_labels(old: Option<&Node>, new: &Node) -> bool {
    old.is_none_or(|old| old.metadata.labels != new.metadata.labels)
}

impl Plugin for DynamicResources {
    fn name(&self) -> &'static str {
        "DynamicResources"
    }

    fn hint(&self, candidate: Candidate<'_>, change: &Change) -> Hint {
        match change {
            Change::Devices => Hint::when(!candidate.pod.spec.resource_claims.is_empty()),
            Change::DeviceClaim(claim) => {
                let key = ObjectKey::of(&**claim);
                Hint::when(names(candidate.pod).any(|name| name.is_ok_and(|(own, _)| own == key)))
            }
            Change::Own { old, new } => {
                Hint::when(old.status.resource_claim_statuses != new.status.resource_claim_statuses)
            }
            Change::Node { old, new: Some(new) } => Hint::when(changes_labels(old.as_deref(), new)),
            _ => Hint::Skip,
        }
    }

    fn pre_filter<'a>(&'a self, candidate: Candidate<'a>, snapshot: &'a Snapshot) -> Result<PreFilter<'a>, Rejection> {
        let devices = snapshot.devices();
        let Some(needs) = self.needs(candidate.pod, devices)? else { return Ok(PreFilter::default()) };
        Ok(PreFilter::each(move |node: &NodeInfo| needs.on(node, devices).map(drop)))
    }

    fn reserve(
        &self,
        candidate: Candidate<'_>,
        node: &NodeInfo,
        snapshot: &Snapshot,
    ) -> Result<Option<Box<dyn Reservation>>, Rejection> {
        let devices = snapshot.devices();
        let Some(mut needs) = self.needs(candidate.pod, devices)? else { return Ok(None) };
        for (place, given) in needs.on(node, devices)? {
            needs.claims[place].allocation = Some(Arc::new(given));
        }
        let promised = Promised::new(Arc::clone(devices), candidate.pod, needs.claims);
        // Somebody else may have been given some of them since the nodes were looked at.
        promised.map(|own| Some(Box::new(own) as Box<dyn Reservation>)).ok_or_else(|| Rejection::not_now(NOT_ENOUGH))
    }
}
