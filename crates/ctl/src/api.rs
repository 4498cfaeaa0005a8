//! HTTP to the API server, with kubectl's errors.

use futures::AsyncBufRead;
use http::{Method, Request, header};
use kube::Client;
use serde_json::Value;

use crate::{
    connection::{self, GlobalFlags},
    error::{Error, Result},
};

/// Server-side tables, or the object itself when the server knows no table for it.
pub const ACCEPT_TABLE: &str =
    "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json";
const JSON: &str = "application/json";

/// A connection to an API server.
#[derive(Clone)]
pub struct Api {
    /// For what needs more than a request, such as exec.
    pub client: Client,
    /// Namespace of the command.
    pub namespace: String,
    /// Scheme, host and port.
    pub server: http::Uri,
}

/// A patch's content type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PatchType {
    /// RFC 6902.
    Json,
    /// RFC 7386.
    Merge,
    /// Strategic merge.
    Strategic,
    /// Server-side apply.
    Apply,
}

impl PatchType {
    const fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json-patch+json",
            Self::Merge => "application/merge-patch+json",
            Self::Strategic => "application/strategic-merge-patch+json",
            Self::Apply => "application/apply-patch+yaml",
        }
    }
}

impl Api {
    /// Connects as kubeconfig and flags say; nothing is sent yet.
    ///
    /// # Errors
    /// When the kubeconfig is malformed.
    pub async fn new(flags: &GlobalFlags) -> Result<Self> {
        let config = connection::config(flags).await?;
        let (namespace, server) = (config.default_namespace.clone(), config.cluster_url.clone());
        let client = Client::try_from(config).map_err(|error| Error::Unreachable(chain(&error)))?;
        Ok(Self { client, namespace, server })
    }

    /// GET, as JSON.
    ///
    /// # Errors
    /// The server's refusal, or that it cannot be reached.
    pub async fn get(&self, path: &str) -> Result<Value> {
        self.get_as(path, JSON).await
    }

    /// GET with an `Accept` header.
    ///
    /// # Errors
    /// As [`Api::get`].
    pub async fn get_as(&self, path: &str, accept: &str) -> Result<Value> {
        let request = Request::get(path).header(header::ACCEPT, accept).body(Vec::new());
        self.send(request).await
    }

    /// GET, as text.
    ///
    /// # Errors
    /// As [`Api::get`].
    pub async fn text(&self, path: &str) -> Result<String> {
        let request = Request::get(path).body(Vec::new()).map_err(malformed)?;
        self.client.request_text(request).await.map_err(|error| self.explain(error))
    }

    /// GET, as a stream of lines that goes on.
    ///
    /// # Errors
    /// As [`Api::get`].
    pub async fn stream(&self, path: &str, accept: &str) -> Result<impl AsyncBufRead + use<>> {
        let request = Request::get(path).header(header::ACCEPT, accept).body(Vec::new()).map_err(malformed)?;
        self.client.request_stream(request).await.map_err(|error| self.explain(error))
    }

    /// POST.
    ///
    /// # Errors
    /// As [`Api::get`].
    pub async fn post(&self, path: &str, body: &Value) -> Result<Value> {
        self.send(with_body(Method::POST, path, JSON, body)).await
    }

    /// PUT.
    ///
    /// # Errors
    /// As [`Api::get`].
    pub async fn put(&self, path: &str, body: &Value) -> Result<Value> {
        self.send(with_body(Method::PUT, path, JSON, body)).await
    }

    /// PATCH.
    ///
    /// # Errors
    /// As [`Api::get`].
    pub async fn patch(&self, path: &str, patch_type: PatchType, body: &Value) -> Result<Value> {
        self.send(with_body(Method::PATCH, path, patch_type.content_type(), body)).await
    }

    /// DELETE, with `DeleteOptions`.
    ///
    /// # Errors
    /// As [`Api::get`].
    pub async fn delete(&self, path: &str, options: &Value) -> Result<Value> {
        self.send(with_body(Method::DELETE, path, JSON, options)).await
    }

    async fn send(&self, request: http::Result<Request<Vec<u8>>>) -> Result<Value> {
        let request = request.map_err(malformed)?;
        self.client.request(request).await.map_err(|error| self.explain(error))
    }

    /// kubectl's words for a client's error.
    #[must_use]
    pub fn explain(&self, error: kube::Error) -> Error {
        match error {
            kube::Error::Api(status) => match serde_json::to_value(&*status).and_then(serde_json::from_value) {
                Ok(status) => Error::Server(Box::new(status)),
                Err(_) => Error::Unreachable(status.message),
            },
            error => {
                let text = chain(&error);
                let server = self.server.authority().map(ToString::to_string).unwrap_or_default();
                if text.contains("refused") { Error::Refused { server } } else { Error::Unreachable(text) }
            }
        }
    }
}

fn with_body(method: Method, path: &str, content_type: &str, body: &Value) -> http::Result<Request<Vec<u8>>> {
    Request::builder()
        .method(method)
        .uri(path)
        .header(header::CONTENT_TYPE, content_type)
        .header(header::ACCEPT, JSON)
        .body(body.to_string().into_bytes())
}

fn malformed(error: http::Error) -> Error {
    Error::usage(error.to_string())
}

/// The error and everything that caused it.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let words = cause.to_string();
        if !text.contains(&words) {
            text = format!("{text}: {words}");
        }
        source = cause.source();
    }
    text
}
