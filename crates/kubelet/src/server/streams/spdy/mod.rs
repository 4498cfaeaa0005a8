//! Sessions over SPDY/3.1, as kubectl and its relatives held them before WebSockets.
//!
//! [`crate::spdy`] is the protocol on the wire, [`connection`] is streams that clients open, and here the streams of a
//! session become its channels.

mod connection;
#[cfg(test)]
pub(in super::super) mod testing;

use std::time::Duration;

use async_trait::async_trait;
use axum::body::Body;
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::{BoxStream, select_all, unfold};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;

use super::super::reply::Refusal;
use super::status::Form;
use super::transport::{Channel, Connection, Lost, Received, Sender, Serve, Terms, Transport, Wanted};
use crate::spdy::{frame, headers};
pub(super) use connection::{Accepted, Input, Output, Stream, hold};
pub(super) use frame::Reset;

/// Protocols of sessions, of which the client's favourite is taken.
const PROTOCOLS: [&str; 4] = ["v4.channel.k8s.io", "v3.channel.k8s.io", "v2.channel.k8s.io", "channel.k8s.io"];
/// How long a client may take to open the streams of a session.
const OPENING: Duration = Duration::from_secs(30);

const VERSION: HeaderName = HeaderName::from_static("x-stream-protocol-version");

/// A request that asks for SPDY.
pub(super) struct Handshake {
    upgrade: OnUpgrade,
    pub(super) protocol: &'static str,
}

/// Takes requests for SPDY with one of the protocols of sessions.
pub(super) fn accept(parts: &mut Parts) -> Option<Result<Box<dyn Transport>, Refusal>> {
    handshake(parts, &PROTOCOLS).map(|handshake| handshake.map(|handshake| Box::new(handshake) as _))
}

