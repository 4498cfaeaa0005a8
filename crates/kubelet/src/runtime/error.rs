//! What can go wrong below the runtime seam.

use std::time::Duration;

/// Source of an error, whatever the implementation.
pub type Source = Box<dyn std::error::Error + Send + Sync>;

/// The result of every runtime call.
pub type Result<T, E = RuntimeError> = std::result::Result<T, E>;

/// Why a runtime call failed.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    /// The runtime does not answer; it may come back.
    #[error("container runtime is not reachable: {0}")]
    Unreachable(#[source] Source),
    /// There is no such container or sandbox.
    #[error("no such container: {0}")]
    NotFound(String),
    /// The image is not on this host.
    #[error("image {0:?} is not present")]
    ImageMissing(String),
    /// A registry refused, or is not reachable.
    #[error("failed to pull image {image:?}: {message}")]
    Pull {
        /// The image asked for.
        image: String,
        /// The registry's or the runtime's words.
        message: String,
    },
    /// The container is not running, so nothing can be executed in it.
    #[error("container {0} is not running")]
    NotRunning(String),
    /// A command did not end in time and was killed.
    #[error("command timed out after {0:?}")]
    Timeout(Duration),
    /// The runtime refused the request.
    #[error("{operation}: {message}")]
    Refused {
        /// What was tried.
        operation: &'static str,
        /// The runtime's words.
        message: String,
    },
    /// The runtime answered something that makes no sense.
    #[error("{operation}: {source}")]
    Broken {
        /// What was tried.
        operation: &'static str,
        /// What is wrong with the answer.
        #[source]
        source: Source,
    },
}
