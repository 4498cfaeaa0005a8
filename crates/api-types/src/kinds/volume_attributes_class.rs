//! `storage.k8s.io/v1.VolumeAttributesClass`.

use serde_json::Value;

use crate::{
    field::{FieldError, Path},
    object::{Column, Kind},
    storage::VolumeAttributesClass,
    table,
    validation::volume,
};

const DEFAULT_ANNOTATION: &str = "volumeattributesclass.alpha.kubernetes.io/is-default-class";

impl Kind for VolumeAttributesClass {
    const COLUMNS: &'static [Column] =
        &[Column::NAME, Column::text("DriverName", "Name of the CSI driver This field is immutable."), Column::AGE];

    fn validate(&self) -> Vec<FieldError> {
        let mut errors = volume::provisioner(&Path::new("driverName"), &self.driver_name);
        let path = Path::new("parameters");
        if self.parameters.as_ref().is_none_or(|own| own.is_empty()) {
            errors.push(FieldError::required(&path, "must contain at least one key/value pair"));
        }
        errors.extend(volume::parameters(&path, self.parameters.as_ref()));
        errors
    }

    fn validate_update(&self, old: &Self) -> Vec<FieldError> {
        let changed =
            [("driverName", self.driver_name != old.driver_name), ("parameters", self.parameters != old.parameters)];
        let changed = changed.into_iter().filter(|(_, changed)| *changed);
        let detail = |field| format!("updates to {field} are forbidden.");
        changed.map(|(field, _)| FieldError::forbidden(&Path::new(field), detail(field))).collect()
    }

    fn cells(&self) -> Vec<Value> {
        let annotations = self.metadata.annotations.as_ref();
        let default = annotations.and_then(|own| own.get(DEFAULT_ANNOTATION)).is_some_and(|own| own == "true");
        let suffix = if default { " (default)" } else { "" };
        vec![
            format!("{}{suffix}", self.metadata.name.as_deref().unwrap_or_default()).into(),
            self.driver_name.clone().into(),
            table::age(self.metadata.creation_timestamp.as_ref()).into(),
        ]
    }
}
