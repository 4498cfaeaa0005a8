//! Labels and annotations: all that a restarted kubelet knows of its containers.
//!
//! Runtimes select by labels, so that what is selected by is in labels; the rest is in annotations, where upstream has
//! it, too.

use std::collections::BTreeMap;

use super::{ContainerConfig, ImageId, PodIdentity};

pub(super) const POD_NAME: &str = "io.kubernetes.pod.name";
pub(super) const POD_NAMESPACE: &str = "io.kubernetes.pod.namespace";
/// Every sandbox and container that has it is a kubelet's.
pub(super) const POD_UID: &str = "io.kubernetes.pod.uid";
pub(super) const CONTAINER_NAME: &str = "io.kubernetes.container.name";
pub(super) const ATTEMPT: &str = "io.kubernetes.container.restartCount";
pub(super) const HASH: &str = "io.kubernetes.container.hash";
pub(super) const MESSAGE_PATH: &str = "io.kubernetes.container.terminationMessagePath";
pub(super) const MESSAGE_POLICY: &str = "io.kubernetes.container.terminationMessagePolicy";
/// The image as the pod names it, and what it was: runtimes tell one or the other.
pub(super) const IMAGE_NAME: &str = "io.kubernetes.container.imageName";
pub(super) const IMAGE_ID: &str = "io.kubernetes.container.imageID";
/// Whether there is a terminal, which no status tells.
pub(super) const TTY: &str = "io.kubernetes.container.tty";
/// The sandbox that a container is in, which its status does not tell.
pub(super) const SANDBOX_ID: &str = "io.kubernetes.sandbox.id";

const OWN: [&str; 12] = [
    POD_NAME,
    POD_NAMESPACE,
    POD_UID,
    CONTAINER_NAME,
    ATTEMPT,
    HASH,
    MESSAGE_PATH,
    MESSAGE_POLICY,
    IMAGE_NAME,
    IMAGE_ID,
    TTY,
    SANDBOX_ID,
];

type Map = BTreeMap<String, String>;

fn with<const N: usize>(given: &Map, own: [(&str, &str); N]) -> Map {
    let mut all = given.clone();
    all.extend(own.map(|(key, value)| (key.to_owned(), value.to_owned())));
    all
}

/// Labels of a sandbox of the pod.
pub(super) fn of_sandbox(pod: &PodIdentity, given: &Map) -> Map {
    with(given, [(POD_NAME, &pod.name), (POD_NAMESPACE, &pod.namespace), (POD_UID, pod.uid.as_str())])
}

/// Labels of a container of the pod.
pub(super) fn of_container(pod: &PodIdentity, config: &ContainerConfig) -> Map {
    with(&of_sandbox(pod, &config.labels), [(CONTAINER_NAME, &config.name)])
}

/// Annotations of a container.
pub(super) fn annotations(config: &ContainerConfig, sandbox: &str, image: &ImageId) -> Map {
    with(
        &config.annotations,
        [
            (ATTEMPT, &config.attempt.to_string()),
            (HASH, &config.hash),
            (MESSAGE_PATH, &config.termination_message_path),
            (MESSAGE_POLICY, &config.termination_message_policy),
            (IMAGE_NAME, &config.image_name),
            (IMAGE_ID, image.as_str()),
            (TTY, if config.tty { "true" } else { "false" }),
            (SANDBOX_ID, sandbox),
        ],
    )
}

/// The pod that labels tell of; `None` when they are no kubelet's.
pub(super) fn pod(labels: &Map) -> Option<PodIdentity> {
    let uid = labels.get(POD_UID).filter(|uid| !uid.is_empty())?;
    Some(PodIdentity {
        uid: uid.as_str().into(),
        namespace: get(labels, POD_NAMESPACE).to_owned(),
        name: get(labels, POD_NAME).to_owned(),
    })
}

/// A value, or nothing.
pub(super) fn get<'a>(map: &'a Map, key: &str) -> &'a str {
    map.get(key).map(String::as_str).unwrap_or_default()
}

/// What was given, without the kubelet's own.
pub(super) fn given(mut map: Map) -> Map {
    map.retain(|key, _| !OWN.contains(&key.as_str()));
    map
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_survive_the_round_trip() {
        let pod = PodIdentity { uid: "u-1".into(), namespace: "default".into(), name: "web".into() };
        let config = ContainerConfig {
            name: "nginx".into(),
            attempt: 3,
            hash: "abc".into(),
            labels: Map::from([("app".into(), "web".into())]),
            annotations: Map::from([("note".into(), "x".into())]),
            ..ContainerConfig::default()
        };
        let labels = of_container(&pod, &config);
        assert_eq!(super::pod(&labels), Some(pod));
        assert_eq!(given(labels), config.labels);
        let annotations = annotations(&config, "sb", &"sha256:1".into());
        assert_eq!((get(&annotations, ATTEMPT), get(&annotations, IMAGE_ID)), ("3", "sha256:1"));
        assert_eq!(given(annotations), config.annotations);
        assert_eq!(super::pod(&Map::new()), None);
    }
}
