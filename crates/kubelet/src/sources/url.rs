//! `--manifest-url`: a manifest behind plain HTTP, asked for again and again because HTTP cannot announce changes.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;

use super::decode::decode;
use super::{ManifestSender, Manifests, StaticSource};

/// As much as upstream reads.
const LIMIT: usize = 10 << 20;
/// How long one request may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// A manifest behind a URL.
#[derive(Debug, Clone)]
pub struct UrlSource {
    /// Where it is.
    pub url: http::Uri,
    /// This node's name.
    pub node: String,
    /// How often to ask.
    pub period: Duration,
}

impl UrlSource {
    /// Reports all pods whenever they change, until the receiver is gone. A server that is away changes nothing.
    pub async fn run(self, sender: ManifestSender) {
        let mut last = None;
        loop {
            match tokio::time::timeout(TIMEOUT, self.fetch()).await {
                Ok(Ok(text)) if last.as_ref() != Some(&text) => match decode(&text, StaticSource::Http, &self.node) {
                    Ok(pods) => {
                        last = Some(text);
                        let pods = pods.into_iter().map(Arc::new).collect();
                        if sender.send(Manifests { source: StaticSource::Http, pods }).await.is_err() {
                            return;
                        }
                    }
                    Err(error) => tracing::error!(url = %self.url, "{error}"),
                },
                Ok(Ok(_)) => {}
                Ok(Err(error)) => tracing::warn!(url = %self.url, "{error}"),
                Err(_) => tracing::warn!(url = %self.url, "no answer in {TIMEOUT:?}"),
            }
            tokio::time::sleep(self.period).await;
        }
    }

    async fn fetch(&self) -> Result<String, String> {
        let client: Client<_, Empty<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
        let response = client.get(self.url.clone()).await.map_err(|error| error.to_string())?;
        if !response.status().is_success() {
            return Err(format!("answered {}", response.status()));
        }
        let body = Limited::new(response.into_body(), LIMIT).collect().await.map_err(|error| error.to_string())?;
        String::from_utf8(body.to_bytes().to_vec()).map_err(|error| error.to_string())
    }
}
