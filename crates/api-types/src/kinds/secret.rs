//! `v1.Secret`.

use serde_json::Value;

use crate::{
    core::Secret,
    field::{FieldError, Path},
    k8s_openapi::ByteString,
    object::{Column, Kind, SelectableField},
    pod_spec::defaults::default_text,
    table,
    validation::{
        keyed_data::{self, KeyedData},
        meta::immutable,
    },
};

impl Kind for Secret {
    const COLUMNS: &'static [Column] = &[
        Column::NAME,
        Column::text(
            "Type",
            "Used to facilitate programmatic handling of secret data. More info: https://kubernetes.io/docs/concepts/configuration/secret/#secret-types",
        ),
        Column::text(
            "Data",
            "Data contains the secret data. Each key must consist of alphanumeric characters, '-', '_' or '.'. The serialized form of the secret data is a base64 encoded string, representing the arbitrary (possibly non-string) data value here. Described in https://tools.ietf.org/html/rfc4648#section-4",
        ),
        Column::AGE,
    ];

    const SELECTABLE: &'static [SelectableField] = &[SelectableField::text("type")];

    fn set_defaults(&mut self) {
        default_text(&mut self.type_, "Opaque");
        for (key, value) in self.string_data.take().into_iter().flatten() {
            self.data.get_or_insert_default().insert(key, ByteString(value.into_bytes()));
        }
    }

    fn validate(&self) -> Vec<FieldError> {
        let mut errors = data(self).validate();
        errors.extend(missing_keys(self));
        errors
    }

    fn validate_update(&self, old: &Self) -> Vec<FieldError> {
        let mut errors: Vec<FieldError> = immutable(&Path::new("type"), &self.type_, &old.type_).into_iter().collect();
        errors.extend(keyed_data::validate_update(&data(self), &data(old)));
        errors
    }

    fn cells(&self) -> Vec<Value> {
        let keys = self.data.as_ref().map_or(0, |data| data.len());
        vec![
            self.metadata.name.clone().into(),
            self.type_.clone().into(),
            keys.into(),
            table::age(self.metadata.creation_timestamp.as_ref()).into(),
        ]
    }
}

fn data(secret: &Secret) -> KeyedData<'_> {
    KeyedData {
        texts: ("stringData", secret.string_data.as_ref()),
        bytes: ("data", secret.data.as_ref()),
        immutable: secret.immutable == Some(true),
        whole: "data",
    }
}

/// What a secret of some type must contain.
fn missing_keys(secret: &Secret) -> Vec<FieldError> {
    let has = |key: &str| secret.data.as_ref().is_some_and(|data| data.contains_key(key));
    let path = |key: &str| Path::new("data").key(key);
    let required = |key: &str| (!has(key)).then(|| FieldError::required(&path(key), ""));
    match secret.type_.as_deref().unwrap_or_default() {
        "kubernetes.io/service-account-token" => {
            let annotations = Path::new("metadata").child("annotations");
            let key = "kubernetes.io/service-account.name";
            let named = secret.metadata.annotations.as_ref().and_then(|a| a.get(key)).is_some_and(|v| !v.is_empty());
            (!named).then(|| FieldError::required(&annotations.key(key), "")).into_iter().collect()
        }
        "kubernetes.io/dockercfg" => json_under(secret, ".dockercfg"),
        "kubernetes.io/dockerconfigjson" => json_under(secret, ".dockerconfigjson"),
        "kubernetes.io/basic-auth" if !has("username") && !has("password") => {
            ["username", "password"].iter().map(|key| FieldError::required(&path(key), "")).collect()
        }
        "kubernetes.io/ssh-auth" => {
            let key = "ssh-privatekey";
            let empty = secret.data.as_ref().and_then(|data| data.get(key)).is_none_or(|value| value.0.is_empty());
            empty.then(|| FieldError::required(&path(key), "")).into_iter().collect()
        }
        "kubernetes.io/tls" => ["tls.crt", "tls.key"].into_iter().filter_map(required).collect(),
        _ => Vec::new(),
    }
}

fn json_under(secret: &Secret, key: &str) -> Vec<FieldError> {
    let path = Path::new("data").key(key);
    let Some(value) = secret.data.as_ref().and_then(|data| data.get(key)) else {
        return vec![FieldError::required(&path, "")];
    };
    match serde_json::from_slice::<serde_json::Map<String, Value>>(&value.0) {
        Ok(_) => Vec::new(),
        // The value is a password: it is never shown.
        Err(error) => vec![FieldError::invalid(&path, "<secret contents redacted>", error.to_string())],
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn secret(value: Value) -> Secret {
        let mut secret: Secret = serde_json::from_value(value).unwrap();
        secret.set_defaults();
        secret
    }

    #[test]
    fn text_becomes_data() {
        let secret = secret(json!({"stringData": {"a": "x"}, "data": {"a": "AA==", "b": "AA=="}}));
        let value = serde_json::to_value(&secret).unwrap();
        assert_eq!((&value["data"], &value["type"]), (&json!({"a": "eA==", "b": "AA=="}), &json!("Opaque")));
        assert_eq!(value.get("stringData"), None);
    }

    #[test]
    fn types_demand_keys() {
        let cases = [
            (json!({"type": "kubernetes.io/tls", "data": {"tls.crt": ""}}), vec!["data[tls.key]: Required value"]),
            (
                json!({"type": "kubernetes.io/basic-auth"}),
                vec!["data[username]: Required value", "data[password]: Required value"],
            ),
            (json!({"type": "kubernetes.io/basic-auth", "stringData": {"username": "u"}}), vec![]),
            (json!({"type": "kubernetes.io/dockerconfigjson", "stringData": {".dockerconfigjson": "{}"}}), vec![]),
            (
                json!({"type": "kubernetes.io/service-account-token"}),
                vec!["metadata.annotations[kubernetes.io/service-account.name]: Required value"],
            ),
            (json!({"type": "example.com/own"}), vec![]),
        ];
        for (value, expected) in cases {
            let errors: Vec<String> = secret(value).validate().iter().map(ToString::to_string).collect();
            assert_eq!(errors, expected);
        }
    }

    #[test]
    fn the_type_stays() {
        let errors = secret(json!({"type": "a"})).validate_update(&secret(json!({"type": "b"})));
        assert_eq!(errors[0].to_string(), r#"type: Invalid value: "a": field is immutable"#);
    }
}
