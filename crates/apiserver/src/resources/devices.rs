//! Claims of devices.

use std::collections::HashSet;

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
        let (before, now) = (allocated(Some(before)), allocated(status.allocation.as_ref()));
        if let Some(devices) = &mut status.devices {
            devices.retain(|own| {
                let device = (&*own.driver, &*own.pool, &*own.device, own.share_id.as_deref());
                now.contains(&device) || !before.contains(&device)
            });
        }
        status.devices.take_if(|devices| devices.is_empty());
    }
}

/// Driver, pool, device and share.
type Device<'a> = (&'a str, &'a str, &'a str, Option<&'a str>);

fn allocated(allocation: Option<&AllocationResult>) -> HashSet<Device<'_>> {
    let devices = allocation.and_then(|allocation| allocation.devices.as_ref());
    let results = devices.into_iter().flat_map(|devices| devices.results.iter().flatten());
    results.map(|own| (&*own.driver, &*own.pool, &*own.device, own.share_id.as_deref())).collect()
}
