//! On which nodes a daemon set runs.

use std::{collections::BTreeMap, sync::LazyLock};

use api_types::{
    apps::DaemonSet,
    core::{
        NodeAffinity, NodeSelector, NodeSelectorRequirement, NodeSelectorTerm, Pod, PodSpec, PodTemplateSpec,
        Toleration,
    },
    meta::OwnerReference,
    pod::{
        node_affinity::{NodeView, Required},
        tolerations::{NO_EXECUTE, NO_SCHEDULE, identity, untolerated},
    },
};

use crate::{history::REVISION_LABEL, pod_template::pod_from_template, slim::Node};

/// How often the template has changed; a field once. Pods carry it as a label.
pub(super) const TEMPLATE_GENERATION: &str = "deprecated.daemonset.template.generation";
pub(super) const TEMPLATE_GENERATION_LABEL: &str = "pod-template-generation";

/// Taints that keep no daemon away: a node's troubles are those of its daemons, too.
const TOLERATED: [(&str, &str); 6] = [
    ("node.kubernetes.io/not-ready", NO_EXECUTE),
    ("node.kubernetes.io/unreachable", NO_EXECUTE),
    ("node.kubernetes.io/disk-pressure", NO_SCHEDULE),
    ("node.kubernetes.io/memory-pressure", NO_SCHEDULE),
    ("node.kubernetes.io/pid-pressure", NO_SCHEDULE),
    ("node.kubernetes.io/unschedulable", NO_SCHEDULE),
];
/// Who uses the host's network does not wait for the pods'.
const TOLERATED_ON_HOST_NETWORK: (&str, &str) = ("node.kubernetes.io/network-unavailable", NO_SCHEDULE);

static NO_LABELS: LazyLock<BTreeMap<String, String>> = LazyLock::new(BTreeMap::new);

/// What a daemon set asks of nodes.
pub(super) struct Placement<'a> {
    spec: Option<&'a PodSpec>,
    required: Required<'a>,
    tolerations: Vec<Toleration>,
}

/// What a daemon set does on a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Presence {
    /// It runs there.
    Wanted,
    /// What runs there may go on; nothing is started.
    Tolerated,
    /// Nothing runs there.
    Unwanted,
}

impl<'a> Placement<'a> {
    pub(super) fn of(set: &'a DaemonSet) -> Self {
        let spec = set.spec.as_ref().and_then(|spec| spec.template.spec.as_ref());
        let affinity = spec.and_then(|spec| spec.affinity.as_ref()?.node_affinity.as_ref());
        Self {
            spec,
            required: Required::of(spec.and_then(|spec| spec.node_selector.as_ref()), affinity),
            tolerations: spec.map(tolerations).unwrap_or_default(),
        }
    }

    /// Whether the set runs on the node.
    pub(super) fn on(&self, node: &Node) -> Presence {
        let named = self.spec.and_then(|spec| spec.node_name.as_deref()).filter(|name| !name.is_empty());
        let view = NodeView { name: node.name(), labels: node.metadata.labels.as_ref().unwrap_or(&NO_LABELS) };
        if named.is_some_and(|name| name != node.name()) || !self.required.matches(view) {
            return Presence::Unwanted;
        }
        let repels = |effects: &[&str]| untolerated(&node.spec.taints, &self.tolerations, effects).is_some();
        match (repels(&[NO_EXECUTE]), repels(&[NO_SCHEDULE])) {
            (true, _) => Presence::Unwanted,
            (false, true) => Presence::Tolerated,
            (false, false) => Presence::Wanted,
        }
    }
}

/// The template's tolerations and those that every daemon has.
fn tolerations(spec: &PodSpec) -> Vec<Toleration> {
    let mut tolerations = spec.tolerations.clone().unwrap_or_default();
    let on_host = (spec.host_network == Some(true)).then_some(TOLERATED_ON_HOST_NETWORK);
    for (key, effect) in TOLERATED.into_iter().chain(on_host) {
        let own = Toleration {
            key: Some(key.to_owned()),
            operator: Some("Exists".to_owned()),
            effect: Some(effect.to_owned()),
            ..Toleration::default()
        };
        match tolerations.iter_mut().find(|there| identity(there) == identity(&own)) {
            Some(there) => *there = own,
            None => tolerations.push(own),
        }
    }
    tolerations
}

/// What pods are of.
#[derive(Clone, Copy, Debug)]
pub(super) struct Version<'a> {
    /// The hash of the current revision.
    pub hash: &'a str,
    /// The generation of the template, if it is a number.
    pub generation: Option<i64>,
}

impl<'a> Version<'a> {
    pub(super) fn of(set: &DaemonSet, hash: &'a str) -> Self {
        let generation = set.metadata.annotations.as_ref().and_then(|own| own.get(TEMPLATE_GENERATION));
        Self { hash, generation: generation.and_then(|own| own.parse().ok()) }
    }

