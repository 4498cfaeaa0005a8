//! Disruption budgets.

use api_types::policy::{PodDisruptionBudget, PodDisruptionBudgetStatus};

use crate::registry::{TypedStrategy, shape::Counted, strategy::BlindUpdate};

pub(super) struct Budgets;

impl TypedStrategy for Budgets {
    type Kind = PodDisruptionBudget;
    type Shape = Counted;
    const BLIND_UPDATE: BlindUpdate = BlindUpdate::Refused;

    fn prepare_for_create(&self, new: &mut PodDisruptionBudget) {
        new.status = Some(PodDisruptionBudgetStatus {
            current_healthy: Some(0),
            desired_healthy: Some(0),
            disruptions_allowed: Some(0),
            expected_pods: Some(0),
            ..PodDisruptionBudgetStatus::default()
        });
    }
}
