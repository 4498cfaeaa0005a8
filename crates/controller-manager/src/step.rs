//! Why a step of a reconcile failed.

/// A step failed: which, and why.
#[derive(Debug, thiserror::Error)]
#[error("{operation}")]
pub struct Error {
    operation: &'static str,
    source: kube::Error,
}

/// Names the step that an error comes from; for `map_err`.
pub fn failed(operation: &'static str) -> impl FnOnce(kube::Error) -> Error {
    move |source| Error { operation, source }
}

impl Error {
    /// What the server said, as events carry it.
    pub fn told(&self) -> String {
        crate::write::message(&self.source)
    }
}
