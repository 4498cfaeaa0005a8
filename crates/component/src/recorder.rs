//! Events about objects, as `kubectl describe` shows them.
//!
//! Recording never blocks and never fails its caller: events pass through a bounded channel to one
//! task. The same event again raises `count` on the stored one, as client-go's correlator does, and
//! a source that floods one object is cut off (25 at once, then one in five minutes).

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use api_types::{
    core::{Event, EventSource, ObjectReference},
    jiff::Timestamp,
    meta::{ObjectMeta, Time},
};
use kube::{
    Client,
    api::{Patch, PatchParams, PostParams},
};
use serde_json::json;
use tokio::sync::mpsc;

use crate::{Daemon, api::Api};

const QUEUED: usize = 1000;
const REMEMBERED: usize = 4096;
const BURST: f64 = 25.0;
const REFILL: Duration = Duration::from_secs(300);
const ATTEMPTS: u32 = 5;

/// An event's `type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EventType {
    /// Something happened.
    Normal,
    /// Something is wrong.
    Warning,
}

impl EventType {
    /// As on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Normal => "Normal",
            Self::Warning => "Warning",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    namespace: String,
    kind: String,
    name: String,
    uid: String,
    field_path: String,
    event_type: EventType,
    reason: String,
    message: String,
}

#[derive(Debug)]
struct Record {
    regarding: ObjectReference,
    key: Key,
    at: Timestamp,
}

/// A handle for recording; clones share the task.
#[derive(Clone, Debug)]
pub struct Recorder {
    sender: mpsc::Sender<Record>,
}

impl Recorder {
    /// Starts the task. `component` is the event's source, such as `default-scheduler`; `host` is
    /// the node that reports, empty for cluster components.
    #[must_use]
    pub fn new(client: Client, component: &str, host: &str, daemon: &Daemon) -> Self {
        let (sender, receiver) = mpsc::channel(QUEUED);
        let source =
            EventSource { component: Some(component.to_owned()), host: (!host.is_empty()).then(|| host.to_owned()) };
        let sink = Sink { client, source, known: HashMap::new(), floods: HashMap::new() };
        daemon.spawn_until_shutdown(sink.run(receiver));
        Self { sender }
    }

    /// Records an event about `regarding`. Dropped when a thousand are waiting.
    pub fn record(&self, regarding: &ObjectReference, event_type: EventType, reason: &str, message: impl Into<String>) {
        let key = Key {
            namespace: regarding.namespace.clone().unwrap_or_default(),
            kind: regarding.kind.clone().unwrap_or_default(),
            name: regarding.name.clone().unwrap_or_default(),
            uid: regarding.uid.clone().unwrap_or_default(),
            field_path: regarding.field_path.clone().unwrap_or_default(),
            event_type,
            reason: reason.to_owned(),
            message: message.into(),
        };
        tracing::debug!(object = key.name, reason, message = key.message, "event");
        let record = Record { regarding: regarding.clone(), key, at: Timestamp::now() };
        if self.sender.try_send(record).is_err() {
            tracing::warn!(reason, "too many events are waiting; one was dropped");
        }
    }
}

/// A stored event that may be counted up.
struct Known {
    name: String,
    count: i32,
}

/// A token bucket per object.
struct Flood {
    tokens: f64,
    at: Instant,
}

struct Sink {
    client: Client,
    source: EventSource,
    known: HashMap<Key, Known>,
    floods: HashMap<(String, String, String), Flood>,
}

impl Sink {
    async fn run(mut self, mut receiver: mpsc::Receiver<Record>) {
        while let Some(record) = receiver.recv().await {
            if !self.admit(&record.key) {
                continue;
            }
            for attempt in 0..ATTEMPTS {
                match self.write(&record).await {
                    Ok(()) => break,
                    // The namespace is going away, or the event makes no sense to the server.
                    Err(kube::Error::Api(status)) => {
                        tracing::debug!("event refused: {}", status.message);
                        break;
                    }
                    Err(error) => {
                        tracing::debug!("event not written: {error}");
                        tokio::time::sleep(Duration::from_millis(200) * 2u32.pow(attempt)).await;
                    }
                }
            }
        }
    }

    fn admit(&mut self, key: &Key) -> bool {
        if self.floods.len() > REMEMBERED {
            self.floods.clear();
        }
        let now = Instant::now();
        let object = (key.namespace.clone(), key.kind.clone(), key.name.clone());
        let flood = self.floods.entry(object).or_insert(Flood { tokens: BURST, at: now });
        let refill = now.duration_since(flood.at).as_secs_f64() / REFILL.as_secs_f64();
        flood.tokens = (flood.tokens + refill).min(BURST);
        flood.at = now;
        if flood.tokens < 1.0 {
            return false;
        }
        flood.tokens -= 1.0;
        true
    }

    async fn write(&mut self, record: &Record) -> Result<(), kube::Error> {
        let namespace = if record.key.namespace.is_empty() { "default" } else { &record.key.namespace };
        let events: Api<Event> = Api::namespaced(self.client.clone(), namespace);
        if let Some(known) = self.known.get_mut(&record.key) {
            let patch = json!({"count": known.count + 1, "lastTimestamp": Time(record.at)});
            match events.patch(&known.name, &PatchParams::default(), &Patch::Merge(patch)).await {
                Ok(_) => {
                    known.count += 1;
                    return Ok(());
                }
                // Expired meanwhile: write a new one.
                Err(kube::Error::Api(status)) if status.code == 404 => {}
                Err(error) => return Err(error),
            }
        }
        let event = self.event(record, namespace);
        let name = event.metadata.name.clone().unwrap_or_default();
        events.create(&PostParams::default(), &event).await?;
        if self.known.len() > REMEMBERED {
            self.known.clear();
        }
        self.known.insert(record.key.clone(), Known { name, count: 1 });
        Ok(())
    }

    fn event(&self, record: &Record, namespace: &str) -> Event {
        // As client-go names them: the object's name and the time in nanoseconds, in hexadecimal.
        let name = format!("{}.{:x}", record.key.name, record.at.as_nanosecond());
        let metadata = ObjectMeta { name: Some(name), namespace: Some(namespace.to_owned()), ..ObjectMeta::default() };
        Event {
            metadata,
            involved_object: record.regarding.clone(),
            type_: Some(record.key.event_type.as_str().to_owned()),
            reason: Some(record.key.reason.clone()),
            message: Some(record.key.message.clone()),
            first_timestamp: Some(Time(record.at)),
            last_timestamp: Some(Time(record.at)),
            count: Some(1),
            source: Some(self.source.clone()),
            reporting_component: self.source.component.clone(),
            reporting_instance: self.source.host.clone(),
            ..Event::default()
        }
    }
}
