//! What follows from a pod's quality of service, and what its containers ask for one by one.

use std::collections::BTreeMap;

use api_types::core::{Container, Pod};
use api_types::pod::qos::QosClass;
use api_types::quantity::{Quantity, Wire};

use super::PodExt;
use crate::runtime::LinuxResources;

/// Pods of at least this priority are critical to the node (`system-cluster-critical`).
const CRITICAL_PRIORITY: i32 = 2_000_000_000;

/// Whether the node or the cluster needs it to work.
#[must_use]
pub fn is_critical(pod: &Pod) -> bool {
    pod.pod_spec().priority.is_some_and(|priority| priority >= CRITICAL_PRIORITY)
}

/// A container's request, when it is more than nothing.
#[must_use]
pub fn request(container: &Container, name: &str) -> Option<Quantity> {
    amount(container.resources.as_ref()?.requests.as_ref(), name)
}

/// A container's limit, when it is more than nothing.
#[must_use]
pub fn limit(container: &Container, name: &str) -> Option<Quantity> {
    amount(container.resources.as_ref()?.limits.as_ref(), name)
}

/// Limits and shares of a container, without its `oom_score_adj`.
#[must_use]
pub fn limits(container: &Container) -> LinuxResources {
    let milli = |amount: Option<Quantity>| amount.map(|amount| amount.milli_value());
    let memory = limit(container, "memory").map(|amount| amount.value());
    LinuxResources::from_requests(milli(request(container, "cpu")), milli(limit(container, "cpu")), memory)
}

fn amount(amounts: Option<&BTreeMap<String, Wire>>, name: &str) -> Option<Quantity> {
    let quantity = Quantity::try_from(amounts?.get(name)?).ok()?;
    (!quantity.is_zero()).then_some(quantity)
}

/// Upstream's `oom_score_adj` of a container on a node with this much memory in bytes.
#[must_use]
pub fn oom_score_adj(pod: &Pod, container: &Container, node_memory: i64) -> i64 {
    const GUARANTEED: i64 = -997;
    const BEST_EFFORT: i64 = 1000;
    if is_critical(pod) {
        return GUARANTEED;
    }
    match QosClass::of(pod) {
        QosClass::Guaranteed => GUARANTEED,
        QosClass::BestEffort => BEST_EFFORT,
        QosClass::Burstable => {
            let asked = request(container, "memory").map_or(0, |memory| memory.value());
            let share = i128::from(asked) * 1000 / i128::from(node_memory.max(1));
            let score = 1000 - i64::try_from(share).unwrap_or(1000);
            score.clamp(1000 + GUARANTEED, BEST_EFFORT - 1)
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(resources: &[serde_json::Value]) -> Pod {
        let containers: Vec<_> = resources
            .iter()
            .enumerate()
            .map(|(i, resources)| json!({"name": format!("c{i}"), "resources": resources}))
            .collect();
        serde_json::from_value(json!({"spec": {"containers": containers}})).unwrap()
    }

    #[test]
    fn the_hungry_are_killed_first() {
        let memory = 4 << 30;
        let score = |resources| {
            let pod = pod(&[resources]);
            oom_score_adj(&pod, &pod.pod_spec().containers[0], memory)
        };
        let full = json!({"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"cpu": "1", "memory": "1Gi"}});
        assert_eq!(score(json!({})), 1000);
        assert_eq!(score(json!({"requests": {"memory": "1Gi"}})), 750);
        assert_eq!(score(json!({"requests": {"memory": "4Gi"}})), 3);
        assert_eq!(score(full), -997);
    }
}
