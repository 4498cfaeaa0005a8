//! Volumes of a zone or region are for nodes of the same.

use std::sync::Arc;

use component::{
    informer::ObjectKey,
    volumes::{Volume, is_fully_bound, volume_name},
};

use crate::{
    cache::{NodeInfo, Snapshot},
    framework::{Candidate, Change, Hint, Plugin, PreFilter, Rejection},
};

const CONFLICT: &str = "node(s) had no available volume zone";
/// The labels, each with the one that came before or after it.
const LABELS: [(&str, &str); 4] = [
    ("failure-domain.beta.kubernetes.io/zone", "topology.kubernetes.io/zone"),
    ("failure-domain.beta.kubernetes.io/region", "topology.kubernetes.io/region"),
    ("topology.kubernetes.io/zone", "failure-domain.beta.kubernetes.io/zone"),
    ("topology.kubernetes.io/region", "failure-domain.beta.kubernetes.io/region"),
];
/// Between the values of a volume that is in several zones.
const SEPARATOR: &str = "__";

/// See the module.
#[derive(Debug)]
pub struct VolumeZone;

/// The labels of zones of a volume, with their values.
fn zones(volume: &Volume) -> impl Iterator<Item = (&'static str, &'static str, &str)> {
    let labels = volume.metadata.labels.as_ref();
    LABELS.into_iter().filter_map(move |(key, other)| Some((key, other, labels?.get(key)?.as_str())))
}

fn is_in_zones(node: &NodeInfo, volume: &Volume) -> bool {
    // A node that says nothing of zones is in all of them.
    if LABELS.iter().all(|(key, _)| node.label(key).is_none()) {
        return true;
    }
    zones(volume).all(|(key, other, values)| {
        let own = node.label(key).or_else(|| node.label(other));
        own.is_some_and(|own| values.split(SEPARATOR).any(|value| value == own))
    })
}

impl Plugin for VolumeZone {
    fn name(&self) -> &'static str {
        "VolumeZone"
    }

    fn hint(&self, candidate: Candidate<'_>, change: &Change) -> Hint {
        match change {
            Change::Claim(claim) => Hint::when(candidate.info.has_claim(claim)),
            Change::Volume(_) | Change::Class(_) => Hint::when(!candidate.info.claims.is_empty()),
            Change::Node { old, new: Some(new) } => {
                let labels = |old: &crate::model::Node| old.metadata.labels == new.metadata.labels;
                Hint::when(!old.as_deref().is_some_and(labels))
            }
            _ => Hint::Skip,
        }
    }

    fn pre_filter<'a>(&'a self, candidate: Candidate<'a>, snapshot: &'a Snapshot) -> Result<PreFilter<'a>, Rejection> {
        let storage = snapshot.storage();
        let bound = |key: &ObjectKey| {
            let claim = storage.claim(key).filter(|claim| is_fully_bound(claim))?;
            storage.volume(volume_name(&claim)).filter(|volume| zones(volume).next().is_some())
        };
        let volumes: Vec<Arc<Volume>> = candidate.info.claims.iter().filter_map(bound).collect();
        if volumes.is_empty() {
            return Ok(PreFilter::default());
        }
        Ok(PreFilter::each(move |node: &NodeInfo| {
            let fits = volumes.iter().all(|volume| is_in_zones(node, volume));
            if fits { Ok(()) } else { Err(Rejection::never_here(CONFLICT)) }
        }))
    }
}
