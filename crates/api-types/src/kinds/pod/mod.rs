//! `v1.Pod`.

mod columns;
mod update;

use serde_json::Value;

use crate::{
    core::{Pod, PodSpec},
    field::{FieldError, Path},
    object::{Column, Kind, SelectableField},
    pod_spec::{defaults, validate},
};

impl Kind for Pod {
    const COLUMNS: &'static [Column] = columns::COLUMNS;

    const SELECTABLE: &'static [SelectableField] = &[
        SelectableField::text("spec.nodeName"),
        SelectableField::text("spec.restartPolicy"),
        SelectableField::text("spec.schedulerName"),
        SelectableField::text("spec.serviceAccountName"),
        SelectableField::boolean("spec.hostNetwork"),
        SelectableField::text("status.phase"),
        SelectableField::text("status.podIP"),
        SelectableField::text("status.nominatedNodeName"),
    ];

    fn set_defaults(&mut self) {
        let spec = self.spec.get_or_insert_default();
        defaults::set_defaults(spec);
        defaults::set_pod_defaults(spec);
    }

    fn validate(&self) -> Vec<FieldError> {
        let path = Path::new("spec");
        match &self.spec {
            Some(spec) => validate::validate(&path, spec),
            None => validate::validate(&path, &PodSpec::default()),
        }
    }

    fn validate_update(&self, old: &Self) -> Vec<FieldError> {
        update::validate(self, old)
    }

    fn validate_status_update(&self, old: &Self) -> Vec<FieldError> {
        update::validate_status(self, old)
    }

    fn cells(&self) -> Vec<Value> {
        columns::cells(self)
    }
}
