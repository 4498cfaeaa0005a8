//! Manifests: text to static pods.

use api_types::codec::{FromJson, ToJson};
use api_types::core::{Pod, Toleration, Volume};
use api_types::jiff::Timestamp;
use api_types::object::Kind;
use api_types::{field, validation::names, yaml};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::StaticSource;
use crate::pod::{annotations, hex};

/// Why a manifest is no pod.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// Neither YAML nor JSON.
    #[error("cannot be read: {0}")]
    Syntax(String),
    /// It is something else than a pod.
    #[error("is a {0:?}, not a Pod")]
    Kind(String),
    /// A pod needs at least this.
    #[error("{0}")]
    Invalid(String),
}

/// The pods in a manifest: one, or the items of a `PodList`.
///
/// # Errors
/// See [`ManifestError`].
pub fn decode(text: &str, source: StaticSource, node: &str) -> Result<Vec<Pod>, ManifestError> {
    let value = yaml::from_str(text).map_err(|error| ManifestError::Syntax(error.to_string()))?;
    let kind = value.get("kind").and_then(Value::as_str).unwrap_or_default().to_owned();
    let values = match kind.as_str() {
        "Pod" => vec![value],
        "PodList" | "List" => value.get("items").and_then(|items| items.as_array()).cloned().unwrap_or_default(),
        _ => return Err(ManifestError::Kind(kind)),
    };
    values.into_iter().map(|value| pod(value, source, node)).collect()
}

fn pod(value: Value, source: StaticSource, node: &str) -> Result<Pod, ManifestError> {
    let sources = volume_sources(&value);
    let mut pod = Pod::from_tree(&value).map_err(|error| ManifestError::Syntax(error.to_string()))?;
    check_volumes(&pod, &sources)?;
    let name = pod.metadata.name.clone().filter(|name| !name.is_empty());
    let name = name.ok_or_else(|| ManifestError::Invalid("metadata.name is missing".to_owned()))?;
    let spec = pod.spec.as_mut().filter(|spec| !spec.containers.is_empty());
    let spec = spec.ok_or_else(|| ManifestError::Invalid("spec.containers is missing".to_owned()))?;
    spec.node_name = Some(node.to_owned());
    tolerate_everything(spec.tolerations.get_or_insert_default());
    pod.metadata.name = Some(format!("{name}-{}", node.to_ascii_lowercase()));
    pod.metadata.namespace =
        pod.metadata.namespace.filter(|namespace| !namespace.is_empty()).or(Some("default".into()));
    pod.status = None;
    pod.set_defaults();
    check(&pod)?;
    let uid = pod.metadata.uid.clone().filter(|uid| !uid.is_empty());
    let uid = uid.unwrap_or_else(|| hash(&pod, source, node));
    let notes = pod.metadata.annotations.get_or_insert_default();
    notes.insert(annotations::CONFIG_HASH.to_owned(), uid.clone());
    notes.insert(annotations::CONFIG_SOURCE.to_owned(), source.as_str().to_owned());
    notes.insert(annotations::CONFIG_SEEN.to_owned(), Timestamp::now().to_string());
    pod.metadata.uid = Some(uid);
    Ok(pod)
}

/// What each volume says that it is.
fn volume_sources(pod: &Value) -> Vec<Vec<String>> {
    let volumes = pod.pointer("/spec/volumes").and_then(Value::as_array);
    let named = |volume: &Value| -> Vec<String> {
        let fields =
            volume.as_object().into_iter().flatten().filter(|(name, value)| *name != "name" && !value.is_null());
        fields.map(|(name, _)| name.clone()).collect()
    };
    volumes.into_iter().flatten().map(named).collect()
}

/// Refuses a volume of a kind that nobody knows: without that kind it would be read as an `emptyDir`.
fn check_volumes(pod: &Pod, sources: &[Vec<String>]) -> Result<(), ManifestError> {
    let volumes = pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten());
    for (index, (volume, named)) in volumes.zip(sources).enumerate() {
        let understood = Volume { name: volume.name.clone(), ..Volume::default() } != *volume;
        if !understood && !named.is_empty() {
            let kinds = named.join(", ");
            return Err(ManifestError::Invalid(format!("spec.volumes[{index}]: unknown volume type {kinds}")));
        }
    }
    Ok(())
}

