//! `policy/v1.PodDisruptionBudget`.

use serde_json::Value;

use crate::{
    IntOrString,
    field::{FieldError, Path},
    object::{Column, Kind},
    policy::PodDisruptionBudget,
    table,
    validation::{conditions, selector, template},
};

const EVICTION_POLICIES: &[&str] = &["AlwaysAllow", "IfHealthyBudget"];
const ABSENT: &str = "N/A";

impl Kind for PodDisruptionBudget {
    const COLUMNS: &'static [Column] = &[
        Column::NAME,
        Column::text("Min Available", "The minimum number of pods that must be available."),
        Column::text("Max Unavailable", "The maximum number of pods that may be unavailable."),
        Column::integer("Allowed Disruptions", "Calculated number of pods that may be disrupted at this time."),
        Column::AGE,
    ];

    fn set_defaults(&mut self) {
        let Some(status) = &mut self.status else { return };
        let counts = [
            &mut status.disruptions_allowed,
            &mut status.current_healthy,
            &mut status.desired_healthy,
            &mut status.expected_pods,
        ];
        for count in counts {
            count.get_or_insert(0);
        }
    }

    fn validate(&self) -> Vec<FieldError> {
        let Some(spec) = &self.spec else { return Vec::new() };
        let path = Path::new("spec");
        let mut errors = Vec::new();
        if spec.min_available.is_some() && spec.max_unavailable.is_some() {
            let value = serde_json::to_value(spec).unwrap_or_default();
            let detail = "minAvailable and maxUnavailable cannot be both set";
            errors.push(FieldError::invalid(&path, value, detail));
        }
        for (field, own) in [("minAvailable", &spec.min_available), ("maxUnavailable", &spec.max_unavailable)] {
            if let Some(own) = own {
                errors.extend(template::count_or_percent(&path.child(field), own));
                errors.extend(template::at_most_all(&path.child(field), own));
            }
        }
        if let Some(own) = &spec.selector {
            errors.extend(selector::validate(&path.child("selector"), own));
        }
        if let Some(policy) =
            spec.unhealthy_pod_eviction_policy.as_deref().filter(|own| !EVICTION_POLICIES.contains(own))
        {
            let path = path.child("unhealthyPodEvictionPolicy");
            errors.push(FieldError::not_supported(&path, policy, EVICTION_POLICIES));
        }
        errors
    }

    fn validate_status_update(&self, _old: &Self) -> Vec<FieldError> {
        let Some(status) = &self.status else { return Vec::new() };
        let path = Path::new("status");
        let own = status.conditions.as_deref().unwrap_or_default();
        let mut errors = conditions::validate(&path.child("conditions"), own);
        let counts = [
            ("disruptionsAllowed", status.disruptions_allowed),
            ("currentHealthy", status.current_healthy),
            ("desiredHealthy", status.desired_healthy),
            ("expectedPods", status.expected_pods),
        ];
        errors.extend(template::non_negative(&path, &counts));
        errors
    }

    fn cells(&self) -> Vec<Value> {
        let spec = self.spec.clone().unwrap_or_default();
        let shown = |own: Option<IntOrString>| match own {
            Some(IntOrString::Int(count)) => count.to_string(),
            Some(IntOrString::String(percent)) => percent,
            None => ABSENT.to_owned(),
        };
        let allowed = self.status.as_ref().and_then(|status| status.disruptions_allowed);
        vec![
            self.metadata.name.clone().into(),
            shown(spec.min_available).into(),
            shown(spec.max_unavailable).into(),
            allowed.unwrap_or_default().into(),
            table::age(self.metadata.creation_timestamp.as_ref()).into(),
        ]
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn mistakes_are_told() {
        let cases = [
            (json!({"minAvailable": 1}), vec![]),
            (
                json!({"minAvailable": 1, "maxUnavailable": "x"}),
                vec![
                    r#"spec: Invalid value: {"maxUnavailable":"x","minAvailable":1}: minAvailable and maxUnavailable cannot be both set"#,
                    r#"spec.maxUnavailable: Invalid value: "x": a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')"#,
                ],
            ),
            (
                json!({"unhealthyPodEvictionPolicy": "x"}),
                vec![
                    r#"spec.unhealthyPodEvictionPolicy: Unsupported value: "x": supported values: "AlwaysAllow", "IfHealthyBudget""#,
                ],
            ),
        ];
        for (spec, expected) in cases {
            let budget: PodDisruptionBudget = serde_json::from_value(json!({"spec": spec})).unwrap();
            let errors: Vec<String> = budget.validate().iter().map(ToString::to_string).collect();
            assert_eq!(errors, expected);
        }
    }
}
