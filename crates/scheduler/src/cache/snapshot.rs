//! The cluster as one decision sees it.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use super::{Images, NodeInfo};
use crate::{devices::Devices, directory::Directory, storage::Storage};

/// Every node with its pods, as they were at one moment. It shares the nodes that have not changed with the cache, so
/// that bringing it up to date costs as much as has changed; a decision reads it without holding up the cache.
#[derive(Debug, Default)]
pub struct Snapshot {
    /// Dense; holds what is not there, too (see [`super::Cache`]).
    nodes: Vec<Arc<NodeInfo>>,
    /// Position in `nodes` by name.
    index: HashMap<Arc<str>, usize>,
    /// Positions of nodes with pods that have an affinity to other pods, or against them.
    with_terms: BTreeSet<usize>,
    /// Nodes that are really there.
    present: usize,
    /// Images and how many nodes have them.
    images: Arc<Images>,
    /// Namespaces and selectors; these are not of the same moment.
    directory: Arc<Directory>,
}

impl Snapshot {
    /// A snapshot of nothing, which will read this directory.
    #[must_use]
    pub fn new(directory: Arc<Directory>) -> Self {
        Self { directory, ..Self::default() }
    }

    /// Every node that is there.
    pub fn nodes(&self) -> impl Iterator<Item = &NodeInfo> {
        self.nodes.iter().map(|node| &**node).filter(|node| node.is_present())
    }

    /// The nodes with pods that have an affinity to other pods, or against them.
    pub fn nodes_with_terms(&self) -> impl Iterator<Item = &NodeInfo> {
        self.with_terms.iter().filter_map(|at| self.at(*at))
    }

    /// The node at a position, if it is there; positions go up to [`Snapshot::positions`].
    #[must_use]
    pub fn at(&self, position: usize) -> Option<&NodeInfo> {
        self.nodes.get(position).map(|node| &**node).filter(|node| node.is_present())
    }

    /// How many positions there are.
    #[must_use]
    pub fn positions(&self) -> usize {
        self.nodes.len()
    }

    /// How many nodes are there.
    #[must_use]
    pub fn node_count(&self) -> usize {
        self.present
    }

    /// One node, with its position.
    #[must_use]
    pub fn position(&self, name: &str) -> Option<(usize, &NodeInfo)> {
        let position = *self.index.get(name)?;
        Some((position, self.at(position)?))
    }

    /// One node.
    #[must_use]
    pub fn node(&self, name: &str) -> Option<&NodeInfo> {
        self.index.get(name).and_then(|at| self.at(*at))
    }

    /// Images and how many nodes have them.
    #[must_use]
    pub fn images(&self) -> &Images {
        &self.images
    }

    pub(super) fn take_images(&mut self, images: &Arc<Images>) {
        self.images = Arc::clone(images);
    }

    /// Volumes and claims; not of the same moment either.
    #[must_use]
    pub fn storage(&self) -> &Arc<Storage> {
        self.directory.storage()
    }

    /// Devices and claims to them; not of the same moment either.
    #[must_use]
    pub fn devices(&self) -> &Arc<Devices> {
        self.directory.devices()
    }

    /// Namespaces and selectors.
    #[must_use]
    pub fn directory(&self) -> &Directory {
        &self.directory
    }

    /// Leaves out the positions from `length` on.
    pub(super) fn truncate(&mut self, length: usize) {
        while self.nodes.len() > length {
            let position = self.nodes.len() - 1;
            if let Some(gone) = self.nodes.pop() {
                self.unlist(position, &gone);
            }
        }
    }

    /// Takes over the node at a position, which is at most one beyond the last.
    pub(super) fn put(&mut self, position: usize, node: &Arc<NodeInfo>) {
        if position < self.nodes.len() {
            let old = std::mem::replace(&mut self.nodes[position], Arc::clone(node));
            self.unlist(position, &old);
        } else {
            self.nodes.push(Arc::clone(node));
        }
        self.index.insert(node.shared_name(), position);
        self.present += usize::from(node.is_present());
        if !node.pods_with_terms().is_empty() {
            self.with_terms.insert(position);
        }
    }

    fn unlist(&mut self, position: usize, node: &NodeInfo) {
        if self.index.get(node.name()) == Some(&position) {
            self.index.remove(node.name());
        }
        self.present -= usize::from(node.is_present());
        self.with_terms.remove(&position);
    }
}
