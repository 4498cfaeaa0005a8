//! Keys of what has changed, each once, in the order of their names.

use std::collections::BTreeSet;

use component::informer::ObjectKey;
use parking_lot::Mutex;
use tokio::sync::Notify;

/// A set of keys with a bell. Bounded by the number of distinct keys.
#[derive(Debug, Default)]
pub struct Inbox {
    keys: Mutex<BTreeSet<ObjectKey>>,
    bell: Notify,
}

impl Inbox {
    /// Notes a key.
    pub fn push(&self, key: ObjectKey) {
        self.keys.lock().insert(key);
        self.bell.notify_one();
    }

    /// Everything noted since the last call; waits until there is something. Cancel-safe.
    pub async fn next(&self) -> BTreeSet<ObjectKey> {
        loop {
            let keys = std::mem::take(&mut *self.keys.lock());
            if !keys.is_empty() {
                return keys;
            }
            self.bell.notified().await;
        }
    }
}
