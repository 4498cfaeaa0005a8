//! `flowcontrol.apiserver.k8s.io/v1.FlowSchema`.

use serde_json::Value;

use super::{EXEMPT, bootstrap, condition_types, fixed};
use crate::{
    field::{FieldError, Path},
    flowcontrol::{
        FlowSchema, FlowSchemaSpec, NonResourcePolicyRule, PolicyRulesWithSubjects, ResourcePolicyRule, Subject,
    },
    object::{Column, Kind},
    table,
    validation::names,
};

const DEFAULT_PRECEDENCE: i32 = 1000;
const HIGHEST_PRECEDENCE: i32 = 10_000;
const METHODS: [&str; 2] = ["ByNamespace", "ByUser"];
const SUBJECTS: [&str; 3] = ["Group", "ServiceAccount", "User"];
const VERBS: [&str; 9] = ["create", "delete", "deletecollection", "get", "list", "patch", "proxy", "update", "watch"];

impl Kind for FlowSchema {
    const COLUMNS: &'static [Column] = &[
        Column::NAME,
        Column::text(
            "PriorityLevel",
            "`name` is the name of the priority level configuration being referenced Required.",
        ),
        Column::text(
            "MatchingPrecedence",
            "`matchingPrecedence` is used to choose among the FlowSchemas that match a given request. The chosen FlowSchema is among those with the numerically lowest (which we take to be logically highest) MatchingPrecedence.  Each MatchingPrecedence value must be ranged in [1,10000]. Note that if the precedence is not specified, it will be set to 1000 as default.",
        ),
        Column::text(
            "DistinguisherMethod",
            "`distinguisherMethod` defines how to compute the flow distinguisher for requests that match this schema. `nil` specifies that the distinguisher is disabled and thus will always be the empty string.",
        ),
        Column::AGE,
        Column::text("MissingPL", "references a broken or non-existent PriorityLevelConfiguration"),
    ];

    fn set_defaults(&mut self) {
        let precedence = &mut self.spec.get_or_insert_default().matching_precedence;
        if precedence.unwrap_or_default() == 0 {
            *precedence = Some(DEFAULT_PRECEDENCE);
        }
    }

    fn validate(&self) -> Vec<FieldError> {
        let name = self.metadata.name.as_deref().unwrap_or_default();
        let default = FlowSchemaSpec::default();
        let own = self.spec.as_ref().unwrap_or(&default);
        let mut errors = spec(name, own);
        let mandatory = bootstrap::MANDATORY.contains(&name).then(|| bootstrap::flow_schema(name)).flatten();
        if let Some(expected) = mandatory.and_then(|object| object.spec) {
            errors.extend(fixed(own, &expected, format!("spec of '{name}' must equal the fixed value")));
        }
        errors.extend(self.validate_status_update(self));
        errors
    }

    fn validate_status_update(&self, _old: &Self) -> Vec<FieldError> {
        let conditions = self.status.iter().flat_map(|status| status.conditions.iter().flatten());
        condition_types(conditions.map(|condition| condition.type_.as_deref()))
    }

    fn cells(&self) -> Vec<Value> {
        let spec = self.spec.clone().unwrap_or_default();
        let mut conditions = self.status.iter().flat_map(|status| status.conditions.iter().flatten());
        let dangling = conditions.find(|condition| condition.type_.as_deref() == Some("Dangling"));
        vec![
            self.metadata.name.clone().into(),
            spec.priority_level_configuration.name.into(),
            spec.matching_precedence.unwrap_or_default().into(),
            spec.distinguisher_method.map_or_else(|| table::NONE.to_owned(), |method| method.type_).into(),
            table::age(self.metadata.creation_timestamp.as_ref()).into(),
            dangling.map_or_else(|| "?".to_owned(), |own| own.status.clone().unwrap_or_default()).into(),
        ]
    }
}

fn spec(name: &str, spec: &FlowSchemaSpec) -> Vec<FieldError> {
    let path = Path::new("spec");
    let precedence = spec.matching_precedence.unwrap_or_default();
    let wrong = match precedence {
        ..=0 => Some("must be a positive value".to_owned()),
        1 if name != EXEMPT => Some("only the schema named 'exempt' may have matchingPrecedence 1".to_owned()),
        _ if precedence > HIGHEST_PRECEDENCE => Some(format!("must not be greater than {HIGHEST_PRECEDENCE}")),
        _ => None,
    };
    let precedence_path = path.child("matchingPrecedence");
    let mut errors: Vec<FieldError> =
        wrong.map(|detail| FieldError::invalid(&precedence_path, precedence, detail)).into_iter().collect();
    let method = spec.distinguisher_method.as_ref();
    if let Some(other) = method.filter(|method| !METHODS.contains(&method.type_.as_str())) {
        let value = serde_json::to_value(other).unwrap_or_default();
        errors.push(FieldError::not_supported(&path.child("distinguisherMethod").child("type"), value, &METHODS));
    }
    let level_path = path.child("priorityLevelConfiguration").child("name");
    match spec.priority_level_configuration.name.as_str() {
        "" => errors.push(FieldError::required(&level_path, "must reference a priority level")),
        name => errors.extend(names::check(names::dns1123_subdomain, &level_path, name)),
    }
    let rules = spec.rules.iter().flatten().enumerate();
    errors.extend(rules.flat_map(|(i, own)| rules_with_subjects(&path.child("rules").index(i), own)));
    errors
}

