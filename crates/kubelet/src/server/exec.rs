//! `/exec/…` and `/attach/…`: a WebSocket whose channels are a process's streams.

use std::pin::Pin;
use std::sync::Arc;

use axum::extract::rejection::QueryRejection;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket, WebSocketUpgrade, close_code};
use axum::extract::{Path, Query, State};
use axum::response::Response;
use futures::stream::BoxStream;
use futures::{Sink, SinkExt, Stream, StreamExt};
use tokio::io::{AsyncWrite, AsyncWriteExt};

use super::ServerState;
use super::channels::{Coding, Input, PROTOCOLS, error_status, exit_status};
use super::logs::is_true;
use super::reply::Refusal;
use super::select::has_container;
use crate::runtime::{
    AttachRequest, ContainerId, ExecRequest, OutputChunk, Result, Session, SessionControl, StdStream,
};

type Server = State<Arc<ServerState>>;
type Place = Path<(String, String, String)>;
type PlaceWithUid = Path<(String, String, String, String)>;
type Parameters = Result<Query<Vec<(String, String)>>, QueryRejection>;
type Upgrade = Result<WebSocketUpgrade, WebSocketUpgradeRejection>;

pub(super) async fn exec(
    server: Server,
    place: Place,
    query: Parameters,
    upgrade: Upgrade,
) -> Result<Response, Refusal> {
    let request = ExecRequest::from(Streams::parse(query)?);
    if request.command.is_empty() {
        return Err(Refusal::bad_request("you must specify a command"));
    }
    let (id, upgrade) = (target(&server, &place).await?, websocket(upgrade)?);
    let State(server) = server;
    Ok(respond(upgrade, async move { server.runtime.exec(&id, &request).await }))
}

pub(super) async fn attach(
    server: Server,
    place: Place,
    query: Parameters,
    upgrade: Upgrade,
) -> Result<Response, Refusal> {
    let Streams { stdin, stdout, stderr, .. } = Streams::parse(query)?;
    let (id, upgrade) = (target(&server, &place).await?, websocket(upgrade)?);
    let State(server) = server;
    Ok(respond(upgrade, async move {
        // Whether there is a terminal is the container's affair, not the request's.
        let tty = server.runtime.container_status(&id).await?.tty;
        server.runtime.attach(&id, &AttachRequest { tty, stdin, stdout, stderr }).await
    }))
}

pub(super) async fn exec_with_uid(
    server: Server,
    Path((namespace, pod, _, container)): PlaceWithUid,
    query: Parameters,
    upgrade: Upgrade,
) -> Result<Response, Refusal> {
    exec(server, Path((namespace, pod, container)), query, upgrade).await
}

pub(super) async fn attach_with_uid(
    server: Server,
    Path((namespace, pod, _, container)): PlaceWithUid,
    query: Parameters,
    upgrade: Upgrade,
) -> Result<Response, Refusal> {
    attach(server, Path((namespace, pod, container)), query, upgrade).await
}

/// What a request asks for.
#[derive(Debug, Default, PartialEq, Eq)]
struct Streams {
    command: Vec<String>,
    tty: bool,
    stdin: bool,
    stdout: bool,
    stderr: bool,
}

impl Streams {
    /// The API server spells the streams `input`, `output`, `error`; clients of the pod subresource `stdin` and so on.
    fn parse(query: Parameters) -> Result<Self, Refusal> {
        let Query(pairs) = query.map_err(|error| Refusal::bad_request(error.body_text()))?;
        let mut streams = Self::default();
        for (key, value) in pairs {
            let set = is_true(Some(value.as_str()));
            match key.as_str() {
                "command" => streams.command.push(value),
                "tty" => streams.tty = set,
                "stdin" | "input" => streams.stdin = set,
                "stdout" | "output" => streams.stdout = set,
                "stderr" | "error" => streams.stderr = set,
                _ => {}
            }
        }
        // A terminal has one output.
        streams.stderr &= !streams.tty;
        if streams.stdin || streams.stdout || streams.stderr {
            return Ok(streams);
        }
        Err(Refusal::bad_request("you must specify at least 1 of stdin, stdout, stderr"))
    }
}

impl From<Streams> for ExecRequest {
    fn from(Streams { command, tty, stdin, stdout, stderr }: Streams) -> Self {
        Self { command, tty, stdin, stdout, stderr }
    }
}

/// The running container that the path names.
async fn target(State(server): &Server, Path((namespace, pod, container)): &Place) -> Result<ContainerId, Refusal> {
    let entry = server.pods.pod(namespace, pod).ok_or_else(|| Refusal::not_found("pod does not exist"))?;
    let missing = || Refusal::not_found(format!("unable to upgrade connection: container not found ({container:?})"));
    if !has_container(&entry.pod, container) {
        return Err(missing());
    }
    let observed = server.runtime.pod(&entry.runtime_uid).await;
    let observed = observed.map_err(|error| Refusal::internal(error.to_string()))?;
    let running = observed.latest(container).filter(|status| status.state.is_running());
    running.map(|status| status.id.clone()).ok_or_else(missing)
}

