//! Volumes that are being given to claims. Until the informer shows what was written of one, it looks free.

use std::{collections::HashMap, sync::Arc};

use component::volumes::Volume;
use parking_lot::Mutex;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Taken(Mutex<HashMap<String, Taking>>);

#[derive(Debug)]
struct Taking {
    /// The claim's uid.
    claim: String,
    /// The volume's version once it is written.
    written: Option<u64>,
}

impl Taken {
    /// Takes a volume for a claim; whether it was to be had.
    pub(super) fn take(&self, volume: &str, claim: &str) -> bool {
        let mut taken = self.0.lock();
        let taking =
            taken.entry(volume.to_owned()).or_insert_with(|| Taking { claim: claim.to_owned(), written: None });
        taking.claim == claim
    }

    /// Whether it is another claim's.
    pub(super) fn is_others(&self, volume: &str, claim: &str) -> bool {
        self.0.lock().get(volume).is_some_and(|taking| taking.claim != claim)
    }

    /// It was not written.
    pub(super) fn give_back(&self, volume: &str) {
        self.0.lock().remove(volume);
    }

    /// It was written; `shown` reads what the informer shows.
    pub(super) fn written(&self, volume: &Volume, shown: impl FnOnce() -> Option<Arc<Volume>>) {
        if let Some(taking) = self.0.lock().get_mut(volume.name()) {
            taking.written = Some(version(volume));
        }
        // Looked at afterwards: what came meanwhile was not known to be what was waited for.
        if let Some(shown) = shown() {
            self.seen(&shown, false);
        }
    }

    /// The informer shows a volume, or its end.
    pub(super) fn seen(&self, volume: &Volume, gone: bool) {
        let mut taken = self.0.lock();
        let written = taken.get(volume.name()).and_then(|taking| taking.written);
        if gone || written.is_some_and(|written| version(volume) >= written) {
            taken.remove(volume.name());
        }
    }
}

/// Resource versions are numbers that grow.
fn version(volume: &Volume) -> u64 {
    volume.metadata.resource_version.as_deref().and_then(|version| version.parse().ok()).unwrap_or(0)
}
