//! Pure: the WebSocket subprotocols of exec and attach, `v5.channel.k8s.io` and its elders.
//!
//! A message is one byte that names a channel, and data. With base64 it is text: the channel is an ASCII digit.

use axum::extract::ws::Message;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

use crate::runtime::{StdStream, TerminalSize};

/// Subprotocols, the best first.
pub(super) const PROTOCOLS: [&str; 3] = ["v5.channel.k8s.io", "v4.channel.k8s.io", "v4.base64.channel.k8s.io"];

const STDIN: u8 = 0;
const STDOUT: u8 = 1;
const STDERR: u8 = 2;
const ERROR: u8 = 3;
const RESIZE: u8 = 4;
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

impl Coding {
    pub(super) fn of_protocol(name: &str) -> Self {
        if name.contains("base64") { Self::Base64 } else { Self::Binary }
    }

    /// A piece of output.
    pub(super) fn output(self, stream: StdStream, data: &[u8]) -> Message {
        let channel = match stream {
            StdStream::Stdout => STDOUT,
            StdStream::Stderr => STDERR,
        };
        self.message(channel, data)
    }

    /// The `Status` with which a session ends.
    pub(super) fn status(self, status: &str) -> Message {
        self.message(ERROR, status.as_bytes())
    }

    fn message(self, channel: u8, data: &[u8]) -> Message {
        match self {
            Self::Binary => Message::Binary(Bytes::from([&[channel], data].concat())),
            Self::Base64 => Message::Text(format!("{channel}{}", STANDARD.encode(data)).into()),
        }
    }

    /// What the client says; `None` for what means nothing to us.
    pub(super) fn read(self, message: Message) -> Option<Input> {
        let (channel, data) = match (self, message) {
            (_, Message::Close(_)) => return Some(Input::Gone),
            (Self::Binary, Message::Binary(bytes)) => (*bytes.first()?, bytes.slice(1..)),
            (Self::Base64, Message::Text(text)) => {
                let channel = text.as_bytes().first()?.checked_sub(b'0')?;
                (channel, STANDARD.decode(text.get(1..)?).ok()?.into())
            }
            _ => return None,
        };
        match channel {
            STDIN => Some(Input::Stdin(data)),
            RESIZE => size(&data).map(Input::Resize),
            CLOSE if data.first() == Some(&STDIN) => Some(Input::StdinClosed),
            _ => None,
        }
    }
}

/// What a client can say.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Input {
    /// Bytes for standard input.
    Stdin(Bytes),
    /// No more of them.
    StdinClosed,
    /// Its window has another size.
    Resize(TerminalSize),
    /// It closes the connection.
    Gone,
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Size {
    width: u16,
    height: u16,
}

fn size(json: &[u8]) -> Option<TerminalSize> {
    let Size { width, height } = serde_json::from_slice(json).ok()?;
    Some(TerminalSize { width, height })
}

/// The `Status` of a command that ended with this code.
pub(super) fn exit_status(code: i32) -> String {
    if code == 0 {
        return serde_json::json!({"metadata": {}, "status": "Success"}).to_string();
    }
    serde_json::json!({
        "metadata": {},
        "status": "Failure",
        "message": format!("command terminated with non-zero exit code: exit status {code}"),
        "reason": "NonZeroExitCode",
        "details": {"causes": [{"reason": "ExitCode", "message": code.to_string()}]},
    })
    .to_string()
}

/// The `Status` of a command that could not be run or watched to its end.
pub(super) fn error_status(message: &str) -> String {
    serde_json::json!({
        "metadata": {},
        "status": "Failure",
        "message": format!("Internal error occurred: {message}"),
        "reason": "InternalError",
        "details": {"causes": [{"message": message}]},
        "code": 500,
    })
    .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn binary(bytes: &[u8]) -> Message {
        Message::Binary(Bytes::copy_from_slice(bytes))
    }

    #[test]
    fn messages_are_read() {
        let cases = [
            (Coding::Binary, binary(b"\0ls\n"), Some(Input::Stdin("ls\n".into()))),
            (Coding::Binary, binary(&[255, 0]), Some(Input::StdinClosed)),
            (
                Coding::Binary,
                binary(b"\x04{\"Width\":80,\"Height\":24}"),
                Some(Input::Resize(TerminalSize { width: 80, height: 24 })),
            ),
            (Coding::Binary, binary(b"\x04{"), None),
            (Coding::Binary, binary(b""), None),
            (Coding::Binary, binary(&[255]), None),
            (Coding::Binary, Message::Text("0bHM=".into()), None),
            (Coding::Base64, Message::Text("0bHM=".into()), Some(Input::Stdin("ls".into()))),
            (Coding::Base64, Message::Text("0?".into()), None),
            (Coding::Base64, Message::Text("é".into()), None),
            (Coding::Binary, Message::Close(None), Some(Input::Gone)),
        ];
        for (coding, message, expected) in cases {
            assert_eq!(coding.read(message.clone()), expected, "{message:?}");
        }
    }

    #[test]
    fn output_is_written() {
        assert_eq!(Coding::Binary.output(StdStream::Stderr, b"x"), binary(b"\x02x"));
        assert_eq!(Coding::Base64.output(StdStream::Stdout, b"ls"), Message::Text("1bHM=".into()));
        assert!(exit_status(0).contains(r#""status":"Success""#));
        assert!(exit_status(3).contains(r#"{"message":"3","reason":"ExitCode"}"#));
    }
}
