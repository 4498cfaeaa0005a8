//! Pods: what they ask for and may use as long as they have not ended.

use std::collections::BTreeSet;

use super::{Amounts, ONE, Subject, scope::Facts};
use crate::{
    core::{Container, Pod, PodAffinityTerm, PodSpec},
    jiff::{SignedDuration, Timestamp},
    pod::{
        ContainerView,
        qos::QosClass,
        resources::{self, Counting},
    },
};

/// Names that are the same for all clusters.
const NAMES: &[&str] = &[
    "count/pods",
    "cpu",
    "memory",
    "ephemeral-storage",
    "requests.cpu",
    "requests.memory",
    "requests.ephemeral-storage",
    "limits.cpu",
    "limits.memory",
    "limits.ephemeral-storage",
    "pods",
];
/// Where a quota limits one of these, each container has to name it.
pub(super) const DEMANDED: &[&str] =
    &["cpu", "limits.cpu", "limits.memory", "memory", "requests.cpu", "requests.memory"];
const REQUESTS: &str = "requests.";
const HUGE_PAGES: &str = "hugepages-";
/// Amounts that are counted as limits, too.
const LIMITED: &[&str] = &["cpu", "memory", "ephemeral-storage"];

pub(super) fn is_named(name: &str) -> bool {
    let requested = name.strip_prefix(REQUESTS);
    NAMES.contains(&name)
        || requested.unwrap_or(name).starts_with(HUGE_PAGES)
        || requested.is_some_and(|_| is_extended(name))
}

/// Whether a cluster has brought a resource itself.
fn is_extended(name: &str) -> bool {
    name.contains('/') && !name.contains("kubernetes.io/")
}

pub(super) fn subject(pod: &Pod) -> Subject {
    let spec = pod.spec.as_ref();
    Subject {
        always: [("count/pods".to_owned(), ONE)].into(),
        alive: amounts(pod),
        ends: end(pod),
        facts: Facts::Pod {
            terminating: spec.and_then(|spec| spec.active_deadline_seconds).is_some_and(|seconds| seconds >= 0),
            best_effort: QosClass::of(pod) == QosClass::BestEffort,
            crosses_namespaces: spec.is_some_and(crosses_namespaces),
            priority_class: spec.and_then(|spec| spec.priority_class_name.clone()).unwrap_or_default(),
        },
        containers: spec.map(named_by_containers).unwrap_or_default(),
    }
}

fn amounts(pod: &Pod) -> Amounts {
    let mut amounts: Amounts = [("pods".to_owned(), ONE)].into();
    for (name, amount) in resources::requests(pod, Counting { held: true, ..Counting::default() }) {
        if LIMITED.contains(&name) || name.starts_with(HUGE_PAGES) {
            amounts.insert(name.to_owned(), amount);
            amounts.insert(format!("{REQUESTS}{name}"), amount);
        } else if is_extended(name) {
            amounts.insert(format!("{REQUESTS}{name}"), amount);
        }
    }
    let limits = resources::limits(pod).into_iter().filter(|(name, _)| LIMITED.contains(name));
    amounts.extend(limits.map(|(name, amount)| (format!("limits.{name}"), amount)));
    amounts
}

/// A pod that has ended uses nothing. Nor does one that should have gone: its node may never say so.
fn end(pod: &Pod) -> Option<Timestamp> {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    if matches!(phase, Some("Succeeded" | "Failed")) {
        return Some(Timestamp::MIN);
    }
    let (at, grace) = (pod.metadata.deletion_timestamp.as_ref()?, pod.metadata.deletion_grace_period_seconds?);
    at.0.checked_add(SignedDuration::from_secs(grace)).ok()
}

fn crosses_namespaces(spec: &PodSpec) -> bool {
    let Some(affinity) = &spec.affinity else { return false };
    let near = affinity.pod_affinity.iter().flat_map(|own| {
        let preferred = own.preferred_during_scheduling_ignored_during_execution.iter().flatten();
        let required = own.required_during_scheduling_ignored_during_execution.iter().flatten();
        required.chain(preferred.map(|weighted| &weighted.pod_affinity_term))
    });
    let far = affinity.pod_anti_affinity.iter().flat_map(|own| {
        let preferred = own.preferred_during_scheduling_ignored_during_execution.iter().flatten();
        let required = own.required_during_scheduling_ignored_during_execution.iter().flatten();
        required.chain(preferred.map(|weighted| &weighted.pod_affinity_term))
    });
    let crosses = |term: &PodAffinityTerm| {
        term.namespace_selector.is_some() || term.namespaces.as_ref().is_some_and(|names| !names.is_empty())
    };
    near.chain(far).any(crosses)
}

/// What a pod asks for as a whole its containers need not name.
fn named_by_containers(spec: &PodSpec) -> Vec<(String, BTreeSet<&'static str>)> {
    let whole = |name: &'static str| {
        let (kind, resource) = name.split_once('.').unwrap_or(("requests", name));
        let own = spec.resources.as_ref();
        let list = own.and_then(|own| if kind == "limits" { own.limits.as_ref() } else { own.requests.as_ref() });
        list.is_some_and(|list| list.contains_key(resource))
    };
    let of_pod: BTreeSet<&'static str> = DEMANDED.iter().copied().filter(|name| whole(name)).collect();
    let all = spec.containers.iter().chain(spec.init_containers.iter().flatten());
    all.map(|container| (container.name.clone(), named_by(container).chain(of_pod.iter().copied()).collect())).collect()
}

fn named_by(container: &Container) -> impl Iterator<Item = &'static str> {
    DEMANDED.iter().copied().filter(|name| {
        let (kind, resource) = name.split_once('.').unwrap_or(("requests", name));
        let list = if kind == "limits" { container.limits() } else { container.requests() };
        list.is_some_and(|list| list.contains_key(resource))
    })
}
