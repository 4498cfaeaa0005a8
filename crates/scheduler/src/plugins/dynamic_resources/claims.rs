//! The claims of a pod.

use std::sync::Arc;

use api_types::{
    devices::{AllocationResult, ResourceClaim},
    meta::ObjectMeta,
};
use component::informer::ObjectKey;

use super::MAX_USERS;
use crate::{devices::Devices, framework::Rejection, model::Pod};

/// A claim that a pod uses.
#[derive(Clone, Debug)]
pub(super) struct Claim {
    pub(super) key: ObjectKey,
    pub(super) object: Arc<ResourceClaim>,
    /// What it has: written, or promised.
    pub(super) allocation: Option<Arc<AllocationResult>>,
}

impl Claim {
    /// Whether the pod may use it, besides those who do.
    pub(super) fn takes(&self, pod: &Pod) -> bool {
        let users = self.object.status.iter().flat_map(|status| status.reserved_for.iter().flatten());
        users.clone().count() < MAX_USERS || users.into_iter().any(|user| user.uid == pod.uid())
    }
}

/// The names of a pod's claims, each with whether it is made for this pod.
///
/// # Errors
/// One that has no name yet: why.
pub(super) fn names(pod: &Pod) -> impl Iterator<Item = Result<(ObjectKey, bool), String>> {
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    pod.spec.resource_claims.iter().filter_map(move |own| {
        if let Some(name) = &own.resource_claim_name {
            return Some(Ok((ObjectKey::new(namespace, &**name), false)));
        }
        let known = pod.status.resource_claim_statuses.iter().find(|status| status.name == own.name);
        match known.map(|status| status.resource_claim_name.as_deref()) {
            // It was found out that none is needed.
            Some(None) => None,
            Some(Some(name)) => Some(Ok((ObjectKey::new(namespace, name), true))),
            None => Some(Err(format!("pod claim {:?}: ResourceClaim not created yet", &*own.name))),
        }
    })
}

/// The claims of a pod.
///
/// # Errors
/// When one of them is not to be had: no node can take the pod then.
pub(super) fn claims(pod: &Pod, devices: &Devices) -> Result<Vec<Claim>, Rejection> {
    let mut claims: Vec<Claim> = Vec::new();
    for name in names(pod) {
        let (key, is_own) = name.map_err(Rejection::never_here)?;
        if claims.iter().any(|known| known.key == key) {
            continue;
        }
        let name = &key.name;
        let object = devices.claim(&key);
        let object = object.ok_or_else(|| Rejection::never_here(format!("resourceclaim {name:?} not found")))?;
        if object.metadata.deletion_timestamp.is_some() {
            return Err(Rejection::never_here(format!("resourceclaim {name:?} is being deleted")));
        }
        if is_own && !is_made_for(&object.metadata, pod) {
            let (namespace, pod) = (&key.namespace, pod.metadata.name.as_deref().unwrap_or_default());
            let why = format!(
                "ResourceClaim {namespace}/{name} was not created for pod {namespace}/{pod} (pod is not owner)"
            );
            return Err(Rejection::never_here(why));
        }
        let written = object.status.as_ref().and_then(|status| status.allocation.clone()).map(Arc::new);
        let allocation = written.or_else(|| devices.promised(&key));
        claims.push(Claim { key, object, allocation });
    }
    Ok(claims)
}

fn is_made_for(metadata: &ObjectMeta, pod: &Pod) -> bool {
    let mut owners = metadata.owner_references.iter().flatten();
    owners.any(|owner| owner.controller == Some(true) && owner.uid == pod.uid())
}
