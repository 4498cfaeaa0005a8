//! What counts of a pod that is on a node, or shall be.

use std::{collections::BTreeMap, sync::Arc};

use api_types::{
    core::PodAffinityTerm,
    pod::host_ports::{HostPort, host_ports},
    selector::label::Selector,
};

use crate::{
    directory::Directory,
    model::{Pod, PodAffinity},
    resources::Requests,
};

/// What selectors read of a pod. Pods of one workload mostly share it.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Kin {
    /// Namespace.
    pub namespace: Box<str>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
}

/// What counts of a pod.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PodInfo {
    /// What it takes.
    pub requests: Requests,
    /// Ports on the host.
    pub host_ports: Vec<HostPort>,
    /// Namespace and labels.
    pub kin: Arc<Kin>,
    /// Whether it is on its way out: it still takes room, but nothing is spread away from it.
    pub leaving: bool,
    /// Which other pods it wants near or far; `None` when it does not mind.
    pub terms: Option<Box<PodTerms>>,
}

impl PodInfo {
    /// Reads a pod.
    #[must_use]
    pub fn of(pod: &Pod) -> Self {
        let kin = Self::kin_of(pod);
        Self {
            requests: Requests::of(pod),
            host_ports: host_ports(pod),
            leaving: pod.metadata.deletion_timestamp.is_some(),
            terms: PodTerms::of(pod, &kin.namespace),
            kin: Arc::new(kin),
        }
    }

    /// What selectors read of a pod.
    #[must_use]
    pub fn kin_of(pod: &Pod) -> Kin {
        Kin {
            namespace: pod.metadata.namespace.as_deref().unwrap_or_default().into(),
            labels: pod.metadata.labels.clone().unwrap_or_default(),
        }
    }

    /// Pods that must not be near.
    #[must_use]
    pub fn required_anti_affinity(&self) -> &[Term] {
        self.terms.as_ref().map_or(&[], |terms| &terms.anti_affinity.required)
    }
}

/// Affinity to other pods, and against them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PodTerms {
    /// Pods to be near to.
    pub affinity: Terms,
    /// Pods to be far from.
    pub anti_affinity: Terms,
}

/// What must be, and what would be nice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Terms {
    /// All of them hold.
    pub required: Vec<Term>,
    /// Each with its weight.
    pub preferred: Vec<(i64, Term)>,
}

impl PodTerms {
    fn of(pod: &Pod, namespace: &str) -> Option<Box<Self>> {
        let affinity = pod.spec.affinity.as_ref()?;
        let terms = |own: Option<&PodAffinity>| own.map(|own| Terms::of(own, namespace)).unwrap_or_default();
        let own = Self {
            affinity: terms(affinity.pod_affinity.as_ref()),
            anti_affinity: terms(affinity.pod_anti_affinity.as_ref()),
        };
        (own != Self::default()).then(|| Box::new(own))
    }
}

impl Terms {
    fn of(own: &PodAffinity, namespace: &str) -> Self {
        let required = own.required_during_scheduling_ignored_during_execution.iter();
        let preferred = own.preferred_during_scheduling_ignored_during_execution.iter();
        Self {
            required: required.filter_map(|term| Term::of(term, namespace)).collect(),
            preferred: preferred
                .filter_map(|own| Some((i64::from(own.weight), Term::of(&own.pod_affinity_term, namespace)?)))
                .collect(),
        }
    }
}

/// Other pods, and how near is near.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Term {
    /// Where these pods are, by name.
    namespaces: Vec<String>,
    /// Where else they are, by the namespaces' labels.
    namespace_selector: Selector,
    /// Which pods.
    selector: Selector,
    /// Nodes with the same value of this label are near each other.
    pub topology_key: Box<str>,
}

impl Term {
    /// `None` for a malformed one, which validation keeps out.
    fn of(term: &PodAffinityTerm, own_namespace: &str) -> Option<Self> {
        let listed = term.namespaces.as_deref().unwrap_or_default();
        let own = listed.is_empty() && term.namespace_selector.is_none();
        Some(Self {
            namespaces: if own { vec![own_namespace.to_owned()] } else { listed.to_vec() },
            namespace_selector: Selector::from_label_selector(term.namespace_selector.as_ref()).ok()?,
            selector: Selector::from_label_selector(term.label_selector.as_ref()).ok()?,
            topology_key: term.topology_key.as_str().into(),
        })
    }

    /// Whether it means a pod.
    #[must_use]
    pub fn matches(&self, kin: &Kin, directory: &Directory) -> bool {
        let there = self.namespaces.iter().any(|name| **name == *kin.namespace)
            || directory.namespace_matches(&kin.namespace, &self.namespace_selector);
        there && self.selector.matches(&kin.labels)
    }

    /// Whether it could mean a pod, whatever its namespace's labels are.
    #[must_use]
    pub fn may_match(&self, kin: &Kin) -> bool {
        let there = self.namespaces.iter().any(|name| **name == *kin.namespace);
        (there || self.namespace_selector != Selector::nothing()) && self.selector.matches(&kin.labels)
    }
}