fn rules_with_subjects(path: &Path, own: &PolicyRulesWithSubjects) -> Vec<FieldError> {
    let subjects_path = path.child("subjects");
    let mut errors = Vec::new();
    if own.subjects.is_empty() {
        errors.push(FieldError::required(&subjects_path, "subjects must contain at least one value"));
    }
    errors.extend(own.subjects.iter().enumerate().flat_map(|(i, own)| subject(&subjects_path.index(i), own)));
    let resources = own.resource_rules.as_deref().unwrap_or_default();
    let others = own.non_resource_rules.as_deref().unwrap_or_default();
    if resources.is_empty() && others.is_empty() {
        let detail = "at least one of resourceRules and nonResourceRules has to be non-empty";
        errors.push(FieldError::required(path, detail));
    }
    let (resources_path, others_path) = (path.child("resourceRules"), path.child("nonResourceRules"));
    errors.extend(resources.iter().enumerate().flat_map(|(i, own)| resource_rule(&resources_path.index(i), own)));
    errors.extend(others.iter().enumerate().flat_map(|(i, own)| path_rule(&others_path.index(i), own)));
    errors
}

fn subject(path: &Path, own: &Subject) -> Vec<FieldError> {
    let kind = own.kind.as_str();
    if !SUBJECTS.contains(&kind) {
        return vec![FieldError::not_supported(&path.child("kind"), kind, &SUBJECTS)];
    }
    let forms = [
        ("ServiceAccount", "serviceAccount", own.service_account.is_some()),
        ("User", "user", own.user.is_some()),
        ("Group", "group", own.group.is_some()),
    ];
    let mut errors = Vec::new();
    for (_, field, _) in forms.into_iter().filter(|(form, _, present)| *form == kind && !present) {
        let detail = format!("{field} is required when subject kind is '{kind}'");
        errors.push(FieldError::required(&path.child(field), detail));
    }
    errors.extend(match kind {
        "ServiceAccount" => service_account(&path.child("serviceAccount"), own),
        "User" => {
            own.user.iter().filter_map(|own| names::required(&path.child("user").child("name"), &own.name)).collect()
        }
        _ => {
            own.group.iter().filter_map(|own| names::required(&path.child("group").child("name"), &own.name)).collect()
        }
    });
    for (form, field, _) in forms.into_iter().filter(|(form, _, present)| *form != kind && *present) {
        let detail = format!("{field} is forbidden when subject kind is not '{form}'");
        errors.push(FieldError::forbidden(&path.child(field), detail));
    }
    errors
}

fn service_account(path: &Path, own: &Subject) -> Vec<FieldError> {
    let Some(account) = &own.service_account else { return Vec::new() };
    let mut errors = Vec::new();
    if account.name != "*" {
        errors.extend(names::required_name(names::dns1123_subdomain, &path.child("name"), &account.name));
    }
    let namespace_path = path.child("namespace");
    match account.namespace.as_str() {
        "" => errors.push(FieldError::required(&namespace_path, "must specify namespace for service account")),
        namespace => errors.extend(names::check(names::dns1123_label, &namespace_path, namespace)),
    }
    errors
}

fn has_wildcard(values: &[String]) -> bool {
    values.iter().any(|value| value == "*")
}

/// An error when nothing is there, or when `*` is not alone.
fn some_or_all(path: &Path, values: &[String], absent: &str, what: &str) -> Option<FieldError> {
    match values {
        [] => Some(FieldError::required(path, absent)),
        [_] => None,
        values if has_wildcard(values) => {
            let detail = format!("if '*' is present, must not specify other {what}");
            Some(FieldError::invalid(path, values.to_vec(), detail))
        }
        _ => None,
    }
}

fn verbs(path: &Path, verbs: &[String]) -> Vec<FieldError> {
    let path = path.child("verbs");
    let mut errors: Vec<FieldError> =
        some_or_all(&path, verbs, "verbs must contain at least one value", "verbs").into_iter().collect();
    if !has_wildcard(verbs) && !verbs.iter().all(|verb| VERBS.contains(&verb.as_str())) {
        errors.push(FieldError::not_supported(&path, verbs.to_vec(), &VERBS));
    }
    errors
}

