//! `v1.ResourceQuota`.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::{
    core::{ResourceQuota, ResourceQuotaSpec, ScopedResourceSelectorRequirement},
    field::{FieldError, Path},
    object::{Column, Kind},
    quantity::{self, Wire},
    table,
    validation::{quantity as amounts, resource_names},
};

/// Scopes, and which resources they can tell apart; none for all.
const SCOPES: [(&str, &[&str]); 7] = [
    ("Terminating", OF_PODS),
    ("NotTerminating", OF_PODS),
    ("BestEffort", &["pods"]),
    ("NotBestEffort", OF_PODS),
    ("PriorityClass", OF_PODS),
    ("CrossNamespacePodAffinity", OF_PODS),
    ("VolumeAttributesClass", &["persistentvolumeclaims", "requests.storage"]),
];
const OF_PODS: &[&str] = &["pods", "cpu", "memory", "limits.cpu", "limits.memory", "requests.cpu", "requests.memory"];
/// These only exist or do not.
const WITHOUT_VALUES: &[&str] =
    &["BestEffort", "NotBestEffort", "Terminating", "NotTerminating", "CrossNamespacePodAffinity"];
const CONTRARY: [[&str; 2]; 2] = [["BestEffort", "NotBestEffort"], ["Terminating", "NotTerminating"]];
const NOT_EXIST: &str = "must be 'Exist' when scope is any of ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating, ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity";

type List = BTreeMap<String, Wire>;

impl Kind for ResourceQuota {
    const COLUMNS: &'static [Column] = &[
        Column::NAME,
        Column::text("Request", "Request represents a minimum amount of cpu/memory that a container may consume."),
        Column::text(
            "Limit",
            "Limits control the maximum amount of cpu/memory that a container may use independent of contention on the node.",
        ),
        Column::AGE,
    ];

    fn set_defaults(&mut self) {
        let status = self.status.iter_mut().flat_map(|status| [&mut status.hard, &mut status.used]);
        let lists = self.spec.iter_mut().map(|spec| &mut spec.hard).chain(status);
        lists.flatten().for_each(quantity::round_to_milli);
    }

    fn validate(&self) -> Vec<FieldError> {
        let Some(spec) = &self.spec else { return Vec::new() };
        let path = Path::new("spec");
        let mut errors = hard(&path.child("hard"), spec.hard.as_ref());
        errors.extend(scopes(&path.child("scopes"), spec));
        errors.extend(scope_selector(&path.child("scopeSelector").child("matchExpressions"), spec));
        errors
    }

    fn validate_update(&self, old: &Self) -> Vec<FieldError> {
        let scopes = |quota: &Self| -> BTreeSet<String> {
            quota.spec.iter().flat_map(|spec| spec.scopes.iter().flatten().cloned()).collect()
        };
        if scopes(self) == scopes(old) {
            return Vec::new();
        }
        let own = self.spec.as_ref().and_then(|spec| spec.scopes.clone());
        vec![FieldError::invalid(&Path::new("spec").child("scopes"), own, "field is immutable")]
    }

    fn validate_status_update(&self, _old: &Self) -> Vec<FieldError> {
        let Some(status) = &self.status else { return Vec::new() };
        let path = Path::new("status");
        let mut errors = hard(&path.child("hard"), status.hard.as_ref());
        errors.extend(hard(&path.child("used"), status.used.as_ref()));
        errors
    }

    fn cells(&self) -> Vec<Value> {
        let [requests, limits] = used(self);
        vec![
            self.metadata.name.clone().into(),
            requests.into(),
            limits.into(),
            table::age(self.metadata.creation_timestamp.as_ref()).into(),
        ]
    }
}

/// `pods: 1/4, requests.cpu: 1/2` and the same of limits.
fn used(quota: &ResourceQuota) -> [String; 2] {
    let status = quota.status.as_ref();
    let list = |list: fn(&crate::core::ResourceQuotaStatus) -> &Option<List>| status.and_then(|own| list(own).as_ref());
    let (hard, used) = (list(|status| &status.hard), list(|status| &status.used));
    let [mut requests, mut limits] = [Vec::new(), Vec::new()];
    for (name, most) in hard.into_iter().flatten() {
        let used = used.and_then(|used| used.get(name)).map_or("0", |used| used.0.as_str());
        let shown = format!("{name}: {used}/{}", most.0);
        if name.starts_with("limits") { limits.push(shown) } else { requests.push(shown) }
    }
    [requests.join(", "), limits.join(", ")]
}

fn hard(path: &Path, list: Option<&List>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for (name, amount) in list.into_iter().flatten() {
        let path = path.key(name);
        errors.extend(resource_names::of_quota(&path, name));
        errors.extend(amounts::of_resource(&path, name, amount));
    }
    errors
}

fn is_known(scope: &str) -> bool {
    SCOPES.iter().any(|(name, _)| *name == scope)
}

/// Whether a scope says nothing about a resource that the quota limits.
fn misapplied<'a>(scope: &str, spec: &'a ResourceQuotaSpec) -> impl Iterator<Item = &'a String> {
    let applies = SCOPES.iter().find(|(name, _)| *name == scope).map(|(_, resources)| *resources);
    spec.hard.iter().flat_map(|list| list.keys()).filter(move |name| {
        resource_names::is_standard_of_quota(name)
            && applies.is_some_and(|resources| !resources.contains(&name.as_str()))
    })
}

