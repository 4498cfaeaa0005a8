//! What is recorded of requests.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures::{FutureExt, Stream, StreamExt, future::BoxFuture, stream::BoxStream};
use http::StatusCode;

use super::{Filter, Next};
use crate::{
    audit::{Audit, Record, ResponseStatus, Stage},
    authorization::attributes,
    catalogue::Request,
    serving::{Body, BodyError, Response, respond},
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
        request.audit = Some(Arc::clone(&record));
        let long_running = request.long_running();
        let keeps = record.wants_answer() && !long_running;
        let mut end = End { record, code: 0, answer: keeps.then(Vec::new), written: false };
        Box::pin(async move {
            if !end.record.write(Stage::RequestReceived, None, None).kept().await {
                end.dismiss();
                self.0.reject();
                return refused(&request);
            }
            let response = next.run(request).await;
            end.code = response.status().as_u16();
            if long_running {
                end.record.write(Stage::ResponseStarted, Some(ResponseStatus::new(end.code, &[])), None).kept().await;
            }
            let (head, body) = response.into_parts();
            Response::from_parts(head, end.follow(body).await)
        })
    }
}

/// As upstream answers when an event is lost that must not be.
fn refused(request: &Request) -> Response {
    let uri = request.http.uri().path_and_query().map_or("", http::uri::PathAndQuery::as_str);
    let why = format!("Internal Server Error: {uri:?}: failed to store audit event\n");
    respond::text(StatusCode::INTERNAL_SERVER_ERROR, why)
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
    async fn follow(mut self, body: Body) -> Body {
        match body {
            Body::Empty => Body::Empty,
            Body::Full(bytes) => {
                self.written = true;
                let (status, answer) = self.told(&bytes);
                self.record.write(Stage::ResponseComplete, status, answer).kept().await;
                Body::Full(bytes)
            }
            Body::Stream(stream) => Body::stream(Followed { stream, end: self, ending: None }),
        }
    }

    /// There is nothing more to tell.
    fn dismiss(&mut self) {
        self.written = true;
    }

    fn keep(&mut self, piece: &Bytes) {
        if let Some(answer) = &mut self.answer {
            answer.extend_from_slice(piece);
        }
    }

    /// What the last event tells of an answer. A client that goes away gets no status.
    fn told<'a>(&self, answer: &'a [u8]) -> (Option<ResponseStatus>, Option<&'a [u8]>) {
        let status = (self.code != 0).then(|| ResponseStatus::new(self.code, answer));
        (status, Some(answer).filter(|answer| !answer.is_empty()))
    }

    /// Writes the last event at the end of a stream.
    fn complete(&mut self) -> BoxFuture<'static, bool> {
        self.written = true;
        let answer = self.answer.take().unwrap_or_default();
        let (status, answer) = self.told(&answer);
        Box::pin(self.record.write(Stage::ResponseComplete, status, answer).kept())
    }
}

impl Drop for End {
    fn drop(&mut self) {
        if self.written {
            return;
        }
        if std::thread::panicking() && self.code == 0 {
            return self.record.leave(Stage::Panic, Some(ResponseStatus::new(500, &[])), None);
        }
        let answer = self.answer.take().unwrap_or_default();
        let (status, answer) = self.told(&answer);
        self.record.leave(Stage::ResponseComplete, status, answer);
    }
}

/// An answer whose end is waited for.
struct Followed {
    stream: BoxStream<'static, Result<Bytes, BodyError>>,
    end: End,
    /// The last event is being written: the answer ends when it is.
    ending: Option<BoxFuture<'static, bool>>,
}

impl Stream for Followed {
    type Item = Result<Bytes, BodyError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let followed = &mut *self;
        loop {
            if followed.end.written && followed.ending.is_none() {
                return Poll::Ready(None);
            }
            if let Some(ending) = &mut followed.ending {
                std::task::ready!(ending.poll_unpin(cx));
                followed.ending = None;
                return Poll::Ready(None);
            }
            match std::task::ready!(followed.stream.poll_next_unpin(cx)) {
                Some(Ok(piece)) => {
                    followed.end.keep(&piece);
                    return Poll::Ready(Some(Ok(piece)));
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => followed.ending = Some(followed.end.complete()),
            }
        }
    }
}
