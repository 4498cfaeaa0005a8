//! Volumes of the class that comes with a cluster: directories of the node on which the scheduler wants a claim's first
//! pod. The volume is written here; the kubelet of the node makes the directory when a pod first mounts it, and takes it
//! away when it is asked to, before the volume goes.

mod plan;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use api_types::core::{PersistentVolume, PersistentVolumeClaim};
use component::{
    api::Api,
    informer::{Event, Informer, ObjectKey},
    queue::{Outcome, WorkQueue},
    recorder::{EventType, Recorder},
    volumes::{Class, SELECTED_NODE, Volume, annotation, class_of, local},
};
use kube::{
    Client,
    api::{DeleteParams, Patch, Preconditions},
};
use serde_json::json;

use self::plan::{Farewell, HOSTNAME, Refusal, farewell, node_of, volume_for};
use crate::{
    context::Context,
    controllers::Run,
    ownership::object_reference,
    slim::Node,
    step::{self, failed},
    write,
};

const WORKERS: usize = 4;
/// Nothing is said before so many attempts have failed, which is after a second or so.
const PATIENCE: u32 = 8;
/// Index of nodes: by what they call themselves.
const BY_HOSTNAME: &str = "hostname";
/// Index of volumes that were made here: by the name of their node.
const BY_NODE: &str = "node-of-local-volume";

/// The provisioner of local volumes.
pub(crate) fn start(context: &Context) -> Option<Run> {
    let (nodes, volumes): (Informer<Node>, Informer<Volume>) = (context.informer(), context.informer());
    let controller = Arc::new(Controller {
        client: context.client.clone(),
        claims: context.informer(),
        volumes: volumes.with_index(BY_NODE, |volume| node_of(volume).map(str::to_owned).into_iter().collect()),
        classes: context.informer(),
        nodes: nodes.with_index(BY_HOSTNAME, |node| node.label(HOSTNAME).map(str::to_owned).into_iter().collect()),
        recorder: context.recorder(local::PROVISIONER),
        volume_keys: WorkQueue::new(),
    });
    let (claim_keys, volume_keys) = (WorkQueue::new(), Arc::clone(&controller.volume_keys));
    subscribe(&controller, &claim_keys, &volume_keys);
    let daemon = context.daemon.clone();
    Some(Box::new(move || {
        let this = Arc::clone(&controller);
        claim_keys.run(&daemon, "local-volume-claims", WORKERS, move |key| {
            let this = Arc::clone(&this);
            async move { write::settle_races(this.provide(&key).await) }
        });
        volume_keys.run(&daemon, "local-volumes", WORKERS, move |key| {
            let this = Arc::clone(&controller);
            async move { write::settle_races(this.take_leave(&key).await) }
        });
    }))
}

fn subscribe(
    controller: &Arc<Controller>,
    claim_keys: &Arc<WorkQueue<ObjectKey>>,
    volume_keys: &Arc<WorkQueue<ObjectKey>>,
) {
    let keys = Arc::clone(claim_keys);
    controller.claims.on_event(move |event| {
        if !matches!(event, Event::Deleted(_)) && plan::is_asked(event.object()) {
            keys.add(ObjectKey::of(&**event.object()));
        }
    });
    let keys = Arc::clone(volume_keys);
    controller.volumes.on_event(move |event| {
        if !matches!(event, Event::Deleted(_)) && farewell(event.object()).is_some() {
            keys.add(ObjectKey::of(&**event.object()));
        }
    });
    // Who waits for a node need not wait for its turn to try again.
    let (volumes, keys) = (controller.volumes.clone(), Arc::clone(volume_keys));
    controller.nodes.on_event(move |event| {
        let node = event.object();
        if matches!(event, Event::Updated { old, new } if old.condition("Ready") == new.condition("Ready")) {
            return;
        }
        for volume in volumes.store().by_index(BY_NODE, node.label(HOSTNAME).unwrap_or_default()) {
            if farewell(&volume).is_some() {
                keys.add(ObjectKey::of(&*volume));
            }
        }
    });
}

struct Controller {
    client: Client,
    claims: Informer<PersistentVolumeClaim>,
    volumes: Informer<Volume>,
    classes: Informer<Class>,
    nodes: Informer<Node>,
    recorder: Recorder,
    volume_keys: Arc<WorkQueue<ObjectKey>>,
}

/// A claim or volume could not be brought where it belongs.
#[derive(Debug, thiserror::Error)]
enum Error {
    /// What a kubelet says is no race that would be over at once, whatever its code.
    #[error("removing a volume's directory: {0}")]
    Kubelet(String),
    #[error(transparent)]
    Step(#[from] step::Error),
}

impl Controller {
    /// Makes the volume that a claim asks for. Its name follows from the claim, so that there is never more than one.
    async fn provide(&self, key: &ObjectKey) -> Result<Outcome, Error> {
        let Some(claim) = self.claims.store().get(key).filter(|claim| plan::is_asked(claim)) else {
            return Ok(Outcome::Done);
        };
        let Some(class) = self.classes.store().get(&ObjectKey::new("", class_of(&claim))) else {
            return Ok(Outcome::Done);
        };
        let node = annotation(&claim.metadata, SELECTED_NODE);
        let node = node.and_then(|node| self.nodes.store().get(&ObjectKey::new("", node)));
        match volume_for(&claim, &class, node.as_deref()) {
            Ok(volume) => self.create(&claim, &volume).await?,
            Err(refusal) => self.refuse(&claim, &class, refusal).await?,
        }
        Ok(Outcome::Done)
    }

