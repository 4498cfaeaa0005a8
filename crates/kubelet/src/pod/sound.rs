//! Names that become paths. The API server refuses those that could lead elsewhere; a kubelet that relied on it would
//! hand the node to whoever speaks for the API server, or writes a manifest.

use api_types::core::Pod;

use super::PodExt;
use crate::runtime::PodUid;
use crate::status::Reason;

/// Longest name of a file.
const LONGEST: usize = 255;

impl PodUid {
    /// Whether it can be the name of a directory, of that alone.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        is_sound(self.as_str())
    }
}

/// Whether a name is one plain component of a path.
#[must_use]
pub fn is_sound(name: &str) -> bool {
    let plain = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_' | b'.');
    !name.is_empty() && name.len() <= LONGEST && name != "." && name != ".." && name.bytes().all(plain)
}

/// Refuses a pod of which some name could lead out of its directory.
///
/// # Errors
/// A reason and a message for its status.
pub fn check(pod: &Pod) -> Result<(), Reason> {
    let refused = |what: &str, name: &str| Reason::new("InvalidName", format!("Pod was rejected: {what} {name:?}"));
    let key = pod.key();
    for (what, name) in [("uid", &pod.uid().0), ("name", &key.name), ("namespace", &key.namespace)] {
        if !is_sound(name) {
            return Err(refused(what, name));
        }
    }
    let containers = pod.every_container();
    let containers = containers.iter().map(|(_, container)| ("container name", &container.name));
    let volumes = pod.pod_spec().volumes.iter().flatten().map(|volume| ("volume name", &volume.name));
    match containers.chain(volumes).find(|(_, name)| !is_sound(name)) {
        Some((what, name)) => Err(refused(what, name)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn names_that_lead_elsewhere_are_refused() {
        let good = json!({
            "metadata": {"name": "web", "namespace": "ns", "uid": "0f-1"},
            "spec": {
                "containers": [{"name": "c"}],
                "ephemeralContainers": [{"name": "e"}],
                "initContainers": [{"name": "i"}],
                "volumes": [{"name": "v"}],
            },
        });
        let check = |pod: &Value| check(&serde_json::from_value(pod.clone()).unwrap());
        assert_eq!(check(&good), Ok(()));
        let places = [
            "/metadata/name",
            "/metadata/namespace",
            "/metadata/uid",
            "/spec/containers/0/name",
            "/spec/initContainers/0/name",
            "/spec/ephemeralContainers/0/name",
            "/spec/volumes/0/name",
        ];
        let long = "x".repeat(256);
        for place in places {
            for bad in ["", ".", "..", "/", "a/b", "../../etc", "a\0b", "ä", long.as_str()] {
                let mut pod = good.clone();
                *pod.pointer_mut(place).unwrap() = json!(bad);
                assert!(check(&pod).is_err(), "{place} {bad:?}");
            }
        }
    }
}
