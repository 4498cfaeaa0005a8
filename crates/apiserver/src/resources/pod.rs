//! Pods: a deletion is confirmed by the kubelet.

use api_types::{
    core::{Pod, PodCondition, PodSpec, PodStatus},
    pod::{label_keys, qos::QosClass},
};

use crate::registry::{
    Part, TypedStrategy,
    metadata::keep_all,
    shape::{Counted, Shape},
    strategy::{DeleteAnswer, Grace},
};

pub(super) struct Pods;

/// How long a pod may take to end when nobody says otherwise, in seconds.
const DEFAULT_GRACE: i64 = 30;

impl TypedStrategy for Pods {
    type Kind = Pod;
    type Shape = Counted;
    const DELETE_ANSWER: DeleteAnswer = DeleteAnswer::Object;

    fn prepare_for_create(&self, new: &mut Pod) {
        label_keys::merge(new);
        let qos_class = Some(QosClass::of(new).as_str().to_owned());
        let conditions = is_gated(new).then(|| vec![gated()]);
        new.status = Some(PodStatus { phase: Some("Pending".into()), qos_class, conditions, ..PodStatus::default() });
    }

    fn prepare_for_part_update(&self, part: Part, new: &mut Pod, old: &Pod) {
        match part {
            Part::Binding => return,
            Part::EphemeralContainers => return write_only(new, old, take_ephemeral_containers),
            Part::Resize => return write_only(new, old, take_resources),
            _ => {}
        }
        new.metadata.deletion_timestamp.clone_from(&old.metadata.deletion_timestamp);
        new.metadata.owner_references.clone_from(&old.metadata.owner_references);
        let class = old.status.as_ref().and_then(|status| status.qos_class.clone());
        if let (Some(status), Some(class)) = (&mut new.status, class) {
            status.qos_class = Some(class);
        }
    }

    fn grace(&self, pod: &Pod, requested: Option<i64>) -> Grace {
        let spec = pod.spec.as_ref();
        let own = spec.and_then(|spec| spec.termination_grace_period_seconds).unwrap_or(DEFAULT_GRACE);
        let scheduled = spec.and_then(|spec| spec.node_name.as_deref()).is_some_and(|node| !node.is_empty());
        let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
        let ended = matches!(phase, Some("Succeeded" | "Failed"));
        let seconds = requested.unwrap_or(own);
        // Negative periods are read as one second, as upstream has it.
        let seconds = if seconds < 0 { 1 } else { seconds };
        Grace::Seconds(if !scheduled || ended { 0 } else { seconds })
    }
}

/// Takes over this of the spec and nothing else.
fn write_only(new: &mut Pod, old: &Pod, take: fn(&mut PodSpec, PodSpec)) {
    let wanted = new.spec.take().unwrap_or_default();
    keep_all(&mut new.metadata, &old.metadata);
    new.spec.clone_from(&old.spec);
    new.status.clone_from(&old.status);
    take(new.spec.get_or_insert_default(), wanted);
    Counted::count(new, old);
}

fn take_ephemeral_containers(spec: &mut PodSpec, wanted: PodSpec) {
    spec.ephemeral_containers = wanted.ephemeral_containers;
}

/// Containers stay where they are; validation finds those that are no longer there.
fn take_resources(spec: &mut PodSpec, wanted: PodSpec) {
    let init = spec.init_containers.iter_mut().flatten().zip(wanted.init_containers.into_iter().flatten());
    for (own, wanted) in spec.containers.iter_mut().zip(wanted.containers).chain(init) {
        if own.name == wanted.name {
            own.resources = wanted.resources;
            own.resize_policy = wanted.resize_policy;
        }
    }
}

fn is_gated(pod: &Pod) -> bool {
    let gates = pod.spec.as_ref().and_then(|spec| spec.scheduling_gates.as_ref());
    gates.is_some_and(|gates| !gates.is_empty())
}

/// Why nobody schedules a pod with gates.
fn gated() -> PodCondition {
    PodCondition {
        type_: "PodScheduled".into(),
        status: "False".into(),
        reason: Some("SchedulingGated".into()),
        message: Some("Scheduling is blocked due to non-empty scheduling gates".into()),
        ..PodCondition::default()
    }
}
