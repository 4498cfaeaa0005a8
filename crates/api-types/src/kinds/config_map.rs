//! `v1.ConfigMap`.

use serde_json::Value;

use crate::{
    core::ConfigMap,
    field::{FieldError, Path},
    object::{Column, Kind},
    table,
    validation::keyed_data::{self, KeyedData},
};

impl Kind for ConfigMap {
    const COLUMNS: &'static [Column] = &[
        Column::NAME,
        Column::text(
            "Data",
            "Data contains the configuration data. Each key must consist of alphanumeric characters, '-', '_' or '.'. Values with non-UTF-8 byte sequences must use the BinaryData field. The keys stored in Data must not overlap with the keys in the BinaryData field, this is enforced during validation process.",
        ),
        Column::AGE,
    ];

    fn validate(&self) -> Vec<FieldError> {
        let mut errors = data(self).validate();
        for key in self.data.iter().flatten().map(|(key, _)| key) {
            if self.binary_data.as_ref().is_some_and(|binary| binary.contains_key(key)) {
                errors.push(FieldError::invalid(
                    &Path::new("data").key(key),
                    key.as_str(),
                    "duplicate of key present in binaryData",
                ));
            }
        }
        errors
    }

    fn validate_update(&self, old: &Self) -> Vec<FieldError> {
        keyed_data::validate_update(&data(self), &data(old))
    }

    fn cells(&self) -> Vec<Value> {
        let keys = self.data.as_ref().map_or(0, |data| data.len());
        let binary_keys = self.binary_data.as_ref().map_or(0, |data| data.len());
        vec![
            self.metadata.name.clone().into(),
            (keys + binary_keys).into(),
            table::age(self.metadata.creation_timestamp.as_ref()).into(),
        ]
    }
}

fn data(config_map: &ConfigMap) -> KeyedData<'_> {
    KeyedData {
        texts: ("data", config_map.data.as_ref()),
        bytes: ("binaryData", config_map.binary_data.as_ref()),
        immutable: config_map.immutable == Some(true),
        whole: "",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn errors(value: Value) -> Vec<String> {
        let config_map: ConfigMap = serde_json::from_value(value).unwrap();
        config_map.validate().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn keys_are_checked() {
        assert_eq!(errors(json!({"data": {"a.b": "x"}, "binaryData": {"c": "AA=="}})), Vec::<String>::new());
        assert_eq!(
            errors(json!({"data": {"a": "x"}, "binaryData": {"a": "AA=="}})),
            [r#"data[a]: Invalid value: "a": duplicate of key present in binaryData"#]
        );
        let malformed = errors(json!({"data": {"a b": "x"}}));
        assert!(malformed[0].starts_with(r#"data[a b]: Invalid value: "a b": a valid config key must consist of"#));
    }

    #[test]
    fn an_immutable_one_stays() {
        let make = |value: Value| serde_json::from_value::<ConfigMap>(value).unwrap();
        let old = make(json!({"immutable": true, "data": {"a": "1"}}));
        let changed = make(json!({"data": {"a": "2"}}));
        let errors: Vec<String> = changed.validate_update(&old).iter().map(ToString::to_string).collect();
        assert_eq!(
            errors,
            [
                "immutable: Forbidden: field is immutable when `immutable` is set",
                "data: Forbidden: field is immutable when `immutable` is set"
            ]
        );
        assert!(old.validate_update(&old).is_empty());
    }
}
