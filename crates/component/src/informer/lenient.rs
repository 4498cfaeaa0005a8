//! Objects that cannot be decoded. One of them must not keep an informer from the others, so it is passed over: named in
//! the log, counted, and shown as it was last readable.

use std::{collections::HashMap, sync::LazyLock};

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
    error: String,
}

/// The versions of one collection's objects that have been named.
pub(super) type Named = Mutex<HashMap<ObjectKey, Option<String>>>;

impl<'de, T: FromJson> Deserialize<'de> for Lenient<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        let decoded = T::from_json(raw.get().as_bytes());
        Ok(decoded.map_or_else(|error| Self::Unreadable(Unreadable::of(&raw, &error)), Self::Readable))
    }
}

impl Unreadable {
    fn of(raw: &RawValue, error: &serde_json::Error) -> Self {
        #[derive(Default, Deserialize)]
        #[serde(default, rename_all = "camelCase")]
        struct Meta {
            namespace: String,
            name: String,
            resource_version: Option<String>,
        }
        #[derive(Default, Deserialize)]
        struct Whole {
            metadata: Meta,
        }
        let Whole { metadata } = serde_json::from_str(raw.get()).unwrap_or_default();
        let key = ObjectKey::new(metadata.namespace, metadata.name);
        Self { key, version: metadata.resource_version, error: error.to_string() }
    }

    /// Says so in the log and counts it, once for each version.
    pub fn pass_over(&self, path: &str, named: &Named) {
        let before = named.lock().insert(self.key.clone(), self.version.clone());
        if before.as_ref() == Some(&self.version) {
            return;
        }
        PASSED_OVER.inc();
        tracing::error!(path, key = %self.key, error = self.error, "an object cannot be decoded, it is passed over");
    }
}
