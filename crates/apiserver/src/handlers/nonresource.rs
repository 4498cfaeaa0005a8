//! Paths that are no resources: health, version, metrics, discovery.

use std::sync::Arc;

use component::{CancellationToken, KUBERNETES_VERSION};
use http::{HeaderValue, Method, StatusCode, header};
use parking_lot::Mutex;
use prometheus_client::registry::Registry as Metrics;
use serde_json::json;
use tokio::sync::watch;

use super::Answer;
use crate::{
    authentication::{Issuing, service_account::discovery},
    catalogue::{Request, Served},
    serving::{Body, Response, respond},
    storage::Store,
};

/// Answers paths that are no resources.
pub struct NonResource {
    /// What is served, and the documents that tell of it.
    pub served: Arc<Served>,
    /// What `/metrics` tells.
    pub metrics: Arc<Mutex<Metrics>>,
    /// What the health checks look at.
    pub store: Arc<dyn Store>,
    /// Whether everything that has to be there at the start is there.
    pub started: watch::Receiver<bool>,
    /// Whether the default roles and bindings are there.
    pub roles: watch::Receiver<bool>,
    /// Cancelled when the server is about to end.
    pub shutdown: CancellationToken,
    /// Who else verifies service accounts' tokens finds here what that takes.
    pub issuing: Arc<Issuing>,
    /// `host:port` of this server.
    pub address: String,
}

/// What is checked, in this order.
const CHECKS: &[&str] = &["ping", "etcd", "poststarthook/bootstrap", "poststarthook/rbac/bootstrap-roles", "shutdown"];

/// `/livez` looks at less: a server that waits for its store must not be restarted for it.
const LIVENESS: &[&str] = &["ping"];

impl NonResource {
    /// Answers a request.
    ///
    /// # Errors
    /// 405 for methods that make no sense.
    pub async fn answer(&self, request: &Request) -> Answer {
        let path = request.info.path.trim_end_matches('/');
        let endpoint = path.split('/').nth(1).unwrap_or_default();
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return Ok(respond::page_not_found());
        }
        match endpoint {
            "healthz" | "readyz" | "livez" => Ok(self.health(endpoint, path, request).await),
            // Who may ask is decided by the whole path, so what is answered is, too.
            "version" if request.info.path == "/version" => Ok(respond::json(StatusCode::OK, Body::from(version()))),
            "metrics" if request.info.path == "/metrics" => Ok(self.metrics()),
            "openid" | ".well-known" => Ok(self.openid(&request.info.path).unwrap_or_else(respond::page_not_found)),
            "" => Ok(self.index()),
            _ => Ok(self.document(request).unwrap_or_else(respond::page_not_found)),
        }
    }

    fn document(&self, request: &Request) -> Option<Response> {
        let path = &request.info.path;
        let catalogue = self.served.load();
        let described = catalogue.discovery().serve(path, request.headers());
        let reply = described.or_else(|| catalogue.openapi().serve(path, request.headers()))?;
        let document = reply.document;
        let body = if reply.status == StatusCode::OK { Body::Full(document.body) } else { Body::Empty };
        let media_type = HeaderValue::from_static(document.content_type);
        let mut response = respond::with_type(reply.status, media_type, body);
        let headers = response.headers_mut();
        headers.insert(header::ETAG, document.etag);
        headers.insert(header::VARY, HeaderValue::from_static("Accept, Accept-Encoding"));
        // Clients keep what they got, and ask whether it is still right.
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("public"));
        if let Some(encoding) = document.encoding {
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(encoding));
        }
        Some(response)
    }

    fn openid(&self, path: &str) -> Option<Response> {
        let document = self.issuing.document(path, &self.address)?;
        let media_type = HeaderValue::from_static(document.media_type);
        let mut response = respond::with_type(StatusCode::OK, media_type, Body::from(document.json));
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=3600"));
        Some(response)
    }

    fn index(&self) -> Response {
        let catalogue = self.served.load();
        let mut paths: Vec<&str> = catalogue.discovery().paths().collect();
        paths.extend(["/healthz", "/livez", "/metrics", "/openapi/v2", "/openapi/v3", "/readyz", "/version"]);
        if self.issuing.check_url().is_ok() {
            paths.extend([discovery::CONFIGURATION_PATH, discovery::KEYS_PATH]);
        }
        paths.sort_unstable();
        respond::json(StatusCode::OK, Body::from(json!({"paths": paths}).to_string()))
    }

    fn metrics(&self) -> Response {
        let mut text = String::new();
        match prometheus_client::encoding::text::encode(&mut text, &self.metrics.lock()) {
            Ok(()) => {
                let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
                respond::with_type(StatusCode::OK, HeaderValue::from_static(kind), Body::from(text))
            }
            Err(error) => respond::text(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
        }
    }

    async fn health(&self, endpoint: &str, path: &str, request: &Request) -> Response {
        let one = path.strip_prefix('/').and_then(|path| path.strip_prefix(endpoint)).unwrap_or_default();
        let checks = if endpoint == "livez" { LIVENESS } else { CHECKS };
        if let Some(name) = one.strip_prefix('/') {
            return match checks.contains(&name) {
                true => verdict(self.check(name).await),
                false => respond::page_not_found(),
            };
        }
        let excluded: Vec<&str> = request.query.all("exclude").collect();
        let (mut report, mut failed) = (String::new(), Vec::new());
        for name in checks.iter().filter(|name| !excluded.contains(name)) {
            match self.check(name).await {
                Ok(()) => report.push_str(&format!("[+]{name} ok\n")),
                Err(why) => {
                    tracing::info!(check = name, why, "health check failed");
                    report.push_str(&format!("[-]{name} failed: reason withheld\n"));
                    failed.push(*name);
                }
            }
        }
        match (failed.is_empty(), request.query.contains("verbose")) {
            (true, false) => respond::text(StatusCode::OK, "ok"),
            (true, true) => respond::text(StatusCode::OK, format!("{report}{endpoint} check passed\n")),
            (false, _) => {
                respond::text(StatusCode::INTERNAL_SERVER_ERROR, format!("{report}{endpoint} check failed\n"))
            }
        }
    }

    async fn check(&self, name: &str) -> Result<(), String> {
        match name {
            "etcd" => self.store.current_revision().await.map(drop).map_err(|error| error.to_string()),
            "shutdown" if self.shutdown.is_cancelled() => Err("the server is shutting down".into()),
            "poststarthook/bootstrap" if !*self.started.borrow() => Err("not finished".into()),
            "poststarthook/rbac/bootstrap-roles" if !*self.roles.borrow() => Err("not finished".into()),
            _ => Ok(()),
        }
    }
}

fn verdict(result: Result<(), String>) -> Response {
    match result {
        Ok(()) => respond::text(StatusCode::OK, "ok"),
        Err(why) => respond::text(StatusCode::INTERNAL_SERVER_ERROR, format!("internal server error: {why}\n")),
    }
}

fn version() -> Vec<u8> {
    let (major, minor) =
        KUBERNETES_VERSION.trim_start_matches('v').split_once('.').unwrap_or((KUBERNETES_VERSION, "0"));
    let minor = minor.split('.').next().unwrap_or_default();
    let version = json!({
        "major": major,
        "minor": minor,
        "gitVersion": KUBERNETES_VERSION,
        "gitCommit": "",
        "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": "",
        "compiler": "rustc",
        "platform": format!("{}/{}", std::env::consts::OS, architecture()),
    });
    version.to_string().into_bytes()
}

/// Go's name for the machine's architecture, which clients expect.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}
