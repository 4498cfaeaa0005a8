//! Where a pod may run.

use std::collections::BTreeSet;

use crate::{
    core::{
        Affinity, NodeAffinity, NodeSelector, NodeSelectorRequirement, NodeSelectorTerm, PodAffinityTerm, PodSpec,
        Toleration, TopologySpreadConstraint, WeightedPodAffinityTerm,
    },
    field::{FieldError, Path},
    validation::{names, selector, taints},
};

pub(super) fn validate(path: &Path, spec: &PodSpec) -> Vec<FieldError> {
    let mut errors = tolerations(&path.child("tolerations"), spec.tolerations.as_deref().unwrap_or_default());
    if let Some(own) = &spec.affinity {
        errors.extend(affinity(&path.child("affinity"), own));
    }
    let spread = spec.topology_spread_constraints.as_deref().unwrap_or_default();
    errors.extend(spread_constraints(&path.child("topologySpreadConstraints"), spread));
    let mut taken = BTreeSet::new();
    for (i, gate) in spec.scheduling_gates.iter().flatten().enumerate() {
        let path = path.child("schedulingGates").index(i);
        errors.extend(names::check(names::qualified_name, &path, &gate.name));
        if !taken.insert(&gate.name) {
            errors.push(FieldError::duplicate(&path, gate.name.as_str()));
        }
    }
    errors
}

pub(crate) fn tolerations(path: &Path, tolerations: &[Toleration]) -> Vec<FieldError> {
    tolerations.iter().enumerate().flat_map(|(i, own)| toleration(&path.index(i), own)).collect()
}

fn toleration(path: &Path, toleration: &Toleration) -> Vec<FieldError> {
    let (key, operator) = (toleration.key.as_deref(), toleration.operator.as_deref().unwrap_or_default());
    let value = toleration.value.as_deref().unwrap_or_default();
    let operator_path = path.child("operator");
    let mut errors = names::check_optional(names::qualified_name, &path.child("key"), key);
    if key.is_none_or(str::is_empty) && operator != "Exists" {
        let detail = "operator must be Exists when `key` is empty, which means \"match all values and all keys\"";
        errors.push(FieldError::invalid(&operator_path, operator, detail));
    }
    let effect = toleration.effect.as_deref().unwrap_or_default();
    if toleration.toleration_seconds.is_some() && effect != "NoExecute" {
        let detail = "effect must be 'NoExecute' when `tolerationSeconds` is set";
        errors.push(FieldError::invalid(&path.child("effect"), effect, detail));
    }
    match operator {
        "Equal" | "" => {
            let wrong = names::label_value(value);
            if !wrong.is_empty() {
                errors.push(FieldError::invalid(&operator_path, value, wrong.join(";")));
            }
        }
        "Exists" if !value.is_empty() => {
            let own = serde_json::to_value(toleration).unwrap_or_default();
            errors.push(FieldError::invalid(&operator_path, own, "value must be empty when `operator` is 'Exists'"));
        }
        "Exists" => {}
        other => errors.push(FieldError::not_supported(&operator_path, other, &["Equal", "Exists"])),
    }
    errors.extend(names::none_or_one_of(&path.child("effect"), Some(effect), &taints::EFFECTS));
    errors
}

fn affinity(path: &Path, affinity: &Affinity) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if let Some(own) = &affinity.node_affinity {
        errors.extend(node_affinity(&path.child("nodeAffinity"), own));
    }
    if let Some(own) = &affinity.pod_affinity {
        let required = own.required_during_scheduling_ignored_during_execution.as_deref();
        let preferred = own.preferred_during_scheduling_ignored_during_execution.as_deref();
        errors.extend(pod_affinity(&path.child("podAffinity"), required, preferred));
    }
    if let Some(own) = &affinity.pod_anti_affinity {
        let required = own.required_during_scheduling_ignored_during_execution.as_deref();
        let preferred = own.preferred_during_scheduling_ignored_during_execution.as_deref();
        errors.extend(pod_affinity(&path.child("podAntiAffinity"), required, preferred));
    }
    errors
}

