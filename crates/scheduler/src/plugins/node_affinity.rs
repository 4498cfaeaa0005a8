//! `nodeSelector`, required node affinity (filters) and preferred node affinity (scores).

use std::collections::BTreeMap;

use api_types::{
    core::NodeAffinity as Affinity,
    core::{NodeSelectorRequirement, NodeSelectorTerm},
};

use crate::{
    cache::NodeInfo,
    framework::{Candidate, ClusterEvent, Normalize, Plugin, Prepared},
};

/// See the module.
#[derive(Debug)]
pub struct NodeAffinity;

impl Plugin for NodeAffinity {
    fn name(&self) -> &'static str {
        "NodeAffinity"
    }

    fn requeue_on(&self) -> &'static [ClusterEvent] {
        &[ClusterEvent::NodeChanged, ClusterEvent::PodChanged]
    }

    fn prepare<'a>(&self, candidate: Candidate<'a>) -> Prepared<'a> {
        let spec = &candidate.pod.spec;
        let selector = spec.node_selector.as_deref().filter(|selector| !selector.is_empty());
        let affinity = spec.affinity.as_ref().and_then(|affinity| affinity.node_affinity.as_ref());
        let required =
            affinity.and_then(|affinity| affinity.required_during_scheduling_ignored_during_execution.as_ref());
        let mut prepared = Prepared::default();
        if selector.is_some() || required.is_some() {
            prepared = prepared.filter(move |node| {
                let selected = selector.is_none_or(|selector| has_labels(node, selector));
                let terms = required.map(|required| required.node_selector_terms.as_slice());
                let fits = selected && terms.is_none_or(|terms| terms.iter().any(|term| matches(term, node)));
                if fits { Ok(()) } else { Err(vec!["node(s) didn't match Pod's node affinity/selector".into()]) }
            });
        }
        match affinity.filter(|affinity| preferences(affinity).next().is_some()) {
            None => prepared,
            Some(affinity) => prepared.score(Normalize::HighestBest, move |node| {
                preferences(affinity).filter(|(_, term)| matches(term, node)).map(|(weight, _)| weight).sum()
            }),
        }
    }
}

fn preferences(affinity: &Affinity) -> impl Iterator<Item = (i64, &NodeSelectorTerm)> {
    let preferred = affinity.preferred_during_scheduling_ignored_during_execution.iter().flatten();
    preferred.map(|preferred| (i64::from(preferred.weight), &preferred.preference))
}

fn has_labels(node: &NodeInfo, selector: &BTreeMap<String, String>) -> bool {
    selector.iter().all(|(key, value)| node.labels().get(key) == Some(value))
}

/// A term without requirements matches nothing.
fn matches(term: &NodeSelectorTerm, node: &NodeInfo) -> bool {
    let labels = term.match_expressions.iter().flatten();
    let fields = term.match_fields.iter().flatten();
    let empty = labels.clone().next().is_none() && fields.clone().next().is_none();
    let name = |key: &str| (key == "metadata.name").then(|| node.name());
    !empty
        && labels.into_iter().all(|r| holds(r, node.labels().get(&r.key).map(String::as_str)))
        && fields.into_iter().all(|r| holds(r, name(&r.key)))
}

fn holds(requirement: &NodeSelectorRequirement, actual: Option<&str>) -> bool {
    let values = requirement.values.as_deref().unwrap_or_default();
    let listed = |actual: &str| values.iter().any(|value| value == actual);
    let compare = |wanted: fn(i64, i64) -> bool| {
        let bound = values.first().and_then(|value| value.parse().ok());
        let actual = actual.and_then(|actual| actual.parse().ok());
        actual.zip(bound).is_some_and(|(actual, bound)| wanted(actual, bound))
    };
    match requirement.operator.as_str() {
        "In" => actual.is_some_and(listed),
        "NotIn" => !actual.is_some_and(listed),
        "Exists" => actual.is_some(),
        "DoesNotExist" => actual.is_none(),
        "Gt" => compare(|actual, bound| actual > bound),
        "Lt" => compare(|actual, bound| actual < bound),
        _ => false,
    }
}
