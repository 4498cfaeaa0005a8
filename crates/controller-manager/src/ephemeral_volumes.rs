//! Claims of pods' own volumes (`ephemeral`): made from the pod's template, and gone with the pod.

use std::sync::Arc;

use api_types::{
    core::{self, PersistentVolumeClaim, Volume},
    meta::ObjectMeta,
};
use component::{
    api::Api,
    informer::{Event, Informer, ObjectKey},
    queue::{Outcome, WorkQueue},
    recorder::{EventType, Recorder},
    volumes::{ephemeral_claim_name, is_made_for},
};
use kube::Client;

use crate::{
    context::Context,
    controllers::Run,
    ownership::{controller_reference, object_reference},
    slim::{Claim, Pod},
    step::failed,
    write,
};

/// The controller of pods' own volumes.
pub(crate) fn start(context: &Context) -> Option<Run> {
    let controller = Arc::new(Controller {
        client: context.client.clone(),
        pods: context.informer(),
        claims: context.informer(),
        recorder: context.recorder("ephemeral_volume"),
    });
    let queue = WorkQueue::new();
    let keys = Arc::clone(&queue);
    controller.pods.on_event(move |event| {
        if !matches!(event, Event::Deleted(_)) && own_volumes(event.object()).next().is_some() {
            keys.add(event.object().key());
        }
    });
    // A claim that goes while its pod is there is made anew.
    let (pods, keys) = (controller.pods.clone(), Arc::clone(&queue));
    controller.claims.on_event(move |event| {
        let Event::Deleted(claim) = event else { return };
        for owner in claim.metadata.owner_references.iter().flatten().filter(|owner| owner.kind == "Pod") {
            let key = ObjectKey::new(claim.metadata.namespace.clone().unwrap_or_default(), owner.name.clone());
            if pods.store().get(&key).is_some() {
                keys.add(key);
            }
        }
    });
    let daemon = context.daemon.clone();
    let workers = context.config.flags.concurrency.ephemeral_volume;
    Some(Box::new(move || {
        queue.run(&daemon, "ephemeral_volume", workers, move |key| {
            let controller = Arc::clone(&controller);
            async move { write::settle_races(controller.reconcile(&key).await) }
        });
    }))
}

/// Names of a pod's own volumes.
fn own_volumes(pod: &Pod) -> impl Iterator<Item = &str> {
    pod.spec.claims.iter().filter_map(|claim| match claim {
        Claim::Own(volume) => Some(volume.as_str()),
        Claim::Named(_) => None,
    })
}

/// A pod's claims cannot be made.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("PVC {namespace}/{claim} was not created for pod {namespace}/{pod} (pod is not owner)")]
    NotOwner { namespace: String, claim: String, pod: String },
    #[error(transparent)]
    Step(#[from] crate::step::Error),
}

struct Controller {
    client: Client,
    pods: Informer<Pod>,
    claims: Informer<PersistentVolumeClaim>,
    recorder: Recorder,
}

impl Controller {
    async fn reconcile(&self, key: &ObjectKey) -> Result<Outcome, Error> {
        let Some(pod) = self.pods.store().get(key) else { return Ok(Outcome::Done) };
        if pod.metadata.deletion_timestamp.is_some() {
            return Ok(Outcome::Done);
        }
        for volume in own_volumes(&pod) {
            if let Err(error) = self.provide(&pod, volume).await {
                let message = format!("ephemeral volume {volume}: {error}");
                self.recorder.record(&object_reference(&*pod), EventType::Warning, "FailedBinding", message);
                return Err(error);
            }
        }
        Ok(Outcome::Done)
    }

    async fn provide(&self, pod: &Pod, volume: &str) -> Result<(), Error> {
        let ObjectKey { namespace, name } = pod.key();
        let key = ObjectKey::new(namespace.clone(), ephemeral_claim_name(&name, volume));
        if let Some(claim) = self.claims.store().get(&key) {
            return if is_made_for(&claim, pod.uid()) {
                Ok(())
            } else {
                Err(Error::NotOwner { namespace, claim: key.name, pod: name })
            };
        }
        // The template is read now, once, and not held for every pod all the time.
        let pods: Api<core::Pod> = Api::namespaced(self.client.clone(), &namespace);
        let live = pods.get_opt(&name).await.map_err(failed("reading a pod's template of a claim"))?;
        let Some(live) = live.filter(|live| live.metadata.uid == pod.metadata.uid) else { return Ok(()) };
        let Some(claim) = claim_of(&live, volume) else { return Ok(()) };
        let claims: Api<PersistentVolumeClaim> = Api::namespaced(self.client.clone(), &namespace);
        let created = claims.create(&write::post_params(), &claim).await;
        created.map(drop).map_err(failed("creating a pod's claim")).map_err(Error::from)
    }
}

/// The claim of a pod's own volume.
fn claim_of(pod: &core::Pod, volume: &str) -> Option<PersistentVolumeClaim> {
    let volumes = pod.spec.as_ref()?.volumes.iter().flatten();
    let template = |own: &Volume| own.ephemeral.as_ref().and_then(|own| own.volume_claim_template.clone());
    let template = volumes.filter(|own| own.name == volume).find_map(template)?;
    let meta = template.metadata.unwrap_or_default();
    let metadata = ObjectMeta {
        name: Some(ephemeral_claim_name(pod.metadata.name.as_deref().unwrap_or_default(), volume)),
        namespace: pod.metadata.namespace.clone(),
        labels: meta.labels,
        annotations: meta.annotations,
        owner_references: Some(vec![controller_reference(pod)]),
        ..ObjectMeta::default()
    };
    Some(PersistentVolumeClaim { metadata, spec: Some(template.spec), status: None })
}
