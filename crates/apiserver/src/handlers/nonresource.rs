//! Paths that are no resources: health, version, metrics, discovery.

use std::{collections::BTreeSet, sync::Arc};

use api_types::StatusError;
use component::{CancellationToken, KUBERNETES_VERSION, files::FromFiles};
use http::{HeaderValue, Method, StatusCode, header};
use parking_lot::Mutex;
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{family::Family, gauge::Gauge},
    registry::Registry as Metrics,
};
use serde::Serialize;
use serde_json::json;
use tokio::sync::watch;

use super::Answer;
use crate::{
    authentication::{Issuing, service_account::discovery},
    catalogue::{Request, Served},
    discovery::{Discovery, JSON},
    request::accept::is_routable,
    serving::{Body, Response, respond},
    storage::{Store, encryption::EncryptionConfig},
};

/// How much room stores take, in bytes.
pub type StorageSize = Family<StorageCluster, Gauge>;

/// Which store.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct StorageCluster {
    storage_cluster_id: &'static str,
}

/// Answers paths that are no resources.
pub struct NonResource {
    /// What is served, and the documents that tell of it.
    pub served: Arc<Served>,
    /// What `/metrics` tells.
    pub metrics: Arc<Mutex<Metrics>>,
    /// How much room the store takes; told when somebody asks.
    pub size: StorageSize,
    /// What the health checks look at.
    pub store: Arc<dyn Store>,
    /// Whether everything that has to be there at the start is there.
    pub started: watch::Receiver<bool>,
    /// Whether the default roles and bindings are there.
    pub roles: watch::Receiver<bool>,
    /// How objects are encrypted, if they are: key management services are looked at.
    pub encryption: Option<Arc<FromFiles<EncryptionConfig>>>,
    /// Cancelled when the server is about to end.
    pub shutdown: CancellationToken,
    /// Who else verifies service accounts' tokens finds here what that takes.
    pub issuing: Arc<Issuing>,
    /// `host:port` of this server.
    pub address: String,
}

