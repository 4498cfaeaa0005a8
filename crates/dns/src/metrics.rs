//! Metrics, under CoreDNS' names.

use std::sync::Arc;

use hickory_proto::op::{Message, ResponseCode};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

use crate::forward::Transport;

/// What the server counts. Clones share the counters.
#[derive(Clone, Debug)]
pub struct Metrics {
    /// Answers that were remembered.
    pub cache_hits: Counter,
    /// Answers that were not.
    pub cache_misses: Counter,
    /// Upstream servers that did not answer.
    pub forward_failures: Counter,
    /// How long answers take.
    pub duration: Histogram,
    requests: Family<RequestLabels, Counter>,
    responses: Family<ResponseLabels, Counter>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    proto: &'static str,
    r#type: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResponseLabels {
    rcode: &'static str,
}

/// Types that are counted under their own name, as CoreDNS does; clients can send 65,000 different ones.
const COUNTED: [&str; 11] = ["A", "AAAA", "ANY", "CNAME", "HTTPS", "MX", "NS", "PTR", "SOA", "SRV", "TXT"];

impl Default for Metrics {
    fn default() -> Self {
        Self {
            cache_hits: Counter::default(),
            cache_misses: Counter::default(),
            forward_failures: Counter::default(),
            duration: Histogram::new(exponential_buckets(0.000_25, 2.0, 16)),
            requests: Family::default(),
            responses: Family::default(),
        }
    }
}

impl Metrics {
    /// Registers them.
    pub fn register(registry: &mut Registry) -> Arc<Self> {
        let metrics = Self::default();
        let registry = registry.sub_registry_with_prefix("coredns");
        let m = &metrics;
        registry.register("dns_requests", "Counter of DNS requests made per protocol and type", m.requests.clone());
        registry.register("dns_responses", "Counter of response status codes", m.responses.clone());
        registry.register_with_unit(
            "dns_request_duration",
            "Histogram of the time each request took",
            Unit::Seconds,
            m.duration.clone(),
        );
        registry.register("cache_hits", "The count of cache hits", m.cache_hits.clone());
        registry.register("cache_misses", "The count of cache misses", m.cache_misses.clone());
        registry.register("forward_failures", "Upstream servers that did not answer", m.forward_failures.clone());
        Arc::new(metrics)
    }

    /// Counts one exchange.
    pub fn exchanged(&self, transport: Transport, response: &Message) {
        let proto = match transport {
            Transport::Udp => "udp",
            Transport::Tcp => "tcp",
        };
        let kind = response.queries.first().map_or_else(String::new, |query| query.query_type().to_string());
        let kind = if COUNTED.contains(&kind.as_str()) { kind } else { "other".to_owned() };
        self.requests.get_or_create(&RequestLabels { proto, r#type: kind }).inc();
        let rcode = match response.metadata.response_code {
            ResponseCode::NoError => "NOERROR",
            ResponseCode::NXDomain => "NXDOMAIN",
            ResponseCode::ServFail => "SERVFAIL",
            ResponseCode::Refused => "REFUSED",
            _ => "other",
        };
        self.responses.get_or_create(&ResponseLabels { rcode }).inc();
    }
}
