//! Claims get volumes: volumes that are there, or such as a provisioner makes for them. A volume and a claim are bound when
//! each names the other. The volume is written first, under the condition that it has not changed: of two claims that
//! want it one gets it, and a binding that a crash has cut short is found again from what is written on the volume.

mod binding;
mod claim;
mod claims;
mod taken;
#[cfg(test)]
mod tests;
mod volume;
mod volumes;

use std::{collections::HashMap, sync::Arc};

use api_types::core::PersistentVolumeClaim;
use component::{
    api::Api,
    informer::{Event, Informer, ObjectKey},
    queue::WorkQueue,
    recorder::{EventType, Recorder},
    volumes::{Class, Volume, class_of, is_fully_bound, volume_name},
};
use kube::{Client, Resource};
use parking_lot::Mutex;

use self::taken::Taken;
use crate::{context::Context, controllers::Run, ownership::object_reference, slim::Pod, write};

/// Keys of each kind that are worked on at once.
const WORKERS: usize = 4;
/// Index of claims that are not bound: by class.
const WAITING: &str = "waiting-by-class";
/// Index of claims: by the volume that they name.
const BY_VOLUME: &str = "volume";
/// Index of volumes: by the claim that they are set aside for.
const BY_CLAIM: &str = "claim";
/// Index of volumes that nobody has: by class.
const FREE: &str = "free-by-class";

/// The controller of volumes and claims.
pub(crate) fn start(context: &Context) -> Option<Run> {
    let volumes: Informer<Volume> = context.informer();
    let claims: Informer<PersistentVolumeClaim> = context.informer();
    let controller = Arc::new(Controller {
        client: context.client.clone(),
        volumes: volumes.with_index(BY_CLAIM, claim_of).with_index(FREE, class_of_free),
        claims: claims.with_index(WAITING, class_of_waiting).with_index(BY_VOLUME, named_volume),
        classes: context.informer(),
        pods: context.informer(),
        recorder: context.recorder("persistentvolume-controller"),
        taken: Taken::default(),
        told: Mutex::default(),
        claim_keys: WorkQueue::new(),
        volume_keys: WorkQueue::new(),
        provisions: context.config.flags.enable_dynamic_provisioning,
    });
    controller.subscribe();
    let daemon = context.daemon.clone();
    Some(Box::new(move || {
        let this = Arc::clone(&controller);
        controller.claim_keys.run(&daemon, "claims", WORKERS, move |key| {
            let this = Arc::clone(&this);
            async move { write::settle_races(this.reconcile_claim(&key).await) }
        });
        let this = Arc::clone(&controller);
        controller.volume_keys.run(&daemon, "volumes", WORKERS, move |key| {
            let this = Arc::clone(&this);
            async move { write::settle_races(this.reconcile_volume(&key).await) }
        });
    }))
}

struct Controller {
    client: Client,
    volumes: Informer<Volume>,
    claims: Informer<PersistentVolumeClaim>,
    classes: Informer<Class>,
    pods: Informer<Pod>,
    recorder: Recorder,
    /// Volumes that are being given away, which their informer does not show yet.
    taken: Taken,
    /// What was last said of which object, so that it is said once.
    told: Mutex<HashMap<ObjectKey, String>>,
    claim_keys: Arc<WorkQueue<ObjectKey>>,
    volume_keys: Arc<WorkQueue<ObjectKey>>,
    /// `--enable-dynamic-provisioning`.
    provisions: bool,
}

/// Something to tell of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Note {
    kind: EventType,
    reason: &'static str,
    message: String,
}

impl Note {
    fn normal(reason: &'static str, message: impl Into<String>) -> Self {
        Self { kind: EventType::Normal, reason, message: message.into() }
    }

    fn warning(reason: &'static str, message: impl Into<String>) -> Self {
        Self { kind: EventType::Warning, reason, message: message.into() }
    }
}

