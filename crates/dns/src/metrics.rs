//! Metrics, under CoreDNS' names.

use std::sync::Arc;

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::RecordType;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
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
    /// Answers that are remembered now.
    pub cache_entries: Gauge,
    /// Questions that were not asked, because too many were under way.
    pub forward_rejects: Counter,
    /// Upstream servers that did not answer.
    pub forward_failures: Counter,
    /// How long answers take.
    pub duration: Histogram,
    size: Family<SizeLabels, Histogram>,
    requests: Family<RequestLabels, Counter>,
    responses: Family<ResponseLabels, Counter>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    proto: &'static str,
    r#type: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SizeLabels {
    proto: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResponseLabels {
    rcode: &'static str,
}

/// Types that are counted under their own name, as CoreDNS does; clients can send 65,000 different ones.
const COUNTED: [(RecordType, &str); 11] = [
    (RecordType::A, "A"),
    (RecordType::AAAA, "AAAA"),
    (RecordType::ANY, "ANY"),
    (RecordType::CNAME, "CNAME"),
    (RecordType::HTTPS, "HTTPS"),
    (RecordType::MX, "MX"),
    (RecordType::NS, "NS"),
    (RecordType::PTR, "PTR"),
    (RecordType::SOA, "SOA"),
    (RecordType::SRV, "SRV"),
    (RecordType::TXT, "TXT"),
];

/// Upper bounds of the sizes that are told apart, in bytes, as in CoreDNS.
const SIZES: [f64; 11] = [0.0, 100.0, 200.0, 300.0, 400.0, 511.0, 1023.0, 2047.0, 4095.0, 8291.0, 16_000.0];

impl Default for Metrics {
    fn default() -> Self {
        Self {
            cache_hits: Counter::default(),
            cache_misses: Counter::default(),
            cache_entries: Gauge::default(),
            forward_rejects: Counter::default(),
            forward_failures: Counter::default(),
            duration: Histogram::new(exponential_buckets(0.000_25, 2.0, 16)),
            size: Family::new_with_constructor(|| Histogram::new(SIZES)),
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
        registry.register("cache_entries", "The number of elements in the cache", m.cache_entries.clone());
        registry.register(
            "forward_max_concurrent_rejects",
            "Counter of the number of queries rejected because the concurrent queries were at maximum",
            m.forward_rejects.clone(),
        );
        registry.register_with_unit(
            "dns_response_size",
            "Size of the returned response in bytes",
            Unit::Bytes,
            m.size.clone(),
        );
        registry.register("forward_failures", "Upstream servers that did not answer", m.forward_failures.clone());
        Arc::new(metrics)
    }

    /// Counts the bytes of an answer.
    pub fn sent(&self, transport: Transport, bytes: usize) {
        let labels = SizeLabels { proto: proto(transport) };
        self.size.get_or_create(&labels).observe(u32::try_from(bytes).unwrap_or(u32::MAX).into());
    }

    /// Counts one exchange.
    pub fn exchanged(&self, transport: Transport, response: &Message) {
        let proto = proto(transport);
        let kind = response.queries.first().map(hickory_proto::op::Query::query_type);
        let kind = COUNTED.iter().find(|(counted, _)| Some(*counted) == kind).map_or("other", |(_, name)| *name);
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

fn proto(transport: Transport) -> &'static str {
    match transport {
        Transport::Udp => "udp",
        Transport::Tcp => "tcp",
    }
}
