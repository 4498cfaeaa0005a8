//! `/scale`: the number of replicas, the same for all kinds that have one.

use api_types::{Object, StatusError, autoscaling::Scale, schema};
use futures::future::BoxFuture;
use http::StatusCode;

use super::{Answer, Call, body, patch::PatchBody, write};
use crate::{
    catalogue::{Endpoint, Request},
    registry::{Change, Changed, Part, Rest, Stored, update::scale_of},
    request::Verb,
    serving::respond,
};

/// Reads and writes the number of replicas.
pub struct Replicas;

impl Endpoint for Replicas {
    fn answer<'a>(&'a self, call: &'a Call<'a>, request: Request) -> BoxFuture<'a, Answer> {
        Box::pin(answer(call, request))
    }
}

async fn answer(call: &Call<'_>, mut request: Request) -> Answer {
    if request.info.verb == Verb::Get {
        let object = call.registry().get_object(call.rest, call.target()).await?;
        return Ok(respond::object(
            StatusCode::OK,
            request.accept.encoding,
            scale_of(call.rest, &*object)?.encode().into(),
        ));
    }
    let source = match request.info.verb {
        Verb::Patch => Source::Patch(PatchBody::read(&mut request).await?),
        _ => Source::Whole(body::read_json(&mut request).await?.to_vec()),
    };
    let write = write(&request, "UpdateOptions")?;
    let change = SetScale { rest: call.rest, source };
    let written = call.registry().update(call.rest, &write, call.target(), Part::Scale, &change).await?;
    let object = call.rest.row.ops.decode_trusted(&written.json).map_err(StatusError::internal)?;
    Ok(respond::object(StatusCode::OK, request.accept.encoding, scale_of(call.rest, &*object)?.encode().into()))
}

enum Source {
    Whole(Vec<u8>),
    Patch(PatchBody),
}

/// Makes the new scale of an object.
struct SetScale<'a> {
    rest: &'a Rest,
    source: Source,
}

impl SetScale<'_> {
    fn wanted(&self, current: &Scale) -> Result<Scale, StatusError> {
        match &self.source {
            Source::Whole(json) => {
                serde_json::from_slice(json).map_err(|error| StatusError::bad_request(error.to_string()))
            }
            Source::Patch(patch) => {
                let patched = patch.apply_to(current.to_value(), schema::of("autoscaling", "v1", "Scale"))?;
                serde_json::from_value(patched).map_err(|error| StatusError::bad_request(error.to_string()))
            }
        }
    }
}

impl Change for SetScale<'_> {
    fn apply(&self, current: &Stored) -> Result<Changed, StatusError> {
        let scale: Box<dyn Object> = Box::new(self.wanted(&scale_of(self.rest, &*current.object)?)?);
        Ok(scale.into())
    }

    fn create(&self) -> Result<Option<Changed>, StatusError> {
        Ok(None)
    }
}
