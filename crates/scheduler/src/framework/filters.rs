//! The filters of one attempt, and trying out what would be.

use std::{collections::BTreeSet, sync::Arc};

use super::{Candidate, Failure, Filter, Profile, Rejection};
use crate::cache::{NodeInfo, PodInfo, Snapshot};

/// What the plugins of a profile answer about one pod.
pub struct Filters<'a> {
    filters: Vec<(&'static str, Box<dyn Filter + 'a>)>,
    /// The only nodes that can take the pod, and who says so.
    among: Option<(BTreeSet<&'a str>, Vec<&'static str>)>,
}

impl<'a> Filters<'a> {
    /// Asks every plugin to look at the pod and the cluster.
    ///
    /// # Errors
    /// When one of them says that no node will do.
    pub fn prepare(profile: &'a Profile, candidate: Candidate<'a>, snapshot: &'a Snapshot) -> Result<Self, Failure> {
        let mut own = Self { filters: Vec::with_capacity(profile.rows.len()), among: None };
        for row in profile.rows.iter().filter(|row| row.filters) {
            let name = row.plugin.name();
            let prepared = row
                .plugin
                .pre_filter(candidate, snapshot)
                .map_err(|rejection| Failure::everywhere(snapshot.node_count(), name, rejection))?;
            own.filters.extend(prepared.filter.map(|filter| (name, filter)));
            if let Some(among) = prepared.among {
                own.narrow(name, among);
            }
        }
        match &own.among {
            Some((nodes, by)) if nodes.is_empty() => {
                let reason = format!("node(s) didn't satisfy plugin(s) [{}] simultaneously", by.join(" "));
                Err(Failure::everywhere(snapshot.node_count(), by[0], Rejection::never_here(reason)))
            }
            _ => Ok(own),
        }
    }

    fn narrow(&mut self, name: &'static str, nodes: BTreeSet<&'a str>) {
        self.among = Some(match self.among.take() {
            None => (nodes, vec![name]),
            Some((own, mut by)) => {
                by.push(name);
                (own.intersection(&nodes).copied().collect(), by)
            }
        });
    }

    /// The only nodes that can take the pod, and the plugins that say so.
    #[must_use]
    pub fn among(&self) -> Option<(&BTreeSet<&'a str>, &[&'static str])> {
        self.among.as_ref().map(|(nodes, by)| (nodes, by.as_slice()))
    }

    /// Whether a node takes the pod; stops at the first no.
    ///
    /// # Errors
    /// Who says no, and why.
    pub fn check(&self, node: &NodeInfo) -> Result<(), (&'static str, Rejection)> {
        self.filters.iter().try_for_each(|(name, filter)| filter.filter(node).map_err(|rejection| (*name, rejection)))
    }

    /// Whether a node takes the pod, also when the pods have come for which room is kept there and that are no less
    /// important.
    ///
    /// # Errors
    /// Who says no, and why.
    pub fn admit(&self, node: &NodeInfo, candidate: Candidate<'_>) -> Result<(), (&'static str, Rejection)> {
        let own = candidate.info;
        let goes_first = |other: &&Arc<PodInfo>| other.priority >= own.priority && other.uid() != own.uid();
        if node.nominated().iter().any(|other| goes_first(&other)) {
            let (mut filters, mut fuller) = (self.fork(), node.clone());
            for other in node.nominated().iter().filter(goes_first) {
                filters.add_pod(other, &mut fuller);
            }
            filters.check(&fuller)?;
        }
        // Without them, too: they may never come, and something may depend on their being there.
        self.check(node)
    }

    /// A copy, to try out what would be.
    #[must_use]
    pub fn fork(&self) -> Filters<'_> {
        let filters = self.filters.iter().map(|(name, filter)| (*name, filter.fork())).collect();
        Filters { filters, among: self.among.clone() }
    }

    /// From now on as if this pod were on this node, too.
    pub fn add_pod(&mut self, pod: &Arc<PodInfo>, node: &mut NodeInfo) {
        node.add_pod(pod);
        self.filters.iter_mut().for_each(|(_, filter)| filter.add_pod(pod, node));
    }

    /// From now on as if this pod were not on this node.
    pub fn remove_pod(&mut self, pod: &Arc<PodInfo>, node: &mut NodeInfo) {
        node.remove_pod(pod);
        self.filters.iter_mut().for_each(|(_, filter)| filter.remove_pod(pod, node));
    }
}
