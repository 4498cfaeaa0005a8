//! What is known of a job and not written anywhere. After a restart it is gone: failures then delay nothing, and caches are
//! new.

use std::collections::{BTreeSet, HashMap};

use parking_lot::Mutex;

use super::backoff::Failures;
use crate::slim::Pod;

/// By the uid of the job.
#[derive(Debug, Default)]
pub(super) struct Memory {
    by_job: Mutex<HashMap<String, Remembered>>,
}

#[derive(Debug, Default)]
struct Remembered {
    /// Failures since the last success.
    failures: Failures,
    /// Uids of pods that have lost their finalizer.
    released: BTreeSet<String>,
}

impl Memory {
    /// Failures since the last success.
    pub(super) fn failures(&self, job: &str) -> Failures {
        self.by_job.lock().get(job).map(|own| own.failures).unwrap_or_default()
    }

    /// These have been written down as far as they are.
    pub(super) fn note_failures(&self, job: &str, failures: Failures) {
        self.by_job.lock().entry(job.to_owned()).or_default().failures = failures;
    }

    /// A pod has lost its finalizer.
    pub(super) fn note_release(&self, job: &str, pod: &str) {
        self.by_job.lock().entry(job.to_owned()).or_default().released.insert(pod.to_owned());
    }

    /// Of these pods, which are in the cache, those that have lost their finalizer although the cache shows it. The others
    /// are forgotten: they are seen as they are now.
    pub(super) fn released<'a>(&self, job: &str, with_finalizer: impl Iterator<Item = &'a Pod>) -> BTreeSet<String> {
        let mut by_job = self.by_job.lock();
        let Some(own) = by_job.get_mut(job).filter(|own| !own.released.is_empty()) else { return BTreeSet::new() };
        let still: BTreeSet<&str> = with_finalizer.map(Pod::uid).collect();
        own.released.retain(|uid| still.contains(uid.as_str()));
        own.released.clone()
    }

    /// The job is gone, or over.
    pub(super) fn forget(&self, job: &str) {
        self.by_job.lock().remove(job);
    }
}
