//! What may change in a pod.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde_json::{Value, json};

use super::MIRROR;
use crate::{
    core::{Affinity, Container, ContainerStatus, NodeSelectorRequirement, NodeSelectorTerm, Pod, PodSpec},
    field::{FieldError, Path},
    pod::tolerations::identity,
    pod_spec::validate::image,
};

/// Changes to all but the status.
pub(super) fn validate(new: &Pod, old: &Pod) -> Vec<FieldError> {
    mirror(new, old).into_iter().chain(spec(new, old)).collect()
}

/// A pod is a mirror of a static one for all its life, or never.
fn mirror(new: &Pod, old: &Pod) -> Option<FieldError> {
    let annotation = |pod: &Pod| pod.metadata.annotations.as_ref().and_then(|own| own.get(MIRROR)).cloned();
    let (new, old) = (annotation(new), annotation(old));
    let detail = match old {
        Some(_) => "may not remove or update mirror pod annotation",
        None => "may not add mirror pod annotation",
    };
    let path = Path::new("metadata").child("annotations").key(MIRROR);
    (new != old).then(|| FieldError::forbidden(&path, detail))
}

/// Changes to the spec: images, deadlines, more tolerations, fewer gates.
fn spec(new: &Pod, old: &Pod) -> Vec<FieldError> {
    let default = PodSpec::default();
    let (new, old) = (new.spec.as_ref().unwrap_or(&default), old.spec.as_ref().unwrap_or(&default));
    if new == old {
        return Vec::new();
    }
    let path = Path::new("spec");
    let mut errors = containers(&path, new, old);
    if !errors.is_empty() {
        return errors;
    }
    errors.extend(active_deadline(&path.child("activeDeadlineSeconds"), new, old));
    errors.extend(tolerations(&path.child("tolerations"), new, old));
    errors.extend(scheduling_gates(&path.child("schedulingGates"), new, old));
    if is_gated(old) {
        errors.extend(node_selector(&path.child("nodeSelector"), new, old));
        errors.extend(node_affinity(&path.child("affinity").child("nodeAffinity"), new, old));
    }
    if with_allowed_changes(old, new) != *new {
        errors.push(FieldError::forbidden(&path, OTHER_FIELDS));
    }
    errors
}

const OTHER_FIELDS: &str = "pod updates may not change fields other than `spec.containers[*].image`,\
`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),\
`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";

/// `old` with the changes to `new` that are judged on their own.
fn with_allowed_changes(old: &PodSpec, new: &PodSpec) -> PodSpec {
    let mut allowed = old.clone();
    let init = allowed.init_containers.iter_mut().flatten().zip(new.init_containers.iter().flatten());
    for (own, changed) in allowed.containers.iter_mut().zip(&new.containers).chain(init) {
        own.image.clone_from(&changed.image);
    }
    allowed.active_deadline_seconds = new.active_deadline_seconds;
    allowed.tolerations.clone_from(&new.tolerations);
    allowed.scheduling_gates.clone_from(&new.scheduling_gates);
    if is_gated(old) {
        allowed.node_selector.clone_from(&new.node_selector);
        let changed = new.affinity.as_ref().and_then(|affinity| affinity.node_affinity.clone());
        if changed.is_some() || allowed.affinity.is_some() {
            allowed.affinity.get_or_insert_default().node_affinity = changed;
        }
        // Nothing else was in it.
        if new.affinity.is_none() && allowed.affinity == Some(Affinity::default()) {
            allowed.affinity = None;
        }
    }
    if old.termination_grace_period_seconds.is_some_and(|seconds| seconds < 0)
        && new.termination_grace_period_seconds == Some(1)
    {
        allowed.termination_grace_period_seconds = Some(1);
    }
    allowed
}

fn is_gated(spec: &PodSpec) -> bool {
    spec.scheduling_gates.as_ref().is_some_and(|gates| !gates.is_empty())
}

/// Where a gated pod may go may only become less.
fn node_selector(path: &Path, new: &PodSpec, old: &PodSpec) -> Option<FieldError> {
    let empty = BTreeMap::new();
    let (new, old) = (new.node_selector.as_ref().unwrap_or(&empty), old.node_selector.as_ref().unwrap_or(&empty));
    let kept = old.iter().all(|(key, value)| new.get(key) == Some(value));
    let detail = "only additions to spec.nodeSelector are allowed (no mutations or deletions)";
    (!kept).then(|| FieldError::invalid(path, json!(new), detail))
}

fn node_affinity(path: &Path, new: &PodSpec, old: &PodSpec) -> Vec<FieldError> {
    let (new, old) = (required_terms(new), required_terms(old));
    if old.is_empty() {
        return Vec::new();
    }
    let path = path.child("requiredDuringSchedulingIgnoredDuringExecution").child("nodeSelectorTerms");
    if new.len() != old.len() {
        let detail = "no additions/deletions to non-empty NodeSelectorTerms list are allowed";
        let terms: Vec<Value> = new.iter().map(as_told).collect();
        return vec![FieldError::invalid(&path, terms, detail)];
    }
    let looser = old.iter().zip(new).enumerate().filter(|(_, (old, new))| !has_only_additions(new, old));
    let detail = "only additions are allowed (no mutations or deletions)";
    looser.map(|(i, (_, new))| FieldError::invalid(&path.index(i), as_told(new), detail)).collect()
}

