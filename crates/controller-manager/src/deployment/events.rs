//! Which deployment an event concerns.

use std::sync::Arc;

use api_types::{
    apps::ReplicaSet,
    meta::{ObjectMeta, OwnerReference},
    selector::label::Selector,
};
use component::{
    informer::{Event, ObjectKey},
    queue::WorkQueue,
};

use super::Controller;
use crate::{
    ownership::controller_of,
    slim::{BY_CONTROLLER, Pod},
};

/// Queues deployments when they, their replica sets, or, for recreation, their last pods change.
pub(super) fn subscribe(controller: &Arc<Controller>, queue: &Arc<WorkQueue<ObjectKey>>) {
    let keys = Arc::clone(queue);
    controller.deployments.on_event(move |event| keys.add(ObjectKey::of(&**event.object())));
    let (this, keys) = (Arc::clone(controller), Arc::clone(queue));
    controller.sets.on_event(move |event| this.on_set(event, &keys));
    let (this, keys) = (Arc::clone(controller), Arc::clone(queue));
    controller.pods.on_event(move |event| this.on_pod(event, &keys));
}

impl Controller {
    fn on_set(&self, event: &Event<ReplicaSet>, queue: &WorkQueue<ObjectKey>) {
        let set = event.object();
        if let Event::Updated { old, .. } = event
            && let Some(owner) = own_reference(&old.metadata)
            && own_reference(&set.metadata).map(|owner| &owner.uid) != Some(&owner.uid)
        {
            queue.add(owner_key(&old.metadata, owner));
        }
        match own_reference(&set.metadata) {
            Some(owner) => queue.add(owner_key(&set.metadata, owner)),
            None if controller_of(&set.metadata).is_none() => self.queue_matching(set, queue),
            None => {}
        }
    }

    /// A replica set that is nobody's may be adopted by whoever selects it.
    fn queue_matching(&self, set: &ReplicaSet, queue: &WorkQueue<ObjectKey>) {
        let namespace = set.metadata.namespace.as_deref().unwrap_or_default();
        for deployment in self.deployments.store().list_namespace(namespace) {
            let selector = Selector::from_label_selector(deployment.spec.as_ref().map(|spec| &spec.selector));
            if selector.is_ok_and(|selector| !selector.is_everything() && selector.matches(&set.metadata.labels)) {
                queue.add(ObjectKey::of(&*deployment));
            }
        }
    }

    /// A recreation goes on when the last pod of its replica set has gone.
    fn on_pod(&self, event: &Event<Pod>, queue: &WorkQueue<ObjectKey>) {
        let pod = match event {
            Event::Deleted(pod) => pod,
            Event::Updated { old, new } if old.status.phase != new.status.phase => new,
            _ => return,
        };
        let Some(owner) = controller_of(&pod.metadata).filter(|owner| owner.kind == "ReplicaSet") else { return };
        let set = self.sets.store().get(&owner_key(&pod.metadata, owner));
        let Some(set) = set else { return };
        let Some(deployment) = own_reference(&set.metadata) else { return };
        let key = owner_key(&set.metadata, deployment);
        let recreates = self.deployments.store().get(&key).is_some_and(|deployment| {
            let strategy = deployment.spec.as_ref().and_then(|spec| spec.strategy.as_ref());
            strategy.and_then(|strategy| strategy.type_.as_deref()) == Some("Recreate")
        });
        if recreates
            && self
                .pods
                .store()
                .by_index(BY_CONTROLLER, &owner.uid)
                .iter()
                .all(|pod| crate::pod_state::is_terminal(pod))
        {
            queue.add(key);
        }
    }
}

fn own_reference(metadata: &ObjectMeta) -> Option<&OwnerReference> {
    controller_of(metadata).filter(|owner| owner.kind == "Deployment" && owner.api_version == "apps/v1")
}

fn owner_key(metadata: &ObjectMeta, owner: &OwnerReference) -> ObjectKey {
    ObjectKey::new(metadata.namespace.clone().unwrap_or_default(), owner.name.clone())
}
