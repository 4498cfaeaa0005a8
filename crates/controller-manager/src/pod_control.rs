//! Creating and deleting pods for an owner, with the events that tell of it.

use api_types::core::{self, ObjectReference};
use component::{
    api::Api,
    recorder::{EventType, Recorder},
};
use kube::{
    Client,
    api::{DeleteParams, Preconditions},
};

use crate::{slim::Pod, write};

/// See the module.
#[derive(Clone)]
pub struct PodControl {
    /// Of the API server.
    pub client: Client,
    /// Whose events these are.
    pub recorder: Recorder,
}

/// What became of a deletion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deletion {
    /// The pod goes.
    Begun,
    /// It was gone already.
    Moot,
}

impl PodControl {
    /// Creates a pod for `owner`.
    ///
    /// # Errors
    /// The server's refusal; an event has told it, unless the namespace is going away.
    pub async fn create(&self, owner: &ObjectReference, pod: &core::Pod) -> Result<core::Pod, kube::Error> {
        let api: Api<core::Pod> = Api::namespaced(self.client.clone(), owner.namespace.as_deref().unwrap_or_default());
        let result = api.create(&write::post_params(), pod).await;
        match &result {
            Ok(pod) => {
                let name = pod.metadata.name.as_deref().unwrap_or_default();
                let message = format!("Created pod: {name}");
                self.recorder.record(owner, EventType::Normal, "SuccessfulCreate", message);
            }
            Err(error) if write::is_namespace_terminating(error) => {}
            Err(error) => {
                let message = format!("Error creating: {}", write::message(error));
                self.recorder.record(owner, EventType::Warning, "FailedCreate", message);
            }
        }
        result
    }

    /// Deletes this very pod for `owner`.
    ///
    /// # Errors
    /// The server's refusal; an event has told it.
    pub async fn delete(&self, owner: &ObjectReference, pod: &Pod) -> Result<Deletion, kube::Error> {
        let api: Api<Pod> = Api::namespaced(self.client.clone(), owner.namespace.as_deref().unwrap_or_default());
        let name = pod.metadata.name.as_deref().unwrap_or_default();
        match api.delete(name, &this_one(pod)).await {
            Ok(()) => {
                let message = format!("Deleted pod: {name}");
                self.recorder.record(owner, EventType::Normal, "SuccessfulDelete", message);
                Ok(Deletion::Begun)
            }
            Err(error) if write::is_race(&error) => Ok(Deletion::Moot),
            Err(error) => {
                let message = format!("Error deleting: {}", write::message(&error));
                self.recorder.record(owner, EventType::Warning, "FailedDelete", message);
                Err(error)
            }
        }
    }
}

/// Deletes this object and none that has its name by now.
#[must_use]
pub fn this_one<K: kube::Resource>(object: &K) -> DeleteParams {
    let preconditions = Preconditions { uid: object.meta().uid.clone(), resource_version: None };
    DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() }
}
