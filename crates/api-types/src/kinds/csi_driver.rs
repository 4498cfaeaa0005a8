//! `storage.k8s.io/v1.CSIDriver`.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::{
    field::{FieldError, Path},
    object::{Column, Kind},
    storage::{CSIDriver, CSIDriverSpec, TokenRequest},
    table,
    validation::{meta::immutable, volume},
};

const FS_GROUP_POLICIES: &[&str] = &["File", "None", "ReadWriteOnceWithFSType"];
const LIFECYCLES: &[&str] = &["Persistent", "Ephemeral"];
/// In seconds.
const MIN_TOKEN: i64 = 600;
const MAX_TOKEN: i64 = 1 << 32;
const MIN_PERIOD: i64 = 10;

impl Kind for CSIDriver {
    const COLUMNS: &'static [Column] = &[
        Column::NAME,
        Column::boolean("AttachRequired", ATTACH_REQUIRED),
        Column::boolean("PodInfoOnMount", POD_INFO),
        Column::boolean("StorageCapacity", STORAGE_CAPACITY),
        Column::text("TokenRequests", TOKEN_REQUESTS),
        Column::boolean("RequiresRepublish", REQUIRES_REPUBLISH),
        Column::text("Modes", LIFECYCLE_MODES),
        Column::AGE,
    ];

    fn set_defaults(&mut self) {
        let spec = &mut self.spec;
        spec.attach_required.get_or_insert(true);
        spec.pod_info_on_mount.get_or_insert(false);
        spec.storage_capacity.get_or_insert(false);
        spec.fs_group_policy.get_or_insert_with(|| "ReadWriteOnceWithFSType".to_owned());
        if spec.volume_lifecycle_modes.as_ref().is_none_or(Vec::is_empty) {
            spec.volume_lifecycle_modes = Some(vec![LIFECYCLES[0].to_owned()]);
        }
        spec.requires_republish.get_or_insert(false);
        spec.se_linux_mount.get_or_insert(false);
    }

    fn validate(&self) -> Vec<FieldError> {
        let name = self.metadata.name.as_deref().unwrap_or_default();
        let mut errors = volume::driver_name(&Path::new("name"), name);
        errors.extend(validate_spec(&Path::new("spec"), &self.spec));
        errors
    }

    fn revalidate(&self, _old: &Self) -> Vec<FieldError> {
        let path = Path::new("spec");
        let mut errors = token_requests(&path.child("tokenRequests"), &self.spec);
        errors.extend(tokens_in_secrets(&path, &self.spec));
        errors.extend(period(&path, &self.spec));
        errors
    }

    fn validate_update(&self, old: &Self) -> Vec<FieldError> {
        let path = Path::new("spec");
        let (new, old) = (&self.spec, &old.spec);
        let attach = immutable(&path.child("attachedRequired"), &new.attach_required, &old.attach_required);
        let modes = &path.child("volumeLifecycleModes");
        attach.into_iter().chain(immutable(modes, &new.volume_lifecycle_modes, &old.volume_lifecycle_modes)).collect()
    }

    fn cells(&self) -> Vec<Value> {
        let spec = &self.spec;
        let audiences = spec.token_requests.as_ref().map(|requests| {
            let audiences: Vec<&str> = requests.iter().map(|request| request.audience.as_str()).collect();
            audiences.join(",")
        });
        vec![
            self.metadata.name.clone().into(),
            spec.attach_required.unwrap_or(true).into(),
            spec.pod_info_on_mount.unwrap_or_default().into(),
            spec.storage_capacity.unwrap_or_default().into(),
            audiences.unwrap_or_else(|| "<unset>".to_owned()).into(),
            spec.requires_republish.unwrap_or_default().into(),
            table::or_none(spec.volume_lifecycle_modes.as_ref().map(|modes| modes.join(",")).as_deref()).into(),
            table::age(self.metadata.creation_timestamp.as_ref()).into(),
        ]
    }
}

