//! Counts, times and logs every request.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use api_types::resource::Text;
use futures::future::BoxFuture;
use http::{HeaderValue, StatusCode};
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, histogram::Histogram},
    registry::Registry,
};

use super::{Filter, Next};
use crate::{catalogue::Request, serving::Response};

/// Upstream's metrics of requests.
#[derive(Debug)]
pub struct Metrics {
    requests: Family<RequestLabels, Counter>,
    durations: Family<DurationLabels, Histogram, fn() -> Histogram>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    verb: &'static str,
    group: Text,
    resource: Text,
    code: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DurationLabels {
    verb: &'static str,
    group: Text,
    resource: Text,
}

/// Upstream's buckets, every third of them, in seconds.
const BUCKETS: [f64; 9] = [0.005, 0.025, 0.1, 0.2, 0.6, 1.25, 3.0, 10.0, 60.0];

impl Metrics {
    /// Registers the metrics under upstream's names.
    pub fn new(registry: &mut Registry) -> Self {
        let metrics =
            Self { requests: Family::default(), durations: Family::new_with_constructor(|| Histogram::new(BUCKETS)) };
        let requests = metrics.requests.clone();
        registry.register("apiserver_request", "Requests by verb, resource and status code", requests);
        let durations = metrics.durations.clone();
        registry.register("apiserver_request_duration_seconds", "Time to answer requests that end", durations);
        metrics
    }
}

pub(super) struct Observation(Arc<Metrics>);

impl Observation {
    pub(super) fn new(metrics: Arc<Metrics>) -> Self {
        Self(metrics)
    }

    fn record(&self, seen: Seen, code: StatusCode) {
        let (group, resource) = (seen.group.clone(), seen.resource.clone());
        let labels = RequestLabels { verb: seen.verb, group, resource, code: code.as_u16() };
        self.0.requests.get_or_create(&labels).inc();
        if !seen.long_running {
            let labels = DurationLabels { verb: seen.verb, group: seen.group, resource: seen.resource };
            self.0.durations.get_or_create(&labels).observe(seen.started.elapsed().as_secs_f64());
        }
    }
}

/// What is remembered of a request until its answer is there.
struct Seen {
    verb: &'static str,
    group: Text,
    resource: Text,
    long_running: bool,
    started: Instant,
}

impl Seen {
    fn new(request: &Request) -> Self {
        // Only what is served becomes a label: a client must not be able to make labels up.
        let row = request.destination.row();
        Self {
            verb: request.info.verb.as_str(),
            group: row.map(|row| row.group.clone()).unwrap_or_default(),
            resource: row.map(|row| row.plural.clone()).unwrap_or_default(),
            long_running: request.long_running(),
            started: Instant::now(),
        }
    }
}

/// Slower answers are worth a line in the log, as upstream's trace threshold has it.
const SLOW: Duration = Duration::from_millis(500);

impl Filter for Observation {
    fn apply<'a>(&'a self, request: Request, next: Next<'a>) -> BoxFuture<'a, Response> {
        let seen = Seen::new(&request);
        let (path, id) = (request.info.path.clone(), request.id.clone());
        let answer = next.run(request);
        Box::pin(async move {
            let mut response = answer.await;
            let (elapsed, code) = (seen.started.elapsed(), response.status());
            if code.is_server_error() || (elapsed > SLOW && !seen.long_running) {
                tracing::warn!(verb = seen.verb, path, code = code.as_u16(), ?elapsed, id, "request");
            } else {
                tracing::debug!(verb = seen.verb, path, code = code.as_u16(), ?elapsed, id, "request");
            }
            self.record(seen, code);
            if let Ok(id) = HeaderValue::try_from(id) {
                response.headers_mut().insert("audit-id", id);
            }
            response
        })
    }
}
