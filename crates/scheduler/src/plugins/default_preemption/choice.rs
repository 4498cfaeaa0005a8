//! Where it hurts least.

use std::cmp::Reverse;

use api_types::jiff::Timestamp;

use crate::framework::Victims;

/// The node where it hurts least that pods go, in upstream's order: the fewest of them violate budgets; the most important
/// is the least important; their priorities' sum is the lowest; they are the fewest; the most important have started the
/// latest. The first among equals.
#[must_use]
pub fn best(candidates: Vec<Victims>) -> Option<Victims> {
    candidates.into_iter().min_by_key(harm)
}

/// The less of it the better.
type Harm = (usize, i32, i64, usize, Reverse<Timestamp>);

fn harm(victims: &Victims) -> Harm {
    let highest = victims.pods.first().map_or(i32::MIN, |pod| pod.priority);
    // Shifted, so that of pods with negative priorities few are better than many.
    let sum = victims.pods.iter().map(|pod| i64::from(pod.priority) + i64::from(i32::MAX) + 1);
    let sum = sum.fold(0i64, i64::saturating_add);
    let most_important = victims.pods.iter().filter(|pod| pod.priority == highest);
    let earliest = most_important.map(|pod| pod.started.unwrap_or(Timestamp::MAX)).min();
    (victims.violations, highest, sum, victims.pods.len(), Reverse(earliest.unwrap_or(Timestamp::MAX)))
}
