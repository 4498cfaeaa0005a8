//! Namespaces: one that is deleted is emptied first, pods before everything else.

mod content;
mod plan;

use std::{sync::Arc, time::Duration};

use api_types::{codec::ToJson, core::Namespace, jiff::Timestamp};
use component::{
    api::Api,
    informer::{Event, Informer, ObjectKey},
    queue::{Outcome, WorkQueue},
};
use kube::{Client, api::Patch};
use serde_json::json;

use self::plan::Found;
use crate::step::{Error, failed};
use crate::{context::Context, controllers::Run, slim::Pod, write};

const FINALIZER: &str = "kubernetes";
/// How soon to look again when nothing but finalizers of others keeps content alive: their removal
/// is not watched here.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

/// Whether the namespace takes new objects.
pub(crate) fn is_active(namespace: &Namespace) -> bool {
    let phase = namespace.status.as_ref().and_then(|status| status.phase.as_deref());
    namespace.metadata.deletion_timestamp.is_none() && phase != Some("Terminating")
}

struct Controller {
    client: Client,
    namespaces: Informer<Namespace>,
    pods: Informer<Pod>,
}

/// The controller of namespaces' ends.
pub(crate) fn start(context: &Context) -> Option<Run> {
    let controller = Arc::new(Controller {
        client: context.client.clone(),
        namespaces: context.informer(),
        pods: context.informer(),
    });
    let queue = WorkQueue::new();
    let keys = Arc::clone(&queue);
    controller.namespaces.on_event(move |event: &Event<Namespace>| {
        if event.object().metadata.deletion_timestamp.is_some() {
            keys.add(ObjectKey::of(&**event.object()));
        }
    });
    subscribe_to_last_pods(&controller, &queue);
    let daemon = context.daemon.clone();
    let workers = context.config.flags.concurrency.namespace;
    Some(Box::new(move || {
        queue.run(&daemon, "namespace", workers, move |key| {
            let controller = Arc::clone(&controller);
            async move { write::settle_races(controller.reconcile(&key).await) }
        });
    }))
}

/// A namespace that is going away waits longest for its pods.
fn subscribe_to_last_pods(controller: &Arc<Controller>, queue: &Arc<WorkQueue<ObjectKey>>) {
    let (this, keys) = (Arc::clone(controller), Arc::clone(queue));
    controller.pods.on_event(move |event| {
        let Event::Deleted(pod) = event else { return };
        let name = pod.metadata.namespace.as_deref().unwrap_or_default();
        let key = ObjectKey::new("", name);
        let going = || this.namespaces.store().get(&key).is_some_and(|namespace| !is_active(&namespace));
        if going() && this.pods.store().list_namespace(name).is_empty() {
            keys.add(key);
        }
    });
}

impl Controller {
    async fn reconcile(&self, key: &ObjectKey) -> Result<Outcome, Error> {
        let namespace = self.namespaces.store().get(key);
        let Some(namespace) = namespace.filter(|namespace| namespace.metadata.deletion_timestamp.is_some()) else {
            return Ok(Outcome::Done);
        };
        let finalizers = namespace.spec.as_ref().and_then(|spec| spec.finalizers.as_deref()).unwrap_or_default();
        if finalizers.is_empty() {
            return Ok(Outcome::Done);
        }
        let found = content::delete_all(&self.client, &key.name).await;
        self.write_conditions(&namespace, &found).await?;
        if !found.is_empty() {
            return Ok(Outcome::RequeueAfter(LOOK_AGAIN));
        }
        self.finalize(&namespace).await?;
        Ok(Outcome::Done)
    }

    async fn write_conditions(&self, namespace: &Namespace, found: &Found) -> Result<(), Error> {
        let status = namespace.status.clone().unwrap_or_default();
        let current = status.conditions.unwrap_or_default();
        let conditions = found.conditions(&current, Timestamp::now());
        if conditions == current {
            return Ok(());
        }
        let patch = json!({
            "metadata": {"uid": namespace.metadata.uid},
            "status": {"phase": "Terminating", "conditions": conditions},
        });
        let name = namespace.metadata.name.as_deref().unwrap_or_default();
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        let written = namespaces.patch_status(name, &write::patch_params(), &Patch::Merge(patch)).await;
        written.map(drop).map_err(failed("writing the conditions"))
    }

    /// Takes our finalizer off; without any the server lets the namespace go.
    async fn finalize(&self, namespace: &Namespace) -> Result<(), Error> {
        let name = namespace.metadata.name.as_deref().unwrap_or_default();
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        // The newest version: the conditions have just been written.
        let Some(mut live) = namespaces.get_opt(name).await.map_err(failed("reading the namespace"))? else {
            return Ok(());
        };
        if live.metadata.uid != namespace.metadata.uid {
            return Ok(());
        }
        if let Some(finalizers) = live.spec.as_mut().and_then(|spec| spec.finalizers.as_mut()) {
            finalizers.retain(|finalizer| finalizer != FINALIZER);
        }
        let path = format!("/api/v1/namespaces/{name}/finalize");
        let request =
            http::Request::put(path).header(http::header::CONTENT_TYPE, "application/json").body(live.to_json());
        let request = request.map_err(kube::Error::HttpError).map_err(failed("finalizing the namespace"))?;
        match self.client.request_text(request).await {
            Err(error) if write::code(&error) == Some(404) => Ok(()),
            result => result.map(drop).map_err(failed("finalizing the namespace")),
        }
    }
}
