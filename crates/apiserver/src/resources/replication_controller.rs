//! Replication controllers.

use api_types::{autoscaling::Scale, core::ReplicationController, selector::label::Selector};

use super::apps::scale_of;
use crate::registry::{TypedStrategy, shape::Counted, strategy::Dependents};

pub(super) struct ReplicationControllers;

impl TypedStrategy for ReplicationControllers {
    type Kind = ReplicationController;
    type Shape = Counted;
    /// As it was before there was a garbage collector.
    const DEPENDENTS: Dependents = Dependents::Orphaned;

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
