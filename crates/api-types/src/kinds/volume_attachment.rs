//! `storage.k8s.io/v1.VolumeAttachment`.

use serde_json::Value;

use super::persistent_volume;
use crate::{
    field::{FieldError, Path},
    object::{Column, Kind},
    storage::{VolumeAttachment, VolumeAttachmentSource},
    table,
    validation::{meta::immutable, names, volume},
};

const MAX_METADATA: usize = 256 * 1024;
const MAX_MESSAGE: usize = 1024;
const EXACTLY_ONE: &str = "must specify exactly one of inlineVolumeSpec and persistentVolumeName";

impl Kind for VolumeAttachment {
    const COLUMNS: &'static [Column] = &[
        Column::NAME,
        Column::text("Attacher", ATTACHER).named(),
        Column::text("PV", VOLUME),
        Column::text("Node", NODE),
        Column::boolean("Attached", ATTACHED),
        Column::AGE,
    ];

    fn validate(&self) -> Vec<FieldError> {
        let path = Path::new("spec");
        let spec = &self.spec;
        let mut errors: Vec<FieldError> =
            names::required(&path.child("attacher"), &spec.attacher).into_iter().collect();
        errors.extend(source(&path.child("source"), &spec.source));
        errors.extend(names::check(names::dns1123_subdomain, &path.child("nodeName"), &spec.node_name));
        errors.extend(status(self));
        // What the first version let pass.
        if let Some(name) = &spec.source.persistent_volume_name {
            let path = path.child("source").child("persistentVolumeName");
            errors.extend(names::check(names::dns1123_subdomain, &path, name));
        }
        errors.extend(volume::driver_name(&path.child("attacher"), &spec.attacher));
        errors
    }

    fn revalidate(&self, old: &Self) -> Vec<FieldError> {
        let mut errors = self.validate();
        errors.retain(|_| self.spec != old.spec);
        errors
    }

    fn validate_update(&self, old: &Self) -> Vec<FieldError> {
        immutable(&Path::new("spec"), &self.spec, &old.spec).into_iter().collect()
    }

    fn validate_status_update(&self, _old: &Self) -> Vec<FieldError> {
        status(self)
    }

    fn cells(&self) -> Vec<Value> {
        vec![
            self.metadata.name.clone().into(),
            self.spec.attacher.clone().into(),
            self.spec.source.persistent_volume_name.clone().unwrap_or_default().into(),
            self.spec.node_name.clone().into(),
            self.status.as_ref().is_some_and(|status| status.attached).into(),
            table::age(self.metadata.creation_timestamp.as_ref()).into(),
        ]
    }
}

fn source(path: &Path, source: &VolumeAttachmentSource) -> Vec<FieldError> {
    let named = source.persistent_volume_name.as_ref().is_some_and(|name| !name.is_empty());
    match (&source.inline_volume_spec, named) {
        (None, false) => vec![FieldError::required(path, EXACTLY_ONE)],
        (Some(_), true) => {
            let value = serde_json::to_value(source).unwrap_or_default();
            vec![FieldError::invalid(path, value, EXACTLY_ONE)]
        }
        (None, true) => Vec::new(),
        (Some(spec), false) => persistent_volume::validate_inline(&path.child("inlineVolumeSpec"), spec),
    }
}

fn status(attachment: &VolumeAttachment) -> Vec<FieldError> {
    let Some(status) = &attachment.status else { return Vec::new() };
    let path = Path::new("status");
    let metadata_path = path.child("attachmentMetadata");
    let metadata = || status.attachment_metadata.iter().flatten();
    let nameless = metadata().filter(|(key, _)| key.is_empty());
    let mut errors: Vec<FieldError> =
        nameless.map(|(key, _)| FieldError::invalid(&metadata_path, key.as_str(), "field can not be empty")).collect();
    if metadata().map(|(key, value)| key.len() + value.len()).sum::<usize>() > MAX_METADATA {
        errors.push(FieldError::too_long(&metadata_path, MAX_METADATA));
    }
    for (field, error) in [("attachError", &status.attach_error), ("detachError", &status.detach_error)] {
        let message = error.as_ref().and_then(|error| error.message.as_ref());
        if message.is_some_and(|message| message.len() > MAX_MESSAGE) {
            errors.push(FieldError::too_long(&path.child(field).child("message"), MAX_MESSAGE));
        }
    }
    errors
}

const ATTACHER: &str = "attacher indicates the name of the volume driver that MUST handle this request. This is the name returned by GetPluginName().";
const VOLUME: &str = "persistentVolumeName represents the name of the persistent volume to attach.";
const NODE: &str = "nodeName represents the node that the volume should be attached to.";
const ATTACHED: &str = "attached indicates the volume is successfully attached. This field must only be set by the entity completing the attach operation, i.e. the external-attacher.";

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn mistakes_are_told() {
        let spec = |source: Value| json!({"attacher": "a", "nodeName": "n", "source": source});
        let csi = json!({"driver": "d", "volumeHandle": "h"});
        let cases = [
            (spec(json!({"persistentVolumeName": "v"})), vec![]),
            (spec(json!({"inlineVolumeSpec": {"accessModes": ["ReadWriteOnce"], "csi": csi}})), vec![]),
            (
                spec(json!({})),
                vec![
                    "spec.source: Required value: must specify exactly one of inlineVolumeSpec and persistentVolumeName",
                ],
            ),
            (
                spec(
                    json!({"inlineVolumeSpec": {"accessModes": ["ReadWriteOnce"], "nfs": {"server": "s", "path": "/"}}}),
                ),
                vec![
                    "spec.source.inlineVolumeSpec.csi: Required value: has to be specified in the context of inline volumes",
                ],
            ),
        ];
        for (spec, expected) in cases {
            let attachment: VolumeAttachment = serde_json::from_value(json!({"spec": spec})).unwrap();
            let errors: Vec<String> = attachment.validate().iter().map(ToString::to_string).collect();
            assert_eq!(errors, expected, "{spec}");
        }
    }
}
