//! What is counted of requests, of who makes them, of admission, the store and the caches, under upstream's names.
//!
//! No label is made up by a client: groups, versions, resources and subresources are those that are served, verbs,
//! scopes and names of users those of a list.

mod access;
mod caches;
mod labels;
mod requests;
mod store;

use std::sync::Arc;

use prometheus_client::registry::Registry;

pub use access::Access;
pub use caches::Caches;
pub use labels::Target;
pub use requests::{Kind, Lasting, Requests, Seen, SelfDefence};
pub use store::StoreCalls;

use crate::registry::admission::Admissions;

/// Upstream's buckets for the time that requests take, here and in the store, in seconds.
const DURATIONS: [f64; 23] = [
    0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 15.0, 20.0, 30.0,
    45.0, 60.0,
];

/// What is counted while requests are answered.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    /// Requests.
    pub requests: Arc<Requests>,
    /// Who makes them, and what they may do.
    pub access: Arc<Access>,
    /// What admission says of them.
    pub admission: Arc<Admissions>,
}

impl Metrics {
    /// Registers the metrics.
    pub fn register(&self, registry: &mut Registry) {
        self.requests.register(registry);
        self.access.register(registry);
        self.admission.register(registry);
    }
}