/// Node affinity, as pods have it.
pub fn node_affinity(path: &Path, affinity: &NodeAffinity) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if let Some(required) = &affinity.required_during_scheduling_ignored_during_execution {
        errors.extend(node_selector(&path.child("requiredDuringSchedulingIgnoredDuringExecution"), required));
    }
    for (i, own) in affinity.preferred_during_scheduling_ignored_during_execution.iter().flatten().enumerate() {
        let path = path.child("preferredDuringSchedulingIgnoredDuringExecution").index(i);
        errors.extend(weight(&path, own.weight));
        errors.extend(node_selector_term(&path.child("preference"), &own.preference));
    }
    errors
}

/// A selector of nodes, as node affinity and volumes have it.
pub(crate) fn node_selector(path: &Path, selector: &NodeSelector) -> Vec<FieldError> {
    let path = path.child("nodeSelectorTerms");
    let mut errors = Vec::new();
    if selector.node_selector_terms.is_empty() {
        errors.push(FieldError::required(&path, "must have at least one node selector term"));
    }
    for (i, term) in selector.node_selector_terms.iter().enumerate() {
        errors.extend(node_selector_term(&path.index(i), term));
        errors.extend(node_selector_values(&path.index(i), term));
    }
    errors
}

/// Nodes have labels, so that no other values are ever found.
fn node_selector_values(path: &Path, term: &NodeSelectorTerm) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for (i, own) in term.match_expressions.iter().flatten().enumerate() {
        let path = path.child("matchExpressions").index(i).child("values");
        for (j, value) in own.values.iter().flatten().enumerate() {
            errors.extend(names::check(names::label_value, &path.index(j), value));
        }
    }
    errors
}

fn weight(path: &Path, weight: i32) -> Option<FieldError> {
    let wrong = !(1..=100).contains(&weight);
    wrong.then(|| FieldError::invalid(&path.child("weight"), weight, "must be in the range 1-100"))
}

fn node_selector_term(path: &Path, term: &NodeSelectorTerm) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for (i, own) in term.match_expressions.iter().flatten().enumerate() {
        let path = path.child("matchExpressions").index(i);
        errors.extend(node_selector_requirement(&path, own));
        errors.extend(names::check(names::qualified_name, &path.child("key"), &own.key));
    }
    for (i, own) in term.match_fields.iter().flatten().enumerate() {
        let path = path.child("matchFields").index(i);
        if own.key != "metadata.name" {
            let detail = "not a valid field selector key";
            errors.push(FieldError::invalid(&path.child("key"), own.key.as_str(), detail));
        }
        if !matches!(own.operator.as_str(), "In" | "NotIn") {
            let detail = "not a valid selector operator";
            errors.push(FieldError::invalid(&path.child("operator"), own.operator.as_str(), detail));
        } else if own.values.as_ref().is_none_or(|values| values.len() != 1) {
            let detail = "must be only one value when `operator` is 'In' or 'NotIn' for node field selector";
            errors.push(FieldError::required(&path.child("values"), detail));
        }
    }
    errors
}

fn node_selector_requirement(path: &Path, requirement: &NodeSelectorRequirement) -> Option<FieldError> {
    let values = requirement.values.as_deref().unwrap_or_default();
    let values_path = path.child("values");
    match requirement.operator.as_str() {
        "In" | "NotIn" if values.is_empty() => {
            Some(FieldError::required(&values_path, "must be specified when `operator` is 'In' or 'NotIn'"))
        }
        "Exists" | "DoesNotExist" if !values.is_empty() => Some(FieldError::forbidden(
            &values_path,
            "may not be specified when `operator` is 'Exists' or 'DoesNotExist'",
        )),
        "Gt" | "Lt" if values.len() != 1 => {
            Some(FieldError::required(&values_path, "must be specified single value when `operator` is 'Lt' or 'Gt'"))
        }
        "In" | "NotIn" | "Exists" | "DoesNotExist" | "Gt" | "Lt" => None,
        other => Some(FieldError::invalid(&path.child("operator"), other, "not a valid selector operator")),
    }
}

fn pod_affinity(
    path: &Path,
    required: Option<&[PodAffinityTerm]>,
    preferred: Option<&[WeightedPodAffinityTerm]>,
) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for (i, term) in required.into_iter().flatten().enumerate() {
        let path = path.child("requiredDuringSchedulingIgnoredDuringExecution").index(i);
        errors.extend(pod_affinity_term(&path, term));
    }
    for (i, own) in preferred.into_iter().flatten().enumerate() {
        let path = path.child("preferredDuringSchedulingIgnoredDuringExecution").index(i);
        errors.extend(weight(&path, own.weight));
        errors.extend(pod_affinity_term(&path.child("podAffinityTerm"), &own.pod_affinity_term));
    }
    errors
}

