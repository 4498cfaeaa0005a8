//! `DELETE /localVolumes/<volume>?path=<path>`: a volume's directory goes, because the volume goes.

use std::path::PathBuf;
use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use serde::Deserialize;

use super::ServerState;
use super::reply::Refusal;
use crate::volumes::RemoveError;

/// Where whoever asks believes the directory to be.
#[derive(Deserialize)]
pub(super) struct Where {
    path: PathBuf,
}

/// Takes the directory away. Whether one was there does not matter.
pub(super) async fn remove(
    State(server): State<Arc<ServerState>>,
    Path(volume): Path<String>,
    Query(place): Query<Where>,
) -> Result<(), Refusal> {
    let own = Arc::clone(&server.local_volumes);
    let removed = tokio::task::spawn_blocking(move || own.remove(&volume, &place.path)).await;
    match removed.map_err(|error| Refusal::internal(error.to_string()))? {
        Ok(()) => Ok(()),
        Err(error @ RemoveError::NotOurs(_)) => Err(Refusal::bad_request(error.to_string())),
        Err(error @ RemoveError::InUse { .. }) => Err(Refusal { code: StatusCode::CONFLICT, text: error.to_string() }),
        Err(error @ RemoveError::Disk { .. }) => Err(Refusal::internal(error.to_string())),
    }
}
