//! The arithmetic of rollouts. All of it on values: what the driver does is carry it out.

use api_types::{IntOrString, jiff::Timestamp};

pub(super) use crate::int_or_percent::Count;
use crate::int_or_percent::{Round, resolve};

/// A number of pods as it is written.
pub(super) fn on_wire(count: Count) -> i32 {
    i32::try_from(count.max(0)).unwrap_or(i32::MAX)
}

/// A replica set as the arithmetic sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Set {
    /// Name.
    pub name: String,
    /// When it was created; sets are scaled oldest first.
    pub created: Option<Timestamp>,
    /// `spec.replicas`.
    pub replicas: Count,
    /// `status.availableReplicas`.
    pub available: Count,
    /// Annotation: the deployment's `spec.replicas` when this set was last scaled.
    pub desired: Option<Count>,
    /// Annotation: the most pods that the deployment could have then.
    pub max: Option<Count>,
}

/// `spec.strategy`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Strategy {
    /// Old pods go before new ones come.
    Recreate,
    /// A few at a time.
    RollingUpdate {
        /// How many pods there may be beyond `replicas`.
        surge: Option<IntOrString>,
        /// How many of `replicas` may be missing.
        unavailable: Option<IntOrString>,
    },
}

/// Everything that a rollout depends on.
#[derive(Clone, Debug)]
pub(super) struct Observed {
    /// `spec.replicas`.
    pub replicas: Count,
    /// `spec.strategy`.
    pub strategy: Strategy,
    /// `status.replicas`.
    pub status_replicas: Count,
    /// The set of the current template, if it exists.
    pub new: Option<Set>,
    /// The sets of former templates.
    pub old: Vec<Set>,
}

/// Scale this set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Scale {
    /// Which.
    pub name: String,
    /// From `spec.replicas`.
    pub from: Count,
    /// To this.
    pub to: Count,
}

fn scale(set: &Set, to: Count) -> Option<Scale> {
    (set.replicas != to).then(|| Scale { name: set.name.clone(), from: set.replicas, to })
}

impl Observed {
    /// `maxSurge` and `maxUnavailable` in pods. Both zero would let nothing move, so then one pod may
    /// be missing.
    fn fenceposts(&self) -> (Count, Count) {
        let Strategy::RollingUpdate { surge, unavailable } = &self.strategy else { return (0, 0) };
        let surge = resolve(surge.as_ref(), self.replicas, Round::Up);
        let unavailable = resolve(unavailable.as_ref(), self.replicas, Round::Down);
        if surge == 0 && unavailable == 0 { (0, 1) } else { (surge, unavailable) }
    }

    /// Pods that there may be beyond `replicas`.
    pub(super) fn max_surge(&self) -> Count {
        self.fenceposts().0
    }

    /// Pods of `replicas` that may be missing.
    pub(super) fn max_unavailable(&self) -> Count {
        if self.replicas == 0 { 0 } else { self.fenceposts().1.min(self.replicas) }
    }

    fn sets(&self) -> impl Iterator<Item = &Set> {
        self.old.iter().chain(&self.new)
    }

    /// Pods of all sets, as specified.
    fn total(&self) -> Count {
        self.sets().map(|set| set.replicas).sum()
    }

    /// Whether `spec.replicas` changed since the sets were last scaled.
    pub(super) fn is_scaling(&self) -> bool {
        let active = self.sets().filter(|set| set.replicas > 0);
        active.filter_map(|set| set.desired).any(|desired| desired != self.replicas)
    }

    /// How many pods the new set, with `current` now, may have at this point of the rollout.
    pub(super) fn new_replicas(&self, current: Count) -> Count {
        if self.strategy == Strategy::Recreate {
            return self.replicas;
        }
        let room = self.replicas + self.max_surge() - self.total();
        if room <= 0 { current } else { current + room.min(self.replicas - current) }
    }

    /// A step of a rolling update: first the new set, and when that may not move, the old ones.
    pub(super) fn roll(&self) -> Vec<Scale> {
        let Some(new) = &self.new else { return Vec::new() };
        let to = if new.replicas > self.replicas { self.replicas } else { self.new_replicas(new.replicas) };
        match scale(new, to) {
            Some(step) => vec![step],
            None => self.roll_old(new),
        }
    }

