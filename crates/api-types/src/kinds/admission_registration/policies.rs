//! Policies in CEL.

use std::collections::BTreeSet;

use serde_json::Value;

use super::matching;
use crate::{
    admissionregistration::{
        AuditAnnotation, MatchCondition, MatchResources, MutatingAdmissionPolicy, Mutation, ParamKind,
        ValidatingAdmissionPolicy, Validation, Variable,
    },
    expressions::{self, Admission, Optional},
    field::{FieldError, Path},
    object::{Column, Kind},
    pod_spec::defaults::default_text,
    table,
    validation::{conditions, names},
};

const UNSET: &str = "<unset>";
const PARAM_KIND: Column =
    Column::text("ParamKind", "ParamKind specifies the kind of resources used to parameterize this policy");
const REASONS: [&str; 3] = ["Forbidden", "Invalid", "RequestEntityTooLarge"];
const PATCH_TYPES: [&str; 2] = ["ApplyConfiguration", "JSONPatch"];
const MAX_ANNOTATIONS: usize = 20;
/// The longest expression of an annotation's value, in bytes.
const MAX_ANNOTATION_EXPRESSION: usize = 5 * 1024;
/// Words that CEL keeps for itself.
const RESERVED: [&str; 21] = [
    "as",
    "break",
    "const",
    "continue",
    "else",
    "false",
    "for",
    "function",
    "if",
    "import",
    "in",
    "let",
    "loop",
    "namespace",
    "null",
    "package",
    "return",
    "true",
    "var",
    "void",
    "while",
];

impl Kind for ValidatingAdmissionPolicy {
    const COLUMNS: &'static [Column] = &[
        Column::NAME,
        Column::integer(
            "Validations",
            "Validations indicates the number of validation rules defined in this configuration",
        ),
        PARAM_KIND,
        Column::AGE,
    ];

    fn set_defaults(&mut self) {
        let Some(spec) = &mut self.spec else { return };
        default_text(&mut spec.failure_policy, "Fail");
        spec.match_constraints.iter_mut().for_each(matching::default_resources);
    }

    fn validate(&self) -> Vec<FieldError> {
        validating(self, None)
    }

    fn revalidate(&self, old: &Self) -> Vec<FieldError> {
        validating(self, Some(old))
    }

    fn validate_status_update(&self, _old: &Self) -> Vec<FieldError> {
        let Some(status) = &self.status else { return Vec::new() };
        let path = Path::new("status");
        let checks = status.type_checking.iter().flat_map(|checking| checking.expression_warnings.iter().flatten());
        let list = path.child("typeChecking").child("expressionWarnings");
        let mut errors = Vec::new();
        for (i, warning) in checks.enumerate() {
            errors.extend(names::required(&list.index(i).child("warning"), &warning.warning));
            errors.extend(names::required(&list.index(i).child("fieldRef"), warning.field_ref.trim()));
        }
        errors
            .extend(conditions::validate(&path.child("conditions"), status.conditions.as_deref().unwrap_or_default()));
        errors
    }

    fn cells(&self) -> Vec<Value> {
        let spec = self.spec.clone().unwrap_or_default();
        vec![
            self.metadata.name.clone().into(),
            spec.validations.map_or(0, |all| all.len()).into(),
            shown(spec.param_kind.as_ref()).into(),
            table::age(self.metadata.creation_timestamp.as_ref()).into(),
        ]
    }
}

impl Kind for MutatingAdmissionPolicy {
    const COLUMNS: &'static [Column] = &[
        Column::NAME,
        Column::integer("Mutations", "Mutation indicates the number of mutations rules defined in this configuration"),
        PARAM_KIND,
        Column::AGE,
    ];

    fn set_defaults(&mut self) {
        let Some(spec) = &mut self.spec else { return };
        default_text(&mut spec.failure_policy, "Fail");
        spec.match_constraints.iter_mut().for_each(matching::default_resources);
    }

    fn validate(&self) -> Vec<FieldError> {
        mutating(self, None)
    }

    fn revalidate(&self, old: &Self) -> Vec<FieldError> {
        mutating(self, Some(old))
    }

    fn cells(&self) -> Vec<Value> {
        let spec = self.spec.clone().unwrap_or_default();
        vec![
            self.metadata.name.clone().into(),
            spec.mutations.map_or(0, |all| all.len()).into(),
            shown(spec.param_kind.as_ref()).into(),
            table::age(self.metadata.creation_timestamp.as_ref()).into(),
        ]
    }
}

