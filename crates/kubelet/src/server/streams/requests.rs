//! What a request for a session wants, and of which container.

use std::sync::Arc;

use axum::extract::rejection::QueryRejection;
use axum::extract::{FromRequestParts, Path, Query, State};
use axum::http::request::Parts;
use axum::response::Response;
use futures::FutureExt;

use super::super::ServerState;
use super::super::logs::is_true;
use super::super::reply::Refusal;
use super::super::select::has_container;
use super::TRANSPORTS;
use super::session::converse;
use super::transport::{Terms, Transport, Wanted, negotiate};
use crate::runtime::{AttachRequest, ContainerId, ExecRequest, Result, Session};

type Server = State<Arc<ServerState>>;
type Place = Path<(String, String, String)>;
type PlaceWithUid = Path<(String, String, String, String)>;
type Parameters = Result<Query<Vec<(String, String)>>, QueryRejection>;

/// What is left of a request for a transport to look at.
pub(in super::super) struct Upgrade(pub(super) Parts);

impl<S: Sync> FromRequestParts<S> for Upgrade {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        let mut own = axum::http::Request::new(()).into_parts().0;
        own.method = parts.method.clone();
        own.version = parts.version;
        own.headers = parts.headers.clone();
        // The connection itself is among them, and can be taken only once.
        own.extensions = std::mem::take(&mut parts.extensions);
        Ok(Self(own))
    }
}

pub(in super::super) async fn exec(
    server: Server,
    place: Place,
    query: Parameters,
    upgrade: Upgrade,
) -> Result<Response, Refusal> {
    let request = ExecRequest::from(Streams::parse(query)?);
    if request.command.is_empty() {
        return Err(Refusal::bad_request("you must specify a command"));
    }
    let (id, transport) = (target(&server, &place).await?, upgrade.transport()?);
    let State(server) = server;
    let ExecRequest { tty, stdin, stdout, stderr, .. } = request;
    let terms = Terms { wanted: Wanted { tty, stdin, stdout, stderr }, daemon: server.daemon.clone() };
    Ok(respond(transport, terms, async move { server.runtime.exec(&id, &request).await }))
}

pub(in super::super) async fn attach(
    server: Server,
    place: Place,
    query: Parameters,
    upgrade: Upgrade,
) -> Result<Response, Refusal> {
    let Streams { tty, stdin, stdout, stderr, .. } = Streams::parse(query)?;
    let (id, transport) = (target(&server, &place).await?, upgrade.transport()?);
    let State(server) = server;
    let terms = Terms { wanted: Wanted { tty, stdin, stdout, stderr }, daemon: server.daemon.clone() };
    Ok(respond(transport, terms, async move {
        // Whether there is a terminal is the container's affair, not the request's.
        let tty = server.runtime.container_status(&id).await?.tty;
        server.runtime.attach(&id, &AttachRequest { tty, stdin, stdout, stderr }).await
    }))
}

pub(in super::super) async fn exec_with_uid(
    server: Server,
    Path((namespace, pod, _, container)): PlaceWithUid,
    query: Parameters,
    upgrade: Upgrade,
) -> Result<Response, Refusal> {
    exec(server, Path((namespace, pod, container)), query, upgrade).await
}

pub(in super::super) async fn attach_with_uid(
    server: Server,
    Path((namespace, pod, _, container)): PlaceWithUid,
    query: Parameters,
    upgrade: Upgrade,
) -> Result<Response, Refusal> {
    attach(server, Path((namespace, pod, container)), query, upgrade).await
}

impl Upgrade {
    fn transport(mut self) -> Result<Box<dyn Transport>, Refusal> {
        negotiate(&TRANSPORTS, &mut self.0)
    }
}

fn respond(
    transport: Box<dyn Transport>,
    terms: Terms,
    open: impl Future<Output = Result<Session>> + Send + 'static,
) -> Response {
    transport.upgrade(
        terms,
        Box::new(move |connection| {
            async move {
                if let Err(error) = converse(connection, open).await {
                    tracing::debug!("a session with a container: {error}");
                }
            }
            .boxed()
        }),
    )
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
    let missing = || Refusal::internal(format!("container not found ({container:?})"));
    if !has_container(&entry.pod, container) {
        return Err(missing());
    }
    let observed = server.runtime.pod(&entry.runtime_uid).await;
    let observed = observed.map_err(|error| Refusal::internal(error.to_string()))?;
    let running = observed.latest(container).filter(|status| status.state.is_running());
    running.map(|status| status.id.clone()).ok_or_else(missing)
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
