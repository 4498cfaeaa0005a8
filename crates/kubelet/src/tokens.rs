//! Tokens of pods' service accounts, bound to the pod, renewed before they expire.

use std::collections::HashMap;
use std::time::Duration;

use api_types::core::Pod;
use api_types::jiff::Timestamp;
use kube::Client;
use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::json;

use crate::pod::PodExt;
use crate::runtime::PodUid;
use crate::volumes::payload::{TokenKey, tokens_of};

/// Upstream renews after four fifths of a token's life, and after a day at the latest.
const RENEW_AFTER: f64 = 0.8;
const LONGEST: Duration = Duration::from_secs(86_400);

/// Fetches and keeps tokens.
pub struct TokenManager {
    client: Option<Client>,
    known: Mutex<HashMap<(PodUid, TokenKey), Known>>,
}

#[derive(Clone)]
struct Known {
    token: String,
    renew_at: Timestamp,
    ends_at: Timestamp,
}

#[derive(Deserialize)]
struct TokenRequest {
    status: TokenStatus,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TokenStatus {
    token: String,
    expiration_timestamp: Timestamp,
}

impl TokenManager {
    /// A manager that asks `client`.
    #[must_use]
    pub fn new(client: Option<Client>) -> Self {
        Self { client, known: Mutex::default() }
    }

    /// A token that is good for a while.
    ///
    /// # Errors
    /// Why there is none, in words for an event. One that is due but cannot be renewed is given as long as it is good.
    pub async fn get(&self, pod: &Pod, key: &TokenKey) -> Result<String, String> {
        let id = (pod.uid(), key.clone());
        let old = self.known.lock().get(&id).cloned();
        if let Some(known) = old.as_ref().filter(|known| Timestamp::now() < known.renew_at) {
            return Ok(known.token.clone());
        }
        match self.request(pod, key).await {
            Ok(status) => {
                let now = Timestamp::now();
                let life = Duration::try_from(status.expiration_timestamp.duration_since(now)).unwrap_or_default();
                let renew_at = now.checked_add(life.mul_f64(RENEW_AFTER).min(LONGEST)).unwrap_or(now);
                let known = Known { token: status.token.clone(), renew_at, ends_at: status.expiration_timestamp };
                self.known.lock().insert(id, known);
                Ok(status.token)
            }
            Err(error) => {
                let good = old.filter(|known| Timestamp::now() < known.ends_at).ok_or_else(|| error.clone())?;
                tracing::warn!(pod = %pod.key(), "a token cannot be renewed: {error}");
                Ok(good.token)
            }
        }
    }

    async fn request(&self, pod: &Pod, key: &TokenKey) -> Result<TokenStatus, String> {
        let client = self.client.clone().ok_or("there is no API server")?;
        let pod_key = pod.key();
        let account = pod.pod_spec().service_account_name.as_deref().unwrap_or("default");
        let audiences: Vec<&str> =
            Some(key.audience.as_str()).filter(|audience| !audience.is_empty()).into_iter().collect();
        let body = json!({
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {
                "audiences": audiences,
                "expirationSeconds": key.seconds,
                "boundObjectRef": {"apiVersion": "v1", "kind": "Pod", "name": pod_key.name, "uid": pod.uid().0},
            },
        });
        let path = format!("/api/v1/namespaces/{}/serviceaccounts/{account}/token", pod_key.namespace);
        let request = http::Request::post(path)
            .header(http::header::CONTENT_TYPE, "application/json")
            .body(body.to_string().into_bytes())
            .map_err(|error| error.to_string())?;
        let answer: TokenRequest = client.request(request).await.map_err(|error| error.to_string())?;
        Ok(answer.status)
    }

    /// When the first of the pod's tokens should be renewed.
    #[must_use]
    pub fn refresh_in(&self, pod: &Pod) -> Option<Duration> {
        let known = self.known.lock();
        let uid = pod.uid();
        let due =
            tokens_of(pod).into_iter().filter_map(|key| known.get(&(uid.clone(), key))).map(|k| k.renew_at).min()?;
        let left = Duration::try_from(due.duration_since(Timestamp::now())).unwrap_or_default();
        Some(left.max(Duration::from_secs(10)))
    }

    /// Forgets a pod that is gone.
    pub fn forget(&self, pod: &PodUid) {
        self.known.lock().retain(|(uid, _), _| uid != pod);
    }
}