fn shown(kind: Option<&ParamKind>) -> String {
    let part = |text: &Option<String>| text.clone().unwrap_or_default();
    kind.map_or_else(|| UNSET.to_owned(), |own| format!("{}/{}", part(&own.api_version), part(&own.kind)))
}

/// What both kinds of policy have.
struct Policy<'a> {
    failure_policy: Option<&'a str>,
    params: Option<&'a ParamKind>,
    constraints: Option<&'a MatchResources>,
    conditions: &'a [MatchCondition],
    variables: &'a [Variable],
}

/// Implements the view for a spec with the same fields.
macro_rules! policy {
    ($spec:expr) => {
        Policy {
            failure_policy: $spec.failure_policy.as_deref(),
            params: $spec.param_kind.as_ref(),
            constraints: $spec.match_constraints.as_ref(),
            conditions: $spec.match_conditions.as_deref().unwrap_or_default(),
            variables: $spec.variables.as_deref().unwrap_or_default(),
        }
    };
}

/// What is wrong with what both have, and what expressions may speak of.
fn shared(path: &Path, own: &Policy<'_>, old: Option<&Policy<'_>>, also: &[Optional]) -> (Vec<FieldError>, Admission) {
    let mut optional = vec![Optional::Authorizer];
    optional.extend(own.params.map(|_| Optional::Params));
    let failure_path = path.child("failurePolicy");
    let mut errors: Vec<FieldError> =
        names::one_of(&failure_path, own.failure_policy, &matching::FAILURE_POLICIES).into_iter().collect();
    errors.extend(own.params.map(|own| param_kind(&path.child("paramKind"), own)).unwrap_or_default());
    let constraints_path = path.child("matchConstraints");
    match own.constraints {
        None => errors.push(FieldError::required(&constraints_path, "")),
        Some(own) => {
            errors.extend(matching::match_resources(&constraints_path, own));
            if own.resource_rules.as_ref().is_none_or(Vec::is_empty) {
                errors.push(FieldError::required(&constraints_path.child("resourceRules"), ""));
            }
        }
    }
    if old.is_none_or(|old| old.params != own.params || old.conditions != own.conditions) {
        let admission = Admission::new(&optional);
        errors.extend(matching::conditions(&path.child("matchConditions"), own.conditions, &admission));
    }
    optional.extend(also);
    let mut admission = Admission::new(&optional);
    for (i, own) in own.variables.iter().enumerate() {
        errors.extend(variable(&path.child("variables").index(i), own, &mut admission));
    }
    (errors, admission)
}

fn param_kind(path: &Path, own: &ParamKind) -> Vec<FieldError> {
    let (version_path, kind_path) = (path.child("apiVersion"), path.child("kind"));
    let (api_version, kind) = (own.api_version.as_deref().unwrap_or_default(), own.kind.as_deref().unwrap_or_default());
    let joined = |rule: names::Rule, path: &Path, value: &str, checked: &str, before: &str| {
        let errors = rule(checked);
        (!errors.is_empty()).then(|| FieldError::invalid(path, value, format!("{before}{}", errors.join(","))))
    };
    let mut errors = Vec::new();
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    match (api_version, version) {
        ("", _) => errors.push(FieldError::required(&version_path, "")),
        (_, version) if version.contains('/') => {
            let detail = format!("unexpected GroupVersion string: {api_version}");
            errors.push(FieldError::invalid(&version_path, api_version, detail));
        }
        (_, version) => {
            errors.extend(
                joined(names::dns1123_subdomain, &version_path, group, group, "").filter(|_| !group.is_empty()),
            );
            if version.is_empty() {
                errors.push(FieldError::invalid(&version_path, api_version, "version must be specified"));
            } else {
                errors.extend(joined(names::dns1035_label, &version_path, version, version, ""));
            }
        }
    }
    if kind.is_empty() {
        errors.push(FieldError::required(&kind_path, ""));
    } else {
        let before = "may have mixed case, but should otherwise match: ";
        errors.extend(joined(names::dns1035_label, &kind_path, kind, &kind.to_lowercase(), before));
    }
    errors
}

