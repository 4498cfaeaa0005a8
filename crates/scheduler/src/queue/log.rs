//! What happens while pods are being decided about.

use std::collections::{BTreeMap, VecDeque};

use crate::framework::Change;

/// Changes, numbered, from the oldest attempt that is under way on; nothing is kept when there is none.
#[derive(Debug, Default)]
pub(super) struct Log {
    changes: VecDeque<Change>,
    /// The number of the first of them.
    first: u64,
    /// How many attempts began at which number.
    attempts: BTreeMap<u64, usize>,
}

impl Log {
    /// An attempt begins; from where it must read.
    pub(super) fn open(&mut self) -> u64 {
        let since = self.first + self.changes.len() as u64;
        *self.attempts.entry(since).or_default() += 1;
        since
    }

    /// An attempt that began there is over.
    pub(super) fn close(&mut self, since: u64) {
        if let Some(attempts) = self.attempts.get_mut(&since) {
            *attempts -= 1;
            if *attempts == 0 {
                self.attempts.remove(&since);
            }
        }
        let end = self.first + self.changes.len() as u64;
        let oldest = self.attempts.first_key_value().map_or(end, |(since, _)| *since);
        while self.first < oldest {
            self.changes.pop_front();
            self.first += 1;
        }
    }

    /// Something has changed.
    pub(super) fn note(&mut self, change: Change) {
        if !self.attempts.is_empty() {
            self.changes.push_back(change);
        }
    }

    /// What has changed since.
    pub(super) fn since(&self, since: u64) -> impl Iterator<Item = &Change> {
        self.changes.iter().skip(usize::try_from(since - self.first).unwrap_or(usize::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_somebody_must_read_is_kept() {
        let mut log = Log::default();
        let note = |log: &mut Log| log.note(Change::Node { old: None, new: None });
        note(&mut log);
        let first = log.open();
        note(&mut log);
        let second = log.open();
        note(&mut log);
        assert_eq!((log.since(first).count(), log.since(second).count()), (2, 1));
        log.close(first);
        assert_eq!((log.changes.len(), log.since(second).count()), (1, 1));
        log.close(second);
        assert!(log.changes.is_empty());
        let third = log.open();
        assert_eq!(log.since(third).count(), 0);
    }
}
