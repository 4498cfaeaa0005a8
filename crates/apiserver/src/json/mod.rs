//! JSON as text: finding, comparing and replacing parts of it without decoding it.

mod cursor;
pub mod go_value;
mod indent;
mod raw;
mod syntax;
mod unquote;

pub use cursor::{Cursor, Malformed, Scalar};
pub use indent::Indenter;
pub use raw::{Outline, Raw};
pub use syntax::fault;

/// How deep `serde_json` reads. Nothing deeper is built either: trees are walked and dropped by recursion, and the stack
/// is not endless.
pub const MAX_DEPTH: usize = 127;