fn variable(path: &Path, own: &Variable, admission: &mut Admission) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let (name, name_path) = (own.name.as_str(), path.child("name"));
    if name.trim().is_empty() {
        errors.push(FieldError::required(&name_path, "name is not specified"));
    } else if !is_identifier(name) {
        errors.push(FieldError::invalid(&name_path, name, "name is not a valid CEL identifier"));
    }
    let expression_path = path.child("expression");
    if own.expression.trim().is_empty() {
        errors.push(FieldError::required(&expression_path, "expression is not specified"));
    } else {
        let declared = admission.declare(name, &own.expression);
        errors.extend(expressions::check(&expression_path, &own.expression, declared));
    }
    errors
}

fn is_identifier(name: &str) -> bool {
    let good = |c: char| c == '_' || c.is_ascii_alphanumeric();
    name.chars().all(good) && !name.starts_with(|c: char| c.is_ascii_digit()) && !RESERVED.contains(&name)
}

fn validating(own: &ValidatingAdmissionPolicy, old: Option<&ValidatingAdmissionPolicy>) -> Vec<FieldError> {
    let path = Path::new("spec");
    let spec = own.spec.clone().unwrap_or_default();
    let before = old.map(|old| old.spec.clone().unwrap_or_default());
    let before = before.as_ref().map(|spec| policy!(spec));
    let (mut errors, admission) = shared(&path, &policy!(spec), before.as_ref(), &[]);
    let (validations, annotations) = (spec.validations.unwrap_or_default(), spec.audit_annotations.unwrap_or_default());
    if validations.is_empty() && annotations.is_empty() {
        let detail = "validations or auditAnnotations must contain at least one item";
        errors.push(FieldError::required(&path.child("validations"), detail));
        errors.push(FieldError::required(&path.child("auditAnnotations"), detail));
        return errors;
    }
    let indexed = validations.iter().enumerate();
    errors.extend(indexed.flat_map(|(i, own)| validation(&path.child("validations").index(i), own, &admission)));
    let name = own.metadata.name.as_deref().unwrap_or_default();
    errors.extend(all_annotations(&path.child("auditAnnotations"), &annotations, name, &admission));
    errors
}

fn validation(path: &Path, own: &Validation, admission: &Admission) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let expression_path = path.child("expression");
    if own.expression.trim().is_empty() {
        errors.push(FieldError::required(&expression_path, "expression is not specified"));
    } else {
        errors.extend(expressions::check(&expression_path, &own.expression, admission.condition(&own.expression)));
    }
    let computed = own.message_expression.as_deref().unwrap_or_default();
    if !computed.is_empty() && computed.trim().is_empty() {
        let detail = "must be non-empty if specified";
        errors.push(FieldError::invalid(&path.child("messageExpression"), computed, detail));
    } else if !computed.is_empty() {
        let compiled = admission.without_authorizer().message(computed);
        errors.extend(expressions::check(&path.child("messageExpression"), computed, compiled));
    }
    let message = own.message.as_deref().unwrap_or_default();
    let wrong = match message.trim() {
        "" if !message.is_empty() => Some("message must be non-empty if specified"),
        text if text.contains(['\n', '\r']) => Some("message must not contain line breaks"),
        _ => None,
    };
    errors.extend(wrong.map(|detail| FieldError::invalid(&path.child("message"), message, detail)));
    if let Some(reason) = own.reason.as_deref().filter(|reason| !REASONS.contains(reason)) {
        errors.push(FieldError::not_supported(&path.child("reason"), reason, &REASONS));
    }
    errors
}

fn all_annotations(
    path: &Path,
    annotations: &[AuditAnnotation],
    policy: &str,
    admission: &Admission,
) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if annotations.len() > MAX_ANNOTATIONS {
        let value = serde_json::to_value(annotations).unwrap_or_default();
        let detail = format!("must not have more than {MAX_ANNOTATIONS} auditAnnotations");
        errors.push(FieldError::invalid(path, value, detail));
    }
    let mut seen = BTreeSet::new();
    for (i, own) in annotations.iter().enumerate() {
        let path = path.index(i);
        let key_path = path.child("key");
        if policy.is_empty() {
            errors.push(FieldError::invalid(&key_path, own.key.as_str(), "requires metadata.name be non-empty"));
        } else {
            errors.extend(names::check(names::qualified_name, &key_path, &format!("{policy}/{}", own.key)));
        }
        let expression = own.value_expression.trim();
        if expression.is_empty() {
            let detail = "valueExpression is not specified";
            errors.push(FieldError::required(&path.child("valueExpression"), detail));
        } else if expression.len() > MAX_ANNOTATION_EXPRESSION {
            let detail = format!("must not exceed {MAX_ANNOTATION_EXPRESSION} bytes in length");
            errors.push(FieldError::required(&path.child("valueExpression"), detail));
        } else {
            let compiled = admission.annotation(expression);
            errors.extend(expressions::check(&path.child("valueExpression"), &own.value_expression, compiled));
        }
        if !seen.insert(own.key.as_str()) {
            errors.push(FieldError::duplicate(&key_path, own.key.as_str()));
        }
    }
    errors
}

