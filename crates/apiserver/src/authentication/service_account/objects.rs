//! Whether what a token names is still there.

use api_types::{StatusError, jiff::Timestamp};
use component::jwt::Seconds;
use serde::Deserialize;

use crate::registry::{Registry, Target};

/// What is read of an object.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Found {
    pub uid: String,
    pub deletion_timestamp: Option<Timestamp>,
}

impl Found {
    /// Whether its deletion began before this.
    pub fn is_deleted_before(&self, when: Seconds) -> bool {
        self.deletion_timestamp.is_some_and(|deleted| deleted.as_second() < when.0)
    }
}

/// An object of the core group; 404 when it is not there, which is always true.
pub(super) async fn find(registry: &Registry, plural: &str, namespace: &str, name: &str) -> Result<Found, StatusError> {
    #[derive(Deserialize)]
    struct Object {
        metadata: Found,
    }
    let rest = registry.core(plural)?;
    let entry = registry.get_cached(&rest, Target { namespace, name }).await?;
    let object: Object = serde_json::from_slice(entry.value()).map_err(StatusError::internal)?;
    Ok(object.metadata)
}
