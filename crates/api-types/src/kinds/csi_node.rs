//! `storage.k8s.io/v1.CSINode`.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::{
    field::{FieldError, Path},
    object::{Column, Kind},
    storage::{CSINode, CSINodeDriver},
    table,
    validation::{names, number, volume},
};

const NODE_ID_MAX: usize = 256;

impl Kind for CSINode {
    const COLUMNS: &'static [Column] = &[
        Column::NAME,
        Column::integer("Drivers", "Drivers indicates the number of CSI drivers registered on the node"),
        Column::AGE,
    ];

    fn validate(&self) -> Vec<FieldError> {
        let path = Path::new("spec").child("drivers");
        let mut errors = Vec::new();
        let mut taken = BTreeSet::new();
        for (i, driver) in self.spec.drivers.iter().enumerate() {
            let path = path.index(i);
            errors.extend(validate_driver(&path, driver));
            if !taken.insert(&driver.name) {
                errors.push(FieldError::duplicate(&path.child("name"), driver.name.as_str()));
            }
            errors.extend(topology_keys(&path.child("topologyKeys"), driver));
        }
        errors
    }

    fn validate_update(&self, old: &Self) -> Vec<FieldError> {
        let mut errors = Vec::new();
        for before in &old.spec.drivers {
            for now in self.spec.drivers.iter().filter(|now| now.name == before.name) {
                let fixed = (&now.node_id, &now.topology_keys) == (&before.node_id, &before.topology_keys);
                if !fixed {
                    let value = serde_json::to_value(now).unwrap_or_default();
                    errors.push(FieldError::invalid(&Path::new("CSINodeDriver"), value, "field is immutable"));
                }
            }
        }
        errors
    }

    fn cells(&self) -> Vec<Value> {
        vec![
            self.metadata.name.clone().into(),
            self.spec.drivers.len().into(),
            table::age(self.metadata.creation_timestamp.as_ref()).into(),
        ]
    }
}

fn validate_driver(path: &Path, driver: &CSINodeDriver) -> Vec<FieldError> {
    let mut errors = volume::driver_name(&path.child("name"), &driver.name);
    errors.extend(names::required(&path.child("nodeID"), &driver.node_id));
    if driver.node_id.len() > NODE_ID_MAX {
        let detail = format!("must be {NODE_ID_MAX} characters or less");
        errors.push(FieldError::invalid(&path.child("nodeID"), driver.node_id.as_str(), detail));
    }
    if let Some(count) = driver.allocatable.as_ref().and_then(|own| own.count) {
        errors.extend(number::non_negative(&path.child("allocatable").child("count"), count));
    }
    errors
}

fn topology_keys(path: &Path, driver: &CSINodeDriver) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let mut taken = BTreeSet::new();
    for key in driver.topology_keys.iter().flatten() {
        errors.extend(names::required(path, key));
        if !taken.insert(key) {
            errors.push(FieldError::duplicate(path, key.as_str()));
        }
        let wrong = names::qualified_name(key);
        errors.extend(wrong.into_iter().map(|why| FieldError::invalid(path, driver.topology_keys.clone(), why)));
    }
    errors
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn drivers_are_told_once_and_stay() {
        let node =
            |drivers: Value| -> CSINode { serde_json::from_value(json!({"spec": {"drivers": drivers}})).unwrap() };
        let texts = |errors: Vec<FieldError>| errors.iter().map(ToString::to_string).collect::<Vec<_>>();
        let twice = node(json!([{"name": "d", "nodeID": "a"}, {"name": "d", "nodeID": ""}]));
        assert_eq!(
            texts(twice.validate()),
            ["spec.drivers[1].nodeID: Required value", r#"spec.drivers[1].name: Duplicate value: "d""#]
        );
        let old = node(json!([{"name": "d", "nodeID": "a"}]));
        assert!(
            node(json!([{"name": "d", "nodeID": "a", "allocatable": {"count": 1}}])).validate_update(&old).is_empty()
        );
        assert_eq!(
            texts(node(json!([{"name": "d", "nodeID": "b"}])).validate_update(&old)),
            [r#"CSINodeDriver: Invalid value: {"name":"d","nodeID":"b"}: field is immutable"#]
        );
    }
}
