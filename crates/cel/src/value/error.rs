//! Why an expression has no value.

use std::{borrow::Cow, fmt};

const NO_OVERLOAD: &str = "no such overload";

/// Why an expression has no value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    message: Cow<'static, str>,
    cancelled: bool,
}

impl Error {
    /// Of one operation: `false && error` is still `false`.
    #[must_use]
    pub fn new(message: impl Into<Cow<'static, str>>) -> Self {
        Self { message: message.into(), cancelled: false }
    }

    /// The evaluation ends, because it would cost more than it may.
    #[must_use]
    pub fn cancelled() -> Self {
        Self { message: Cow::Borrowed("operation cancelled: actual cost limit exceeded"), cancelled: true }
    }

    /// What is called does not take such arguments.
    #[must_use]
    pub fn no_overload() -> Self {
        Self::new(NO_OVERLOAD)
    }

    pub(crate) fn is_no_overload(&self) -> bool {
        self.message == NO_OVERLOAD
    }

    pub(crate) fn no_key(key: impl fmt::Display) -> Self {
        Self::new(format!("no such key: {key}"))
    }

    /// Whether nothing further is to be evaluated.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.cancelled
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}
