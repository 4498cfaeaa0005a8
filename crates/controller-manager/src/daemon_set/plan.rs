//! Which pods of a daemon set come and go. All of it on values.

use std::{collections::BTreeMap, sync::Arc};

use api_types::{apps::DaemonSetUpdateStrategy, jiff::Timestamp};

use super::nodes::{Presence, Version};
use crate::{
    int_or_percent::{Round, resolve},
    pod_state::{Availability, availability, is_ready, is_terminal},
    slim::Pod,
};

/// A node as the plan sees it.
#[derive(Clone, Debug)]
pub(super) struct NodeState {
    /// Whether the set runs there; a node that is gone wants nothing.
    pub presence: Presence,
    /// The node exists.
    pub exists: bool,
    /// The set's pods there, or that ask for it by name; without those that have ended and go.
    pub pods: Vec<Arc<Pod>>,
}

/// Everything that the plan depends on.
pub(super) struct Observed<'a> {
    /// Nodes that exist or have pods, by name.
    pub nodes: BTreeMap<String, NodeState>,
    /// What the pods should be of.
    pub version: Version<'a>,
    /// How pods of old give way.
    pub update: Update,
    /// `spec.minReadySeconds`.
    pub min_ready_seconds: i32,
    /// Now.
    pub now: Timestamp,
}

/// How pods of old give way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Update {
    /// When somebody deletes them.
    OnDelete,
    /// So many nodes may be without an available pod, or have two.
    Rolling {
        /// Nodes that may be without.
        unavailable: usize,
        /// Nodes that may have two.
        surge: usize,
    },
}

impl Update {
    /// What the strategy means for so many nodes.
    pub(super) fn of(strategy: Option<&DaemonSetUpdateStrategy>, desired: usize) -> Self {
        let Some(strategy) = strategy.filter(|strategy| strategy.type_.as_deref() != Some("OnDelete")) else {
            return Self::OnDelete;
        };
        let desired = i64::try_from(desired).unwrap_or(i64::MAX);
        let rolling = strategy.rolling_update.as_ref();
        let of = |value| usize::try_from(resolve(value, desired, Round::Up)).unwrap_or(0);
        let unavailable = of(rolling.and_then(|rolling| rolling.max_unavailable.as_ref()));
        match of(rolling.and_then(|rolling| rolling.max_surge.as_ref())) {
            // Nothing could move.
            0 if unavailable == 0 => Self::Rolling { unavailable: 1, surge: 0 },
            surge => Self::Rolling { unavailable, surge },
        }
    }

    const fn surges(&self) -> bool {
        matches!(self, Self::Rolling { surge, .. } if *surge > 0)
    }
}

/// What to do.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// Nodes that get a pod.
    pub create: Vec<String>,
    /// Pods that go.
    pub delete: Vec<Arc<Pod>>,
    /// Pods that failed, and their nodes: they go when that has not happened too often.
    pub failed: Vec<(String, Arc<Pod>)>,
    /// Pods that ended well, which daemons do not; they go.
    pub succeeded: Vec<Arc<Pod>>,
}

impl Plan {
    /// Nothing to do.
    pub(super) fn is_empty(&self) -> bool {
        self.create.is_empty() && self.delete.is_empty() && self.failed.is_empty() && self.succeeded.is_empty()
    }
}

/// What to do now: first every node gets its pod, and when all have theirs, some are replaced.
pub(super) fn plan(observed: &Observed<'_>) -> Plan {
    let mut plan = Plan::default();
    for (name, node) in &observed.nodes {
        observed.manage(name, node, &mut plan);
    }
    let Update::Rolling { unavailable, surge } = observed.update else { return plan };
    let Plan { create, delete, succeeded, failed } = &mut plan;
    if !create.is_empty() || !delete.is_empty() || !succeeded.is_empty() {
        return plan;
    }
    let mut rolled = if surge == 0 { observed.replace(unavailable) } else { observed.surge(surge) };
    failed.retain(|(_, pod)| rolled.delete.iter().all(|gone| gone.uid() != pod.uid()));
    rolled.failed.append(failed);
    rolled
}

