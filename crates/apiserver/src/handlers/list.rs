//! GET of a collection.

use std::num::NonZeroUsize;

use api_types::StatusError;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use futures::stream;
use http::StatusCode;
use serde::{Deserialize, Serialize};

use super::{
    Answer, Call,
    list_options::{ListOptions, Use, revision},
    protobuf_list, selection, table,
};
use crate::{
    catalogue::Request,
    registry::Rest,
    request::{Encoding, Form},
    serving::{Body, respond},
    storage::{
        Item, Key, Prefix, Revision, StoreError,
        cache::{At, Freshness, ListBody, ListRequest, Listing},
    },
};

pub(super) async fn answer(call: &Call<'_>, request: &Request) -> Answer {
    let scope = call.rest.scope(call.target().namespace);
    let options = ListOptions::read(&request.query, Use::List)?;
    let selector = selection::selector(call.rest, &request.query, call.target())?;
    let paging = Paging::of(&options)?;
    let start_after = paging.after.as_ref().map(|after| Key::new(format!("{}{after}", scope.as_str())));
    let wanted = ListRequest { scope: scope.clone(), selector, start_after, limit: paging.limit, at: paging.at };
    let listed = call.rest.cache().list(&wanted).await;
    let listing = listed.map_err(|error| list_error(call.rest, &paging, &error))?;
    render(call.rest, request, &scope, listing).await
}

/// What cannot be had any more is told in words that name the way out.
fn list_error(rest: &Rest, paging: &Paging, error: &StoreError) -> StatusError {
    match (error, &paging.after) {
        (StoreError::Compacted { .. }, Some(after)) => {
            StatusError::expired_with_continue(INCONSISTENT, Token::new(LATEST, after).encode())
        }
        (StoreError::Compacted { .. }, None) => {
            StatusError::expired("The resourceVersion for the provided list is too old.")
        }
        (error, _) => rest.store_error("", error),
    }
}

/// Upstream's words for a page that is gone.
const INCONSISTENT: &str = "The provided continue parameter is too old to display a consistent list result. You can start a new list without \
the continue parameter, or use the continue token in this response to retrieve the remainder of the results. Continuing with the provided token \
results in an inconsistent list - objects that were created, modified, or deleted between the time the first chunk was returned and now may show \
up in the list.";

pub(super) async fn render(rest: &Rest, request: &Request, scope: &Prefix, listing: Listing) -> Answer {
    let meta = ListMeta::of(scope, &listing);
    let json: Bytes = match (request.accept.form, &rest.conversion) {
        (Form::Object, None) if request.accept.encoding == Encoding::Protobuf => {
            return protobuf_list::answer(rest, &meta, listing.entries).await;
        }
        (Form::Object, None) => return Ok(objects(rest, request.accept.encoding, &meta, listing)),
        (Form::Object, Some(_)) => {
            let objects = rest.present_each(&items(&listing)).await?.into_iter().flatten();
            let said = said(rest);
            let items: Vec<Bytes> = objects.map(|object| item(object, &said)).collect();
            join(&head(&rest.row.list_kind(), &rest.row.api_version(), &meta), &items)
        }
        (Form::Table, _) => table::of_list(rest, &items(&listing), &meta, table::Options::of(request)?).await?,
        (Form::Metadata, _) => {
            let kind = format!("{}List", table::go_type(&rest.row));
            let why = format!("you requested PartialObjectMetadata, but the requested object is a list ({kind})");
            return Err(StatusError::no_such_representation(why));
        }
        (Form::MetadataList, _) => {
            let (items, version) = (items(&listing), request.accept.version);
            let objects = rest.present_each(&items).await?.into_iter().zip(items);
            let partial = |(object, item): (Option<Bytes>, &Item)| {
                rest.shown(item, table::metadata_of(&object?, version).map(Bytes::from))
            };
            let items: Vec<Bytes> = objects.filter_map(partial).collect();
            join(&head("PartialObjectMetadataList", version.api_version(), &meta), &items)
        }
    };
    Ok(respond::object(StatusCode::OK, request.accept.encoding, json))
}

fn items(listing: &Listing) -> Vec<&Item> {
    listing.entries.iter().map(|entry| entry.item()).collect()
}

