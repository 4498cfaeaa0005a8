//! What has happened in the cluster, and whether it helps a pod that waits.

use std::sync::Arc;

use api_types::{core::PersistentVolumeClaim, devices::ResourceClaim};
use component::volumes::{Class, Volume};

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
    /// A claim came, changed, or went.
    Claim(Arc<PersistentVolumeClaim>),
    /// A volume came or changed.
    Volume(Arc<Volume>),
    /// A class of volumes came, or its volumes may be elsewhere.
    Class(Arc<Class>),
    /// A claim to devices came, changed, or went.
    DeviceClaim(Arc<ResourceClaim>),
    /// Devices came, or are to be had again.
    Devices,
    /// Nodes can attach another number of volumes.
    Limits,
    /// The waiting pod itself changed.
    Own {
        /// Before.
        old: Arc<Pod>,
        /// Now.
        new: Arc<Pod>,
    },
}

/// In place of a plugin's name: an extender, of which nobody knows what helps against it.
pub const EXTENDER: &str = "extender";

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
