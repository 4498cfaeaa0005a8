//! What a persistent volume, and what says its node by itself, have to do with nodes.

use serde::{Deserialize, de::Error};
use serde_json::Value;

use super::graph::{Bound, Change, Id, Thing};

/// Reads a persistent volume.
///
/// # Errors
/// When it is none.
pub fn read(_: &str, name: &str, json: &[u8]) -> serde_json::Result<Change> {
    let volume: Volume = serde_json::from_slice(json)?;
    let bound = volume.spec.get("claimRef").filter(|claim| claim.is_object()).map(|claim| {
        let claim: Id = (text(claim, "namespace").into(), text(claim, "name").into());
        Bound { secrets: secrets(&volume.spec, &claim.0), claim }
    });
    Ok(Change::Volume(name.into(), bound))
}

#[derive(Deserialize)]
struct Volume {
    #[serde(default)]
    spec: Value,
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value.get(field).and_then(Value::as_str).unwrap_or_default()
}

/// The sources whose secret the kubelet needs, and the field that names it.
const SOURCES: [(&str, &str); 9] = [
    ("csi", "nodePublishSecretRef"),
    ("csi", "nodeStageSecretRef"),
    ("csi", "nodeExpandSecretRef"),
    ("cephfs", "secretRef"),
    ("flexVolume", "secretRef"),
    ("iscsi", "secretRef"),
    ("rbd", "secretRef"),
    ("scaleIO", "secretRef"),
    ("storageos", "secretRef"),
];

fn secrets(spec: &Value, namespace: &str) -> Vec<Id> {
    let in_namespace = |own: &str| Box::from(if own.is_empty() { namespace } else { own });
    let named = SOURCES.iter().filter_map(|(source, field)| {
        let secret = spec.get(source)?.get(field)?;
        Some((in_namespace(text(secret, "namespace")), Box::from(text(secret, "name"))))
    });
    let azure = spec
        .get("azureFile")
        .map(|source| -> Id { (in_namespace(text(source, "secretNamespace")), Box::from(text(source, "secretName"))) });
    named.chain(azure).filter(|(_, name)| !name.is_empty()).collect()
}

/// Reads a volume attachment.
///
/// # Errors
/// When it is none.
pub fn read_attachment(_: &str, name: &str, json: &[u8]) -> serde_json::Result<Change> {
    own(Thing::Attachment, name, json)
}

/// Reads a resource slice.
///
/// # Errors
/// When it is none.
pub fn read_slice(_: &str, name: &str, json: &[u8]) -> serde_json::Result<Change> {
    own(Thing::Slice, name, json)
}

/// What names its node in its specification.
fn own(thing: Thing, name: &str, json: &[u8]) -> serde_json::Result<Change> {
    let object: Value = serde_json::from_slice(json)?;
    let spec = object.get("spec").ok_or_else(|| serde_json::Error::custom("no spec"))?;
    let node = Some(text(spec, "nodeName")).filter(|node| !node.is_empty());
    Ok(Change::Own(thing, name.into(), node.map(Into::into)))
}