fn validate_spec(path: &Path, spec: &CSIDriverSpec) -> Vec<FieldError> {
    let needed = [
        ("attachedRequired", spec.attach_required),
        ("podInfoOnMount", spec.pod_info_on_mount),
        ("storageCapacity", spec.storage_capacity),
    ];
    let missing = needed.into_iter().filter(|(_, own)| own.is_none());
    let mut errors: Vec<FieldError> = missing.map(|(field, _)| FieldError::required(&path.child(field), "")).collect();
    match spec.fs_group_policy.as_deref() {
        None => errors.push(FieldError::required(&path.child("fsGroupPolicy"), "")),
        Some(own) if !FS_GROUP_POLICIES.contains(&own) => {
            errors.push(FieldError::not_supported(&path.child("fsGroupPolicy"), own, FS_GROUP_POLICIES));
        }
        Some(_) => {}
    }
    errors.extend(token_requests(&path.child("tokenRequests"), spec));
    errors.extend(tokens_in_secrets(path, spec));
    let modes = spec.volume_lifecycle_modes.iter().flatten().map(String::as_str);
    let unknown = modes.filter(|mode| !LIFECYCLES.contains(mode));
    errors.extend(unknown.map(|mode| FieldError::not_supported(&path.child("volumeLifecycleModes"), mode, LIFECYCLES)));
    if spec.se_linux_mount.is_none() {
        errors.push(FieldError::required(&path.child("seLinuxMount"), ""));
    }
    errors.extend(period(path, spec));
    errors
}

/// Where tokens are shown is said only of tokens that are asked for.
fn tokens_in_secrets(path: &Path, spec: &CSIDriverSpec) -> Option<FieldError> {
    let own = spec.service_account_token_in_secrets?;
    let detail = "serviceAccountTokenInSecrets is set but no tokenRequests are specified";
    let none = spec.token_requests.as_ref().is_none_or(Vec::is_empty);
    none.then(|| FieldError::invalid(&path.child("serviceAccountTokenInSecrets"), own, detail))
}

fn token_requests(path: &Path, spec: &CSIDriverSpec) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let mut taken = BTreeSet::new();
    for (i, TokenRequest { audience, expiration_seconds }) in spec.token_requests.iter().flatten().enumerate() {
        let path = path.index(i);
        if !taken.insert(audience) {
            errors.push(FieldError::duplicate(&path.child("audience"), audience.as_str()));
            continue;
        }
        let detail = match expiration_seconds {
            Some(seconds) if *seconds < MIN_TOKEN => "may not specify a duration less than 10 minutes",
            Some(seconds) if *seconds > MAX_TOKEN => "may not specify a duration larger than 2^32 seconds",
            _ => continue,
        };
        errors.push(FieldError::invalid(&path.child("expirationSeconds"), *expiration_seconds, detail));
    }
    errors
}

fn period(path: &Path, spec: &CSIDriverSpec) -> Option<FieldError> {
    let own = spec.node_allocatable_update_period_seconds.filter(|own| *own < MIN_PERIOD)?;
    let detail = format!("must be greater than or equal to {MIN_PERIOD} seconds");
    Some(FieldError::invalid(&path.child("nodeAllocatableUpdatePeriodSeconds"), own, detail))
}

