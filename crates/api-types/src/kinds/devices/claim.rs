//! `resource.k8s.io/v1.ResourceClaim` and `ResourceClaimTemplate`.

use serde_json::Value;

use super::{allocation, request};
use crate::{
    devices::{ResourceClaim, ResourceClaimTemplate},
    field::{FieldError, Path},
    object::{Column, Kind},
    table,
    validation::meta,
};

impl Kind for ResourceClaim {
    const COLUMNS: &'static [Column] = &[
        Column::NAME,
        Column::text("State", "A summary of the current state (allocated, pending, reserved, etc.)."),
        Column::AGE,
    ];

    fn set_defaults(&mut self) {
        self.spec.devices.iter_mut().for_each(request::set_defaults);
        let tolerations = self.status.iter_mut().flat_map(|status| status.allocation.iter_mut());
        tolerations.for_each(allocation::set_defaults);
    }

    fn validate(&self) -> Vec<FieldError> {
        request::validate(&Path::new("spec").child("devices"), self.spec.devices.as_ref())
    }

    // What cannot change need not be looked at again.
    fn revalidate(&self, _old: &Self) -> Vec<FieldError> {
        Vec::new()
    }

    fn validate_update(&self, old: &Self) -> Vec<FieldError> {
        meta::immutable(&Path::new("spec"), &self.spec, &old.spec).into_iter().collect()
    }

    fn validate_status_update(&self, old: &Self) -> Vec<FieldError> {
        allocation::validate_update(self, old)
    }

    fn cells(&self) -> Vec<Value> {
        vec![
            self.metadata.name.clone().into(),
            state(self).into(),
            table::age(self.metadata.creation_timestamp.as_ref()).into(),
        ]
    }
}

fn state(own: &ResourceClaim) -> String {
    let deleted = own.metadata.deletion_timestamp.is_some();
    let status = own.status.as_ref();
    let allocated = status.is_some_and(|status| status.allocation.is_some());
    let reserved = status.and_then(|status| status.reserved_for.as_ref()).is_some_and(|users| !users.is_empty());
    let states = [
        ("deleted", deleted),
        ("pending", !allocated && !deleted),
        ("allocated", allocated),
        ("reserved", allocated && reserved),
    ];
    states.into_iter().filter(|(_, is)| *is).map(|(state, _)| state).collect::<Vec<_>>().join(",")
}

impl Kind for ResourceClaimTemplate {
    fn set_defaults(&mut self) {
        self.spec.spec.devices.iter_mut().for_each(request::set_defaults);
    }

    fn validate(&self) -> Vec<FieldError> {
        let path = Path::new("spec");
        let metadata = self.spec.metadata.clone().unwrap_or_default();
        let metadata_path = path.child("metadata");
        let mut errors = Vec::new();
        if let Some(annotations) = &metadata.annotations {
            errors.extend(meta::annotations(&metadata_path.child("annotations"), annotations));
        }
        if let Some(labels) = &metadata.labels {
            errors.extend(meta::labels(&metadata_path.child("labels"), labels));
        }
        errors.extend(request::validate(&path.child("spec").child("devices"), self.spec.spec.devices.as_ref()));
        errors
    }

    fn revalidate(&self, _old: &Self) -> Vec<FieldError> {
        Vec::new()
    }

    fn validate_update(&self, old: &Self) -> Vec<FieldError> {
        meta::immutable(&Path::new("spec"), &self.spec, &old.spec).into_iter().collect()
    }
}
