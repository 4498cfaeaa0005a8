//! Why a patch cannot be applied.

use api_types::status::StatusError;
use thiserror::Error;

/// Why a patch cannot be applied.
#[derive(Debug, Error)]
pub enum PatchError {
    /// The body is not what its content type says.
    #[error("error decoding patch: {0}")]
    Decode(String),
    /// The body of a strategic merge patch is no object.
    #[error("{0}")]
    NotAnObject(String),
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
    /// Elements of lists would have to be moved too often.
    #[error("the patch moves more than {limit} elements of lists")]
    TooMuchMoved {
        /// How many may be moved.
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
    Operation(String),
    /// Something is not as a JSON patch demands.
    #[error("{0}")]
    Test(String),
    /// Lists within lists are not merged.
    #[error("lists of lists are not supported")]
    ListOfLists,
    /// A directive of the wrong form.
    #[error("invalid patch format of {0}")]
    Format(&'static str),
    /// A strategic merge patch that does not fit the object, in upstream's words; it knows no reason.
    #[error("{0}")]
    Unfit(String),
}

impl From<&PatchError> for StatusError {
    /// 400 for what is no patch, 413 for one with too many operations, 422 for one that does not fit the object, 500 for a
    /// strategic one, as upstream answers.
    fn from(error: &PatchError) -> Self {
        match error {
            PatchError::TooManyOperations { .. } => Self::request_entity_too_large(&error.to_string()),
            PatchError::TooLarge { .. }
            | PatchError::TooMuchMoved { .. }
            | PatchError::TooMany { .. }
            | PatchError::TooDeep { .. }
            | PatchError::Operation(_)
            | PatchError::Test(_)
            | PatchError::ListOfLists => Self::patch_rejected(),
            PatchError::Unfit(_) => Self::unexplained(error.to_string()),
            PatchError::Decode(_) | PatchError::NotAnObject(_) | PatchError::Format(_) => {
                Self::bad_request(error.to_string())
            }
        }
    }
}