const ATTACH_REQUIRED: &str = "attachRequired indicates this CSI volume driver requires an attach operation (because it implements the CSI ControllerPublishVolume() method), and that the Kubernetes attach detach controller should call the attach volume interface which checks the volumeattachment status and waits until the volume is attached before proceeding to mounting. The CSI external-attacher coordinates with CSI volume driver and updates the volumeattachment status when the attach operation is complete. If the value is specified to false, the attach operation will be skipped. Otherwise the attach operation will be called.\n\nThis field is immutable.";
const POD_INFO: &str = "podInfoOnMount indicates this CSI volume driver requires additional pod information (like podName, podUID, etc.) during mount operations, if set to true. If set to false, pod information will not be passed on mount. Default is false.\n\nThe CSI driver specifies podInfoOnMount as part of driver deployment. If true, Kubelet will pass pod information as VolumeContext in the CSI NodePublishVolume() calls. The CSI driver is responsible for parsing and validating the information passed in as VolumeContext.\n\nThe following VolumeContext will be passed if podInfoOnMount is set to true. This list might grow, but the prefix will be used. \"csi.storage.k8s.io/pod.name\": pod.Name \"csi.storage.k8s.io/pod.namespace\": pod.Namespace \"csi.storage.k8s.io/pod.uid\": string(pod.UID) \"csi.storage.k8s.io/ephemeral\": \"true\" if the volume is an ephemeral inline volume\n                                defined by a CSIVolumeSource, otherwise \"false\"\n\n\"csi.storage.k8s.io/ephemeral\" is a new feature in Kubernetes 1.16. It is only required for drivers which support both the \"Persistent\" and \"Ephemeral\" VolumeLifecycleMode. Other drivers can leave pod info disabled and/or ignore this field. As Kubernetes 1.15 doesn't support this field, drivers can only support one mode when deployed on such a cluster and the deployment determines which mode that is, for example via a command line parameter of the driver.\n\nThis field was immutable in Kubernetes < 1.29 and now is mutable.";
const STORAGE_CAPACITY: &str = "storageCapacity indicates that the CSI volume driver wants pod scheduling to consider the storage capacity that the driver deployment will report by creating CSIStorageCapacity objects with capacity information, if set to true.\n\nThe check can be enabled immediately when deploying a driver. In that case, provisioning new volumes with late binding will pause until the driver deployment has published some suitable CSIStorageCapacity object.\n\nAlternatively, the driver can be deployed with the field unset or false and it can be flipped later when storage capacity information has been published.\n\nThis field was immutable in Kubernetes <= 1.22 and now is mutable.";
const TOKEN_REQUESTS: &str = "tokenRequests indicates the CSI driver needs pods' service account tokens it is mounting volume for to do necessary authentication. Kubelet will pass the tokens in VolumeContext in the CSI NodePublishVolume calls. The CSI driver should parse and validate the following VolumeContext: \"csi.storage.k8s.io/serviceAccount.tokens\": {\n  \"<audience>\": {\n    \"token\": <token>,\n    \"expirationTimestamp\": <expiration timestamp in RFC3339>,\n  },\n  ...\n}\n\nNote: Audience in each TokenRequest should be different and at most one token is empty string. To receive a new token after expiry, RequiresRepublish can be used to trigger NodePublishVolume periodically.";
const REQUIRES_REPUBLISH: &str = "requiresRepublish indicates the CSI driver wants `NodePublishVolume` being periodically called to reflect any possible change in the mounted volume. This field defaults to false.\n\nNote: After a successful initial NodePublishVolume call, subsequent calls to NodePublishVolume should only update the contents of the volume. New mount points will not be seen by a running container.";
const LIFECYCLE_MODES: &str = "volumeLifecycleModes defines what kind of volumes this CSI volume driver supports. The default if the list is empty is \"Persistent\", which is the usage defined by the CSI specification and implemented in Kubernetes via the usual PV/PVC mechanism.\n\nThe other mode is \"Ephemeral\". In this mode, volumes are defined inline inside the pod spec with CSIVolumeSource and their lifecycle is tied to the lifecycle of that pod. A driver has to be aware of this because it is only going to get a NodePublishVolume call for such a volume.\n\nFor more information about implementing this mode, see https://kubernetes-csi.github.io/docs/ephemeral-local-volumes.html A driver can support one or more of these modes and more modes may be added in the future.\n\nThis field is beta. This field is immutable.";

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn driver(spec: Value) -> CSIDriver {
        let mut driver: CSIDriver = serde_json::from_value(json!({"metadata": {"name": "d"}, "spec": spec})).unwrap();
        driver.set_defaults();
        driver
    }

    #[test]
    fn mistakes_are_told() {
        let cases = [
            (json!({}), vec![]),
            (
                json!({"fsGroupPolicy": "x", "volumeLifecycleModes": ["y"]}),
                vec![
                    r#"spec.fsGroupPolicy: Unsupported value: "x": supported values: "File", "None", "ReadWriteOnceWithFSType""#,
                    r#"spec.volumeLifecycleModes: Unsupported value: "y": supported values: "Ephemeral", "Persistent""#,
                ],
            ),
            (
                json!({"serviceAccountTokenInSecrets": true}),
                vec![
                    "spec.serviceAccountTokenInSecrets: Invalid value: true: serviceAccountTokenInSecrets is set but no tokenRequests are specified",
                ],
            ),
            (json!({"serviceAccountTokenInSecrets": true, "tokenRequests": [{"audience": "a"}]}), vec![]),
            (
                json!({"tokenRequests": [{"audience": "a", "expirationSeconds": 1}, {"audience": "a"}]}),
                vec![
                    "spec.tokenRequests[0].expirationSeconds: Invalid value: 1: may not specify a duration less than 10 minutes",
                    r#"spec.tokenRequests[1].audience: Duplicate value: "a""#,
                ],
            ),
        ];
        for (spec, expected) in cases {
            let errors: Vec<String> = driver(spec).validate().iter().map(ToString::to_string).collect();
            assert_eq!(errors, expected);
        }
        let errors = driver(json!({"attachRequired": false})).validate_update(&driver(json!({})));
        assert_eq!(errors[0].to_string(), "spec.attachedRequired: Invalid value: false: field is immutable");
    }
}
