//! A container's environment: pure, from the pod, the objects it names and the services around it.

pub mod expand;
pub mod fields;
pub mod services;

use std::collections::BTreeMap;
use std::net::IpAddr;

use api_types::core::{Container, EnvFromSource, EnvVar, EnvVarSource, Pod};
use api_types::quantity::Quantity;

use crate::objects::Objects;
use crate::pod::PodExt;

/// Why an environment cannot be made; the messages are upstream's.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum EnvError {
    /// A config map or secret is not there.
    #[error("{kind} {name:?} not found")]
    Missing {
        /// `configmap` or `secret`.
        kind: &'static str,
        /// Its name.
        name: String,
    },
    /// It is there but has no such key.
    #[error("couldn't find key {key} in {kind} {namespace}/{name}")]
    Key {
        /// `ConfigMap` or `Secret`.
        kind: &'static str,
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
        /// What is not in it.
        key: String,
    },
    /// A field reference that means nothing.
    #[error("unsupported fieldPath: {0}")]
    Field(String),
    /// A resource reference that means nothing.
    #[error("{0}")]
    Resource(String),
}

/// What a node gives to a container that sets no limit, by resource name.
pub type Allocatable = BTreeMap<String, Quantity>;

/// Everything that an environment is made of.
pub struct EnvSources<'a> {
    /// The pod.
    pub pod: &'a Pod,
    /// Its addresses.
    pub ips: &'a [IpAddr],
    /// The node's addresses.
    pub node_ips: &'a [IpAddr],
    /// What the node has.
    pub allocatable: &'a Allocatable,
    /// Config maps and secrets.
    pub objects: &'a dyn Objects,
    /// Variables of services.
    pub services: BTreeMap<String, String>,
}

/// The environment of a container: its own variables in order, then the services' that it does not set itself.
///
/// # Errors
/// See [`EnvError`].
pub fn build(container: &Container, sources: &EnvSources<'_>) -> Result<Vec<(String, String)>, EnvError> {
    let mut env = Ordered::default();
    for source in container.env_from.iter().flatten() {
        for (name, value) in from_object(source, sources)? {
            env.set(name, value);
        }
    }
    for variable in container.env.iter().flatten() {
        if let Some(value) = value(variable, container, sources, &env)? {
            env.set(variable.name.clone(), value);
        }
    }
    for (name, value) in &sources.services {
        if env.get(name).is_none() {
            env.set(name.clone(), value.clone());
        }
    }
    Ok(env.variables)
}

#[derive(Default)]
struct Ordered {
    variables: Vec<(String, String)>,
}

