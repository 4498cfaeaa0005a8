//! The scheduling framework: what a plugin is, the one ordered table of plugins, and the decision.
//!
//! A plugin's `prepare` looks at the pod once and *returns* what its filter and its score need, so
//! that there is no shared state between the phases and a plugin with nothing to say costs nothing.

mod decision;
mod message;

pub use decision::{Decision, Failure, Sampling, schedule};
pub use message::unschedulable_message;

use crate::{
    cache::{NodeInfo, PodInfo},
    model::Pod,
    plugins,
};

/// The best score.
pub const MAX_SCORE: i64 = 100;

/// A change in the cluster that may let a waiting pod in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClusterEvent {
    /// A node came, or has other labels, taints, or room.
    NodeChanged,
    /// A pod that was on a node is gone or over.
    PodGone,
    /// The pod's own specification changed.
    PodChanged,
}

/// Why a node does not take a pod, in upstream's words, such as `Insufficient cpu`.
pub type Reason = std::borrow::Cow<'static, str>;

/// What is scheduled: the pod and the sums made of it.
#[derive(Clone, Copy, Debug)]
pub struct Candidate<'a> {
    /// The pod.
    pub pod: &'a Pod,
    /// Its requests and ports.
    pub info: &'a PodInfo,
}

type Filter<'a> = Box<dyn Fn(&NodeInfo) -> Result<(), Vec<Reason>> + 'a>;
type Score<'a> = Box<dyn Fn(&NodeInfo) -> i64 + 'a>;

/// How raw scores become scores from 0 to [`MAX_SCORE`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Normalize {
    /// They already are.
    #[default]
    Not,
    /// The highest becomes the best.
    HighestBest,
    /// The highest becomes the worst.
    HighestWorst,
}

/// What a plugin has to say about one pod.
#[derive(Default)]
pub struct Prepared<'a> {
    /// Rejects nodes; `None` accepts all.
    pub filter: Option<Filter<'a>>,
    /// Rates nodes; `None` rates all alike.
    pub score: Option<Score<'a>>,
    /// What to do with the ratings.
    pub normalize: Normalize,
}

impl<'a> Prepared<'a> {
    /// The same with a filter.
    #[must_use]
    pub fn filter(mut self, filter: impl Fn(&NodeInfo) -> Result<(), Vec<Reason>> + 'a) -> Self {
        self.filter = Some(Box::new(filter));
        self
    }

    /// The same with a score.
    #[must_use]
    pub fn score(mut self, normalize: Normalize, score: impl Fn(&NodeInfo) -> i64 + 'a) -> Self {
        self.score = Some(Box::new(score));
        self.normalize = normalize;
        self
    }
}

/// One policy.
pub trait Plugin: Sync {
    /// Upstream's name.
    fn name(&self) -> &'static str;

    /// Changes after which a pod that this plugin rejected may fit.
    fn requeue_on(&self) -> &'static [ClusterEvent];

    /// Looks at a pod, once per attempt.
    fn prepare<'a>(&self, candidate: Candidate<'a>) -> Prepared<'a>;
}

/// A row of the table.
pub struct Row {
    /// The policy.
    pub plugin: &'static dyn Plugin,
    /// How much its score counts; upstream's default weights.
    pub weight: i64,
}

/// Every plugin. Filters run in this order and stop at the first rejection, so cheap ones come
/// first.
pub const PLUGINS: &[Row] = &[
    Row { plugin: &plugins::NodeUnschedulable, weight: 0 },
    Row { plugin: &plugins::NodeName, weight: 0 },
    Row { plugin: &plugins::TaintToleration, weight: 3 },
    Row { plugin: &plugins::NodeAffinity, weight: 2 },
    Row { plugin: &plugins::NodePorts, weight: 0 },
    Row { plugin: &plugins::NodeResourcesFit, weight: 1 },
    Row { plugin: &plugins::NodeResourcesBalancedAllocation, weight: 1 },
];

#[cfg(test)]
mod tests {
    use super::PLUGINS;

    #[test]
    fn no_plugin_is_listed_twice() {
        let mut names: Vec<_> = PLUGINS.iter().map(|row| row.plugin.name()).collect();
        names.sort_unstable();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