/// A check: its name, and the endpoints that look at it.
type Check = (&'static str, &'static [&'static str]);

const ALL: &[&str] = &["healthz", "livez", "readyz"];
const READY: &[&str] = &["readyz"];

/// What is checked, in this order; upstream's names where it has one for the same.
const CHECKS: &[Check] = &[
    ("ping", ALL),
    ("log", ALL),
    ("etcd", ALL),
    ("etcd-readiness", READY),
    ("informer-sync", READY),
    ("poststarthook/start-system-namespaces-controller", ALL),
    ("poststarthook/bootstrap-controller", ALL),
    ("poststarthook/rbac/bootstrap-roles", ALL),
    (KMS, ALL),
    ("shutdown", READY),
];

/// The check of key management services, which is there when they are.
const KMS: &str = "kms-providers";

impl NonResource {
    /// Answers a request.
    ///
    /// # Errors
    /// 405 for methods that make no sense.
    pub async fn answer(&self, request: &Request) -> Answer {
        let path = request.info.path.as_str();
        let endpoint = path.split('/').nth(1).unwrap_or_default();
        // What upstream's router answers knows methods; everything else does not look at them.
        match (path, endpoint) {
            ("/", _) => Ok(self.index()),
            (_, "healthz" | "readyz" | "livez") => Ok(self.health(endpoint, path, request).await),
            ("/metrics", _) => Ok(self.metrics().await),
            (path, "openid" | ".well-known") => {
                reads(request)?;
                Ok(self.openid(path).unwrap_or_else(respond::page_not_found))
            }
            ("/version" | "/version/", _) => {
                reads(request)?;
                let accept = request.header(&header::ACCEPT);
                if !is_routable(accept, &[JSON]) {
                    return Err(StatusError::nothing_acceptable(&[JSON]));
                }
                Ok(respond::json(StatusCode::OK, Body::from(version())))
            }
            ("/apis" | "/apis/", _) | (_, "openapi") => {
                Ok(self.document(request).unwrap_or_else(respond::page_not_found))
            }
            _ => match self.document(request) {
                Some(document) => reads(request).map(|()| document),
                None => Ok(respond::page_not_found()),
            },
        }
    }

    /// Whether the path lies in a group version that is served, where errors are told in objects.
    pub fn serves_version_of(&self, request: &Request) -> bool {
        let Some(place) = &request.info.resource else { return false };
        let root = if place.group.is_empty() { "api" } else { "apis" };
        self.served.load().discovery().knows(&format!("/{root}/{}", place.api_version()))
    }

    fn document(&self, request: &Request) -> Option<Response> {
        let path = &request.info.path;
        let catalogue = self.served.load();
        let described = catalogue.discovery().serve(path, request.headers());
        let reply = described.or_else(|| catalogue.openapi().serve(path, request.headers()))?;
        let document = reply.document;
        let body = if reply.status == StatusCode::OK { Body::Full(document.body.clone()) } else { Body::Empty };
        let media_type = HeaderValue::from_static(document.content_type);
        let mut response = respond::with_type(reply.status, media_type, body);
        let headers = response.headers_mut();
        headers.insert(header::ETAG, document.etag.clone());
        headers.insert(header::VARY, HeaderValue::from_static("Accept, Accept-Encoding"));
        if Discovery::is_aggregated(&document) {
            // Clients keep what they got, and ask whether it is still right.
            headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("public"));
        }
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

    async fn metrics(&self) -> Response {
        if let Some(size) = self.store.size().and_then(|size| i64::try_from(size).ok()) {
            self.size.get_or_create(&StorageCluster { storage_cluster_id: "etcd-0" }).set(size);
        }
        // There may be tens of thousands of lines.
        let metrics = self.metrics.clone();
        let written = tokio::task::spawn_blocking(move || component::metrics::encode(&metrics.lock())).await;
        match written.map_err(|error| error.to_string()).and_then(|text| text.map_err(|error| error.to_string())) {
            Ok(text) => {
                let kind = HeaderValue::from_static(component::metrics::CONTENT_TYPE);
                respond::nothing_to_guess(respond::with_type(StatusCode::OK, kind, Body::from(text)))
            }
            Err(error) => respond::text(StatusCode::INTERNAL_SERVER_ERROR, error),
        }
    }

    async fn health(&self, endpoint: &str, path: &str, request: &Request) -> Response {
        let encryption = self.encryption.as_ref().map(|encryption| encryption.get());
        let kms = encryption.is_some_and(|encryption| encryption.services().next().is_some());
        let checked = |(name, endpoints): &&Check| endpoints.contains(&endpoint) && (kms || *name != KMS);
        let mut checks = CHECKS.iter().filter(checked).map(|(name, _)| *name);
        let rest = path.strip_prefix('/').and_then(|path| path.strip_prefix(endpoint)).unwrap_or_default();
        if let Some(name) = rest.strip_prefix('/').filter(|name| !name.is_empty()) {
            return match checks.any(|check| check == name) {
                true => verdict(self.check(name).await),
                false => respond::page_not_found(),
            };
        }
        let mut excluded: BTreeSet<&str> = request.query.all("exclude").collect();
        let (mut report, mut failed) = (String::new(), false);
        for name in checks {
            if excluded.remove(name) {
                report.push_str(&format!("[+]{name} excluded: ok\n"));
                continue;
            }
            match self.check(name).await {
                Ok(()) => report.push_str(&format!("[+]{name} ok\n")),
                Err(why) => {
                    tracing::info!(check = name, why, "health check failed");
                    report.push_str(&format!("[-]{name} failed: reason withheld\n"));
                    failed = true;
                }
            }
        }
        if !excluded.is_empty() {
            let names: Vec<String> = excluded.iter().map(|name| format!("{name:?}")).collect();
            let names = names.join(", ");
            report.push_str(&format!("warn: some health checks cannot be excluded: no matches for {names}\n"));
        }
        match (failed, request.query.contains("verbose")) {
            (false, false) => respond::text(StatusCode::OK, "ok"),
            (false, true) => respond::text(StatusCode::OK, format!("{report}{endpoint} check passed\n")),
            (true, _) => respond::text(StatusCode::INTERNAL_SERVER_ERROR, format!("{report}{endpoint} check failed\n")),
        }
    }

    async fn check(&self, name: &str) -> Result<(), String> {
        match name {
            "etcd" | "etcd-readiness" => {
                self.store.current_revision().await.map(drop).map_err(|error| error.to_string())
            }
            KMS => self.check_services().await,
            "shutdown" if self.shutdown.is_cancelled() => Err("process is shutting down".into()),
            "informer-sync" if !*self.started.borrow() => Err("informers not started yet".into()),
            "poststarthook/rbac/bootstrap-roles" if !*self.roles.borrow() => Err("not finished".into()),
            name if name.starts_with("poststarthook/") && !*self.started.borrow() => Err("not finished".into()),
            _ => Ok(()),
        }
    }
}

impl NonResource {
    /// The first of the key management services that is not well tells why.
    async fn check_services(&self) -> Result<(), String> {
        let Some(encryption) = self.encryption.as_ref().map(|encryption| encryption.get()) else { return Ok(()) };
        for service in encryption.services() {
            service.start();
            service.check().await?;
        }
        Ok(())
    }
}

/// What only reads.
fn reads(request: &Request) -> Result<(), StatusError> {
    if request.method() == Method::GET { Ok(()) } else { Err(StatusError::method_not_allowed()) }
}

fn verdict(result: Result<(), String>) -> Response {
    match result {
        Ok(()) => respond::text(StatusCode::OK, "ok"),
        Err(why) => respond::text(StatusCode::INTERNAL_SERVER_ERROR, format!("internal server error: {why}\n")),
    }
}

/// What `/version` tells, its fields in upstream's order.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Version {
    major: &'static str,
    minor: &'static str,
    emulation_major: &'static str,
    emulation_minor: &'static str,
    min_compatibility_major: &'static str,
    min_compatibility_minor: String,
    git_version: &'static str,
    git_commit: &'static str,
    git_tree_state: &'static str,
    build_date: &'static str,
    go_version: &'static str,
    compiler: &'static str,
    platform: String,
}

fn version() -> String {
    let (major, rest) = KUBERNETES_VERSION.trim_start_matches('v').split_once('.').unwrap_or((KUBERNETES_VERSION, "0"));
    let minor = rest.split('.').next().unwrap_or_default();
    let before = minor.parse().map_or(0, |minor: u32| minor.saturating_sub(1));
    let version = Version {
        major,
        minor,
        emulation_major: major,
        emulation_minor: minor,
        min_compatibility_major: major,
        min_compatibility_minor: before.to_string(),
        git_version: KUBERNETES_VERSION,
        git_commit: "",
        git_tree_state: "clean",
        build_date: "1970-01-01T00:00:00Z",
        go_version: "",
        compiler: "rustc",
        platform: component::metrics::platform(),
    };
    serde_json::to_string_pretty(&version).unwrap_or_default()
}
