//! One extender's address, and how it is asked.

use std::{fmt, time::Duration};

use http_body_util::{BodyExt, Limited};
use kube::{
    client::Body,
    config::{KubeConfigOptions, Kubeconfig},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use crate::config::extenders::ExtenderDocument;

/// The longest answer in bytes: five thousand whole nodes.
const LONGEST: usize = 128 << 20;

/// An extender was of no help.
#[derive(Debug, thiserror::Error)]
pub enum ExtenderError {
    /// Its certificates cannot be read or used.
    #[error("extender {0}: {1}")]
    Setup(String, String),
    /// It could not be asked, or said what cannot be understood.
    #[error("extender {0}: {1}")]
    Failed(String, String),
    /// The pod that it should see is not known any more.
    #[error("pod {0} is not known")]
    Unknown(String),
}

/// See the module.
pub(super) struct Endpoint {
    prefix: String,
    client: kube::Client,
    patience: Duration,
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Endpoint({})", self.prefix)
    }
}

impl Endpoint {
    pub(super) async fn new(settings: &ExtenderDocument) -> Result<Self, ExtenderError> {
        let prefix = settings.url_prefix.trim_end_matches('/').to_owned();
        let wrong = |why: &dyn fmt::Display| ExtenderError::Setup(prefix.clone(), why.to_string());
        let kubeconfig: Kubeconfig = serde_json::from_value(kubeconfig(settings)).map_err(|error| wrong(&error))?;
        let config = kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await;
        let mut config = config.map_err(|error| wrong(&error))?;
        config.connect_timeout = Some(settings.http_timeout());
        config.disable_compression = true;
        config.default_retry = false;
        let client = kube::Client::try_from(config).map_err(|error| wrong(&error))?;
        Ok(Self { client, patience: settings.http_timeout(), prefix })
    }

    pub(super) fn name(&self) -> &str {
        &self.prefix
    }

    /// Posts JSON, and reads JSON.
    pub(super) async fn ask<T: DeserializeOwned>(
        &self,
        verb: &str,
        arguments: &impl Serialize,
    ) -> Result<T, ExtenderError> {
        let failed = |why: String| ExtenderError::Failed(self.prefix.clone(), why);
        let body = serde_json::to_vec(arguments).map_err(|error| failed(error.to_string()))?;
        // The client puts the address before it.
        let request = http::Request::post(format!("/{}", verb.trim_start_matches('/')))
            .header(http::header::CONTENT_TYPE, "application/json")
            .body(Body::from(body))
            .map_err(|error| failed(error.to_string()))?;
        let answer = async {
            let response = self.client.send(request).await.map_err(|error| failed(error.to_string()))?;
            if !response.status().is_success() {
                return Err(failed(format!("{verb} was answered with {}", response.status())));
            }
            let body = Limited::new(response.into_body(), LONGEST).collect().await;
            body.map(|body| body.to_bytes()).map_err(|error| failed(error.to_string()))
        };
        let late = |_| failed(format!("{verb} was not answered within {:?}", self.patience));
        let body = tokio::time::timeout(self.patience, answer).await.map_err(late)??;
        serde_json::from_slice(&body).map_err(|error| failed(format!("the answer to {verb} is malformed: {error}")))
    }
}

/// The server and how it is trusted, as clients of API servers are told.
fn kubeconfig(settings: &ExtenderDocument) -> Value {
    let tls = settings.tls_config.clone().unwrap_or_default();
    let trusts_nobody = tls.ca_file.is_none() && tls.ca_data.is_none();
    json!({
        "current-context": "extender",
        "contexts": [{"name": "extender", "context": {"cluster": "extender", "user": "extender"}}],
        "clusters": [{"name": "extender", "cluster": {
            "server": settings.url_prefix,
            // As upstream: who asks for HTTPS and names no authority checks nothing.
            "insecure-skip-tls-verify": tls.insecure || (settings.enable_https && trusts_nobody),
            "certificate-authority": tls.ca_file,
            "certificate-authority-data": tls.ca_data,
            "tls-server-name": tls.server_name,
        }}],
        "users": [{"name": "extender", "user": {
            "client-certificate": tls.cert_file,
            "client-certificate-data": tls.cert_data,
            "client-key": tls.key_file,
            "client-key-data": tls.key_data,
        }}],
    })
}
