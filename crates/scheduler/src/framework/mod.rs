//! The scheduling framework: what a plugin is, the one ordered table of plugins, profiles, and the decision.
//!
//! `pre_filter` sees the whole snapshot once and *returns* what is asked about each node, so that there is no shared
//! state between the phases and a plugin with nothing to say costs nothing; `pre_score` does the same for the nodes that
//! fit; `reserve` returns what must be done before the pod is bound, or given back.

mod change;
mod decision;
mod filters;
mod message;
mod plugin;
mod profile;
mod rescue;
mod table;

pub use change::{Change, EXTENDER, Hint, Rejected};
pub use decision::{Attempt, Decision, Failure, InTheWay, Sampling, Survey, pick, rescued, schedule};
pub use filters::Filters;
pub use message::{unavailable, unschedulable_message};
pub use plugin::{
    Filter, Finality, FnScore, Normalize, Permit, Plugin, PreFilter, Reason, Rejection, Reservation, Score, Waiting,
};
pub use profile::{Profile, Profiles, Reserved, Row};
pub use rescue::{Rescue, Room, Unplaced, Victims};
pub use table::{Entry, PLUGINS};

use crate::{cache::PodInfo, model::Pod};

/// The best score.
pub const MAX_SCORE: i64 = 100;

/// What is scheduled: the pod and the sums made of it.
#[derive(Clone, Copy, Debug)]
pub struct Candidate<'a> {
    /// The pod.
    pub pod: &'a Pod,
    /// What counts of it.
    pub info: &'a PodInfo,
}
