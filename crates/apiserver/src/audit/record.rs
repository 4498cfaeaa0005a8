//! What is known of a request so far.

use std::{borrow::Cow, collections::BTreeMap};

use api_types::jiff::Timestamp;
use bytes::Bytes;
use component::{
    auth::{Attributes, Target, User},
    serve::Peer,
};
use futures::future::BoxFuture;
use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::value::{RawValue, to_raw_value};

use super::{
    Audit, Event, Extent, Level, Stage,
    event::{AuthenticationMetadata, ObjectReference, ResponseStatus, UserInfo},
    output::{Outcome, Patience},
};
use crate::{authorization::impersonation::Impersonated, protobuf, registry::Journal};

/// What is recorded of a request.
pub struct Record {
    audit: Audit,
    extent: Extent,
    seen: Seen,
    noted: Mutex<Noted>,
}

/// What is known of a request when it comes.
struct Seen {
    id: String,
    uri: String,
    verb: String,
    user: User,
    source_ips: Vec<String>,
    user_agent: String,
    object: Option<ObjectReference>,
    received: Timestamp,
}

/// What is found out on the way.
#[derive(Default)]
struct Noted {
    impersonated: Option<Impersonated>,
    sent: Option<Bytes>,
    annotations: BTreeMap<Cow<'static, str>, String>,
}

/// The longest name of a program that is recorded, in bytes.
const AGENT_MAX: usize = 1024;

impl Seen {
    /// What a request shows, which is called `id`.
    fn new<B>(id: &str, request: &http::Request<B>, attributes: &Attributes<'_>) -> Self {
        let uri = request.uri().path_and_query().map_or_else(String::new, ToString::to_string);
        let mut user_agent = header(request, "user-agent").to_owned();
        if user_agent.len() > AGENT_MAX {
            user_agent.truncate(AGENT_MAX);
            user_agent.push_str("...TRUNCATED");
        }
        Self {
            id: id.to_owned(),
            uri,
            verb: attributes.verb.to_string(),
            user: attributes.user.clone(),
            source_ips: source_ips(request),
            user_agent,
            object: object(&attributes.target),
            received: Timestamp::now(),
        }
    }
}

fn object(target: &Target<'_>) -> Option<ObjectReference> {
    let Target::Resource(place) = target else { return None };
    Some(ObjectReference {
        resource: place.resource.to_string(),
        namespace: place.namespace.to_string(),
        name: place.name.to_string(),
        api_group: place.group.to_string(),
        api_version: place.version.to_string(),
        subresource: place.subresource.to_string(),
        ..ObjectReference::default()
    })
}

fn header<'a, B>(request: &'a http::Request<B>, name: &str) -> &'a str {
    request.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// What proxies say, then the other end of the connection.
fn source_ips<B>(request: &http::Request<B>) -> Vec<String> {
    let said = header(request, "x-forwarded-for").split(',').chain([header(request, "x-real-ip")]).map(str::trim);
    let mut addresses: Vec<std::net::IpAddr> = said.filter_map(|text| text.parse().ok()).collect();
    addresses.dedup();
    addresses.extend(
        request.extensions().get::<Peer>().map(|peer| peer.address.ip()).filter(|ip| addresses.last() != Some(ip)),
    );
    addresses.iter().map(ToString::to_string).collect()
}

impl Journal for Record {
    fn note(&self, key: &str, value: &str) {
        self.noted.lock().annotations.insert(key.to_owned().into(), value.to_owned());
    }

    fn holds_objects(&self) -> bool {
        self.extent.level >= Level::Request
    }
}

/// What becomes of an event.
#[must_use = "a request waits until its events are written"]
pub struct Receipt {
    kept: bool,
    /// What is still being written.
    pending: Vec<BoxFuture<'static, bool>>,
}

impl Receipt {
    /// Waits until the event is written; false when it is lost and the request has to be refused for it.
    pub async fn kept(self) -> bool {
        futures::future::join_all(self.pending).await.into_iter().all(|kept| kept) && self.kept
    }
}

impl Record {
    /// Begins a record; `None` when the policy does not want one.
    #[must_use]
    pub fn begin<B>(audit: &Audit, id: &str, request: &http::Request<B>, attributes: &Attributes<'_>) -> Option<Self> {
        let extent = audit.0.policy.extent(attributes);
        audit.0.metrics.level(extent.level);
        (extent.level > Level::None).then(|| Self {
            audit: audit.clone(),
            extent,
            seen: Seen::new(id, request, attributes),
            noted: Mutex::default(),
        })
    }

    /// Whether the answer is wanted.
    #[must_use]
    pub fn wants_answer(&self) -> bool {
        self.extent.level == Level::RequestResponse
    }

    /// The client acts as somebody else.
    pub fn act_as(&self, impersonated: &Impersonated) {
        self.noted.lock().impersonated = Some(impersonated.clone());
    }

    /// This was sent, as JSON.
    pub fn sent(&self, json: &Bytes) {
        self.noted.lock().sent = Some(json.clone());
    }

    /// Something that the reader of the log should know.
    pub fn annotate(&self, key: &'static str, value: &str) {
        self.noted.lock().annotations.insert(key.into(), value.to_owned());
    }

