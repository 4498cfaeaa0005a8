//! Deployments and replica sets.

use api_types::{
    apps::{Deployment, ReplicaSet},
    autoscaling::{Scale, ScaleSpec, ScaleStatus},
    meta::{LabelSelector, ObjectMeta},
    selector::label::Selector,
};

use crate::registry::{
    Part, TypedStrategy,
    shape::{Counted, advance},
};

pub(super) struct Deployments;

impl TypedStrategy for Deployments {
    type Kind = Deployment;
    type Shape = Counted;

    fn prepare_for_update(&self, new: &mut Deployment, old: &Deployment) {
        // The controller looks at annotations, too.
        if new.spec == old.spec && new.metadata.annotations != old.metadata.annotations {
            advance(&mut new.metadata);
        }
    }

    fn prepare_for_part_update(&self, _part: Part, new: &mut Deployment, old: &Deployment) {
        new.metadata.labels.clone_from(&old.metadata.labels);
    }

    fn scale(&self, deployment: &Deployment) -> Option<Scale> {
        let spec = deployment.spec.as_ref()?;
        let replicas = deployment.status.as_ref().and_then(|status| status.replicas);
        Some(scale(&deployment.metadata, spec.replicas, replicas, &spec.selector))
    }

    fn set_replicas(&self, deployment: &mut Deployment, replicas: i32) {
        if let Some(spec) = &mut deployment.spec {
            spec.replicas = Some(replicas);
        }
    }
}

pub(super) struct ReplicaSets;

impl TypedStrategy for ReplicaSets {
    type Kind = ReplicaSet;
    type Shape = Counted;

    fn scale(&self, set: &ReplicaSet) -> Option<Scale> {
        let spec = set.spec.as_ref()?;
        let replicas = set.status.as_ref().map(|status| status.replicas);
        Some(scale(&set.metadata, spec.replicas, replicas, &spec.selector))
    }

    fn set_replicas(&self, set: &mut ReplicaSet, replicas: i32) {
        if let Some(spec) = &mut set.spec {
            spec.replicas = Some(replicas);
        }
    }
}

fn scale(meta: &ObjectMeta, replicas: Option<i32>, running: Option<i32>, selector: &LabelSelector) -> Scale {
    let selector = Selector::from_label_selector(Some(selector)).map(|selector| selector.to_string());
    scale_of(meta, replicas, running, selector.unwrap_or_default())
}

/// A `Scale` of an object with these metadata.
pub(super) fn scale_of(meta: &ObjectMeta, replicas: Option<i32>, running: Option<i32>, selector: String) -> Scale {
    let metadata = ObjectMeta {
        name: meta.name.clone(),
        namespace: meta.namespace.clone(),
        uid: meta.uid.clone(),
        resource_version: meta.resource_version.clone(),
        creation_timestamp: meta.creation_timestamp.clone(),
        ..ObjectMeta::default()
    };
    let status = ScaleStatus { replicas: running.unwrap_or(0), selector: Some(selector) };
    Scale { metadata, spec: Some(ScaleSpec { replicas }), status: Some(status) }
}
