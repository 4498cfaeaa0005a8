//! The connection to Docker, and Docker's errors in the kubelet's words.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bollard::errors::Error;
use bollard::{API_DEFAULT_VERSION, Docker};

use super::{Result, RuntimeError};

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