/// A term in the words of upstream's own types.
fn as_told(term: &NodeSelectorTerm) -> Value {
    let requirement =
        |own: &NodeSelectorRequirement| json!({"Key": own.key, "Operator": own.operator, "Values": own.values});
    let list = |requirements: &Option<Vec<NodeSelectorRequirement>>| {
        requirements.as_ref().map(|own| own.iter().map(requirement).collect::<Vec<_>>())
    };
    json!({"MatchExpressions": list(&term.match_expressions), "MatchFields": list(&term.match_fields)})
}

fn required_terms(spec: &PodSpec) -> &[NodeSelectorTerm] {
    let affinity = spec.affinity.as_ref().and_then(|affinity| affinity.node_affinity.as_ref());
    let required = affinity.and_then(|a| a.required_during_scheduling_ignored_during_execution.as_ref());
    required.map_or(&[], |required| &required.node_selector_terms)
}

/// A term without requirements selects nothing, which is as strict as can be.
fn has_only_additions(new: &NodeSelectorTerm, old: &NodeSelectorTerm) -> bool {
    let lists = |term: &NodeSelectorTerm| {
        [&term.match_expressions, &term.match_fields].map(|list| list.clone().unwrap_or_default())
    };
    let (new, old) = (lists(new), lists(old));
    if old.iter().all(Vec::is_empty) {
        return new.iter().all(Vec::is_empty);
    }
    old.iter().zip(&new).all(|(old, new)| new.starts_with(old))
}

fn containers(path: &Path, new: &PodSpec, old: &PodSpec) -> Vec<FieldError> {
    let detail = "pod updates may not add or remove containers";
    let init = |spec: &PodSpec| spec.init_containers.as_ref().map_or(0, Vec::len);
    if new.containers.len() != old.containers.len() {
        return vec![FieldError::forbidden(&path.child("containers"), detail)];
    }
    if init(new) != init(old) {
        return vec![FieldError::forbidden(&path.child("initContainers"), detail)];
    }
    let images = |field: &'static str, containers: &[Container]| -> Vec<FieldError> {
        let indexed = containers.iter().enumerate();
        let path = path.child(field);
        indexed.filter_map(|(i, own)| image(&path.index(i).child("image"), own.image.as_deref())).collect()
    };
    let mut errors = images("containers", &new.containers);
    errors.extend(images("initContainers", new.init_containers.as_deref().unwrap_or_default()));
    errors
}

fn active_deadline(path: &Path, new: &PodSpec, old: &PodSpec) -> Option<FieldError> {
    let before = old.active_deadline_seconds?;
    match new.active_deadline_seconds {
        None => Some(FieldError::invalid(path, before, "must not update from a positive integer to nil value")),
        Some(after) if after > before => {
            Some(FieldError::invalid(path, after, "must be less than or equal to previous value"))
        }
        Some(_) => None,
    }
}

/// Tolerations are only added; how long one lasts may change.
fn tolerations(path: &Path, new: &PodSpec, old: &PodSpec) -> Option<FieldError> {
    let kept: HashSet<_> = new.tolerations.iter().flatten().map(identity).collect();
    let lost = old.tolerations.iter().flatten().any(|own| !kept.contains(&identity(own)));
    lost.then(|| FieldError::forbidden(path, "existing toleration can not be modified except its tolerationSeconds"))
}

fn scheduling_gates(path: &Path, new: &PodSpec, old: &PodSpec) -> Vec<FieldError> {
    let known: HashSet<&str> = old.scheduling_gates.iter().flatten().map(|own| own.name.as_str()).collect();
    let added = new.scheduling_gates.iter().flatten().enumerate().filter(|(_, gate)| !known.contains(&*gate.name));
    let error = |(i, gate): (usize, &crate::core::PodSchedulingGate)| {
        let detail = format!("only deletion is allowed, but found new scheduling gate '{}'", gate.name);
        FieldError::forbidden(&path.index(i), detail)
    };
    added.map(error).collect()
}

/// Changes to the status: a container that may not be restarted stays terminated.
pub(super) fn validate_status(new: &Pod, old: &Pod) -> Vec<FieldError> {
    mirror(new, old).into_iter().chain(status(new, old)).collect()
}

