//! The task behind an informer: what there is, then what changes, for ever.
//!
//! What there is comes as a stream of single objects (`sendInitialEvents`), so that never more than one is held besides
//! the copy; from a server that does not stream, in pages.

use std::{
    collections::BTreeSet,
    fmt,
    time::{Duration, Instant},
};

use api_types::codec::FromJson;
use futures::{StreamExt, TryStreamExt, stream::BoxStream};
use kube::{Client, core::WatchEvent};
use rand::Rng;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Item, ObjectKey, Shared, lenient::Lenient, store::Changes};
use crate::backoff::Backoff;

const METADATA_LIST: &str = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";
const METADATA: &str = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";
/// Marks the bookmark after the last of the objects that there are.
const END: &str = "k8s.io/initial-events-end";
/// Objects of a page.
const PAGE: &str = "500";
/// A watch without an event that ends sooner is a failure, as with client-go: it is not opened again at once.
const SHORTEST: Duration = Duration::from_secs(1);

#[derive(Deserialize)]
#[serde(bound(deserialize = "T: FromJson"))]
struct List<T> {
    metadata: ListMeta,
    // A Go server writes an empty list as `null`.
    items: Option<Vec<Lenient<T>>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ListMeta {
    resource_version: String,
    #[serde(default, rename = "continue")]
    next_page: Option<String>,
}

/// Where to go on.
enum Next {
    /// With all that there is, as a stream.
    Stream,
    /// With all that there is, in pages.
    Pages,
    /// With what changes from this resource version on.
    Watch(String),
}

/// Lists and watches until dropped. Errors are logged here; the store keeps its last state.
pub(super) async fn run<T: Item>(client: &Client, shared: &Shared<T>) {
    let mut backoff = Backoff::reconnect();
    let mut next = Next::Stream;
    // A server that cannot stream is not asked again.
    let mut streams = true;
    loop {
        let result = match &next {
            Next::Stream if streams => watch(client, shared, None, &mut backoff).await,
            Next::Stream | Next::Pages => list(client, shared).await,
            Next::Watch(version) => watch(client, shared, Some(version.clone()), &mut backoff).await,
        };
        next = match result {
            Ok(next) => {
                streams &= !matches!(next, Next::Pages);
                next
            }
            Err(Failure { why, next }) => {
                let delay = backoff.next_delay();
                tracing::info!(path = shared.path, retry_in = ?delay, "list and watch: {why}");
                tokio::time::sleep(delay).await;
                next
            }
        };
    }
}

struct Failure {
    why: String,
    next: Next,
}

impl Failure {
    /// Nothing is known of what there is.
    fn new(why: impl fmt::Display) -> Self {
        Self { why: why.to_string(), next: Next::Stream }
    }
}

/// What has been seen of what there is.
struct Filling {
    /// Objects; `None` when there is nothing that could have gone.
    seen: Option<BTreeSet<ObjectKey>>,
    /// Objects that cannot be decoded.
    unreadable: BTreeSet<ObjectKey>,
}

impl Filling {
    fn of<T: Item>(shared: &Shared<T>) -> Self {
        Self { seen: (!shared.store.is_empty()).then(BTreeSet::new), unreadable: BTreeSet::new() }
    }

    fn saw<T: Item>(&mut self, object: &Lenient<T>) {
        match object {
            Lenient::Readable(object) => {
                if let Some(seen) = &mut self.seen {
                    seen.insert(ObjectKey::of(object));
                }
            }
            Lenient::Unreadable(object) => drop(self.unreadable.insert(object.key.clone())),
        }
    }

