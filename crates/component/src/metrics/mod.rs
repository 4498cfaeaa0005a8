//! What every daemon tells of itself at `/metrics`, under upstream's names, and how it is written.
//!
//! What is counted of the process as a whole (requests of its clients, work queues, handshakes) is counted in statics:
//! whoever serves `/metrics` registers them with [`register`].

mod build;
mod client;
mod connections;
mod process;
mod text;
mod work_queue;

use std::fmt;

use prometheus_client::{
    encoding::{EncodeMetric, MetricEncoder},
    metrics::{MetricType, TypedMetric, counter::Counter},
    registry::Registry,
};

pub use build::platform;
pub(crate) use client::CountRequests;
pub use client::Counted;
pub(crate) use connections::{certificate_used, handshake_failed};
pub use text::{CONTENT_TYPE, encode};
pub(crate) use work_queue::{Observation, Observed, Told, tell_of};

/// Registers what every daemon has.
pub fn register(registry: &mut Registry) {
    build::register(registry);
    process::register(registry);
    client::register(registry);
    connections::register(registry);
    work_queue::register(registry);
}

/// A counter whose name does not end in `_total`: upstream has some of them, such as `authentication_attempts`.
#[derive(Clone, Debug, Default)]
pub struct UnsuffixedCounter(pub Counter);

impl EncodeMetric for UnsuffixedCounter {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> Result<(), fmt::Error> {
        // A gauge's value is written without a suffix.
        encoder.encode_gauge(&i64::try_from(self.0.get()).unwrap_or(i64::MAX))
    }

    fn metric_type(&self) -> MetricType {
        Self::TYPE
    }
}

impl TypedMetric for UnsuffixedCounter {
    const TYPE: MetricType = MetricType::Counter;
}
