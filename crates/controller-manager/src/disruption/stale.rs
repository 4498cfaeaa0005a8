//! Pods that were said to be disrupted and were not: after a while their condition says so.

use std::{sync::Arc, time::Duration};

use api_types::{
    jiff::{SignedDuration, Timestamp},
    meta::Time,
};
use component::{
    api::Api,
    informer::{Event, Informer, ObjectKey},
    queue::{Outcome, WorkQueue},
};
use kube::{Client, api::Patch};
use serde_json::json;

use crate::{
    pod_state::is_terminal,
    slim::Pod,
    step::{Error, failed},
    write,
};

/// A pod that is not being deleted after so long is not disrupted; as upstream.
const TIMEOUT: SignedDuration = SignedDuration::from_mins(2);
const CONDITION: &str = "DisruptionTarget";
/// Why a kubelet says that a pod is disrupted, which it does as it ends it.
const BY_KUBELET: &str = "TerminationByKubelet";

/// Queues pods that are said to be disrupted.
pub(super) fn subscribe(pods: &Informer<Pod>, queue: &Arc<WorkQueue<ObjectKey>>) {
    let keys = Arc::clone(queue);
    pods.on_event(move |event| {
        if let Event::Added(pod) | Event::Updated { new: pod, .. } = event
            && wait(pod, Timestamp::now()).is_some()
        {
            keys.add(pod.key());
        }
    });
}

/// Takes the condition back when its time is up.
pub(super) async fn reconcile(client: &Client, pods: &Informer<Pod>, key: &ObjectKey) -> Result<Outcome, Error> {
    let Some(pod) = pods.store().get(key) else { return Ok(Outcome::Done) };
    match wait(&pod, Timestamp::now()) {
        None => return Ok(Outcome::Done),
        Some(Duration::ZERO) => {}
        Some(rest) => return Ok(Outcome::RequeueAfter(rest)),
    }
    let condition = json!({
        "type": CONDITION, "status": "False", "reason": null, "message": null,
        "lastTransitionTime": Time(Timestamp::now()),
    });
    let metadata = json!({"uid": pod.metadata.uid, "resourceVersion": pod.metadata.resource_version});
    let patch = Patch::Strategic(json!({"metadata": metadata, "status": {"conditions": [condition]}}));
    let api: Api<Pod> = Api::namespaced(client.clone(), &key.namespace);
    let written = api.patch_status(&key.name, &write::patch_params(), &patch).await;
    written.map_err(failed("taking a condition back"))?;
    Ok(Outcome::Done)
}

/// How long the condition may still be true; `None` when it is not, or for good reason.
fn wait(pod: &Pod, now: Timestamp) -> Option<Duration> {
    let is_it = |kind: &str, status: &str| kind == CONDITION && status == "True";
    let condition = pod.status.conditions.iter().find(|own| is_it(&own.type_, &own.status))?;
    let ends = pod.metadata.deletion_timestamp.is_some() || is_terminal(pod);
    if ends || condition.reason.as_deref() == Some(BY_KUBELET) {
        return None;
    }
    let since = condition.last_transition_time.as_ref().map_or(now, |time| time.0);
    let until = since.checked_add(TIMEOUT).unwrap_or(Timestamp::MAX);
    Some(Duration::try_from(until.duration_since(now)).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn only_what_does_not_end_is_stale() {
        let now = Timestamp::from_second(1000).unwrap();
        let pod = |reason: &str, status: &str, since: i64, phase: &str, deleted: bool| -> Pod {
            let since = Timestamp::from_second(since).unwrap().to_string();
            let condition = json!({"type": CONDITION, "status": status, "reason": reason, "lastTransitionTime": since});
            let deletion = if deleted { json!(now.to_string()) } else { Value::Null };
            let status = json!({"phase": phase, "conditions": [condition]});
            serde_json::from_value(json!({"metadata": {"deletionTimestamp": deletion}, "status": status})).unwrap()
        };
        let cases = [
            (pod("EvictionByEvictionAPI", "True", 990, "Running", false), Some(Duration::from_secs(110))),
            (pod("EvictionByEvictionAPI", "True", 100, "Running", false), Some(Duration::ZERO)),
            (pod("EvictionByEvictionAPI", "False", 100, "Running", false), None),
            (pod("EvictionByEvictionAPI", "True", 100, "Failed", false), None),
            (pod("EvictionByEvictionAPI", "True", 100, "Running", true), None),
            (pod(BY_KUBELET, "True", 100, "Running", false), None),
            (Pod::default(), None),
        ];
        for (pod, expected) in cases {
            assert_eq!(wait(&pod, now), expected, "{pod:?}");
        }
    }
}