    /// That was all: what else was there has gone. What cannot be decoded is left as it was last readable.
    fn end<T: Item>(self, shared: &Shared<T>) {
        let Self { seen, unreadable } = self;
        shared.passed_over.retain(&unreadable);
        if let Some(seen) = seen {
            shared.dispatch(shared.store.retain(|key| seen.contains(key) || unreadable.contains(key)));
        }
        shared.synced.send_replace(true);
    }
}

/// Lists page by page.
async fn list<T: Item>(client: &Client, shared: &Shared<T>) -> Result<Next, Failure> {
    let mut filling = Filling::of(shared);
    let mut page: Option<String> = None;
    loop {
        let mut parameters = vec![("limit", PAGE)];
        parameters.extend(page.as_deref().map(|page| ("continue", page)));
        let request = request(shared, &parameters, METADATA_LIST).map_err(Failure::new)?;
        let text = client.request_text(request).await.map_err(Failure::new)?;
        let list: List<T> = serde_json::from_str(&text).map_err(Failure::new)?;
        drop(text);
        for object in list.items.unwrap_or_default() {
            filling.saw(&object);
            let (events, _) = note(shared, object, Fate::There);
            shared.dispatch(events.into_iter().flatten());
        }
        page = list.metadata.next_page.filter(|page| !page.is_empty());
        if page.is_none() {
            filling.end(shared);
            return Ok(Next::Watch(list.metadata.resource_version));
        }
    }
}

/// Watches from a version on, or from all that there is.
async fn watch<T: Item>(
    client: &Client,
    shared: &Shared<T>,
    from: Option<String>,
    backoff: &mut Backoff,
) -> Result<Next, Failure> {
    let mut filling = from.is_none().then(|| Filling::of(shared));
    let request = watch_request(shared, from.as_deref()).map_err(Failure::new)?;
    let mut version = from.unwrap_or_default();
    let (opened, mut heard) = (Instant::now(), false);
    let mut stream = match events(client, request).await {
        Err(kube::Error::Api(status)) if filling.is_some() && matches!(status.code, 400 | 404 | 405 | 422) => {
            tracing::debug!(path = shared.path, "the server does not stream what there is: {}", status.message);
            return Ok(Next::Pages);
        }
        answer => answer.map_err(|error| after(&error, filling.is_none().then_some(&version)))?,
    };
    loop {
        let event = match stream.try_next().await {
            Ok(Some(event)) => event,
            Ok(None) if filling.is_some() => return Err(Failure::new("the stream ended before all had come")),
            Ok(None) if !heard && opened.elapsed() < SHORTEST => {
                return Err(Failure { why: "the watch ended at once".to_owned(), next: Next::Watch(version) });
            }
            Ok(None) => return Ok(Next::Watch(version)),
            Err(error) => return Err(after(&error, filling.is_none().then_some(&version))),
        };
        backoff.reset();
        heard = true;
        let (raw, fate) = match event {
            WatchEvent::Added(raw) | WatchEvent::Modified(raw) => (raw, Fate::There),
            WatchEvent::Deleted(raw) => (raw, Fate::Gone),
            WatchEvent::Bookmark(bookmark) => {
                let is_end = bookmark.metadata.annotations.get(END).is_some_and(|end| end == "true");
                version = bookmark.metadata.resource_version;
                if let Some(filling) = filling.take_if(|_| is_end) {
                    filling.end(shared);
                }
                continue;
            }
            WatchEvent::Error(status) => return Err(after(&kube::Error::Api(status), None)),
        };
        let object = Lenient::of(&raw.0);
        drop(raw);
        if let (Some(filling), Fate::There) = (&mut filling, fate) {
            filling.saw(&object);
        }
        let (events, seen) = note(shared, object, fate);
        if let Some(seen) = seen {
            version = seen;
        }
        shared.dispatch(events.into_iter().flatten());
    }
}

fn watch_request<T>(shared: &Shared<T>, from: Option<&str>) -> Result<http::Request<Vec<u8>>, http::Error> {
    // Spread, so that the watches of a cluster do not all end in the same second; as client-go.
    let timeout = rand::rng().random_range(300..600).to_string();
    let mut parameters = vec![("watch", "true"), ("allowWatchBookmarks", "true")];
    match from {
        Some(version) => parameters.push(("resourceVersion", version)),
        None => parameters.extend([("sendInitialEvents", "true"), ("resourceVersionMatch", "NotOlderThan")]),
    }
    parameters.push(("timeoutSeconds", &timeout));
    request(shared, &parameters, METADATA)
}

/// What an event says of an object.
#[derive(Clone, Copy)]
enum Fate {
    There,
    Gone,
}

/// What an object changes in the copy, and the version that it carries.
fn note<T: Item>(shared: &Shared<T>, object: Lenient<T>, fate: Fate) -> (Changes<T>, Option<String>) {
    match object {
        Lenient::Readable(mut object) => {
            object.meta_mut().managed_fields = None;
            let version = object.meta().resource_version.clone();
            shared.passed_over.forget(&ObjectKey::of(&object));
            match fate {
                Fate::There => (shared.store.apply(object), version),
                Fate::Gone => ([shared.store.remove(object), None], version),
            }
        }
        Lenient::Unreadable(object) => {
            let version = object.version.clone();
            match fate {
                Fate::There => {
                    shared.passed_over.pass_over(&shared.path, object);
                    ([None, None], version)
                }
                Fate::Gone => {
                    shared.passed_over.forget(&object.key);
                    ([shared.store.remove_key(&object.key), None], version)
                }
            }
        }
    }
}

/// An object of an event, as it came.
#[derive(Clone, Deserialize)]
#[serde(transparent)]
struct Raw(Box<RawValue>);

/// Opens a watch. Not generic, so that the way from the socket to an event is compiled once.
async fn events(
    client: &Client,
    request: http::Request<Vec<u8>>,
) -> kube::Result<BoxStream<'static, kube::Result<WatchEvent<Raw>>>> {
    Ok(client.request_events::<Raw>(request).await?.boxed())
}

/// What to do after an error: 410 (expired) and refusals need all that there is anew, a lost connection does not when a
/// version is known from which to go on.
fn after(error: &kube::Error, version: Option<&String>) -> Failure {
    let next = match (error, version) {
        (kube::Error::Api(_) | kube::Error::SerdeError(_), _) | (_, None) => Next::Stream,
        (_, Some(version)) => Next::Watch(version.clone()),
    };
    Failure { why: error.to_string(), next }
}

fn request<T>(
    shared: &Shared<T>,
    parameters: &[(&str, &str)],
    metadata_accept: &str,
) -> Result<http::Request<Vec<u8>>, http::Error> {
    let query = form_urlencoded::Serializer::new(shared.query.clone()).extend_pairs(parameters).finish();
    let mut request = http::Request::get(format!("{}?{query}", shared.path));
    if shared.metadata_only {
        request = request.header(http::header::ACCEPT, metadata_accept);
    }
    request.body(Vec::new())
}
