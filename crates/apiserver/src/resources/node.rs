//! Nodes.

use api_types::core::Node;

use crate::registry::{Part, TypedStrategy};

pub(super) struct Nodes;

impl TypedStrategy for Nodes {
    type Kind = Node;

    fn prepare_for_update(&self, new: &mut Node, old: &Node) {
        new.status.clone_from(&old.status);
    }

    fn prepare_for_part_update(&self, _part: Part, new: &mut Node, old: &Node) {
        new.spec.clone_from(&old.spec);
    }
}
