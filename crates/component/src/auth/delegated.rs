//! Asking the API server: whose token it is, and what users may do.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context, bail, ensure};
use futures::future::BoxFuture;
use kube::Client;
use serde::{Deserialize, Deserializer, de::DeserializeOwned};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{
    Answers, Attributes, Authorizer, Decision, Found, Identity, Rules, Target, TokenAuthenticator, User, Verdict,
};
use crate::backoff::Backoff;

/// How long the API server may take for an answer, as upstream.
const TIMEOUT: Duration = Duration::from_secs(10);

/// How often a question is asked, and how long is waited before it is asked again; upstream's numbers, with doubling.
const ATTEMPTS: usize = 5;
const FIRST_DELAY: Duration = Duration::from_millis(500);
const LONGEST_DELAY: Duration = Duration::from_millis(1700);

async fn review<T: DeserializeOwned>(client: &Client, endpoint: &Endpoint, review: &Value) -> anyhow::Result<T> {
    let body = serde_json::to_vec(review)?;
    let mut backoff = Backoff::new(FIRST_DELAY, LONGEST_DELAY);
    let mut attempt = 1;
    loop {
        let request = http::Request::post(&endpoint.path).header(http::header::CONTENT_TYPE, "application/json");
        let asked = client.request::<Review<T>>(request.body(body.clone())?);
        let answer = tokio::time::timeout(endpoint.timeout, asked).await;
        match answer.context("the API server did not answer in time")? {
            Err(error) if attempt < ATTEMPTS && is_transient(&error) => {
                tokio::time::sleep(backoff.next_delay()).await;
                attempt += 1;
            }
            answer => return Ok(answer.context("asking the API server")?.status),
        }
    }
}

/// Whether it may help to ask again: the other side says that something went wrong there, or hung up.
fn is_transient(error: &kube::Error) -> bool {
    if let kube::Error::Api(status) = error {
        return matches!(status.code, 429 | 500 | 504);
    }
    let mut source: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(cause) = source {
        if cause.downcast_ref::<std::io::Error>().is_some_and(|io| io.kind() == std::io::ErrorKind::ConnectionReset) {
            return true;
        }
        source = cause.source();
    }
    false
}

/// The part of a review that was found out.
#[derive(Deserialize)]
struct Review<T> {
    status: T,
}

/// Recognises tokens by `TokenReview`.
pub struct TokenReviews {
    client: Client,
    endpoint: Endpoint,
    ttl: Duration,
    /// By the hashes of token and audiences: the tokens themselves are nowhere.
    known: Answers<[u8; 32], Option<Identity>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct TokenStatus {
    authenticated: bool,
    user: ReviewedUser,
    #[serde(deserialize_with = "null_is_empty")]
    audiences: Vec<String>,
    error: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ReviewedUser {
    username: String,
    uid: String,
    #[serde(deserialize_with = "null_is_empty")]
    groups: Vec<String>,
    #[serde(deserialize_with = "null_is_empty")]
    extra: BTreeMap<String, Vec<String>>,
}

/// Go writes an empty list or map as `null`.
fn null_is_empty<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(from: D) -> Result<T, D::Error> {
    Option::<T>::deserialize(from).map(Option::unwrap_or_default)
}

impl TokenStatus {
    fn identity(self) -> Found {
        if self.authenticated {
            ensure!(!self.user.username.is_empty(), "a token of somebody who has no name");
            let user = User::authenticated(self.user.username, self.user.uid, self.user.groups);
            return Ok(Some(Identity { user: User { extra: self.user.extra, ..user }, audiences: self.audiences }));
        }
        ensure!(self.error.is_empty(), "{}", self.error);
        Ok(None)
    }
}

impl TokenReviews {
    /// Asks the server of `client`, and takes its answers for good for a while.
    #[must_use]
    pub fn new(client: Client, ttl: Duration) -> Self {
        let path = "/apis/authentication.k8s.io/v1/tokenreviews".to_owned();
        let endpoint = Endpoint { path, version: ReviewVersion::V1, timeout: TIMEOUT };
        Self { client, endpoint, ttl, known: Answers::new() }
    }

    /// The same, asking elsewhere: a webhook.
    #[must_use]
    pub fn at(self, endpoint: Endpoint) -> Self {
        Self { endpoint, ..self }
    }

    async fn ask(&self, token: &str, audiences: &[String]) -> Found {
        let key = hash(token, audiences);
        if let Some(known) = self.known.get(&key) {
            return Ok(known);
        }
        let asked = json!({
            "apiVersion": format!("authentication.k8s.io/{}", self.endpoint.version.name()),
            "kind": "TokenReview",
            "spec": {"token": token, "audiences": audiences},
        });
        let status: TokenStatus = review(&self.client, &self.endpoint, &asked).await?;
        let identity = status.identity()?;
        self.known.put(key, identity.clone(), self.ttl);
        Ok(identity)
    }
}

fn hash(token: &str, audiences: &[String]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for text in std::iter::once(token).chain(audiences.iter().map(String::as_str)) {
        hash.update(text.len().to_le_bytes());
        hash.update(text);
    }
    hash.finalize().into()
}

impl TokenAuthenticator for TokenReviews {
    fn find<'a>(&'a self, token: &'a str, audiences: &'a [String]) -> BoxFuture<'a, Found> {
        Box::pin(self.ask(token, audiences))
    }
}

