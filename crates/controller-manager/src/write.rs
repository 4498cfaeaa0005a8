//! Writes: status patches, and races that are lost without noise.

use std::time::Duration;

use api_types::{codec::ToJson, meta::ObjectMeta};
use component::queue::Outcome;
use kube::api::{PatchParams, PostParams};
use serde_json::{Map, Value, json};

/// The name that managed fields carry.
pub const FIELD_MANAGER: &str = "kube-controller-manager";

/// After a lost race the informer will soon show the winner; this is how soon it is tried anyway.
pub(crate) const AFTER_RACE: Duration = Duration::from_millis(100);

/// Parameters of a patch.
#[must_use]
pub fn patch_params() -> PatchParams {
    PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() }
}

/// Parameters of a create or replace.
#[must_use]
pub fn post_params() -> PostParams {
    PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() }
}

/// The HTTP code of the server's answer, if it answered.
#[must_use]
pub fn code(error: &kube::Error) -> Option<u16> {
    match error {
        kube::Error::Api(status) => Some(status.code),
        _ => None,
    }
}

/// Whether somebody else was faster: the object changed (409) or is gone (404).
#[must_use]
pub fn is_race(error: &kube::Error) -> bool {
    matches!(code(error), Some(404 | 409))
}

/// Whether the server refused because the namespace is going away.
#[must_use]
pub fn is_namespace_terminating(error: &kube::Error) -> bool {
    match error {
        kube::Error::Api(status) => status
            .details
            .as_ref()
            .is_some_and(|details| details.causes.iter().any(|cause| cause.reason == "NamespaceTerminating")),
        _ => false,
    }
}

/// The server's words, as events carry them.
#[must_use]
pub fn message(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => status.message.clone(),
        other => other.to_string(),
    }
}

/// A reconcile that lost a race is tried again shortly; other errors are errors.
///
/// # Errors
/// What was no race.
pub fn settle_races<E: Into<anyhow::Error>>(result: Result<Outcome, E>) -> Result<Outcome, anyhow::Error> {
    result.map_err(Into::into).or_else(|error| {
        let race = error.chain().filter_map(|cause| cause.downcast_ref::<kube::Error>()).any(is_race);
        if race { Ok(Outcome::RequeueAfter(AFTER_RACE)) } else { Err(error) }
    })
}

/// Makes a merge patch one of the object as it was read: it is refused when the object has changed since, or is another.
#[must_use]
pub fn as_read(metadata: &ObjectMeta, mut patch: Value) -> Value {
    patch["metadata"]["uid"] = metadata.uid.clone().into();
    patch["metadata"]["resourceVersion"] = metadata.resource_version.clone().into();
    patch
}

/// A merge patch that turns the status `old` into `new`, of the object with this uid only.
#[must_use]
pub fn status_patch<S: ToJson>(uid: Option<&str>, old: &S, new: &S) -> Value {
    json!({"metadata": {"uid": uid}, "status": overwrite(&old.to_tree(), new.to_tree())})
}

/// All of `new`, and `null` for what only `old` has, on every level.
fn overwrite(old: &Value, new: Value) -> Value {
    let (Value::Object(old), Value::Object(new)) = (old, &new) else { return new };
    let gone = old.keys().filter(|name| !new.contains_key(*name)).map(|name| (name.clone(), Value::Null));
    let gone: Map<String, Value> = gone.collect();
    let there =
        new.iter().map(|(name, value)| (name.clone(), overwrite(old.get(name).unwrap_or(&Value::Null), value.clone())));
    Value::Object(there.chain(gone).collect())
}

#[cfg(test)]
mod tests {
    use api_types::{apps::ReplicaSetStatus, codec::FromJson};

    use super::*;

    #[test]
    fn a_status_patch_removes_what_is_gone() {
        let status = |tree| ReplicaSetStatus::from_tree(&tree).unwrap();
        let old = status(json!({"replicas": 2, "readyReplicas": 1, "conditions": []}));
        let new = status(json!({"replicas": 1}));
        let expected = json!({
            "metadata": {"uid": "u"},
            "status": {"replicas": 1, "readyReplicas": null, "conditions": null},
        });
        assert_eq!(status_patch(Some("u"), &old, &new), expected);
        let expected = json!({"a": {"b": null, "c": [2]}});
        assert_eq!(overwrite(&json!({"a": {"b": [1], "c": [1]}}), json!({"a": {"c": [2]}})), expected);
    }
}