fn resource_rule(path: &Path, own: &ResourcePolicyRule) -> Vec<FieldError> {
    let mut errors = verbs(path, &own.verbs);
    let absent = "resource rules must supply at least one api group";
    errors.extend(some_or_all(&path.child("apiGroups"), &own.api_groups, absent, "api groups"));
    let absent = "resource rules must supply at least one resource";
    errors.extend(some_or_all(&path.child("resources"), &own.resources, absent, "resources"));
    let namespaces_path = path.child("namespaces");
    let namespaces = own.namespaces.as_deref().unwrap_or_default();
    if !namespaces.is_empty() || own.cluster_scope != Some(true) {
        let absent = "resource rules that are not cluster scoped must supply at least one namespace";
        errors.extend(some_or_all(&namespaces_path, namespaces, absent, "namespaces"));
    }
    if !has_wildcard(namespaces) {
        for (i, namespace) in namespaces.iter().enumerate() {
            let start = "each member of this list must be '*' or a DNS-1123 label; ";
            let wrong = names::dns1123_label(namespace).into_iter().map(|error| format!("{start}{error}"));
            let path = namespaces_path.index(i);
            errors.extend(wrong.map(|error| FieldError::invalid(&path, namespace.as_str(), error)));
        }
    }
    errors
}

fn path_rule(path: &Path, own: &NonResourcePolicyRule) -> Vec<FieldError> {
    let urls_path = path.child("nonResourceURLs");
    let mut errors = verbs(path, &own.verbs);
    let absent = "nonResourceURLs must contain at least one value";
    errors.extend(some_or_all(&urls_path, &own.non_resource_urls, absent, "non-resource URLs"));
    if !has_wildcard(&own.non_resource_urls) {
        let indexed = own.non_resource_urls.iter().enumerate();
        errors.extend(indexed.filter_map(|(i, url)| url_path(&urls_path.index(i), url)));
    }
    errors
}

fn url_path(path: &Path, url: &str) -> Option<FieldError> {
    let stars = url.matches('*').count();
    let wrong = match url {
        "" => "must not be empty",
        "/" => return None,
        url if !url.starts_with('/') => "must start with slash",
        url if url.contains(' ') => "must not contain white-space",
        url if url.contains("//") => "must not contain double slash",
        url if stars > 1 || (stars == 1 && !url.ends_with("/*")) => "wildcard can only do suffix matching",
        _ => return None,
    };
    Some(FieldError::invalid(path, url, wrong))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn schema(name: &str, spec: Value) -> FlowSchema {
        let mut schema: FlowSchema = serde_json::from_value(json!({"metadata": {"name": name}, "spec": spec})).unwrap();
        schema.set_defaults();
        schema
    }

    #[test]
    fn mistakes_are_told() {
        let level = json!({"name": "p"});
        let rules = |rule: Value| {
            let mut rules = json!({"subjects": [{"kind": "User", "user": {"name": "*"}}]});
            rules.as_object_mut().unwrap().extend(rule.as_object().unwrap().clone());
            json!({"priorityLevelConfiguration": level, "rules": [rules]})
        };
        let cases = [
            (json!({"priorityLevelConfiguration": level}), vec![]),
            (
                json!({"matchingPrecedence": 1}),
                vec![
                    "spec.matchingPrecedence: Invalid value: 1: only the schema named 'exempt' may have matchingPrecedence 1",
                    "spec.priorityLevelConfiguration.name: Required value: must reference a priority level",
                ],
            ),
            (
                rules(json!({"subjects": [{"kind": "User", "group": {"name": "a"}}]})),
                vec![
                    "spec.rules[0].subjects[0].user: Required value: user is required when subject kind is 'User'",
                    "spec.rules[0].subjects[0].group: Forbidden: group is forbidden when subject kind is not 'Group'",
                    "spec.rules[0]: Required value: at least one of resourceRules and nonResourceRules has to be non-empty",
                ],
            ),
            (
                rules(
                    json!({"resourceRules": [{"verbs": ["*", "get"], "apiGroups": [], "resources": ["a"], "namespaces": ["A"]}]}),
                ),
                vec![
                    r#"spec.rules[0].resourceRules[0].verbs: Invalid value: ["*","get"]: if '*' is present, must not specify other verbs"#,
                    "spec.rules[0].resourceRules[0].apiGroups: Required value: resource rules must supply at least one api group",
                    r#"spec.rules[0].resourceRules[0].namespaces[0]: Invalid value: "A": each member of this list must be '*' or a DNS-1123 label; a lowercase"#,
                ],
            ),
            (
                rules(json!({"nonResourceRules": [{"verbs": ["get"], "nonResourceURLs": ["a", "/a*b"]}]})),
                vec![
                    r#"spec.rules[0].nonResourceRules[0].nonResourceURLs[0]: Invalid value: "a": must start with slash"#,
                    r#"spec.rules[0].nonResourceRules[0].nonResourceURLs[1]: Invalid value: "/a*b": wildcard can only do suffix matching"#,
                ],
            ),
        ];
        for (spec, expected) in cases {
            let errors: Vec<String> = schema("s", spec).validate().iter().map(ToString::to_string).collect();
            assert_eq!(errors.len(), expected.len(), "{errors:?}");
            assert!(errors.iter().zip(expected).all(|(error, expected)| error.starts_with(expected)), "{errors:?}");
        }
    }

    #[test]
    fn mandatory_schemas_are_fixed() {
        let mut exempt = bootstrap::flow_schema(EXEMPT).unwrap();
        assert!(exempt.validate().is_empty());
        exempt.spec.as_mut().unwrap().rules = None;
        assert!(exempt.validate()[0].to_string().ends_with("spec of 'exempt' must equal the fixed value"));
    }
}
