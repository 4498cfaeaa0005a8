//! What has changed since rules were last computed.

use std::collections::HashSet;
use std::sync::Arc;

use api_types::jiff::Timestamp;
use api_types::meta::ObjectMeta;
use component::informer::{Event, ObjectKey};
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::health::ProxyHealth;
use crate::metrics::Metrics;
use crate::model::{EndpointSlice, Service};

/// When the change happened that made the controller write the slice.
const LAST_CHANGE: &str = "endpoints.kubernetes.io/last-change-trigger-time";
/// How many times of changes are kept for the latency metric: a burst of more is not measured in full.
const MOST_TRIGGERS: usize = 1000;

/// Services of which something has changed. Clones share it.
#[derive(Clone, Debug)]
pub struct Changes {
    pending: Arc<Mutex<Pending>>,
    /// Rung at every change.
    bell: Arc<Notify>,
    health: ProxyHealth,
    metrics: Arc<Metrics>,
}

/// What waits.
#[derive(Debug, Default)]
pub struct Pending {
    /// Services that changed, or whose slices did.
    pub services: HashSet<ObjectKey>,
    /// How often slices changed.
    pub slices: usize,
    /// Whether something changed on which all rules depend.
    pub surroundings: bool,
    /// When the changes happened, as far as slices say.
    pub triggers: Vec<Timestamp>,
}

impl Changes {
    /// None yet.
    #[must_use]
    pub fn new(health: ProxyHealth, metrics: Arc<Metrics>) -> Self {
        Self { pending: Arc::default(), bell: Arc::default(), health, metrics }
    }

    /// Waits for a change after the last [`Changes::take`].
    pub async fn wait(&self) {
        self.bell.notified().await;
    }

    /// Takes what has changed.
    #[must_use]
    pub fn take(&self) -> Pending {
        std::mem::take(&mut *self.pending.lock())
    }

    /// A Service changed.
    pub fn service(&self, event: &Event<Service>) {
        self.metrics.service_changes.inc();
        self.note(|pending| {
            pending.services.insert(ObjectKey::of(&**event.object()));
        });
    }

    /// An EndpointSlice changed. It may have moved from one Service to another.
    pub fn slice(&self, event: &Event<EndpointSlice>) {
        self.metrics.endpoint_changes.inc();
        let old = if let Event::Updated { old, .. } = event { Some(old) } else { None };
        let keys = [Some(event.object()), old].into_iter().flatten().filter_map(|slice| service_of(slice));
        let trigger = trigger(&event.object().metadata).filter(|_| !matches!(event, Event::Deleted(_)));
        self.note(|pending| {
            pending.services.extend(keys);
            pending.slices += 1;
            pending.triggers.extend(trigger.filter(|_| pending.triggers.len() < MOST_TRIGGERS));
        });
    }

    /// This node or the ranges of virtual addresses changed.
    pub fn surroundings(&self) {
        self.note(|pending| pending.surroundings = true);
    }

    fn note(&self, note: impl FnOnce(&mut Pending)) {
        note(&mut self.pending.lock());
        self.health.changed();
        self.bell.notify_one();
    }
}

/// The Service that a slice belongs to.
#[must_use]
pub fn service_of(slice: &EndpointSlice) -> Option<ObjectKey> {
    Some(ObjectKey::new(slice.metadata.namespace.clone().unwrap_or_default(), slice.service()?))
}

fn trigger(meta: &ObjectMeta) -> Option<Timestamp> {
    meta.annotations.as_ref()?.get(LAST_CHANGE)?.parse().ok()
}
