//! Watches: frames that all watchers share, sent as they come.

use std::{pin::pin, sync::Arc, time::Duration};

use super::{
    Answer, Call,
    list_options::{ListOptions, Use, revision},
    selection, table,
};
use crate::{
    catalogue::Request,
    protobuf::Encoder,
    registry::Rest,
    request::{Encoding, Form},
    serving::{Body, BodyError, Response, respond},
    storage::{
        Item, StoreError,
        cache::{Bookmark, Bookmarks, Change, ChangeKind, Delivery, Freshness, Start, WatchRequest, Watcher},
    },
};
use api_types::StatusError;
use bytes::{BufMut, Bytes, BytesMut};
use component::CancellationToken;
use futures::{StreamExt, stream};

pub(super) async fn answer(call: &Call<'_>, request: &Request) -> Answer {
    let options = ListOptions::read(&request.query, Use::Watch)?;
    let wanted = WatchRequest {
        scope: call.rest.scope(call.target().namespace),
        selector: selection::selector(call.rest, &request.query, call.target())?,
        start: start(&options)?,
        bookmarks: if options.bookmarks { Bookmarks::Send } else { Bookmarks::Omit },
        timeout: Some(timeout(&options)),
    };
    let encoding = request.accept.encoding;
    let frames = Frames {
        encoding,
        form: request.accept.form,
        options: table::Options::of(request)?,
        heading: table::Heading::Due,
        rest: call.rest.clone(),
    };
    let ended = call.ended.clone();
    let watcher = match call.rest.cache().watch(wanted).await {
        Ok(watcher) => watcher,
        // Clients of a watch that comes too late are told inside the stream, where they expect it.
        Err(error @ StoreError::Compacted { .. }) => {
            return Ok(stillborn(encoding, &call.rest.store_error("", &error)));
        }
        Err(error) => return Err(call.rest.store_error("", &error)),
    };
    Ok(respond::watch(encoding, Body::stream(run(watcher, frames, ended))))
}

fn stillborn(encoding: Encoding, error: &StatusError) -> Response {
    respond::watch(encoding, Body::Full(encoded(encoding, error_frame(error))))
}

/// A line of JSON as a frame of the encoding.
fn encoded(encoding: Encoding, line: Bytes) -> Bytes {
    if encoding == Encoding::Protobuf { in_protobuf(&line) } else { line }
}

fn in_protobuf(line: &[u8]) -> Bytes {
    let frame = |line: &[u8]| Encoder::default().watch_frame(line);
    let told = |error| frame(&error_frame(&StatusError::internal(error))).unwrap_or_default();
    frame(line).unwrap_or_else(told)
}

fn error_frame(error: &StatusError) -> Bytes {
    let mut frame = BytesMut::from(&b"{\"type\":\"ERROR\",\"object\":"[..]);
    frame.put_slice(&error.encode());
    frame.put_slice(b"}\n");
    frame.freeze()
}

/// Where a watch begins that has been checked.
fn start(options: &ListOptions) -> Result<Start, StatusError> {
    match options.initial_events {
        Some(true) => {
            let freshness = options.freshness()?;
            Ok(if options.bookmarks { Start::StateThenBookmark(freshness) } else { Start::State(freshness) })
        }
        _ if matches!(&*options.version, "" | "0") => Ok(Start::Now(Freshness::Consistent)),
        _ => revision(&options.version).map(Start::After),
    }
}

/// Upstream's `--min-request-timeout`: watches without a time of their own end between one and two of these.
const MIN_TIMEOUT: u64 = 1800;

/// As long as the client asks; what is negative has ended already.
fn timeout(options: &ListOptions) -> Duration {
    let seconds = options.timeout.unwrap_or(0);
    // Spread, so that the clients of a restarted server do not come back all at once for ever.
    let spread = || MIN_TIMEOUT + rand::random_range(0..MIN_TIMEOUT);
    Duration::from_secs(if seconds == 0 { spread() } else { u64::try_from(seconds).unwrap_or(0) })
}

/// What turns deliveries into frames.
struct Frames {
    rest: Arc<Rest>,
    encoding: Encoding,
    form: Form,
    options: table::Options,
    /// The first Table of a watch carries the columns.
    heading: table::Heading,
}

fn run(
    watcher: Watcher,
    frames: Frames,
    ended: CancellationToken,
) -> impl futures::Stream<Item = Result<Bytes, BodyError>> + Send {
    let batches = stream::unfold((watcher, frames, ended), |(mut watcher, mut frames, ended)| async move {
        let next = {
            let next = pin!(watcher.next());
            ended.run_until_cancelled(next).await??
        };
        let pieces: Vec<Result<Bytes, BodyError>> = match next {
            Ok(deliveries) => {
                let pieces = frames.frames(&deliveries).await;
                frames.rest.watched.add(pieces.iter().map(Bytes::len));
                pieces.into_iter().map(Ok).collect()
            }
            Err(error) => vec![Ok(encoded(frames.encoding, error_frame(&frames.rest.store_error("", &error))))],
        };
        Some((stream::iter(pieces), (watcher, frames, ended)))
    });
    batches.flatten()
}

