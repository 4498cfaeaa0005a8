//! Settles what representation the answer has.

use api_types::status::StatusError;
use futures::future::BoxFuture;
use http::header;

use super::{Filter, Next};
use crate::{
    request::{Accept, Request},
    serving::{Response, respond},
};

pub(super) struct Negotiate;

impl Filter for Negotiate {
    fn apply<'a>(&'a self, mut request: Request, next: Next<'a>) -> BoxFuture<'a, Response> {
        // Other paths answer in their own types (text, protobuf schemas), streams in none.
        let negotiated = request.info.resource.as_ref().is_some_and(|place| !STREAMS.contains(&&*place.subresource));
        if !negotiated {
            return next.run(request);
        }
        match Accept::negotiate(request.header(&header::ACCEPT)) {
            Ok(accept) => {
                request.accept = accept;
                next.run(request)
            }
            Err(_) => Box::pin(async { respond::error(&StatusError::not_acceptable(PRODUCED)) }),
        }
    }
}

/// What answers can be written in.
const PRODUCED: &[&str] = &["application/json", "application/yaml"];

const STREAMS: &[&str] = &["attach", "exec", "log", "portforward", "proxy"];
