//! Events as `audit.k8s.io/v1` has them.

use std::{borrow::Cow, collections::BTreeMap};

use api_types::meta;
use component::auth::User;
use serde::Serialize;
use serde_json::value::RawValue;

use super::{Level, Stage};

/// Something that happened to a request.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Event<'a> {
    /// `Event`, or nothing in a list.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub kind: &'static str,
    /// `audit.k8s.io/v1`, or nothing in a list.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub api_version: &'static str,
    /// How much is recorded.
    pub level: Level,
    /// The request; all its events have the same.
    #[serde(rename = "auditID")]
    pub audit_id: &'a str,
    /// When.
    pub stage: Stage,
    /// Path and query.
    #[serde(rename = "requestURI")]
    pub request_uri: &'a str,
    /// What was to be done.
    pub verb: &'a str,
    /// Who.
    pub user: UserInfo<'a>,
    /// As whom they acted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub impersonated_user: Option<UserInfo<'a>>,
    /// What allowed them to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub authentication_metadata: Option<AuthenticationMetadata<'a>>,
    /// From where, first what proxies say.
    #[serde(rename = "sourceIPs", skip_serializing_if = "<[_]>::is_empty")]
    pub source_ips: &'a [String],
    /// By which program.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub user_agent: &'a str,
    /// To what.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub object_ref: Option<ObjectReference>,
    /// With what result; nothing before there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response_status: Option<ResponseStatus>,
    /// What was sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_object: Option<&'a RawValue>,
    /// What was answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response_object: Option<&'a RawValue>,
    /// When the request came.
    pub request_received_timestamp: String,
    /// When this event happened.
    pub stage_timestamp: String,
    /// What parts of the server noted.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<Cow<'static, str>, String>,
}

impl<'a> Event<'a> {
    /// The same without the objects, and a note that tells so.
    #[must_use]
    pub fn truncated(&self) -> Event<'a> {
        let mut annotations = self.annotations.clone();
        annotations.insert("audit.k8s.io/truncated".into(), "true".to_owned());
        Event { request_object: None, response_object: None, annotations, ..self.clone() }
    }
}

/// A user.
#[derive(Clone, Debug, Serialize)]
pub struct UserInfo<'a> {
    /// The name.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub username: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    uid: &'a str,
    /// The groups.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub groups: &'a [String],
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    extra: &'a BTreeMap<String, Vec<String>>,
}

impl<'a> From<&'a User> for UserInfo<'a> {
    fn from(user: &'a User) -> Self {
        Self { username: &user.name, uid: &user.uid, groups: &user.groups, extra: &user.extra }
    }
}

/// What allowed somebody to act as somebody else.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AuthenticationMetadata<'a> {
    /// The mode's verb.
    pub impersonation_constraint: &'a str,
}

/// What was to be done something with.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ObjectReference {
    /// The plural.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub resource: String,
    /// Empty at cluster scope.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub namespace: String,
    /// Empty for collections.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// The object's, when it was sent.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub uid: String,
    /// Empty for core.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub api_group: String,
    /// Of the group.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub api_version: String,
    /// The object's, when it was sent.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub resource_version: String,
    /// Such as `status`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub subresource: String,
}

/// How a request ended.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ResponseStatus {
    /// Always empty.
    pub metadata: meta::ListMeta,
    /// `Success` or `Failure`, when the answer was a `Status`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// In words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// In one word.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// About what.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub details: Option<meta::StatusDetails>,
    /// The HTTP status.
    pub code: u16,
}

impl ResponseStatus {
    /// A bare code, or what the `Status` says that is the answer.
    #[must_use]
    pub fn new(code: u16, answer: &[u8]) -> Self {
        let status =
            answer.starts_with(br#"{"kind":"Status""#) || answer.starts_with(br#"{"apiVersion":"v1","kind":"Status""#);
        let status = if status {
            serde_json::from_slice::<meta::Status>(answer).unwrap_or_default()
        } else {
            meta::Status::default()
        };
        Self {
            metadata: meta::ListMeta::default(),
            status: status.status,
            message: status.message,
            reason: status.reason,
            details: status.details,
            code,
        }
    }
}
