//! Subresources that are a part of the object itself, such as `/status`.

use api_types::StatusError;
use futures::future::BoxFuture;

use super::{Answer, Call, get, patch, update};
use crate::{
    catalogue::{Endpoint, Request},
    registry::Part,
    request::Verb,
};

/// Reads the object, and writes this part of it.
pub struct OfPart(pub Part);

impl Endpoint for OfPart {
    fn answer<'a>(&'a self, call: &'a Call<'a>, request: Request) -> BoxFuture<'a, Answer> {
        Box::pin(async move {
            match request.info.verb {
                Verb::Get => get::answer(call, &request).await,
                Verb::Update => update::answer(call, request, self.0).await,
                Verb::Patch => patch::answer(call, request, self.0).await,
                _ => Err(StatusError::method_not_allowed()),
            }
        })
    }
}
