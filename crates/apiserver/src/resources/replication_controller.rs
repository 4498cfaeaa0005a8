//! Replication controllers.

use api_types::{autoscaling::Scale, core::ReplicationController, selector::label::Selector};

use super::apps::{next_generation, scale_of};
use crate::registry::{Part, TypedStrategy, strategy::Dependents};

pub(super) struct ReplicationControllers;

impl TypedStrategy for ReplicationControllers {
    type Kind = ReplicationController;
    /// As it was before there was a garbage collector.
    const DEPENDENTS: Dependents = Dependents::Orphaned;

    fn prepare_for_create(&self, new: &mut ReplicationController) {
        new.metadata.generation = Some(1);
        new.status = Some(Default::default());
    }

    fn prepare_for_update(&self, new: &mut ReplicationController, old: &ReplicationController) {
        new.status.clone_from(&old.status);
        let same = new.spec == old.spec;
        new.metadata.generation = next_generation(&old.metadata, same);
    }

    fn prepare_for_part_update(&self, _part: Part, new: &mut ReplicationController, old: &ReplicationController) {
        new.spec.clone_from(&old.spec);
        new.metadata.labels.clone_from(&old.metadata.labels);
    }

    fn scale(&self, controller: &ReplicationController) -> Option<Scale> {
        let spec = controller.spec.as_ref()?;
        let running = controller.status.as_ref().map(|status| status.replicas);
        let selector = spec.selector.as_ref().map(|labels| Selector::from_labels(labels).to_string());
        Some(scale_of(&controller.metadata, spec.replicas, running, selector.unwrap_or_default()))
    }

    fn set_replicas(&self, controller: &mut ReplicationController, replicas: i32) {
        if let Some(spec) = &mut controller.spec {
            spec.replicas = Some(replicas);
        }
    }
}
