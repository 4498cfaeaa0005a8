//! `coordination.k8s.io/v1.Lease`.

use serde_json::Value;

use crate::{
    coordination::Lease,
    field::{FieldError, Path},
    object::{Column, Kind},
    table,
};

impl Kind for Lease {
    const COLUMNS: &'static [Column] = &[
        Column::NAME,
        Column::text(
            "Holder",
            "holderIdentity contains the identity of the holder of a current lease. If Coordinated Leader Election is used, the holder identity must be equal to the elected LeaseCandidate.metadata.name field.",
        ),
        Column::AGE,
    ];

    fn validate(&self) -> Vec<FieldError> {
        let Some(spec) = &self.spec else { return Vec::new() };
        let path = Path::new("spec");
        let mut errors = Vec::new();
        if let Some(seconds) = spec.lease_duration_seconds.filter(|seconds| *seconds <= 0) {
            errors.push(FieldError::invalid(&path.child("leaseDurationSeconds"), seconds, "must be greater than 0"));
        }
        if let Some(count) = spec.lease_transitions.filter(|count| *count < 0) {
            let detail = "must be greater than or equal to 0";
            errors.push(FieldError::invalid(&path.child("leaseTransitions"), count, detail));
        }
        errors
    }

    fn cells(&self) -> Vec<Value> {
        let holder = self.spec.as_ref().and_then(|spec| spec.holder_identity.clone()).unwrap_or_default();
        vec![
            self.metadata.name.clone().into(),
            holder.into(),
            table::age(self.metadata.creation_timestamp.as_ref()).into(),
        ]
    }
}
