//! The status of a stateful set.

use api_types::{
    apps::{StatefulSet, StatefulSetStatus},
    jiff::Timestamp,
};

use super::plan::{Observed, Update};
use crate::{
    history::REVISION_LABEL,
    pod_state::{Availability, availability, is_ready},
};

/// The names of the revisions, and how often names collided.
#[derive(Clone, Copy, Debug)]
pub(super) struct Revisions<'a> {
    /// That of before the update.
    pub current: &'a str,
    /// The newest.
    pub update: &'a str,
    /// Names that were taken.
    pub collisions: i32,
}

/// Counts the pods, and says when a ready one will become available. Once all are updated the update is over.
pub(super) fn count(
    set: &StatefulSet,
    observed: &Observed,
    revisions: Revisions<'_>,
) -> (StatefulSetStatus, Option<Timestamp>) {
    let (mut replicas, mut ready, mut available, mut current, mut updated) = (0, 0, 0, 0, 0);
    let mut next: Option<Timestamp> = None;
    for pod in observed.members.iter().map(|member| &member.pod) {
        replicas += 1;
        if pod.status.phase == "Running" && is_ready(pod) {
            ready += 1;
            match availability(pod, observed.min_ready_seconds, observed.now) {
                Availability::Now => available += 1,
                Availability::At(at) => next = Some(next.map_or(at, |next| next.min(at))),
                Availability::No => {}
            }
        }
        if pod.metadata.deletion_timestamp.is_none() {
            let revision = pod.label(REVISION_LABEL).unwrap_or_default();
            current += i32::from(revision == revisions.current);
            updated += i32::from(revision == revisions.update);
        }
    }
    let wanted = i32::try_from(observed.replicas).unwrap_or(i32::MAX);
    let rolling = matches!(observed.update, Update::Rolling { .. });
    let over = rolling && (updated, ready, replicas) == (wanted, wanted, wanted);
    let nonzero = |count: i32| (count != 0).then_some(count);
    let status = StatefulSetStatus {
        observed_generation: set.metadata.generation,
        replicas,
        ready_replicas: nonzero(ready),
        available_replicas: Some(available),
        current_replicas: nonzero(if over { updated } else { current }),
        updated_replicas: nonzero(updated),
        current_revision: Some(if over { revisions.update } else { revisions.current }.to_owned()),
        update_revision: Some(revisions.update.to_owned()),
        collision_count: Some(revisions.collisions),
        conditions: set.status.as_ref().and_then(|status| status.conditions.clone()),
    };
    (status, next)
}