fn claim_of(volume: &Volume) -> Vec<String> {
    volume.spec.claim_ref.as_deref().map(|reference| claim_key(reference).to_string()).into_iter().collect()
}

fn class_of_free(volume: &Volume) -> Vec<String> {
    if volume.spec.claim_ref.is_none() { vec![volume.class().to_owned()] } else { Vec::new() }
}

fn class_of_waiting(claim: &PersistentVolumeClaim) -> Vec<String> {
    if is_fully_bound(claim) { Vec::new() } else { vec![class_of(claim).to_owned()] }
}

fn named_volume(claim: &PersistentVolumeClaim) -> Vec<String> {
    Some(volume_name(claim)).filter(|name| !name.is_empty()).map(str::to_owned).into_iter().collect()
}

fn claim_key(reference: &api_types::core::ObjectReference) -> ObjectKey {
    ObjectKey::new(reference.namespace.clone().unwrap_or_default(), reference.name.clone().unwrap_or_default())
}

impl Controller {
    /// Queues what a change concerns.
    fn subscribe(self: &Arc<Self>) {
        let this = Arc::clone(self);
        self.claims.on_event(move |event| this.claim_event(event));
        let this = Arc::clone(self);
        self.volumes.on_event(move |event| this.volume_event(event));
        let this = Arc::clone(self);
        self.classes.on_event(move |event| {
            let class = event.object();
            this.queue_claims(WAITING, class.name());
            if class.is_default() {
                this.queue_claims(WAITING, "");
            }
        });
    }

    fn claim_event(&self, event: &Event<PersistentVolumeClaim>) {
        let claim = event.object();
        let key = ObjectKey::of(&**claim);
        // Its volumes follow it, also those that it does not name yet, or any more.
        for volume in self.volumes.store().by_index(BY_CLAIM, &key.to_string()) {
            self.volume_keys.add(ObjectKey::of(&*volume));
        }
        match event {
            Event::Deleted(_) => self.forget(&key),
            _ => self.claim_keys.add(key),
        }
    }

    fn volume_event(&self, event: &Event<Volume>) {
        let volume = event.object();
        let key = ObjectKey::of(&**volume);
        self.taken.seen(volume, matches!(event, Event::Deleted(_)));
        if let Event::Updated { old, .. } = event
            && let Some(before) = &old.spec.claim_ref
        {
            self.claim_keys.add(claim_key(before));
        }
        self.claim_keys_of(volume);
        match event {
            Event::Deleted(_) => self.forget(&key),
            _ => self.volume_keys.add(key),
        }
    }

    /// Queues the claims that a volume is set aside for, or that name it.
    fn claim_keys_of(&self, volume: &Volume) {
        if let Some(reference) = &volume.spec.claim_ref {
            self.claim_keys.add(claim_key(reference));
        }
        self.queue_claims(BY_VOLUME, volume.name());
    }

    fn queue_claims(&self, index: &str, value: &str) {
        for claim in self.claims.store().by_index(index, value) {
            self.claim_keys.add(ObjectKey::of(&*claim));
        }
    }

    /// Tells something of an object, unless that was the last that was told of it.
    fn tell<T: Resource<DynamicType = ()>>(&self, object: &T, note: &Note) {
        let key = ObjectKey::of(object);
        let text = format!("{} {} {}", object.meta().uid.as_deref().unwrap_or_default(), note.reason, note.message);
        let before = self.told.lock().insert(key, text.clone());
        if before.is_some_and(|before| before == text) {
            return;
        }
        self.recorder.record(&object_reference(object), note.kind, note.reason, note.message.clone());
    }

    fn forget(&self, key: &ObjectKey) {
        self.told.lock().remove(key);
    }

    fn volumes_api(&self) -> Api<Volume> {
        Api::all(self.client.clone())
    }

    fn claims_api(&self, namespace: &str) -> Api<PersistentVolumeClaim> {
        Api::namespaced(self.client.clone(), namespace)
    }
}
