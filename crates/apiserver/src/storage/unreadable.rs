//! What the store holds and nobody can read: keys that are not text, values that are no objects. One of them must not
//! keep anybody from the others, so it is passed over, and named here.

use std::{collections::HashMap, fmt::Display, sync::Arc};

use parking_lot::Mutex;
use prometheus_client::{metrics::counter::Counter, registry::Registry};
use tracing::error;

use super::Revision;

/// So many names are remembered; when there are more, some are told again.
const REMEMBERED: usize = 16 << 10;

/// Names what was passed over, once for each of its versions however often it is met. Clones share what they remember.
#[derive(Clone, Debug, Default)]
pub struct Unreadable(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// The newest version of each name that was told.
    told: Mutex<HashMap<Box<str>, Revision>>,
    count: Counter,
}

impl Unreadable {
    /// Registers the number of versions that could not be read, under upstream's name for it.
    pub fn register(&self, registry: &mut Registry) {
        let help = "Versions of stored objects that could not be decoded and were passed over";
        registry.register("apiserver_storage_decode_errors", help, self.0.count.clone());
    }

    /// How many there were.
    pub fn count(&self) -> u64 {
        self.0.count.get()
    }

    /// The version of this revision is passed over.
    pub fn pass_over(&self, name: &str, revision: Revision, cause: &dyn Display) {
        let mut told = self.0.told.lock();
        if told.get(name).is_some_and(|before| *before >= revision) {
            return;
        }
        if told.len() >= REMEMBERED {
            told.clear();
        }
        told.insert(name.into(), revision);
        drop(told);
        self.0.count.inc();
        error!(key = name, %revision, %cause, "a stored object cannot be read, it is passed over");
    }
}
