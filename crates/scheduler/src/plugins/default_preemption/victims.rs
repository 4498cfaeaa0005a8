//! Which pods of a node would have to go.

use std::{cmp::Reverse, sync::Arc};

use api_types::jiff::Timestamp;

use super::budgets::split;
use crate::{
    cache::{NodeInfo, PodInfo},
    directory::Directory,
    framework::{Candidate, Filters, Rejection, Victims},
};

/// Where all pods are at least as important.
pub(super) const NO_VICTIMS: &str = "No preemption victims found for incoming pod";

/// The search for victims of one pod.
pub(super) struct Search<'a> {
    pub(super) filters: &'a Filters<'a>,
    pub(super) candidate: Candidate<'a>,
    pub(super) directory: &'a Directory,
}

/// The more important pods first: those of higher priority, then those that have run for longer.
pub(super) fn by_importance(pods: &mut [Arc<PodInfo>]) {
    // What has not started yet starts now.
    pods.sort_by_key(|pod| (Reverse(pod.priority), pod.started.unwrap_or(Timestamp::MAX)));
}

impl Search<'_> {
    /// The fewest and least important pods of a node without which it takes the pod: all that are less important are taken
    /// away, and as many as can be are put back, first those that budgets protect.
    ///
    /// # Errors
    /// When it does not take the pod even without them all.
    pub(super) fn on(&self, node: &NodeInfo) -> Result<Victims, Rejection> {
        let (mut filters, mut left) = (self.filters.fork(), node.clone());
        let less_important = node.pods().iter().filter(|pod| pod.priority < self.candidate.info.priority);
        let mut potential: Vec<Arc<PodInfo>> = less_important.cloned().collect();
        if potential.is_empty() {
            return Err(Rejection::never_here(NO_VICTIMS));
        }
        for pod in &potential {
            filters.remove_pod(pod, &mut left);
        }
        filters.admit(&left, self.candidate).map_err(|(_, rejection)| rejection)?;
        by_importance(&mut potential);
        let (protected, others) = split(potential, self.directory);
        let mut trial = Trial { filters, left, candidate: self.candidate, victims: Vec::new() };
        protected.into_iter().for_each(|pod| trial.put_back(pod));
        let violations = trial.victims.len();
        others.into_iter().for_each(|pod| trial.put_back(pod));
        let mut victims = trial.victims;
        if victims.is_empty() {
            return Err(Rejection::not_now(NO_VICTIMS));
        }
        by_importance(&mut victims);
        Ok(Victims { node: node.shared_name(), pods: victims, violations })
    }
}

/// A node to which pods are put back one after another.
struct Trial<'a> {
    filters: Filters<'a>,
    left: NodeInfo,
    candidate: Candidate<'a>,
    /// Those that cannot be.
    victims: Vec<Arc<PodInfo>>,
}

impl Trial<'_> {
    fn put_back(&mut self, pod: Arc<PodInfo>) {
        self.filters.add_pod(&pod, &mut self.left);
        if self.filters.admit(&self.left, self.candidate).is_err() {
            self.filters.remove_pod(&pod, &mut self.left);
            self.victims.push(pod);
        }
    }
}