fn mutating(own: &MutatingAdmissionPolicy, old: Option<&MutatingAdmissionPolicy>) -> Vec<FieldError> {
    let path = Path::new("spec");
    let spec = own.spec.clone().unwrap_or_default();
    let before = old.map(|old| old.spec.clone().unwrap_or_default());
    let before = before.as_ref().map(|spec| policy!(spec));
    let (mut errors, admission) = shared(&path, &policy!(spec), before.as_ref(), &[Optional::Patches]);
    let mutations = spec.mutations.as_deref().unwrap_or_default();
    let mutations_path = path.child("mutations");
    if mutations.is_empty() {
        let detail = "mutations must contain at least one item";
        errors.push(FieldError::required(&mutations_path, detail));
    }
    errors
        .extend(mutations.iter().enumerate().flat_map(|(i, own)| mutation(&mutations_path.index(i), own, &admission)));
    let policy = spec.reinvocation_policy.as_deref();
    errors.extend(names::one_of(&path.child("reinvocationPolicy"), policy, &matching::REINVOCATION_POLICIES));
    errors
}

fn mutation(path: &Path, own: &Mutation, admission: &Admission) -> Vec<FieldError> {
    let kind = own.patch_type.as_str();
    if !PATCH_TYPES.contains(&kind) {
        return names::one_of(&path.child("patchType"), Some(kind), &PATCH_TYPES).into_iter().collect();
    }
    let forms = [
        ("ApplyConfiguration", "applyConfiguration", own.apply_configuration.as_ref().map(|own| &own.expression)),
        ("JSONPatch", "jsonPatch", own.json_patch.as_ref().map(|own| &own.expression)),
    ];
    let mut errors = Vec::new();
    for (form, field, expression) in forms {
        let path = path.child(field);
        match (form == kind, expression) {
            (true, None) => {
                errors.push(FieldError::required(&path, format!("must be specified when patchType is {kind}")));
            }
            (true, Some(expression)) => {
                let (path, text) = (path.child("expression"), expression.as_deref().unwrap_or_default());
                if text.trim().is_empty() {
                    errors.push(FieldError::required(&path, ""));
                } else {
                    let json_patch = form == "JSONPatch";
                    let compiled =
                        if json_patch { admission.json_patch(text) } else { admission.apply_configuration(text) };
                    errors.extend(expressions::check(&path, text, compiled));
                }
            }
            (false, Some(_)) => {
                let detail = format!("must not be specified when patchType is {kind}");
                errors.push(FieldError::invalid(&path, format!("{{{field}}}"), detail));
            }
            _ => {}
        }
    }
    errors
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn texts(errors: &[FieldError]) -> Vec<String> {
        errors.iter().map(ToString::to_string).collect()
    }

    fn spec(base: Value, more: Value) -> Value {
        let rule = json!({"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"]});
        let mut spec = json!({"matchConstraints": {"resourceRules": [rule]}});
        for part in [base, more] {
            spec.as_object_mut().unwrap().extend(part.as_object().unwrap().clone());
        }
        json!({"metadata": {"name": "p"}, "spec": spec})
    }

    #[test]
    fn validating_policies_are_checked() {
        let cases = [
            (json!({}), vec![]),
            (
                json!({"validations": []}),
                vec![
                    "spec.validations: Required value: validations or auditAnnotations must contain at least one item",
                    "spec.auditAnnotations: Required value: validations or auditAnnotations must contain at least one item",
                ],
            ),
            (
                json!({"matchConstraints": {}, "paramKind": {"apiVersion": "a/b/c", "kind": ""}}),
                vec![
                    r#"spec.paramKind.apiVersion: Invalid value: "a/b/c": unexpected GroupVersion string: a/b/c"#,
                    "spec.paramKind.kind: Required value",
                    "spec.matchConstraints.resourceRules: Required value",
                ],
            ),
            (
                json!({"variables": [{"name": "in", "expression": ""}], "validations": [{"expression": "", "reason": "X"}]}),
                vec![
                    r#"spec.variables[0].name: Invalid value: "in": name is not a valid CEL identifier"#,
                    "spec.variables[0].expression: Required value: expression is not specified",
                    "spec.validations[0].expression: Required value: expression is not specified",
                    r#"spec.validations[0].reason: Unsupported value: "X": supported values: "Forbidden", "Invalid", "RequestEntityTooLarge""#,
                ],
            ),
            (
                json!({
                    "matchConditions": [{"name": "a", "expression": "object.spec"}],
                    "variables": [{"name": "v", "expression": "object.a + 1"}, {"name": "w", "expression": "variables.x"}],
                    "validations": [
                        {"expression": "variables.v > 1", "messageExpression": "authorizer.path('/a')"},
                        {"expression": "params.a == 1", "messageExpression": "1"},
                    ],
                    "auditAnnotations": [{"key": "a", "valueExpression": "1"}],
                }),
                vec![
                    r#"spec.matchConditions[0].expression: Invalid value: "object.spec": must evaluate to bool but got dyn"#,
                    "spec.variables[1].expression: Invalid value: \"variables.x\": compilation failed: ERROR: <input>:1:10: undefined field 'x'\n | variables.x\n | .........^",
                    "spec.validations[0].messageExpression: Invalid value: \"authorizer.path('/a')\": compilation failed: ERROR: <input>:1:1: undeclared reference to 'authorizer' (in container '')\n | authorizer.path('/a')\n | ^",
                    "spec.validations[1].expression: Invalid value: \"params.a == 1\": compilation failed: ERROR: <input>:1:1: undeclared reference to 'params' (in container '')\n | params.a == 1\n | ^",
                    r#"spec.validations[1].messageExpression: Invalid value: "1": must evaluate to string but got int"#,
                    r#"spec.auditAnnotations[0].valueExpression: Invalid value: "1": must evaluate to one of [string null_type] but got int"#,
                ],
            ),
            (
                json!({"auditAnnotations": [{"key": "a", "valueExpression": "'x'"}, {"key": "a", "valueExpression": ""}]}),
                vec![
                    "spec.auditAnnotations[1].valueExpression: Required value: valueExpression is not specified",
                    r#"spec.auditAnnotations[1].key: Duplicate value: "a""#,
                ],
            ),
        ];
        for (more, expected) in cases {
            let base = json!({"validations": [{"expression": "true"}]});
            let mut policy: ValidatingAdmissionPolicy = serde_json::from_value(spec(base, more)).unwrap();
            policy.set_defaults();
            assert_eq!(texts(&policy.validate()), expected);
        }
    }

    #[test]
    fn mutating_policies_are_checked() {
        let patch = json!([{"patchType": "JSONPatch", "jsonPatch": {"expression": "[JSONPatch{op: 'remove', path: '/spec/a'}]"}}]);
        let cases = [
            (json!({}), vec![]),
            (
                json!({"mutations": [], "reinvocationPolicy": null}),
                vec![
                    "spec.mutations: Required value: mutations must contain at least one item",
                    "spec.reinvocationPolicy: Required value",
                ],
            ),
            (
                json!({"mutations": [{"patchType": "JSONPatch", "applyConfiguration": {"expression": "Object{}"}}]}),
                vec![
                    r#"spec.mutations[0].applyConfiguration: Invalid value: "{applyConfiguration}": must not be specified when patchType is JSONPatch"#,
                    "spec.mutations[0].jsonPatch: Required value: must be specified when patchType is JSONPatch",
                ],
            ),
        ];
        for (more, expected) in cases {
            let base = json!({"mutations": patch, "reinvocationPolicy": "Never"});
            let mut policy: MutatingAdmissionPolicy = serde_json::from_value(spec(base, more)).unwrap();
            policy.set_defaults();
            assert_eq!(texts(&policy.validate()), expected);
        }
    }
}
