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
use super::status::Form;
use super::transport::{Channel, Connection, Lost, Received, Sender, Serve, Terms, Transport};

/// Subprotocols, the best first. A client that names none speaks the first version, in bytes.
const PROTOCOLS: [&str; 5] =
    ["v5.channel.k8s.io", "v4.channel.k8s.io", "v4.base64.channel.k8s.io", "channel.k8s.io", "base64.channel.k8s.io"];
/// The longest message that is taken, in bytes.
const MESSAGE_MAX: usize = 16 << 20;

/// Channels by their numbers.
const CHANNELS: [Channel; 5] = [Channel::Stdin, Channel::Stdout, Channel::Stderr, Channel::Error, Channel::Resize];
/// Since v5: closes the channel that the next byte names.
const CLOSE: u8 = 255;

/// How messages are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Coding {
    /// Bytes.
    Binary,
    /// Base64 text.
    Base64,
}

/// A request that asks for a WebSocket.
struct Handshake {
    upgrade: WebSocketUpgrade,
    coding: Coding,
    form: Form,
}

/// Takes requests for a WebSocket with one of the known subprotocols.
pub(super) fn accept(parts: &mut Parts) -> Option<Result<Box<dyn Transport>, Refusal>> {
    is_asked(parts).then(|| handshake(parts).map(|handshake| Box::new(handshake) as _))
}

/// Whether a request asks for a WebSocket.
pub(super) fn is_asked(parts: &Parts) -> bool {
    // Of HTTP/2 the method tells.
    let asked =
        parts.headers.get(header::UPGRADE).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"));
    asked || parts.method == http::Method::CONNECT
}

/// The handshake with one of these subprotocols, and which; `None` when the client names none.
pub(super) fn agree(
    parts: &mut Parts,
    known: &[&'static str],
) -> Result<(WebSocketUpgrade, Option<&'static str>), Refusal> {
    let named = parts.headers.contains_key(header::SEC_WEBSOCKET_PROTOCOL);
    // Reading the handshake off the headers waits for nothing.
    let upgrade = WebSocketUpgrade::from_request_parts(parts, &()).now_or_never();
    let upgrade = upgrade.ok_or_else(|| Refusal::internal("unable to upgrade connection"))?;
    let upgrade = upgrade.map_err(|error| Refusal {
        code: error.status(),
        text: format!("unable to upgrade connection: {}", error.body_text()),
    })?;
    let upgrade = upgrade.max_message_size(MESSAGE_MAX).protocols(known.iter().copied());
    let chosen = upgrade.selected_protocol().map(http::HeaderValue::as_bytes);
    let chosen = known.iter().copied().find(|known| chosen == Some(known.as_bytes()));
    if named && chosen.is_none() {
        let known = known.join(", ");
        return Err(Refusal::bad_request(format!(
            "unable to upgrade connection: the subprotocol must be one of {known}"
        )));
    }
    Ok((upgrade, chosen))
}

fn handshake(parts: &mut Parts) -> Result<Handshake, Refusal> {
    let (upgrade, protocol) = agree(parts, &PROTOCOLS)?;
    let protocol = protocol.unwrap_or_default();
    let coding = Coding::of(protocol);
    let form = if protocol.starts_with('v') { Form::Json } else { Form::Text };
    Ok(Handshake { upgrade, coding, form })
}

impl Transport for Handshake {
    fn upgrade(self: Box<Self>, _: Terms, serve: Serve) -> Response {
        let Self { upgrade, coding, form } = *self;
        upgrade.on_upgrade(move |socket| serve(connection(socket, coding, form)))
    }
}

fn connection(socket: WebSocket, coding: Coding, form: Form) -> Connection {
    let (sink, messages) = socket.split();
    let until_closed =
        messages.take_while(|message| futures::future::ready(!matches!(message, Err(_) | Ok(Message::Close(_)))));
    let received = until_closed
        .filter_map(move |message| futures::future::ready(message.ok().and_then(|message| coding.read(message))));
    Connection { sender: Box::new(Writer { sink, coding }), received: received.boxed(), form }
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
    /// That of a subprotocol.
    pub(super) fn of(protocol: &str) -> Self {
        if protocol.contains("base64") { Self::Base64 } else { Self::Binary }
    }

    fn write(self, channel: Channel, data: &[u8]) -> Message {
        // Every channel has a number.
        let number = CHANNELS.iter().position(|known| *known == channel).and_then(|at| u8::try_from(at).ok());
        self.pack(number.unwrap_or_default(), data)
    }

    /// Data of the channel of this number.
    pub(super) fn pack(self, number: u8, data: &[u8]) -> Message {
        match self {
            Self::Binary => Message::Binary(Bytes::from([&[number], data].concat())),
            Self::Base64 => Message::Text(format!("{}{}", char::from(b'0' + number), STANDARD.encode(data)).into()),
        }
    }

    /// A channel's number, and its data; `None` for what means nothing to us.
    pub(super) fn unpack(self, message: Message) -> Option<(u8, Bytes)> {
        // As text or as bytes, whatever the coding: Python's client sends text as text.
        let bytes = match message {
            Message::Binary(bytes) => bytes,
            Message::Text(text) => Bytes::from(text),
            _ => return None,
        };
        let number = *bytes.first()?;
        match self {
            Self::Binary => Some((number, bytes.slice(1..))),
            Self::Base64 => Some((number.checked_sub(b'0')?, STANDARD.decode(&bytes[1..]).ok()?.into())),
        }
    }

    /// What the client says; `None` for what means nothing to us.
    fn read(self, message: Message) -> Option<Received> {
        match self.unpack(message)? {
            (CLOSE, data) => channel(*data.first()?).map(Received::Closed),
            (number, data) => channel(number).map(|channel| Received::Data(channel, data)),
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
            (Coding::Binary, Message::Text("\0ls\n".into()), data(Channel::Stdin, "ls\n")),
            (Coding::Binary, Message::Text("0bHM=".into()), None),
            (Coding::Base64, Message::Text("0bHM=".into()), data(Channel::Stdin, "ls")),
            (Coding::Base64, binary(b"0bHM="), data(Channel::Stdin, "ls")),
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

    #[test]
    fn fuzz_messages() {
        let seeds: [&[u8]; 4] = [b"\0ls\n", b"\xff\0", b"0bHM=", b"\x04{\"Width\":1}"];
        test_needs::fuzz::fuzz("websocket-messages", &seeds, |bytes| {
            for coding in [Coding::Binary, Coding::Base64] {
                let _ = coding.read(binary(bytes));
                if let Some((number, data)) = coding.unpack(binary(bytes)).filter(|(number, _)| *number < 10) {
                    assert_eq!(coding.unpack(coding.pack(number, &data)), Some((number, data)));
                }
                if let Ok(text) = std::str::from_utf8(bytes) {
                    assert_eq!(coding.unpack(Message::Text(text.into())), coding.unpack(binary(bytes)));
                }
            }
        });
    }
}
