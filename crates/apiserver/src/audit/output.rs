//! Where events go: one output is a target, how large an event may be for it, and whether requests wait for it.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use component::{CancellationToken, Daemon};
use futures::future::BoxFuture;

use super::{Event, Level, Log, Metrics, Webhook, queue::Queue};

/// An output as it is configured.
pub struct Settings {
    /// What takes the events.
    pub target: Target,
    /// Who waits for that.
    pub mode: Mode,
    /// How large events and batches may be; `None` when that does not matter.
    pub truncation: Option<Truncation>,
}

/// What takes events.
#[derive(Clone)]
pub enum Target {
    /// A file.
    Log(Arc<Log>),
    /// Another server.
    Webhook(Arc<Webhook>),
}

/// Who waits until an event is written.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Mode {
    /// Nobody: events are queued and written many at a time.
    Batch(Batching),
    /// The request; what cannot be written is lost.
    Blocking,
    /// The request, and it is refused when its first event cannot be written.
    BlockingStrict,
}

/// How events are queued.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Batching {
    /// How many events wait at most; more are lost.
    pub buffer: usize,
    /// How many are written at a time.
    pub max_size: usize,
    /// How long an event waits for others.
    pub max_wait: Duration,
    /// How many batches are being written at the same time.
    pub parallel: usize,
    /// How often batches are written; `None` for as often as there are some.
    pub throttle: Option<Throttle>,
}

impl Batching {
    /// For events that requests wait for: nothing waits for others, but lines that come together are written together.
    fn waited_for(target: &Target) -> Self {
        let (max_size, parallel) = match target {
            Target::Log(_) => (256, 1),
            Target::Webhook(_) => (1, 1000),
        };
        Self { buffer: 1000, max_size, max_wait: Duration::ZERO, parallel, throttle: None }
    }
}

/// A rate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Throttle {
    /// So many a second on average.
    pub qps: f64,
    /// So many at once.
    pub burst: f64,
}

/// Limits of size, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Truncation {
    /// Of an event: the objects are taken out of a larger one.
    pub event: usize,
    /// Of all events that are written at a time.
    pub batch: usize,
}

/// Whether whoever writes an event can wait for its being written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    /// It can.
    Waits,
    /// It is being dropped.
    Leaves,
}

/// What became of an event.
pub enum Outcome {
    /// It is written, or will be, or does not matter enough.
    Kept,
    /// It is lost, and that matters.
    Lost,
    /// It is being written; true when the outcome is [`Outcome::Kept`].
    Pending(BoxFuture<'static, bool>),
}

impl Target {
    /// Its name in metrics, as upstream's.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Log(_) => "log",
            Self::Webhook(_) => "webhook",
        }
    }

    fn encode(&self, event: &Event<'_>) -> Result<Bytes, String> {
        match self {
            Self::Log(log) => log.encode(event),
            Self::Webhook(_) => Webhook::encode(event),
        }
    }

    /// Writes events, which were encoded for this target.
    pub(super) async fn deliver(self, batch: Vec<Bytes>, shutdown: CancellationToken) -> Result<(), String> {
        match self {
            // A disk may take its time, and others have work to do.
            Self::Log(log) => match tokio::task::spawn_blocking(move || log.write(&batch)).await {
                Ok(written) => written,
                Err(error) => Err(error.to_string()),
            },
            Self::Webhook(webhook) => webhook.send(&batch, &shutdown).await,
        }
    }
}

/// An output at work.
pub struct Output {
    settings: Settings,
    queue: Queue,
    metrics: Metrics,
}

impl Output {
    /// Starts what writes the events that are queued.
    pub(super) fn start(settings: Settings, metrics: &Metrics, daemon: &Daemon) -> Self {
        let batching = match settings.mode {
            Mode::Batch(batching) => batching,
            Mode::Blocking | Mode::BlockingStrict => Batching::waited_for(&settings.target),
        };
        let batch_bytes = settings.truncation.map_or(usize::MAX, |truncation| truncation.batch);
        let queue = Queue::start(settings.target.clone(), batching, batch_bytes, metrics.clone(), daemon);
        Self { settings, queue, metrics: metrics.clone() }
    }

    /// Writes an event.
    pub(super) fn write(&self, event: &Event<'_>, patience: Patience) -> Outcome {
        let name = self.settings.target.name();
        let lost = |why: &str| {
            self.metrics.lost(name, 1, why);
            self.outcome(false)
        };
        let encoded = match self.encode(event) {
            Ok(encoded) => encoded,
            Err(why) => return lost(&why),
        };
        match (self.settings.mode, patience) {
            (Mode::Blocking | Mode::BlockingStrict, Patience::Waits) => {
                let (written, matters) = (self.queue.submit(encoded), self.loss_matters());
                Outcome::Pending(Box::pin(async move { written.await || !matters }))
            }
            (Mode::Batch(_), _) | (_, Patience::Leaves) => {
                if self.queue.push(encoded) {
                    Outcome::Kept
                } else {
                    lost("audit buffer queue blocked")
                }
            }
        }
    }

    fn loss_matters(&self) -> bool {
        self.settings.mode == Mode::BlockingStrict
    }

    fn outcome(&self, kept: bool) -> Outcome {
        if kept || !self.loss_matters() { Outcome::Kept } else { Outcome::Lost }
    }

    fn encode(&self, event: &Event<'_>) -> Result<Bytes, String> {
        let target = &self.settings.target;
        let whole = target.encode(event)?;
        let most = self.settings.truncation.map_or(usize::MAX, |truncation| truncation.event);
        if whole.len() <= most {
            return Ok(whole);
        }
        let objects = event.level >= Level::Request;
        let cut = if objects { target.encode(&event.truncated())? } else { whole };
        if cut.len() <= most { Ok(cut) } else { Err("event is too large even after truncating".into()) }
    }
}
