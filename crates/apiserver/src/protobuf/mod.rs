//! Objects in protocol buffers, both ways and from text to text: JSON to a message and a message to JSON, by the table
//! of types. No typed form comes in between.

mod envelope;
mod read;
mod tape;
mod wire;
mod write;

pub use envelope::{Encoder, ListHead, MEDIA_TYPE, is_object, to_json};
pub use read::Malformed;
pub use write::Mismatch;

/// Messages within messages within messages; upstream's deepest type has fewer than half as many levels.
const MAX_DEPTH: usize = 64;

/// Why bytes are no object.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProtobufError {
    /// Not Kubernetes' envelope.
    #[error("provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]")]
    NoMagic,
    /// Not the wire format.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// An object of a kind that is no message.
    #[error("no kind {kind:?} is registered for version {api_version:?}")]
    UnknownKind {
        /// Its version.
        api_version: String,
        /// Its kind.
        kind: String,
    },
    /// JSON that is no object of its kind.
    #[error("{0}")]
    Json(#[from] write::Mismatch),
}

#[cfg(test)]
mod tests;
