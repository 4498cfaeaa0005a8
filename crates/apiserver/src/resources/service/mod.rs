//! Services.

use api_types::core::Service;

use crate::registry::{
    Part, TypedStrategy,
    strategy::{AbsentUpdate, DeleteAnswer},
};

pub(super) struct Services;

impl TypedStrategy for Services {
    type Kind = Service;
    const ABSENT_UPDATE: AbsentUpdate = AbsentUpdate::Creates;
    const DELETE_ANSWER: DeleteAnswer = DeleteAnswer::Object;

    fn prepare_for_create(&self, new: &mut Service) {
        new.status = Some(Default::default());
    }

    fn prepare_for_update(&self, new: &mut Service, old: &Service) {
        new.status.clone_from(&old.status);
    }

    fn prepare_for_part_update(&self, _part: Part, new: &mut Service, old: &Service) {
        new.spec.clone_from(&old.spec);
    }
}