fn pod_affinity_term(path: &Path, term: &PodAffinityTerm) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for (field, own) in [("labelSelector", &term.label_selector), ("namespaceSelector", &term.namespace_selector)] {
        if let Some(own) = own {
            errors.extend(selector::validate(&path.child(field), own));
        }
    }
    for namespace in term.namespaces.iter().flatten() {
        errors.extend(names::check(names::dns1123_label, &path.child("namespace"), namespace));
    }
    errors.extend(topology_key(path, &term.topology_key));
    errors
}

fn topology_key(path: &Path, key: &str) -> Vec<FieldError> {
    let path = path.child("topologyKey");
    if key.is_empty() {
        return vec![FieldError::required(&path, "can not be empty")];
    }
    names::check(names::qualified_name, &path, key)
}

fn spread_constraints(path: &Path, constraints: &[TopologySpreadConstraint]) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let mut taken = BTreeSet::new();
    for (i, own) in constraints.iter().enumerate() {
        let path = path.index(i);
        if own.max_skew <= 0 {
            errors.push(FieldError::invalid(&path.child("maxSkew"), own.max_skew, "must be greater than zero"));
        }
        errors.extend(topology_key(&path, &own.topology_key));
        let (when, allowed) = (own.when_unsatisfiable.as_str(), ["DoNotSchedule", "ScheduleAnyway"]);
        if !allowed.contains(&when) {
            errors.push(FieldError::not_supported(&path.child("whenUnsatisfiable"), when, &allowed));
        }
        if !taken.insert((&own.topology_key, when)) {
            let pair = format!("{{{}, {when}}}", own.topology_key);
            errors.push(FieldError::duplicate(&path.child("{topologyKey, whenUnsatisfiable}"), pair));
        }
        errors.extend(min_domains(&path.child("minDomains"), own));
        let policies =
            [("nodeAffinityPolicy", &own.node_affinity_policy), ("nodeTaintsPolicy", &own.node_taints_policy)];
        for (field, policy) in policies {
            if let Some(policy) = policy.as_deref().filter(|policy| !matches!(*policy, "Honor" | "Ignore")) {
                errors.push(FieldError::not_supported(&path.child(field), policy, &["Honor", "Ignore"]));
            }
        }
        errors.extend(match_label_keys(&path.child("matchLabelKeys"), own));
        if let Some(own) = &own.label_selector {
            errors.extend(selector::validate(&path.child("labelSelector"), own));
        }
    }
    errors
}

fn min_domains(path: &Path, constraint: &TopologySpreadConstraint) -> Vec<FieldError> {
    let Some(min) = constraint.min_domains else { return Vec::new() };
    let mut errors = Vec::new();
    if min <= 0 {
        errors.push(FieldError::invalid(path, min, "must be greater than zero"));
    }
    let when = constraint.when_unsatisfiable.as_str();
    if when != "DoNotSchedule" {
        let detail = format!("can only use minDomains if whenUnsatisfiable=DoNotSchedule, not {when}");
        errors.push(FieldError::invalid(path, min, detail));
    }
    errors
}

fn match_label_keys(path: &Path, constraint: &TopologySpreadConstraint) -> Vec<FieldError> {
    let keys = constraint.match_label_keys.as_deref().unwrap_or_default();
    if keys.is_empty() {
        return Vec::new();
    }
    let mut errors = Vec::new();
    let selector = constraint.label_selector.as_ref();
    if selector.is_none() {
        errors.push(FieldError::forbidden(path, "must not be specified when labelSelector is not set"));
    }
    let labels = selector.and_then(|selector| selector.match_labels.as_ref()).into_iter().flatten();
    let expressions = selector.and_then(|selector| selector.match_expressions.as_ref()).into_iter().flatten();
    let named: BTreeSet<&String> = labels.map(|(key, _)| key).chain(expressions.map(|own| &own.key)).collect();
    for (i, key) in keys.iter().enumerate() {
        errors.extend(names::check(names::qualified_name, &path.index(i), key));
        if named.contains(key) {
            let detail = "exists in both matchLabelKeys and labelSelector";
            errors.push(FieldError::invalid(&path.index(i), key.as_str(), detail));
        }
    }
    errors
}
