//! The task behind an informer: list, then watch, for ever.

use std::collections::BTreeSet;

use api_types::codec::FromJson;
use futures::{StreamExt, TryStreamExt, stream::BoxStream};
use kube::{Client, core::WatchEvent};
use rand::Rng;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{
    Event, Item, ObjectKey, Shared,
    lenient::{Lenient, Unreadable},
};
use crate::backoff::Backoff;

const METADATA_LIST: &str = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";
const METADATA: &str = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";

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
}

/// Where to go on.
enum Next {
    /// List again.
    List,
    /// Watch from this resource version.
    Watch(String),
}

/// Lists and watches until dropped. Errors are logged here; the store keeps its last state.
pub(super) async fn run<T: Item>(client: &Client, shared: &Shared<T>) {
    let mut backoff = Backoff::reconnect();
    let mut next = Next::List;
    loop {
        let result = match &next {
            Next::List => list(client, shared).await,
            Next::Watch(version) => watch(client, shared, version.clone(), &mut backoff).await,
        };
        next = match result {
            Ok(next) => {
                backoff.reset();
                next
            }
            Err(Failure { error, next }) => {
                let delay = backoff.next_delay();
                tracing::info!(path = shared.path, retry_in = ?delay, "list and watch: {error}");
                tokio::time::sleep(delay).await;
                next
            }
        };
    }
}

struct Failure {
    error: kube::Error,
    next: Next,
}

async fn list<T: Item>(client: &Client, shared: &Shared<T>) -> Result<Next, Failure> {
    let fail = |error| Failure { error, next: Next::List };
    let request = request(shared, &[], METADATA_LIST).map_err(|error| fail(kube::Error::HttpError(error)))?;
    let text = client.request_text(request).await.map_err(fail)?;
    let list: List<T> = serde_json::from_str(&text).map_err(|error| fail(kube::Error::SerdeError(error)))?;
    drop(text);
    let (objects, unreadable) = split(list.items.unwrap_or_default());
    let kept: BTreeSet<ObjectKey> = unreadable.iter().map(|object| object.key.clone()).collect();
    shared.passed_over.retain(&kept);
    unreadable.into_iter().for_each(|object| shared.passed_over.pass_over(&shared.path, object));
    shared.dispatch(shared.store.replace(objects, kept));
    shared.synced.send_replace(true);
    Ok(Next::Watch(list.metadata.resource_version))
}

async fn watch<T: Item>(
    client: &Client,
    shared: &Shared<T>,
    mut version: String,
    backoff: &mut Backoff,
) -> Result<Next, Failure> {
    // Spread, so that the watches of a cluster do not all end in the same second; as client-go.
    let timeout = rand::rng().random_range(300..600).to_string();
    let parameters = [
        ("watch", "true"),
        ("allowWatchBookmarks", "true"),
        ("resourceVersion", &version),
        ("timeoutSeconds", &timeout),
    ];
    let request = request(shared, &parameters, METADATA)
        .map_err(|error| Failure { error: kube::Error::HttpError(error), next: Next::List })?;
    let mut stream = events(client, request).await.map_err(|error| after(error, &version))?;
    loop {
        let event = match stream.try_next().await {
            Ok(Some(event)) => event,
            Ok(None) => return Ok(Next::Watch(version)),
            Err(error) => return Err(after(error, &version)),
        };
        backoff.reset();
        let changed = match event {
            WatchEvent::Added(raw) | WatchEvent::Modified(raw) => note(shared, &raw.0, Fate::There, &mut version),
            WatchEvent::Deleted(raw) => note(shared, &raw.0, Fate::Gone, &mut version),
            WatchEvent::Bookmark(bookmark) => {
                version = bookmark.metadata.resource_version;
                None
            }
            WatchEvent::Error(status) => return Err(after(kube::Error::Api(status), &version)),
        };
        shared.dispatch(changed.into_iter().collect());
    }
}

/// What an event says of an object.
#[derive(Clone, Copy)]
enum Fate {
    There,
    Gone,
}

/// What an event changes in the copy.
fn note<T: Item>(shared: &Shared<T>, raw: &RawValue, fate: Fate, version: &mut String) -> Option<Event<T>> {
    match Lenient::of(raw) {
        Lenient::Readable(object) => {
            let object: T = trim(object);
            remember(version, object.meta().resource_version.as_ref());
            shared.passed_over.forget(&ObjectKey::of(&object));
            match fate {
                Fate::There => shared.store.apply(object),
                Fate::Gone => shared.store.remove(object),
            }
        }
        Lenient::Unreadable(object) => {
            remember(version, object.version.as_ref());
            match fate {
                Fate::There => {
                    shared.passed_over.pass_over(&shared.path, object);
                    None
                }
                Fate::Gone => {
                    shared.passed_over.forget(&object.key);
                    shared.store.remove_key(&object.key)
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

/// What can be read and what cannot.
fn split<T: Item>(items: Vec<Lenient<T>>) -> (Vec<T>, Vec<Unreadable>) {
    let (mut readable, mut unreadable) = (Vec::with_capacity(items.len()), Vec::new());
    for item in items {
        match item {
            Lenient::Readable(object) => readable.push(trim(object)),
            Lenient::Unreadable(object) => unreadable.push(object),
        }
    }
    (readable, unreadable)
}

/// What to do after an error: 410 (expired) and refusals need a new list, a lost connection does not.
fn after(error: kube::Error, version: &str) -> Failure {
    let next = match &error {
        kube::Error::Api(_) | kube::Error::SerdeError(_) => Next::List,
        _ => Next::Watch(version.to_owned()),
    };
    Failure { error, next }
}

fn remember(version: &mut String, new: Option<&String>) {
    if let Some(new) = new {
        version.clone_from(new);
    }
}

fn trim<T: Item>(mut object: T) -> T {
    object.meta_mut().managed_fields = None;
    object
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