fn are_contrary(scopes: &BTreeSet<&String>) -> bool {
    CONTRARY.iter().any(|pair| pair.iter().all(|scope| scopes.iter().any(|own| own == scope)))
}

fn scopes(path: &Path, spec: &ResourceQuotaSpec) -> Vec<FieldError> {
    let own = spec.scopes.as_deref().unwrap_or_default();
    let invalid = |detail| FieldError::invalid(path, own.to_vec(), detail);
    let mut errors = Vec::new();
    for scope in own {
        if !is_known(scope) {
            errors.push(invalid("unsupported scope"));
        }
        errors.extend(misapplied(scope, spec).map(|_| invalid("unsupported scope applied to resource")));
    }
    if are_contrary(&own.iter().collect()) {
        errors.push(invalid("conflicting scopes"));
    }
    errors
}

fn scope_selector(path: &Path, spec: &ResourceQuotaSpec) -> Vec<FieldError> {
    let Some(selector) = &spec.scope_selector else { return Vec::new() };
    let mut errors = Vec::new();
    let mut seen = BTreeSet::new();
    for own in selector.match_expressions.iter().flatten() {
        if !is_known(&own.scope_name) {
            errors.push(FieldError::invalid(&path.child("scopeName"), own.scope_name.as_str(), "unsupported scope"));
        }
        let value = || serde_json::to_value(selector).unwrap_or_default();
        let misapplied = misapplied(&own.scope_name, spec);
        errors.extend(misapplied.map(|_| FieldError::invalid(path, value(), "unsupported scope applied to resource")));
        errors.extend(requirement(path, own));
        seen.insert(&own.scope_name);
    }
    if are_contrary(&seen) {
        errors.push(FieldError::invalid(path, spec.scopes.clone(), "conflicting scopes"));
    }
    errors
}

fn requirement(path: &Path, own: &ScopedResourceSelectorRequirement) -> Vec<FieldError> {
    let (operator, values) = (own.operator.as_str(), own.values.as_deref().unwrap_or_default());
    let mut errors = Vec::new();
    if WITHOUT_VALUES.contains(&own.scope_name.as_str()) && operator != "Exists" {
        errors.push(FieldError::invalid(&path.child("operator"), operator, NOT_EXIST));
    }
    match operator {
        "In" | "NotIn" if values.is_empty() => {
            let detail = "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector";
            errors.push(FieldError::required(&path.child("values"), detail));
        }
        "Exists" | "DoesNotExist" if !values.is_empty() => {
            let detail = "must be no value when `operator` is 'Exists' or 'DoesNotExist' for scope selector";
            errors.push(FieldError::invalid(&path.child("values"), values.to_vec(), detail));
        }
        "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
        _ => errors.push(FieldError::invalid(&path.child("operator"), operator, "not a valid selector operator")),
    }
    errors
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn quota(spec: &Value) -> ResourceQuota {
        serde_json::from_value(json!({"metadata": {"name": "q"}, "spec": spec})).unwrap()
    }

    #[test]
    fn mistakes_are_told() {
        let cases = [
            (json!({"hard": {"pods": "1", "example.com/x": "2", "count/jobs.batch": "1"}}), vec![]),
            (json!({"hard": {"pods": "1.5"}}), vec![r#"spec.hard[pods]: Invalid value: "1500m": must be an integer"#]),
            (
                json!({"hard": {"cpu": "-1"}}),
                vec![r#"spec.hard[cpu]: Invalid value: "-1": must be greater than or equal to 0"#],
            ),
            (
                json!({"hard": {"nonsense": "1"}}),
                vec![
                    r#"spec.hard[nonsense]: Invalid value: "nonsense": must be a standard resource type or fully qualified"#,
                    r#"spec.hard[nonsense]: Invalid value: "nonsense": must be a standard resource for quota"#,
                ],
            ),
            (
                json!({"hard": {"cpu": "1"}, "scopes": ["BestEffort"]}),
                vec![r#"spec.scopes: Invalid value: ["BestEffort"]: unsupported scope applied to resource"#],
            ),
            (
                json!({"scopeSelector": {"matchExpressions": [{"scopeName": "PriorityClass", "operator": "In"}]}}),
                vec![
                    "spec.scopeSelector.matchExpressions.values: Required value: must be at least one value when `operator` is 'In' or 'NotIn' for scope selector",
                ],
            ),
        ];
        for (spec, expected) in cases {
            let errors: Vec<String> = quota(&spec).validate().iter().map(ToString::to_string).collect();
            assert_eq!(errors, expected, "{spec}");
        }
    }

    #[test]
    fn what_is_used_is_shown() {
        let mut quota = quota(&json!({}));
        quota.status = serde_json::from_value(
            json!({"hard": {"pods": "4", "limits.cpu": "2", "cpu": "1"}, "used": {"pods": "1"}}),
        )
        .unwrap();
        assert_eq!(quota.cells()[1..3], [json!("cpu: 0/1, pods: 1/4"), json!("limits.cpu: 0/2")]);
    }
}
