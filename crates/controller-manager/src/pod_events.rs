//! Which owner an event of a pod concerns.

use std::{sync::Arc, time::Duration};

use api_types::{
    meta::{ObjectMeta, OwnerReference},
    selector::label::Selector,
};
use component::{
    informer::{Event, Informer, Item, ObjectKey},
    queue::WorkQueue,
};

use crate::{expectations::Expectations, ownership::controller_of, slim::Pod};

/// Owners of pods, of one kind.
pub struct Owners<K: Item> {
    /// The owners.
    pub owners: Informer<K>,
    /// Their pods, and others'.
    pub pods: Informer<Pod>,
    /// What an owner selects; `None` when nobody knows.
    pub selector: fn(&K) -> Option<Selector>,
    /// Ticked off when pods come and go.
    pub expectations: Arc<Expectations>,
    /// How long an event of a pod waits for others, so that the owner is queued once for all.
    pub together: Duration,
}

impl<K: Item<DynamicType = ()>> Owners<K> {
    /// Queues owners when they or their pods change, and ticks off expectations.
    pub fn subscribe(self, queue: &Arc<WorkQueue<ObjectKey>>) {
        let (expectations, keys) = (Arc::clone(&self.expectations), Arc::clone(queue));
        self.owners.on_event(move |event| {
            if let Event::Deleted(owner) = event {
                expectations.forget(owner.meta().uid.as_deref().unwrap_or_default());
            }
            keys.add(ObjectKey::of(&**event.object()));
        });
        let (pods, keys) = (self.pods.clone(), Arc::clone(queue));
        pods.on_event(move |event| self.on_pod(event, &keys));
    }

    /// Queues an owner for an event of a pod.
    fn queue_owner(&self, owner: ObjectKey, queue: &WorkQueue<ObjectKey>) {
        if self.together.is_zero() {
            queue.add(owner);
        } else {
            queue.add_after(owner, self.together);
        }
    }

    fn on_pod(&self, event: &Event<Pod>, queue: &WorkQueue<ObjectKey>) {
        match event {
            Event::Added(pod) if pod.metadata.deletion_timestamp.is_some() => self.on_pod_gone(pod, queue),
            Event::Added(pod) => match own_reference::<K>(&pod.metadata) {
                Some(owner) => {
                    self.expectations.creation_observed(&owner.uid);
                    self.queue_owner(owner_key(&pod.metadata, owner), queue);
                }
                None => self.queue_matching(pod, queue),
            },
            Event::Updated { old, new } => {
                let (before, after) = (own_reference::<K>(&old.metadata), own_reference::<K>(&new.metadata));
                if let Some(owner) = before.filter(|owner| after.map(|after| &after.uid) != Some(&owner.uid)) {
                    self.queue_owner(owner_key(&old.metadata, owner), queue);
                }
                if new.metadata.deletion_timestamp.is_some() {
                    self.on_pod_gone(new, queue);
                } else if let Some(owner) = after {
                    self.queue_owner(owner_key(&new.metadata, owner), queue);
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
            self.queue_owner(owner_key(&pod.metadata, owner), queue);
        }
    }

    /// A pod that is nobody's may be adopted by whoever selects it.
    fn queue_matching(&self, pod: &Pod, queue: &WorkQueue<ObjectKey>) {
        if controller_of(&pod.metadata).is_some() {
            return;
        }
        let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
        for owner in self.owners.store().list_namespace(namespace) {
            if (self.selector)(&owner).is_some_and(|selector| selector.matches(&pod.metadata.labels)) {
                queue.add(ObjectKey::of(&*owner));
            }
        }
    }
}

/// The controller reference, when it names an owner of this kind.
pub fn own_reference<K: Item<DynamicType = ()>>(metadata: &ObjectMeta) -> Option<&OwnerReference> {
    controller_of(metadata).filter(|owner| owner.kind == K::kind(&()) && owner.api_version == K::api_version(&()))
}

/// The key of an object's owner.
#[must_use]
pub fn owner_key(metadata: &ObjectMeta, owner: &OwnerReference) -> ObjectKey {
    ObjectKey::new(metadata.namespace.clone().unwrap_or_default(), owner.name.clone())
}
