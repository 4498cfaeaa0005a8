//! What is special about kinds of networking.

use api_types::networking::ServiceCIDR;

use crate::registry::{Part, TypedStrategy, metadata::keep_all, shape::Plain};

/// Ranges of cluster IPs. Whoever writes one writes its status, too, as upstream has it.
pub(super) struct ServiceCidrs;

impl TypedStrategy for ServiceCidrs {
    type Kind = ServiceCIDR;
    type Shape = Plain;

    fn prepare_for_part_update(&self, _part: Part, new: &mut ServiceCIDR, old: &ServiceCIDR) {
        new.spec.clone_from(&old.spec);
        keep_all(&mut new.metadata, &old.metadata);
    }
}
