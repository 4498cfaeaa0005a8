//! Which other objects a pod refers to.

use crate::core::{Container, PodSpec, Volume};

/// The parts of a container that refer to others; an ephemeral one has them, too.
macro_rules! of_container {
    ($container:expr) => {{
        let container = $container;
        let whole = container.env_from.iter().flatten().filter_map(|source| source.secret_ref.as_ref());
        let variables = container.env.iter().flatten().filter_map(|variable| variable.value_from.as_ref());
        let keys = variables.filter_map(|source| source.secret_key_ref.as_ref());
        whole.map(|secret| secret.name.as_str()).chain(keys.map(|key| key.name.as_str()))
    }};
}

/// The secrets that a pod refers to, by any of its fields; the same one may be named several times.
#[must_use]
pub fn secrets(spec: &PodSpec) -> Vec<&str> {
    let pulled = spec.image_pull_secrets.iter().flatten().map(|secret| secret.name.as_str());
    let containers = spec.init_containers.iter().flatten().chain(&spec.containers).flat_map(of_each);
    let ephemeral = spec.ephemeral_containers.iter().flatten().flat_map(|container| of_container!(container));
    let volumes = spec.volumes.iter().flatten().flat_map(of_volume);
    pulled.chain(containers).chain(ephemeral).chain(volumes).filter(|name| !name.is_empty()).collect()
}

fn of_each(container: &Container) -> impl Iterator<Item = &str> {
    of_container!(container)
}

fn of_volume(volume: &Volume) -> Vec<&str> {
    let mut names: Vec<Option<&String>> = vec![
        volume.azure_file.as_ref().map(|source| &source.secret_name),
        volume.cephfs.as_ref().and_then(|source| source.secret_ref.as_ref()).map(|secret| &secret.name),
        volume.cinder.as_ref().and_then(|source| source.secret_ref.as_ref()).map(|secret| &secret.name),
        volume.flex_volume.as_ref().and_then(|source| source.secret_ref.as_ref()).map(|secret| &secret.name),
        volume.rbd.as_ref().and_then(|source| source.secret_ref.as_ref()).map(|secret| &secret.name),
        volume.secret.as_ref().and_then(|source| source.secret_name.as_ref()),
        volume.scale_io.as_ref().map(|source| &source.secret_ref.name),
        volume.iscsi.as_ref().and_then(|source| source.secret_ref.as_ref()).map(|secret| &secret.name),
        volume.storageos.as_ref().and_then(|source| source.secret_ref.as_ref()).map(|secret| &secret.name),
        volume.csi.as_ref().and_then(|source| source.node_publish_secret_ref.as_ref()).map(|secret| &secret.name),
    ];
    let projected = volume.projected.iter().flat_map(|source| source.sources.iter().flatten());
    names.extend(projected.map(|source| source.secret.as_ref().map(|secret| &secret.name)));
    names.into_iter().flatten().map(String::as_str).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_reference_counts() {
        let spec: PodSpec = serde_json::from_value(json!({
            "imagePullSecrets": [{"name": "pull"}, {}],
            "initContainers": [{"name": "i", "envFrom": [{"secretRef": {"name": "from"}}, {"configMapRef": {"name": "no"}}]}],
            "containers": [{"name": "c", "env": [
                {"name": "A", "valueFrom": {"secretKeyRef": {"name": "key", "key": "k"}}}, {"name": "B", "value": "b"}]}],
            "ephemeralContainers": [{"name": "e", "envFrom": [{"secretRef": {"name": "ephemeral"}}]}],
            "volumes": [
                {"name": "a", "secret": {"secretName": "volume"}},
                {"name": "b", "projected": {"sources": [{"secret": {"name": "projected"}}, {"configMap": {"name": "no"}}]}},
                {"name": "c", "csi": {"driver": "d", "nodePublishSecretRef": {"name": "csi"}}},
                {"name": "d", "azureFile": {"secretName": "azure", "shareName": "s"}},
                {"name": "e", "cephfs": {"monitors": [], "secretRef": {"name": "ceph"}}},
                {"name": "f", "emptyDir": {}},
            ],
        }))
        .unwrap();
        let expected = ["pull", "from", "key", "ephemeral", "volume", "projected", "csi", "azure", "ceph"];
        assert_eq!(secrets(&spec), expected);
    }
}
