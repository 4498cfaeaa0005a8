//! What has happened in the cluster, and whether it helps a pod that waits.

use std::sync::Arc;

use crate::model::{Node, Pod};

/// A change that may let a waiting pod in, with what it was before and what it is now.
#[derive(Clone, Debug)]
pub enum Change {
    /// A node came, changed, or went.
    Node {
        /// `None` when it came.
        old: Option<Arc<Node>>,
        /// `None` when it went.
        new: Option<Arc<Node>>,
    },
    /// A pod that holds a node's resources came onto its node, changed, or went.
    Pod {
        /// `None` when it came.
        old: Option<Arc<Pod>>,
        /// `None` when it went, or is over.
        new: Option<Arc<Pod>>,
    },
    /// The waiting pod itself changed.
    Own {
        /// Before.
        old: Arc<Pod>,
        /// Now.
        new: Arc<Pod>,
    },
}

/// What is remembered of a pod that no node takes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rejected {
    /// The plugins that rejected it, by name.
    pub by: Vec<&'static str>,
    /// Whichever pods go, no node will take it.
    pub hopeless: bool,
}

impl Change {
    /// Whether a pod went, and that is all.
    #[must_use]
    pub const fn only_makes_room(&self) -> bool {
        matches!(self, Self::Pod { new: None, .. })
    }
}

/// A plugin's opinion of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hint {
    /// The pod may fit now.
    Queue,
    /// It makes no difference.
    Skip,
}

impl Hint {
    /// `Queue` if so.
    #[must_use]
    pub const fn when(helps: bool) -> Self {
        if helps { Self::Queue } else { Self::Skip }
    }
}
