//! Pods: a deletion is confirmed by the kubelet.

use api_types::core::{Pod, PodSpec, PodStatus};

use crate::registry::{
    Part, TypedStrategy,
    strategy::{DeleteAnswer, Grace},
};

pub(super) struct Pods;

/// How long a pod may take to end when nobody says otherwise, in seconds.
const DEFAULT_GRACE: i64 = 30;

impl TypedStrategy for Pods {
    type Kind = Pod;
    const DELETE_ANSWER: DeleteAnswer = DeleteAnswer::Object;

    fn prepare_for_create(&self, new: &mut Pod) {
        new.metadata.generation = Some(1);
        let qos_class = new.spec.as_ref().map(|spec| qos_class(spec).to_owned());
        new.status = Some(PodStatus { phase: Some("Pending".into()), qos_class, ..PodStatus::default() });
    }

    fn prepare_for_update(&self, new: &mut Pod, old: &Pod) {
        new.status.clone_from(&old.status);
        bump_generation(new, old);
    }

    fn prepare_for_part_update(&self, part: Part, new: &mut Pod, old: &Pod) {
        if part == Part::Binding {
            return bump_generation(new, old);
        }
        new.spec.clone_from(&old.spec);
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

fn bump_generation(new: &mut Pod, old: &Pod) {
    if new.spec != old.spec {
        new.metadata.generation = Some(old.metadata.generation.unwrap_or(0).saturating_add(1));
    }
}

/// `Guaranteed`: every container has limits for CPU and memory and requests what it is limited to. `BestEffort`: none
/// requests or is limited to anything. `Burstable`: the rest.
fn qos_class(spec: &PodSpec) -> &'static str {
    const COUNTED: [&str; 2] = ["cpu", "memory"];
    let containers = spec.containers.iter().chain(spec.init_containers.iter().flatten());
    let (mut best_effort, mut guaranteed) = (true, true);
    for container in containers {
        let resources = container.resources.clone().unwrap_or_default();
        let (requests, limits) = (resources.requests.unwrap_or_default(), resources.limits.unwrap_or_default());
        for name in COUNTED {
            let (request, limit) = (requests.get(name), limits.get(name));
            best_effort &= request.is_none() && limit.is_none();
            guaranteed &= limit.is_some() && request.is_none_or(|request| Some(request) == limit);
        }
    }
    match (best_effort, guaranteed) {
        (true, _) => "BestEffort",
        (false, true) => "Guaranteed",
        (false, false) => "Burstable",
    }
}