/// Up to this size, in bytes, a list is sent at once.
pub(super) const SHORT: usize = 64 << 10;

/// Short lists are sent at once, with their length; long ones are made while they are sent.
fn objects(rest: &Rest, encoding: Encoding, meta: &ListMeta, listing: Listing) -> crate::serving::Response {
    let head = head(&rest.row.list_kind(), &rest.row.api_version(), meta);
    let body = ListBody::new(&head, said(rest), listing.entries);
    if encoding == Encoding::Yaml || body.size_bound() <= SHORT {
        let chunks: Vec<Bytes> = body.collect();
        let whole = match chunks.as_slice() {
            [only] => only.clone(),
            chunks => Bytes::from(chunks.concat()),
        };
        return respond::object(StatusCode::OK, encoding, whole);
    }
    respond::json(StatusCode::OK, Body::stream(stream::iter(body.map(Ok))))
}

/// What objects begin with and items of a list do not: the list says what they are. Those of kinds that came at run time
/// say it, as upstream's.
fn said(rest: &Rest) -> Bytes {
    match rest.row.ops.own_schema() {
        Some(_) => Bytes::new(),
        None => format!("{{\"apiVersion\":\"{}\",\"kind\":\"{}\",", rest.row.api_version(), rest.row.kind).into(),
    }
}

fn item(object: Bytes, said: &[u8]) -> Bytes {
    match object.strip_prefix(said).filter(|_| !said.is_empty()) {
        Some(rest) => [b"{", rest].concat().into(),
        None => object,
    }
}

fn join(head: &[u8], items: &[Bytes]) -> Bytes {
    let mut out = head.to_vec();
    out.extend_from_slice(&items.join(&b","[..]));
    out.extend_from_slice(b"]}");
    out.into()
}

fn head(kind: &str, api_version: &str, meta: &ListMeta) -> Vec<u8> {
    let meta = meta.to_json();
    format!("{{\"kind\":\"{kind}\",\"apiVersion\":\"{api_version}\",\"metadata\":{meta},\"items\":[").into_bytes()
}

/// `metadata` of a list.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ListMeta {
    resource_version: String,
    #[serde(rename = "continue", skip_serializing_if = "Option::is_none")]
    next: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    remaining_item_count: Option<u64>,
}

impl ListMeta {
    fn of(scope: &Prefix, listing: &Listing) -> Self {
        let next = listing.next.as_ref().map(|key| {
            let after = key.as_str().strip_prefix(scope.as_str()).unwrap_or_default();
            Token::new(i64::try_from(listing.revision.0).unwrap_or(i64::MAX), after).encode()
        });
        let remaining_item_count = listing.remaining.filter(|_| next.is_some());
        Self { resource_version: listing.revision.to_string(), next, remaining_item_count }
    }

    /// Of something that is shown as a list of one.
    pub(super) fn at(revision: Revision) -> Self {
        Self { resource_version: revision.to_string(), next: None, remaining_item_count: None }
    }

    /// As JSON.
    pub(super) fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// The text behind a `continue` token: upstream's form of it.
#[derive(Debug, Deserialize, Serialize)]
struct Encoded {
    #[serde(rename = "v", default)]
    version: String,
    #[serde(rename = "rv", default)]
    revision: i64,
    /// The first key that may follow, below the folder that is listed.
    #[serde(default)]
    start: String,
}

const TOKEN_VERSION: &str = "meta.k8s.io/v1";

/// The revision of a token that leads to the rest of a list as it is now.
const LATEST: i64 = -1;

/// Where a list goes on.
#[derive(Debug)]
struct Token {
    revision: i64,
    /// The last key of the page before, below the folder that is listed.
    after: String,
}

impl Token {
    fn new(revision: i64, after: &str) -> Self {
        Self { revision, after: after.to_owned() }
    }

    fn encode(&self) -> String {
        let (version, start) = (TOKEN_VERSION.to_owned(), format!("{}\0", self.after));
        let encoded = Encoded { version, revision: self.revision, start };
        URL_SAFE_NO_PAD.encode(serde_json::to_vec(&encoded).unwrap_or_default())
    }

