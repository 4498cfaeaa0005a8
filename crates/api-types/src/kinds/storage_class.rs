//! `storage.k8s.io/v1.StorageClass`.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::{
    core::TopologySelectorTerm,
    field::{FieldError, Path},
    object::{Column, Kind},
    pod_spec::{defaults::default_text, warnings},
    storage::StorageClass,
    table,
    validation::{
        meta::immutable,
        names::{self, none_or_one_of},
        volume,
    },
};

const DEFAULT_ANNOTATIONS: [&str; 2] =
    ["storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class"];
const RECLAIM_POLICIES: &[&str] = &["Delete", "Retain"];
const BINDING_MODES: &[&str] = &["Immediate", "WaitForFirstConsumer"];

impl Kind for StorageClass {
    const COLUMNS: &'static [Column] = &[
        Column::NAME,
        Column::text("Provisioner", "provisioner indicates the type of the provisioner."),
        Column::text("ReclaimPolicy", RECLAIM_POLICY),
        Column::text("VolumeBindingMode", BINDING_MODE),
        Column::text(
            "AllowVolumeExpansion",
            "allowVolumeExpansion shows whether the storage class allow volume expand.",
        ),
        Column::AGE,
    ];

    fn set_defaults(&mut self) {
        self.reclaim_policy.get_or_insert_with(|| RECLAIM_POLICIES[0].to_owned());
        default_text(&mut self.volume_binding_mode, BINDING_MODES[0]);
    }

    fn validate(&self) -> Vec<FieldError> {
        let mut errors = volume::provisioner(&Path::new("provisioner"), &self.provisioner);
        errors.extend(volume::parameters(&Path::new("parameters"), self.parameters.as_ref()));
        errors.extend(none_or_one_of(&Path::new("reclaimPolicy"), self.reclaim_policy.as_deref(), RECLAIM_POLICIES));
        let mode = self.volume_binding_mode.as_deref();
        errors.extend(names::one_of(&Path::new("volumeBindingMode"), mode, BINDING_MODES));
        let topologies = self.allowed_topologies.as_deref().unwrap_or_default();
        errors.extend(allowed_topologies(&Path::new("allowedTopologies"), topologies));
        errors
    }

    fn validate_update(&self, old: &Self) -> Vec<FieldError> {
        let changed = [
            ("parameters", self.parameters != old.parameters),
            ("provisioner", self.provisioner != old.provisioner),
            ("reclaimPolicy", self.reclaim_policy != old.reclaim_policy),
        ];
        let changed = changed.into_iter().filter(|(_, changed)| *changed);
        let forbidden =
            |(field, _)| FieldError::forbidden(&Path::new(field), format!("updates to {field} are forbidden."));
        let mut errors: Vec<FieldError> = changed.map(forbidden).collect();
        errors.extend(immutable(&Path::new("volumeBindingMode"), &self.volume_binding_mode, &old.volume_binding_mode));
        errors
    }

    fn warnings(&self, _old: Option<&Self>) -> Vec<String> {
        let mut warnings = Vec::new();
        for (i, term) in self.allowed_topologies.iter().flatten().enumerate() {
            let path = Path::new("allowedTopologies").index(i).child("matchLabelExpressions");
            for (j, own) in term.match_label_expressions.iter().flatten().enumerate() {
                let why = warnings::of_node_label(&own.key);
                warnings.extend(why.map(|why| format!("{}: {} is {why}", path.index(j).child("key"), own.key)));
            }
        }
        warnings
    }

    fn cells(&self) -> Vec<Value> {
        let annotations = self.metadata.annotations.as_ref();
        let marked = |key: &&str| annotations.and_then(|own| own.get(*key)).is_some_and(|value| value == "true");
        let suffix = if DEFAULT_ANNOTATIONS.iter().any(marked) { " (default)" } else { "" };
        vec![
            format!("{}{suffix}", self.metadata.name.as_deref().unwrap_or_default()).into(),
            self.provisioner.clone().into(),
            self.reclaim_policy.as_deref().unwrap_or(RECLAIM_POLICIES[0]).into(),
            self.volume_binding_mode.as_deref().unwrap_or(BINDING_MODES[0]).into(),
            self.allow_volume_expansion.unwrap_or_default().into(),
            table::age(self.metadata.creation_timestamp.as_ref()).into(),
        ]
    }
}

