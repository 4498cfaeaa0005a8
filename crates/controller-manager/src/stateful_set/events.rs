//! Which stateful sets an event concerns.

use std::{sync::Arc, time::Duration};

use api_types::{apps::StatefulSet, core::PersistentVolumeClaim, selector::label::Selector};
use component::{
    informer::{Event, ObjectKey},
    queue::WorkQueue,
};

use super::{Controller, claims, identity};
use crate::pod_events::Owners;

/// Queues sets when they or their pods change, and when claims go or belong to others.
pub(super) fn subscribe(controller: &Arc<Controller>, queue: &Arc<WorkQueue<ObjectKey>>) {
    let owners = Owners {
        owners: controller.sets.clone(),
        pods: controller.pods.clone(),
        selector: |set| Selector::from_label_selector(set.spec.as_ref().map(|spec| &spec.selector)).ok(),
        expectations: Arc::clone(&controller.expectations),
        together: Duration::ZERO,
    };
    owners.subscribe(queue);
    let (sets, keys) = (controller.sets.clone(), Arc::clone(queue));
    controller.claims.on_event(move |event| {
        // A pod may wait for one to be gone, or no longer to go.
        let freed = match event {
            Event::Deleted(claim) => Some(claim),
            Event::Updated { old, new } if old.metadata.owner_references != new.metadata.owner_references => Some(new),
            Event::Added(_) | Event::Updated { .. } => None,
        };
        if let Some(claim) = freed {
            let namespace = claim.metadata.namespace.as_deref().unwrap_or_default();
            let owners = sets.store().list_namespace(namespace).into_iter().filter(|set| may_be_of(set, claim));
            owners.for_each(|set| keys.add(ObjectKey::of(&*set)));
        }
    });
}

/// Whether a claim has a name that one of the set's could have.
fn may_be_of(set: &StatefulSet, claim: &PersistentVolumeClaim) -> bool {
    let name = claim.metadata.name.as_deref().unwrap_or_default();
    claims::templates(set).any(|template| name.starts_with(&format!("{template}-{}-", identity::name(set))))
}
