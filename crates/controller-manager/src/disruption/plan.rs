//! How many of a budget's pods may be disrupted. All of it on values.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use api_types::{
    IntOrString,
    jiff::{SignedDuration, Timestamp},
    meta::{Condition, Time},
    policy::{PodDisruptionBudget, PodDisruptionBudgetSpec, PodDisruptionBudgetStatus},
};

use crate::{
    int_or_percent::{Round, resolve},
    pod_state::is_ready,
    slim::Pod,
};

/// A pod that was evicted and is not being deleted after so long will not be; as upstream.
const DELETION_TIMEOUT: SignedDuration = SignedDuration::from_mins(2);
const ALLOWED: &str = "DisruptionAllowed";

/// What a budget's numbers are parts of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Basis {
    /// The pods that there are.
    Pods,
    /// The pods that their controllers want.
    Scale,
}

/// What the budget's numbers are parts of.
pub(super) const fn basis(spec: &PodDisruptionBudgetSpec) -> Basis {
    match (&spec.max_unavailable, &spec.min_available) {
        (Some(_), _) | (None, Some(IntOrString::String(_))) => Basis::Scale,
        (None, _) => Basis::Pods,
    }
}

/// What was found out about a budget.
#[derive(Debug)]
pub(super) struct Plan {
    /// What its status is to be.
    pub status: PodDisruptionBudgetStatus,
    /// Pods that were evicted and are still there.
    pub not_deleted: Vec<Arc<Pod>>,
    /// When to look again whether evicted pods are.
    pub next: Option<Duration>,
}

/// Counts. `expected` is how many pods there should be, by the budget's [`Basis`].
pub(super) fn plan(budget: &PodDisruptionBudget, pods: &[Arc<Pod>], expected: i32, now: Timestamp) -> Plan {
    let spec = budget.spec.clone().unwrap_or_default();
    let old = budget.status.clone().unwrap_or_default();
    let disrupted = disrupted(old.disrupted_pods.unwrap_or_default(), pods, now);
    let is_healthy = |pod: &&Arc<Pod>| {
        let is_disrupted = disrupted.awaited.contains_key(pod.metadata.name.as_deref().unwrap_or_default());
        pod.metadata.deletion_timestamp.is_none() && !is_disrupted && is_ready(pod)
    };
    let healthy = i32::try_from(pods.iter().filter(is_healthy).count()).unwrap_or(i32::MAX);
    let desired = desired(&spec, expected);
    // A budget without pods is safe when the first ones come.
    let allowed = if expected > 0 { healthy.saturating_sub(desired).max(0) } else { 0 };
    let generation = budget.metadata.generation;
    let mut conditions = old.conditions.unwrap_or_default();
    let (status, reason) = if allowed > 0 { ("True", "SufficientPods") } else { ("False", "InsufficientPods") };
    set(&mut conditions, condition(status, reason, "", generation, now));
    let status = PodDisruptionBudgetStatus {
        current_healthy: Some(healthy),
        desired_healthy: Some(desired),
        expected_pods: Some(expected),
        disruptions_allowed: Some(allowed),
        disrupted_pods: Some(disrupted.awaited).filter(|awaited| !awaited.is_empty()),
        observed_generation: generation,
        conditions: Some(conditions),
    };
    Plan { status, not_deleted: disrupted.not_deleted, next: disrupted.next }
}

/// How many pods are to be healthy.
fn desired(spec: &PodDisruptionBudgetSpec, expected: i32) -> i32 {
    let part =
        |value: &IntOrString| i32::try_from(resolve(Some(value), expected.into(), Round::Up)).unwrap_or(i32::MAX);
    match (&spec.max_unavailable, &spec.min_available) {
        (Some(unavailable), _) => expected.saturating_sub(part(unavailable)).max(0),
        (None, Some(available)) => part(available),
        (None, None) => 0,
    }
}

/// What became of pods that were evicted.
#[derive(Default)]
struct Disrupted {
    /// They are about to be deleted.
    awaited: BTreeMap<String, Time>,
    /// They should have been.
    not_deleted: Vec<Arc<Pod>>,
    /// When the first of the awaited ones should have been.
    next: Option<Duration>,
}

fn disrupted(evicted: BTreeMap<String, Time>, pods: &[Arc<Pod>], now: Timestamp) -> Disrupted {
    let mut found = Disrupted::default();
    for pod in pods.iter().filter(|pod| pod.metadata.deletion_timestamp.is_none()) {
        let name = pod.metadata.name.as_deref().unwrap_or_default();
        let Some(time) = evicted.get(name) else { continue };
        let expected = time.0.checked_add(DELETION_TIMEOUT).unwrap_or(Timestamp::MAX);
        if expected < now {
            found.not_deleted.push(Arc::clone(pod));
        } else {
            let wait = Duration::try_from(expected.duration_since(now)).unwrap_or_default();
            found.next = Some(found.next.map_or(wait, |next| next.min(wait)));
            found.awaited.insert(name.to_owned(), time.clone());
        }
    }
    found
}

/// A budget that cannot be calculated allows nothing.
pub(super) fn fail_safe(budget: &PodDisruptionBudget, why: String, now: Timestamp) -> PodDisruptionBudgetStatus {
    let mut status = budget.status.clone().unwrap_or_default();
    status.disruptions_allowed = Some(0);
    let condition = condition("False", "SyncFailed", &why, status.observed_generation, now);
    set(status.conditions.get_or_insert_default(), condition);
    status
}

