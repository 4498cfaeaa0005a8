//! What the API server is asked: `TokenReview` and `SubjectAccessReview`.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context as _;
use axum::http::header::CONTENT_TYPE;
use kube::Client;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::json;

use super::User;
use super::authorize::Decision;

/// Upstream's limit for one question.
const PATIENCE: Duration = Duration::from_secs(10);
const TOKENS: (&str, &str, &str) =
    ("/apis/authentication.k8s.io/v1/tokenreviews", "authentication.k8s.io/v1", "TokenReview");
const ACCESS: (&str, &str, &str) =
    ("/apis/authorization.k8s.io/v1/subjectaccessreviews", "authorization.k8s.io/v1", "SubjectAccessReview");

/// The API server as a judge.
pub struct Reviews {
    client: Client,
}

/// What may be asked about access, and what an answer is kept under.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub(super) struct AccessSpec {
    user: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    uid: String,
    groups: Vec<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    extra: BTreeMap<String, Vec<String>>,
    #[serde(rename = "resourceAttributes")]
    attributes: ResourceAttributes,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
struct ResourceAttributes {
    verb: String,
    version: &'static str,
    resource: &'static str,
    subresource: String,
    name: String,
}

impl AccessSpec {
    pub(super) fn new(user: &User, node: &str, verb: &str, subresource: &str) -> Self {
        Self {
            user: user.name.clone(),
            uid: user.uid.clone(),
            groups: user.groups.clone(),
            extra: user.extra.clone(),
            attributes: ResourceAttributes {
                verb: verb.to_owned(),
                version: "v1",
                resource: "nodes",
                subresource: subresource.to_owned(),
                name: node.to_owned(),
            },
        }
    }
}

#[derive(Deserialize)]
struct Answer<T> {
    status: T,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct TokenStatus {
    authenticated: bool,
    user: User,
    error: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct AccessStatus {
    allowed: bool,
    denied: bool,
    evaluation_error: String,
}

/// Go writes an empty list or map as `null`.
pub(super) fn null_is_empty<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(from: D) -> Result<T, D::Error> {
    Option::<T>::deserialize(from).map(Option::unwrap_or_default)
}

impl Reviews {
    /// Asks through this client.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self { client }
    }

    /// Whose token this is; `None` when it is nobody's.
    pub(super) async fn token(&self, token: &str) -> anyhow::Result<Option<User>> {
        let status: TokenStatus = self.ask(TOKENS, &json!({"token": token})).await?;
        status.user()
    }

    /// Whether this is allowed.
    pub(super) async fn access(&self, spec: &AccessSpec) -> anyhow::Result<Decision> {
        let status: AccessStatus = self.ask(ACCESS, spec).await?;
        status.decision()
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        (path, version, kind): (&str, &str, &str),
        spec: &impl Serialize,
    ) -> anyhow::Result<T> {
        let review = json!({"apiVersion": version, "kind": kind, "metadata": {}, "spec": spec});
        let request = http::Request::post(path).header(CONTENT_TYPE, "application/json");
        let request = request.body(serde_json::to_vec(&review)?)?;
        let answer = tokio::time::timeout(PATIENCE, self.client.request::<Answer<T>>(request)).await;
        Ok(answer.with_context(|| format!("{kind}: no answer"))?.with_context(|| format!("creating a {kind}"))?.status)
    }
}

impl TokenStatus {
    fn user(self) -> anyhow::Result<Option<User>> {
        if self.authenticated {
            anyhow::ensure!(!self.user.name.is_empty(), "a token of somebody who has no name");
            return Ok(Some(self.user));
        }
        anyhow::ensure!(self.error.is_empty(), "{}", self.error);
        Ok(None)
    }
}

impl AccessStatus {
    fn decision(self) -> anyhow::Result<Decision> {
        anyhow::ensure!(!(self.allowed && self.denied), "both allowed and denied");
        if !self.evaluation_error.is_empty() {
            tracing::debug!("evaluating access: {}", self.evaluation_error);
        }
        Ok(if self.allowed { Decision::Allowed } else { Decision::Denied })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn token_reviews_are_read() {
        let read = |status: &str| {
            let answer: Answer<TokenStatus> = serde_json::from_str(&format!(r#"{{"status": {status}}}"#)).unwrap();
            answer.status.user().map_err(|error| error.to_string())
        };
        let sa = User {
            name: "system:serviceaccount:ns:sa".into(),
            uid: "u".into(),
            groups: vec!["g".into()],
            extra: BTreeMap::from([("k".into(), vec!["v".into()])]),
        };
        let whole = r#"{"authenticated": true, "audiences": ["a"], "user": {"username": "system:serviceaccount:ns:sa",
            "uid": "u", "groups": ["g"], "extra": {"k": ["v"]}}}"#;
        assert_eq!(read(whole), Ok(Some(sa)));
        let bare = r#"{"authenticated": true, "user": {"username": "u", "groups": null, "extra": null}}"#;
        assert_eq!(read(bare).unwrap().unwrap().name, "u");
        assert_eq!(read("{}"), Ok(None));
        assert_eq!(read(r#"{"authenticated": false, "user": {}}"#), Ok(None));
        assert_eq!(read(r#"{"error": "expired"}"#), Err("expired".into()));
        assert!(read(r#"{"authenticated": true}"#).is_err());
    }

    #[test]
    fn access_reviews_are_written_and_read() {
        let user = User { name: "jane".into(), groups: vec!["g".into()], ..User::default() };
        let spec = serde_json::to_value(AccessSpec::new(&user, "n", "get", "stats")).unwrap();
        let expected = json!({"user": "jane", "groups": ["g"], "resourceAttributes": {
            "verb": "get", "version": "v1", "resource": "nodes", "subresource": "stats", "name": "n"}});
        assert_eq!(spec, expected);
        let read = |status: &str| serde_json::from_str::<AccessStatus>(status).unwrap().decision().ok();
        assert_eq!(read(r#"{"allowed": true, "reason": "r"}"#), Some(Decision::Allowed));
        assert_eq!(read(r#"{"allowed": false, "denied": true}"#), Some(Decision::Denied));
        assert_eq!(read(r#"{"evaluationError": "e"}"#), Some(Decision::Denied));
        assert_eq!(read(r#"{"allowed": true, "denied": true}"#), None);
    }
}
