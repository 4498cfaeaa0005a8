//! Which pods of a stateful set come, go or are mended. All of it on values.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use api_types::{IntOrString, apps::StatefulSetUpdateStrategy, jiff::Timestamp};

use super::identity::Ordinal;
use crate::{
    history::REVISION_LABEL,
    int_or_percent::{Round, resolve},
    pod_state::{Availability, availability, is_ready, is_terminal},
    slim::Pod,
};

/// No more pods than this are created in one go; as of replica sets.
const AT_ONCE: usize = 500;

/// `spec.podManagementPolicy`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// One after the other.
    OneByOne,
    /// All at once.
    AllAtOnce,
}

/// How pods of old give way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Update {
    /// When somebody deletes them.
    OnDelete,
    /// From the last to the first.
    Rolling {
        /// The first so many stay.
        partition: usize,
        /// So many may be unavailable.
        unavailable: usize,
    },
}

impl Update {
    /// What the strategy means for so many replicas.
    pub(super) fn of(strategy: Option<&StatefulSetUpdateStrategy>, replicas: usize) -> Self {
        if strategy.and_then(|strategy| strategy.type_.as_deref()) == Some("OnDelete") {
            return Self::OnDelete;
        }
        let rolling = strategy.and_then(|strategy| strategy.rolling_update.as_ref());
        let partition = rolling.and_then(|rolling| rolling.partition).unwrap_or(0);
        let one = IntOrString::Int(1);
        let unavailable = rolling.and_then(|rolling| rolling.max_unavailable.as_ref()).unwrap_or(&one);
        let replicas = i64::try_from(replicas).unwrap_or(i64::MAX);
        let unavailable = resolve(Some(unavailable), replicas, Round::Down).max(1);
        Self::Rolling {
            partition: usize::try_from(partition).unwrap_or(0),
            unavailable: usize::try_from(unavailable).unwrap_or(1),
        }
    }
}

/// A pod of the set.
#[derive(Clone, Debug)]
pub(super) struct Member {
    /// Its number.
    pub ordinal: Ordinal,
    /// The pod.
    pub pod: Arc<Pod>,
    /// Its labels say who it is.
    pub labelled: bool,
    /// Its claims are all there.
    pub has_claims: bool,
    /// Its claims are whose they should be.
    pub claims_owned: bool,
}

/// Everything that the plan depends on.
#[derive(Clone, Debug)]
pub(super) struct Observed {
    /// The first ordinal.
    pub start: Ordinal,
    /// How many pods there should be.
    pub replicas: usize,
    /// In which order.
    pub order: Order,
    /// How pods of old give way.
    pub update: Update,
    /// The name of the revision that pods should be of.
    pub update_revision: String,
    /// `spec.minReadySeconds`.
    pub min_ready_seconds: i32,
    /// Now.
    pub now: Timestamp,
    /// The set's pods.
    pub members: Vec<Member>,
    /// Ordinals whose claims are about to go: no pod is created before they are gone.
    pub blocked: BTreeSet<Ordinal>,
}

/// Of which revision a pod is created.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Which {
    /// That of before the update.
    Current,
    /// The newest.
    Update,
}

/// Something to do.
#[derive(Clone, Debug)]
pub(super) enum Action {
    /// A pod is missing.
    Create(Ordinal, Which),
    /// A pod waits for claims that are not there.
    MendClaims(Member),
    /// A pod's labels do not say who it is.
    MendLabels(Member),
    /// A pod's claims should go with somebody else.
    MendOwners(Member),
    /// A pod that has ended goes: another takes its place.
    Replace(Arc<Pod>),
    /// A pod goes.
    Delete(Arc<Pod>),
}

/// Whether what comes after has to wait.
enum Step {
    Next,
    Wait,
}

impl Observed {
    /// Whether an ordinal is among those that there should be.
    pub(super) fn keeps(&self, ordinal: Ordinal) -> bool {
        let index = i64::from(ordinal) - i64::from(self.start);
        usize::try_from(index).is_ok_and(|index| index < self.replicas)
    }

    /// What to do now: pods that should be there come, then others go, then pods of old do.
    pub(super) fn plan(&self) -> Vec<Action> {
        let slots = self.slots();
        let mut condemned: Vec<&Member> = self.members.iter().filter(|member| !self.keeps(member.ordinal)).collect();
        condemned.sort_by_key(|member| Reverse(member.ordinal));
        let mut actions = Vec::new();
        for (ordinal, slot) in &slots {
            let step = match slot {
                Some(member) => self.keep(member, &mut actions),
                None => self.fill(*ordinal, &mut actions),
            };
            if self.must_wait(&step) {
                return actions;
            }
        }
        let strays = condemned.iter().filter(|member| !member.claims_owned);
        actions.extend(strays.map(|member| Action::MendOwners((*member).clone())));
        let first_unavailable = self.first_unavailable(&slots, &condemned);
        for member in condemned {
            if self.must_wait(&self.condemn(member, first_unavailable, &mut actions)) {
                return actions;
            }
        }
        if let Update::Rolling { partition, unavailable } = self.update {
            self.roll(&slots, partition, unavailable, &mut actions);
        }
        actions
    }

