//! What can be read off a request: what it is about, who makes it, what answer it wants.

pub mod accept;
pub mod info;
pub mod query;
pub mod user;

pub use accept::{Accept, Encoding, Form};
pub use component::serve::Peer;
pub use info::{RequestInfo, ResourcePath, Verb};
pub use query::Query;
pub use user::User;
