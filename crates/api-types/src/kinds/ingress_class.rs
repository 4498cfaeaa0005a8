//! `networking.k8s.io/v1.IngressClass`.

use serde_json::Value;

use crate::{
    field::{FieldError, Path},
    networking::{IngressClass, IngressClassParametersReference, IngressClassSpec},
    object::{Column, Kind},
    pod_spec::defaults::default_text,
    table,
    validation::{meta::immutable, names},
};

/// Longest name of a controller, in bytes.
const CONTROLLER_MAX: usize = 250;
const SCOPES: [&str; 2] = ["Cluster", "Namespace"];

impl Kind for IngressClass {
    const COLUMNS: &'static [Column] = &[
        Column::NAME,
        Column::text("Controller", "Controller that is responsible for handling this class"),
        Column::text("Parameters", "A reference to a resource with additional parameters"),
        Column::AGE,
    ];

    fn set_defaults(&mut self) {
        if let Some(parameters) = self.spec.as_mut().and_then(|spec| spec.parameters.as_mut()) {
            default_text(&mut parameters.scope, "Cluster");
        }
    }

    fn validate(&self) -> Vec<FieldError> {
        let default = IngressClassSpec::default();
        let spec = self.spec.as_ref().unwrap_or(&default);
        let path = Path::new("spec");
        let controller_path = path.child("controller");
        let controller = spec.controller.as_deref().unwrap_or_default();
        let mut errors = Vec::new();
        if controller.len() > CONTROLLER_MAX {
            errors.push(FieldError::too_long(&controller_path, CONTROLLER_MAX));
        }
        errors.extend(names::domain_prefixed_path(&controller_path, controller));
        errors.extend(spec.parameters.iter().flat_map(|own| parameters(&path.child("parameters"), own)));
        errors
    }

    fn validate_update(&self, old: &Self) -> Vec<FieldError> {
        let controller =
            |class: &Self| class.spec.as_ref().and_then(|spec| spec.controller.clone()).unwrap_or_default();
        immutable(&Path::new("spec").child("controller"), &controller(self), &controller(old)).into_iter().collect()
    }

    fn cells(&self) -> Vec<Value> {
        let spec = self.spec.clone().unwrap_or_default();
        let parameters = spec.parameters.map_or_else(
            || table::NONE.to_owned(),
            |own| {
                let group = own.api_group.map(|group| format!(".{group}")).unwrap_or_default();
                format!("{}{group}/{}", own.kind, own.name)
            },
        );
        vec![
            self.metadata.name.clone().into(),
            spec.controller.unwrap_or_default().into(),
            parameters.into(),
            table::age(self.metadata.creation_timestamp.as_ref()).into(),
        ]
    }
}

fn parameters(path: &Path, own: &IngressClassParametersReference) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if let Some(group) = &own.api_group {
        errors.extend(names::check(names::dns1123_subdomain, &path.child("apiGroup"), group));
    }
    errors.extend(names::required_name(names::path_segment, &path.child("kind"), &own.kind));
    errors.extend(names::required_name(names::path_segment, &path.child("name"), &own.name));
    let namespace_path = path.child("namespace");
    match (own.scope.as_deref(), &own.namespace) {
        (None, _) => errors.push(FieldError::required(&path.child("scope"), "")),
        (Some("Namespace"), None) => {
            errors.push(FieldError::required(&namespace_path, "`parameters.scope` is set to 'Namespace'"));
        }
        (Some("Namespace"), Some(name)) => errors.extend(names::check(names::dns1123_label, &namespace_path, name)),
        (Some("Cluster"), Some(_)) => {
            errors.push(FieldError::forbidden(&namespace_path, "`parameters.scope` is set to 'Cluster'"));
        }
        (Some("Cluster"), None) => {}
        (Some(other), _) => errors.push(FieldError::not_supported(&path.child("scope"), other, &SCOPES)),
    }
    errors
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn mistakes_are_told() {
        let parameters = |more: Value| {
            let mut all = json!({"kind": "K", "name": "n"});
            all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            json!({"controller": "a.b/c", "parameters": all})
        };
        let cases = [
            (json!({"controller": "example.com/a"}), vec![]),
            (json!({}), vec!["spec.controller: Required value"]),
            (
                json!({"controller": "a"}),
                vec![r#"spec.controller: Invalid value: "a": must be a domain-prefixed path (such as "acme.io/foo")"#],
            ),
            (
                json!({"controller": "a.b/?"}),
                vec![
                    r#"spec.controller: Invalid value: "?": Invalid path (regex used for validation is '[A-Za-z0-9/\-._~%!$&'()*+,;=:]+')"#,
                ],
            ),
            (parameters(json!({})), vec![]),
            (
                parameters(json!({"scope": "Namespace"})),
                vec!["spec.parameters.namespace: Required value: `parameters.scope` is set to 'Namespace'"],
            ),
            (
                parameters(json!({"namespace": "x", "kind": ""})),
                vec![
                    "spec.parameters.kind: Required value",
                    "spec.parameters.namespace: Forbidden: `parameters.scope` is set to 'Cluster'",
                ],
            ),
            (
                parameters(json!({"scope": "X"})),
                vec![r#"spec.parameters.scope: Unsupported value: "X": supported values: "Cluster", "Namespace""#],
            ),
        ];
        for (spec, expected) in cases {
            let mut class: IngressClass = serde_json::from_value(json!({"spec": spec})).unwrap();
            class.set_defaults();
            let errors: Vec<String> = class.validate().iter().map(ToString::to_string).collect();
            assert_eq!(errors, expected);
        }
    }

    #[test]
    fn rows_name_the_parameters() {
        let class: IngressClass = serde_json::from_value(json!({
            "spec": {"controller": "a/b", "parameters": {"apiGroup": "g", "kind": "K", "name": "n"}},
        }))
        .unwrap();
        assert_eq!(class.cells()[1..3], [json!("a/b"), json!("K.g/n")]);
    }
}