    /// The token, or what is wrong with it.
    fn decode(text: &str) -> Result<Self, String> {
        let invalid = |why: &dyn std::fmt::Display| format!("continue key is not valid: {why}");
        let bytes = URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).map_err(|error| invalid(&in_go(&error)))?;
        let token: Encoded = serde_json::from_slice(&bytes).map_err(|error| invalid(&error))?;
        if token.version != TOKEN_VERSION {
            return Err(invalid(&format!("server does not recognize this encoded version {}", token.version)));
        }
        if token.revision == 0 {
            return Err(invalid(&"incorrect encoded start resourceVersion (version meta.k8s.io/v1)"));
        }
        if token.start.is_empty() {
            return Err(invalid(&"encoded start key empty (version meta.k8s.io/v1)"));
        }
        if token.start.split('/').any(|step| matches!(step, "." | ".." | "")) {
            return Err(invalid(&token.start));
        }
        Ok(Self { revision: token.revision, after: token.start.trim_end_matches('\0').to_owned() })
    }

    fn at(&self) -> At {
        match u64::try_from(self.revision) {
            Ok(revision) => At::Exactly(Revision(revision)),
            Err(_) => At::Newest(Freshness::Consistent),
        }
    }
}

/// An error of base64 in Go's words.
fn in_go(error: &base64::DecodeError) -> String {
    let at = match error {
        base64::DecodeError::InvalidByte(at, _) | base64::DecodeError::InvalidLastSymbol(at, _) => *at,
        base64::DecodeError::InvalidLength(length) => *length,
        base64::DecodeError::InvalidPadding => 0,
    };
    format!("illegal base64 data at input byte {at}")
}

/// Which part of a list, and as of when.
struct Paging {
    at: At,
    limit: Option<NonZeroUsize>,
    /// The key after which to go on, below the folder that is listed.
    after: Option<String>,
}

impl Paging {
    fn of(options: &ListOptions) -> Result<Self, StatusError> {
        let limit = options.limit;
        if !options.token.is_empty() {
            let invalid = |why: String| StatusError::bad_request(format!("invalid continue token: {why}"));
            let token = Token::decode(&options.token).map_err(invalid)?;
            if !matches!(&*options.version, "" | "0") {
                let why = "specifying resource version is not allowed when using continue";
                return Err(StatusError::bad_request(why));
            }
            return Ok(Self { at: token.at(), limit, after: Some(token.after) });
        }
        if options.is_exact() {
            let at = At::Exactly(revision(&options.version)?);
            return Ok(Self { at, limit, after: None });
        }
        // Whatever the cache has is not had in pages.
        let limit = limit.filter(|_| options.version != "0");
        Ok(Self { at: At::Newest(options.freshness()?), limit, after: None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_upstreams() {
        let encode = |text: &str| URL_SAFE_NO_PAD.encode(text);
        let token = Token::new(7, "ns/a").encode();
        assert_eq!(token, encode("{\"v\":\"meta.k8s.io/v1\",\"rv\":7,\"start\":\"ns/a\\u0000\"}"));
        let read = Token::decode(&token).unwrap();
        assert_eq!((read.at(), &*read.after), (At::Exactly(Revision(7)), "ns/a"));
        let latest = Token::decode(&Token::new(-1, "a").encode()).unwrap();
        assert_eq!(latest.at(), At::Newest(Freshness::Consistent));
        for (text, why) in [
            ("%", "continue key is not valid: illegal base64 data at input byte 0"),
            (
                &encode("{\"v\":\"v2\",\"rv\":1,\"start\":\"a\"}"),
                "continue key is not valid: server does not recognize this encoded version v2",
            ),
            (
                &encode("{\"v\":\"meta.k8s.io/v1\",\"rv\":0,\"start\":\"a\"}"),
                "continue key is not valid: incorrect encoded start resourceVersion (version meta.k8s.io/v1)",
            ),
            (
                &encode("{\"v\":\"meta.k8s.io/v1\",\"rv\":1}"),
                "continue key is not valid: encoded start key empty (version meta.k8s.io/v1)",
            ),
            (
                &encode("{\"v\":\"meta.k8s.io/v1\",\"rv\":1,\"start\":\"a/../../b\"}"),
                "continue key is not valid: a/../../b",
            ),
        ] {
            assert_eq!(Token::decode(text).err().as_deref(), Some(why));
        }
    }
}
