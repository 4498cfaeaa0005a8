//! What is required of the neighbours, and what they require.

use std::collections::HashMap;

use super::required;
use crate::{
    cache::{Kin, NodeInfo, PodInfo, Snapshot, Term},
    directory::Directory,
    framework::{Candidate, Filter, Rejection},
};

const NOT_NEAR: &str = "node(s) didn't match pod affinity rules";
const NEAR: &str = "node(s) didn't match pod anti-affinity rules";
const UNWELCOME: &str = "node(s) didn't satisfy existing pods anti-affinity rules";

/// How many pods stand in each domain, by the label and its value.
#[derive(Clone, Debug, Default)]
pub(super) struct Counts(HashMap<Box<str>, HashMap<Box<str>, i64>>);

impl Counts {
    /// Notes pods in the domain of a node; a node without the label is in none.
    pub(super) fn add(&mut self, key: &str, node: &NodeInfo, by: i64) {
        let Some(value) = node.label(key) else { return };
        if !self.0.contains_key(key) {
            self.0.insert(key.into(), HashMap::new());
        }
        let Some(values) = self.0.get_mut(key) else { return };
        let total = values.get(value).copied().unwrap_or(0) + by;
        // What comes to nothing was never there.
        if total == 0 {
            values.remove(value);
        } else if let Some(count) = values.get_mut(value) {
            *count = total;
        } else {
            values.insert(value.into(), total);
        }
        if values.is_empty() {
            self.0.remove(key);
        }
    }

    /// How many stand in the domain of a node.
    pub(super) fn at(&self, key: &str, node: &NodeInfo) -> i64 {
        let value = node.label(key).and_then(|value| self.0.get(key)?.get(value));
        value.copied().unwrap_or(0)
    }

    /// All that stands in the domains of a node.
    pub(super) fn around<'c>(&'c self, node: &'c NodeInfo) -> impl Iterator<Item = i64> + 'c {
        self.0.keys().map(|key| self.at(key, node))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// See the module.
pub(super) struct Neighbours<'a> {
    candidate: Candidate<'a>,
    directory: &'a Directory,
    /// Pods that the pod wants near.
    wanted: Counts,
    /// Pods that the pod wants far.
    unwanted: Counts,
    /// Pods that want this pod far.
    shunning: Counts,
}

impl<'a> Neighbours<'a> {
    pub(super) fn new(candidate: Candidate<'a>, snapshot: &'a Snapshot) -> Self {
        let mut own = Self {
            candidate,
            directory: snapshot.directory(),
            wanted: Counts::default(),
            unwanted: Counts::default(),
            shunning: Counts::default(),
        };
        for node in snapshot.nodes_with_terms() {
            node.pods_with_terms().iter().for_each(|pod| own.note_shunning(pod, node, 1));
        }
        let (near, far) = required(candidate.info);
        if !near.is_empty() || !far.is_empty() {
            for node in snapshot.nodes() {
                for group in node.groups() {
                    own.note_kin(&group.kin, node, i64::try_from(group.pods).unwrap_or(i64::MAX));
                }
            }
        }
        own
    }

    pub(super) fn do_not_matter(&self) -> bool {
        let (near, far) = required(self.candidate.info);
        near.is_empty() && far.is_empty() && self.shunning.is_empty()
    }

    fn note_shunning(&mut self, pod: &PodInfo, node: &NodeInfo, by: i64) {
        for term in pod.required_anti_affinity() {
            if term.matches(&self.candidate.info.kin, self.directory) {
                self.shunning.add(&term.topology_key, node, by);
            }
        }
    }

    fn note_kin(&mut self, kin: &Kin, node: &NodeInfo, by: i64) {
        let (near, far) = required(self.candidate.info);
        if meet_all(near, kin, self.directory) {
            near.iter().for_each(|term| self.wanted.add(&term.topology_key, node, by));
        }
        for term in far.iter().filter(|term| term.matches(kin, self.directory)) {
            self.unwanted.add(&term.topology_key, node, by);
        }
    }

    fn shift(&mut self, pod: &PodInfo, node: &NodeInfo, by: i64) {
        self.note_shunning(pod, node, by);
        self.note_kin(&pod.kin, node, by);
    }

    fn is_near_enough(&self, node: &NodeInfo) -> bool {
        let (near, _) = required(self.candidate.info);
        if near.iter().any(|term| node.label(&term.topology_key).is_none()) {
            return false;
        }
        // The first of a series of pods that want to be near each other must go somewhere.
        near.iter().all(|term| self.wanted.at(&term.topology_key, node) > 0)
            || (self.wanted.is_empty() && meet_all(near, &self.candidate.info.kin, self.directory))
    }
}

/// Whether a pod is what all of the terms mean; no terms mean no pod.
fn meet_all(terms: &[Term], kin: &Kin, directory: &Directory) -> bool {
    !terms.is_empty() && terms.iter().all(|term| term.matches(kin, directory))
}

impl Filter for Neighbours<'_> {
    fn filter(&self, node: &NodeInfo) -> Result<(), Rejection> {
        let (_, far) = required(self.candidate.info);
        if !self.is_near_enough(node) {
            return Err(Rejection::never_here(NOT_NEAR));
        }
        if far.iter().any(|term| self.unwanted.at(&term.topology_key, node) > 0) {
            return Err(Rejection::not_now(NEAR));
        }
        if self.shunning.around(node).any(|pods| pods > 0) {
            return Err(Rejection::not_now(UNWELCOME));
        }
        Ok(())
    }

    fn add_pod(&mut self, pod: &PodInfo, node: &NodeInfo) {
        self.shift(pod, node, 1);
    }

    fn remove_pod(&mut self, pod: &PodInfo, node: &NodeInfo) {
        self.shift(pod, node, -1);
    }

    fn fork(&self) -> Box<dyn Filter + '_> {
        Box::new(Neighbours {
            candidate: self.candidate,
            directory: self.directory,
            wanted: self.wanted.clone(),
            unwanted: self.unwanted.clone(),
            shunning: self.shunning.clone(),
        })
    }
}
