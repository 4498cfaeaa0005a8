//! Pods from templates, and the hash that names a template.

use api_types::{
    codec::ToJson,
    core::{Pod, PodTemplateSpec},
    meta::{ObjectMeta, OwnerReference},
};

/// The label that tells replica sets of one deployment apart.
pub const POD_TEMPLATE_HASH: &str = "pod-template-hash";

/// The letters and digits that cannot make a word; as `k8s.io/apimachinery/pkg/util/rand`.
const SAFE: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";

/// The pod that `owner` makes from the template.
#[must_use]
pub fn pod_from_template(template: &PodTemplateSpec, namespace: &str, owner: &OwnerReference) -> Pod {
    let from = template.metadata.as_ref();
    let metadata = ObjectMeta {
        generate_name: Some(format!("{}-", owner.name)),
        namespace: Some(namespace.to_owned()),
        labels: from.and_then(|metadata| metadata.labels.clone()),
        annotations: from.and_then(|metadata| metadata.annotations.clone()),
        finalizers: from.and_then(|metadata| metadata.finalizers.clone()),
        owner_references: Some(vec![owner.clone()]),
        ..ObjectMeta::default()
    };
    Pod { metadata, spec: template.spec.clone(), status: None }
}

/// A short name for a template, safe in names and labels: FNV-1a over its JSON and the count of
/// collisions so far.
#[must_use]
pub fn template_hash(template: &PodTemplateSpec, collisions: Option<i32>) -> String {
    let mut hash = Fnv::default();
    hash.write(&template.to_json());
    if let Some(collisions) = collisions {
        hash.write(&collisions.to_le_bytes());
    }
    hash.0.to_string().bytes().map(|byte| char::from(SAFE[usize::from(byte) % SAFE.len()])).collect()
}

/// Whether two templates make the same pods: equal but for the hash label.
#[must_use]
pub fn same_template(a: &PodTemplateSpec, b: &PodTemplateSpec) -> bool {
    without_hash(a) == without_hash(b)
}

fn without_hash(template: &PodTemplateSpec) -> PodTemplateSpec {
    let mut template = template.clone();
    if let Some(labels) = template.metadata.as_mut().and_then(|metadata| metadata.labels.as_mut()) {
        labels.remove(POD_TEMPLATE_HASH);
    }
    template
}

struct Fnv(u32);

impl Default for Fnv {
    fn default() -> Self {
        Self(0x811c_9dc5)
    }
}

impl Fnv {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u32::from(*byte)).wrapping_mul(0x0100_0193);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn template(image: &str, hash: Option<&str>) -> PodTemplateSpec {
        let mut template = json!({
            "metadata": {"labels": {"app": "web"}},
            "spec": {"containers": [{"name": "c", "image": image}]},
        });
        if let Some(hash) = hash {
            template["metadata"]["labels"][POD_TEMPLATE_HASH] = hash.into();
        }
        serde_json::from_value(template).unwrap()
    }

    #[test]
    fn the_hash_depends_on_template_and_collisions() {
        let hash = template_hash(&template("a", None), None);
        assert!(hash.len() <= 10 && hash.bytes().all(|byte| SAFE.contains(&byte)), "{hash}");
        assert_eq!(hash, template_hash(&template("a", None), None));
        assert_ne!(hash, template_hash(&template("b", None), None));
        assert_ne!(hash, template_hash(&template("a", None), Some(1)));
    }

    #[test]
    fn the_hash_label_is_no_difference() {
        assert!(same_template(&template("a", None), &template("a", Some("x"))));
        assert!(!same_template(&template("a", Some("x")), &template("b", Some("x"))));
    }
}
