//! Own writes that a cache does not show yet.
//!
//! Who diffs against a cache right after writing would write the same again: a second slice with the
//! same endpoints, say. So the writer notes what it wrote, and works again once the cache shows it.

use std::{collections::HashMap, time::Duration};

use component::informer::{ObjectKey, Store};
use kube::Resource;
use parking_lot::Mutex;
use tokio::time::Instant;

/// After this the cache is believed again: somebody deleted what was written before it was seen.
const EXPIRE: Duration = Duration::from_secs(30);

/// What was written and is not seen, by the key of the object it was written for.
#[derive(Debug, Default)]
pub struct Written {
    by_owner: Mutex<HashMap<ObjectKey, Vec<Write>>>,
}

#[derive(Debug)]
struct Write {
    key: ObjectKey,
    what: What,
    at: Instant,
}

#[derive(Debug)]
enum What {
    /// It has this resource version, or a later one.
    Stored(u64),
    /// The object with this uid is gone.
    Deleted(Option<String>),
}

impl Written {
    /// `object` was created or changed for `owner`.
    pub fn stored<T: Resource>(&self, owner: &ObjectKey, object: &T) {
        let what = What::Stored(version(object));
        self.note(owner, Write { key: ObjectKey::of(object), what, at: Instant::now() });
    }

    /// `object` was deleted for `owner`.
    pub fn deleted<T: Resource>(&self, owner: &ObjectKey, object: &T) {
        let what = What::Deleted(object.meta().uid.clone());
        self.note(owner, Write { key: ObjectKey::of(object), what, at: Instant::now() });
    }

    fn note(&self, owner: &ObjectKey, write: Write) {
        self.by_owner.lock().entry(owner.clone()).or_default().push(write);
    }

    /// How long to wait at most before `store` is believed; `None` when it shows everything that
    /// was written for `owner`. What is missing arrives as an event before that.
    pub fn unseen<T: Resource>(&self, owner: &ObjectKey, store: &Store<T>) -> Option<Duration> {
        let mut by_owner = self.by_owner.lock();
        let writes = by_owner.get_mut(owner)?;
        writes.retain(|write| write.at.elapsed() < EXPIRE && !write.is_seen(store));
        let rest = writes.iter().map(|write| EXPIRE.saturating_sub(write.at.elapsed())).max();
        if rest.is_none() {
            by_owner.remove(owner);
        }
        rest
    }
}

impl Write {
    fn is_seen<T: Resource>(&self, store: &Store<T>) -> bool {
        let shown = store.get(&self.key);
        match &self.what {
            What::Stored(written) => shown.is_some_and(|object| version(&*object) >= *written),
            What::Deleted(uid) => shown.is_none_or(|object| object.meta().uid != *uid),
        }
    }
}

/// Resource versions are numbers that grow; since 1.35 the API promises so.
fn version<T: Resource>(object: &T) -> u64 {
    object.meta().resource_version.as_ref().and_then(|version| version.parse().ok()).unwrap_or(0)
}
