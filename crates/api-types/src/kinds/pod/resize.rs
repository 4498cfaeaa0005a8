//! What may change in what a running pod's containers may use: how much CPU and memory.

use super::{is_static, well_formed};
use crate::{
    core::{Container, Pod, PodSpec, ResourceRequirements},
    field::{FieldError, Path},
    pod::qos::QosClass,
    quantity::Wire,
};

/// What may be changed without a new container.
const RESIZABLE: [&str; 2] = ["cpu", "memory"];

pub(super) fn validate(new: &Pod, old: &Pod) -> Vec<FieldError> {
    if is_static(old) {
        return vec![FieldError::forbidden(&Path::new(""), "static pods cannot be resized")];
    }
    let path = Path::new("spec");
    let mut errors = well_formed(new);
    if !may_run_on(old) {
        errors.push(FieldError::forbidden(&path, "Pod running on node without support for resize"));
    }
    if QosClass::of(new) != QosClass::of(old) {
        let class = old.status.as_ref().and_then(|status| status.qos_class.clone());
        errors.push(FieldError::invalid(&path, class, "Pod QOS Class may not change as a result of resizing"));
    }
    let default = PodSpec::default();
    let (now, before) = (new.spec.as_ref().unwrap_or(&default), old.spec.as_ref().unwrap_or(&default));
    errors.extend(removed(&path.child("containers"), &now.containers, &before.containers));
    let init = |spec: &PodSpec| spec.init_containers.clone().unwrap_or_default();
    errors.extend(removed(&path.child("initContainers"), &init(now), &init(before)));
    if with_resources(before, now) != *now {
        errors.push(FieldError::forbidden(&path, "only cpu and memory resources are mutable\n"));
    }
    errors
}

/// A kubelet that tells what containers have got can give them something else.
fn may_run_on(pod: &Pod) -> bool {
    let statuses = pod.status.iter().flat_map(|status| status.container_statuses.iter().flatten());
    let running = |state: &crate::core::ContainerState| state.running.is_some();
    let mut running = statuses.filter(|own| own.state.as_ref().is_some_and(running));
    running.next().is_none_or(|first| first.resources.is_some())
}

/// What was limited or asked for stays so, though it may be another amount.
fn removed(path: &Path, now: &[Container], before: &[Container]) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for (i, (now, before)) in now.iter().zip(before).enumerate() {
        let path = path.index(i).child("resources");
        let none = ResourceRequirements::default();
        let (now, before) = (now.resources.as_ref().unwrap_or(&none), before.resources.as_ref().unwrap_or(&none));
        let lists = [
            ("limits", &now.limits, &before.limits, "resource limits cannot be removed"),
            ("requests", &now.requests, &before.requests, "resource requests cannot be removed"),
        ];
        for (field, now, before, detail) in lists {
            let has = |name: &str| now.as_ref().is_some_and(|now| now.contains_key(name));
            let gone = RESIZABLE
                .iter()
                .any(|name| before.as_ref().is_some_and(|before| before.contains_key(*name)) && !has(name));
            if gone {
                errors.push(FieldError::forbidden(&path.child(field), detail));
            }
        }
    }
    errors
}

/// The old spec with the new amounts of what may be resized. An init container that ends is none of it.
fn with_resources(old: &PodSpec, new: &PodSpec) -> PodSpec {
    let mut kept = old.clone();
    for (own, wanted) in kept.containers.iter_mut().zip(&new.containers) {
        resize(own, wanted);
    }
    let init = kept.init_containers.iter_mut().flatten().zip(new.init_containers.iter().flatten());
    for (own, wanted) in init.filter(|(own, _)| own.restart_policy.as_deref() == Some("Always")) {
        resize(own, wanted);
    }
    kept
}

fn resize(own: &mut Container, wanted: &Container) {
    let none = ResourceRequirements::default();
    let wanted = wanted.resources.as_ref().unwrap_or(&none);
    if own.resources.is_none() && *wanted == none {
        return;
    }
    let kept = own.resources.get_or_insert_default();
    for (own, wanted) in [(&mut kept.limits, &wanted.limits), (&mut kept.requests, &wanted.requests)] {
        for name in RESIZABLE {
            let amount: Option<&Wire> = wanted.as_ref().and_then(|wanted| wanted.get(name));
            match amount {
                Some(amount) => drop(own.get_or_insert_default().insert(name.to_owned(), amount.clone())),
                None => {
                    if let Some(own) = own {
                        own.remove(name);
                    }
                }
            }
        }
        if wanted.is_none() && own.as_ref().is_some_and(|own| own.is_empty()) {
            *own = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::object::Kind;

    fn pod(resources: Value) -> Pod {
        let containers = json!([{"name": "c", "image": "i", "resources": resources}]);
        let mut pod: Pod =
            serde_json::from_value(json!({"metadata": {"name": "p"}, "spec": {"containers": containers}})).unwrap();
        pod.set_defaults();
        pod
    }

    #[test]
    fn amounts_may_change_and_nothing_else() {
        let old = pod(json!({"requests": {"cpu": "1", "memory": "1Gi"}}));
        let cases = [
            (json!({"requests": {"cpu": "2", "memory": "1Gi"}}), vec![]),
            (
                json!({"requests": {"cpu": "1"}}),
                vec!["spec.containers[0].resources.requests: Forbidden: resource requests cannot be removed"],
            ),
            (
                json!({"requests": {"cpu": "1", "memory": "1Gi", "ephemeral-storage": "1Gi"}}),
                vec!["spec: Forbidden: only cpu and memory resources are mutable\n"],
            ),
            (
                json!({"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"cpu": "1", "memory": "1Gi"}}),
                vec!["spec: Invalid value: null: Pod QOS Class may not change as a result of resizing"],
            ),
        ];
        for (resources, expected) in cases {
            let errors: Vec<String> = validate(&pod(resources.clone()), &old).iter().map(ToString::to_string).collect();
            assert_eq!(errors, expected, "{resources}");
        }
    }
}
