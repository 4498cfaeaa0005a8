//! `v1.Binding`: a pod's assignment to a node.

use crate::{
    core::Binding,
    field::{FieldError, Path},
    object::Kind,
};

impl Kind for Binding {
    fn validate(&self) -> Vec<FieldError> {
        let path = Path::new("target");
        let mut errors = Vec::new();
        let kind = self.target.kind.as_deref().unwrap_or_default();
        if !matches!(kind, "" | "Node") {
            errors.push(FieldError::not_supported(&path.child("kind"), kind, &["Node", "<empty>"]));
        }
        if self.target.name.as_deref().unwrap_or_default().is_empty() {
            errors.push(FieldError::required(&path.child("name"), ""));
        }
        errors
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn a_pod_is_bound_to_a_node() {
        let errors = |target: Value| -> Vec<String> {
            let binding: Binding = serde_json::from_value(json!({"target": target})).unwrap();
            binding.validate().iter().map(ToString::to_string).collect()
        };
        assert_eq!(errors(json!({"kind": "Node", "name": "n"})), Vec::<String>::new());
        assert_eq!(
            errors(json!({"kind": "Pod"})),
            [
                r#"target.kind: Unsupported value: "Pod": supported values: "<empty>", "Node""#,
                "target.name: Required value"
            ]
        );
    }
}
