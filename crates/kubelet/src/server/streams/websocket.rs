//! Sessions over WebSockets: the subprotocols `v5.channel.k8s.io` and its elders.
//!
//! A message is one byte that names a channel, and data. With base64 it is text: the channel is an ASCII digit.

use async_trait::async_trait;
use axum::extract::FromRequestParts;
use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket, WebSocketUpgrade, close_code};
use axum::http::header;
use axum::http::request::Parts;
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures::stream::SplitSink;
use futures::{FutureExt, SinkExt, StreamExt};

use super::super::reply::Refusal;
use super::transport::{Channel, Connection, Lost, Received, Sender, Serve, Transport};

/// Subprotocols, the best first.
const PROTOCOLS: [&str; 3] = ["v5.channel.k8s.io", "v4.channel.k8s.io", "v4.base64.channel.k8s.io"];

/// Channels by their numbers.
const CHANNELS: [Channel; 5] = [Channel::Stdin, Channel::Stdout, Channel::Stderr, Channel::Error, Channel::Resize];
/// Since v5: closes the channel that the next byte names.
const CLOSE: u8 = 255;

/// How messages are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Coding {
    /// Bytes.
    Binary,
    /// Base64 text.
    Base64,
}

/// A request that asks for a WebSocket.
struct Handshake {
    upgrade: WebSocketUpgrade,
    coding: Coding,
}

/// Takes requests for a WebSocket with one of the known subprotocols.
pub(super) fn accept(parts: &mut Parts) -> Option<Result<Box<dyn Transport>, Refusal>> {
    // Of HTTP/2 the method tells.
    let asked =
        parts.headers.get(header::UPGRADE).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"));
    (asked || parts.method == http::Method::CONNECT).then(|| handshake(parts).map(|handshake| Box::new(handshake) as _))
}

fn handshake(parts: &mut Parts) -> Result<Handshake, Refusal> {
    // Reading the handshake off the headers waits for nothing.
    let upgrade = WebSocketUpgrade::from_request_parts(parts, &()).now_or_never();
    let upgrade = upgrade.ok_or_else(|| Refusal::internal("unable to upgrade connection"))?;
    let upgrade = upgrade.map_err(|error| Refusal {
        code: error.status(),
        text: format!("unable to upgrade connection: {}", error.body_text()),
    })?;
    let upgrade = upgrade.protocols(PROTOCOLS);
    let Some(protocol) = upgrade.selected_protocol() else {
        let known = PROTOCOLS.join(", ");
        return Err(Refusal::bad_request(format!(
            "unable to upgrade connection: the subprotocol must be one of {known}"
        )));
    };
    let base64 = protocol.as_bytes().windows(6).any(|part| part == b"base64");
    Ok(Handshake { coding: if base64 { Coding::Base64 } else { Coding::Binary }, upgrade })
}

impl Transport for Handshake {
    fn upgrade(self: Box<Self>, serve: Serve) -> Response {
        let coding = self.coding;
        self.upgrade.on_upgrade(move |socket| serve(connection(socket, coding)))
    }
}

fn connection(socket: WebSocket, coding: Coding) -> Connection {
    let (sink, messages) = socket.split();
    let until_closed =
        messages.take_while(|message| futures::future::ready(!matches!(message, Err(_) | Ok(Message::Close(_)))));
    let received = until_closed
        .filter_map(move |message| futures::future::ready(message.ok().and_then(|message| coding.read(message))));
    Connection { sender: Box::new(Writer { sink, coding }), received: received.boxed() }
}

struct Writer {
    sink: SplitSink<WebSocket, Message>,
    coding: Coding,
}

#[async_trait]
impl Sender for Writer {
    async fn send(&mut self, channel: Channel, data: Bytes) -> Result<(), Lost> {
        let message = self.coding.write(channel, &data);
        self.sink.send(message).await.map_err(|error| Lost(error.into()))
    }

    async fn close(&mut self) -> Result<(), Lost> {
        // Without a code, kubectl takes the end for a broken connection.
        let frame = CloseFrame { code: close_code::NORMAL, reason: Utf8Bytes::default() };
        self.sink.send(Message::Close(Some(frame))).await.map_err(|error| Lost(error.into()))
    }
}

impl Coding {
    fn write(self, channel: Channel, data: &[u8]) -> Message {
        // Every channel has a number.
        let number = CHANNELS.iter().position(|known| *known == channel).and_then(|at| u8::try_from(at).ok());
        let number = number.unwrap_or_default();
        match self {
            Self::Binary => Message::Binary(Bytes::from([&[number], data].concat())),
            Self::Base64 => Message::Text(format!("{number}{}", STANDARD.encode(data)).into()),
        }
    }

    /// What the client says; `None` for what means nothing to us.
    fn read(self, message: Message) -> Option<Received> {
        let (number, data) = match (self, message) {
            (Self::Binary, Message::Binary(bytes)) => (*bytes.first()?, bytes.slice(1..)),
            (Self::Base64, Message::Text(text)) => {
                let number = text.as_bytes().first()?.checked_sub(b'0')?;
                (number, STANDARD.decode(text.get(1..)?).ok()?.into())
            }
            _ => return None,
        };
        match number {
            CLOSE => channel(*data.first()?).map(Received::Closed),
            number => channel(number).map(|channel| Received::Data(channel, data)),
        }
    }
}

fn channel(number: u8) -> Option<Channel> {
    CHANNELS.get(usize::from(number)).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn binary(bytes: &[u8]) -> Message {
        Message::Binary(Bytes::copy_from_slice(bytes))
    }

    #[test]
    fn messages_are_read() {
        let data = |channel, data: &'static str| Some(Received::Data(channel, data.into()));
        let cases = [
            (Coding::Binary, binary(b"\0ls\n"), data(Channel::Stdin, "ls\n")),
            (Coding::Binary, binary(&[255, 0]), Some(Received::Closed(Channel::Stdin))),
            (Coding::Binary, binary(b"\x04{}"), data(Channel::Resize, "{}")),
            (Coding::Binary, binary(b"\x05x"), None),
            (Coding::Binary, binary(b""), None),
            (Coding::Binary, binary(&[255]), None),
            (Coding::Binary, binary(&[255, 9]), None),
            (Coding::Binary, Message::Text("0bHM=".into()), None),
            (Coding::Base64, Message::Text("0bHM=".into()), data(Channel::Stdin, "ls")),
            (Coding::Base64, Message::Text("0?".into()), None),
            (Coding::Base64, Message::Text("é".into()), None),
            (Coding::Binary, Message::Ping(Bytes::new()), None),
        ];
        for (coding, message, expected) in cases {
            assert_eq!(coding.read(message.clone()), expected, "{message:?}");
        }
    }

    #[test]
    fn output_is_written() {
        assert_eq!(Coding::Binary.write(Channel::Stderr, b"x"), binary(b"\x02x"));
        assert_eq!(Coding::Base64.write(Channel::Stdout, b"ls"), Message::Text("1bHM=".into()));
        assert_eq!(Coding::Binary.write(Channel::Error, b"{}"), binary(b"\x03{}"));
    }
}
