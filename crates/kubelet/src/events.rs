//! Events about pods and about the node. Without an API server they are only logged.

use api_types::core::{ObjectReference, Pod};
use component::recorder::{EventType, Recorder};

use crate::pod::PodExt;

/// Tells what happens; clones share the recorder.
#[derive(Debug, Clone, Default)]
pub struct Events {
    recorder: Option<Recorder>,
    node: String,
}

impl Events {
    /// Events that are recorded in the API, about pods of `node` and the node itself.
    #[must_use]
    pub fn new(recorder: Option<Recorder>, node: &str) -> Self {
        Self { recorder, node: node.to_owned() }
    }

    /// About a pod.
    pub fn pod(&self, pod: &Pod, event_type: EventType, reason: &str, message: &str) {
        self.record(&reference(pod, None), event_type, reason, message);
    }

    /// About one of a pod's containers.
    pub fn container(&self, pod: &Pod, container: &str, event_type: EventType, reason: &str, message: &str) {
        let list = pod.container(container).map_or("containers", |(role, _)| role.list());
        let field_path = format!("spec.{list}{{{container}}}");
        self.record(&reference(pod, Some(field_path)), event_type, reason, message);
    }

    /// About the node.
    pub fn node(&self, event_type: EventType, reason: &str, message: &str) {
        let node = ObjectReference {
            kind: Some("Node".to_owned()),
            name: Some(self.node.clone()),
            // As upstream: a kubelet does not know its node's uid when it starts.
            uid: Some(self.node.clone()),
            ..ObjectReference::default()
        };
        self.record(&node, event_type, reason, message);
    }

    fn record(&self, regarding: &ObjectReference, event_type: EventType, reason: &str, message: &str) {
        match &self.recorder {
            Some(recorder) => recorder.record(regarding, event_type, reason, message),
            None => {
                let object = regarding.name.as_deref().unwrap_or_default();
                tracing::info!(object, reason, "{message}");
            }
        }
    }
}

fn reference(pod: &Pod, field_path: Option<String>) -> ObjectReference {
    ObjectReference {
        api_version: Some("v1".to_owned()),
        kind: Some("Pod".to_owned()),
        namespace: pod.metadata.namespace.clone(),
        name: pod.metadata.name.clone(),
        uid: pod.metadata.uid.clone(),
        resource_version: pod.metadata.resource_version.clone(),
        field_path,
    }
}
