//! What may change in a pod's ephemeral containers: some may come.

use std::collections::HashMap;

use super::{is_static, well_formed};
use crate::{
    core::{EphemeralContainer, Pod},
    field::{FieldError, Path},
};

fn all(pod: &Pod) -> &[EphemeralContainer] {
    pod.spec.as_ref().and_then(|spec| spec.ephemeral_containers.as_deref()).unwrap_or_default()
}

pub(super) fn validate(new: &Pod, old: &Pod) -> Vec<FieldError> {
    if is_static(old) {
        return vec![FieldError::forbidden(&Path::new(""), "static pods do not support ephemeral containers")];
    }
    let path = Path::new("spec").child("ephemeralContainers");
    let mut errors = well_formed(new);
    let by_name: HashMap<&str, &EphemeralContainer> = all(new).iter().map(|now| (now.name.as_str(), now)).collect();
    for before in all(old) {
        let what = match by_name.get(before.name.as_str()) {
            None => "removed",
            Some(now) if *now != before => "changed",
            Some(_) => continue,
        };
        let detail = format!("existing ephemeral containers {:?} may not be {what}\n", before.name);
        errors.push(FieldError::forbidden(&path, detail));
    }
    errors
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::object::Kind;

    fn pod(ephemeral: Value) -> Pod {
        let containers = json!([{"name": "c", "image": "i"}]);
        let mut pod: Pod = serde_json::from_value(
            json!({"metadata": {"name": "p"}, "spec": {"containers": containers, "ephemeralContainers": ephemeral}}),
        )
        .unwrap();
        pod.set_defaults();
        pod
    }

    fn texts(errors: &[FieldError]) -> Vec<String> {
        errors.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn some_may_come_and_none_may_go() {
        let one = json!({"name": "d", "image": "i", "targetContainerName": "c"});
        assert!(validate(&pod(json!([one])), &pod(json!([]))).is_empty());
        assert_eq!(
            texts(&validate(&pod(json!([])), &pod(json!([one])))),
            ["spec.ephemeralContainers: Forbidden: existing ephemeral containers \"d\" may not be removed\n"]
        );
        let mut other = one.clone();
        other["image"] = "j".into();
        assert_eq!(
            texts(&validate(&pod(json!([other])), &pod(json!([one])))),
            ["spec.ephemeralContainers: Forbidden: existing ephemeral containers \"d\" may not be changed\n"]
        );
        assert_eq!(
            texts(&pod(json!([one])).validate()),
            ["spec.ephemeralContainers: Forbidden: cannot be set on create"]
        );
    }

    #[test]
    fn mistakes_are_told() {
        let cases = [
            (
                json!({"name": "c", "image": "i", "targetContainerName": "x"}),
                vec![
                    r#"spec.ephemeralContainers[0].name: Duplicate value: "c""#,
                    r#"spec.ephemeralContainers[0].targetContainerName: Not found: "x""#,
                ],
            ),
            (
                json!({"name": "d", "ports": [{"containerPort": 80}], "resources": {"limits": {"cpu": "1"}}}),
                vec![
                    "spec.ephemeralContainers[0].image: Required value",
                    "spec.ephemeralContainers[0].ports: Forbidden: cannot be set for an Ephemeral Container",
                    "spec.ephemeralContainers[0].resources: Forbidden: cannot be set for an Ephemeral Container",
                ],
            ),
        ];
        for (container, expected) in cases {
            assert_eq!(texts(&validate(&pod(json!([container])), &pod(json!([])))), expected);
        }
    }
}