impl Ordered {
    fn get(&self, name: &str) -> Option<&str> {
        self.variables.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    fn set(&mut self, name: String, value: String) {
        match self.variables.iter_mut().find(|(known, _)| *known == name) {
            Some(variable) => variable.1 = value,
            None => self.variables.push((name, value)),
        }
    }
}

/// The variables of `envFrom`.
fn from_object(source: &EnvFromSource, sources: &EnvSources<'_>) -> Result<BTreeMap<String, String>, EnvError> {
    let prefix = source.prefix.clone().unwrap_or_default();
    let (kind, name, optional, data) = if let Some(reference) = &source.config_map_ref {
        let data = sources.objects.config_map(&reference.name).map(|map| map.data.clone().unwrap_or_default());
        ("configmap", reference.name.clone(), reference.optional, data)
    } else if let Some(reference) = &source.secret_ref {
        let texts = |data: &BTreeMap<String, api_types::k8s_openapi::ByteString>| {
            data.iter().map(|(key, value)| (key.clone(), String::from_utf8_lossy(&value.0).into_owned())).collect()
        };
        let data = sources.objects.secret(&reference.name);
        let data = data.map(|secret| secret.data.as_ref().map(texts).unwrap_or_default());
        ("secret", reference.name.clone(), reference.optional, data)
    } else {
        return Ok(BTreeMap::new());
    };
    match data {
        Some(data) => Ok(data.into_iter().map(|(key, value)| (format!("{prefix}{key}"), value)).collect()),
        None if optional == Some(true) => Ok(BTreeMap::new()),
        None => Err(EnvError::Missing { kind, name }),
    }
}

/// `None` for an optional reference to what is not there.
fn value(
    variable: &EnvVar,
    container: &Container,
    sources: &EnvSources<'_>,
    so_far: &Ordered,
) -> Result<Option<String>, EnvError> {
    if let Some(source) = &variable.value_from {
        return referenced(source, container, sources);
    }
    let lookup = |name: &str| so_far.get(name).or_else(|| sources.services.get(name).map(String::as_str));
    Ok(Some(expand::expand(variable.value.as_deref().unwrap_or_default(), lookup)))
}

fn referenced(
    source: &EnvVarSource,
    container: &Container,
    sources: &EnvSources<'_>,
) -> Result<Option<String>, EnvError> {
    if let Some(field) = &source.field_ref {
        return fields::field(sources.pod, &field.field_path, sources.ips, sources.node_ips).map(Some);
    }
    if let Some(resource) = &source.resource_field_ref {
        let name = resource.container_name.as_deref().unwrap_or_default();
        let named = if name.is_empty() { None } else { sources.pod.container(name).map(|(_, container)| container) };
        if named.is_none() && !name.is_empty() {
            return Err(EnvError::Resource(format!("container {name} not found")));
        }
        return fields::resource(named.as_deref().unwrap_or(container), resource, sources.allocatable).map(Some);
    }
    if let Some(key) = &source.config_map_key_ref {
        let map = sources.objects.config_map(&key.name);
        let value = map.as_ref().map(|map| map.data.as_ref().and_then(|data| data.get(&key.key)).cloned());
        return optional_key(value, "configmap", "ConfigMap", &key.name, &key.key, key.optional, sources.pod);
    }
    if let Some(key) = &source.secret_key_ref {
        let secret = sources.objects.secret(&key.name);
        let value = secret.as_ref().map(|secret| {
            let data = secret.data.as_ref().and_then(|data| data.get(&key.key));
            data.map(|value| String::from_utf8_lossy(&value.0).into_owned())
        });
        return optional_key(value, "secret", "Secret", &key.name, &key.key, key.optional, sources.pod);
    }
    Ok(None)
}

/// `found` is `None` without the object, and `Some(None)` without the key.
fn optional_key(
    found: Option<Option<String>>,
    missing: &'static str,
    kind: &'static str,
    name: &str,
    key: &str,
    optional: Option<bool>,
    pod: &Pod,
) -> Result<Option<String>, EnvError> {
    match found {
        Some(Some(value)) => Ok(Some(value)),
        _ if optional == Some(true) => Ok(None),
        None => Err(EnvError::Missing { kind: missing, name: name.to_owned() }),
        Some(None) => Err(EnvError::Key {
            kind,
            namespace: pod.metadata.namespace.clone().unwrap_or_default(),
            name: name.to_owned(),
            key: key.to_owned(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::objects::testing::FixedObjects;

    fn build_from(container: serde_json::Value) -> Result<Vec<(String, String)>, EnvError> {
        let container: Container = serde_json::from_value(container).unwrap();
        let pod: Pod = serde_json::from_value(json!({
            "metadata": {"name": "p", "namespace": "ns", "uid": "u", "labels": {"app": "web"}},
            "spec": {"nodeName": "n1", "serviceAccountName": "sa", "containers": []},
        }))
        .unwrap();
        let objects = FixedObjects::new(
            json!([{"metadata": {"name": "cm"}, "data": {"a": "1", "b": "2"}}]),
            json!([{"metadata": {"name": "s"}, "data": {"k": "dg=="}}]),
        );
        let allocatable = Allocatable::from([("cpu".to_owned(), Quantity::from_milli(2000))]);
        let sources = EnvSources {
            pod: &pod,
            ips: &["10.1.0.7".parse().unwrap()],
            node_ips: &["192.168.0.5".parse().unwrap()],
            allocatable: &allocatable,
            objects: &objects,
            services: BTreeMap::from([("DB_SERVICE_HOST".to_owned(), "10.96.0.9".to_owned())]),
        };
        build(&container, &sources)
    }

    #[test]
    fn every_kind_of_variable_finds_its_value() {
        let reference = |path: &str| json!({"fieldRef": {"fieldPath": path}});
        let cases = [
            (json!({"name": "X", "value": "plain"}), "plain"),
            (json!({"name": "X", "value": "$(DB_SERVICE_HOST):1 $$(Y) $(Y)"}), "10.96.0.9:1 $(Y) $(Y)"),
            (json!({"name": "X", "valueFrom": reference("metadata.name")}), "p"),
            (json!({"name": "X", "valueFrom": reference("metadata.labels['app']")}), "web"),
            (json!({"name": "X", "valueFrom": reference("spec.nodeName")}), "n1"),
            (json!({"name": "X", "valueFrom": reference("status.podIP")}), "10.1.0.7"),
            (json!({"name": "X", "valueFrom": reference("status.hostIP")}), "192.168.0.5"),
            (json!({"name": "X", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}}), "2"),
            (json!({"name": "X", "valueFrom": {"configMapKeyRef": {"name": "cm", "key": "b"}}}), "2"),
            (json!({"name": "X", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}), "v"),
        ];
        for (variable, expected) in cases {
            let env = build_from(json!({"name": "c", "env": [variable]})).unwrap();
            assert_eq!(env[0], ("X".to_owned(), expected.to_owned()), "{variable}");
            assert_eq!(env.len(), 2, "and the service's");
        }
    }

    #[test]
    fn what_is_missing_is_named_unless_it_is_optional() {
        let key = |kind: &str, name: &str, key: &str, optional: bool| {
            json!({"name": "c", "env": [{"name": "X", "valueFrom":
                {kind: {"name": name, "key": key, "optional": optional}}}]})
        };
        let cases = [
            (key("configMapKeyRef", "no", "a", false), "configmap \"no\" not found"),
            (key("configMapKeyRef", "cm", "z", false), "couldn't find key z in ConfigMap ns/cm"),
            (key("secretKeyRef", "no", "k", false), "secret \"no\" not found"),
            (key("secretKeyRef", "s", "z", false), "couldn't find key z in Secret ns/s"),
            (json!({"name": "c", "envFrom": [{"configMapRef": {"name": "no"}}]}), "configmap \"no\" not found"),
        ];
        for (container, expected) in cases {
            assert_eq!(build_from(container.clone()).unwrap_err().to_string(), expected, "{container}");
        }
        for container in [
            key("configMapKeyRef", "no", "a", true),
            key("secretKeyRef", "s", "z", true),
            json!({"name": "c", "envFrom": [{"secretRef": {"name": "no", "optional": true}}]}),
        ] {
            assert_eq!(build_from(container).unwrap().len(), 1);
        }
    }

    #[test]
    fn env_from_comes_first_and_is_overridden() {
        let env = build_from(json!({"name": "c", "envFrom": [{"prefix": "P_", "configMapRef": {"name": "cm"}}],
            "env": [{"name": "P_a", "value": "own"}, {"name": "Y", "value": "$(P_b)"}]}))
        .unwrap();
        let pairs: Vec<(&str, &str)> = env.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(pairs, [("P_a", "own"), ("P_b", "2"), ("Y", "2"), ("DB_SERVICE_HOST", "10.96.0.9")]);
    }
}
