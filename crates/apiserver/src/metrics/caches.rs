//! What is served of each resource: read off the caches when somebody asks. A resource that is no longer served is no
//! longer told of.

use std::{
    collections::HashSet,
    fmt,
    sync::{Arc, Weak},
};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder, NoLabelSet},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge},
};

use crate::{
    catalogue::Served,
    registry::{Rest, Storage},
    storage::cache::{Counts, Holding},
};

/// Tells of everything that is served.
pub struct Caches(Weak<Served>);

impl Caches {
    /// Of this.
    #[must_use]
    pub fn new(served: &Arc<Served>) -> Self {
        Self(Arc::downgrade(served))
    }
}

impl fmt::Debug for Caches {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Caches")
    }
}

/// A number that only grows: its name, what it is, how it is told, and its further label.
type Growing = (&'static str, &'static str, fn(&Counts) -> u64, Option<Label>);
/// A number about what a cache holds.
type Held = (&'static str, &'static str, fn(&Holding) -> u64);
type Label = (&'static str, &'static str);

const INDEX: Option<Label> = Some(("index", ""));

const HELD: [Held; 3] = [
    ("apiserver_resource_objects", "Objects that are stored", |holding| holding.objects as u64),
    // Upstream's, for the same reason: a number of floating point has no more digits.
    ("apiserver_watch_cache_resource_version", "The revision up to which a cache is current", |holding| {
        holding.revision.0 % 1_000_000_000_000_000
    }),
    ("watch_cache_capacity", "Changes that a cache remembers at most", |holding| holding.changes as u64),
];

const GROWING: [Growing; 11] = [
    ("apiserver_cache_list", "Lists that a cache answered", |counts| counts.lists.get(), INDEX),
    (
        "apiserver_cache_list_fetched_objects",
        "Objects that were looked at for these",
        |counts| counts.examined.get(),
        INDEX,
    ),
    ("apiserver_cache_list_returned_objects", "Objects in the answers to these", |counts| counts.returned.get(), None),
    ("apiserver_storage_list", "Lists for which the store was asked", |counts| counts.stored_lists.get(), None),
    (
        "apiserver_storage_list_returned_objects",
        "Objects in the answers to these",
        |counts| counts.stored_returned.get(),
        None,
    ),
    ("apiserver_watch_cache_initializations", "How often a cache was filled", |counts| counts.fills.get(), None),
    ("apiserver_init_events", "Objects that a cache was filled with", |counts| counts.filled.get(), None),
    ("apiserver_watch_cache_events_received", "Changes that a cache was told", |counts| counts.received.get(), None),
    ("apiserver_watch_cache_events_dispatched", "Changes that a cache passed on", |counts| counts.received.get(), None),
    ("apiserver_storage_events_received", "Changes that the store has told", |counts| counts.received.get(), None),
    ("apiserver_terminated_watchers", "Watches that were ended for being slow", |counts| counts.too_slow.get(), None),
];

/// One resource as it is stored, and one as it is served.
struct All {
    storages: Vec<Arc<Storage>>,
    rests: Vec<Arc<Rest>>,
}

impl All {
    fn of(served: &Served) -> Self {
        let mut rests: Vec<Arc<Rest>> = served.load().routes().filter_map(|route| route.rest().cloned()).collect();
        rests.sort_by(|a, b| {
            (&a.row.group, &a.row.plural, &a.row.version).cmp(&(&b.row.group, &b.row.plural, &b.row.version))
        });
        let mut seen = HashSet::new();
        let storages = rests.iter().map(|rest| &rest.storage);
        let storages = storages.filter(|storage| seen.insert(Arc::as_ptr(storage))).cloned().collect();
        Self { storages, rests }
    }
}

