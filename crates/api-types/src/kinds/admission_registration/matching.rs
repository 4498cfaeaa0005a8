//! Which requests somebody is asked about: the same rules for webhooks and policies.

use std::collections::BTreeSet;

use crate::{
    admissionregistration::{MatchCondition, MatchResources, NamedRuleWithOperations, RuleWithOperations},
    expressions::{self, Admission},
    field::{FieldError, Path},
    pod_spec::defaults::default_text,
    validation::{names, selector},
};

const OPERATIONS: [&str; 5] = ["*", "CONNECT", "CREATE", "DELETE", "UPDATE"];
const SCOPES: [&str; 3] = ["*", "Cluster", "Namespaced"];
pub(super) const FAILURE_POLICIES: [&str; 2] = ["Fail", "Ignore"];
pub(super) const MATCH_POLICIES: [&str; 2] = ["Equivalent", "Exact"];
pub(super) const REINVOCATION_POLICIES: [&str; 2] = ["IfNeeded", "Never"];
/// The most conditions that a webhook or policy may have.
const MAX_CONDITIONS: usize = 64;

/// Which requests a rule is about.
pub(super) struct Rule<'a> {
    operations: &'a [String],
    groups: &'a [String],
    versions: &'a [String],
    resources: &'a [String],
    scope: Option<&'a str>,
}

/// Implements the view for a type with the same fields.
macro_rules! rule_of {
    ($($kind:ty),*) => {
        $(impl<'a> From<&'a $kind> for Rule<'a> {
            fn from(rule: &'a $kind) -> Self {
                Self {
                    operations: rule.operations.as_deref().unwrap_or_default(),
                    groups: rule.api_groups.as_deref().unwrap_or_default(),
                    versions: rule.api_versions.as_deref().unwrap_or_default(),
                    resources: rule.resources.as_deref().unwrap_or_default(),
                    scope: rule.scope.as_deref(),
                }
            }
        })*
    };
}

rule_of!(RuleWithOperations, NamedRuleWithOperations);

/// Rules are about objects inside and outside of namespaces unless they say otherwise.
pub(super) fn default_scope(scope: &mut Option<String>) {
    default_text(scope, "*");
}

/// Fills in what resources a policy matches when it leaves that open.
pub(super) fn default_resources(resources: &mut MatchResources) {
    default_text(&mut resources.match_policy, "Equivalent");
    resources.namespace_selector.get_or_insert_default();
    resources.object_selector.get_or_insert_default();
    let rules = resources.resource_rules.iter_mut().chain(resources.exclude_resource_rules.iter_mut()).flatten();
    for rule in rules {
        default_scope(&mut rule.scope);
    }
}

fn has_wildcard(values: &[String]) -> bool {
    values.iter().any(|value| value == "*")
}

/// An error when `*` is not alone.
fn lone_wildcard(path: &Path, values: &[String], what: &str) -> Option<FieldError> {
    let detail = format!("if '*' is present, must not specify other {what}");
    (values.len() > 1 && has_wildcard(values)).then(|| FieldError::invalid(path, values.to_vec(), detail))
}

fn required_list(path: &Path, values: &[String]) -> Option<FieldError> {
    values.is_empty().then(|| FieldError::required(path, ""))
}

pub(super) fn rule<'a>(path: &Path, rule: impl Into<Rule<'a>>) -> Vec<FieldError> {
    let rule = rule.into();
    let (operations_path, groups_path) = (path.child("operations"), path.child("apiGroups"));
    let versions_path = path.child("apiVersions");
    let mut errors = Vec::new();
    errors.extend(required_list(&operations_path, rule.operations));
    errors.extend(lone_wildcard(&operations_path, rule.operations, "operations"));
    for (i, operation) in rule.operations.iter().enumerate() {
        if !OPERATIONS.contains(&operation.as_str()) {
            errors.push(FieldError::not_supported(&operations_path.index(i), operation.as_str(), &OPERATIONS));
        }
    }
    errors.extend(required_list(&groups_path, rule.groups));
    errors.extend(lone_wildcard(&groups_path, rule.groups, "API groups"));
    errors.extend(required_list(&versions_path, rule.versions));
    errors.extend(lone_wildcard(&versions_path, rule.versions, "API versions"));
    let empty = rule.versions.iter().enumerate().filter(|(_, version)| version.is_empty());
    errors.extend(empty.map(|(i, _)| FieldError::required(&versions_path.index(i), "")));
    errors.extend(resources(&path.child("resources"), rule.resources));
    if let Some(scope) = rule.scope.filter(|scope| !SCOPES.contains(scope)) {
        errors.push(FieldError::not_supported(&path.child("scope"), scope, &SCOPES));
    }
    errors
}

