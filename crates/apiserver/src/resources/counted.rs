//! Kinds in one part whose changes are counted.

use api_types::core::PodTemplate;

use crate::registry::{
    TypedStrategy,
    shape::{Plain, advance},
    strategy::DeleteAnswer,
};

pub(super) struct PodTemplates;

impl TypedStrategy for PodTemplates {
    type Kind = PodTemplate;
    type Shape = Plain;
    const DELETE_ANSWER: DeleteAnswer = DeleteAnswer::Object;

    fn prepare_for_create(&self, new: &mut PodTemplate) {
        new.metadata.generation = Some(1);
    }

    fn prepare_for_update(&self, new: &mut PodTemplate, old: &PodTemplate) {
        if new.template != old.template {
            advance(&mut new.metadata);
        }
    }
}
