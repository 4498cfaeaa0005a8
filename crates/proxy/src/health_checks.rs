//! Health check node ports: where load balancers ask whether this node has endpoints of a service.

use std::collections::{BTreeMap, HashSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::Response;
use component::Daemon;
use component::informer::ObjectKey;
use serde_json::json;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::endpoint::{Locality, Readiness};
use crate::health::{ProxyHealth, json_response};
use crate::service::ServicePort;
use crate::settings::{NodePortAddresses, Settings};
use crate::table::ServiceTable;

/// By how much of the traffic a load balancer may prefer this node.
const WEIGHT: HeaderName = HeaderName::from_static("x-load-balancing-endpoint-weight");

/// The servers of all services that have such a port.
#[derive(Debug)]
pub struct HealthChecks {
    daemon: Daemon,
    health: ProxyHealth,
    servers: BTreeMap<ObjectKey, Server>,
}

#[derive(Debug)]
struct Server {
    port: u16,
    addresses: Vec<IpAddr>,
    /// Endpoints on this node.
    endpoints: Arc<AtomicUsize>,
    /// Ends the server.
    stop: CancellationToken,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl HealthChecks {
    /// None yet.
    #[must_use]
    pub fn new(daemon: &Daemon, health: &ProxyHealth) -> Self {
        Self { daemon: daemon.clone(), health: health.clone(), servers: BTreeMap::new() }
    }

    /// Starts, tells or ends the server of a service, by what its tables, one a family, say now.
    pub async fn update<'t>(
        &mut self,
        key: &ObjectKey,
        tables: impl Iterator<Item = &'t ServiceTable> + Clone,
        settings: &Settings,
    ) {
        let ports = || tables.clone().flat_map(|table| table.of(key)).map(|(_, port)| &**port);
        let Some(port) = ports().find_map(|port| port.health_check_node_port) else {
            self.servers.remove(key);
            return;
        };
        let addresses = addresses(settings);
        if self.servers.get(key).is_none_or(|server| server.port != port || server.addresses != addresses) {
            // The old one lets go of its port first.
            self.servers.remove(key);
            let server = self.start(key, port, addresses).await;
            self.servers.insert(key.clone(), server);
        }
        if let Some(server) = self.servers.get(key) {
            server.endpoints.store(local_endpoints(ports()), Ordering::Relaxed);
        }
    }

    async fn start(&self, key: &ObjectKey, port: u16, addresses: Vec<IpAddr>) -> Server {
        let server = Server { port, addresses, endpoints: Arc::default(), stop: CancellationToken::new() };
        let told = Told { key: key.clone(), endpoints: Arc::clone(&server.endpoints), health: self.health.clone() };
        for ip in &server.addresses {
            match TcpListener::bind(SocketAddr::new(*ip, port)).await {
                Ok(listener) => {
                    // A part of the daemon with an end of its own: its connections end with it.
                    let part = Daemon { shutdown: server.stop.clone(), tasks: self.daemon.tasks.clone() };
                    let router = Router::new().fallback(report).with_state(told.clone());
                    component::serve::spawn_router(listener, None, router, &part);
                }
                // An address of the other family may be unknown to the kernel, or cover this one.
                Err(error) => tracing::warn!(service = %key, %ip, port, "serve the health check node port: {error}"),
            }
        }
        server
    }

    /// Every service that has one.
    pub fn services(&self) -> impl Iterator<Item = &ObjectKey> {
        self.servers.keys()
    }
}

/// Where the servers listen.
fn addresses(settings: &Settings) -> Vec<IpAddr> {
    match &settings.node_ports {
        NodePortAddresses::All if std::path::Path::new("/proc/net/if_inet6").exists() => {
            vec![IpAddr::from(Ipv6Addr::UNSPECIFIED)]
        }
        NodePortAddresses::All => vec![IpAddr::from(Ipv4Addr::UNSPECIFIED)],
        NodePortAddresses::These(addresses) => addresses.clone(),
    }
}

/// Ready endpoints on this node, each address counted once.
fn local_endpoints<'p>(ports: impl Iterator<Item = &'p ServicePort>) -> usize {
    let endpoints = ports.flat_map(|port| &port.endpoints);
    let here = endpoints.filter(|e| e.locality == Locality::Here && e.readiness == Readiness::Ready);
    here.map(|e| e.address.ip()).collect::<HashSet<_>>().len()
}

#[derive(Clone, Debug)]
struct Told {
    key: ObjectKey,
    endpoints: Arc<AtomicUsize>,
    health: ProxyHealth,
}

async fn report(State(told): State<Told>) -> Response {
    let (count, well) = (told.endpoints.load(Ordering::Relaxed), told.health.is_healthy());
    let status = if count > 0 && well { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let body = json!({
        "service": {"namespace": told.key.namespace, "name": told.key.name},
        "localEndpoints": count,
        "serviceProxyHealthy": well,
    });
    let mut response = json_response(status, body.to_string());
    response.headers_mut().insert(WEIGHT, HeaderValue::from(count));
    response
}
