//! How much room there is left in the file.

use std::{
    fs,
    path::PathBuf,
    time::{Duration, Instant},
};

use redb::WriteTransaction;

use super::schema::storage;
use crate::storage::{Result, StoreError};

/// What is in use is counted so seldom at most, and no longer than a hundredth of the time.
const PAUSE: Duration = Duration::from_secs(5);
const SHARE: u32 = 100;

/// Watches that the file does not become larger than it may. The file never gets shorter, but what was deleted and
/// compacted is used again: so it is what is in use that counts.
pub struct Room {
    path: PathBuf,
    quota: u64,
    /// How much was in use when it was last counted, in bytes.
    used: u64,
    /// When to count again.
    next: Option<Instant>,
    /// What comes of a removal is known after another commit: the next one is let through.
    removal: Removal,
}

#[derive(PartialEq, Eq)]
enum Removal {
    Fresh,
    Settled,
}

impl Room {
    /// Room for so many bytes in this file.
    pub fn new(path: PathBuf, quota: u64) -> Self {
        Self { path, quota, used: 0, next: None, removal: Removal::Settled }
    }

    /// Something has been removed.
    pub fn changed(&mut self) {
        self.next = None;
        self.removal = Removal::Fresh;
    }

    /// Why nothing may be added, if that is so.
    pub fn check(&mut self, transaction: &WriteTransaction) -> Result<Option<StoreError>> {
        if fs::metadata(&self.path).is_ok_and(|file| file.len() < self.quota) {
            return Ok(None);
        }
        if std::mem::replace(&mut self.removal, Removal::Settled) == Removal::Fresh {
            return Ok(None);
        }
        let begin = Instant::now();
        if self.next.is_none_or(|next| begin >= next) {
            let stats = transaction.stats().map_err(|error| storage("count pages", error))?;
            self.used = stats.allocated_pages().saturating_mul(stats.page_size() as u64);
            self.next = Some(Instant::now() + PAUSE.max(begin.elapsed() * SHARE));
        }
        let full = self.used >= self.quota;
        Ok(full.then(|| StoreError::full(format!("{} of {} bytes are in use", self.used, self.quota))))
    }
}
