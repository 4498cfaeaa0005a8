//! `v1.Service`.

mod columns;
mod defaults;
mod validate;
mod warnings;

use serde_json::Value;

use crate::{
    core::Service,
    field::FieldError,
    object::{Column, Kind, SelectableField},
};

impl Kind for Service {
    const COLUMNS: &'static [Column] = columns::COLUMNS;

    const SELECTABLE: &'static [SelectableField] =
        &[SelectableField::text("spec.clusterIP"), SelectableField::text("spec.type")];

    fn set_defaults(&mut self) {
        defaults::set_defaults(self);
    }

    fn validate(&self) -> Vec<FieldError> {
        validate::validate(self)
    }

    fn validate_update(&self, old: &Self) -> Vec<FieldError> {
        validate::validate_update(self, old)
    }

    fn validate_status_update(&self, old: &Self) -> Vec<FieldError> {
        validate::validate_status(self, old)
    }

    fn warnings(&self, _old: Option<&Self>) -> Vec<String> {
        warnings::of(self)
    }

    fn cells(&self) -> Vec<Value> {
        columns::cells(self)
    }
}