    /// Scales old sets down: pods that are not available go first, since they serve nobody; then as
    /// many as the available pods allow.
    fn roll_old(&self, new: &Set) -> Vec<Scale> {
        let min_available = self.replicas - self.max_unavailable();
        let new_unavailable = new.replicas - new.available;
        let may_go = self.total() - min_available - new_unavailable;
        if may_go <= 0 {
            return Vec::new();
        }
        let mut old = self.old.clone();
        old.sort_by_key(|set| set.created);
        let mut budget = may_go;
        for set in &mut old {
            let unhealthy = (set.replicas - set.available).clamp(0, budget);
            set.replicas -= unhealthy;
            budget -= unhealthy;
        }
        let available: Count = self.sets().map(|set| set.available).sum();
        let mut budget = (available - min_available).max(0);
        for set in &mut old {
            let healthy = set.replicas.min(budget);
            set.replicas -= healthy;
            budget -= healthy;
        }
        old.iter()
            .filter_map(|after| {
                self.old.iter().find(|set| set.name == after.name).and_then(|set| scale(set, after.replicas))
            })
            .collect()
    }

    /// A step of a recreation: the old sets go to nothing; once `old_pods` are gone the new one comes.
    pub(super) fn recreate(&self, old_pods: OldPods) -> Vec<Scale> {
        let down: Vec<Scale> = self.old.iter().filter_map(|set| scale(set, 0)).collect();
        match (&self.new, old_pods) {
            (Some(new), OldPods::Gone) if down.is_empty() => scale(new, self.replicas).into_iter().collect(),
            _ => down,
        }
    }

    /// What to do when only `spec.replicas` changed, or while paused: keep the proportions.
    pub(super) fn rescale(&self) -> Vec<Scale> {
        if let Some(set) = self.active_or_latest() {
            return scale(set, self.replicas).into_iter().collect();
        }
        if self.is_saturated() {
            return self.old.iter().filter_map(|set| scale(set, 0)).collect();
        }
        if self.strategy == Strategy::Recreate {
            return Vec::new();
        }
        self.proportionally()
    }

    /// The only set with pods; the newest when none has any; nothing when several have.
    fn active_or_latest(&self) -> Option<&Set> {
        let mut active = self.sets().filter(|set| set.replicas > 0);
        match (active.next(), active.next()) {
            (None, _) => self.new.as_ref().or_else(|| self.old.iter().max_by_key(|set| set.created)),
            (Some(only), None) => Some(only),
            (Some(_), Some(_)) => None,
        }
    }

    fn is_saturated(&self) -> bool {
        self.new.as_ref().is_some_and(|new| {
            new.replicas == self.replicas && new.desired == Some(self.replicas) && new.available == self.replicas
        })
    }

    fn proportionally(&self) -> Vec<Scale> {
        let allowed = if self.replicas > 0 { self.replicas + self.max_surge() } else { 0 };
        let to_add = allowed - self.sets().filter(|set| set.replicas > 0).map(|set| set.replicas).sum::<Count>();
        let mut sets: Vec<&Set> = self.sets().filter(|set| set.replicas > 0).collect();
        // Larger sets first; of equal ones the newer when growing, the older when shrinking.
        if to_add > 0 {
            sets.sort_by_key(|set| std::cmp::Reverse((set.replicas, set.created)));
        } else {
            sets.sort_by_key(|set| (std::cmp::Reverse(set.replicas), set.created));
        }
        let mut added = 0;
        let mut sizes: Vec<Count> = Vec::with_capacity(sets.len());
        for set in &sets {
            let share = self.share(set, to_add - added, to_add);
            added += share;
            sizes.push(set.replicas + share);
        }
        if let Some(first) = sizes.first_mut() {
            *first = (*first + to_add - added).max(0);
        }
        sets.iter().zip(sizes).filter_map(|(set, size)| scale(set, size)).collect()
    }

    /// The part of `to_add` that this set takes, of which `rest` is left.
    fn share(&self, set: &Set, rest: Count, to_add: Count) -> Count {
        if set.replicas == 0 || to_add == 0 || rest == 0 {
            return 0;
        }
        let fraction = self.fraction(set);
        if to_add > 0 { fraction.min(rest) } else { fraction.max(rest) }
    }

    /// How much this set changes if it keeps its share of all pods.
    fn fraction(&self, set: &Set) -> Count {
        if self.replicas == 0 {
            return -set.replicas;
        }
        let before = set.max.unwrap_or(self.status_replicas);
        if before == 0 {
            return 0;
        }
        // Below 2^53, so that the casts are exact. Half away from zero.
        let size = set.replicas as f64 * (self.replicas + self.max_surge()) as f64 / before as f64;
        size.round() as Count - set.replicas
    }
}

/// Whether pods of old sets are still there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OldPods {
    /// Some are.
    Running,
    /// None is.
    Gone,
}

#[cfg(test)]
mod tests;
