//! A provider's keys, fetched when they are needed, and again when a token names one that is not known.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use component::jwt::{PublicKey, parse_key_set};
use http::Uri;
use kube::{Client, Config};
use serde::Deserialize;
use tokio::sync::Mutex;

use super::Settings;

/// How long a provider may take for an answer.
const TIMEOUT: Duration = Duration::from_secs(10);
/// So long after one attempt to fetch the keys there is no other: tokens that name strange keys cost nothing.
const PAUSE: Duration = Duration::from_secs(10);
/// So long keys are known: one that the provider takes back is not believed for ever.
const KNOWN_FOR: Duration = Duration::from_secs(60 * 60);

pub(super) struct ProviderKeys {
    issuer: String,
    discovery: Uri,
    authorities: Option<Vec<Vec<u8>>>,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    keys: Arc<Vec<PublicKey>>,
    /// When they were fetched.
    since: Option<Instant>,
    /// When that was tried last.
    tried: Option<Instant>,
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
            known: Mutex::default(),
        }
    }

    /// The keys, the one of this id among them if the provider has it.
    pub async fn of(&self, id: &str) -> anyhow::Result<Arc<Vec<PublicKey>>> {
        let mut known = self.known.lock().await;
        let fresh = known.since.is_some_and(|since| since.elapsed() < KNOWN_FOR);
        if fresh && known.keys.iter().any(|key| id.is_empty() || key.id() == id) {
            return Ok(known.keys.clone());
        }
        if known.tried.is_some_and(|tried| tried.elapsed() < PAUSE) {
            ensure!(fresh, "they could not be fetched a moment ago");
            return Ok(known.keys.clone());
        }
        known.tried = Some(Instant::now());
        let keys = tokio::time::timeout(TIMEOUT, self.fetch()).await.context("the issuer did not answer in time")??;
        known.keys = Arc::new(keys);
        known.since = Some(Instant::now());
        Ok(known.keys.clone())
    }

    async fn fetch(&self) -> anyhow::Result<Vec<PublicKey>> {
        let discovery: Discovery = serde_json::from_str(&self.get(&self.discovery).await?)?;
        ensure!(
            discovery.issuer == self.issuer,
            "oidc: issuer did not match the issuer returned by provider, expected {:?} got {:?}",
            self.issuer,
            discovery.issuer
        );
        let keys: Uri = discovery.jwks_uri.parse()?;
        Ok(parse_key_set(self.get(&keys).await?.as_bytes())?)
    }

    async fn get(&self, url: &Uri) -> anyhow::Result<String> {
        ensure!(url.scheme_str() == Some("https"), "{url} does not begin with https://");
        let mut parts = url.clone().into_parts();
        let path = parts.path_and_query.replace(http::uri::PathAndQuery::from_static("/"));
        let mut config = Config::new(Uri::from_parts(parts)?);
        config.root_cert.clone_from(&self.authorities);
        let client = Client::try_from(config)?;
        let request = http::Request::get(path.map(|path| path.to_string()).unwrap_or_default()).body(Vec::new())?;
        client.request_text(request).await.with_context(|| url.to_string())
    }
}
