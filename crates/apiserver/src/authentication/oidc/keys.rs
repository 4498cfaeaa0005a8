//! A provider's keys, fetched when they are needed, and again when a token names one that is not known.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, anyhow, ensure};
use component::jwt::{PublicKey, parse_key_set};
use http::Uri;
use http_body_util::{BodyExt, Limited};
use kube::{Client, Config, client::Body};
use parking_lot::RwLock;
use serde::Deserialize;
use tokio::sync::Mutex;

use super::Settings;

/// How long a provider may take for an answer.
const TIMEOUT: Duration = Duration::from_secs(10);
/// So many bytes a provider's answer may have.
const MOST_BYTES: usize = 1 << 20;
/// So long after one attempt to fetch the keys there is no other: tokens that name strange keys cost nothing.
const PAUSE: Duration = Duration::from_secs(10);
/// So long keys are known: one that the provider takes back is not believed for ever.
const KNOWN_FOR: Duration = Duration::from_secs(60 * 60);

pub(super) struct ProviderKeys {
    issuer: String,
    discovery: Uri,
    authorities: Option<Vec<Vec<u8>>>,
    known: RwLock<Known>,
    /// When somebody tried last to fetch them. Held by whoever does that.
    tried: Mutex<Option<Instant>>,
}

#[derive(Default)]
struct Known {
    keys: Arc<Vec<PublicKey>>,
    /// When they were fetched.
    since: Option<Instant>,
}

impl Known {
    /// The keys, unless they are known for too long.
    fn fresh(&self) -> Option<Arc<Vec<PublicKey>>> {
        self.since.is_some_and(|since| since.elapsed() < KNOWN_FOR).then(|| self.keys.clone())
    }

    /// The same, if there is one of this id.
    fn with(&self, id: &str) -> Option<Arc<Vec<PublicKey>>> {
        self.fresh().filter(|keys| keys.iter().any(|key| id.is_empty() || key.id() == id))
    }
}

/// What is read of a provider's description of itself.
#[derive(Deserialize)]
struct Discovery {
    issuer: String,
    jwks_uri: String,
}

impl ProviderKeys {
    pub fn new(settings: &Settings) -> Self {
        Self {
            issuer: settings.issuer.clone(),
            discovery: settings.discovery.clone(),
            authorities: settings.authorities.clone(),
            known: RwLock::default(),
            tried: Mutex::default(),
        }
    }

    /// The keys, the one of this id among them if the provider has it.
    pub async fn of(&self, id: &str) -> anyhow::Result<Arc<Vec<PublicKey>>> {
        if let Some(keys) = self.known.read().with(id) {
            return Ok(keys);
        }
        let mut tried = self.tried.lock().await;
        // Somebody may have fetched them meanwhile.
        if let Some(keys) = self.known.read().with(id) {
            return Ok(keys);
        }
        if tried.is_some_and(|tried| tried.elapsed() < PAUSE) {
            return self.known.read().fresh().context("they could not be fetched a moment ago");
        }
        // Also when the one who asks does not wait for the end.
        *tried = Some(Instant::now());
        let fetched = tokio::time::timeout(TIMEOUT, self.fetch()).await;
        *tried = Some(Instant::now());
        let keys = Arc::new(fetched.context("the issuer did not answer in time")??);
        *self.known.write() = Known { keys: keys.clone(), since: Some(Instant::now()) };
        Ok(keys)
    }

    async fn fetch(&self) -> anyhow::Result<Vec<PublicKey>> {
        let discovery: Discovery = serde_json::from_slice(&self.get(&self.discovery).await?)?;
        ensure!(
            discovery.issuer == self.issuer,
            "oidc: issuer did not match the issuer returned by provider, expected {:?} got {:?}",
            self.issuer,
            discovery.issuer
        );
        let keys: Uri = discovery.jwks_uri.parse()?;
        Ok(parse_key_set(&self.get(&keys).await?)?)
    }

    async fn get(&self, url: &Uri) -> anyhow::Result<Vec<u8>> {
        ensure!(url.scheme_str() == Some("https"), "{url} does not begin with https://");
        let mut parts = url.clone().into_parts();
        let path = parts.path_and_query.replace(http::uri::PathAndQuery::from_static("/"));
        let mut config = Config::new(Uri::from_parts(parts)?);
        config.root_cert.clone_from(&self.authorities);
        let client = Client::try_from(config)?;
        let request = http::Request::get(path.map(|path| path.to_string()).unwrap_or_default()).body(Body::empty())?;
        let answer = client.send(request).await.with_context(|| url.to_string())?;
        let status = answer.status();
        ensure!(status.is_success(), "{url}: {status}");
        let body = Limited::new(answer.into_body(), MOST_BYTES).collect().await;
        Ok(body.map_err(|error| anyhow!("{url}: {error}"))?.to_bytes().into())
    }
}

#[cfg(test)]
mod tests {
    use component::jwt::SigningKey;
    use futures::FutureExt;
    use rcgen::KeyPair;

    use super::*;

    #[tokio::test]
    async fn known_keys_are_read_while_others_are_fetched() {
        let key = SigningKey::parse(KeyPair::generate().unwrap().serialize_pem().as_bytes()).unwrap();
        let keys = ProviderKeys {
            issuer: String::new(),
            discovery: Uri::from_static("https://i/d"),
            authorities: None,
            known: RwLock::new(Known { keys: Arc::new(vec![key.public().clone()]), since: Some(Instant::now()) }),
            tried: Mutex::default(),
        };
        let fetching = keys.tried.lock().await;
        let known = keys.of(key.public().id()).now_or_never().expect("nobody is waited for");
        assert_eq!(known.unwrap().len(), 1);
        assert!(keys.of("strange").now_or_never().is_none(), "that one may come");
        drop(fetching);
    }
}
