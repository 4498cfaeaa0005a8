//! What is left in a namespace that is going away, and what its conditions say about that.

use std::collections::BTreeMap;

use api_types::{core::NamespaceCondition, jiff::Timestamp, meta::Time};

/// What one pass over a namespace found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    /// Why discovery is incomplete.
    pub discovery_failures: Vec<String>,
    /// What could not be deleted or listed, and why.
    pub content_failures: Vec<String>,
    /// Objects that are left, by group resource.
    pub remaining: BTreeMap<String, usize>,
    /// Objects that are left and have a finalizer, by finalizer.
    pub finalizers: BTreeMap<String, usize>,
}

impl Found {
    /// Whether the namespace is certainly empty.
    pub(super) fn is_empty(&self) -> bool {
        self.remaining.is_empty() && self.discovery_failures.is_empty() && self.content_failures.is_empty()
    }

    /// The conditions as they should be. Those that say the same already keep their time.
    pub(super) fn conditions(&self, current: &[NamespaceCondition], now: Timestamp) -> Vec<NamespaceCondition> {
        let mut conditions = current.to_vec();
        for (kind, true_reason, false_reason, good, bad) in self.judgements() {
            let (status, reason, message) = match bad {
                Some(bad) => ("True", true_reason, bad),
                None => ("False", false_reason, good.to_owned()),
            };
            let new = NamespaceCondition {
                type_: kind.to_owned(),
                status: status.to_owned(),
                reason: Some(reason.to_owned()),
                message: Some(message),
                last_transition_time: Some(Time(now)),
            };
            let old = conditions.iter_mut().find(|condition| condition.type_ == kind);
            match old {
                Some(old) if old.status == new.status && old.reason == new.reason && old.message == new.message => {}
                Some(old) => *old = new,
                None => conditions.push(new),
            }
        }
        conditions
    }

    /// Condition, its reasons when true and when false, the message when false, that when true.
    fn judgements(&self) -> [(&'static str, &'static str, &'static str, &'static str, Option<String>); 5] {
        let join = |failures: &[String], prefix: &str| {
            (!failures.is_empty()).then(|| format!("{prefix}{}", failures.join("; ")))
        };
        [
            (
                "NamespaceDeletionDiscoveryFailure",
                "DiscoveryFailed",
                "ResourcesDiscovered",
                "All resources successfully discovered",
                join(&self.discovery_failures, "Discovery failed for some groups: "),
            ),
            (
                "NamespaceDeletionGroupVersionParsingFailure",
                "GroupVersionParsingFailed",
                "ParsedGroupVersions",
                "All legacy kube types successfully parsed",
                None,
            ),
            (
                "NamespaceDeletionContentFailure",
                "ContentDeletionFailed",
                "ContentDeleted",
                "All content successfully deleted, may be waiting on finalization",
                join(&self.content_failures, "Failed to delete all resource types, failures: "),
            ),
            (
                "NamespaceContentRemaining",
                "SomeResourcesRemain",
                "ContentRemoved",
                "All content successfully removed",
                self.remaining_message(),
            ),
            (
                "NamespaceFinalizersRemaining",
                "SomeFinalizersRemain",
                "ContentHasNoFinalizers",
                "All content-preserving finalizers finished",
                self.finalizers_message(),
            ),
        ]
    }

    fn remaining_message(&self) -> Option<String> {
        let each = self.remaining.iter().map(|(resource, count)| {
            // Upstream writes a group resource with its dot even in the core group.
            let dot = if resource.contains('.') { "" } else { "." };
            format!("{resource}{dot} has {count} resource instances")
        });
        let text = each.collect::<Vec<_>>().join(", ");
        (!text.is_empty()).then(|| format!("Some resources are remaining: {text}"))
    }

    fn finalizers_message(&self) -> Option<String> {
        let each =
            self.finalizers.iter().map(|(finalizer, count)| format!("{finalizer} in {count} resource instances"));
        let text = each.collect::<Vec<_>>().join(", ");
        (!text.is_empty()).then(|| format!("Some content in the namespace has finalizers remaining: {text}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_tell_what_is_left() {
        let found = Found {
            remaining: [("pods".to_owned(), 2), ("deployments.apps".to_owned(), 1)].into(),
            finalizers: [("a/b".to_owned(), 1)].into(),
            ..Found::default()
        };
        assert!(!found.is_empty());
        let conditions = found.conditions(&[], Timestamp::UNIX_EPOCH);
        let text: Vec<String> = conditions
            .iter()
            .map(|c| {
                format!("{}={} {}: {}", c.type_, c.status, c.reason.as_ref().unwrap(), c.message.as_ref().unwrap())
            })
            .collect();
        assert_eq!(
            text,
            [
                "NamespaceDeletionDiscoveryFailure=False ResourcesDiscovered: All resources successfully discovered",
                "NamespaceDeletionGroupVersionParsingFailure=False ParsedGroupVersions: All legacy kube types successfully parsed",
                "NamespaceDeletionContentFailure=False ContentDeleted: All content successfully deleted, may be waiting on finalization",
                "NamespaceContentRemaining=True SomeResourcesRemain: Some resources are remaining: deployments.apps has 1 resource instances, pods. has 2 resource instances",
                "NamespaceFinalizersRemaining=True SomeFinalizersRemain: Some content in the namespace has finalizers remaining: a/b in 1 resource instances",
            ]
        );
        let later = Timestamp::from_second(9).unwrap();
        assert_eq!(found.conditions(&conditions, later), conditions, "times move only with content");
        assert_ne!(Found::default().conditions(&conditions, later), conditions);
    }
}
