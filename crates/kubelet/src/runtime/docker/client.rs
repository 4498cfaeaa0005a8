//! The connection to Docker, and Docker's errors in the kubelet's words.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bollard::errors::Error;
use bollard::{API_DEFAULT_VERSION, Docker};
use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpStream, UnixStream};
use tokio_util::task::AbortOnDropHandle;

use super::{Result, RuntimeError};
use crate::runtime::error::Source;

/// Where Docker listens unless told otherwise.
pub const DEFAULT_ENDPOINT: &str = "unix:///var/run/docker.sock";

/// A handle to Docker that can be had before Docker runs.
#[derive(Clone)]
pub(super) struct Client {
    endpoint: String,
    timeout: Duration,
    /// Made on first use: bollard wants to see the socket when it is made, and connects anew for every request.
    docker: Arc<OnceLock<Docker>>,
}

impl Client {
    pub(super) fn new(endpoint: &str, timeout: Duration) -> Self {
        Self { endpoint: endpoint.to_owned(), timeout, docker: Arc::default() }
    }

    /// The API, with the ordinary time-out.
    pub(super) fn docker(&self) -> Result<Docker> {
        if let Some(docker) = self.docker.get() {
            return Ok(docker.clone());
        }
        let seconds = self.timeout.as_secs().max(1);
        let made = if self.endpoint.starts_with("unix://") || self.endpoint.starts_with('/') {
            Docker::connect_with_unix(&self.endpoint, seconds, API_DEFAULT_VERSION)
        } else {
            Docker::connect_with_http(&self.endpoint, seconds, API_DEFAULT_VERSION)
        };
        let docker = made.map_err(|source| RuntimeError::Unreachable(source.into()))?;
        Ok(self.docker.get_or_init(|| docker).clone())
    }

    /// The API for a request that may take `extra` longer than an ordinary one before Docker answers.
    pub(super) fn docker_slow(&self, extra: Duration) -> Result<Docker> {
        let total = self.timeout.saturating_add(extra);
        Ok(self.docker()?.with_timeout(total))
    }

    /// GET of an answer that is read by hand: what the library makes of logs is neither bounded nor what Docker said.
    pub(super) async fn get(&self, path: &str, what: &str) -> Result<Answer> {
        let unreachable = |error: std::io::Error| RuntimeError::Unreachable(error.into());
        let exchanged = match self.endpoint.split_once("://") {
            Some(("tcp" | "http", address)) => {
                let stream = TcpStream::connect(address).await.map_err(unreachable)?;
                tokio::time::timeout(self.timeout, exchange(TokioIo::new(stream), path)).await
            }
            _ => {
                let path_of_socket = self.endpoint.strip_prefix("unix://").unwrap_or(&self.endpoint);
                let stream = UnixStream::connect(path_of_socket).await.map_err(unreachable)?;
                tokio::time::timeout(self.timeout, exchange(TokioIo::new(stream), path)).await
            }
        };
        let exchanged = exchanged.unwrap_or_else(|_| Err("it does not answer".into()));
        let (answer, code) = exchanged.map_err(RuntimeError::Unreachable)?;
        match code.as_u16() {
            200 => Ok(answer),
            404 => Err(RuntimeError::NotFound(what.to_owned())),
            _ => Err(RuntimeError::Refused { operation: "read log", message: answer.message().await }),
        }
    }
}

/// An answer, and the connection on which it comes.
pub(super) struct Answer {
    body: Incoming,
    _connection: AbortOnDropHandle<()>,
}

/// The longest message that is read of an error, in bytes.
const MESSAGE_MAX: usize = 64 << 10;

#[derive(serde::Deserialize)]
struct Failure {
    message: String,
}

impl Answer {
    /// Its body.
    pub(super) fn body(&mut self) -> &mut Incoming {
        &mut self.body
    }

    async fn message(self) -> String {
        let body = Limited::new(self.body, MESSAGE_MAX).collect().await;
        let body = body.map(|body| body.to_bytes()).unwrap_or_default();
        let failure: Option<Failure> = serde_json::from_slice(&body).ok();
        failure.map_or_else(|| String::from_utf8_lossy(&body).into_owned(), |failure| failure.message)
    }
}

async fn exchange<I>(stream: TokioIo<I>, path: &str) -> Result<(Answer, StatusCode), Source>
where
    TokioIo<I>: hyper::rt::Read + hyper::rt::Write + Send + Unpin + 'static,
{
    let (mut sender, connection) = hyper::client::conn::http1::handshake(stream).await?;
    let connection = AbortOnDropHandle::new(tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!("connection to Docker: {error}");
        }
    }));
    let request = Request::get(path).header(header::HOST, "docker").body(Empty::<Bytes>::new())?;
    let response = sender.send_request(request).await?;
    let code = response.status();
    Ok((Answer { body: response.into_body(), _connection: connection }, code))
}

/// The status code of Docker's answer, if the error is one.
pub(super) fn status_code(error: &Error) -> Option<u16> {
    match error {
        Error::DockerResponseServerError { status_code, .. } => Some(*status_code),
        _ => None,
    }
}

/// Translates an error about the container or sandbox `what`.
pub(super) fn translate(operation: &'static str, what: &str, error: Error) -> RuntimeError {
    match error {
        Error::DockerResponseServerError { status_code: 404, .. } => RuntimeError::NotFound(what.to_owned()),
        Error::DockerResponseServerError { message, .. } | Error::DockerStreamError { error: message } => {
            RuntimeError::Refused { operation, message }
        }
        error if is_connection(&error) => RuntimeError::Unreachable(error.into()),
        error => RuntimeError::Broken { operation, source: error.into() },
    }
}

fn is_connection(error: &Error) -> bool {
    matches!(
        error,
        Error::IOError { .. }
            | Error::HyperResponseError { .. }
            | Error::HyperLegacyError { .. }
            | Error::RequestTimeoutError
            | Error::SocketNotFoundError(_)
    )
}

/// An answer that lacks `what`, which Docker always sends.
pub(super) fn lacking(operation: &'static str, what: &str) -> RuntimeError {
    RuntimeError::Broken { operation, source: format!("the answer has no {what}").into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_absent_docker_is_unreachable_and_not_an_accident() {
        for endpoint in ["unix:///nonexistent/docker.sock", "/nonexistent/docker.sock"] {
            let error = Client::new(endpoint, Duration::from_secs(1)).docker().unwrap_err();
            assert!(matches!(error, RuntimeError::Unreachable(_)), "{error}");
        }
    }

    #[test]
    fn errors_keep_dockers_words() {
        let answer =
            |status_code, message: &str| Error::DockerResponseServerError { status_code, message: message.into() };
        let missing = translate("start container", "abc", answer(404, "No such container: abc"));
        assert_eq!(missing.to_string(), "no such container: abc");
        let refused = translate("start container", "abc", answer(500, "no space left"));
        assert_eq!(refused.to_string(), "start container: no space left");
        let gone = translate("start container", "abc", Error::RequestTimeoutError);
        assert!(matches!(gone, RuntimeError::Unreachable(_)));
    }
}
