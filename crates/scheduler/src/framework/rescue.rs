//! What can be done about a pod that no node takes.

use std::sync::Arc;

use super::{Candidate, Failure, Filters};
use crate::cache::{PodInfo, Snapshot};

/// A pod that no node takes.
pub struct Unplaced<'a> {
    /// The pod.
    pub candidate: Candidate<'a>,
    /// The cluster.
    pub snapshot: &'a Snapshot,
    /// What is asked about each node; `None` when it did not come to that.
    pub filters: Option<&'a Filters<'a>>,
    /// Why.
    pub failure: &'a Failure,
    /// A random number below that of the nodes, so that they take turns.
    pub turn: usize,
}

/// What a plugin can do for a pod that no node takes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Rescue {
    /// It has nothing to say. No room is kept for the pod any more.
    #[default]
    Nothing,
    /// Nothing.
    Refused {
        /// Why, in upstream's words.
        message: String,
        /// What becomes of the room that is kept for the pod.
        room: Room,
    },
    /// Pods that could go, of some nodes; one of these is to be chosen. There is at least one.
    Possible(Vec<Victims>),
}

/// What becomes of room that is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    /// It is kept further on.
    Kept,
    /// It is given up.
    GivenUp,
}

/// Pods of a node that would have to go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Victims {
    /// The node.
    pub node: Arc<str>,
    /// They, at least one, the most important first.
    pub pods: Vec<Arc<PodInfo>>,
    /// How many of them are protected by a budget that is used up.
    pub violations: usize,
}