fn status(new: &Pod, old: &Pod) -> Vec<FieldError> {
    let policy = old.spec.as_ref().and_then(|spec| spec.restart_policy.as_deref()).unwrap_or_default();
    let path = Path::new("status");
    let pick = |pod: &Pod| pod.status.clone().unwrap_or_default();
    let (new, old) = (pick(new), pick(old));
    if !matches!(policy, "Never" | "OnFailure") {
        return Vec::new();
    }
    let never = policy == "Never";
    let mut errors = Vec::new();
    let now = new.container_statuses.iter().flatten().rev();
    let now: HashMap<&str, &ContainerStatus> = now.map(|status| (status.name.as_str(), status)).collect();
    for (i, status) in old.container_statuses.iter().flatten().enumerate() {
        let now = now.get(status.name.as_str()).copied();
        errors.extend(resurrection(&path.child("containerStatuses").index(i), status, now, never));
    }
    errors
}

fn resurrection(path: &Path, old: &ContainerStatus, now: Option<&ContainerStatus>, never: bool) -> Option<FieldError> {
    let terminated = old.state.as_ref()?.terminated.as_ref()?;
    if terminated.exit_code != 0 && !never {
        return None;
    }
    let still = now?.state.as_ref().is_some_and(|state| state.terminated.is_some());
    (!still).then(|| FieldError::forbidden(&path.child("state"), "may not be transitioned to non-terminated state"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Kind;

    fn pod(change: impl FnOnce(&mut Value)) -> Pod {
        let mut value = json!({
            "metadata": {"name": "a"},
            "spec": {
                "containers": [{"name": "c", "image": "i:1"}],
                "tolerations": [{"key": "a", "operator": "Exists"}],
                "activeDeadlineSeconds": 10,
            },
        });
        change(&mut value);
        let mut pod: Pod = serde_json::from_value(value).unwrap();
        pod.set_defaults();
        pod
    }

    fn errors(change: impl FnOnce(&mut Value)) -> Vec<String> {
        validate(&pod(change), &pod(|_| {})).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_few_fields_may_change() {
        assert_eq!(errors(|_| {}), Vec::<String>::new());
        assert_eq!(errors(|pod| pod["spec"]["containers"][0]["image"] = json!("i:2")), Vec::<String>::new());
        assert_eq!(errors(|pod| pod["spec"]["activeDeadlineSeconds"] = json!(5)), Vec::<String>::new());
        assert_eq!(
            errors(|pod| pod["spec"]["tolerations"].as_array_mut().unwrap().push(json!({"operator": "Exists"}))),
            Vec::<String>::new()
        );
    }

    #[test]
    fn others_may_not() {
        let other = "spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";
        assert_eq!(errors(|pod| pod["spec"]["nodeName"] = json!("n")), [other]);
        assert_eq!(errors(|pod| pod["spec"]["containers"][0]["command"] = json!(["x"])), [other]);
        assert_eq!(
            errors(|pod| pod["spec"]["containers"].as_array_mut().unwrap().push(json!({"name": "d", "image": "i"}))),
            ["spec.containers: Forbidden: pod updates may not add or remove containers"]
        );
        assert_eq!(
            errors(|pod| pod["spec"]["activeDeadlineSeconds"] = json!(11)),
            ["spec.activeDeadlineSeconds: Invalid value: 11: must be less than or equal to previous value"]
        );
        assert_eq!(
            errors(|pod| pod["spec"]["tolerations"] = json!([])),
            ["spec.tolerations: Forbidden: existing toleration can not be modified except its tolerationSeconds"]
        );
    }

    #[test]
    fn a_pod_does_not_become_a_mirror() {
        let marked = |hash: &str| pod(|pod| pod["metadata"]["annotations"] = json!({MIRROR: hash, "a": hash}));
        let plain = || pod(|_| {});
        let path = "metadata.annotations[kubernetes.io/config.mirror]: Forbidden:";
        for (new, old, expected) in [
            (marked("x"), plain(), Some("may not add mirror pod annotation")),
            (plain(), marked("x"), Some("may not remove or update mirror pod annotation")),
            (marked("y"), marked("x"), Some("may not remove or update mirror pod annotation")),
            (marked("x"), marked("x"), None),
        ] {
            let expected: Vec<String> = expected.iter().map(|detail| format!("{path} {detail}")).collect();
            for errors in [validate(&new, &old), validate_status(&new, &old)] {
                assert_eq!(errors.iter().map(ToString::to_string).collect::<Vec<_>>(), expected);
            }
        }
    }

    #[test]
    fn the_dead_stay_dead() {
        let status = |state: Value| {
            pod(|pod| {
                pod["spec"]["restartPolicy"] = json!("Never");
                pod["status"] = json!({"containerStatuses": [{"name": "c", "image": "", "imageID": "", "ready": false, "restartCount": 0, "state": state}]});
            })
        };
        let (dead, alive) = (status(json!({"terminated": {"exitCode": 1}})), status(json!({"running": {}})));
        assert_eq!(
            validate_status(&alive, &dead)[0].to_string(),
            "status.containerStatuses[0].state: Forbidden: may not be transitioned to non-terminated state"
        );
        assert!(validate_status(&dead, &alive).is_empty());
    }
}
