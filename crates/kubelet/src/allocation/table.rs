//! What all pods of the node hold, and whether a resize fits among them.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use api_types::core::Pod;
use parking_lot::Mutex;

use super::Allocation;
use crate::admission::{Capacity, Shortage, shortage};
use crate::env::Allocatable;
use crate::pod::PodExt;
use crate::runtime::PodUid;

/// Why a resize is not carried out now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// It fits when others have gone.
    Deferred(String),
    /// It never fits on this node.
    Infeasible(String),
}

impl Refusal {
    /// The reason of the condition `PodResizePending`.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Deferred(_) => "Deferred",
            Self::Infeasible(_) => "Infeasible",
        }
    }

    /// In words.
    #[must_use]
    pub fn message(&self) -> &str {
        let (Self::Deferred(message) | Self::Infeasible(message)) = self;
        message
    }
}

#[derive(Default)]
struct Table {
    /// Pods with their allocations applied.
    held: HashMap<PodUid, Arc<Pod>>,
    /// Those whose resize waits for room.
    deferred: HashSet<PodUid>,
}

/// The table that all workers share.
#[derive(Default)]
pub struct Allocations(Mutex<Table>);

/// Resources that are resized. When both lack, memory is told.
const RESIZED: [&str; 2] = ["memory", "cpu"];

impl Allocations {
    /// The pod, its allocation applied, holds what it asks for.
    pub fn hold(&self, allocated: &Arc<Pod>) {
        let mut table = self.0.lock();
        table.deferred.remove(&allocated.uid());
        table.held.insert(allocated.uid(), Arc::clone(allocated));
    }

    /// The pod, its allocation applied, holds that and not what it asks for.
    pub fn hold_back(&self, allocated: &Arc<Pod>) {
        self.0.lock().held.insert(allocated.uid(), Arc::clone(allocated));
    }

    /// What the pod holds in place of what it asks for.
    #[must_use]
    pub fn applied(&self, pod: &Arc<Pod>) -> Arc<Pod> {
        match self.0.lock().held.get(&pod.uid()) {
            Some(held) => Allocation::of(held).apply(pod),
            None => Arc::clone(pod),
        }
    }

    /// Lets the pod hold what it asks for now, if that fits.
    ///
    /// # Errors
    /// Why it does not.
    pub fn resize(&self, wanted: &Arc<Pod>, allocatable: &Allocatable) -> Result<(), Refusal> {
        let uid = wanted.uid();
        let mut table = self.0.lock();
        let others: Vec<&Pod> =
            table.held.iter().filter(|(other, _)| **other != uid).map(|(_, pod)| pod.as_ref()).collect();
        let judged = judge(wanted, &others, allocatable);
        match &judged {
            Ok(()) => {
                table.deferred.remove(&uid);
                table.held.insert(uid, Arc::clone(wanted));
            }
            Err(Refusal::Deferred(_)) => drop(table.deferred.insert(uid)),
            Err(Refusal::Infeasible(_)) => drop(table.deferred.remove(&uid)),
        }
        judged
    }

    /// The pod holds nothing any more.
    pub fn release(&self, uid: &PodUid) {
        let mut table = self.0.lock();
        table.held.remove(uid);
        table.deferred.remove(uid);
    }

    /// Pods whose resize waits for room.
    #[must_use]
    pub fn deferred(&self) -> Vec<PodUid> {
        self.0.lock().deferred.iter().cloned().collect()
    }
}

fn judge(wanted: &Pod, others: &[&Pod], allocatable: &Allocatable) -> Result<(), Refusal> {
    let there_is = Capacity { allocatable, node: None };
    if let Some(Shortage { name, requested, capacity, .. }) = shortage(wanted, &[], there_is, &RESIZED) {
        let message = format!("Node didn't have enough capacity: {name}, requested: {requested}, capacity: {capacity}");
        return Err(Refusal::Infeasible(message));
    }
    match shortage(wanted, others, there_is, &RESIZED) {
        Some(shortage) => Err(Refusal::Deferred(shortage.to_string())),
        None => Ok(()),
    }
}
