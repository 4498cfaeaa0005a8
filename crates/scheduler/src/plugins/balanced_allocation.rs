//! A node whose CPU and memory would be used to the same degree is better.

use crate::framework::{Candidate, ClusterEvent, MAX_SCORE, Normalize, Plugin, Prepared};

/// See the module.
#[derive(Debug)]
pub struct NodeResourcesBalancedAllocation;

impl Plugin for NodeResourcesBalancedAllocation {
    fn name(&self) -> &'static str {
        "NodeResourcesBalancedAllocation"
    }

    fn requeue_on(&self) -> &'static [ClusterEvent] {
        &[]
    }

    fn prepare<'a>(&self, candidate: Candidate<'a>) -> Prepared<'a> {
        let asked = &candidate.info.requests.asked;
        // A best-effort pod changes no balance; upstream skips the plugin for it.
        if asked.milli_cpu == 0 && asked.memory == 0 {
            return Prepared::default();
        }
        Prepared::default().score(Normalize::Not, |node| {
            let (room, used) = (node.allocatable(), node.requested());
            let cpu = fraction(used.milli_cpu + asked.milli_cpu, room.milli_cpu);
            let memory = fraction(used.memory + asked.memory, room.memory);
            // The standard deviation of two numbers is half their distance.
            let deviation = (cpu - memory).abs() / 2.0;
            #[expect(clippy::cast_possible_truncation, reason = "between 0 and 100")]
            let score = ((1.0 - deviation) * MAX_SCORE as f64) as i64;
            score
        })
    }
}

#[expect(clippy::cast_precision_loss, reason = "a share; its first digits matter")]
fn fraction(used: i64, room: i64) -> f64 {
    if room <= 0 { 1.0 } else { (used as f64 / room as f64).min(1.0) }
}
