//! Requests: how many, how long they take, how long the answers are.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU16, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use http::StatusCode;
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
    },
    registry::Registry,
};

use super::{
    DURATIONS,
    labels::{Target, dry_run, target},
};
use crate::catalogue::Request;

/// Which part of a server.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Component {
    component: &'static str,
}

/// This part.
const HERE: Component = Component { component: "apiserver" };

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DryRun {
    dry_run: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Code {
    code: u16,
}

/// What a request is about.
type Of = (Component, Target);
/// The same, and whether it is only tried.
type Tried = (DryRun, Of);

/// Requests that have a place, by what they do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// They read.
    Reading,
    /// They write.
    Mutating,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfKind {
    request_kind: &'static str,
}

type Histograms<T> = Family<T, Histogram, fn() -> Histogram>;

/// Upstream's metrics of requests.
#[derive(Debug)]
pub struct Requests {
    total: Family<(Code, Tried), Counter>,
    durations: Histograms<Tried>,
    /// Without what is only tried. Upstream leaves out what others take, webhooks and queues; there is none of it here.
    service_levels: Histograms<Of>,
    sizes: Histograms<Of>,
    long_running: Family<Of, Gauge>,
    in_flight: Family<OfKind, Gauge>,
    terminations: Family<(Code, Of), Counter>,
    aborts: Family<Target, Counter>,
}

impl Default for Requests {
    fn default() -> Self {
        Self {
            total: Family::default(),
            durations: Family::new_with_constructor(|| Histogram::new(DURATIONS)),
            // Upstream's: the same from 50 ms on.
            service_levels: Family::new_with_constructor(|| Histogram::new(DURATIONS.into_iter().skip(2))),
            sizes: Family::new_with_constructor(|| Histogram::new(exponential_buckets(1000.0, 10.0, 7))),
            long_running: Family::default(),
            in_flight: Family::default(),
            terminations: Family::default(),
            aborts: Family::default(),
        }
    }
}

/// Marks the answer to a request that the server did not want to go on with: it was one too many, or took too long.
#[derive(Clone, Copy, Debug)]
pub struct SelfDefence;

impl Requests {
    pub(super) fn register(&self, registry: &mut Registry) {
        let name = |name: &str| format!("apiserver_{name}");
        let help = "Requests by what they were about and the status code";
        registry.register(name("request"), help, self.total.clone());
        let help = "How long requests take, to the end of the answer";
        registry.register(name("request_duration_seconds"), help, self.durations.clone());
        let help = "How long requests take that are not only tried, without what others take";
        registry.register(name("request_sli_duration_seconds"), help, self.service_levels.clone());
        registry.register(name("response_sizes"), "Bytes of answers to those who read", self.sizes.clone());
        let help = "Requests that last as long as the client wants";
        registry.register(name("longrunning_requests"), help, self.long_running.clone());
        let help = "Requests that are being answered, without those that last";
        registry.register(name("current_inflight_requests"), help, self.in_flight.clone());
        let help = "Requests that were refused or given up because they were too many or took too long";
        registry.register(name("request_terminations"), help, self.terminations.clone());
        let help = "Requests that ended without an answer: the client went away, or something went wrong";
        registry.register(name("request_aborts"), help, self.aborts.clone());
        for kind in [Kind::Reading, Kind::Mutating] {
            self.in_flight(kind).set(0);
        }
    }

    /// How many requests of a kind are being answered.
    #[must_use]
    pub fn in_flight(&self, kind: Kind) -> Gauge {
        let request_kind = match kind {
            Kind::Reading => "readOnly",
            Kind::Mutating => "mutating",
        };
        self.in_flight.get_or_create(&OfKind { request_kind }).clone()
    }

    /// Notes a request, whose end is that of what is returned.
    #[must_use]
    pub fn begin(self: &Arc<Self>, request: &Request) -> Seen {
        let of = (HERE, target(request));
        let long_running = request.long_running();
        if long_running {
            self.long_running.get_or_create(&of).inc();
        }
        Seen {
            requests: Arc::clone(self),
            tried: (DryRun { dry_run: dry_run(request) }, of),
            long_running,
            begun: Instant::now(),
            code: AtomicU16::new(0),
            size: AtomicU64::new(0),
        }
    }
}

/// A request that is being answered; counted when it is dropped. It lasts as long as the answer.
#[derive(Debug)]
pub struct Seen {
    requests: Arc<Requests>,
    tried: Tried,
    long_running: bool,
    begun: Instant,
    /// 0 until there is an answer.
    code: AtomicU16,
    size: AtomicU64,
}

/// A connection that goes on after the request's answer, among the request's extensions: whoever keeps it holds this.
#[derive(Clone, Debug)]
pub struct Lasting(pub Arc<Seen>);

impl Seen {
    fn of(&self) -> &Of {
        &self.tried.1
    }

    /// Upstream's verb for the request.
    #[must_use]
    pub fn verb(&self) -> &'static str {
        self.of().1.verb()
    }

    /// How long it takes until now.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.begun.elapsed()
    }

    /// Whether the answer lasts as long as the client wants.
    #[must_use]
    pub fn long_running(&self) -> bool {
        self.long_running
    }

    /// The answer begins.
    pub fn answered(&self, code: StatusCode) {
        self.code.store(code.as_u16(), Ordering::Relaxed);
    }

    /// So many bytes of the answer are there.
    pub fn written(&self, bytes: usize) {
        self.size.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// The server has had enough of the request.
    pub fn terminated(&self, code: StatusCode) {
        let labels = (Code { code: code.as_u16() }, self.of().clone());
        self.requests.terminations.get_or_create(&labels).inc();
    }

    /// The answer breaks off.
    pub fn aborted(&self) {
        self.requests.aborts.get_or_create(&self.of().1).inc();
    }
}

impl Drop for Seen {
    fn drop(&mut self) {
        let (requests, of) = (&self.requests, self.of());
        if self.long_running {
            requests.long_running.get_or_create(of).dec();
        }
        let code = self.code.load(Ordering::Relaxed);
        if code == 0 {
            return self.aborted();
        }
        let (DryRun { dry_run }, seconds) = (&self.tried.0, self.begun.elapsed().as_secs_f64());
        requests.total.get_or_create(&(Code { code }, self.tried.clone())).inc();
        requests.durations.get_or_create(&self.tried).observe(seconds);
        if dry_run.is_empty() {
            requests.service_levels.get_or_create(of).observe(seconds);
        }
        if matches!(of.1.verb(), "GET" | "LIST" | "WATCH") {
            requests.sizes.get_or_create(of).observe(self.size.load(Ordering::Relaxed) as f64);
        }
    }
}