impl Observed<'_> {
    fn manage(&self, name: &str, node: &NodeState, plan: &mut Plan) {
        if !node.exists {
            // Nobody else takes away what waits for a node that is gone.
            let waits = |pod: &&Arc<Pod>| pod.node_name().is_empty() && pod.metadata.deletion_timestamp.is_none();
            plan.delete.extend(node.pods.iter().filter(waits).cloned());
            return;
        }
        match node.presence {
            Presence::Wanted if node.pods.is_empty() => plan.create.push(name.to_owned()),
            Presence::Unwanted => plan.delete.extend(staying(node).cloned()),
            Presence::Wanted | Presence::Tolerated => self.tidy(name, node, plan),
        }
    }

    /// Pods that have ended go, and all but one, or but an old and a new one. Where there may be two, none that goes is
    /// waited for.
    fn tidy(&self, name: &str, node: &NodeState, plan: &mut Plan) {
        let mut running = Vec::new();
        for pod in staying(node) {
            match pod.status.phase.as_str() {
                "Failed" => plan.failed.push((name.to_owned(), Arc::clone(pod))),
                "Succeeded" => plan.succeeded.push(Arc::clone(pod)),
                _ => running.push(Arc::clone(pod)),
            }
        }
        if running.len() < 2 {
            if running.is_empty() && node.presence == Presence::Wanted && self.update.surges() {
                plan.create.push(name.to_owned());
            }
            return;
        }
        oldest_first(&mut running);
        if !self.update.surges() {
            plan.delete.extend(running.into_iter().skip(1));
            return;
        }
        let (new, old): (Vec<_>, Vec<_>) = running.into_iter().partition(|pod| self.version.is_of(pod));
        if let (Some(new), Some(old)) = (new.first(), old.first())
            && (!is_ready(old) || self.is_available(new))
        {
            plan.delete.push(Arc::clone(old));
        }
        plan.delete.extend(new.into_iter().skip(1).chain(old.into_iter().skip(1)));
    }

    pub(super) fn is_available(&self, pod: &Pod) -> bool {
        availability(pod, self.min_ready_seconds, self.now) == Availability::Now
    }

    /// Deletes pods of old: those that are not available at once, since they serve nobody, others as long as few enough
    /// nodes are without.
    fn replace(&self, max_unavailable: usize) -> Plan {
        let (mut unavailable, mut dead, mut candidates) = (0, Vec::new(), Vec::new());
        for node in self.nodes.values().filter(|node| !node.pods.is_empty()) {
            match self.pair(node) {
                Some(Pair { new: Some(new), old: None }) => unavailable += usize::from(!self.is_available(&new)),
                Some(Pair { new: None, old: Some(old) }) if self.is_available(&old) => candidates.push(old),
                Some(Pair { new: None, old: Some(old) }) => {
                    unavailable += 1;
                    dead.push(old);
                }
                _ => unavailable += 1,
            }
        }
        candidates.truncate(max_unavailable.saturating_sub(unavailable));
        dead.extend(candidates);
        Plan { delete: dead, ..Plan::default() }
    }

    /// Creates pods beside those of old, which go when theirs are available.
    fn surge(&self, max_surge: usize) -> Plan {
        let mut plan = Plan::default();
        let (mut surging, mut available, mut candidates, mut leaving) = (0, 0, Vec::new(), Vec::new());
        for (name, node) in self.nodes.iter().filter(|(_, node)| !node.pods.is_empty()) {
            let Some(pair) = self.pair(node) else {
                surging += 1;
                continue;
            };
            let serves = pair.old.as_ref().or(pair.new.as_ref()).is_some_and(|pod| self.is_available(pod));
            available += usize::from(serves);
            match pair {
                Pair { old: None, .. } => {}
                Pair { old: Some(old), new: Some(new) } if self.is_available(&new) => plan.delete.push(old),
                Pair { new: Some(_), .. } => surging += 1,
                Pair { old: Some(old), new: None } => match (node.presence, serves) {
                    (Presence::Wanted, false) => plan.create.push(name.clone()),
                    (Presence::Wanted, true) => candidates.push(name.clone()),
                    (_, false) => plan.delete.push(old),
                    // Where it should no longer run it goes when it runs elsewhere.
                    (_, true) => leaving.push(old),
                },
            }
        }
        leaving.truncate(available.saturating_sub(self.desired()));
        candidates.truncate(max_surge.saturating_sub(surging));
        plan.delete.extend(leaving);
        plan.create.extend(candidates);
        plan
    }

    /// Nodes that should have a pod.
    pub(super) fn desired(&self) -> usize {
        self.nodes.values().filter(|node| node.presence == Presence::Wanted).count()
    }

    /// The pods that stay on a node; `None` when there are several of a kind.
    fn pair(&self, node: &NodeState) -> Option<Pair> {
        let mut pair = Pair::default();
        for pod in staying(node) {
            let place = if self.version.is_of(pod) { &mut pair.new } else { &mut pair.old };
            if place.replace(Arc::clone(pod)).is_some() {
                return None;
            }
        }
        Some(pair)
    }
}

/// The pods of a node, of which at most one of a kind stays.
#[derive(Default)]
struct Pair {
    new: Option<Arc<Pod>>,
    old: Option<Arc<Pod>>,
}

fn staying(node: &NodeState) -> impl Iterator<Item = &Arc<Pod>> {
    node.pods.iter().filter(|pod| pod.metadata.deletion_timestamp.is_none())
}

/// Those that are on a node before those that wait for one; then by age.
pub(super) fn oldest_first(pods: &mut [Arc<Pod>]) {
    pods.sort_by(|a, b| {
        let order = |pod: &Pod| (pod.node_name().is_empty(), pod.metadata.creation_timestamp.clone());
        order(a).cmp(&order(b)).then_with(|| a.metadata.name.cmp(&b.metadata.name))
    });
}

/// Whether a pod has ended and goes: its node needs another.
pub(super) fn is_over(pod: &Pod) -> bool {
    is_terminal(pod) && pod.metadata.deletion_timestamp.is_some()
}

#[cfg(test)]
mod tests;
