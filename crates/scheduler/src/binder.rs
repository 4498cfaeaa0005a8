//! What the scheduler writes: bindings, the condition `PodScheduled`, nominations, whom it makes go, events.

use std::sync::Arc;

use api_types::{
    core::{Binding, ObjectReference},
    jiff::Timestamp,
    meta::{ObjectMeta, Time},
};
use component::api::{Api, is_moot};
use component::recorder::{EventType, Recorder};
use kube::{
    Client,
    api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions},
};
use serde_json::{Value, json};

use crate::{
    cache::PodInfo,
    model::{DISRUPTION_TARGET, PREEMPTED, Pod},
};

/// A binding was not written.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The pod is gone, or somebody else has bound it: nothing is left to do.
    #[error("binding is moot: {0}")]
    Moot(String),
    /// It may work later.
    #[error("binding")]
    Failed(#[source] Box<dyn std::error::Error + Send + Sync>),
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

    /// The API server.
    #[must_use]
    pub const fn client(&self) -> &Client {
        &self.client
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

    /// Notes on the pod why it is not placed, and where room is being made for it, and says the former in an event. Whether
    /// the pod is still there.
    ///
    /// # Errors
    /// When the API server refuses or cannot be reached.
    pub async fn reject(
        &self,
        pod: &Pod,
        (reason, message): (&str, &str),
        nomination: &Nomination,
    ) -> Result<bool, kube::Error> {
        self.recorder.record(&reference(pod), EventType::Warning, "FailedScheduling", message);
        let mut status = serde_json::Map::new();
        status.extend(unscheduled(pod, reason, message).map(|condition| ("conditions".to_owned(), json!([condition]))));
        status.extend(nomination.patch(pod).map(|node| ("nominatedNodeName".to_owned(), node)));
        if status.is_empty() {
            return Ok(true);
        }
        self.patch_status(pod.metadata.namespace.as_deref(), pod.metadata.name.as_deref(), pod.uid(), &status.into())
            .await
    }

    /// Room on a node is no longer kept for a pod; who wants it less has lost it.
    ///
    /// # Errors
    /// When the API server refuses or cannot be reached.
    pub async fn withdraw(&self, pod: &PodInfo) -> Result<bool, kube::Error> {
        self.patch(pod, &json!({"nominatedNodeName": null})).await
    }

    /// Makes a pod go, for one that is more important, and says so on it and in an event.
    ///
    /// # Errors
    /// When the API server refuses or cannot be reached.
    pub async fn preempt(&self, victim: &PodInfo, node: &str, preemptor: &Pod) -> Result<(), kube::Error> {
        let message = format!("{}: preempting to accommodate a higher priority pod", preemptor.scheduler_name());
        let condition = json!({"type": DISRUPTION_TARGET, "status": "True", "reason": PREEMPTED, "message": message,
            "observedGeneration": victim.identity.generation,
            "lastProbeTime": null, "lastTransitionTime": Time(Timestamp::now())});
        if !self.patch(victim, &json!({"conditions": [condition]})).await? {
            return Ok(());
        }
        let pods: Api<api_types::core::Pod> = Api::namespaced(self.client.clone(), &victim.kin.namespace);
        // Another pod that has its name by now is left alone.
        let uid = Some(victim.uid().to_owned());
        let preconditions = Some(Preconditions { uid, resource_version: None });
        match pods.delete(&victim.identity.name, &DeleteParams { preconditions, ..DeleteParams::default() }).await {
            Err(kube::Error::Api(status)) if is_moot(&status) => return Ok(()),
            result => result?,
        }
        let regarding = ObjectReference {
            api_version: Some("v1".into()),
            kind: Some("Pod".into()),
            namespace: Some(victim.kin.namespace.to_string()),
            name: Some(victim.identity.name.to_string()),
            uid: Some(victim.uid().to_owned()),
            ..ObjectReference::default()
        };
        let message = format!("Preempted by pod {} on node {node}", preemptor.uid());
        self.recorder.record(&regarding, EventType::Normal, "Preempted", message);
        Ok(())
    }

    async fn patch(&self, pod: &PodInfo, status: &Value) -> Result<bool, kube::Error> {
        self.patch_status(Some(&pod.kin.namespace), Some(&pod.identity.name), pod.uid(), status).await
    }

    /// Whether the pod is still there.
    async fn patch_status(
        &self,
        namespace: Option<&str>,
        name: Option<&str>,
        uid: &str,
        status: &Value,
    ) -> Result<bool, kube::Error> {
        let pods: Api<api_types::core::Pod> = Api::namespaced(self.client.clone(), namespace.unwrap_or_default());
        let patch = json!({"metadata": {"uid": uid}, "status": status});
        match pods.patch_status(name.unwrap_or_default(), &PatchParams::default(), &Patch::Strategic(patch)).await {
            // Gone, or another pod of the same name by now.
            Err(kube::Error::Api(status)) if is_moot(&status) => Ok(false),
            result => result.map(|_| true),
        }
    }
}

/// What becomes of the node for which a pod is nominated, where room is being made for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Nomination {
    /// It stays as it is.
    Kept,
    /// There is none any more.
    Withdrawn,
    /// This one.
    For(Arc<str>),
}

impl Nomination {
    /// What is to be written, if that is not there already.
    fn patch(&self, pod: &Pod) -> Option<Value> {
        match self {
            Self::Kept => None,
            Self::Withdrawn => pod.nominated_node().is_some().then_some(Value::Null),
            Self::For(node) => (pod.nominated_node() != Some(&**node)).then(|| json!(node)),
        }
    }
}

/// The condition that says why a pod is not placed; `None` when it says so already.
fn unscheduled(pod: &Pod, reason: &str, message: &str) -> Option<Value> {
    let old = pod.scheduled_condition().filter(|condition| &*condition.status == "False");
    let says = |own: Option<&str>, what: &str| own == Some(what);
    if old.is_some_and(|old| says(old.message.as_deref(), message) && says(old.reason.as_deref(), reason)) {
        return None;
    }
    let since = old.and_then(|old| old.last_transition_time.clone()).unwrap_or_else(|| Time(Timestamp::now()));
    Some(json!({"type": "PodScheduled", "status": "False", "reason": reason, "message": message,
        "observedGeneration": pod.metadata.generation, "lastProbeTime": null, "lastTransitionTime": since}))
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