    async fn create(&self, claim: &PersistentVolumeClaim, volume: &PersistentVolume) -> Result<(), Error> {
        let volumes: Api<PersistentVolume> = Api::all(self.client.clone());
        match volumes.create(&write::post_params(), volume).await {
            // Made before, by somebody who then ended, or whose volume is not shown yet.
            Err(error) if write::code(&error) == Some(409) => return Ok(()),
            created => created.map_err(failed("creating a volume"))?,
        };
        let name = volume.metadata.name.as_deref().unwrap_or_default();
        let message = format!("Successfully provisioned volume {name}");
        self.recorder.record(&object_reference(claim), EventType::Normal, "ProvisioningSucceeded", message);
        Ok(())
    }

    async fn refuse(&self, claim: &PersistentVolumeClaim, class: &Class, refusal: Refusal) -> Result<(), Error> {
        let message = format!("failed to provision volume with StorageClass {:?}: {}", class.name(), refusal.why());
        self.recorder.record(&object_reference(claim), EventType::Warning, "ProvisioningFailed", message);
        if let Refusal::NotThere(_) = refusal {
            // The scheduler is to look for another node.
            let annotations = json!({"metadata": {"annotations": {SELECTED_NODE: null}}});
            let patch = Patch::Merge(write::as_read(&claim.metadata, annotations));
            let namespace = claim.metadata.namespace.as_deref().unwrap_or_default();
            let claims: Api<PersistentVolumeClaim> = Api::namespaced(self.client.clone(), namespace);
            let name = claim.metadata.name.as_deref().unwrap_or_default();
            let written = claims.patch(name, &write::patch_params(), &patch).await;
            written.map_err(failed("giving up a claim's node"))?;
        }
        Ok(())
    }

    /// Takes away a volume that nobody has any more: from then on nobody can get it, its directory goes, and then what
    /// has kept it until here.
    async fn take_leave(&self, key: &ObjectKey) -> Result<Outcome, Error> {
        let Some(volume) = self.volumes.store().get(key) else { return Ok(Outcome::Done) };
        let volumes: Api<Volume> = Api::all(self.client.clone());
        match farewell(&volume) {
            None => {}
            Some(Farewell::Delete) => {
                let deleted = volumes.delete(volume.name(), &as_it_is(&volume)).await;
                deleted.map_err(failed("deleting a volume"))?;
            }
            Some(Farewell::Forget { with_directory }) => {
                if with_directory && let Err(why) = self.remove_directory(&volume).await {
                    // A pod that has just gone may have it for another moment.
                    if self.volume_keys.failures(key) >= PATIENCE {
                        self.complain(&volumes, &volume, &why).await?;
                    }
                    return Err(Error::Kubelet(why));
                }
                let patch = json!({"metadata": {"finalizers": plan::other_finalizers(&volume)}});
                let patch = Patch::Merge(write::as_read(&volume.metadata, patch));
                let written = volumes.patch(volume.name(), &write::patch_params(), &patch).await;
                written.map_err(failed("letting a volume go"))?;
            }
        }
        Ok(Outcome::Done)
    }

    /// Asks the node's kubelet. A node that is no more has no directory either.
    async fn remove_directory(&self, volume: &Volume) -> Result<(), String> {
        let hostname = node_of(volume).unwrap_or_default();
        for node in self.nodes.store().by_index(BY_HOSTNAME, hostname) {
            let request = http::Request::delete(plan::removal(volume, node.name())).body(Vec::new());
            let request = request.map_err(|error| error.to_string())?;
            self.client.request_text(request).await.map_err(|error| write::message(&error))?;
        }
        Ok(())
    }

    async fn complain(&self, volumes: &Api<Volume>, volume: &Volume, message: &str) -> Result<(), Error> {
        if volume.status.phase == "Failed" {
            return Ok(());
        }
        let patch = json!({"status": {"phase": "Failed", "message": message}});
        let patch = Patch::Merge(write::as_read(&volume.metadata, patch));
        let written = volumes.patch_status(volume.name(), &write::patch_params(), &patch).await;
        written.map_err(failed("writing a volume's phase"))?;
        self.recorder.record(&object_reference(volume), EventType::Warning, "VolumeFailedDelete", message);
        Ok(())
    }
}

fn as_it_is(volume: &Volume) -> DeleteParams {
    let preconditions =
        Preconditions { uid: volume.metadata.uid.clone(), resource_version: volume.metadata.resource_version.clone() };
    DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() }
}
