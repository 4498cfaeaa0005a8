//! How many events may come: in all, in a namespace, of a user, about the same thing from the same source.

use std::{
    collections::{BTreeMap, HashMap},
    hash::{BuildHasher, RandomState},
    time::Instant,
};

use api_types::{Object, StatusError, core::Event, event_to_core, events, rows};
use futures::future::BoxFuture;
use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::Value;

use super::{Make, errors::aggregate};
use crate::registry::{Review, admission::Plugin};

const GROUP: &str = "eventratelimit.admission.k8s.io/";
/// So many keys are remembered when nobody says how many.
const KEYS: usize = 4096;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct File {
    api_version: String,
    #[serde(rename = "kind")]
    _kind: String,
    limits: Vec<Limit>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Limit {
    #[serde(rename = "type")]
    by: By,
    qps: u32,
    burst: u32,
    #[serde(default)]
    cache_size: usize,
}

/// What has a limit of its own.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
enum By {
    Server,
    Namespace,
    User,
    SourceAndObject,
}

pub(super) struct EventRateLimit(Vec<(Limit, Mutex<Buckets>)>);

/// The plugin as its configuration has it.
pub(super) fn configured(configuration: Option<&Value>) -> Result<Make, String> {
    let Some(configuration) = configuration else { return Err("limits: Required value".into()) };
    let file = File::deserialize(configuration).map_err(|error| error.to_string())?;
    if !file.api_version.starts_with(GROUP) {
        return Err(format!("no kind is registered for version {:?}", file.api_version));
    }
    if file.limits.is_empty() {
        return Err("limits: Invalid value: []: must not be empty".into());
    }
    if file.limits.iter().any(|limit| limit.qps == 0 || limit.burst == 0) {
        return Err("limits: qps and burst must be positive".into());
    }
    let limits = file.limits.into_iter().map(|limit| (limit, Mutex::default())).collect();
    Ok(Box::new(|_| Box::new(EventRateLimit(limits))))
}

/// What is left of each key's limit; those that were used last are remembered. A key may be as long as an event, so that
/// its hash stands for it.
#[derive(Default)]
struct Buckets {
    hasher: RandomState,
    by_key: HashMap<u64, Bucket>,
    /// Keys in the order of their last use.
    used: BTreeMap<u64, u64>,
    uses: u64,
}

struct Bucket {
    left: f64,
    at: Instant,
    used: u64,
}

impl Buckets {
    /// Takes one, if one is left.
    fn take(&mut self, key: &str, limit: &Limit, now: Instant) -> bool {
        let (qps, burst) = (f64::from(limit.qps), f64::from(limit.burst));
        self.uses += 1;
        let key = self.hasher.hash_one(key);
        let bucket = self.by_key.entry(key).or_insert(Bucket { left: burst, at: now, used: 0 });
        self.used.remove(&bucket.used);
        self.used.insert(self.uses, key);
        bucket.left = (bucket.left + now.duration_since(bucket.at).as_secs_f64() * qps).min(burst);
        (bucket.at, bucket.used) = (now, self.uses);
        let has = bucket.left >= 1.0;
        if has {
            bucket.left -= 1.0;
        }
        let most = if limit.cache_size == 0 { KEYS } else { limit.cache_size };
        while self.by_key.len() > most {
            let Some((_, oldest)) = self.used.pop_first() else { break };
            self.by_key.remove(&oldest);
        }
        has
    }
}

impl Plugin for EventRateLimit {
    fn concerns(&self, review: &Review<'_>) -> bool {
        review.door.writes(&rows::CORE_EVENTS) || review.door.writes(&rows::EVENTS)
    }

    fn validate<'a>(&'a self, review: &'a Review<'_>) -> BoxFuture<'a, Result<(), StatusError>> {
        let now = Instant::now();
        let refuse = |(limit, buckets): &(Limit, Mutex<Buckets>)| {
            let key = key(limit.by, review);
            let has = buckets.lock().take(&key, limit, now);
            (!has).then(|| format!("limit reached on type {:?} for key {key}", limit.by))
        };
        let refusals: Vec<String> = self.0.iter().filter_map(refuse).collect();
        let result = match refusals.is_empty() {
            true => Ok(()),
            false => Err(StatusError::too_many_requests(&aggregate(&refusals), 1)),
        };
        Box::pin(async move { result })
    }
}

fn key(by: By, review: &Review<'_>) -> String {
    match by {
        By::Server => String::new(),
        By::Namespace => review.door.target.namespace.to_owned(),
        By::User => review.user().name.clone(),
        By::SourceAndObject => review.get().map(of_object).unwrap_or_default(),
    }
}

/// Of an event in either version.
fn of_object(object: &dyn Object) -> String {
    let new = object.downcast_ref::<events::Event>().cloned().map(event_to_core);
    new.as_ref().or_else(|| object.downcast_ref()).map(of_event).unwrap_or_default()
}

fn of_event(event: &Event) -> String {
    let (source, object) = (event.source.as_ref(), &event.involved_object);
    let parts = [
        source.and_then(|source| source.component.as_deref()),
        source.and_then(|source| source.host.as_deref()),
        object.kind.as_deref(),
        object.namespace.as_deref(),
        object.name.as_deref(),
        object.uid.as_deref(),
        object.api_version.as_deref(),
    ];
    parts.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn buckets_fill_again_and_the_oldest_are_forgotten() {
        let limit = Limit { by: By::User, qps: 1, burst: 2, cache_size: 2 };
        let (mut buckets, start) = (Buckets::default(), Instant::now());
        let mut take = |key: &str, after: u64| buckets.take(key, &limit, start + Duration::from_millis(after));
        assert_eq!([take("a", 0), take("a", 0), take("a", 500), take("b", 500)], [true, true, false, true]);
        assert!(take("a", 1000));
        assert!(!take("a", 1001));
        // A third key: `b` was used longest ago.
        assert!(take("c", 1001) && take("b", 1001) && take("b", 1001) && !take("b", 1001));
    }
}