/// Refuses what the API server would refuse.
fn check(pod: &Pod) -> Result<(), ManifestError> {
    let metadata = field::Path::new("metadata");
    let mut errors = Vec::new();
    let mut named = |rule: names::Rule, child: &str, value: &Option<String>| {
        if let Some(value) = value.as_deref().filter(|value| !value.is_empty()) {
            let path = metadata.child(child);
            errors.extend(rule(value).into_iter().map(|error| field::FieldError::invalid(&path, value, error)));
        }
    };
    named(names::dns1123_subdomain, "name", &pod.metadata.name);
    named(names::dns1123_label, "namespace", &pod.metadata.namespace);
    // Directories are called after it.
    named(names::dns1123_subdomain, "uid", &pod.metadata.uid);
    errors.extend(pod.validate());
    match field::aggregate(&errors) {
        Some(message) => Err(ManifestError::Invalid(format!("invalid pod: {message}"))),
        None => Ok(()),
    }
}

/// Static pods stay whatever happens to the node.
fn tolerate_everything(tolerations: &mut Vec<Toleration>) {
    let all = Toleration {
        operator: Some("Exists".to_owned()),
        effect: Some("NoExecute".to_owned()),
        ..Toleration::default()
    };
    if !tolerations.contains(&all) {
        tolerations.push(all);
    }
}

/// A static pod's identity: another manifest is another pod.
fn hash(pod: &Pod, source: StaticSource, node: &str) -> String {
    let mut digest = Sha256::new();
    digest.update(node);
    digest.update(source.as_str());
    digest.update(pod.to_json());
    // As long as upstream's, which is an MD5.
    hex(&digest.finalize()[..16])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pod::PodExt;

    const MANIFEST: &str = "apiVersion: v1\nkind: Pod\nmetadata: {name: web, annotations: {a: b}}\n\
        spec:\n  containers:\n  - {name: c, image: demo}\n";

    #[test]
    fn manifests_become_static_pods() {
        let pods = decode(MANIFEST, StaticSource::File, "node1").unwrap();
        let pod = &pods[0];
        assert_eq!((pod.key().namespace, pod.key().name), ("default".to_owned(), "web-node1".to_owned()));
        assert_eq!(pod.uid().as_str().len(), 32);
        assert_eq!(pod.annotation(annotations::CONFIG_HASH), Some(pod.uid().as_str()));
        assert_eq!(pod.annotation(annotations::CONFIG_SOURCE), Some("file"));
        assert_eq!(pod.pod_spec().node_name.as_deref(), Some("node1"));
        assert!(pod.is_static() && !pod.is_mirror());
    }

    #[test]
    fn the_uid_follows_the_manifest() {
        let uid = |text: &str| decode(text, StaticSource::File, "n").unwrap()[0].uid();
        assert_eq!(uid(MANIFEST), uid(MANIFEST));
        assert_ne!(uid(MANIFEST), uid(&MANIFEST.replace("demo", "other")));
    }

    #[test]
    fn manifests_are_read_as_the_api_reads_them() {
        let text =
            format!("{MANIFEST}  volumes: [{{name: v, configMap: {{name: c, defaultMode: 0644}}}}, {{name: e}}]\n");
        let pods = decode(&text, StaticSource::File, "n").unwrap();
        let volumes = pods[0].pod_spec().volumes.as_deref().unwrap();
        assert_eq!(volumes[0].config_map.as_ref().unwrap().default_mode, Some(0o644));
        assert!(volumes[1].empty_dir.is_some(), "as upstream's default");
    }

    #[test]
    fn nonsense_is_refused() {
        for text in [
            "",
            "{",
            "kind: Service",
            "kind: Pod",
            "kind: Pod\nmetadata: {name: a}",
            "kind: Pod\nmetadata: {name: a}\nspec: {containers: []}",
            "kind: Pod\nmetadata: 3",
            "kind: Pod\n---\nkind: Pod",
            &MANIFEST.replace("name: web", "name: web, uid: ../../etc"),
            &MANIFEST.replace("name: web", "name: web/x"),
            &MANIFEST.replace("name: web", "name: web, namespace: .."),
            &format!("{MANIFEST}  volumes: [{{name: ../../../etc, emptyDir: {{}}}}]\n"),
            &format!("{MANIFEST}  volumes: [{{name: v, floppy: {{}}}}]\n"),
        ] {
            assert!(decode(text, StaticSource::File, "n").is_err(), "{text:?}");
        }
    }

    #[test]
    fn fuzz_manifests() {
        let pod = b"apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec:\n  containers: [{name: c, image: i, ports: [{containerPort: 1}]}]\n  volumes: [{name: v, hostPath: {path: /a}}]\n";
        let list = br#"{"kind":"PodList","apiVersion":"v1","items":[{"metadata":{"name":"a"},"spec":{"containers":[{"name":"c"}]}}]}"#;
        test_needs::fuzz::fuzz("manifests", &[pod, list], |bytes| {
            let Ok(text) = std::str::from_utf8(bytes) else { return };
            for pod in decode(text, StaticSource::File, "n").unwrap_or_default() {
                assert!(pod.metadata.name.unwrap().ends_with("-n"));
            }
        });
    }
}
