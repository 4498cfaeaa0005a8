//! What can be read off a request: what it is about, who makes it, what answer it wants.

pub mod accept;
pub mod info;
pub mod query;

pub use accept::{Accept, Encoding, Form, Layout, MetaVersion};
pub use component::{
    auth::{User, user},
    serve::Peer,
};
pub use info::{LEGACY_PROXY, RequestInfo, ResourcePath, Verb};
pub use query::Query;
