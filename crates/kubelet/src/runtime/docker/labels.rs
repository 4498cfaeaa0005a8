//! Names and labels: all that a restarted kubelet knows of its containers.

use std::collections::{BTreeMap, HashMap};

use super::{ContainerConfig, PodIdentity, SandboxConfig, SandboxId};

/// `podsandbox` or `container`; every container that has it is the kubelet's.
pub(super) const TYPE: &str = "io.kubernetes.docker.type";
pub(super) const TYPE_SANDBOX: &str = "podsandbox";
pub(super) const TYPE_CONTAINER: &str = "container";
pub(super) const POD_NAME: &str = "io.kubernetes.pod.name";
pub(super) const POD_NAMESPACE: &str = "io.kubernetes.pod.namespace";
pub(super) const POD_UID: &str = "io.kubernetes.pod.uid";
pub(super) const CONTAINER_NAME: &str = "io.kubernetes.container.name";
pub(super) const SANDBOX_ID: &str = "io.kubernetes.sandbox.id";
pub(super) const ATTEMPT: &str = "io.kubernetes.container.restartCount";
pub(super) const HASH: &str = "io.kubernetes.container.hash";
pub(super) const MESSAGE_PATH: &str = "io.kubernetes.container.terminationMessagePath";
pub(super) const MESSAGE_POLICY: &str = "io.kubernetes.container.terminationMessagePolicy";
/// The image as the pod names it: Docker itself only remembers what the container was created from.
pub(super) const IMAGE_NAME: &str = "io.kubernetes.container.imageName";
/// Docker has no annotations of containers, so they are labels with a prefix.
pub(super) const ANNOTATION_PREFIX: &str = "annotation.";
/// The sandbox's name where a container's would stand.
const SANDBOX_NAME: &str = "POD";

/// `k8s_<container>_<pod>_<namespace>_<uid>_<attempt>`.
pub(super) fn container_name(pod: &PodIdentity, container: &str, attempt: u32) -> String {
    format!("k8s_{container}_{}_{}_{}_{attempt}", pod.name, pod.namespace, pod.uid)
}

pub(super) fn sandbox_name(config: &SandboxConfig) -> String {
    container_name(&config.pod, SANDBOX_NAME, config.attempt)
}

pub(super) fn of_sandbox(config: &SandboxConfig) -> HashMap<String, String> {
    let mut labels = of_pod(&config.pod, &config.labels, &config.annotations);
    labels.insert(TYPE.into(), TYPE_SANDBOX.into());
    labels.insert(CONTAINER_NAME.into(), SANDBOX_NAME.into());
    labels.insert(ATTEMPT.into(), config.attempt.to_string());
    labels
}

pub(super) fn of_container(
    pod: &PodIdentity,
    sandbox: &SandboxId,
    config: &ContainerConfig,
) -> HashMap<String, String> {
    let mut labels = of_pod(pod, &config.labels, &config.annotations);
    labels.insert(TYPE.into(), TYPE_CONTAINER.into());
    labels.insert(CONTAINER_NAME.into(), config.name.clone());
    labels.insert(SANDBOX_ID.into(), sandbox.0.clone());
    labels.insert(ATTEMPT.into(), config.attempt.to_string());
    labels.insert(HASH.into(), config.hash.clone());
    labels.insert(MESSAGE_PATH.into(), config.termination_message_path.clone());
    labels.insert(MESSAGE_POLICY.into(), config.termination_message_policy.clone());
    labels.insert(IMAGE_NAME.into(), config.image_name.clone());
    labels
}

fn of_pod(
    pod: &PodIdentity,
    labels: &BTreeMap<String, String>,
    annotations: &BTreeMap<String, String>,
) -> HashMap<String, String> {
    let annotations = annotations.iter().map(|(key, value)| (format!("{ANNOTATION_PREFIX}{key}"), value.clone()));
    let mut all: HashMap<String, String> =
        labels.iter().map(|(key, value)| (key.clone(), value.clone())).chain(annotations).collect();
    all.insert(POD_NAME.into(), pod.name.clone());
    all.insert(POD_NAMESPACE.into(), pod.namespace.clone());
    all.insert(POD_UID.into(), pod.uid.0.clone());
    all
}

/// Labels read back, with the kubelet's own among them.
pub(super) struct Labels<'a>(pub(super) &'a HashMap<String, String>);

impl Labels<'_> {
    pub(super) fn get(&self, key: &str) -> &str {
        self.0.get(key).map(String::as_str).unwrap_or_default()
    }

    pub(super) fn pod(&self) -> PodIdentity {
        PodIdentity {
            uid: self.get(POD_UID).into(),
            namespace: self.get(POD_NAMESPACE).to_owned(),
            name: self.get(POD_NAME).to_owned(),
        }
    }

    pub(super) fn attempt(&self) -> u32 {
        self.get(ATTEMPT).parse().unwrap_or(0)
    }

    /// What was given as labels, without the kubelet's own.
    pub(super) fn given(&self) -> BTreeMap<String, String> {
        let ours = |key: &str| OWN.contains(&key) || key.starts_with(ANNOTATION_PREFIX);
        self.0.iter().filter(|(key, _)| !ours(key)).map(|(k, v)| (k.clone(), v.clone())).collect()
    }

    /// What was given as annotations.
    pub(super) fn annotations(&self) -> BTreeMap<String, String> {
        let stripped = |(key, value): (&String, &String)| {
            key.strip_prefix(ANNOTATION_PREFIX).map(|key| (key.to_owned(), value.clone()))
        };
        self.0.iter().filter_map(stripped).collect()
    }
}

const OWN: &[&str] = &[
    TYPE,
    POD_NAME,
    POD_NAMESPACE,
    POD_UID,
    CONTAINER_NAME,
    SANDBOX_ID,
    ATTEMPT,
    HASH,
    MESSAGE_PATH,
    MESSAGE_POLICY,
    IMAGE_NAME,
];

#[cfg(test)]
mod tests {
    use super::*;

    fn pod() -> PodIdentity {
        PodIdentity { uid: "u-1".into(), namespace: "default".into(), name: "web".into() }
    }

    #[test]
    fn names_are_the_dockershims() {
        assert_eq!(container_name(&pod(), "nginx", 2), "k8s_nginx_web_default_u-1_2");
        let sandbox = SandboxConfig { pod: pod(), ..SandboxConfig::default() };
        assert_eq!(sandbox_name(&sandbox), "k8s_POD_web_default_u-1_0");
    }

    #[test]
    fn labels_survive_the_round_trip() {
        let config = ContainerConfig {
            name: "nginx".into(),
            attempt: 3,
            hash: "abc".into(),
            labels: BTreeMap::from([("app".into(), "web".into())]),
            annotations: BTreeMap::from([("note".into(), "x".into())]),
            ..ContainerConfig::default()
        };
        let written = of_container(&pod(), &"sb".into(), &config);
        let read = Labels(&written);
        assert_eq!(read.pod(), pod());
        assert_eq!((read.attempt(), read.get(HASH), read.get(SANDBOX_ID)), (3, "abc", "sb"));
        assert_eq!((read.given(), read.annotations()), (config.labels, config.annotations));
    }
}
