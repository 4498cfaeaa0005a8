//! How answers travel: laid out for people who look at them, compressed for those who take them.

use std::{io::Write, mem};

use api_types::StatusError;
use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use futures::{
    StreamExt,
    future::BoxFuture,
    stream::{self, BoxStream},
};
use http::{HeaderMap, HeaderValue, header};

use super::{Filter, Next};
use crate::{
    catalogue::Request,
    json::Indenter,
    request::{Accept, Layout, accept::Producible},
    serving::{Body, BodyError, Response, respond},
};

/// Lays out and compresses what is no stream.
pub(super) struct Present;

/// Longer answers are compressed, in bytes; upstream's limit.
const LONG: usize = 128 << 10;

impl Filter for Present {
    fn apply<'a>(&'a self, request: Request, next: Next<'a>) -> BoxFuture<'a, Response> {
        if request.long_running() {
            return next.run(request);
        }
        let (layout, gzip) = (layout(&request), takes_gzip(request.headers()));
        if layout == Layout::Dense && !gzip {
            return next.run(request);
        }
        Box::pin(async move {
            let mut response = next.run(request).await;
            if layout == Layout::Pretty && is_json(response.headers()) {
                response = response.map(indented);
            }
            if gzip { compressed(response).await } else { response }
        })
    }
}

/// Who asks for it gets JSON indented, and so does who looks like a person.
fn layout(request: &Request) -> Layout {
    const PEOPLE: [&str; 3] = ["curl", "Wget", "Mozilla/5.0"];
    let header = |name| request.header(&name).unwrap_or_default();
    let accept = header(header::ACCEPT);
    if accept.contains("pretty")
        && let Ok(accept) = Accept::negotiate(Some(accept), Producible::TextAndProtobuf)
        && accept.layout == Layout::Pretty
    {
        return Layout::Pretty;
    }
    let pretty = match request.query.get("pretty") {
        Some(wish) => ["1", "t", "T", "true", "TRUE", "True"].contains(&wish),
        None => PEOPLE.iter().any(|name| header(header::USER_AGENT).starts_with(name)),
    };
    if pretty { Layout::Pretty } else { Layout::Dense }
}

fn takes_gzip(headers: &HeaderMap) -> bool {
    let values = headers.get_all(header::ACCEPT_ENCODING).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|coding| coding.trim() == "gzip")
}

fn media_type(headers: &HeaderMap) -> &str {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(';').next().unwrap_or_default()
}

fn is_json(headers: &HeaderMap) -> bool {
    media_type(headers) == "application/json" && !headers.contains_key(header::CONTENT_ENCODING)
}

fn indented(body: Body) -> Body {
    let mut indenter = Indenter::default();
    let mut lay_out = move |piece: &Bytes| {
        let mut out = Vec::with_capacity(piece.len() * 2);
        indenter.push(piece, &mut out);
        Bytes::from(out)
    };
    match body {
        Body::Empty => Body::Empty,
        Body::Full(whole) => Body::Full(lay_out(&whole)),
        Body::Stream(pieces) => Body::stream(pieces.map(move |piece| piece.map(|piece| lay_out(&piece)))),
    }
}

/// The same answer, compressed if that is worth it and somebody else has not done it.
async fn compressed(response: Response) -> Response {
    let (mut head, body) = response.into_parts();
    let objects = media_type(&head.headers).starts_with("application/");
    if !objects || head.headers.contains_key(header::CONTENT_ENCODING) {
        return Response::from_parts(head, body);
    }
    let body = match body {
        Body::Full(whole) if whole.len() > LONG => stream::iter([Ok(whole)]).boxed(),
        Body::Stream(pieces) => match read_ahead(pieces).await {
            Ok(Ahead::Long(pieces)) => pieces,
            Ok(Ahead::Short(whole)) => return Response::from_parts(head, Body::Full(whole)),
            Err(error) => return respond::error(&StatusError::internal(error)),
        },
        body => return Response::from_parts(head, body),
    };
    head.headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    head.headers.append(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    Response::from_parts(head, Body::stream(zipped(body)))
}

/// What a stream turned out to be.
enum Ahead {
    Short(Bytes),
    Long(BoxStream<'static, Result<Bytes, BodyError>>),
}

/// Reads until it is known whether a stream is long.
async fn read_ahead(mut pieces: BoxStream<'static, Result<Bytes, BodyError>>) -> Result<Ahead, BodyError> {
    let (mut read, mut size): (Vec<Bytes>, _) = (Vec::new(), 0);
    while size <= LONG {
        let Some(piece) = pieces.next().await else { return Ok(Ahead::Short(read.concat().into())) };
        let piece = piece?;
        size += piece.len();
        read.push(piece);
    }
    Ok(Ahead::Long(stream::iter(read.into_iter().map(Ok)).chain(pieces).boxed()))
}

type Zip = Option<GzEncoder<Vec<u8>>>;

fn zipped(
    pieces: BoxStream<'static, Result<Bytes, BodyError>>,
) -> impl futures::Stream<Item = Result<Bytes, BodyError>> + Send {
    // The least effort: what is saved beyond that is not worth the time.
    let encoder: Zip = Some(GzEncoder::new(Vec::new(), Compression::fast()));
    stream::unfold((pieces, encoder), |(mut pieces, encoder)| async move {
        let mut encoder = encoder?;
        loop {
            let taken = match pieces.next().await {
                Some(Ok(piece)) => encoder.write_all(&piece),
                Some(Err(error)) => return Some((Err(error), (pieces, None))),
                None => {
                    let rest = encoder.finish().map(Bytes::from).map_err(BodyError::from);
                    return Some((rest, (pieces, None)));
                }
            };
            if let Err(error) = taken {
                return Some((Err(error.into()), (pieces, None)));
            }
            let ready = mem::take(encoder.get_mut());
            if !ready.is_empty() {
                return Some((Ok(ready.into()), (pieces, Some(encoder))));
            }
        }
    })
}
