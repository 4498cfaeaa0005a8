//! Which images there are, and on how many nodes.

use std::{collections::BTreeMap, sync::Arc};

/// Nodes by image.
#[derive(Clone, Debug, Default)]
pub struct Images(BTreeMap<Arc<str>, usize>);

impl Images {
    /// How many nodes have an image.
    #[must_use]
    pub fn nodes(&self, name: &str) -> usize {
        self.0.get(name).copied().unwrap_or(0)
    }

    pub(super) fn add(&mut self, images: &[(Arc<str>, i64)]) {
        for (name, _) in images {
            *self.0.entry(Arc::clone(name)).or_default() += 1;
        }
    }

    pub(super) fn remove(&mut self, images: &[(Arc<str>, i64)]) {
        for (name, _) in images {
            if let Some(nodes) = self.0.get_mut(name) {
                *nodes -= 1;
                if *nodes == 0 {
                    self.0.remove(name);
                }
            }
        }
    }
}
