//! What can go wrong, and how kubectl says it.

use std::process::ExitCode;

use api_types::meta::Status;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The server answered with a failure.
    #[error("{}", server_message(.0))]
    Server(Box<Status>),
    /// The server cannot be reached.
    #[error("The connection to the server {server} was refused - did you specify the right host or port?")]
    Refused {
        /// Host and port.
        server: String,
    },
    /// The server cannot be reached for another reason.
    #[error("Unable to connect to the server: {0}")]
    Unreachable(String),
    /// The command line makes no sense.
    #[error("error: {0}")]
    Usage(String),
    /// The server has nothing of that name.
    #[error("{0}")]
    Unknown(String),
    /// A file cannot be read or understood.
    #[error("error: {0}")]
    File(String),
    /// Several things failed, each already printed.
    #[error("")]
    Printed,
    /// A remote command ended with this code.
    #[error("command terminated with exit code {0}")]
    RemoteExit(u8),
}

/// Result of a command.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// A mistake on the command line.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::Usage(message.into())
    }

    /// Whether the server says that the object does not exist.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Server(status) if status.code == Some(404))
    }

    /// Prints the error and returns the process's exit code.
    #[must_use]
    pub fn report(&self) -> ExitCode {
        match self {
            Self::Printed => ExitCode::FAILURE,
            Self::RemoteExit(code) => {
                eprintln!("{self}");
                ExitCode::from(*code)
            }
            error => {
                eprintln!("{error}");
                ExitCode::FAILURE
            }
        }
    }
}

/// What is wrong with an object: each cause a line.
fn invalid(status: &Status) -> String {
    let details = status.details.clone().unwrap_or_default();
    let (kind, name) = (details.kind.unwrap_or_default(), details.name.unwrap_or_default());
    if kind.is_empty() && name.is_empty() {
        return format!(
            "The request is invalid: {}",
            status.message.as_deref().unwrap_or_default().trim_start_matches(" \"\" is invalid: ")
        );
    }
    let causes: Vec<String> = details
        .causes
        .iter()
        .flatten()
        .map(|cause| {
            format!("{}: {}", cause.field.as_deref().unwrap_or_default(), cause.message.as_deref().unwrap_or_default())
        })
        .collect();
    match causes.as_slice() {
        [] => format!("The {}", status.message.as_deref().unwrap_or_default()),
        [one] => format!("The {kind} {name:?} is invalid: {one}"),
        several => format!("The {kind} {name:?} is invalid: \n* {}", several.join("\n* ")),
    }
}

fn server_message(status: &Status) -> String {
    let message = status.message.as_deref().unwrap_or("unknown");
    match status.reason.as_deref().filter(|reason| !reason.is_empty()) {
        Some("Invalid") => invalid(status),
        Some(reason) => format!("Error from server ({reason}): {message}"),
        None => format!("Error from server: {message}"),
    }
}
