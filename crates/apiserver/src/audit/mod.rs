//! What is recorded of requests: who did what to which object, and what came of it.
//!
//! A [`Policy`] says for each request how much is recorded; a [`Sink`] takes the events. A request carries its [`Record`]
//! from the filter on; without an audit there is none, and nothing is done for it. Bodies are kept as the bytes that
//! came and went, and looked into only when an event is written that has them.

mod event;
mod log;
mod policy;
mod record;

use std::sync::Arc;

use component::auth::Attributes;

pub use event::{Event, ResponseStatus};
pub use log::Log;
pub use policy::{PolicyError, PolicyFile};
pub use record::Record;

/// How much is recorded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub enum Level {
    /// Nothing.
    #[default]
    None,
    /// Who, what, when.
    Metadata,
    /// The object that was sent, too.
    Request,
    /// The answer, too.
    RequestResponse,
}

/// When an event is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Stage {
    /// Before anything is done.
    RequestReceived,
    /// When an answer begins that may last long.
    ResponseStarted,
    /// When everything has been answered.
    ResponseComplete,
    /// When a bug has ended the request.
    Panic,
}

/// What a policy says about a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extent {
    /// How much is recorded.
    pub level: Level,
    /// When not.
    pub omit_stages: Vec<Stage>,
    /// Whether managed fields are taken out of the objects.
    pub omit_managed_fields: bool,
}

/// Says how much of a request is recorded.
pub trait Policy: Send + Sync + 'static {
    /// Decides about one request.
    fn extent(&self, attributes: &Attributes<'_>) -> Extent;
}

/// Takes events.
pub trait Sink: Send + Sync + 'static {
    /// Takes one event. Requests wait for it, so it must not take long.
    fn write(&self, event: &Event<'_>);
}

/// An audit.
#[derive(Clone)]
pub struct Audit {
    /// What is recorded.
    pub policy: Arc<dyn Policy>,
    /// Where it goes.
    pub sink: Arc<dyn Sink>,
}
