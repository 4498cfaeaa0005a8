//! A node attaches only so many volumes of a CSI driver.

use std::collections::{BTreeMap, BTreeSet};

use component::{
    informer::ObjectKey,
    volumes::{class_of, volume_name},
};

use crate::{
    cache::{NodeInfo, Snapshot},
    framework::{Candidate, Change, Hint, Plugin, PreFilter, Rejection},
    storage::Storage,
};

const EXCEEDED: &str = "node(s) exceed max volume count";

/// See the module.
#[derive(Debug)]
pub struct NodeVolumeLimits;

/// A volume of a driver, by what tells it from others.
type Attached = (String, String);

/// What the volume of a claim is to its driver. One that is not there yet is one of its class's provisioner.
fn attached(storage: &Storage, key: &ObjectKey) -> Option<Attached> {
    let claim = storage.claim(key)?;
    match volume_name(&claim) {
        "" => Some((storage.class(class_of(&claim))?.provisioner.clone(), key.to_string())),
        name => {
            let volume = storage.volume(name)?;
            let csi = volume.spec.csi.as_ref()?;
            Some((csi.driver.clone(), csi.volume_handle.clone()))
        }
    }
}

impl Plugin for NodeVolumeLimits {
    fn name(&self) -> &'static str {
        "NodeVolumeLimits"
    }

    fn hint(&self, candidate: Candidate<'_>, change: &Change) -> Hint {
        match change {
            Change::Limits | Change::Node { old: None, .. } => Hint::Queue,
            Change::Claim(claim) => Hint::when(candidate.info.has_claim(claim)),
            Change::Pod { old: Some(old), new: None } => Hint::when(!old.info.claims.is_empty()),
            _ => Hint::Skip,
        }
    }

    fn pre_filter<'a>(&'a self, candidate: Candidate<'a>, snapshot: &'a Snapshot) -> Result<PreFilter<'a>, Rejection> {
        let storage = &**snapshot.storage();
        let wanted: BTreeSet<Attached> =
            candidate.info.claims.iter().filter_map(|claim| attached(storage, claim)).collect();
        if wanted.is_empty() {
            return Ok(PreFilter::default());
        }
        Ok(PreFilter::each(move |node: &NodeInfo| {
            let drivers: BTreeSet<&str> = wanted.iter().map(|(driver, _)| driver.as_str()).collect();
            let limits: BTreeMap<&str, usize> =
                drivers.iter().filter_map(|driver| Some((*driver, storage.limit(node.name(), driver)?))).collect();
            if limits.is_empty() {
                return Ok(());
            }
            let claims = node.pods().iter().flat_map(|pod| &pod.claims);
            let there: BTreeSet<Attached> = claims.filter_map(|claim| attached(storage, claim)).collect();
            let exceeds = |(driver, limit): (&&str, &usize)| {
                let of_driver = |own: &&Attached| own.0 == **driver;
                let new = wanted.iter().filter(of_driver).filter(|own| !there.contains(*own)).count();
                new > 0 && there.iter().filter(of_driver).count() + new > *limit
            };
            if limits.iter().any(exceeds) { Err(Rejection::not_now(EXCEEDED)) } else { Ok(()) }
        }))
    }
}
