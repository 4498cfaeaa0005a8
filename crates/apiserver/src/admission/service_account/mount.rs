//! The volume with the token, the cluster's authority and the namespace.

use api_types::core::{
    ConfigMapProjection, Container, DownwardAPIProjection, DownwardAPIVolumeFile, KeyToPath, ObjectFieldSelector,
    PodSpec, ProjectedVolumeSource, ServiceAccountTokenProjection, Volume, VolumeMount, VolumeProjection,
};

use crate::registry::metadata::generate_name;

/// What the volume's name begins with.
const VOLUME: &str = "kube-api-access-";
/// Where clients look for it.
const PATH: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
/// An hour and a few seconds, by which a token that nobody asked for is known.
const LIFE: i64 = 3607;
const MODE: i32 = 0o644;

/// Mounts the volume in every container that has nothing at its path.
pub(super) fn token(spec: &mut PodSpec) {
    let volumes = spec.volumes.iter().flatten();
    let present = volumes.map(|volume| &volume.name).find(|name| name.starts_with(VOLUME)).cloned();
    let name = present.clone().unwrap_or_else(|| generate_name(VOLUME));
    let mut needed = false;
    for container in spec.init_containers.iter_mut().flatten().chain(&mut spec.containers) {
        needed |= mount(container, &name);
    }
    if needed && present.is_none() {
        spec.volumes.get_or_insert_default().push(volume(name));
    }
}

/// Whether the volume was mounted.
fn mount(container: &mut Container, volume: &str) -> bool {
    let mounts = container.volume_mounts.get_or_insert_default();
    if mounts.iter().any(|mount| mount.mount_path == PATH) {
        return false;
    }
    mounts.push(VolumeMount {
        name: volume.to_owned(),
        read_only: Some(true),
        mount_path: PATH.to_owned(),
        ..VolumeMount::default()
    });
    true
}

fn volume(name: String) -> Volume {
    let token = ServiceAccountTokenProjection {
        path: "token".to_owned(),
        expiration_seconds: Some(LIFE),
        ..ServiceAccountTokenProjection::default()
    };
    let authority = ConfigMapProjection {
        name: "kube-root-ca.crt".to_owned(),
        items: Some(vec![KeyToPath { key: "ca.crt".to_owned(), path: "ca.crt".to_owned(), mode: None }]),
        ..ConfigMapProjection::default()
    };
    let field = ObjectFieldSelector { api_version: Some("v1".to_owned()), field_path: "metadata.namespace".to_owned() };
    let namespace = DownwardAPIVolumeFile {
        path: "namespace".to_owned(),
        field_ref: Some(field),
        ..DownwardAPIVolumeFile::default()
    };
    let sources = vec![
        VolumeProjection { service_account_token: Some(token), ..VolumeProjection::default() },
        VolumeProjection { config_map: Some(authority), ..VolumeProjection::default() },
        VolumeProjection {
            downward_api: Some(DownwardAPIProjection { items: Some(vec![namespace]) }),
            ..VolumeProjection::default()
        },
    ];
    let projected = ProjectedVolumeSource { default_mode: Some(MODE), sources: Some(sources) };
    Volume { name, projected: Some(projected), ..Volume::default() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn spec(json: serde_json::Value) -> PodSpec {
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn a_token_is_mounted_where_nothing_is() {
        let mut own = spec(json!({
            "initContainers": [{"name": "i", "volumeMounts": [{"name": "mine", "mountPath": PATH}]}],
            "containers": [{"name": "a"}, {"name": "b", "volumeMounts": [{"name": "x", "mountPath": "/x"}]}],
            "volumes": [{"name": "mine", "emptyDir": {}}],
        }));
        token(&mut own);
        let value = serde_json::to_value(&own).unwrap();
        let name = value["volumes"][1]["name"].as_str().unwrap();
        assert!(name.starts_with(VOLUME) && name.len() == VOLUME.len() + 5, "{name}");
        let mount = json!({"name": name, "readOnly": true, "mountPath": PATH});
        assert_eq!(value["initContainers"][0]["volumeMounts"].as_array().unwrap().len(), 1);
        assert_eq!(value["containers"][0]["volumeMounts"], json!([mount]));
        assert_eq!(value["containers"][1]["volumeMounts"][1], mount);
        let sources = json!([
            {"serviceAccountToken": {"path": "token", "expirationSeconds": 3607}},
            {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
            {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}]}},
        ]);
        assert_eq!(value["volumes"][1]["projected"], json!({"defaultMode": 420, "sources": sources}));
        let once = own.clone();
        token(&mut own);
        assert_eq!(own, once);
    }

    #[test]
    fn a_volume_that_is_there_is_used() {
        let mut own = spec(json!({
            "containers": [{"name": "a"}], "volumes": [{"name": "kube-api-access-mine", "emptyDir": {}}],
        }));
        token(&mut own);
        assert_eq!(own.volumes.as_ref().unwrap().len(), 1);
        assert_eq!(own.containers[0].volume_mounts.as_ref().unwrap()[0].name, "kube-api-access-mine");
        let mut full = spec(json!({"containers": [{"name": "a", "volumeMounts": [{"name": "v", "mountPath": PATH}]}]}));
        let before = full.clone();
        token(&mut full);
        assert_eq!(full, before);
    }
}
