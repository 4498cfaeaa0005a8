//! What binds policies to parameters and resources.

use std::collections::BTreeSet;

use serde_json::Value;

use super::matching;
use crate::{
    admissionregistration::{
        MatchResources, MutatingAdmissionPolicyBinding, ParamRef, ValidatingAdmissionPolicyBinding,
    },
    field::{FieldError, Path},
    object::{Column, Kind},
    table,
    validation::{names, selector},
};

const COLUMNS: &[Column] = &[
    Column::NAME,
    Column::text("PolicyName", "PolicyName indicates the policy definition which the policy binding binded to"),
    Column::text("ParamRef", "ParamRef indicates the param resource which sets the configration param"),
    Column::AGE,
];
const ACTIONS: [&str; 3] = ["Audit", "Deny", "Warn"];
const NOT_FOUND_ACTIONS: [&str; 2] = ["Allow", "Deny"];

impl Kind for ValidatingAdmissionPolicyBinding {
    const COLUMNS: &'static [Column] = COLUMNS;

    fn set_defaults(&mut self) {
        self.spec.match_resources.iter_mut().for_each(matching::default_resources);
    }

    fn validate(&self) -> Vec<FieldError> {
        let (path, spec) = (Path::new("spec"), &self.spec);
        let mut errors = shared(&path, &spec.policy_name, spec.param_ref.as_ref(), spec.match_resources.as_ref());
        errors.extend(actions(&path.child("validationActions"), &spec.validation_actions));
        errors
    }

    fn cells(&self) -> Vec<Value> {
        vec![
            self.metadata.name.clone().into(),
            self.spec.policy_name.clone().into(),
            shown(self.spec.param_ref.as_ref()).into(),
            table::age(self.metadata.creation_timestamp.as_ref()).into(),
        ]
    }
}

impl Kind for MutatingAdmissionPolicyBinding {
    const COLUMNS: &'static [Column] = COLUMNS;

    fn set_defaults(&mut self) {
        let resources = self.spec.iter_mut().flat_map(|spec| &mut spec.match_resources);
        resources.for_each(matching::default_resources);
    }

    fn validate(&self) -> Vec<FieldError> {
        let spec = self.spec.clone().unwrap_or_default();
        let policy = spec.policy_name.as_deref().unwrap_or_default();
        shared(&Path::new("spec"), policy, spec.param_ref.as_ref(), spec.match_resources.as_ref())
    }

    fn cells(&self) -> Vec<Value> {
        let spec = self.spec.clone().unwrap_or_default();
        vec![
            self.metadata.name.clone().into(),
            spec.policy_name.unwrap_or_default().into(),
            shown(spec.param_ref.as_ref()).into(),
            table::age(self.metadata.creation_timestamp.as_ref()).into(),
        ]
    }
}

fn shown(param: Option<&ParamRef>) -> String {
    let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    let named = param.and_then(|own| {
        let place = given(&own.namespace).unwrap_or_else(|| "*".to_owned());
        given(&own.name).map(|name| format!("{place}/{name}"))
    });
    let selected = || param.and_then(|own| own.selector.as_ref()).map(table::selector);
    named.or_else(selected).unwrap_or_else(|| "<unset>".to_owned())
}

fn shared(path: &Path, policy: &str, param: Option<&ParamRef>, resources: Option<&MatchResources>) -> Vec<FieldError> {
    let mut errors = names::required_name(names::dns1123_subdomain, &path.child("policyName"), policy);
    errors.extend(param.map(|own| param_ref(&path.child("paramRef"), own)).unwrap_or_default());
    let resources_path = path.child("matchResources");
    errors.extend(resources.map(|own| matching::match_resources(&resources_path, own)).unwrap_or_default());
    errors
}

fn param_ref(path: &Path, own: &ParamRef) -> Vec<FieldError> {
    let name = own.name.as_deref().unwrap_or_default();
    let both = !name.is_empty() && own.selector.is_some();
    let exclusive = |field: &str| {
        both.then(|| FieldError::forbidden(&path.child(field), "name and selector are mutually exclusive"))
    };
    let mut errors = names::check_optional(names::path_segment, &path.child("name"), Some(name));
    errors.extend(exclusive("name"));
    let selector = own.selector.as_ref();
    errors.extend(selector.map(|own| selector::validate(&path.child("selector"), own)).unwrap_or_default());
    errors.extend(exclusive("selector"));
    if name.is_empty() && selector.is_none() {
        errors.push(FieldError::required(path, "one of name or selector must be specified"));
    }
    let action = own.parameter_not_found_action.as_deref();
    errors.extend(names::one_of(&path.child("parameterNotFoundAction"), action, &NOT_FOUND_ACTIONS));
    errors
}

fn actions(path: &Path, actions: &[String]) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let mut seen = BTreeSet::new();
    for (i, action) in actions.iter().map(String::as_str).enumerate() {
        if !ACTIONS.contains(&action) {
            errors.push(FieldError::not_supported(&path.index(i), action, &ACTIONS));
        }
        if !seen.insert(action) {
            errors.push(FieldError::duplicate(&path.index(i), action));
        }
    }
    if seen.contains("Deny") && seen.contains("Warn") {
        let detail = "must not contain both Deny and Warn (repeating the same validation failure information in the API response and headers serves no purpose)";
        errors.push(FieldError::invalid(path, actions.to_vec(), detail));
    }
    if seen.is_empty() {
        errors.push(FieldError::required(path, "at least one validation action is required"));
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
            (json!({"policyName": "p", "validationActions": ["Deny"]}), vec![]),
            (
                json!({"validationActions": ["Deny", "Warn", "Warn"]}),
                vec![
                    "spec.policyName: Required value",
                    r#"spec.validationActions[2]: Duplicate value: "Warn""#,
                    r#"spec.validationActions: Invalid value: ["Deny","Warn","Warn"]: must not contain both Deny and Warn (repeating the same validation failure information in the API response and headers serves no purpose)"#,
                ],
            ),
            (
                json!({"policyName": "p", "paramRef": {"name": "a", "selector": {}, "parameterNotFoundAction": "X"}}),
                vec![
                    "spec.paramRef.name: Forbidden: name and selector are mutually exclusive",
                    "spec.paramRef.selector: Forbidden: name and selector are mutually exclusive",
                    r#"spec.paramRef.parameterNotFoundAction: Unsupported value: "X": supported values: "Allow", "Deny""#,
                    "spec.validationActions: Required value: at least one validation action is required",
                ],
            ),
        ];
        for (spec, expected) in cases {
            let mut binding: ValidatingAdmissionPolicyBinding = serde_json::from_value(json!({"spec": spec})).unwrap();
            binding.set_defaults();
            let errors: Vec<String> = binding.validate().iter().map(ToString::to_string).collect();
            assert_eq!(errors, expected);
        }
    }

    #[test]
    fn rows_name_the_parameters() {
        let shown = |param: Value| super::shown(serde_json::from_value::<Option<ParamRef>>(param).unwrap().as_ref());
        assert_eq!(shown(json!({"name": "a"})), "*/a");
        assert_eq!(shown(json!({"name": "a", "namespace": "b"})), "b/a");
        assert_eq!(shown(json!(null)), "<unset>");
    }
}
