//! How much room there is left in the file.

use std::{
    fs, mem,
    path::PathBuf,
    time::{Duration, Instant},
};

use redb::WriteTransaction;

use super::schema::storage;
use crate::storage::{Result, StoreError};

/// What is in use is counted so seldom at most, and no longer than a hundredth of the time.
const PAUSE: Duration = Duration::from_secs(5);
const SHARE: u32 = 100;

/// What is written takes at most so many times its size.
const OVERHEAD: u64 = 2;

/// Watches that the file does not become larger than it may. The file never gets shorter, but what was deleted and
/// compacted is used again: so it is what is in use that counts.
pub struct Room {
    path: PathBuf,
    quota: u64,
    /// How much is in use at most, in bytes; `None` when that has to be counted.
    used: Option<u64>,
    /// When it may be counted again.
    next: Option<Instant>,
    /// What has been removed since it was counted.
    removal: Removal,
}

/// What comes of a removal is known after another commit.
#[derive(PartialEq, Eq)]
enum Removal {
    Fresh,
    Settled,
}

impl Room {
    /// Room for so many bytes in this file.
    pub fn new(path: PathBuf, quota: u64) -> Self {
        Self { path, quota, used: None, next: None, removal: Removal::Settled }
    }

    /// Something has been removed.
    pub fn changed(&mut self) {
        self.used = None;
        self.next = None;
        self.removal = Removal::Fresh;
    }

    /// Whether something has to be committed before there is a point in counting. Told once after each removal.
    pub fn wants_settling(&mut self) -> bool {
        self.may_be_full() && mem::replace(&mut self.removal, Removal::Settled) == Removal::Fresh
    }

    fn may_be_full(&self) -> bool {
        fs::metadata(&self.path).map_or(true, |file| file.len() >= self.quota)
    }

    /// Why so many bytes more may not be added, if that is so.
    pub fn check(&mut self, transaction: &WriteTransaction, more: u64) -> Result<Option<StoreError>> {
        if !self.may_be_full() {
            return Ok(None);
        }
        let more = more.saturating_mul(OVERHEAD);
        if self.used.is_none_or(|used| used.saturating_add(more) >= self.quota) {
            self.count(transaction)?;
        }
        let used = self.used.map_or(0, |used| used.saturating_add(more));
        if used >= self.quota {
            let why = format!("with this, {used} of {} bytes would be in use", self.quota);
            return Ok(Some(StoreError::full(why)));
        }
        self.used = Some(used);
        Ok(None)
    }

    fn count(&mut self, transaction: &WriteTransaction) -> Result<()> {
        let begin = Instant::now();
        if self.next.is_some_and(|next| begin < next) {
            return Ok(());
        }
        let stats = transaction.stats().map_err(|error| storage("count pages", error))?;
        self.used = Some(stats.allocated_pages().saturating_mul(stats.page_size() as u64));
        self.next = Some(Instant::now() + PAUSE.max(begin.elapsed() * SHARE));
        Ok(())
    }
}
