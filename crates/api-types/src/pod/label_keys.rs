//! `matchLabelKeys` and `mismatchLabelKeys`: the pod's own labels narrow what it is compared with. They are merged into
//! the selectors once, when the pod is created, so that whoever decides reads selectors only; upstream's rule since 1.33.

use std::collections::BTreeMap;

use crate::{
    core::{Pod, PodAffinityTerm},
    meta::{LabelSelector, LabelSelectorRequirement},
};

/// Adds to the selectors of a pod's terms and constraints what its labels say under the keys that these name.
pub fn merge(pod: &mut Pod) {
    let labels = pod.metadata.labels.clone().unwrap_or_default();
    let Some(spec) = &mut pod.spec else { return };
    if let Some(affinity) = &mut spec.affinity {
        let own = affinity.pod_affinity.as_mut().map(|own| {
            (
                &mut own.required_during_scheduling_ignored_during_execution,
                &mut own.preferred_during_scheduling_ignored_during_execution,
            )
        });
        let anti = affinity.pod_anti_affinity.as_mut().map(|own| {
            (
                &mut own.required_during_scheduling_ignored_during_execution,
                &mut own.preferred_during_scheduling_ignored_during_execution,
            )
        });
        for (required, preferred) in own.into_iter().chain(anti) {
            let preferred = preferred.iter_mut().flatten().map(|weighted| &mut weighted.pod_affinity_term);
            required.iter_mut().flatten().chain(preferred).for_each(|term| merge_term(term, &labels));
        }
    }
    for constraint in spec.topology_spread_constraints.iter_mut().flatten() {
        narrow(&mut constraint.label_selector, &constraint.match_label_keys, "In", &labels);
    }
}

fn merge_term(term: &mut PodAffinityTerm, labels: &BTreeMap<String, String>) {
    narrow(&mut term.label_selector, &term.match_label_keys, "In", labels);
    narrow(&mut term.label_selector, &term.mismatch_label_keys, "NotIn", labels);
}

/// A key that the pod has no label of is passed over.
fn narrow(
    selector: &mut Option<LabelSelector>,
    keys: &Option<Vec<String>>,
    operator: &str,
    labels: &BTreeMap<String, String>,
) {
    let Some(selector) = selector else { return };
    let known = keys.iter().flatten().filter_map(|key| labels.get_key_value(key));
    let more = known.map(|(key, value)| LabelSelectorRequirement {
        key: key.clone(),
        operator: operator.to_owned(),
        values: Some(vec![value.clone()]),
    });
    let more: Vec<LabelSelectorRequirement> = more.collect();
    if !more.is_empty() {
        selector.match_expressions.get_or_insert_default().extend(more);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn selectors_are_narrowed_by_the_pods_labels() {
        let term = |selector: Value| json!({"topologyKey": "zone", "labelSelector": selector, "matchLabelKeys": ["a", "absent"], "mismatchLabelKeys": ["b"]});
        let pod = |selector: Value| {
            json!({
                "metadata": {"labels": {"a": "1", "b": "2"}},
                "spec": {
                    "containers": [],
                    "affinity": {
                        "podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term(selector.clone())]},
                        "podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [
                            {"weight": 1, "podAffinityTerm": term(selector.clone())},
                        ]},
                    },
                    "topologySpreadConstraints": [{
                        "maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule",
                        "labelSelector": selector, "matchLabelKeys": ["b"],
                    }],
                },
            })
        };
        let (own, other) = (
            json!({"key": "a", "operator": "In", "values": ["1"]}),
            json!({"key": "b", "operator": "NotIn", "values": ["2"]}),
        );
        let mut merged: Pod = serde_json::from_value(pod(json!({"matchLabels": {"c": "3"}}))).unwrap();
        merge(&mut merged);
        let spec = serde_json::to_value(merged.spec.unwrap()).unwrap();
        let required = &spec["affinity"]["podAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"][0];
        let preferred = &spec["affinity"]["podAntiAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"][0];
        for term in [required, &preferred["podAffinityTerm"]] {
            let expected = json!({"matchLabels": {"c": "3"}, "matchExpressions": [own, other]});
            assert_eq!(term["labelSelector"], expected);
        }
        let constraint = &spec["topologySpreadConstraints"][0]["labelSelector"]["matchExpressions"];
        assert_eq!(*constraint, json!([{"key": "b", "operator": "In", "values": ["2"]}]));

        let mut without: Pod = serde_json::from_value(pod(Value::Null)).unwrap();
        let before = without.clone();
        merge(&mut without);
        assert_eq!(without, before, "no selector, nothing to narrow");
    }
}
