//! Store errors as clients read them.

use api_types::{GroupResource, StatusError};

use crate::storage::StoreError;

/// The `Status` for an error of the store about an object; `name` may be empty.
#[must_use]
pub fn status(resource: GroupResource<'_>, name: &str, error: &StoreError) -> StatusError {
    match error {
        StoreError::Exists { .. } => StatusError::already_exists(resource, name),
        StoreError::NotFound { .. } => StatusError::not_found(resource, name),
        StoreError::Conflict { .. } => StatusError::modified(resource, name),
        StoreError::Compacted { requested, oldest } => StatusError::too_old_resource_version(requested.0, oldest.0),
        StoreError::FutureRevision { requested, current } => {
            StatusError::too_large_resource_version(requested.0, current.0, 1)
        }
        StoreError::TooLarge { limit, .. } => StatusError::request_entity_too_large(&format!("limit is {limit}")),
        StoreError::Full { .. } => {
            tracing::warn!("{error}");
            StatusError::unexplained(error.to_string())
        }
        StoreError::Unavailable { .. } => {
            tracing::warn!("{error}");
            StatusError::service_unavailable(error.to_string())
        }
        StoreError::Undetermined { .. } => {
            tracing::warn!("{error}");
            StatusError::timeout(&error.to_string(), 1)
        }
        StoreError::Unreadable { .. } => StatusError::internal(error),
        StoreError::Corrupt { .. } | StoreError::Open { .. } => {
            tracing::error!("{error}");
            StatusError::internal(error)
        }
    }
}