    /// Writes an event, unless the policy omits the stage. `answer` is what was answered, as JSON; the beginning will do
    /// when it is not wanted.
    pub fn write(&self, stage: Stage, status: Option<ResponseStatus>, answer: Option<&[u8]>) -> Receipt {
        self.write_as(stage, status, answer, Patience::Waits)
    }

    /// The same when nobody can wait.
    pub fn leave(&self, stage: Stage, status: Option<ResponseStatus>, answer: Option<&[u8]>) {
        // Nothing is pending, and nobody is there to be refused.
        drop(self.write_as(stage, status, answer, Patience::Leaves));
    }

    fn write_as(
        &self,
        stage: Stage,
        status: Option<ResponseStatus>,
        answer: Option<&[u8]>,
        patience: Patience,
    ) -> Receipt {
        let mut receipt = Receipt { kept: true, pending: Vec::new() };
        if self.extent.omit_stages.contains(&stage) {
            return receipt;
        }
        let noted = self.noted.lock();
        let wants_sent = self.extent.level >= Level::Request;
        let answer = answer.filter(|_| self.wants_answer());
        let impersonated = noted.impersonated.as_ref();
        let constraint = impersonated.map(|impersonated| impersonated.constraint.as_str()).filter(|c| !c.is_empty());
        let sent = noted.sent.as_deref().filter(|_| wants_sent).and_then(|json| self.object(json));
        let answer = answer.and_then(|json| self.object(json));
        let event = Event {
            kind: "Event",
            api_version: "audit.k8s.io/v1",
            level: self.extent.level,
            audit_id: &self.seen.id,
            stage,
            request_uri: &self.seen.uri,
            verb: &self.seen.verb,
            user: UserInfo::from(&self.seen.user),
            impersonated_user: impersonated.map(|impersonated| UserInfo::from(&impersonated.user)),
            authentication_metadata: constraint
                .map(|impersonation_constraint| AuthenticationMetadata { impersonation_constraint }),
            source_ips: &self.seen.source_ips,
            user_agent: &self.seen.user_agent,
            object_ref: self.seen.object.clone().map(|object| completed(object, noted.sent.as_deref())),
            response_status: status,
            request_object: sent.as_deref(),
            response_object: answer.as_deref(),
            request_received_timestamp: micros(self.seen.received),
            stage_timestamp: micros(Timestamp::now()),
            annotations: noted.annotations.clone(),
        };
        self.audit.0.metrics.events.inc();
        for output in &self.audit.0.outputs {
            match output.write(&event, patience) {
                Outcome::Kept => {}
                Outcome::Lost => receipt.kept = false,
                Outcome::Pending(written) => receipt.pending.push(written),
            }
        }
        receipt
    }

    /// Bytes as they stand in an event; `None` when they are no object.
    fn object(&self, bytes: &[u8]) -> Option<Box<RawValue>> {
        let json = match protobuf::is_object(bytes) {
            true => Cow::Owned(protobuf::to_json(bytes).ok()?),
            false => Cow::Borrowed(bytes),
        };
        let json = &*on_one_line(&json);
        if !self.extent.omit_managed_fields {
            return serde_json::from_slice(json).ok();
        }
        let mut tree: serde_json::Value = serde_json::from_slice(json).ok()?;
        without_managed_fields(&mut tree);
        to_raw_value(&tree).ok()
    }
}

/// The log has a line an event. Between the tokens of a text, and nowhere else in it, there may be line breaks.
fn on_one_line(json: &[u8]) -> Cow<'_, [u8]> {
    let breaks = |byte: &u8| matches!(byte, b'\n' | b'\r');
    if !json.iter().any(breaks) {
        return Cow::Borrowed(json);
    }
    Cow::Owned(json.iter().map(|byte| if breaks(byte) { b' ' } else { *byte }).collect())
}

fn without_managed_fields(tree: &mut serde_json::Value) {
    if let Some(metadata) = tree.get_mut("metadata").and_then(serde_json::Value::as_object_mut) {
        metadata.remove("managedFields");
    }
    for item in tree.get_mut("items").and_then(serde_json::Value::as_array_mut).into_iter().flatten() {
        without_managed_fields(item);
    }
}

/// The part of an object that refers to it.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Sent<'a> {
    #[serde(borrow)]
    metadata: SentMetadata<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct SentMetadata<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow)]
    namespace: Cow<'a, str>,
    #[serde(borrow)]
    uid: Cow<'a, str>,
    #[serde(borrow)]
    resource_version: Cow<'a, str>,
}

/// A reference with what the path does not say.
fn completed(mut object: ObjectReference, sent: Option<&[u8]>) -> ObjectReference {
    let sent: Sent<'_> = sent.and_then(|json| serde_json::from_slice(json).ok()).unwrap_or_default();
    let metadata = sent.metadata;
    for (known, sent) in [
        (&mut object.name, metadata.name),
        (&mut object.namespace, metadata.namespace),
        (&mut object.uid, metadata.uid),
        (&mut object.resource_version, metadata.resource_version),
    ] {
        if known.is_empty() {
            *known = sent.into_owned();
        }
    }
    object
}

/// As Go writes a `MicroTime`.
fn micros(time: Timestamp) -> String {
    format!("{time:.6}")
}
