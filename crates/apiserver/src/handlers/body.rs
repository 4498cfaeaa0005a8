//! Reading the bodies of requests.

use std::sync::Arc;

use api_types::StatusError;
use bytes::{Bytes, BytesMut};
use http::header;
use http_body::Body;
use http_body_util::BodyExt;
use hyper::body::Incoming;

use crate::{
    catalogue::Request,
    filters::{EndsAt, LONGEST_BODY, Place, Taken},
    registry::decode::{BodyType, Sent},
};

/// The whole body.
///
/// # Errors
/// 413 when it is too long, 400 when the connection breaks, 429 when too much is being read.
pub(super) async fn read(request: &mut Request) -> Result<Bytes, StatusError> {
    let body = collect(request).await?;
    note(request, &body);
    Ok(body)
}

/// For the audit, which wants JSON.
fn note(request: &Request, body: &Bytes) {
    if let Some(record) = &request.audit {
        record.sent(body);
    }
}

async fn collect(request: &mut Request) -> Result<Bytes, StatusError> {
    let end = request.http.extensions().get::<EndsAt>().copied();
    let place = request.http.extensions().get::<Arc<Place>>().cloned();
    if let Some(place) = &place {
        place.leave();
    }
    let read = async {
        let (body, room) = whole(request.http.body_mut(), place.as_deref()).await?;
        if let Some(place) = &place {
            place.enter().await;
        }
        drop(room);
        Ok(body)
    };
    // A write goes on when its client has been told that it took too long, but it does not wait for the client.
    match end {
        Some(EndsAt(end)) => tokio::time::timeout_at(end, read).await.map_err(|_| too_slow())?,
        None => read.await,
    }
}

/// The body, and the room that it takes until its request has a place again.
async fn whole(body: &mut Incoming, place: Option<&Place>) -> Result<(Bytes, Option<Taken>), StatusError> {
    // What says that it is too long is not waited for.
    if body.size_hint().lower() > LONGEST_BODY as u64 {
        return Err(too_long());
    }
    let mut pieces = BytesMut::new();
    let mut room: Option<Taken> = None;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| StatusError::bad_request(format!("reading the request body: {error}")))?;
        let Ok(piece) = frame.into_data() else { continue };
        if pieces.len() + piece.len() > LONGEST_BODY {
            return Err(too_long());
        }
        match (place.map(|place| place.room(piece.len())).transpose()?, &mut room) {
            (Some(more), Some(room)) => room.merge(more),
            (more, none) => *none = more,
        }
        pieces.extend_from_slice(&piece);
    }
    Ok((pieces.freeze(), room))
}

fn too_long() -> StatusError {
    StatusError::request_entity_too_large(&format!("limit is {LONGEST_BODY}"))
}

fn too_slow() -> StatusError {
    StatusError::timeout("the request body did not arrive within the allotted time-out", 0)
}

/// The whole body as JSON, whatever it was sent as.
///
/// # Errors
/// 415 for media types that are not read, else as [`read`].
pub(super) async fn read_json(request: &mut Request) -> Result<Sent, StatusError> {
    let body_type = BodyType::of(request.header(&header::CONTENT_TYPE))?;
    let sent = body_type.into_json(collect(request).await?);
    if sent.fault.is_none() {
        note(request, &sent.json);
    }
    Ok(sent)
}
