//! `autoscaling/v1.HorizontalPodAutoscaler`: what it says is checked and shown as what it means.

use serde_json::Value;

use super::{COLUMNS, convert::from_v1};
use crate::{
    autoscaling::HorizontalPodAutoscaler,
    field::FieldError,
    object::{Column, Kind},
};

impl Kind for HorizontalPodAutoscaler {
    const COLUMNS: &'static [Column] = COLUMNS;

    fn set_defaults(&mut self) {
        self.spec.min_replicas.get_or_insert(1);
    }

    fn validate(&self) -> Vec<FieldError> {
        from_v1(self).validate()
    }

    fn revalidate(&self, old: &Self) -> Vec<FieldError> {
        from_v1(self).revalidate(&from_v1(old))
    }

    fn validate_status_update(&self, old: &Self) -> Vec<FieldError> {
        from_v1(self).validate_status_update(&from_v1(old))
    }

    fn cells(&self) -> Vec<Value> {
        from_v1(self).cells()
    }
}
