//! The kubelet's own node: it must not draw pods to itself by labels and taints.

use std::collections::{BTreeMap, BTreeSet};

use api_types::core::{Node, NodeConfigSource};

use super::{Checked, Written};
use crate::registry::Operation;

/// Labels that only others set.
const RESTRICTED: &str = "node-restriction.kubernetes.io";
/// Labels of Kubernetes that kubelets set.
const KUBELETS: [&str; 11] = [
    "kubernetes.io/hostname",
    "topology.kubernetes.io/zone",
    "topology.kubernetes.io/region",
    "failure-domain.beta.kubernetes.io/zone",
    "failure-domain.beta.kubernetes.io/region",
    "node.kubernetes.io/instance-type",
    "beta.kubernetes.io/instance-type",
    "kubernetes.io/os",
    "kubernetes.io/arch",
    "beta.kubernetes.io/os",
    "beta.kubernetes.io/arch",
];
/// Domains in which they set what they like.
const KUBELETS_DOMAINS: [&str; 2] = ["kubelet.kubernetes.io", "node.kubernetes.io"];
/// What belongs to Kubernetes otherwise.
const KUBERNETES: [&str; 2] = ["kubernetes.io", "k8s.io"];

impl Written<'_> {
    pub(super) fn own_node(&self) -> Checked {
        let (node, asked) = (self.node, self.review.door.target.name);
        self.refuse_when(asked != node, || format!("node {node:?} is not allowed to modify node {asked:?}"))?;
        match self.review.door.operation {
            Operation::Create => self.new_node(self.object()?),
            Operation::Update => self.changed_node(self.object()?, self.old()?),
            Operation::Delete | Operation::Connect => Ok(()),
        }
    }

    fn new_node(&self, new: &Node) -> Checked {
        let node = self.node;
        self.refuse_when(config_source(new).is_some(), || {
            format!("node {node:?} is not allowed to create pods with a non-nil configSource")
        })?;
        let forbidden = forbidden_labels(new, None);
        self.refuse_when(!forbidden.is_empty(), || {
            format!("node {node:?} is not allowed to set the following labels: {forbidden}")
        })
    }

    fn changed_node(&self, new: &Node, old: &Node) -> Checked {
        let node = self.node;
        let source = config_source(new);
        self.refuse_when(source.is_some() && source != config_source(old), || {
            format!("node {node:?} is not allowed to update configSource to a new non-nil configSource")
        })?;
        let taints = |node: &Node| node.spec.as_ref().and_then(|spec| spec.taints.clone()).unwrap_or_default();
        self.refuse_when(taints(new) != taints(old), || format!("node {node:?} is not allowed to modify taints"))?;
        // Whose owner is gone is collected: the kubelet would make its node anew, without taints.
        let owners = |node: &Node| node.metadata.owner_references.clone().unwrap_or_default();
        self.refuse_when(owners(new) != owners(old), || {
            format!("node {node:?} is not allowed to modify ownerReferences")
        })?;
        let forbidden = forbidden_labels(new, Some(old));
        self.refuse_when(!forbidden.is_empty(), || format!("is not allowed to modify labels: {forbidden}"))
    }
}

fn config_source(node: &Node) -> Option<&NodeConfigSource> {
    node.spec.as_ref().and_then(|spec| spec.config_source.as_ref())
}

/// The labels that differ and may not, in one line.
fn forbidden_labels(new: &Node, old: Option<&Node>) -> String {
    let none = BTreeMap::new();
    let labels =
        |node: Option<&'_ Node>| node.and_then(|node| node.metadata.labels.clone()).unwrap_or_else(|| none.clone());
    let (new, old) = (labels(Some(new)), labels(old));
    let differing: BTreeSet<&String> =
        new.keys().chain(old.keys()).filter(|key| new.get(*key) != old.get(*key)).collect();
    let forbidden: Vec<&str> = differing.into_iter().map(String::as_str).filter(|key| is_forbidden(key)).collect();
    forbidden.join(", ")
}

fn is_forbidden(key: &str) -> bool {
    let domain = key.split_once('/').map(|(domain, _)| domain).unwrap_or_default();
    let within = |parent: &str| domain.strip_suffix(parent).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
    let kubelets = KUBELETS.contains(&key) || KUBELETS_DOMAINS.into_iter().any(within);
    within(RESTRICTED) || (KUBERNETES.into_iter().any(within) && !kubelets)
}

#[cfg(test)]
mod tests {
    use super::is_forbidden;

    #[test]
    fn labels_by_which_pods_are_steered_are_forbidden() {
        for (key, expected) in [
            ("kubernetes.io/hostname", false),
            ("node.kubernetes.io/anything", false),
            ("sub.kubelet.kubernetes.io/anything", false),
            ("example.com/anything", false),
            ("plain", false),
            ("notkubernetes.io/x", false),
            ("node-role.kubernetes.io/control-plane", true),
            ("kubernetes.io/other", true),
            ("x.k8s.io/other", true),
            ("node-restriction.kubernetes.io/x", true),
            ("sub.node-restriction.kubernetes.io/x", true),
        ] {
            assert_eq!(is_forbidden(key), expected, "{key}");
        }
    }
}
