//! What the scheduler writes: bindings, the condition `PodScheduled`, events.

use api_types::{
    core::{Binding, ObjectReference},
    jiff::Timestamp,
    meta::{ObjectMeta, Time},
};
use component::api::{Api, is_moot};
use component::recorder::{EventType, Recorder};
use kube::{
    Client,
    api::{Patch, PatchParams, PostParams},
};
use serde_json::json;

use crate::model::Pod;

/// A binding was not written.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The pod is gone, or somebody else has bound it: nothing is left to do.
    #[error("binding is moot: {0}")]
    Moot(String),
    /// It may work later.
    #[error("binding")]
    Failed(#[source] Box<kube::Error>),
}

/// See the module.
#[derive(Clone)]
pub struct Binder {
    client: Client,
    recorder: Recorder,
}

impl Binder {
    /// A writer of placements.
    #[must_use]
    pub fn new(client: Client, recorder: Recorder) -> Self {
        Self { client, recorder }
    }

    fn pods(&self, pod: &Pod) -> Api<api_types::core::Pod> {
        Api::namespaced(self.client.clone(), pod.metadata.namespace.as_deref().unwrap_or_default())
    }

    /// Binds a pod to a node and says so in an event.
    ///
    /// # Errors
    /// See [`BindError`].
    pub async fn bind(&self, pod: &Pod, node: &str) -> Result<(), BindError> {
        let name = pod.metadata.name.clone().unwrap_or_default();
        let binding = Binding {
            metadata: ObjectMeta {
                name: Some(name.clone()),
                namespace: pod.metadata.namespace.clone(),
                uid: pod.metadata.uid.clone(),
                ..ObjectMeta::default()
            },
            target: ObjectReference {
                kind: Some("Node".into()),
                name: Some(node.into()),
                ..ObjectReference::default()
            },
        };
        let (pods, parameters) = (self.pods(pod), PostParams::default());
        match pods.create_subresource("binding", &name, &parameters, &binding).await {
            Ok(_) => {}
            Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => {
                return Err(BindError::Moot(status.message.clone()));
            }
            Err(error) => return Err(failed(error)),
        }
        let message =
            format!("Successfully assigned {}/{name} to {node}", pod.metadata.namespace.as_deref().unwrap_or_default());
        self.recorder.record(&reference(pod), EventType::Normal, "Scheduled", message);
        Ok(())
    }

    /// Notes on the pod why it is not placed, and says so in an event.
    ///
    /// # Errors
    /// When the API server refuses or cannot be reached.
    pub async fn reject(&self, pod: &Pod, message: &str) -> Result<(), kube::Error> {
        self.recorder.record(&reference(pod), EventType::Warning, "FailedScheduling", message);
        let old = pod.scheduled_condition();
        let noted =
            old.is_some_and(|condition| &*condition.status == "False" && condition.message.as_deref() == Some(message));
        if noted {
            return Ok(());
        }
        let since = old
            .filter(|condition| &*condition.status == "False")
            .and_then(|condition| condition.last_transition_time.clone())
            .unwrap_or_else(|| Time(Timestamp::now()));
        let patch = json!({"metadata": {"uid": pod.metadata.uid}, "status": {"conditions": [{
            "type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message,
            "lastProbeTime": null, "lastTransitionTime": since}]}});
        let name = pod.metadata.name.as_deref().unwrap_or_default();
        match self.pods(pod).patch_status(name, &PatchParams::default(), &Patch::Strategic(patch)).await {
            // Gone, or another pod of the same name by now.
            Err(kube::Error::Api(status)) if is_moot(&status) => Ok(()),
            result => result.map(drop),
        }
    }
}

fn failed(error: kube::Error) -> BindError {
    BindError::Failed(Box::new(error))
}

fn reference(pod: &Pod) -> ObjectReference {
    ObjectReference {
        api_version: Some("v1".into()),
        kind: Some("Pod".into()),
        namespace: pod.metadata.namespace.clone(),
        name: pod.metadata.name.clone(),
        uid: pod.metadata.uid.clone(),
        resource_version: pod.metadata.resource_version.clone(),
        field_path: None,
    }
}