/// A version of reviews.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReviewVersion {
    /// `v1`.
    V1,
    /// `v1beta1`, in which a `SubjectAccessReview` calls groups `group`.
    V1beta1,
}

impl ReviewVersion {
    /// As it is written.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::V1 => "v1",
            Self::V1beta1 => "v1beta1",
        }
    }

    /// The version of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        [Self::V1, Self::V1beta1].into_iter().find(|version| version.name() == name)
    }
}

/// Where and how a review is asked.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// The path.
    pub path: String,
    /// The version.
    pub version: ReviewVersion,
    /// How long an answer may take each time that it is asked.
    pub timeout: Duration,
}

/// Decides by `SubjectAccessReview`.
pub struct AccessReviews {
    client: Client,
    endpoint: Endpoint,
    allowed_ttl: Duration,
    refused_ttl: Duration,
    /// By what was asked, as JSON.
    known: Answers<String, Verdict>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct AccessStatus {
    allowed: bool,
    denied: bool,
    reason: String,
}

impl AccessStatus {
    fn verdict(self) -> anyhow::Result<Verdict> {
        let decision = match (self.allowed, self.denied) {
            (true, true) => bail!("webhook subject access review returned both allow and deny response"),
            (true, false) => Decision::Allow,
            (false, true) => Decision::Deny,
            (false, false) => Decision::NoOpinion,
        };
        Ok(Verdict { decision, reason: self.reason, error: String::new() })
    }
}

impl AccessReviews {
    /// Asks the server of `client`, and takes its answers for good for a while.
    #[must_use]
    pub fn new(client: Client, allowed_ttl: Duration, refused_ttl: Duration) -> Self {
        let path = "/apis/authorization.k8s.io/v1/subjectaccessreviews".to_owned();
        let endpoint = Endpoint { path, version: ReviewVersion::V1, timeout: TIMEOUT };
        Self { client, endpoint, allowed_ttl, refused_ttl, known: Answers::new() }
    }

    /// The same, asking elsewhere: a webhook.
    #[must_use]
    pub fn at(self, endpoint: Endpoint) -> Self {
        Self { endpoint, ..self }
    }

