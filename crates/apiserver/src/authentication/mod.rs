//! Who clients are: what recognises them, besides what all daemons share.

mod plain_port;
mod token_file;

pub use plain_port::PlainPort;
pub use token_file::{TokenFile, TokenFileError};
