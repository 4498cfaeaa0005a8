//! GET of a collection.

use std::num::NonZeroUsize;

use api_types::{
    StatusError,
    field::{FieldError, Path},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use futures::stream;
use http::StatusCode;
use serde::{Deserialize, Serialize};

use super::{Answer, Call, protobuf_list, selection, table};
use crate::{
    catalogue::Request,
    registry::Rest,
    request::{Encoding, Form, Query},
    serving::{Body, respond},
    storage::{
        Item, Key, Prefix, Revision, StoreError,
        cache::{At, Freshness, ListBody, ListRequest, Listing},
    },
};

pub(super) async fn answer(call: &Call<'_>, request: &Request) -> Answer {
    let (scope, paging) = (call.rest.scope(call.target().namespace), Paging::of(&request.query)?);
    let selector = selection::selector(call.rest, &request.query, call.target())?;
    let start_after = paging.after.as_ref().map(|after| Key::new(format!("{}{after}", scope.as_str())));
    let wanted = ListRequest { scope: scope.clone(), selector, start_after, limit: paging.limit, at: paging.at };
    let listed = call.rest.cache().list(&wanted).await;
    let listing = listed.map_err(|error| list_error(call.rest, &paging, &error))?;
    render(call.rest, request, &scope, listing).await
}

/// A page that cannot be had any more is told in words that name the way out.
fn list_error(rest: &Rest, paging: &Paging, error: &StoreError) -> StatusError {
    match error {
        StoreError::Compacted { .. } if paging.after.is_some() => StatusError::expired(
            "The provided continue parameter is too old to display a consistent list result. You can start a new list without the continue parameter.",
        ),
        error => rest.store_error("", error),
    }
}

pub(super) async fn render(rest: &Rest, request: &Request, scope: &Prefix, listing: Listing) -> Answer {
    let meta = ListMeta::of(scope, &listing);
    let json: Bytes = match (request.accept.form, &rest.conversion) {
        (Form::Object, None) if request.accept.encoding == Encoding::Protobuf => {
            return protobuf_list::answer(rest, &meta, listing.entries).await;
        }
        (Form::Object, None) => return Ok(objects(rest, request.accept.encoding, &meta, listing)),
        (Form::Object, Some(_)) => {
            let items: Vec<Bytes> = rest.present_each(&items(&listing)).await?.into_iter().flatten().collect();
            join(&head(&rest.row.list_kind(), &rest.row.api_version(), &meta), &items)
        }
        (Form::Table, _) => {
            table::of_list(rest, &items(&listing), &meta, table::IncludeObject::of(&request.query)?).await?
        }
        (Form::MetadataList | Form::Metadata, _) => {
            let items = items(&listing);
            let objects = rest.present_each(&items).await?.into_iter().zip(items);
            let partial = |(object, item): (Option<Bytes>, &Item)| {
                rest.shown(item, table::metadata_of(&object?).map(Bytes::from))
            };
            let items: Vec<Bytes> = objects.filter_map(partial).collect();
            join(&head("PartialObjectMetadataList", "meta.k8s.io/v1", &meta), &items)
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
    let body = ListBody::new(&head, listing.entries);
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
            Token { version: TOKEN_VERSION.into(), revision: listing.revision.0, start: after.into() }.encode()
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
struct Token {
    #[serde(rename = "v")]
    version: String,
    #[serde(rename = "rv")]
    revision: u64,
    /// The last key of the page before, below the folder that is listed.
    start: String,
}

const TOKEN_VERSION: &str = "meta.k8s.io/v1";

impl Token {
    fn encode(&self) -> String {
        URL_SAFE_NO_PAD.encode(serde_json::to_vec(self).unwrap_or_default())
    }

    fn decode(text: &str) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).ok()?;
        let token: Self = serde_json::from_slice(&bytes).ok()?;
        let sound = token.version == TOKEN_VERSION && !token.start.split('/').any(|step| step == "..");
        sound.then_some(token)
    }
}

/// Which part of a list, and as of when.
struct Paging {
    at: At,
    limit: Option<NonZeroUsize>,
    /// The key after which to go on, below the folder that is listed.
    after: Option<String>,
}

impl Paging {
    fn of(query: &Query) -> Result<Self, StatusError> {
        let limit = selection::integer(query, "limit")?;
        let limit = limit.and_then(|limit| usize::try_from(limit).ok()).and_then(NonZeroUsize::new);
        // The list ends by itself; but what is no number is refused everywhere.
        selection::integer(query, "timeoutSeconds")?;
        let rule = query.get("resourceVersionMatch");
        if let Some(text) = query.get("continue") {
            if rule.is_some() {
                let why = "resourceVersionMatch is forbidden when continue is provided";
                return Err(selection::invalid_options(FieldError::forbidden(&Path::new("resourceVersionMatch"), why)));
            }
            let token =
                Token::decode(text).ok_or_else(|| StatusError::bad_request("continue key is not valid: illegal"))?;
            let at = At::Exactly(Revision(token.revision));
            return Ok(Self { at, limit, after: Some(token.start) });
        }
        Ok(Self { at: at(query, rule)?, limit, after: None })
    }
}

fn at(query: &Query, rule: Option<&str>) -> Result<At, StatusError> {
    let path = Path::new("resourceVersionMatch");
    let version = query.get("resourceVersion");
    match (rule, version) {
        (None | Some("NotOlderThan"), Some(_)) => selection::freshness(query).map(At::Newest),
        (None, None) => Ok(At::Newest(Freshness::Consistent)),
        (Some("Exact"), Some("0")) => {
            let why = "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"";
            Err(selection::invalid_options(FieldError::forbidden(&path, why)))
        }
        (Some("Exact"), Some(text)) => selection::revision(text).map(At::Exactly),
        (Some("Exact" | "NotOlderThan"), None) => {
            let why = "resourceVersionMatch is forbidden unless resourceVersion is provided";
            Err(selection::invalid_options(FieldError::forbidden(&path, why)))
        }
        (Some(other), _) => {
            Err(selection::invalid_options(FieldError::not_supported(&path, other, &["Exact", "NotOlderThan", ""])))
        }
    }
}
