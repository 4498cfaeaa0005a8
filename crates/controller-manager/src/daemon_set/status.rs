//! The status of a daemon set.

use api_types::{
    apps::{DaemonSet, DaemonSetStatus},
    jiff::Timestamp,
};

use super::{
    nodes::Presence,
    plan::{Observed, oldest_first},
};
use crate::pod_state::{Availability, availability, is_ready};

/// Counts the nodes by what their oldest pods do.
pub(super) fn count(set: &DaemonSet, observed: &Observed<'_>) -> DaemonSetStatus {
    let mut counts = Counts::default();
    for node in observed.nodes.values() {
        let mut pods = node.pods.clone();
        oldest_first(&mut pods);
        match (node.presence, pods.first()) {
            (Presence::Wanted, pod) => {
                counts.desired += 1;
                let Some(pod) = pod else { continue };
                counts.current += 1;
                counts.updated += i32::from(observed.version.is_of(pod));
                counts.ready += i32::from(is_ready(pod));
                counts.available += i32::from(observed.is_available(pod));
            }
            (_, Some(_)) if node.exists => counts.misscheduled += 1,
            _ => {}
        }
    }
    counts.status(set)
}

/// When the next of the ready pods will become available, on whatever node and of whatever age: others may wait for it.
pub(super) fn next_available(observed: &Observed<'_>) -> Option<Timestamp> {
    let pods = observed.nodes.values().flat_map(|node| &node.pods);
    let at = pods.filter_map(|pod| match availability(pod, observed.min_ready_seconds, observed.now) {
        Availability::At(at) => Some(at),
        Availability::Now | Availability::No => None,
    });
    at.min()
}

#[derive(Default)]
struct Counts {
    desired: i32,
    current: i32,
    updated: i32,
    ready: i32,
    available: i32,
    misscheduled: i32,
}

impl Counts {
    fn status(&self, set: &DaemonSet) -> DaemonSetStatus {
        let nonzero = |count: i32| (count != 0).then_some(count);
        let old = set.status.as_ref();
        DaemonSetStatus {
            observed_generation: set.metadata.generation,
            desired_number_scheduled: self.desired,
            current_number_scheduled: self.current,
            number_misscheduled: self.misscheduled,
            number_ready: self.ready,
            updated_number_scheduled: nonzero(self.updated),
            number_available: nonzero(self.available),
            number_unavailable: nonzero(self.desired - self.available),
            collision_count: old.and_then(|old| old.collision_count),
            conditions: old.and_then(|old| old.conditions.clone()),
        }
    }
}