    /// The ordinals that there should be, with their pods, up to where a good many are missing: however many a set asks
    /// for, no more than these are thought of at once.
    pub(super) fn slots(&self) -> Vec<(Ordinal, Option<&Member>)> {
        let members: BTreeMap<Ordinal, &Member> = self.members.iter().map(|own| (own.ordinal, own)).collect();
        let count = Ordinal::try_from(self.replicas).unwrap_or(Ordinal::MAX);
        let mut slots = Vec::new();
        let mut missing = 0;
        for ordinal in self.start..self.start.saturating_add(count) {
            if missing == AT_ONCE {
                break;
            }
            let member = members.get(&ordinal).copied();
            missing += usize::from(member.is_none());
            slots.push((ordinal, member));
        }
        slots
    }

    const fn must_wait(&self, step: &Step) -> bool {
        matches!((step, self.order), (Step::Wait, Order::OneByOne))
    }

    fn fill(&self, ordinal: Ordinal, actions: &mut Vec<Action>) -> Step {
        if !self.blocked.contains(&ordinal) {
            actions.push(Action::Create(ordinal, self.revision_for(ordinal)));
        }
        Step::Wait
    }

    fn revision_for(&self, ordinal: Ordinal) -> Which {
        let index = usize::try_from(i64::from(ordinal) - i64::from(self.start)).unwrap_or(0);
        match self.update {
            Update::Rolling { partition, .. } if index < partition => Which::Current,
            Update::Rolling { .. } | Update::OnDelete => Which::Update,
        }
    }

    fn keep(&self, member: &Member, actions: &mut Vec<Action>) -> Step {
        let pod = &member.pod;
        let goes = pod.metadata.deletion_timestamp.is_some();
        if is_terminal(pod) {
            // However it ended, another takes its place once it is gone.
            actions.extend((!goes).then(|| Action::Replace(Arc::clone(pod))));
            return Step::Wait;
        }
        if pod.status.phase == "Pending" && !member.has_claims {
            actions.push(Action::MendClaims(member.clone()));
        }
        if self.order == Order::OneByOne && (goes || !self.is_available(pod)) {
            return Step::Wait;
        }
        actions.extend((!member.labelled).then(|| Action::MendLabels(member.clone())));
        actions.extend((!member.claims_owned).then(|| Action::MendOwners(member.clone())));
        Step::Next
    }

    /// Running and ready for long enough.
    pub(super) fn is_available(&self, pod: &Pod) -> bool {
        let running = pod.status.phase == "Running" && is_ready(pod);
        running && availability(pod, self.min_ready_seconds, self.now) == Availability::Now
    }

    fn is_unavailable(&self, pod: &Pod) -> bool {
        pod.metadata.deletion_timestamp.is_some() || !self.is_available(pod)
    }

    /// The uid of the first pod that does not serve; empty when that is one that is not there.
    fn first_unavailable<'a>(
        &self,
        slots: &[(Ordinal, Option<&'a Member>)],
        condemned: &[&'a Member],
    ) -> Option<&'a str> {
        let of = |member: Option<&'a Member>| match member {
            None => Some(""),
            Some(member) => self.is_unavailable(&member.pod).then(|| member.pod.uid()),
        };
        let kept = slots.iter().find_map(|(_, member)| of(*member));
        kept.or_else(|| condemned.iter().rev().find_map(|member| of(Some(member))))
    }

    fn condemn(&self, member: &Member, first_unavailable: Option<&str>, actions: &mut Vec<Action>) -> Step {
        let pod = &member.pod;
        if pod.metadata.deletion_timestamp.is_some() {
            return Step::Wait;
        }
        let waits = self.order == Order::OneByOne && !self.is_available(pod) && first_unavailable != Some(pod.uid());
        actions.extend((!waits).then(|| Action::Delete(Arc::clone(pod))));
        Step::Wait
    }

    /// Deletes pods of old, the last first: as many as may be unavailable, and besides those that are so already. These
    /// serve nobody, and what makes them unavailable may be what the update mends.
    fn roll(
        &self,
        slots: &[(Ordinal, Option<&Member>)],
        partition: usize,
        max_unavailable: usize,
        actions: &mut Vec<Action>,
    ) {
        let unavailable = |member: &Option<&Member>| member.is_none_or(|member| self.is_unavailable(&member.pod));
        let missing = slots.iter().filter(|(_, member)| unavailable(member)).count();
        let mut budget = max_unavailable.saturating_sub(missing);
        for member in slots.iter().skip(partition).rev().filter_map(|(_, member)| *member) {
            let pod = &member.pod;
            let goes = pod.metadata.deletion_timestamp.is_some() || is_terminal(pod);
            if goes || pod.label(REVISION_LABEL) == Some(&self.update_revision) {
                continue;
            }
            if !self.is_unavailable(pod) {
                if budget == 0 {
                    continue;
                }
                budget -= 1;
            }
            actions.push(Action::Delete(Arc::clone(pod)));
        }
    }
}

#[cfg(test)]
mod tests;