    /// Whether the pod is of the current template.
    pub(super) fn is_of(&self, pod: &crate::slim::Pod) -> bool {
        let generation = self.generation.map(|own| own.to_string());
        let same_generation = generation.is_some() && pod.label(TEMPLATE_GENERATION_LABEL) == generation.as_deref();
        same_generation || !self.hash.is_empty() && pod.label(REVISION_LABEL) == Some(self.hash)
    }
}

/// The pod for a node: of the template, with the tolerations of daemons, and wanting that node only.
pub(super) fn pod_for(
    template: &PodTemplateSpec,
    namespace: &str,
    owner: &OwnerReference,
    version: Version<'_>,
    node: &str,
) -> Pod {
    let mut pod = pod_from_template(template, namespace, owner);
    let labels = pod.metadata.labels.get_or_insert_default();
    labels.insert(REVISION_LABEL.to_owned(), version.hash.to_owned());
    if let Some(generation) = version.generation {
        labels.insert(TEMPLATE_GENERATION_LABEL.to_owned(), generation.to_string());
    }
    let spec = pod.spec.get_or_insert_default();
    spec.tolerations = Some(tolerations(spec));
    let by_name = NodeSelectorRequirement {
        key: "metadata.name".to_owned(),
        operator: "In".to_owned(),
        values: Some(vec![node.to_owned()]),
    };
    let term = NodeSelectorTerm { match_fields: Some(vec![by_name]), ..NodeSelectorTerm::default() };
    let affinity: &mut NodeAffinity = spec.affinity.get_or_insert_default().node_affinity.get_or_insert_default();
    affinity.required_during_scheduling_ignored_during_execution =
        Some(NodeSelector { node_selector_terms: vec![term] });
    pod
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn set(pod: Value) -> DaemonSet {
        serde_json::from_value(json!({"spec": {"selector": {}, "template": {"spec": pod}}})).unwrap()
    }

    fn node(labels: Value, taints: Value) -> Node {
        serde_json::from_value(json!({"metadata": {"name": "n", "labels": labels}, "spec": {"taints": taints}}))
            .unwrap()
    }

    #[test]
    fn nodes_are_chosen_by_name_labels_and_taints() {
        let plain = json!({"containers": []});
        let taint = |effect: &str| json!([{"key": "k", "effect": effect}]);
        let tolerant = json!({"containers": [], "tolerations": [{"key": "k", "operator": "Exists"}]});
        let unready = json!([{"key": "node.kubernetes.io/not-ready", "effect": "NoExecute"},
            {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}]);
        let no_network = json!([{"key": "node.kubernetes.io/network-unavailable", "effect": "NoSchedule"}]);
        let cases = [
            (plain.clone(), node(json!({}), json!([])), Presence::Wanted),
            (json!({"containers": [], "nodeName": "n"}), node(json!({}), json!([])), Presence::Wanted),
            (json!({"containers": [], "nodeName": "m"}), node(json!({}), json!([])), Presence::Unwanted),
            (
                json!({"containers": [], "nodeSelector": {"a": "b"}}),
                node(json!({"a": "b"}), json!([])),
                Presence::Wanted,
            ),
            (
                json!({"containers": [], "nodeSelector": {"a": "b"}}),
                node(json!({"a": "c"}), json!([])),
                Presence::Unwanted,
            ),
            (plain.clone(), node(json!({}), taint("NoSchedule")), Presence::Tolerated),
            (plain.clone(), node(json!({}), taint("NoExecute")), Presence::Unwanted),
            (plain.clone(), node(json!({}), taint("PreferNoSchedule")), Presence::Wanted),
            (tolerant, node(json!({}), taint("NoExecute")), Presence::Wanted),
            (plain.clone(), node(json!({}), unready), Presence::Wanted),
            (plain, node(json!({}), no_network.clone()), Presence::Tolerated),
            (json!({"containers": [], "hostNetwork": true}), node(json!({}), no_network), Presence::Wanted),
        ];
        for (pod, node, expected) in cases {
            assert_eq!(Placement::of(&set(pod.clone())).on(&node), expected, "{pod} on {node:?}");
        }
    }

    #[test]
    fn a_pod_wants_its_node_and_nothing_else() {
        let affinity = json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {
            "nodeSelectorTerms": [{"matchExpressions": [{"key": "a", "operator": "Exists"}]}]}}});
        let set = set(json!({"containers": [], "affinity": affinity}));
        let template = &set.spec.as_ref().unwrap().template;
        let version = Version { hash: "h", generation: Some(2) };
        let pod = pod_for(template, "ns", &OwnerReference::default(), version, "n1");
        let pod = serde_json::to_value(pod).unwrap();
        assert_eq!(pod["metadata"]["labels"], json!({REVISION_LABEL: "h", TEMPLATE_GENERATION_LABEL: "2"}));
        let terms = &pod["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"];
        let expected = json!([{"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n1"]}]}]);
        assert_eq!(terms["nodeSelectorTerms"], expected);
        assert_eq!(pod["spec"]["tolerations"].as_array().unwrap().len(), TOLERATED.len());
        let slim: crate::slim::Pod = serde_json::from_value(pod).unwrap();
        assert_eq!(slim.target_node(), "n1");
        assert!(version.is_of(&slim));
    }
}