    async fn ask(&self, attributes: &Attributes<'_>) -> anyhow::Result<Verdict> {
        let version = self.endpoint.version;
        let mut spec = access_spec(attributes);
        if let (ReviewVersion::V1beta1, Value::Object(fields)) = (version, &mut spec)
            && let Some(groups) = fields.remove("groups")
        {
            fields.insert("group".to_owned(), groups);
        }
        let key = spec.to_string();
        if let Some(known) = self.known.get(&key) {
            return Ok(known);
        }
        let version = format!("authorization.k8s.io/{}", version.name());
        let asked = json!({"apiVersion": version, "kind": "SubjectAccessReview", "spec": spec});
        let status: AccessStatus = review(&self.client, &self.endpoint, &asked).await?;
        let verdict = status.verdict()?;
        let ttl = if verdict.decision == Decision::Allow { self.allowed_ttl } else { self.refused_ttl };
        if key.len() <= LONGEST_REMEMBERED {
            self.known.put(key, verdict.clone(), ttl);
        }
        Ok(verdict)
    }
}

/// The longest question whose answer is kept, in bytes; upstream's limit. Paths are the client's to choose.
const LONGEST_REMEMBERED: usize = 10_000;

/// What a `SubjectAccessReview` asks. What is empty is left out, as Go does.
fn access_spec(attributes: &Attributes<'_>) -> Value {
    let User { name, uid, groups, extra } = attributes.user;
    let mut spec =
        filled([("user", json!(name)), ("uid", json!(uid)), ("groups", json!(groups)), ("extra", json!(extra))]);
    let (field, asked) = match &attributes.target {
        Target::Path(path) => {
            ("nonResourceAttributes", filled([("path", json!(path)), ("verb", json!(attributes.verb))]))
        }
        Target::Resource(place) => {
            let selector = |text: &str| filled([("rawSelector", json!(text))]);
            let asked = filled([
                ("verb", json!(attributes.verb)),
                ("group", json!(place.group)),
                ("version", json!(place.version)),
                ("namespace", json!(place.namespace)),
                ("resource", json!(place.resource)),
                ("subresource", json!(place.subresource)),
                ("name", json!(place.name)),
                ("fieldSelector", selector(&place.field_selector)),
                ("labelSelector", selector(&place.label_selector)),
            ]);
            ("resourceAttributes", asked)
        }
    };
    spec[field] = asked;
    spec
}

/// An object of the fields that have something in them.
fn filled<const N: usize>(fields: [(&'static str, Value); N]) -> Value {
    let empty = |value: &Value| match value {
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        _ => false,
    };
    fields.into_iter().filter(|(_, value)| !empty(value)).map(|(name, value)| (name.to_owned(), value)).collect()
}

impl Authorizer for AccessReviews {
    fn authorize<'a>(&'a self, attributes: &'a Attributes<'a>) -> BoxFuture<'a, Verdict> {
        Box::pin(async move {
            let asked = self.ask(attributes).await;
            asked.unwrap_or_else(|error| Verdict::failed(format!("{error:#}")))
        })
    }

    fn rules<'a>(&'a self, _: &'a User, _: &'a str) -> BoxFuture<'a, Rules> {
        let error = "webhook authorizer does not support user rule resolution".to_owned();
        Box::pin(std::future::ready(Rules { incomplete: true, error, ..Rules::default() }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::ResourceAttributes;

    #[test]
    fn token_reviews_are_read() {
        let read = |status: &str| {
            let answer: Review<TokenStatus> = serde_json::from_str(&format!(r#"{{"status": {status}}}"#)).unwrap();
            answer.status.identity().map_err(|error| error.to_string())
        };
        let whole = r#"{"authenticated": true, "audiences": ["a"], "user": {"username": "system:serviceaccount:ns:sa",
            "uid": "u", "groups": ["g"], "extra": {"k": ["v"]}}}"#;
        let user = User::authenticated("system:serviceaccount:ns:sa", "u", vec!["g".into()]).with_extra("k", "v");
        assert_eq!(read(whole), Ok(Some(Identity { user, audiences: vec!["a".into()] })));
        let bare = r#"{"authenticated": true, "user": {"username": "u", "groups": null, "extra": null}}"#;
        assert_eq!(read(bare).unwrap().unwrap().user.groups, ["system:authenticated"]);
        assert_eq!(read("{}"), Ok(None));
        assert_eq!(read(r#"{"authenticated": false, "user": {}}"#), Ok(None));
        assert_eq!(read(r#"{"user": {}, "error": "expired"}"#), Err("expired".into()));
        assert!(read(r#"{"authenticated": true}"#).is_err());
    }

    #[test]
    fn access_reviews_are_written_and_read() {
        let jane = User { name: "jane".into(), groups: vec!["g".into()], ..User::default() };
        let stats = ResourceAttributes {
            version: "v1".into(),
            resource: "nodes".into(),
            subresource: "stats".into(),
            name: "n".into(),
            label_selector: "a=b".into(),
            ..ResourceAttributes::default()
        };
        let asked = Attributes { user: &jane, verb: "get".into(), target: Target::Resource(stats) };
        let expected = json!({"user": "jane", "groups": ["g"], "resourceAttributes": {
            "verb": "get", "version": "v1", "resource": "nodes", "subresource": "stats", "name": "n",
            "labelSelector": {"rawSelector": "a=b"}}});
        assert_eq!(access_spec(&asked), expected);
        let path = Attributes { user: &jane, verb: "get".into(), target: Target::Path("/x".into()) };
        assert_eq!(access_spec(&path)["nonResourceAttributes"], json!({"path": "/x", "verb": "get"}));
        let read = |status: &str| {
            let status: AccessStatus = serde_json::from_str(status).unwrap();
            status.verdict().map(|verdict| verdict.decision).ok()
        };
        assert_eq!(read(r#"{"allowed": true, "reason": "r"}"#), Some(Decision::Allow));
        assert_eq!(read(r#"{"allowed": false, "denied": true}"#), Some(Decision::Deny));
        assert_eq!(read(r#"{"evaluationError": "e"}"#), Some(Decision::NoOpinion));
        assert_eq!(read(r#"{"allowed": true, "denied": true}"#), None);
    }
}