impl Frames {
    /// What is sent; nothing about an object that cannot be shown.
    async fn frames(&mut self, deliveries: &[Delivery]) -> Vec<Bytes> {
        if self.form == Form::Object && self.rest.conversion.is_none() {
            return deliveries.iter().filter_map(|delivery| self.as_stored(delivery)).collect();
        }
        let mut shown = self.show(deliveries).await.into_iter();
        let line = |delivery: &Delivery| match delivery {
            Delivery::Bookmark(bookmark) => Some(self.bookmark(bookmark)),
            Delivery::Change(change) => self.changed(change, shown.next().unwrap_or(Ok(None))),
        };
        let lines: Vec<Bytes> = deliveries.iter().filter_map(line).collect();
        lines.into_iter().map(|line| encoded(self.encoding, line)).collect()
    }

    fn as_stored(&mut self, delivery: &Delivery) -> Option<Bytes> {
        let change = match delivery {
            Delivery::Change(change) => change,
            Delivery::Bookmark(bookmark) => return Some(encoded(self.encoding, self.bookmark(bookmark))),
        };
        if self.encoding != Encoding::Protobuf {
            return Some(change.frame());
        }
        let frame = change.translated(|line| Encoder::default().watch_frame(line));
        let shown = self.rest.shown(change.entry.item(), frame);
        shown.or_else(|| self.last_words(change).map(|line| encoded(self.encoding, line)))
    }

    /// That an object is gone is told all the same: the client may know an earlier version, which could be shown.
    fn last_words(&self, change: &Change) -> Option<Bytes> {
        if change.kind != ChangeKind::Deleted || self.form == Form::Table {
            return None;
        }
        let object = change.entry.json_at(change.revision);
        let partial = match self.form {
            Form::Object => table::partial(&object, &self.rest.row.kind, &self.rest.row.api_version()),
            _ => table::metadata_of(&object, self.options.version),
        };
        Some(change.line(&partial.ok()?))
    }

    fn bookmark(&mut self, bookmark: &Bookmark) -> Bytes {
        match self.form {
            Form::Object => bookmark.frame(&self.rest.row.api_version(), &self.rest.row.kind),
            Form::Metadata | Form::MetadataList => {
                bookmark.frame(self.options.version.api_version(), "PartialObjectMetadata")
            }
            Form::Table => {
                let heading = std::mem::replace(&mut self.heading, table::Heading::Sent);
                table::bookmark(&self.rest, bookmark, self.options, heading)
            }
        }
    }

    /// What the changes show, converted many at once: one for each, in their order.
    async fn show(&self, deliveries: &[Delivery]) -> Vec<Result<Option<Shown>, StatusError>> {
        let items: Vec<Item> = deliveries.iter().filter_map(item).collect();
        let items: Vec<&Item> = items.iter().collect();
        let mut all = Vec::with_capacity(items.len());
        for batch in items.chunks(self.rest.batch()) {
            match self.show_batch(batch).await {
                Ok(shown) => all.extend(shown.into_iter().map(Ok)),
                Err(error) => all.extend(batch.iter().map(|_| Err(error.clone()))),
            }
        }
        all
    }

    async fn show_batch(&self, items: &[&Item]) -> Result<Vec<Option<Shown>>, StatusError> {
        if self.form == Form::Table {
            let rows = table::rows(&self.rest, items, self.options).await?;
            return Ok(rows.into_iter().map(|row| row.map(Shown::Row)).collect());
        }
        let objects = self.rest.present_each(items).await?;
        let shown = |(object, item): (Option<Bytes>, &&Item)| match self.form {
            Form::Object | Form::Table => object.map(Shown::Json),
            Form::Metadata | Form::MetadataList => {
                let partial = self.rest.shown(item, table::metadata_of(&object?, self.options.version))?;
                Some(Shown::Json(partial.into()))
            }
        };
        Ok(objects.into_iter().zip(items).map(shown).collect())
    }

    /// The line about a change: an error where the object could not be converted.
    fn changed(&mut self, change: &Change, shown: Result<Option<Shown>, StatusError>) -> Option<Bytes> {
        match shown {
            Ok(Some(Shown::Json(json))) => Some(change.line(&json)),
            Ok(Some(Shown::Row(row))) => {
                let heading = std::mem::replace(&mut self.heading, table::Heading::Sent);
                let table = table::of_row(&self.rest, change.revision, row, (self.options, heading));
                Some(table.map_or_else(|error| error_frame(&error), |table| change.line(&table)))
            }
            Ok(None) => self.last_words(change),
            Err(error) => Some(error_frame(&error)),
        }
    }
}

/// What a watch shows of a changed object.
enum Shown {
    Json(Bytes),
    Row(table::Row),
}

/// The object of a change; a deleted one is shown with the revision of its deletion.
fn item(delivery: &Delivery) -> Option<Item> {
    match delivery {
        Delivery::Change(change) => Some(Item { revision: change.revision, ..change.entry.item().clone() }),
        Delivery::Bookmark(_) => None,
    }
}
