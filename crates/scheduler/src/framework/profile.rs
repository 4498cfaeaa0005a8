//! A profile: which plugins decide about the pods of one scheduler name.

use std::{collections::BTreeMap, fmt, sync::Arc};

use super::{Candidate, Change, EXTENDER, Hint, Permit, Plugin, Rejected, Rejection, Rescue, Reservation, Unplaced};
use crate::cache::{NodeInfo, Snapshot};

/// A plugin in a profile.
#[derive(Clone, Debug)]
pub struct Row {
    /// The policy.
    pub plugin: Arc<dyn Plugin>,
    /// Whether it rejects nodes.
    pub filters: bool,
    /// Whether it is asked what can be done for a pod that no node takes.
    pub rescues: bool,
    /// How much its score counts; 0 when it does not rate nodes.
    pub weight: i64,
    /// Whether it sets things aside on the chosen node.
    pub reserves: bool,
}

impl Row {
    /// A plugin that does all that it can.
    #[must_use]
    pub fn new(plugin: Arc<dyn Plugin>, weight: i64) -> Self {
        Self { plugin, filters: true, rescues: true, weight, reserves: true }
    }
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Profile {
    /// The plugins. Filters run in this order and stop at the first rejection.
    pub rows: Vec<Row>,
    /// How many percent of the nodes must fit before the search ends; by the cluster's size when not given.
    pub percentage: Option<usize>,
}

/// Profiles by scheduler name.
pub type Profiles = BTreeMap<String, Profile>;

impl Profile {
    /// Whether a change may let in a pod that these plugins have rejected. One that nobody rejected found no node at
    /// all.
    #[must_use]
    pub fn hint(&self, candidate: Candidate<'_>, rejected: &Rejected, change: &Change) -> Hint {
        let unknown = rejected.by.is_empty() || rejected.by.contains(&EXTENDER);
        if rejected.hopeless && change.only_makes_room() && !rejected.by.contains(&EXTENDER) {
            return Hint::Skip;
        }
        let mut asked = self.rows.iter().filter(|row| rejected.by.contains(&row.plugin.name()));
        Hint::when(unknown || asked.any(|row| row.plugin.hint(candidate, change) == Hint::Queue))
    }

    /// What can be done for a pod that no node takes; the first plugin that has something to say decides.
    #[must_use]
    pub fn rescue(&self, unplaced: &Unplaced<'_>) -> Rescue {
        let asked = self.rows.iter().filter(|row| row.rescues);
        let mut answers = asked.map(|row| row.plugin.post_filter(unplaced));
        answers.find(|rescue| *rescue != Rescue::Nothing).unwrap_or_default()
    }

    /// Sets aside what the plugins want on the chosen node.
    ///
    /// # Errors
    /// Who does not get it, and why; nothing is kept then.
    pub fn reserve(
        &self,
        candidate: Candidate<'_>,
        node: &NodeInfo,
        snapshot: &Snapshot,
    ) -> Result<Reserved, (&'static str, Rejection)> {
        let mut reserved = Reserved::default();
        for plugin in self.rows.iter().filter(|row| row.reserves).map(|row| &row.plugin) {
            if let Err(rejection) = reserved.take(plugin.name(), plugin.reserve(candidate, node, snapshot)) {
                reserved.release();
                return Err((plugin.name(), rejection));
            }
        }
        Ok(reserved)
    }
}

/// What was set aside for a pod.
#[derive(Default)]
pub struct Reserved {
    held: Vec<(&'static str, Box<dyn Reservation>, Permit)>,
}

impl fmt::Debug for Reserved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.held.iter().map(|(name, ..)| name)).finish()
    }
}

impl Reserved {
    fn take(
        &mut self,
        name: &'static str,
        reservation: Result<Option<Box<dyn Reservation>>, Rejection>,
    ) -> Result<(), Rejection> {
        let Some(reservation) = reservation? else { return Ok(()) };
        let permit = reservation.permit();
        let refused = permit.as_ref().err().cloned();
        self.held.push((name, reservation, permit.unwrap_or(Permit::Now)));
        refused.map_or(Ok(()), Err)
    }

    /// Whether nothing was.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// Waits until the pod may be bound and all that must come first is done.
    ///
    /// # Errors
    /// Who says no, and why. Release it then.
    pub async fn prepare(&mut self) -> Result<(), (&'static str, Rejection)> {
        for (name, _, permit) in &mut self.held {
            if let Permit::Later(allowed) = permit {
                allowed.await.map_err(|rejection| (*name, rejection))?;
                *permit = Permit::Now;
            }
        }
        for (name, reservation, _) in &mut self.held {
            reservation.pre_bind().await.map_err(|rejection| (*name, rejection))?;
        }
        Ok(())
    }

    /// Gives everything back, the last first.
    pub fn release(self) {
        for (_, reservation, _) in self.held.iter().rev() {
            reservation.release();
        }
    }
}

#[cfg(test)]
mod tests;
