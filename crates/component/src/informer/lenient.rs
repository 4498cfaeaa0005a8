//! Objects that cannot be decoded. One of them must not keep an informer from the others, so it is passed over: named in
//! the log, counted, and shown as it was last readable.

use std::{
    collections::{BTreeSet, HashMap},
    sync::LazyLock,
};

use api_types::codec::FromJson;
use parking_lot::Mutex;
use prometheus_client::{metrics::counter::Counter, registry::Registry};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::ObjectKey;

/// How many objects this process has passed over.
static PASSED_OVER: LazyLock<Counter> = LazyLock::new(Counter::default);

/// Registers how many objects this process has passed over.
pub(crate) fn register(registry: &mut Registry) {
    let help = "Objects of lists and watches that could not be decoded and were passed over";
    registry.register("informer_decode_errors", help, PASSED_OVER.clone());
}

/// An object, or what is known of one that cannot be decoded. In a watch event it has to stand behind the type, which is
/// where every server puts it.
#[derive(Clone, Debug)]
pub(super) enum Lenient<T> {
    Readable(T),
    Unreadable(Unreadable),
}

/// An object that cannot be decoded.
#[derive(Clone, Debug, Default)]
pub(super) struct Unreadable {
    /// Its name, as far as it can be read.
    pub key: ObjectKey,
    /// Where a watch goes on; `None` when even that cannot be read.
    pub version: Option<String>,
    /// Its uid, as far as it can be read.
    uid: String,
    error: String,
}

/// The objects of one collection that cannot be decoded at present, as they were named.
#[derive(Default)]
pub(super) struct Named(Mutex<HashMap<ObjectKey, Unreadable>>);

impl<'de, T: FromJson> Deserialize<'de> for Lenient<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Box::<RawValue>::deserialize(deserializer).map(|raw| Self::of(&raw))
    }
}

impl<T: FromJson> Lenient<T> {
    /// Decodes an object, if that can be.
    pub(super) fn of(raw: &RawValue) -> Self {
        let decoded = T::from_json(raw.get().as_bytes());
        decoded.map_or_else(|error| Self::Unreadable(Unreadable::of(raw, &error)), Self::Readable)
    }
}

impl Unreadable {
    fn of(raw: &RawValue, error: &serde_json::Error) -> Self {
        #[derive(Default, Deserialize)]
        #[serde(default, rename_all = "camelCase")]
        struct Meta {
            namespace: String,
            name: String,
            uid: String,
            resource_version: Option<String>,
        }
        #[derive(Default, Deserialize)]
        struct Whole {
            metadata: Meta,
        }
        let Whole { metadata } = serde_json::from_str(raw.get()).unwrap_or_default();
        let key = ObjectKey::new(metadata.namespace, metadata.name);
        Self { key, version: metadata.resource_version, uid: metadata.uid, error: error.to_string() }
    }
}

impl Named {
    /// Says in the log that it is passed over and counts it, once for each version.
    pub fn pass_over(&self, path: &str, object: Unreadable) {
        let before = self.0.lock().insert(object.key.clone(), object.clone());
        if before.is_some_and(|before| before.version == object.version) {
            return;
        }
        PASSED_OVER.inc();
        tracing::error!(path, key = %object.key, error = object.error, "an object cannot be decoded, it is passed over");
    }

    /// It can be decoded now, or has gone.
    pub fn forget(&self, key: &ObjectKey) {
        self.0.lock().remove(key);
    }

    /// Only these cannot be decoded.
    pub fn retain(&self, keys: &BTreeSet<ObjectKey>) {
        self.0.lock().retain(|key, _| keys.contains(key));
    }

    /// Whether an object of this uid is among them.
    pub fn has_uid(&self, uid: &str) -> bool {
        self.0.lock().values().any(|object| object.uid == uid)
    }
}
