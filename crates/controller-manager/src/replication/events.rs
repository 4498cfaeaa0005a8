//! Which owner an event concerns.

use std::sync::Arc;

use api_types::meta::{ObjectMeta, OwnerReference};
use component::{
    informer::{Event, ObjectKey},
    queue::WorkQueue,
};

use super::{Controller, kind::Replicator};
use crate::{ownership::controller_of, slim::Pod};

/// Queues owners when they or their pods change, and ticks off expectations.
pub(super) fn subscribe<K: Replicator>(controller: &Arc<Controller<K>>, queue: &Arc<WorkQueue<ObjectKey>>) {
    let (this, keys) = (Arc::clone(controller), Arc::clone(queue));
    controller.owners.on_event(move |event| {
        if let Event::Deleted(owner) = event {
            this.expectations.forget(owner.meta().uid.as_deref().unwrap_or_default());
        }
        keys.add(ObjectKey::of(&**event.object()));
    });
    let (this, keys) = (Arc::clone(controller), Arc::clone(queue));
    controller.pods.on_event(move |event| this.on_pod(event, &keys));
}

impl<K: Replicator> Controller<K> {
    fn on_pod(&self, event: &Event<Pod>, queue: &WorkQueue<ObjectKey>) {
        match event {
            Event::Added(pod) if pod.metadata.deletion_timestamp.is_some() => self.on_pod_gone(pod, queue),
            Event::Added(pod) => match own_reference::<K>(&pod.metadata) {
                Some(owner) => {
                    self.expectations.creation_observed(&owner.uid);
                    queue.add(owner_key(&pod.metadata, owner));
                }
                None => self.queue_matching(pod, queue),
            },
            Event::Updated { old, new } => {
                let (before, after) = (own_reference::<K>(&old.metadata), own_reference::<K>(&new.metadata));
                if let Some(owner) = before.filter(|owner| after.map(|after| &after.uid) != Some(&owner.uid)) {
                    queue.add(owner_key(&old.metadata, owner));
                }
                if new.metadata.deletion_timestamp.is_some() {
                    self.on_pod_gone(new, queue);
                } else if let Some(owner) = after {
                    queue.add(owner_key(&new.metadata, owner));
                } else if old.metadata.labels != new.metadata.labels || before.is_some() {
                    self.queue_matching(new, queue);
                }
            }
            Event::Deleted(pod) => self.on_pod_gone(pod, queue),
        }
    }

    fn on_pod_gone(&self, pod: &Pod, queue: &WorkQueue<ObjectKey>) {
        if let Some(owner) = own_reference::<K>(&pod.metadata) {
            self.expectations.deletion_observed(&owner.uid, pod.uid());
            queue.add(owner_key(&pod.metadata, owner));
        }
    }

    /// A pod that is nobody's may be adopted by whoever selects it.
    fn queue_matching(&self, pod: &Pod, queue: &WorkQueue<ObjectKey>) {
        if controller_of(&pod.metadata).is_some() {
            return;
        }
        let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
        for owner in self.owners.store().list_namespace(namespace) {
            if owner.selector().is_ok_and(|selector| selector.matches(&pod.metadata.labels)) {
                queue.add(ObjectKey::of(&*owner));
            }
        }
    }
}

/// The controller reference, when it names an owner of this kind.
fn own_reference<K: Replicator>(metadata: &ObjectMeta) -> Option<&OwnerReference> {
    controller_of(metadata).filter(|owner| owner.kind == K::kind(&()) && owner.api_version == K::api_version(&()))
}

fn owner_key(metadata: &ObjectMeta, owner: &OwnerReference) -> ObjectKey {
    ObjectKey::new(metadata.namespace.clone().unwrap_or_default(), owner.name.clone())
}
