//! JSON as text: finding, comparing and replacing parts of it without decoding it.

mod cursor;
mod raw;

pub use cursor::{Cursor, Malformed, Scalar};
pub use raw::Raw;
