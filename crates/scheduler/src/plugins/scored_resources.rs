//! The resources by which nodes are rated.

use api_types::field::{FieldError, Path};
use serde::Deserialize;

use crate::{
    cache::{NodeInfo, PodInfo},
    resources::ResourceName,
};

/// `ResourceSpec`: a resource and how much it counts.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ResourceSpec {
    pub(super) name: String,
    #[serde(default)]
    pub(super) weight: i64,
}

/// A resource that counts.
#[derive(Clone, Debug)]
pub(super) struct Weighted {
    pub(super) name: ResourceName,
    pub(super) weight: i64,
}

/// Room on a node, and what of it would be used with the pod there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Usage {
    pub(super) room: i64,
    pub(super) used: i64,
}

/// What is given; CPU and memory alike when nothing is.
pub(super) fn weighted(given: Option<Vec<ResourceSpec>>) -> Vec<Weighted> {
    let one = |name: &str, weight: i64| Weighted { name: name.into(), weight: weight.max(1) };
    match given.filter(|given| !given.is_empty()) {
        Some(given) => given.iter().map(|own| one(&own.name, own.weight)).collect(),
        None => vec![one("cpu", 1), one("memory", 1)],
    }
}

/// Weights go from 1 to 100; 0 is none given.
pub(super) fn validate(path: &Path, given: Option<&Vec<ResourceSpec>>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for (i, own) in given.into_iter().flatten().enumerate() {
        let path = path.index(i);
        if own.name.is_empty() {
            errors.push(FieldError::required(&path.child("name"), ""));
        }
        if !(0..=100).contains(&own.weight) {
            let detail = format!("resource weight of {} not in valid range [1, 100]", own.name);
            errors.push(FieldError::invalid(&path.child("weight"), own.weight, detail));
        }
    }
    errors
}

/// Usage by requests as they are.
pub(super) fn usage(name: &ResourceName, node: &NodeInfo, pod: &PodInfo) -> Option<Usage> {
    let asked = pod.requests.asked.amount(name);
    let bypassed = matches!(name, ResourceName::Other(_)) && asked == 0;
    let room = node.allocatable().amount(name);
    let used = node.requested().amount(name).saturating_add(asked);
    (room > 0 && !bypassed).then_some(Usage { room, used })
}

/// Usage with assumed minimums of CPU and memory, so that pods that ask for nothing are spread as well. `None` where the
/// node has none of it, or a pod does not want an extended resource.
pub(super) fn assumed_usage(name: &ResourceName, node: &NodeInfo, pod: &PodInfo) -> Option<Usage> {
    let (cpu, memory) = node.scored();
    let used = match name {
        ResourceName::Cpu => cpu.saturating_add(pod.requests.scored_milli_cpu),
        ResourceName::Memory => memory.saturating_add(pod.requests.scored_memory),
        _ => return usage(name, node, pod),
    };
    let room = node.allocatable().amount(name);
    (room > 0).then_some(Usage { room, used })
}
