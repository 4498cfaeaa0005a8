//! Priority classes.

use api_types::{SYSTEM_PRIORITY_CLASSES, scheduling::PriorityClass};

use crate::registry::{TypedStrategy, shape::Plain};

pub(super) struct PriorityClasses;

impl TypedStrategy for PriorityClasses {
    type Kind = PriorityClass;
    type Shape = Plain;

    fn prepare_for_create(&self, new: &mut PriorityClass) {
        new.metadata.generation = Some(1);
    }

    fn undeletable(&self, class: &PriorityClass) -> Option<&'static str> {
        let own = class.metadata.name.as_deref();
        let system = SYSTEM_PRIORITY_CLASSES.iter().any(|(name, ..)| own == Some(name));
        system.then_some("this is a system priority class and cannot be deleted")
    }
}
