//! Counts, times and logs every request.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures::{Stream, future::BoxFuture, stream::BoxStream};
use http::{HeaderValue, StatusCode};

use super::{Filter, Next};
use crate::{
    catalogue::Request,
    metrics::{Lasting, Requests, Seen, SelfDefence},
    serving::{Body, BodyError, Response},
};

pub(super) struct Observation(Arc<Requests>);

impl Observation {
    pub(super) fn new(metrics: Arc<Requests>) -> Self {
        Self(metrics)
    }
}

/// Slower answers are worth a line in the log, as upstream's trace threshold has it.
const SLOW: Duration = Duration::from_millis(500);

impl Filter for Observation {
    fn apply<'a>(&'a self, mut request: Request, next: Next<'a>) -> BoxFuture<'a, Response> {
        let seen = Arc::new(self.0.begin(&request));
        if seen.long_running() {
            request.http.extensions_mut().insert(Lasting(seen.clone()));
        }
        let (path, id) = (request.info.path.clone(), request.id.clone());
        let answer = next.run(request);
        Box::pin(async move {
            let mut response = answer.await;
            let (verb, elapsed, code) = (seen.verb(), seen.elapsed(), response.status());
            if code.is_server_error() || (elapsed > SLOW && !seen.long_running()) {
                tracing::warn!(verb, path, code = code.as_u16(), ?elapsed, id, "request");
            } else {
                tracing::debug!(verb, path, code = code.as_u16(), ?elapsed, id, "request");
            }
            if let Ok(id) = HeaderValue::try_from(id) {
                response.headers_mut().insert("audit-id", id);
            }
            observed(seen, response)
        })
    }
}

/// The same answer, at whose end the request is counted.
fn observed(seen: Arc<Seen>, mut response: Response) -> Response {
    let code = response.status();
    seen.answered(code);
    if response.extensions_mut().remove::<SelfDefence>().is_some() {
        seen.terminated(code);
    }
    response.map(|body| match body {
        Body::Stream(pieces) if code != StatusCode::SWITCHING_PROTOCOLS => {
            Body::Stream(Box::pin(Observed { pieces, seen }))
        }
        Body::Full(bytes) => {
            seen.written(bytes.len());
            Body::Full(bytes)
        }
        body => body,
    })
}

/// The pieces of an answer whose request is counted when they end.
struct Observed {
    pieces: BoxStream<'static, Result<Bytes, BodyError>>,
    seen: Arc<Seen>,
}

impl Stream for Observed {
    type Item = Result<Bytes, BodyError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = self.pieces.as_mut().poll_next(context);
        match &next {
            Poll::Ready(Some(Ok(piece))) => self.seen.written(piece.len()),
            Poll::Ready(Some(Err(_))) => self.seen.aborted(),
            Poll::Ready(None) | Poll::Pending => {}
        }
        next
    }
}
