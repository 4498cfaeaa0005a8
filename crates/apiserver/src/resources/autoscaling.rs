//! Autoscalers: one resource, stored as `autoscaling/v2`, served as that and as `autoscaling/v1`.

use api_types::{
    AUTOSCALER_SPEC_ANNOTATIONS, AUTOSCALER_STATUS_ANNOTATIONS, autoscaler_from_v1, autoscaler_to_v1,
    autoscaling as v1, autoscaling_v2 as v2, meta::ObjectMeta,
};

use crate::registry::{Part, TypedStrategy, conversion::Between, shape::Fresh};

pub(super) struct Autoscalers;

impl TypedStrategy for Autoscalers {
    type Kind = v2::HorizontalPodAutoscaler;
    type Shape = Fresh;
}

/// The old version says in annotations what it has no fields for: each door writes its own.
pub(super) struct OldAutoscalers;

impl TypedStrategy for OldAutoscalers {
    type Kind = v1::HorizontalPodAutoscaler;
    type Shape = Fresh;

    fn prepare_for_create(&self, new: &mut v1::HorizontalPodAutoscaler) {
        keep(&mut new.metadata, &ObjectMeta::default(), AUTOSCALER_STATUS_ANNOTATIONS);
    }

    fn prepare_for_update(&self, new: &mut v1::HorizontalPodAutoscaler, old: &v1::HorizontalPodAutoscaler) {
        keep(&mut new.metadata, &old.metadata, AUTOSCALER_STATUS_ANNOTATIONS);
    }

    fn prepare_for_part_update(
        &self,
        _part: Part,
        new: &mut v1::HorizontalPodAutoscaler,
        old: &v1::HorizontalPodAutoscaler,
    ) {
        keep(&mut new.metadata, &old.metadata, AUTOSCALER_SPEC_ANNOTATIONS);
    }
}

/// Has these annotations as they were.
fn keep(new: &mut ObjectMeta, old: &ObjectMeta, keys: [&str; 2]) {
    for key in keys {
        let before = old.annotations.as_ref().and_then(|own| own.get(key));
        match (before, &mut new.annotations) {
            (Some(before), annotations) => {
                annotations.get_or_insert_default().insert(key.to_owned(), before.clone());
            }
            (None, Some(annotations)) => drop(annotations.remove(key)),
            (None, None) => {}
        }
    }
}

/// Between `autoscaling/v1` and `autoscaling/v2`, in which autoscalers are stored.
pub(super) const CONVERSION: Between<v1::HorizontalPodAutoscaler, v2::HorizontalPodAutoscaler> =
    Between { to_stored: autoscaler_from_v1, to_served: autoscaler_to_v1 };
