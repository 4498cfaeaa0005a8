//! The message of `FailedScheduling`.

use super::{Failure, Reason, Rescue};

/// Upstream's wording: `0/3 nodes are available: 1 node(s) were unschedulable, 2 Insufficient cpu.`, and then what can be
/// done about it.
#[must_use]
pub fn unschedulable_message(failure: &Failure) -> String {
    let why = unavailable(failure.nodes, &failure.reasons);
    match &failure.rescue {
        Rescue::Refused { message, .. } => format!("{why} {message}"),
        Rescue::Nothing | Rescue::Possible(_) => why,
    }
}

/// Why none of the nodes is available.
#[must_use]
pub fn unavailable(nodes: usize, reasons: &[(Reason, Option<usize>)]) -> String {
    if nodes == 0 {
        return "no nodes available to schedule pods".to_owned();
    }
    // Upstream sorts the finished phrases, count first.
    let phrase = |(reason, count): &(Reason, Option<usize>)| match count {
        Some(count) => format!("{count} {reason}"),
        None => reason.to_string(),
    };
    let mut phrases: Vec<String> = reasons.iter().map(phrase).collect();
    phrases.sort_unstable();
    format!("0/{nodes} nodes are available: {}.", phrases.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::framework::Rejection;

    #[test]
    fn reasons_are_counted_and_sorted() {
        let reasons = vec![("Insufficient cpu".into(), Some(2)), ("node(s) were unschedulable".into(), Some(1))];
        let failure = Failure { nodes: 3, reasons, ..Failure::default() };
        assert_eq!(
            unschedulable_message(&failure),
            "0/3 nodes are available: 1 node(s) were unschedulable, 2 Insufficient cpu."
        );
        assert_eq!(unschedulable_message(&Failure::default()), "no nodes available to schedule pods");
    }

    #[test]
    fn what_holds_for_all_nodes_is_not_counted() {
        let failure = Failure::everywhere(3, "NodeAffinity", Rejection::never_here("pod affinity terms conflict"));
        assert_eq!(unschedulable_message(&failure), "0/3 nodes are available: pod affinity terms conflict.");
    }
}
