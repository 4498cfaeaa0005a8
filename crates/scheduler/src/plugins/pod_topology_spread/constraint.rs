//! A constraint, read once per attempt.

use std::collections::BTreeMap;

use api_types::{
    core::{Toleration, TopologySpreadConstraint},
    pod::{
        node_affinity::Required,
        tolerations::{NO_EXECUTE, NO_SCHEDULE, untolerated},
    },
    selector::label::{Operator, Requirement, Selector},
};

use crate::{
    cache::{Group, Kin, NodeInfo},
    framework::Candidate,
};

/// The label by which every host is its own domain.
pub(super) const HOST: &str = "kubernetes.io/hostname";

/// See the module.
#[derive(Debug)]
pub(super) struct Constraint<'a> {
    /// Nodes with the same value of this label are one domain.
    pub(super) key: &'a str,
    /// How uneven it may be.
    pub(super) max_skew: i64,
    /// With fewer domains than this, the least is taken to be nothing.
    pub(super) min_domains: usize,
    /// The pods that are spread.
    pub(super) selector: Selector,
    /// Nodes that the pod's own affinity excludes do not count.
    honours_affinity: bool,
    /// Nodes whose taints the pod does not tolerate do not count.
    honours_taints: bool,
}

impl<'a> Constraint<'a> {
    /// The constraints of one sort. A malformed one is left out: validation keeps it away. Defaults come without a
    /// selector and get `selector`.
    pub(super) fn all(
        constraints: &'a [TopologySpreadConstraint],
        labels: &BTreeMap<String, String>,
        when: &str,
        selector: Option<&Selector>,
    ) -> Vec<Self> {
        let wanted = constraints.iter().filter(|own| own.when_unsatisfiable == when);
        wanted.filter_map(|own| Self::of(own, labels, selector)).collect()
    }

    fn of(
        own: &'a TopologySpreadConstraint,
        labels: &BTreeMap<String, String>,
        selector: Option<&Selector>,
    ) -> Option<Self> {
        let selector = match selector {
            Some(selector) => selector.clone(),
            None => narrowed(Selector::from_label_selector(own.label_selector.as_ref()).ok()?, own, labels),
        };
        Some(Self {
            key: &own.topology_key,
            max_skew: i64::from(own.max_skew),
            min_domains: own.min_domains.and_then(|domains| usize::try_from(domains).ok()).unwrap_or(1),
            selector,
            honours_affinity: own.node_affinity_policy.as_deref() != Some("Ignore"),
            honours_taints: own.node_taints_policy.as_deref() == Some("Honor"),
        })
    }

    /// Whether a node's pods count for a pod.
    pub(super) fn counts(&self, node: &NodeInfo, required: &Required<'_>, tolerations: &[Toleration]) -> bool {
        let repels = || untolerated(node.taints(), tolerations, &[NO_SCHEDULE, NO_EXECUTE]).is_some();
        (!self.honours_affinity || required.matches(node.view())) && !(self.honours_taints && repels())
    }

    /// How many pods of a node are among those that are spread; pods on their way out are not. A selector without
    /// requirements finds none, as upstream's, although it matches every pod.
    pub(super) fn matching(&self, node: &NodeInfo, namespace: &str) -> i64 {
        if self.selector.is_everything() {
            return 0;
        }
        let matching = node.groups().iter().filter(|group| self.matches(&group.kin, namespace));
        let count: usize = matching.map(|Group { pods, leaving, .. }| pods - leaving).sum();
        i64::try_from(count).unwrap_or(i64::MAX)
    }

    /// Whether a pod is among those that are spread.
    pub(super) fn matches(&self, kin: &Kin, namespace: &str) -> bool {
        *kin.namespace == *namespace && self.selector.matches(&kin.labels)
    }
}

/// `matchLabelKeys`: only pods that have the same values as this one.
fn narrowed(selector: Selector, own: &TopologySpreadConstraint, labels: &BTreeMap<String, String>) -> Selector {
    let same = |key: &String| {
        let value = labels.get(key)?;
        Requirement::new(key, Operator::In, vec![value.clone()]).ok()
    };
    let keys: Vec<Requirement> = own.match_label_keys.iter().flatten().filter_map(same).collect();
    if keys.is_empty() || selector == Selector::nothing() {
        return selector;
    }
    Selector::all(selector.requirements().iter().cloned().chain(keys).collect())
}

/// What decides which nodes count for a pod.
pub(super) fn required<'a>(candidate: Candidate<'a>) -> Required<'a> {
    let spec = &candidate.pod.spec;
    let affinity = spec.affinity.as_ref().and_then(|affinity| affinity.node_affinity.as_ref());
    Required::of(spec.node_selector.as_deref(), affinity)
}

/// Whether a node is in a domain of every constraint.
pub(super) fn is_in_all(node: &NodeInfo, constraints: &[Constraint<'_>]) -> bool {
    constraints.iter().all(|constraint| node.label(constraint.key).is_some())
}
