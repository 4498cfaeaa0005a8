//! What is scaled, by way of its `scale`.

use api_types::meta::ObjectMeta;
use kube::Client;
use serde::Deserialize;
use serde_json::json;

use crate::{
    scalable::{self, Place, Resource, Resources},
    slim::Autoscaler,
    write,
};

/// A scale, as far as it is read.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Scale {
    metadata: ObjectMeta,
    /// What is wanted.
    pub spec: ScaleSpec,
    /// What there is.
    pub status: ScaleStatus,
}

/// `spec` of a scale.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct ScaleSpec {
    /// Replicas that are wanted.
    pub replicas: i32,
}

/// `status` of a scale.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct ScaleStatus {
    /// Replicas that there are.
    pub replicas: i32,
    /// Which pods they are.
    pub selector: String,
}

/// The target of an autoscaler, found.
#[derive(Clone, Debug)]
pub(super) struct Target {
    resource: Resource,
    /// Its scale as it was read.
    pub scale: Scale,
}

/// Finds the target of an autoscaler; what stands in the way in words for people.
pub(super) async fn find(client: &Client, resources: &Resources, autoscaler: &Autoscaler) -> Result<Target, String> {
    let reference = &autoscaler.spec.scale_target_ref;
    let api_version = reference.api_version.as_deref().unwrap_or_default();
    let group = match api_version.split('/').collect::<Vec<_>>().as_slice() {
        [_] => "",
        [group, _] => group,
        _ => return Err(format!("unexpected GroupVersion string: {api_version}")),
    };
    let place = Place::Group(group.to_owned());
    let resource = resources.of_kind(place.clone(), &reference.kind).await.map_err(|error| words(&error))?;
    let namespace = autoscaler.metadata.namespace.as_deref().unwrap_or_default();
    let path = resource.path(namespace, &reference.name, "scale").map_err(|error| words(&error))?;
    let request = http::Request::get(path).body(Vec::new()).map_err(|error| error.to_string())?;
    match client.request::<Scale>(request).await {
        Ok(scale) => Ok(Target { resource, scale }),
        Err(error) => {
            if write::code(&error) == Some(404) {
                resources.forget(place, &reference.kind);
            }
            Err(write::message(&error))
        }
    }
}

impl Target {
    /// Wants so many replicas, unless somebody else has changed the target since it was read.
    pub(super) async fn scale_to(&self, client: &Client, replicas: i32) -> Result<(), String> {
        let ObjectMeta { name, namespace, resource_version, uid, .. } = &self.scale.metadata;
        let (own_name, own_namespace) = (name.as_deref().unwrap_or_default(), namespace.as_deref().unwrap_or_default());
        let path = self.resource.path(own_namespace, own_name, "scale").map_err(|error| words(&error))?;
        let scale = json!({
            "apiVersion": "autoscaling/v1", "kind": "Scale",
            "metadata": {"name": name, "namespace": namespace, "resourceVersion": resource_version, "uid": uid},
            "spec": {"replicas": replicas},
        });
        let request = http::Request::put(format!("{path}?fieldManager={}", write::FIELD_MANAGER))
            .header("content-type", "application/json")
            .body(scale.to_string().into_bytes())
            .map_err(|error| error.to_string())?;
        client.request::<Scale>(request).await.map(drop).map_err(|error| write::message(&error))
    }
}

/// An error with what it comes from.
fn words(error: &scalable::Error) -> String {
    match error {
        scalable::Error::Step(step) => {
            let cause = std::error::Error::source(step).map(ToString::to_string);
            cause.map_or_else(|| step.to_string(), |cause| format!("{step}: {cause}"))
        }
        other => other.to_string(),
    }
}
