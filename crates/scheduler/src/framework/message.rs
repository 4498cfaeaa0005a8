//! The message of `FailedScheduling`.

use super::Failure;

/// Upstream's wording: `0/3 nodes are available: 1 node(s) were unschedulable, 2 Insufficient cpu.`
#[must_use]
pub fn unschedulable_message(failure: &Failure) -> String {
    if failure.nodes == 0 {
        return "no nodes available to schedule pods".to_owned();
    }
    // Upstream sorts the finished phrases, count first.
    let mut phrases: Vec<String> = failure.reasons.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
    phrases.sort_unstable();
    format!("0/{} nodes are available: {}.", failure.nodes, phrases.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_counted_and_sorted() {
        let failure = Failure {
            nodes: 3,
            reasons: vec![("Insufficient cpu".into(), 2), ("node(s) were unschedulable".into(), 1)],
            rejected_by: vec![],
        };
        assert_eq!(
            unschedulable_message(&failure),
            "0/3 nodes are available: 1 node(s) were unschedulable, 2 Insufficient cpu."
        );
        assert_eq!(unschedulable_message(&Failure::default()), "no nodes available to schedule pods");
    }
}
