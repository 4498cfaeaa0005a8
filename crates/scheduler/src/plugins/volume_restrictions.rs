//! A claim that one pod has alone (`ReadWriteOncePod`) is not for another.

use component::{informer::ObjectKey, volumes::access_modes};

use crate::{
    cache::{NodeInfo, PodInfo, Snapshot},
    framework::{Candidate, Change, Filter, Hint, Plugin, PreFilter, Rejection},
};

const CONFLICT: &str = "node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod access mode";

/// See the module.
#[derive(Debug)]
pub struct VolumeRestrictions;

/// Which claims are wanted alone, and how often pods have them now.
#[derive(Clone)]
struct Alone {
    claims: Vec<ObjectKey>,
    users: usize,
}

impl Alone {
    fn uses(&self, pod: &PodInfo) -> usize {
        self.claims.iter().filter(|claim| pod.claims.contains(claim)).count()
    }
}

impl Filter for Alone {
    fn filter(&self, _: &NodeInfo) -> Result<(), Rejection> {
        if self.users == 0 { Ok(()) } else { Err(Rejection::not_now(CONFLICT)) }
    }

    fn add_pod(&mut self, pod: &PodInfo, _: &NodeInfo) {
        self.users += self.uses(pod);
    }

    fn remove_pod(&mut self, pod: &PodInfo, _: &NodeInfo) {
        self.users -= self.uses(pod).min(self.users);
    }

    fn fork(&self) -> Box<dyn Filter + '_> {
        Box::new(self.clone())
    }
}

impl Plugin for VolumeRestrictions {
    fn name(&self) -> &'static str {
        "VolumeRestrictions"
    }

    fn hint(&self, candidate: Candidate<'_>, change: &Change) -> Hint {
        match change {
            Change::Claim(claim) => Hint::when(candidate.info.has_claim(claim)),
            Change::Pod { old: Some(old), new: None } => {
                Hint::when(candidate.info.claims.iter().any(|claim| old.info.claims.contains(claim)))
            }
            _ => Hint::Skip,
        }
    }

    fn pre_filter<'a>(&'a self, candidate: Candidate<'a>, snapshot: &'a Snapshot) -> Result<PreFilter<'a>, Rejection> {
        let is_alone = |key: &&ObjectKey| {
            let claim = snapshot.storage().claim(key);
            claim.is_some_and(|claim| access_modes(&claim).iter().any(|mode| mode == "ReadWriteOncePod"))
        };
        let claims: Vec<ObjectKey> = candidate.info.claims.iter().filter(is_alone).cloned().collect();
        if claims.is_empty() {
            return Ok(PreFilter::default());
        }
        let mut alone = Alone { claims, users: 0 };
        alone.users = snapshot.nodes().flat_map(NodeInfo::pods).map(|pod| alone.uses(pod)).sum();
        Ok(PreFilter::each(alone))
    }
}
