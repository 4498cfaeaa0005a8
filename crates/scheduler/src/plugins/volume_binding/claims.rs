//! The claims of a pod, sorted by what there is to do about them.

use std::sync::Arc;

use api_types::core::PersistentVolumeClaim;
use component::{
    informer::ObjectKey,
    volumes::{class_of, is_fully_bound, is_made_for, phase, volume_name},
};

use crate::{framework::Rejection, model::Pod, storage::Storage};

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Claims {
    /// They have volumes.
    pub(super) bound: Vec<Arc<PersistentVolumeClaim>>,
    /// They get volumes when the pod has a node.
    pub(super) waiting: Vec<Arc<PersistentVolumeClaim>>,
    /// Some should have volumes by themselves and have none.
    pub(super) immediate: bool,
}

/// The claims of a pod.
///
/// # Errors
/// When one of them is not to be had: no node can take the pod then.
pub(super) fn claims(pod: &Pod, storage: &Storage) -> Result<Claims, Rejection> {
    let mut claims = Claims::default();
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    for wanted in pod.claims() {
        let key = ObjectKey::new(namespace, wanted.name);
        let claim = storage.claim(&key).ok_or_else(|| missing(&key, wanted.is_own))?;
        usable(pod, &key, wanted.is_own, &claim)?;
        if is_fully_bound(&claim) {
            claims.bound.push(claim);
        } else if volume_name(&claim).is_empty() && storage.class(class_of(&claim)).is_some_and(|class| class.waits()) {
            claims.waiting.push(claim);
        } else {
            claims.immediate = true;
        }
    }
    Ok(claims)
}

fn missing(key: &ObjectKey, is_own: bool) -> Rejection {
    let name = &key.name;
    Rejection::never_here(if is_own {
        format!("waiting for ephemeral volume controller to create the persistentvolumeclaim {name:?}")
    } else {
        format!("persistentvolumeclaim {name:?} not found")
    })
}

fn usable(pod: &Pod, key: &ObjectKey, is_own: bool, claim: &PersistentVolumeClaim) -> Result<(), Rejection> {
    let ObjectKey { namespace, name } = key;
    if phase(claim) == "Lost" {
        let volume = volume_name(claim);
        let why = format!("persistentvolumeclaim {name:?} bound to non-existent persistentvolume {volume:?}");
        return Err(Rejection::never_here(why));
    }
    if claim.metadata.deletion_timestamp.is_some() {
        return Err(Rejection::never_here(format!("persistentvolumeclaim {name:?} is being deleted")));
    }
    if is_own && !is_made_for(claim, pod.uid()) {
        let pod = pod.metadata.name.as_deref().unwrap_or_default();
        let why = format!("PVC {namespace}/{name} was not created for pod {namespace}/{pod} (pod is not owner)");
        return Err(Rejection::never_here(why));
    }
    Ok(())
}
