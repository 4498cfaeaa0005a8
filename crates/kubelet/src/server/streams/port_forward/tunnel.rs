//! The bytes in the messages of a WebSocket, as if there were no messages.

use std::io;

use axum::extract::ws::{Message, WebSocket};
use bytes::Bytes;
use futures::{SinkExt, StreamExt, future};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::io::{CopyToBytes, SinkWriter, StreamReader};

/// Both ways.
pub(super) fn bytes_of(socket: WebSocket) -> impl AsyncRead + AsyncWrite {
    let (sink, messages) = socket.split();
    let read =
        messages.take_while(|message| future::ready(!matches!(message, Ok(Message::Close(_))))).filter_map(|message| {
            future::ready(match message {
                Ok(Message::Binary(data)) => Some(Ok(data)),
                Ok(_) => None,
                Err(error) => Some(Err(io::Error::other(error))),
            })
        });
    let sink = sink.sink_map_err(io::Error::other);
    let write = sink.with(|data: Bytes| future::ready(Ok::<_, io::Error>(Message::Binary(data))));
    tokio::io::join(StreamReader::new(read), SinkWriter::new(CopyToBytes::new(write)))
}
