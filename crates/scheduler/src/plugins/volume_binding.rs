//! Claims and nodes: bound volumes are on some nodes only; claims that wait for a pod get volumes that are on its node, or
//! are made there.

mod claims;
mod place;
mod reservation;
#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Duration};

use api_types::field::{FieldError, Path};
use serde::Deserialize;
use serde_json::Value;

use self::{
    claims::{Claims, claims},
    place::Places,
    reservation::Promised,
};
use crate::{
    cache::{NodeInfo, Snapshot},
    framework::{Candidate, Change, Hint, Plugin, PreFilter, Rejection, Reservation},
    model::Node,
};

const IMMEDIATE: &str = "pod has unbound immediate PersistentVolumeClaims";
const NO_VOLUME: &str = "node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)";
const ELSEWHERE: &str = "node(s) had volume node affinity conflict";
const NOTHING_FREE: &str = "node(s) didn't find available persistent volumes to bind";
/// Upstream's `bindTimeoutSeconds`.
const PATIENCE: Duration = Duration::from_secs(600);

/// `VolumeBindingArgs`. The shape rates nodes by how full their storage is, which is off upstream, too.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Args {
    bind_timeout_seconds: Option<i64>,
    #[serde(rename = "shape")]
    _shape: Value,
}

/// See the module.
#[derive(Debug)]
pub struct VolumeBinding {
    /// How long volumes may take to be bound.
    patience: Duration,
}

impl VolumeBinding {
    /// The plugin with its arguments.
    ///
    /// # Errors
    /// When the time is negative.
    pub fn new(args: Args, path: &Path) -> Result<Self, Vec<FieldError>> {
        let Some(seconds) = args.bind_timeout_seconds else { return Ok(Self { patience: PATIENCE }) };
        let patience = u64::try_from(seconds).map(Duration::from_secs);
        let path = path.child("bindTimeoutSeconds");
        let wrong =
            |_| vec![FieldError::invalid(&path, seconds, "invalid BindTimeoutSeconds, should not be a negative value")];
        patience.map(|patience| Self { patience }).map_err(wrong)
    }
}

fn changes_labels(old: Option<&Node>, new: &Node) -> bool {
    old.is_none_or(|old| old.metadata.labels != new.metadata.labels)
}

impl Plugin for VolumeBinding {
    fn name(&self) -> &'static str {
        "VolumeBinding"
    }

    fn hint(&self, candidate: Candidate<'_>, change: &Change) -> Hint {
        match change {
            Change::Claim(claim) => Hint::when(candidate.info.has_claim(claim)),
            Change::Volume(_) | Change::Class(_) => Hint::when(!candidate.info.claims.is_empty()),
            Change::Node { old, new: Some(new) } => Hint::when(changes_labels(old.as_deref(), new)),
            _ => Hint::Skip,
        }
    }

    fn pre_filter<'a>(&'a self, candidate: Candidate<'a>, snapshot: &'a Snapshot) -> Result<PreFilter<'a>, Rejection> {
        let Some(places) = places(candidate, snapshot)? else { return Ok(PreFilter::default()) };
        Ok(PreFilter::each(move |node: &NodeInfo| places.on(node).map(drop)))
    }

    fn reserve(
        &self,
        candidate: Candidate<'_>,
        node: &NodeInfo,
        snapshot: &Snapshot,
    ) -> Result<Option<Box<dyn Reservation>>, Rejection> {
        let Some(places) = places(candidate, snapshot)? else { return Ok(None) };
        let place = places.on(node)?;
        if place.is_settled() {
            return Ok(None);
        }
        let promised = Promised::new(Arc::clone(snapshot.storage()), place, node.shared_name(), self.patience);
        // Another pod may have been promised the same since the nodes were looked at.
        let promised = promised.ok_or_else(|| Rejection::never_here(NOTHING_FREE))?;
        Ok(Some(Box::new(promised)))
    }
}

/// What there is for the pod's claims; `None` when it has none.
fn places<'a>(candidate: Candidate<'_>, snapshot: &'a Snapshot) -> Result<Option<Places<'a>>, Rejection> {
    if candidate.info.claims.is_empty() {
        return Ok(None);
    }
    let Claims { bound, waiting, immediate } = claims(candidate.pod, snapshot.storage())?;
    if immediate {
        return Err(Rejection::never_here(IMMEDIATE));
    }
    Ok(Some(Places::of(snapshot.storage(), bound, waiting)))
}
