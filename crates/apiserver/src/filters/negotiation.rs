//! Settles what representation the answer has.

use api_types::StatusError;
use futures::future::BoxFuture;
use http::header;

use super::{Filter, Next};
use crate::{
    catalogue::Request,
    request::{
        Accept, Encoding, Verb,
        accept::{Producible, is_routable},
    },
    serving::{Response, respond},
};

pub(super) struct Negotiate;

impl Filter for Negotiate {
    fn apply<'a>(&'a self, mut request: Request, next: Next<'a>) -> BoxFuture<'a, Response> {
        // Other paths answer in their own types (text, protobuf schemas), streams in none.
        if !request.is_negotiated() {
            return next.run(request);
        }
        let producible = producible(&request);
        if !is_routable(request.header(&header::ACCEPT), &producible.media_types()) {
            let refusal = StatusError::nothing_acceptable(&producible.media_types());
            return Box::pin(async move { respond::error(&refusal) });
        }
        match Accept::negotiate(request.header(&header::ACCEPT), producible) {
            Ok(accept) if request.info.verb != Verb::Watch || accept.encoding.streams() => {
                request.accept = accept;
                next.run(request)
            }
            _ => {
                let refusal = StatusError::not_acceptable(&producible.media_types());
                Box::pin(async move { respond::error(&refusal) })
            }
        }
    }
}

/// In what a resource can be written.
fn producible(request: &Request) -> Producible {
    let Some(row) = request.destination.row().filter(|row| row.schema().is_message()) else { return Producible::Text };
    if row.verbs == ["create"] { Producible::NoTables } else { Producible::TextAndProtobuf }
}

/// Writes errors as the client wants them, those of other filters too.
pub(super) struct EncodeErrors;

impl Filter for EncodeErrors {
    fn apply<'a>(&'a self, request: Request, next: Next<'a>) -> BoxFuture<'a, Response> {
        let accept = Accept::negotiate(request.header(&header::ACCEPT), Producible::TextAndProtobuf);
        let encoding = accept.map(|accept| accept.encoding).unwrap_or_default();
        if encoding == Encoding::Json {
            return next.run(request);
        }
        Box::pin(async move { respond::error_in(encoding, next.run(request).await) })
    }
}