fn condition(status: &str, reason: &str, message: &str, generation: Option<i64>, now: Timestamp) -> Condition {
    Condition {
        type_: ALLOWED.to_owned(),
        status: status.to_owned(),
        reason: reason.to_owned(),
        message: message.to_owned(),
        observed_generation: generation,
        last_transition_time: Time(now),
    }
}

/// Puts a condition in the place of the one of its type; the time is that of the last change of its status.
fn set(conditions: &mut Vec<Condition>, mut new: Condition) {
    match conditions.iter_mut().find(|own| own.type_ == new.type_) {
        Some(own) => {
            if own.status == new.status {
                new.last_transition_time = own.last_transition_time.clone();
            }
            *own = new;
        }
        None => conditions.push(new),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const NOW: i64 = 10_000;

    fn time(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn pod(name: &str, ready: &str, deleted: Option<i64>) -> Arc<Pod> {
        let deleted = deleted.map(|second| time(second).to_string());
        let conditions = json!([{"type": "Ready", "status": ready}]);
        let metadata = json!({"name": name, "deletionTimestamp": deleted});
        Arc::new(serde_json::from_value(json!({"metadata": metadata, "status": {"conditions": conditions}})).unwrap())
    }

    fn budget(spec: &Value, status: Value) -> PodDisruptionBudget {
        serde_json::from_value(json!({"metadata": {"generation": 3}, "spec": spec, "status": status})).unwrap()
    }

    #[test]
    fn disruptions_are_counted() {
        let pods = [pod("a", "True", None), pod("b", "True", None), pod("c", "False", None), pod("d", "True", Some(5))];
        // Spec, expected pods, healthy, desired, allowed.
        let cases = [
            (json!({"minAvailable": 1}), 4, (2, 1, 1)),
            (json!({"minAvailable": 2}), 4, (2, 2, 0)),
            (json!({"minAvailable": 9}), 4, (2, 9, 0)),
            (json!({"minAvailable": "50%"}), 3, (2, 2, 0)),
            (json!({"minAvailable": "10%"}), 3, (2, 1, 1)),
            (json!({"maxUnavailable": 1}), 3, (2, 2, 0)),
            (json!({"maxUnavailable": 2}), 3, (2, 1, 1)),
            (json!({"maxUnavailable": "34%"}), 3, (2, 1, 1)),
            (json!({"maxUnavailable": 9}), 3, (2, 0, 2)),
            (json!({"maxUnavailable": 9}), 0, (2, 0, 0)),
            (json!({}), 4, (2, 0, 2)),
        ];
        for (spec, expected, counts) in cases {
            let status = plan(&budget(&spec, json!({})), &pods, expected, time(NOW)).status;
            let found = (status.current_healthy, status.desired_healthy, status.disruptions_allowed);
            assert_eq!(found, (Some(counts.0), Some(counts.1), Some(counts.2)), "{spec} of {expected}");
            let condition = &status.conditions.unwrap()[0];
            let reason = if counts.2 > 0 { "SufficientPods" } else { "InsufficientPods" };
            assert_eq!((condition.reason.as_str(), condition.observed_generation), (reason, Some(3)));
        }
        assert_eq!(basis(&budget(&json!({"minAvailable": 1}), json!({})).spec.unwrap()), Basis::Pods);
        assert_eq!(basis(&budget(&json!({"minAvailable": "1%"}), json!({})).spec.unwrap()), Basis::Scale);
        assert_eq!(basis(&budget(&json!({"maxUnavailable": 1}), json!({})).spec.unwrap()), Basis::Scale);
    }

    #[test]
    fn evicted_pods_are_awaited() {
        let at = |second: i64| time(second).to_string();
        let evicted = json!({"disruptedPods": {
            "a": at(NOW - 20), "b": at(NOW - 121), "d": at(NOW - 1), "gone": at(NOW - 1),
        }});
        let pods = [pod("a", "True", None), pod("b", "True", None), pod("d", "True", Some(5))];
        let plan = plan(&budget(&json!({"minAvailable": 1}), evicted), &pods, 3, time(NOW));
        assert_eq!(plan.status.current_healthy, Some(1));
        let awaited: Vec<String> = plan.status.disrupted_pods.unwrap().into_keys().collect();
        assert_eq!(awaited, ["a"]);
        assert_eq!((plan.next, plan.not_deleted.len()), (Some(Duration::from_secs(100)), 1));
    }

    #[test]
    fn what_is_unknown_is_not_allowed() {
        let status = json!({"disruptionsAllowed": 2, "observedGeneration": 2, "conditions": [
            {"type": ALLOWED, "status": "True", "reason": "SufficientPods", "message": "", "lastTransitionTime": time(1).to_string()},
        ]});
        let failed = fail_safe(&budget(&json!({"maxUnavailable": 1}), status), "why".to_owned(), time(NOW));
        let condition = &failed.conditions.as_ref().unwrap()[0];
        assert_eq!((condition.reason.as_str(), condition.message.as_str()), ("SyncFailed", "why"));
        assert_eq!((failed.disruptions_allowed, condition.last_transition_time.0), (Some(0), time(NOW)));
    }
}
