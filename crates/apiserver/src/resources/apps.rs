//! Daemon sets, deployments, replica sets and stateful sets.

use api_types::{
    apps::{DaemonSet, Deployment, ReplicaSet, StatefulSet},
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

pub(super) struct StatefulSets;

impl TypedStrategy for StatefulSets {
    type Kind = StatefulSet;
    type Shape = Counted;

    fn prepare_for_create(&self, new: &mut StatefulSet) {
        new.status.get_or_insert_default().available_replicas = Some(0);
    }

    fn scale(&self, set: &StatefulSet) -> Option<Scale> {
        let spec = set.spec.as_ref()?;
        let replicas = set.status.as_ref().map(|status| status.replicas);
        Some(scale(&set.metadata, spec.replicas, replicas, &spec.selector))
    }

    fn set_replicas(&self, set: &mut StatefulSet, replicas: i32) {
        if let Some(spec) = &mut set.spec {
            spec.replicas = Some(replicas);
        }
    }
}

/// How often a daemon set's template has changed; it was a field once.
const TEMPLATE_GENERATION: &str = "deprecated.daemonset.template.generation";

pub(super) struct DaemonSets;

impl TypedStrategy for DaemonSets {
    type Kind = DaemonSet;
    type Shape = Counted;

    fn prepare_for_create(&self, new: &mut DaemonSet) {
        let own = template_generation(new).max(1);
        set_template_generation(new, own);
    }

    fn prepare_for_update(&self, new: &mut DaemonSet, old: &DaemonSet) {
        let template = |set: &DaemonSet| set.spec.as_ref().map(|spec| spec.template.clone());
        let changes = i64::from(template(new) != template(old));
        set_template_generation(new, template_generation(old).saturating_add(changes));
    }
}

fn template_generation(set: &DaemonSet) -> i64 {
    let own = set.metadata.annotations.as_ref().and_then(|own| own.get(TEMPLATE_GENERATION));
    own.and_then(|own| own.parse().ok()).unwrap_or_default()
}

fn set_template_generation(set: &mut DaemonSet, generation: i64) {
    let annotations = set.metadata.annotations.get_or_insert_default();
    annotations.insert(TEMPLATE_GENERATION.to_owned(), generation.to_string());
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
