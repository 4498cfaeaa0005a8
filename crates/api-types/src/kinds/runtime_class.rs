//! `node.k8s.io/v1.RuntimeClass`.

use std::collections::HashSet;

use serde_json::Value;

use crate::{
    core::{ResourceRequirements, Toleration},
    field::{FieldError, Path},
    node::RuntimeClass,
    object::{Column, Kind},
    pod::tolerations::identity,
    pod_spec::{
        validate::{resources, tolerations},
        warnings,
    },
    quantity, table,
    validation::{
        meta::{immutable, labels},
        names,
    },
};

impl Kind for RuntimeClass {
    const COLUMNS: &'static [Column] = &[Column::NAME, Column::text("Handler", ""), Column::AGE];

    fn set_defaults(&mut self) {
        let fixed = self.overhead.iter_mut().filter_map(|overhead| overhead.pod_fixed.as_mut());
        fixed.for_each(quantity::round_to_milli);
    }

    fn validate(&self) -> Vec<FieldError> {
        let mut errors = names::check(names::dns1123_label, &Path::new("handler"), &self.handler);
        if let Some(overhead) = &self.overhead {
            let limits = ResourceRequirements { limits: overhead.pod_fixed.clone(), ..ResourceRequirements::default() };
            errors.extend(resources(&Path::new("overhead").child("podFixed"), &limits));
        }
        let Some(scheduling) = &self.scheduling else { return errors };
        let path = Path::new("scheduling");
        if let Some(selector) = &scheduling.node_selector {
            errors.extend(labels(&path.child("nodeSelector"), selector));
        }
        let own = scheduling.tolerations.as_deref().unwrap_or_default();
        errors.extend(unique_tolerations(&path.child("tolerations"), own));
        errors
    }

    fn validate_update(&self, old: &Self) -> Vec<FieldError> {
        immutable(&Path::new("handler"), &self.handler, &old.handler).into_iter().collect()
    }

    fn warnings(&self, _old: Option<&Self>) -> Vec<String> {
        let path = Path::new("scheduling").child("nodeSelector");
        let selector = self.scheduling.iter().flat_map(|scheduling| scheduling.node_selector.iter().flatten());
        let old = selector.filter_map(|(key, _)| warnings::of_node_label(key));
        old.map(|why| format!("{path}: {why}")).collect()
    }

    fn cells(&self) -> Vec<Value> {
        vec![
            self.metadata.name.clone().into(),
            self.handler.clone().into(),
            table::age(self.metadata.creation_timestamp.as_ref()).into(),
        ]
    }
}

fn unique_tolerations(path: &Path, own: &[Toleration]) -> Vec<FieldError> {
    let mut errors = tolerations(path, own);
    let mut seen = HashSet::new();
    for (i, toleration) in own.iter().enumerate() {
        if !seen.insert((identity(toleration), toleration.toleration_seconds)) {
            let value = serde_json::to_value(toleration).unwrap_or_default();
            errors.push(FieldError::duplicate(&path.index(i), value));
        }
    }
    errors
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn mistakes_are_told() {
        let cases = [
            (json!({"handler": "runc", "overhead": {"podFixed": {"cpu": "1"}}}), vec![]),
            (json!({"handler": "a.b"}), vec![r#"handler: Invalid value: "a.b": must not contain dots"#]),
            (
                json!({"handler": "a", "scheduling": {"tolerations": [{"operator": "Exists"}, {"operator": "Exists"}]}}),
                vec![r#"scheduling.tolerations[1]: Duplicate value: {"operator":"Exists"}"#],
            ),
        ];
        for (value, expected) in cases {
            let class: RuntimeClass = serde_json::from_value(value).unwrap();
            let errors: Vec<String> = class.validate().iter().map(ToString::to_string).collect();
            assert_eq!(errors, expected);
        }
    }
}
