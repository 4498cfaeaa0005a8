//! Claims of devices.

use api_types::devices::{AllocationResult, ResourceClaim};

use crate::registry::{Part, TypedStrategy, shape::Fresh, strategy::DeleteAnswer};

/// Claims say nothing of devices that they had and have no longer.
pub struct Claims;

impl TypedStrategy for Claims {
    type Kind = ResourceClaim;
    type Shape = Fresh;
    const DELETE_ANSWER: DeleteAnswer = DeleteAnswer::Object;

    fn prepare_for_part_update(&self, _part: Part, new: &mut ResourceClaim, old: &ResourceClaim) {
        let before = old.status.as_ref().and_then(|status| status.allocation.as_ref());
        let (Some(before), Some(status)) = (before, &mut new.status) else { return };
        let now = status.allocation.clone();
        let lost = |driver: &str, pool: &str, device: &str, share: Option<&str>| {
            let has = |allocation: &AllocationResult| has(allocation, (driver, pool, device, share));
            has(before) && !now.as_ref().is_some_and(has)
        };
        if let Some(devices) = &mut status.devices {
            devices.retain(|own| !lost(&own.driver, &own.pool, &own.device, own.share_id.as_deref()));
        }
        status.devices.take_if(|devices| devices.is_empty());
    }
}

fn has(allocation: &AllocationResult, device: (&str, &str, &str, Option<&str>)) -> bool {
    let results = allocation.devices.iter().flat_map(|devices| devices.results.iter().flatten());
    results.into_iter().any(|own| (&*own.driver, &*own.pool, &*own.device, own.share_id.as_deref()) == device)
}
