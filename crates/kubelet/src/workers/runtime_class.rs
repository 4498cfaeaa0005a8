//! `runtimeClassName`: which of Docker's runtimes a pod's containers are run by.

use api_types::core::Pod;
use api_types::meta::ObjectMeta;
use serde::Deserialize;

use super::worker::Worker;
use crate::pod::PodExt;

/// Annotation of a sandbox: the runtime that it was made with, which its containers get, too.
pub(super) const RUNTIME: &str = "ferrokube.io/runtime";
/// Upstream's name of this container runtime as a whole, whose own default it stands for.
const DOCKER: &str = "docker";

/// What is read of a runtime class.
#[derive(Clone, Debug, Deserialize)]
pub struct RuntimeClass {
    #[serde(default)]
    metadata: ObjectMeta,
    /// Name of the runtime on the node.
    handler: String,
}

component::slim_resource!(RuntimeClass => api_types::k8s_openapi::api::node::v1::RuntimeClass);

impl Worker {
    /// The runtime that the pod's class names; `None` is Docker's default.
    ///
    /// # Errors
    /// Why it is not known, in words for an event.
    pub(super) async fn runtime_handler(&self, pod: &Pod) -> Result<Option<String>, String> {
        let class = pod.pod_spec().runtime_class_name.as_deref().filter(|name| !name.is_empty());
        let (Some(class), Some(classes)) = (class, &self.context.runtime_classes) else { return Ok(None) };
        match classes.get_opt(class).await {
            Ok(Some(found)) => Ok(Some(found.handler).filter(|handler| !handler.is_empty() && handler != DOCKER)),
            Ok(None) => Err(format!("runtimeclass.node.k8s.io {class:?} not found")),
            Err(error) => Err(format!("failed to lookup RuntimeClass {class}: {error}")),
        }
    }
}
