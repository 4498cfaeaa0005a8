//! What counts of a pod that is on a node, or shall be.

use std::{
    collections::BTreeMap,
    sync::{Arc, LazyLock},
};

use api_types::{
    core::{PersistentVolumeClaim, PodAffinityTerm},
    jiff::Timestamp,
    pod::host_ports::{HostPort, host_ports},
    selector::label::Selector,
};
use component::pool::Pool;

use component::informer::ObjectKey;

use crate::{
    directory::Directory,
    model::{Pod, PodAffinity},
    resources::Requests,
};

/// What selectors read of a pod. Pods of one workload mostly share it.
#[derive(Debug, Default, PartialEq, Eq, Hash)]
pub struct Kin {
    /// Namespace.
    pub namespace: Box<str>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
}

/// Which pod it is, for those who write about it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// Uid.
    pub uid: Arc<str>,
    /// Name in its namespace.
    pub name: Box<str>,
    /// Of the spec, as the API server counts.
    pub generation: Option<i64>,
}

/// What counts of a pod.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PodInfo {
    /// Which pod it is.
    pub identity: Identity,
    /// How important it is.
    pub priority: i32,
    /// When its kubelet took it on.
    pub started: Option<Timestamp>,
    /// What it takes. Pods of one workload share it.
    pub requests: Arc<Requests>,
    /// Ports on the host.
    pub host_ports: Vec<HostPort>,
    /// The claims that it uses.
    pub claims: Vec<ObjectKey>,
    /// Namespace and labels.
    pub kin: Arc<Kin>,
    /// Whether it is on its way out: it still takes room, but nothing is spread away from it.
    pub leaving: bool,
    /// Whether it is so because the scheduler made it go.
    pub preempted: bool,
    /// Which other pods it wants near or far; `None` when it does not mind.
    pub terms: Option<Box<PodTerms>>,
}

impl PodInfo {
    /// Reads a pod that waits, or one as it was sent.
    #[must_use]
    pub(crate) fn of(pod: &Pod) -> Self {
        static KINS: LazyLock<Pool<Kin>> = LazyLock::new(Pool::default);
        static REQUESTS: LazyLock<Pool<Requests>> = LazyLock::new(Pool::default);
        let kin = Kin {
            namespace: pod.metadata.namespace.as_deref().unwrap_or_default().into(),
            labels: pod.metadata.labels.clone().unwrap_or_default(),
        };
        let identity = Identity {
            uid: pod.uid().into(),
            name: pod.metadata.name.as_deref().unwrap_or_default().into(),
            generation: pod.metadata.generation,
        };
        Self {
            identity,
            priority: pod.priority(),
            started: pod.status.start_time.as_ref().map(|time| time.0),
            requests: REQUESTS.share(Requests::of(pod)),
            host_ports: host_ports(pod),
            claims: Self::claims_of(pod),
            leaving: pod.metadata.deletion_timestamp.is_some(),
            preempted: pod.is_preempted(),
            terms: PodTerms::of(pod, &kin.namespace),
            kin: KINS.share(kin),
        }
    }

    /// Whether to other pods that wait it is all one which of the two is there.
    #[must_use]
    pub fn counts_like(&self, other: &Self) -> bool {
        self.requests == other.requests
            && self.host_ports == other.host_ports
            && self.claims == other.claims
            && self.kin == other.kin
            && self.leaving == other.leaving
            && self.terms == other.terms
            && self.priority == other.priority
    }

    fn claims_of(pod: &Pod) -> Vec<ObjectKey> {
        let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
        pod.claims().map(|claim| ObjectKey::new(namespace, claim.name)).collect()
    }

    /// Whether it uses this claim.
    #[must_use]
    pub fn has_claim(&self, claim: &PersistentVolumeClaim) -> bool {
        let (namespace, name) = (claim.metadata.namespace.as_deref(), claim.metadata.name.as_deref());
        self.claims.iter().any(|own| Some(own.name.as_str()) == name && Some(own.namespace.as_str()) == namespace)
    }

    /// Its uid.
    #[must_use]
    pub fn uid(&self) -> &str {
        &self.identity.uid
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
