//! What is recorded of requests: who did what to which object, and what came of it.
//!
//! A [`Policy`] says for each request how much is recorded; each [`Output`] takes the events. A request carries its
//! [`Record`] from the filter on; without an audit there is none, and nothing is done for it. Bodies are kept as the bytes
//! that came and went, and looked into only when an event is written that has them.

mod event;
mod log;
mod metrics;
mod output;
mod policy;
mod queue;
mod record;
mod rotation;
mod webhook;

use std::sync::Arc;

use component::{Daemon, auth::Attributes};
use prometheus_client::registry::Registry;

pub use event::{Event, ResponseStatus};
pub use log::{Format, Log};
pub use metrics::Metrics;
pub use output::{Batching, Mode, Output, Settings as OutputSettings, Target, Throttle, Truncation};
pub use policy::{PolicyError, PolicyFile};
pub use record::{Receipt, Record};
pub use rotation::Retention;
pub use webhook::Webhook;

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

/// An audit as it is configured.
pub struct Settings {
    /// What is recorded.
    pub policy: Arc<dyn Policy>,
    /// Where it goes.
    pub outputs: Vec<OutputSettings>,
}

/// An audit.
#[derive(Clone)]
pub struct Audit(Arc<Parts>);

struct Parts {
    policy: Arc<dyn Policy>,
    outputs: Vec<Output>,
    metrics: Metrics,
}

impl Audit {
    /// Starts what writes events that nobody waits for. It ends, with everything written, after the audit is dropped.
    #[must_use]
    pub fn start(settings: Settings, registry: &mut Registry, daemon: &Daemon) -> Self {
        let metrics = Metrics::default();
        metrics.register(registry);
        let outputs = settings.outputs.into_iter().map(|output| Output::start(output, &metrics, daemon)).collect();
        Self(Arc::new(Parts { policy: settings.policy, outputs, metrics }))
    }

    /// A request is refused because nothing can be recorded of it.
    pub fn reject(&self) {
        self.0.metrics.rejected.inc();
    }
}
