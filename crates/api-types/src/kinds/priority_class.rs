//! `scheduling.k8s.io/v1.PriorityClass`.

use serde_json::Value;

use crate::{
    field::{FieldError, Path},
    object::{Column, Kind},
    scheduling::PriorityClass,
    table,
    validation::{meta::immutable, names},
};

/// The classes that every cluster has, from the least: name, value and description.
pub const SYSTEM_PRIORITY_CLASSES: [(&str, i32, &str); 2] = [
    (
        "system-cluster-critical",
        2_000_000_000,
        "Used for system critical pods that must run in the cluster, but can be moved to another node if necessary.",
    ),
    (
        "system-node-critical",
        2_000_001_000,
        "Used for system critical pods that must not be moved from their current node.",
    ),
];

const SYSTEM_PREFIX: &str = "system-";
const MOST_OF_USERS: i32 = 1_000_000_000;
const POLICIES: &[&str] = &["PreemptLowerPriority", "Never"];

impl Kind for PriorityClass {
    const COLUMNS: &'static [Column] = &[
        Column::NAME,
        Column::integer("Value", VALUE),
        Column::boolean("Global-Default", GLOBAL_DEFAULT),
        Column::AGE,
        Column::text("PreemptionPolicy", PREEMPTION_POLICY),
    ];

    fn set_defaults(&mut self) {
        self.value.get_or_insert_default();
        self.preemption_policy.get_or_insert_with(|| POLICIES[0].to_owned());
    }

    fn validate(&self) -> Vec<FieldError> {
        let mut errors = Vec::new();
        if let Some(why) = system_name(self) {
            let detail =
                format!("priority class names with 'system-' prefix are reserved for system use only. error: {why}");
            errors.push(FieldError::forbidden(&Path::new("metadata").child("name"), detail));
        } else if self.value > Some(MOST_OF_USERS) && !has_system_name(self) {
            let detail = format!("maximum allowed value of a user defined priority is {MOST_OF_USERS}");
            errors.push(FieldError::forbidden(&Path::new("value"), detail));
        }
        let policy = self.preemption_policy.as_deref();
        errors.extend(policy.and_then(|own| names::one_of(&Path::new("preemptionPolicy"), Some(own), POLICIES)));
        errors
    }

    /// Nothing that is checked of a new class may change.
    fn revalidate(&self, _old: &Self) -> Vec<FieldError> {
        Vec::new()
    }

    fn validate_update(&self, old: &Self) -> Vec<FieldError> {
        let mut errors = Vec::new();
        if self.value != old.value {
            errors.push(FieldError::forbidden(&Path::new("value"), "may not be changed in an update."));
        }
        errors.extend(immutable(&Path::new("preemptionPolicy"), &self.preemption_policy, &old.preemption_policy));
        errors
    }

    fn cells(&self) -> Vec<Value> {
        vec![
            self.metadata.name.clone().into(),
            self.value.into(),
            self.global_default.unwrap_or_default().into(),
            table::age(self.metadata.creation_timestamp.as_ref()).into(),
            self.preemption_policy.clone().unwrap_or_default().into(),
        ]
    }
}

fn has_system_name(class: &PriorityClass) -> bool {
    class.metadata.name.as_deref().unwrap_or_default().starts_with(SYSTEM_PREFIX)
}

/// Why a class may not have the name of a class of the system.
fn system_name(class: &PriorityClass) -> Option<String> {
    let name = class.metadata.name.as_deref().filter(|_| has_system_name(class))?;
    let Some((_, value, _)) = SYSTEM_PRIORITY_CLASSES.iter().find(|(own, ..)| *own == name) else {
        return Some(format!("{name} is not a known system priority class"));
    };
    if class.value != Some(*value) {
        return Some(format!("value of {name} PriorityClass must be {value}"));
    }
    (class.global_default == Some(true)).then(|| format!("globalDefault of {name} PriorityClass must be false"))
}

const VALUE: &str = "value represents the integer value of this priority class. This is the actual priority that pods receive when they have the name of this class in their pod spec.";
const GLOBAL_DEFAULT: &str = "globalDefault specifies whether this PriorityClass should be considered as the default priority for pods that do not have any priority class. Only one PriorityClass can be marked as `globalDefault`. However, if more than one PriorityClasses exists with their `globalDefault` field set to true, the smallest value of such global default PriorityClasses will be used as the default priority.";
const PREEMPTION_POLICY: &str = "preemptionPolicy is the Policy for preempting pods with lower priority. One of Never, PreemptLowerPriority. Defaults to PreemptLowerPriority if unset.";

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn names_and_values_of_the_system_are_reserved() {
        let cases = [
            (json!({"metadata": {"name": "a"}, "value": 1_000_000_000}), vec![]),
            (json!({"metadata": {"name": "system-node-critical"}, "value": 2_000_001_000}), vec![]),
            (
                json!({"metadata": {"name": "a"}, "value": 1_000_000_001, "preemptionPolicy": "x"}),
                vec![
                    "value: Forbidden: maximum allowed value of a user defined priority is 1000000000",
                    r#"preemptionPolicy: Unsupported value: "x": supported values: "Never", "PreemptLowerPriority""#,
                ],
            ),
            (
                json!({"metadata": {"name": "system-x"}, "value": 1}),
                vec![
                    "metadata.name: Forbidden: priority class names with 'system-' prefix are reserved for system use only. error: system-x is not a known system priority class",
                ],
            ),
            (
                json!({"metadata": {"name": "system-node-critical"}, "value": 1}),
                vec![
                    "metadata.name: Forbidden: priority class names with 'system-' prefix are reserved for system use only. error: value of system-node-critical PriorityClass must be 2000001000",
                ],
            ),
        ];
        for (value, expected) in cases {
            let class: PriorityClass = serde_json::from_value(value).unwrap();
            let errors: Vec<String> = class.validate().iter().map(ToString::to_string).collect();
            assert_eq!(errors, expected);
        }
    }
}
