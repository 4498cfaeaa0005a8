//! What becomes of claims and volumes, as tables; and that nothing goes wrong whoever works when.

mod claims;
mod races;
mod volumes;

use std::sync::Arc;

use api_types::core::PersistentVolumeClaim;
use component::volumes::{Class, Volume, default_class};
use serde_json::{Value, json};

use super::claim::World;

/// Everything that there is, as objects.
#[derive(Default)]
struct Everything {
    volumes: Vec<Arc<Volume>>,
    classes: Vec<Arc<Class>>,
    pods: Vec<String>,
}

impl World for Everything {
    fn volume(&self, name: &str) -> Option<Arc<Volume>> {
        self.volumes.iter().find(|volume| volume.name() == name).cloned()
    }

    fn set_aside(&self, claim: &PersistentVolumeClaim) -> Vec<Arc<Volume>> {
        let name = |volume: &Volume| volume.spec.claim_ref.as_ref().and_then(|own| own.name.clone());
        self.volumes.iter().filter(|volume| name(volume) == claim.metadata.name).cloned().collect()
    }

    fn free(&self, class: &str, _: &PersistentVolumeClaim) -> Vec<Arc<Volume>> {
        let is_free = |volume: &&Arc<Volume>| volume.spec.claim_ref.is_none() && volume.class() == class;
        self.volumes.iter().filter(is_free).cloned().collect()
    }

    fn class(&self, name: &str) -> Option<Arc<Class>> {
        self.classes.iter().find(|class| class.name() == name).cloned()
    }

    fn default_class(&self) -> Option<Arc<Class>> {
        default_class(self.classes.iter().cloned())
    }

    fn waiting_pods(&self, _: &PersistentVolumeClaim) -> Vec<String> {
        self.pods.clone()
    }

    fn provisions(&self) -> bool {
        true
    }
}

/// Puts `patch` over `base`, as a merge patch.
fn merge(base: &mut Value, patch: &Value) {
    let Some(patch) = patch.as_object() else { return base.clone_from(patch) };
    if !base.is_object() {
        *base = json!({});
    }
    for (name, value) in patch {
        if value.is_null() {
            base.as_object_mut().unwrap().remove(name);
        } else {
            merge(&mut base[name], value);
        }
    }
}

fn merged(mut base: Value, patch: &Value) -> Value {
    merge(&mut base, patch);
    base
}

/// A free volume of 5 GiB, changed by a patch.
fn volume(name: &str, patch: &Value) -> Value {
    let spec = json!({"capacity": {"storage": "5Gi"}, "accessModes": ["ReadWriteOnce"]});
    let base = json!({"metadata": {"name": name, "uid": name}, "spec": spec, "status": {"phase": "Available"}});
    merged(base, patch)
}

/// A claim of 5 GiB without a class, changed by a patch.
fn claim(name: &str, patch: &Value) -> Value {
    let spec = json!({
        "resources": {"requests": {"storage": "5Gi"}}, "accessModes": ["ReadWriteOnce"], "storageClassName": "",
    });
    let metadata = json!({"name": name, "namespace": "ns", "uid": name});
    merged(json!({"metadata": metadata, "spec": spec, "status": {"phase": "Pending"}}), patch)
}

fn read<T: serde::de::DeserializeOwned>(value: &Value) -> T {
    serde_json::from_value(value.clone()).unwrap()
}
