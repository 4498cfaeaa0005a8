//! What a plugin is.

use std::{borrow::Cow, collections::BTreeSet, fmt::Debug, future::Future, pin::Pin};

use super::{Candidate, Change, Hint, MAX_SCORE, Rescue, Unplaced};
use crate::cache::{NodeInfo, PodInfo, Snapshot};

/// Why a node does not take a pod, in upstream's words, such as `Insufficient cpu`.
pub type Reason = Cow<'static, str>;

/// Whether waiting for other pods to go may help.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Finality {
    /// Not now: it depends on the pods that are there. Upstream's `Unschedulable`.
    #[default]
    NotNow,
    /// Never on this node until the node, or the pod, changes. Upstream's `UnschedulableAndUnresolvable`.
    NeverHere,
}

/// A plugin's no.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rejection {
    /// Why.
    pub reasons: Vec<Reason>,
    /// For how long.
    pub finality: Finality,
}

impl Rejection {
    /// Not now.
    pub fn not_now(reason: impl Into<Reason>) -> Self {
        Self { reasons: vec![reason.into()], finality: Finality::NotNow }
    }

    /// Never here.
    pub fn never_here(reason: impl Into<Reason>) -> Self {
        Self { reasons: vec![reason.into()], finality: Finality::NeverHere }
    }
}

/// One policy. Every phase may be left out.
pub trait Plugin: Debug + Send + Sync {
    /// Upstream's name.
    fn name(&self) -> &'static str;

    /// Whether a change may let in a pod that this plugin has rejected.
    fn hint(&self, candidate: Candidate<'_>, change: &Change) -> Hint;

    /// Looks at the pod and at the whole cluster, once per attempt.
    ///
    /// # Errors
    /// When no node can take the pod.
    fn pre_filter<'a>(
        &'a self,
        _candidate: Candidate<'a>,
        _snapshot: &'a Snapshot,
    ) -> Result<PreFilter<'a>, Rejection> {
        Ok(PreFilter::default())
    }

    /// No node takes the pod: what can be done about it.
    fn post_filter(&self, _unplaced: &Unplaced<'_>) -> Rescue {
        Rescue::Nothing
    }

    /// Looks at the nodes that fit, once per attempt; `None` rates all alike.
    fn pre_score<'a>(
        &'a self,
        _candidate: Candidate<'a>,
        _snapshot: &'a Snapshot,
        _fitting: &[&'a NodeInfo],
    ) -> Option<Box<dyn Score + 'a>> {
        None
    }

    /// Sets something aside on the chosen node, before anything is written. It is called within the decision and must
    /// not wait.
    ///
    /// # Errors
    /// When it is not to be had after all.
    fn reserve(
        &self,
        _candidate: Candidate<'_>,
        _node: &NodeInfo,
        _snapshot: &Snapshot,
    ) -> Result<Option<Box<dyn Reservation>>, Rejection> {
        Ok(None)
    }
}

/// What `pre_filter` found out.
#[derive(Default)]
pub struct PreFilter<'a> {
    /// Rejects nodes; `None` accepts all.
    pub filter: Option<Box<dyn Filter + 'a>>,
    /// The only nodes that can take the pod, if that is known.
    pub among: Option<BTreeSet<&'a str>>,
}

impl<'a> PreFilter<'a> {
    /// Each node is asked about.
    pub fn each(filter: impl Filter + 'a) -> Self {
        Self { filter: Some(Box::new(filter)), among: None }
    }
}

/// A plugin's answer about one pod and each node. A function of the node is one.
pub trait Filter: Send + Sync {
    /// Whether the node takes the pod.
    ///
    /// # Errors
    /// When it does not: why.
    fn filter(&self, node: &NodeInfo) -> Result<(), Rejection>;

    /// From now on as if this pod were on this node, too. What only depends on the node itself needs not listen: the
    /// node is changed as well.
    fn add_pod(&mut self, _pod: &PodInfo, _node: &NodeInfo) {}

    /// From now on as if this pod were not on this node.
    fn remove_pod(&mut self, _pod: &PodInfo, _node: &NodeInfo) {}

    /// A copy, to try out what would be.
    fn fork(&self) -> Box<dyn Filter + '_>;
}

impl<F: Fn(&NodeInfo) -> Result<(), Rejection> + Send + Sync> Filter for F {
    fn filter(&self, node: &NodeInfo) -> Result<(), Rejection> {
        self(node)
    }

    fn fork(&self) -> Box<dyn Filter + '_> {
        Box::new(Borrowed(self))
    }
}

/// A function of the node has nothing to copy.
struct Borrowed<'f>(&'f (dyn Fn(&NodeInfo) -> Result<(), Rejection> + Send + Sync));

impl Filter for Borrowed<'_> {
    fn filter(&self, node: &NodeInfo) -> Result<(), Rejection> {
        (self.0)(node)
    }

    fn fork(&self) -> Box<dyn Filter + '_> {
        Box::new(Borrowed(self.0))
    }
}

/// A plugin's rating of the nodes that fit.
pub trait Score {
    /// Rates a node.
    fn score(&self, node: &NodeInfo) -> i64;

    /// Makes scores from 0 to [`MAX_SCORE`] of the ratings; both slices are in the same order.
    fn normalize(&self, nodes: &[&NodeInfo], scores: &mut [i64]);
}

/// How ratings become scores.
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

/// A rating that is a function of the node.
pub struct FnScore<F>(pub Normalize, pub F);

impl<F: Fn(&NodeInfo) -> i64> Score for FnScore<F> {
    fn score(&self, node: &NodeInfo) -> i64 {
        (self.1)(node)
    }

    fn normalize(&self, _nodes: &[&NodeInfo], scores: &mut [i64]) {
        let highest = scores.iter().copied().max().unwrap_or(0);
        for score in scores {
            *score = match self.0 {
                Normalize::Not => *score,
                Normalize::HighestBest if highest == 0 => 0,
                Normalize::HighestBest => *score * MAX_SCORE / highest,
                Normalize::HighestWorst if highest == 0 => MAX_SCORE,
                Normalize::HighestWorst => MAX_SCORE - *score * MAX_SCORE / highest,
            };
        }
    }
}

/// Something that takes its time.
pub type Waiting<'a> = Pin<Box<dyn Future<Output = Result<(), Rejection>> + Send + 'a>>;

/// Whether a pod may be bound.
pub enum Permit {
    /// At once.
    Now,
    /// When this future says so. Its time limit is the plugin's.
    Later(Waiting<'static>),
}

/// What a plugin has set aside for a pod on a node. It is kept until the pod is bound, and then dropped; or released.
pub trait Reservation: Send + Sync {
    /// Whether the pod may be bound. Asked within the decision; a future is awaited in the pod's own task.
    ///
    /// # Errors
    /// When it may not.
    fn permit(&self) -> Result<Permit, Rejection> {
        Ok(Permit::Now)
    }

    /// What must be done before the pod is bound. Runs in the pod's own task and may wait.
    fn pre_bind(&self) -> Waiting<'_> {
        Box::pin(async { Ok(()) })
    }

    /// The pod is not bound after all.
    fn release(&self);
}