/// Terms that differ, each with keys that differ, each with values that differ. Paths of a term's parts lack its index,
/// as upstream.
fn allowed_topologies(path: &Path, terms: &[TopologySelectorTerm]) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let mut seen = BTreeSet::new();
    for (i, term) in terms.iter().enumerate() {
        let (keys, wrong) = topology_term(&path.child("matchLabelExpressions"), term);
        errors.extend(wrong);
        if keys.is_empty() || !seen.insert(keys) {
            errors.push(FieldError::duplicate(&path.index(i).child("matchLabelExpressions"), ""));
        }
    }
    errors
}

type Keys<'a> = BTreeMap<&'a str, BTreeSet<&'a str>>;

fn topology_term<'a>(path: &Path, term: &'a TopologySelectorTerm) -> (Keys<'a>, Vec<FieldError>) {
    let mut errors = Vec::new();
    let mut keys = Keys::new();
    for (i, own) in term.match_label_expressions.iter().flatten().enumerate() {
        let path = path.index(i);
        if own.values.is_empty() {
            errors.push(FieldError::required(&path.child("values"), ""));
        }
        let mut values = BTreeSet::new();
        for (j, value) in own.values.iter().enumerate() {
            if !values.insert(value.as_str()) {
                errors.push(FieldError::duplicate(&path.child("values").index(j), value.as_str()));
            }
        }
        errors.extend(names::check(names::qualified_name, &path.child("key"), &own.key));
        if keys.contains_key(own.key.as_str()) {
            errors.push(FieldError::duplicate(&path.child("key"), own.key.as_str()));
        }
        keys.insert(&own.key, values);
    }
    (keys, errors)
}

const RECLAIM_POLICY: &str = "reclaimPolicy controls the reclaimPolicy for dynamically provisioned PersistentVolumes of this storage class. Defaults to Delete.";
const BINDING_MODE: &str = "volumeBindingMode indicates how PersistentVolumeClaims should be provisioned and bound.  When unset, VolumeBindingImmediate is used. This field is only honored by servers that enable the VolumeScheduling feature.";

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn class(value: Value) -> StorageClass {
        let mut class: StorageClass = serde_json::from_value(value).unwrap();
        class.set_defaults();
        class
    }

    fn texts(errors: &[FieldError]) -> Vec<String> {
        errors.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn mistakes_are_told() {
        let cases = [
            (json!({"provisioner": "example.com/p"}), vec![]),
            (json!({}), vec!["provisioner: Required value"]),
            (
                json!({"provisioner": "p", "reclaimPolicy": "Recycle", "parameters": {"": "x"}}),
                vec![
                    r#"parameters: Invalid value: "": field can not be empty"#,
                    r#"reclaimPolicy: Unsupported value: "Recycle": supported values: "Delete", "Retain""#,
                ],
            ),
            (
                json!({"provisioner": "p", "allowedTopologies": [{"matchLabelExpressions": [{"key": "a", "values": []}]}]}),
                vec!["allowedTopologies.matchLabelExpressions[0].values: Required value"],
            ),
        ];
        for (value, expected) in cases {
            assert_eq!(texts(&class(value).validate()), expected);
        }
    }

    #[test]
    fn next_to_nothing_may_change() {
        let old = class(json!({"provisioner": "p"}));
        let new =
            class(json!({"provisioner": "q", "parameters": {"a": "b"}, "volumeBindingMode": "WaitForFirstConsumer"}));
        assert_eq!(
            texts(&new.validate_update(&old)),
            [
                "parameters: Forbidden: updates to parameters are forbidden.",
                "provisioner: Forbidden: updates to provisioner are forbidden.",
                r#"volumeBindingMode: Invalid value: "WaitForFirstConsumer": field is immutable"#,
            ]
        );
    }
}