fn resources(path: &Path, resources: &[String]) -> Vec<FieldError> {
    let mut errors: Vec<FieldError> = required_list(path, resources).into_iter().collect();
    // What `x/*` and `*/x` have spoken for already.
    let (mut whole, mut everywhere) = (BTreeSet::new(), BTreeSet::new());
    let mut plain = false;
    for (i, own) in resources.iter().enumerate() {
        let path = path.index(i);
        if own.is_empty() {
            errors.push(FieldError::required(&path, ""));
            continue;
        }
        let Some((resource, sub)) = own.split_once('/') else {
            plain = own != "*";
            continue;
        };
        let mut wrong = |pattern: String| {
            let detail = format!("if '{pattern}' is present, must not specify {own}");
            errors.push(FieldError::invalid(&path, own.as_str(), detail));
        };
        if whole.contains(resource) {
            wrong(format!("{resource}/*"));
        }
        if everywhere.contains(sub) {
            wrong(format!("*/{sub}"));
        }
        if sub == "*" {
            whole.insert(resource);
        }
        if resource == "*" {
            everywhere.insert(sub);
        }
    }
    if resources.len() > 1 && resources.iter().any(|own| own == "*/*") {
        let detail = "if '*/*' is present, must not specify other resources";
        errors.push(FieldError::invalid(path, resources.to_vec(), detail));
    }
    if plain && has_wildcard(resources) {
        let detail = "if '*' is present, must not specify other resources without subresources";
        errors.push(FieldError::invalid(path, resources.to_vec(), detail));
    }
    errors
}

fn named_rule(path: &Path, own: &NamedRuleWithOperations) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let mut seen = BTreeSet::new();
    for (i, name) in own.resource_names.iter().flatten().enumerate() {
        let path = path.child("resourceNames").index(i);
        errors.extend(names::check(names::path_segment, &path, name));
        if !seen.insert(name) {
            errors.push(FieldError::duplicate(&path, name.as_str()));
        }
    }
    errors.extend(rule(path, own));
    errors
}

/// What a policy or a binding of one matches.
pub(super) fn match_resources(path: &Path, own: &MatchResources) -> Vec<FieldError> {
    let mut errors: Vec<FieldError> =
        names::one_of(&path.child("matchPolicy"), own.match_policy.as_deref(), &MATCH_POLICIES).into_iter().collect();
    let selectors = [("namespaceSelector", &own.namespace_selector), ("objectSelector", &own.object_selector)];
    for (field, own) in selectors {
        let path = path.child(field);
        match own {
            None => errors.push(FieldError::required(&path, "")),
            Some(own) => errors.extend(selector::validate(&path, own)),
        }
    }
    let rules = [("resourceRules", &own.resource_rules), ("excludeResourceRules", &own.exclude_resource_rules)];
    for (field, own) in rules {
        let indexed = own.iter().flatten().enumerate();
        errors.extend(indexed.flat_map(|(i, own)| named_rule(&path.child(field).index(i), own)));
    }
    errors
}

/// Conditions in CEL, each under a name.
pub(super) fn conditions(path: &Path, conditions: &[MatchCondition], admission: &Admission) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if conditions.len() > MAX_CONDITIONS {
        errors.push(FieldError::too_many(path, conditions.len(), MAX_CONDITIONS));
    }
    let mut seen = BTreeSet::new();
    for (i, own) in conditions.iter().enumerate() {
        let path = path.index(i);
        let (expression, expression_path) = (own.expression.trim(), path.child("expression"));
        if expression.is_empty() {
            errors.push(FieldError::required(&expression_path, ""));
        } else {
            errors.extend(expressions::check(&expression_path, expression, admission.condition(expression)));
        }
        errors.extend(names::required_name(names::qualified_name, &path.child("name"), &own.name));
        if !own.name.is_empty() && !seen.insert(own.name.as_str()) {
            errors.push(FieldError::duplicate(&path.child("name"), own.name.as_str()));
        }
    }
    errors
}
