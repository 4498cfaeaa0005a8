//! Why a patch cannot be applied.

use api_types::status::StatusError;
use serde_json::Value;
use thiserror::Error;

/// Why a patch cannot be applied.
#[derive(Debug, Error)]
pub enum PatchError {
    /// The body is not what its content type says.
    #[error("error decoding patch: {0}")]
    Decode(#[source] serde_json::Error),
    /// A merge patch must be an object, or it would replace the object by something else.
    #[error("error decoding patch: a merge patch must be a JSON object")]
    NotAnObject,
    /// More operations than a JSON patch may have.
    #[error("The allowed maximum operations in a JSON patch is {limit}, got {count}")]
    TooManyOperations {
        /// How many may be.
        limit: usize,
        /// How many are.
        count: usize,
    },
    /// Copies of a JSON patch would make the object too large.
    #[error("Unable to complete the copy, the accumulated size increase of copy is more than {limit} bytes")]
    TooLarge {
        /// How much all copies together may add.
        limit: usize,
    },
    /// A list of a strategic merge patch, or of the object, is longer than can be merged.
    #[error("the lists to be merged are too long: more than {limit} pairs of elements would have to be compared")]
    TooMany {
        /// How many pairs of elements may have to be compared.
        limit: usize,
    },
    /// A JSON patch would make the object deeper than objects can be.
    #[error("the patched object is nested deeper than {limit} levels")]
    TooDeep {
        /// How deep it may be.
        limit: usize,
    },
    /// An operation of a JSON patch does not fit the object.
    #[error("{0}")]
    Operation(#[source] json_patch::PatchError),
    /// `$patch` with another value.
    #[error("unknown patch type: {directive} in map: {map}")]
    UnknownDirective {
        /// What it says.
        directive: Value,
        /// Where it says so.
        map: Value,
    },
    /// A list element that is to be merged lacks the list's merge key.
    #[error("map: {map} does not contain declared merge key: {key}")]
    NoMergeKey {
        /// The element.
        map: Value,
        /// The key.
        key: &'static str,
    },
    /// `$patch: merge` in a list element.
    #[error("merging lists cannot yet be specified in the patch")]
    MergeDirectiveInList,
    /// A directive of the wrong type.
    #[error("invalid patch format of {0}")]
    Format(&'static str),
    /// The patch changes keys that its `$retainKeys` does not list.
    #[error("patch content doesn't match retainKeys list")]
    RetainKeysMismatch,
    /// The list in the patch is ordered otherwise than `$setElementOrder` says.
    #[error("The order in patch list:\n{patch}\n doesn't match $setElementOrder list:\n{order}\n")]
    OrderMismatch {
        /// The list's keys in the patch.
        patch: Value,
        /// What was announced.
        order: Value,
    },
}

impl From<&PatchError> for StatusError {
    /// 400 for what is no patch, 413 for one with too many operations, 422 for one that does not fit the object,
    /// as upstream answers.
    fn from(error: &PatchError) -> Self {
        match error {
            PatchError::TooManyOperations { .. } => Self::request_entity_too_large(&error.to_string()),
            PatchError::TooLarge { .. }
            | PatchError::TooMany { .. }
            | PatchError::TooDeep { .. }
            | PatchError::Operation(_)
            | PatchError::NoMergeKey { .. } => Self::patch_rejected(),
            _ => Self::bad_request(error.to_string()),
        }
    }
}