fn websocket(upgrade: Upgrade) -> Result<WebSocketUpgrade, Refusal> {
    let upgrade = upgrade.map_err(|error| Refusal {
        code: error.status(),
        text: format!("unable to upgrade connection: a WebSocket is needed: {}", error.body_text()),
    })?;
    let upgrade = upgrade.protocols(PROTOCOLS);
    if upgrade.selected_protocol().is_none() {
        let known = PROTOCOLS.join(", ");
        return Err(Refusal::bad_request(format!(
            "unable to upgrade connection: the subprotocol must be one of {known}"
        )));
    }
    Ok(upgrade)
}

fn respond(upgrade: WebSocketUpgrade, open: impl Future<Output = Result<Session>> + Send + 'static) -> Response {
    let protocol = upgrade.selected_protocol().and_then(|name| name.to_str().ok()).unwrap_or_default();
    let coding = Coding::of_protocol(protocol);
    upgrade.on_upgrade(move |socket| async move {
        if let Err(error) = converse(socket, coding, open).await {
            tracing::debug!("exec: {error}");
        }
    })
}

/// The whole conversation: it ends when the process has ended or the client is gone.
async fn converse(
    socket: WebSocket,
    coding: Coding,
    open: impl Future<Output = Result<Session>>,
) -> Result<(), axum::Error> {
    let (mut sink, messages) = socket.split();
    let status = match open.await {
        Ok(session) => {
            // Tells the client, as upstream does, that the streams are there.
            sink.send(coding.output(StdStream::Stdout, &[])).await?;
            let Session { stdin, output, control } = session;
            tokio::select! {
                ended = write_output(&mut sink, coding, output, control.as_ref()) => ended?,
                () = read_input(messages, coding, stdin, control.as_ref()) => return Ok(()),
            }
        }
        Err(error) => error_status(&format!("error executing command in container: {error}")),
    };
    sink.send(coding.status(&status)).await?;
    // Without a code, kubectl takes the end for a broken connection.
    sink.send(Message::Close(Some(CloseFrame { code: close_code::NORMAL, reason: Utf8Bytes::default() }))).await
}

/// Sends the process's output, and then gives the `Status` it ended with.
async fn write_output(
    sink: &mut (impl Sink<Message, Error = axum::Error> + Unpin),
    coding: Coding,
    mut output: BoxStream<'static, Result<OutputChunk>>,
    control: &dyn SessionControl,
) -> Result<String, axum::Error> {
    while let Some(chunk) = output.next().await {
        match chunk {
            Ok(chunk) => sink.send(coding.output(chunk.stream, &chunk.data)).await?,
            Err(error) => return Ok(error_status(&error.to_string())),
        }
    }
    Ok(match control.exit_code().await {
        Ok(code) => exit_status(code),
        Err(error) => error_status(&error.to_string()),
    })
}

/// Feeds the process until the client is gone.
async fn read_input(
    mut messages: impl Stream<Item = Result<Message, axum::Error>> + Unpin,
    coding: Coding,
    mut stdin: Option<Pin<Box<dyn AsyncWrite + Send>>>,
    control: &dyn SessionControl,
) {
    while let Some(Ok(message)) = messages.next().await {
        match coding.read(message) {
            Some(Input::Stdin(data)) => {
                if let Some(open) = &mut stdin
                    && let Err(error) = write(open, &data).await
                {
                    tracing::debug!("the process takes no more input: {error}");
                    stdin = None;
                }
            }
            Some(Input::StdinClosed) => {
                if let Some(mut open) = stdin.take() {
                    // A process that has ended already needs no end of file.
                    let _ = open.shutdown().await;
                }
            }
            Some(Input::Resize(size)) => {
                if let Err(error) = control.resize(size).await {
                    tracing::debug!("{error}");
                }
            }
            Some(Input::Gone) => return,
            None => {}
        }
    }
}

async fn write(stdin: &mut Pin<Box<dyn AsyncWrite + Send>>, data: &[u8]) -> std::io::Result<()> {
    stdin.write_all(data).await?;
    stdin.flush().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_spellings_of_streams_are_understood() {
        let parse = |query: &str| {
            let uri: axum::http::Uri = format!("http://node/?{query}").parse().unwrap();
            Streams::parse(Query::try_from_uri(&uri)).map_err(|refusal| refusal.text)
        };
        let words = |list: &[&str]| list.iter().map(|word| (*word).to_owned()).collect();
        let expected =
            Streams { command: words(&["sh", "-c", "a b"]), stdin: true, stdout: true, ..Streams::default() };
        assert_eq!(parse("command=sh&command=-c&command=a+b&stdin=true&stdout=true").unwrap(), expected);
        assert_eq!(parse("command=sh&command=-c&command=a%20b&input=1&output=1").unwrap(), expected);
        let tty = parse("command=sh&stdin=1&stdout=1&stderr=1&tty=1").unwrap();
        assert!(tty.tty && !tty.stderr);
        assert_eq!(parse("command=sh").unwrap_err(), "you must specify at least 1 of stdin, stdout, stderr");
    }
}
