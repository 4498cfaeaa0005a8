//! After failures, pods are replaced later and later.

use std::{cmp::Reverse, sync::Arc, time::Duration};

use api_types::jiff::{SignedDuration, Timestamp};

use crate::slim::{ContainerStatus, Pod};

/// After the first failure; as upstream.
const FIRST: Duration = Duration::from_secs(10);
/// At most; as upstream.
const LAST: Duration = Duration::from_secs(10 * 60);

/// Failures since the last success.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Failures {
    /// How many.
    count: u32,
    /// When the last one was.
    last: Option<Timestamp>,
}

impl Failures {
    /// So many, the last of them then.
    pub(super) const fn new(count: u32, last: Timestamp) -> Self {
        Self { count, last: Some(last) }
    }

    /// With the pods that have ended since.
    pub(super) fn with(self, succeeded: &[Arc<Pod>], failed: &[Arc<Pod>]) -> Self {
        let success = succeeded.iter().map(|pod| finished_at(pod)).max();
        let mut times: Vec<Timestamp> = failed.iter().map(|pod| finished_at(pod)).collect();
        times.sort_unstable_by_key(|time| Reverse(*time));
        times.retain(|time| success.is_none_or(|success| *time > success));
        let before = if success.is_some() { Self::default() } else { self };
        let count = u32::try_from(times.len()).unwrap_or(u32::MAX).saturating_add(before.count);
        Self { count, last: times.first().copied().or(before.last) }
    }

    /// How long no pod may be created yet.
    pub(super) fn wait(self, now: Timestamp) -> Duration {
        let Some(last) = self.last.filter(|_| self.count > 0) else { return Duration::ZERO };
        let doublings = 2_u32.checked_pow(self.count - 1).unwrap_or(u32::MAX);
        let delay = FIRST.saturating_mul(doublings).min(LAST);
        let elapsed = now.duration_since(last);
        let rest = SignedDuration::try_from(delay).unwrap_or_default() - elapsed;
        // A clock elsewhere may be ahead.
        Duration::try_from(rest).unwrap_or_default().min(LAST)
    }
}

/// When a pod ended, as far as it tells: when its last container did, else when it ceased to be ready, else when it was
/// deleted, else when it was created.
pub(super) fn finished_at(pod: &Pod) -> Timestamp {
    let deleted = || {
        let grace = SignedDuration::from_secs(pod.metadata.deletion_grace_period_seconds.unwrap_or(0));
        pod.metadata.deletion_timestamp.as_ref()?.0.checked_sub(grace).ok()
    };
    let created = || pod.metadata.creation_timestamp.as_ref().map(|time| time.0);
    containers_finished(pod).or_else(|| unready_since(pod)).or_else(deleted).or_else(created).unwrap_or_default()
}

/// When the last of its containers ended, sidecars among them; `None` while one has not.
fn containers_finished(pod: &Pod) -> Option<Timestamp> {
    let is_sidecar = |status: &&ContainerStatus| {
        let always = |own: &&crate::slim::Container| own.name == status.name;
        let container = pod.spec.init_containers.iter().find(always);
        container.is_some_and(|container| container.restart_policy.as_deref() == Some("Always"))
    };
    let sidecars = pod.status.init_container_statuses.iter().filter(is_sidecar);
    let ends = pod.status.container_statuses.iter().chain(sidecars);
    let times: Option<Vec<Timestamp>> =
        ends.map(|status| Some(status.state.terminated.as_ref()?.finished_at.as_ref()?.0)).collect();
    times?.into_iter().max()
}

fn unready_since(pod: &Pod) -> Option<Timestamp> {
    let ready = pod.status.conditions.iter().find(|own| own.type_ == "Ready" && own.status == "False")?;
    Some(ready.last_transition_time.as_ref()?.0)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn time(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn ended(second: i64) -> Arc<Pod> {
        let end =
            json!({"name": "c", "state": {"terminated": {"exitCode": 1, "finishedAt": time(second).to_string()}}});
        Arc::new(serde_json::from_value(json!({"status": {"containerStatuses": [end]}})).unwrap())
    }

    #[test]
    fn it_doubles_up_to_ten_minutes_and_begins_anew_after_a_success() {
        let none = Failures::default();
        assert_eq!(none.wait(time(0)), Duration::ZERO);
        let waits = [(1, 10), (2, 20), (3, 40), (6, 320), (7, 600), (40, 600), (u32::MAX, 600)];
        for (count, seconds) in waits {
            let failures = Failures::new(count, time(1000));
            assert_eq!(failures.wait(time(1000)).as_secs(), seconds, "{count}");
            assert_eq!(failures.wait(time(1000 + i64::try_from(seconds).unwrap())), Duration::ZERO);
            assert_eq!(failures.wait(time(0)), LAST, "from the future");
        }
        let two = none.with(&[], &[ended(10), ended(20)]);
        assert_eq!(two, Failures::new(2, time(20)));
        assert_eq!(two.with(&[], &[]), two);
        assert_eq!(two.with(&[], &[ended(30)]), Failures::new(3, time(30)));
        assert_eq!(two.with(&[ended(30)], &[]), none);
        assert_eq!(two.with(&[ended(30)], &[ended(40), ended(30), ended(25)]), Failures::new(1, time(40)));
    }

    #[test]
    fn pods_tell_when_they_ended() {
        let at = |second: i64| time(second).to_string();
        let end = |name: &str, second: i64| json!({"name": name, "state": {"terminated": {"finishedAt": at(second)}}});
        let pod = |spec: Value, status: Value| -> Pod {
            let metadata = json!({
                "creationTimestamp": at(1), "deletionTimestamp": at(40), "deletionGracePeriodSeconds": 30,
            });
            serde_json::from_value(json!({"metadata": metadata, "spec": spec, "status": status})).unwrap()
        };
        let sidecar = json!({"initContainers": [{"name": "s", "restartPolicy": "Always"}, {"name": "i"}]});
        let unready = json!([{"type": "Ready", "status": "False", "lastTransitionTime": at(5)}]);
        let cases = [
            (json!({}), json!({"containerStatuses": [end("a", 7), end("b", 6)], "conditions": unready}), 7),
            (json!({}), json!({"containerStatuses": [end("a", 7), {"name": "b"}], "conditions": unready}), 5),
            (
                sidecar.clone(),
                json!({"containerStatuses": [end("a", 7)], "initContainerStatuses": [end("s", 8), end("i", 9)]}),
                8,
            ),
            (sidecar, json!({"containerStatuses": [end("a", 7)], "initContainerStatuses": [{"name": "s"}]}), 10),
            (json!({}), json!({}), 10),
        ];
        for (spec, status, expected) in cases {
            assert_eq!(finished_at(&pod(spec, status.clone())), time(expected), "{status}");
        }
        assert_eq!(finished_at(&Pod::default()), time(0));
    }
}