impl Collector for Caches {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let Some(served) = self.0.upgrade() else { return Ok(()) };
        let all = All::of(&served);
        let holding: Vec<(&Storage, Holding)> =
            all.storages.iter().filter_map(|storage| Some((&**storage, storage.cache.holding()?))).collect();
        for (name, help, value) in HELD {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            for (storage, holding) in &holding {
                gauge(&mut family, &labels(storage, None), value(holding))?;
            }
        }
        let name = "apiserver_storage_objects";
        let mut family = encoder.encode_descriptor(name, "Objects that are stored", None, MetricType::Gauge)?;
        for (storage, holding) in &holding {
            gauge(&mut family, &[("resource", storage.row.group_resource())], holding.objects as u64)?;
        }
        for (name, help, value, label) in GROWING {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            for (storage, _) in &holding {
                counter(&mut family, &labels(storage, label), value(storage.cache.counts()))?;
            }
        }
        reads(&mut encoder, &holding)?;
        watches(&mut encoder, &all.rests)
    }
}

/// How fresh caches are for those who read.
fn reads(encoder: &mut DescriptorEncoder<'_>, holding: &[(&Storage, Holding)]) -> fmt::Result {
    let name = "apiserver_watch_cache_read_wait_seconds";
    let help = "How long reads have waited until a cache was fresh enough";
    let mut family = encoder.encode_descriptor(name, help, None, MetricType::Histogram)?;
    for (storage, _) in holding {
        storage.cache.counts().waits.encode(family.encode_family(&labels(storage, None))?)?;
    }
    let name = "apiserver_watch_cache_consistent_read";
    let mut family = encoder.encode_descriptor(name, "Consistent reads of a cache", None, MetricType::Counter)?;
    for (storage, _) in holding {
        let counts = storage.cache.counts();
        for (success, count) in [("true", &counts.consistent), ("false", &counts.stale)] {
            let mut labels = labels(storage, Some(("success", success)));
            labels.push(("fallback", "false".to_owned()));
            counter(&mut family, &labels, count.get())?;
        }
    }
    Ok(())
}

/// What those who watch were sent.
fn watches(encoder: &mut DescriptorEncoder<'_>, rests: &[Arc<Rest>]) -> fmt::Result {
    let labels = |rest: &Rest| {
        let row = &rest.row;
        let (group, version, resource) = (row.group.to_string(), row.version.to_string(), row.plural.to_string());
        vec![("group", group), ("version", version), ("resource", resource)]
    };
    let told = rests.iter().map(|rest| {
        let (bytes, counts) = rest.watched.told();
        let count: u64 = counts.iter().map(|(_, count)| count).sum();
        (labels(rest), bytes, count, counts)
    });
    let told: Vec<_> = told.filter(|(_, _, count, _)| *count > 0).collect();
    let help = "Events that were sent to those who watch";
    let mut family = encoder.encode_descriptor("apiserver_watch_events", help, None, MetricType::Counter)?;
    for (labels, _, count, _) in &told {
        counter(&mut family, labels, *count)?;
    }
    let help = "Bytes of the events that were sent to those who watch";
    let mut family = encoder.encode_descriptor("apiserver_watch_events_sizes", help, None, MetricType::Histogram)?;
    for (labels, bytes, count, counts) in &told {
        family.encode_family(labels)?.encode_histogram::<NoLabelSet>(*bytes as f64, *count, counts, None)?;
    }
    Ok(())
}

type Labels = Vec<(&'static str, String)>;

fn labels(storage: &Storage, more: Option<Label>) -> Labels {
    let (group, resource) = (storage.row.group.to_string(), storage.row.plural.to_string());
    let more = more.map(|(name, value)| (name, value.to_owned()));
    [("group", group), ("resource", resource)].into_iter().chain(more).collect()
}

fn gauge(family: &mut MetricEncoder<'_>, labels: &[(&'static str, String)], value: u64) -> fmt::Result {
    ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX)).encode(family.encode_family(&labels)?)
}

fn counter(family: &mut MetricEncoder<'_>, labels: &[(&'static str, String)], value: u64) -> fmt::Result {
    ConstCounter::new(value).encode(family.encode_family(&labels)?)
}