/// Takes requests for SPDY with one of these protocols.
pub(super) fn handshake(parts: &mut Parts, known: &[&'static str]) -> Option<Result<Handshake, Refusal>> {
    let asked = parts.headers.get(header::UPGRADE)?;
    if !asked.as_bytes().eq_ignore_ascii_case(b"spdy/3.1") {
        return None;
    }
    let upgrade = parts.extensions.remove::<OnUpgrade>();
    let upgrade = upgrade.ok_or_else(|| Refusal::bad_request("unable to upgrade connection: it cannot be upgraded"));
    Some(upgrade.and_then(|upgrade| Ok(Handshake { upgrade, protocol: protocol(parts, known)? })))
}

fn protocol(parts: &Parts, known: &[&'static str]) -> Result<&'static str, Refusal> {
    let values = parts.headers.get_all(VERSION).iter().filter_map(|value| value.to_str().ok());
    let wanted: Vec<&str> = values.flat_map(|value| value.split(',')).map(str::trim).collect();
    if wanted.is_empty() {
        return Err(Refusal::bad_request("unable to upgrade: X-Stream-Protocol-Version is required"));
    }
    let found = wanted.iter().find_map(|wanted| known.iter().find(|known| *known == wanted));
    let (wanted, known) = (wanted.join(" "), known.join(" "));
    found.copied().ok_or_else(|| Refusal {
        code: StatusCode::FORBIDDEN,
        text: format!(
            "unable to upgrade: unable to negotiate protocol: client supports [{wanted}], server accepts [{known}]"
        ),
    })
}

impl Handshake {
    /// The answer, and what the connection is then used for.
    pub(super) fn talk<F>(self, terms: &Terms, talk: impl FnOnce(Accepted) -> F + Send + 'static) -> Response
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let Self { upgrade, protocol } = self;
        let shutdown = terms.daemon.shutdown.clone();
        terms.daemon.spawn(async move {
            let held = async {
                match upgrade.await {
                    Ok(upgraded) => hold(TokioIo::new(upgraded), talk).await,
                    Err(error) => tracing::debug!("upgrade: {error}"),
                }
            };
            shutdown.run_until_cancelled(held).await;
        });
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let headers = [
            (header::CONNECTION, HeaderValue::from_static("Upgrade")),
            (header::UPGRADE, HeaderValue::from_static("SPDY/3.1")),
            (VERSION, HeaderValue::from_static(protocol)),
        ];
        response.headers_mut().extend(headers);
        response
    }
}

impl Transport for Handshake {
    fn upgrade(self: Box<Self>, terms: Terms, serve: Serve) -> Response {
        let protocol = self.protocol;
        let wanted = terms.wanted;
        self.talk(&terms, move |accepted| session(accepted, wanted, protocol, serve))
    }
}

async fn session(mut accepted: Accepted, wanted: Wanted, protocol: &'static str, serve: Serve) {
    // Sizes of terminals came with v3.
    let resizes = wanted.tty && !matches!(protocol, "v2.channel.k8s.io" | "channel.k8s.io");
    let channels = [
        (Channel::Error, true),
        (Channel::Stdin, wanted.stdin),
        (Channel::Stdout, wanted.stdout),
        (Channel::Stderr, wanted.stderr),
        (Channel::Resize, resizes),
    ];
    let expected: Vec<Channel> = channels.into_iter().filter_map(|(channel, there)| there.then_some(channel)).collect();
    let opened = tokio::time::timeout(OPENING, gather(&mut accepted, &expected)).await;
    let Ok(Some(streams)) = opened else {
        return tracing::debug!("the client has not opened all streams of a session");
    };
    let gone = accepted.gone();
    // Nobody takes more streams.
    drop(accepted);
    let (outputs, inputs): (Vec<_>, Vec<_>) = streams
        .into_iter()
        .map(|(channel, stream)| ((channel, stream.output), received(channel, stream.input)))
        .unzip();
    let until_gone =
        futures::stream::once(async move { gone.cancelled().await }).filter_map(|()| std::future::ready(None));
    let received = select_all(inputs).chain(until_gone).boxed();
    let form = if protocol == PROTOCOLS[0] { Form::Json } else { Form::Text };
    serve(Connection { sender: Box::new(Writer(outputs)), received, form }).await;
}

/// Waits until the client has opened the expected streams, each once.
async fn gather(accepted: &mut Accepted, expected: &[Channel]) -> Option<Vec<(Channel, Stream)>> {
    let mut streams: Vec<(Channel, Stream)> = Vec::new();
    while streams.len() < expected.len() {
        let stream = accepted.next().await?;
        let channel = stream.header("streamtype").and_then(channel).filter(|channel| expected.contains(channel));
        match channel.filter(|channel| !streams.iter().any(|(open, _)| open == channel)) {
            Some(channel) => {
                stream.output.reply().await.ok()?;
                streams.push((channel, stream));
            }
            None => stream.output.reset(Reset::Refused).await.ok()?,
        }
    }
    Some(streams)
}

fn channel(name: &str) -> Option<Channel> {
    Some(match name {
        "stdin" => Channel::Stdin,
        "stdout" => Channel::Stdout,
        "stderr" => Channel::Stderr,
        "error" => Channel::Error,
        "resize" => Channel::Resize,
        _ => return None,
    })
}

/// What comes on a channel, and that nothing more will.
fn received(channel: Channel, input: Input) -> BoxStream<'static, Received> {
    unfold(Some(input), move |input| async move {
        let mut input = input?;
        Some(match input.next().await {
            Some(data) => (Received::Data(channel, data), Some(input)),
            None => (Received::Closed(channel), None),
        })
    })
    .boxed()
}

struct Writer(Vec<(Channel, Output)>);

#[async_trait]
impl Sender for Writer {
    async fn send(&mut self, channel: Channel, data: Bytes) -> Result<(), Lost> {
        match self.0.iter().find(|(open, _)| *open == channel) {
            Some((_, output)) => output.send(data).await,
            None => Ok(()),
        }
    }

    async fn close(&mut self) -> Result<(), Lost> {
        for (_, output) in &self.0 {
            output.finish().await?;
        }
        Ok(())
    }
}
