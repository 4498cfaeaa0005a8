//! What goes out over connections: the body type of responses, and responses of the usual kinds.

pub mod body;
pub mod respond;

pub use body::{Body, BodyError};

/// A response.
pub type Response = http::Response<Body>;
