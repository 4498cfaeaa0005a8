//! What a session needs of whatever carries it.

use async_trait::async_trait;
use axum::http::request::Parts;
use axum::response::Response;
use bytes::Bytes;
use component::Daemon;
use futures::future::BoxFuture;
use futures::stream::BoxStream;

use super::super::reply::Refusal;
use super::status::Form;

/// Where bytes belong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Channel {
    /// To the process.
    Stdin,
    /// From it.
    Stdout,
    /// From it.
    Stderr,
    /// The `Status` with which the session ends.
    Error,
    /// Sizes of the client's terminal, as JSON.
    Resize,
}

/// What a client does. The end of the stream is the end of the connection.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Received {
    /// It sends something.
    Data(Channel, Bytes),
    /// It will send no more there.
    Closed(Channel),
}

/// The connection is lost.
#[derive(Debug, thiserror::Error)]
#[error("the connection is lost: {0}")]
pub(super) struct Lost(#[source] pub(super) Box<dyn std::error::Error + Send + Sync>);

/// The way to the client.
#[async_trait]
pub(super) trait Sender: Send {
    /// Sends a piece of data. A piece without bytes says that the channel is there.
    async fn send(&mut self, channel: Channel, data: Bytes) -> Result<(), Lost>;

    /// Ends the connection in good order.
    async fn close(&mut self) -> Result<(), Lost>;
}

/// Both ways.
pub(super) struct Connection {
    pub(super) sender: Box<dyn Sender>,
    pub(super) received: BoxStream<'static, Received>,
    /// How the client wants to be told of the end.
    pub(super) form: Form,
}

/// Channels of a session.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) tty: bool,
    pub(super) stdin: bool,
    pub(super) stdout: bool,
    pub(super) stderr: bool,
}

/// What a transport has to know.
pub(super) struct Terms {
    /// Channels of which a client has to say that they are there.
    pub(super) wanted: Wanted,
    /// Connections are its tasks.
    pub(super) daemon: Daemon,
}

/// Holds a conversation.
pub(super) type Serve = Box<dyn FnOnce(Connection) -> BoxFuture<'static, ()> + Send>;

/// A request that one transport has recognised.
pub(super) trait Transport: Send {
    /// The answer that turns the request into a connection, on which `serve` is then called.
    fn upgrade(self: Box<Self>, terms: Terms, serve: Serve) -> Response;
}

/// Looks whether a request is for this transport: `None` when it is not.
pub(super) type Accept = fn(&mut Parts) -> Option<Result<Box<dyn Transport>, Refusal>>;

/// The transport that the request asks for.
pub(super) fn negotiate(transports: &[Accept], parts: &mut Parts) -> Result<Box<dyn Transport>, Refusal> {
    let missing = || Refusal::bad_request("unable to upgrade connection: the request asks for no protocol known here");
    transports.iter().find_map(|accept| accept(parts)).ok_or_else(missing)?
}
