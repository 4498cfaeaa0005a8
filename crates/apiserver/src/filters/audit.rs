//! What is recorded of requests.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures::{Stream, StreamExt, future::BoxFuture, stream::BoxStream};

use super::{Filter, Next};
use crate::{
    audit::{Audit, Record, ResponseStatus, Stage},
    authorization::attributes,
    catalogue::Request,
    serving::{Body, BodyError, Response},
};

pub(super) struct Auditing(Audit);

impl Auditing {
    pub(super) fn new(audit: Audit) -> Self {
        Self(audit)
    }
}

impl Filter for Auditing {
    fn apply<'a>(&'a self, mut request: Request, next: Next<'a>) -> BoxFuture<'a, Response> {
        let attributes = attributes(&request.user, request.http.method(), &request.info, &request.query);
        let Some(record) = Record::begin(&self.0, &request.id, &request.http, &attributes).map(Arc::new) else {
            return next.run(request);
        };
        record.write(Stage::RequestReceived, None, None);
        request.audit = Some(Arc::clone(&record));
        let long_running = request.long_running();
        let keeps = record.wants_answer() && !long_running;
        let mut end = End { record, code: 0, answer: keeps.then(Vec::new), written: false };
        Box::pin(async move {
            let response = next.run(request).await;
            end.code = response.status().as_u16();
            if long_running {
                end.record.write(Stage::ResponseStarted, Some(ResponseStatus::new(end.code, &[])), None);
            }
            response.map(|body| end.follow(body))
        })
    }
}

/// Writes the last event of a request, when it is dropped at the latest.
struct End {
    record: Arc<Record>,
    /// The status; 0 before there is one.
    code: u16,
    /// The answer so far, where it is wanted.
    answer: Option<Vec<u8>>,
    written: bool,
}

impl End {
    /// Waits for the end of an answer.
    fn follow(mut self, body: Body) -> Body {
        match body {
            Body::Empty => Body::Empty,
            Body::Full(bytes) => {
                self.write(&bytes);
                Body::Full(bytes)
            }
            Body::Stream(stream) => Body::stream(Followed { stream, end: self }),
        }
    }

    fn keep(&mut self, piece: &Bytes) {
        if let Some(answer) = &mut self.answer {
            answer.extend_from_slice(piece);
        }
    }

    fn write(&mut self, answer: &[u8]) {
        if !std::mem::replace(&mut self.written, true) {
            // A client that goes away gets no status.
            let status = (self.code != 0).then(|| ResponseStatus::new(self.code, answer));
            self.record.write(Stage::ResponseComplete, status, Some(answer).filter(|answer| !answer.is_empty()));
        }
    }
}

impl Drop for End {
    fn drop(&mut self) {
        if std::thread::panicking() && self.code == 0 {
            self.written = true;
            self.record.write(Stage::Panic, Some(ResponseStatus::new(500, &[])), None);
        }
        let answer = self.answer.take().unwrap_or_default();
        self.write(&answer);
    }
}

/// An answer whose end is waited for.
struct Followed {
    stream: BoxStream<'static, Result<Bytes, BodyError>>,
    end: End,
}

impl Stream for Followed {
    type Item = Result<Bytes, BodyError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = self.stream.poll_next_unpin(cx);
        if let Poll::Ready(Some(Ok(piece))) = &next {
            self.end.keep(piece);
        }
        next
    }
}
