//! What a node has for a pod's claims.

use std::{collections::HashMap, sync::Arc};

use api_types::core::PersistentVolumeClaim;
use component::{
    informer::ObjectKey,
    volumes::{
        Class, NO_PROVISIONER, SELECTED_NODE, Volume, annotation, class_of,
        matching::{Wanted, requested},
        volume_name,
    },
};

use super::{ELSEWHERE, NO_VOLUME, NOTHING_FREE};
use crate::{
    cache::NodeInfo,
    framework::{Finality, Rejection},
    storage::Storage,
};

/// The label that most volumes of one node go by.
const HOSTNAME: &str = "kubernetes.io/hostname";

/// What there is on all nodes for the claims of a pod.
pub(super) struct Places<'a> {
    storage: &'a Storage,
    /// The volumes of claims that have some; `None` is one that is gone.
    bound: Vec<Option<Arc<Volume>>>,
    /// The others, the smallest first.
    waiting: Vec<Waiting>,
}

/// A claim that waits for a node.
struct Waiting {
    claim: Arc<PersistentVolumeClaim>,
    key: ObjectKey,
    class: Option<Arc<Class>>,
    /// The node that was chosen for it before.
    chosen: Option<String>,
    free: Free,
}

/// Volumes that would do for a claim.
#[derive(Default)]
struct Free {
    /// Of one node each, by what that calls itself.
    by_hostname: HashMap<String, Vec<Arc<Volume>>>,
    others: Vec<Arc<Volume>>,
}

/// What a node has.
#[derive(Debug, Default)]
pub(super) struct Place {
    /// Volumes that are to be taken, with the claims that get them.
    pub(super) taken: Vec<(Arc<Volume>, Arc<PersistentVolumeClaim>)>,
    /// Claims whose volumes are to be made there.
    pub(super) made: Vec<Arc<PersistentVolumeClaim>>,
}

impl Place {
    /// Whether all claims have volumes.
    pub(super) fn is_settled(&self) -> bool {
        self.taken.is_empty() && self.made.is_empty()
    }
}

impl<'a> Places<'a> {
    pub(super) fn of(
        storage: &'a Storage,
        bound: Vec<Arc<PersistentVolumeClaim>>,
        mut waiting: Vec<Arc<PersistentVolumeClaim>>,
    ) -> Self {
        waiting.sort_by_key(|claim| requested(claim));
        let bound = bound.iter().map(|claim| storage.volume(volume_name(claim))).collect();
        let waiting = waiting.into_iter().map(|claim| Waiting::of(storage, claim)).collect();
        Self { storage, bound, waiting }
    }

    /// What a node has.
    ///
    /// # Errors
    /// When it has not what the pod needs.
    pub(super) fn on(&self, node: &NodeInfo) -> Result<Place, Rejection> {
        let mut reasons = Vec::new();
        if self.bound.iter().any(Option::is_none) {
            reasons.push(NO_VOLUME.into());
        } else if !self.bound.iter().flatten().all(|volume| volume.is_on(node.view())) {
            reasons.push(ELSEWHERE.into());
        }
        let place = self.room_for_waiting(node);
        if place.is_none() {
            reasons.push(NOTHING_FREE.into());
        }
        match place {
            Some(place) if reasons.is_empty() => Ok(place),
            _ => Err(Rejection { reasons, finality: Finality::NeverHere }),
        }
    }

    fn room_for_waiting(&self, node: &NodeInfo) -> Option<Place> {
        let mut place = Place::default();
        for waiting in &self.waiting {
            match waiting.chosen_node(self.storage) {
                Some(chosen) if chosen != node.name() => return None,
                Some(_) => place.made.push(waiting.can_be_made(node)?),
                None => match waiting.smallest(node, &place) {
                    Some(volume) => place.taken.push((volume, Arc::clone(&waiting.claim))),
                    None => place.made.push(waiting.can_be_made(node)?),
                },
            }
        }
        Some(place)
    }
}

impl Waiting {
    fn of(storage: &Storage, claim: Arc<PersistentVolumeClaim>) -> Self {
        let mut free = Free::default();
        if let Ok(wanted) = Wanted::of(&claim) {
            for volume in storage.free(class_of(&claim)).into_iter().filter(|volume| wanted.suits(volume)) {
                match hostname(&volume).map(str::to_owned) {
                    Some(hostname) => free.by_hostname.entry(hostname).or_default().push(volume),
                    None => free.others.push(volume),
                }
            }
        }
        let chosen = annotation(&claim.metadata, SELECTED_NODE).map(str::to_owned);
        Self { key: ObjectKey::of(&*claim), class: storage.class(class_of(&claim)), chosen, free, claim }
    }

    /// The node that was chosen for it: what is written, or promised to another pod.
    fn chosen_node(&self, storage: &Storage) -> Option<String> {
        self.chosen.clone().or_else(|| storage.promised_node(&self.key).map(|node| node.to_string()))
    }

    /// The smallest volume that would do and is on the node.
    fn smallest(&self, node: &NodeInfo, place: &Place) -> Option<Arc<Volume>> {
        let own = node.label(HOSTNAME).and_then(|name| self.free.by_hostname.get(name));
        let all = own.into_iter().flatten().chain(&self.free.others);
        let is_taken = |volume: &Arc<Volume>| place.taken.iter().any(|(taken, _)| Arc::ptr_eq(taken, volume));
        let there = all.filter(|volume| !is_taken(volume) && volume.is_on(node.view()));
        there.min_by_key(|volume| volume.size()).cloned()
    }

    /// The claim, if its volume can be made for this node.
    fn can_be_made(&self, node: &NodeInfo) -> Option<Arc<PersistentVolumeClaim>> {
        let class = self.class.as_deref()?;
        let provides = !class.provisioner.is_empty() && class.provisioner != NO_PROVISIONER;
        (provides && class.is_on(node.labels())).then(|| Arc::clone(&self.claim))
    }
}

/// What the one node of a volume calls itself, if that is what the volume goes by.
fn hostname(volume: &Volume) -> Option<&str> {
    let selector = volume.spec.node_affinity.as_ref()?.required_during_scheduling_ignored_during_execution.as_ref()?;
    let [term] = selector.node_selector_terms.as_slice() else { return None };
    let mut own = term.match_expressions.iter().flatten().filter(|own| own.key == HOSTNAME && own.operator == "In");
    match own.next()?.values.as_deref()? {
        [only] => Some(only),
        _ => None,
    }
}

/// Claims by key, as promises name them.
pub(super) fn keys(claims: &[Arc<PersistentVolumeClaim>]) -> Vec<ObjectKey> {
    claims.iter().map(|claim| ObjectKey::of(&**claim)).collect()
}
