//! Health check node ports: where load balancers ask whether this node has endpoints of a service.

use std::collections::{BTreeMap, HashSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::Response;
use component::Daemon;
use component::backoff::Backoff;
use component::informer::ObjectKey;
use serde_json::json;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::endpoint::{Locality, Readiness};
use crate::health::{ProxyHealth, json_response};
use crate::service::ServicePort;
use crate::settings::{NodePortAddresses, Settings};
use crate::table::ServiceTable;

/// How soon it is tried again to listen on a port, and how seldom at last.
const FIRST_RETRY: Duration = Duration::from_millis(5);
const LAST_RETRY: Duration = Duration::from_secs(30);
/// After so many attempts it is told that somebody else has the port.
const PATIENT_ATTEMPTS: u64 = 8;
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
    pub fn update<'t>(
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
            let server = self.start(key, port, addresses);
            self.servers.insert(key.clone(), server);
        }
        if let Some(server) = self.servers.get(key) {
            server.endpoints.store(local_endpoints(ports()), Ordering::Relaxed);
        }
    }

    fn start(&self, key: &ObjectKey, port: u16, addresses: Vec<IpAddr>) -> Server {
        let server = Server { port, addresses, endpoints: Arc::default(), stop: CancellationToken::new() };
        let told = Told { key: key.clone(), endpoints: Arc::clone(&server.endpoints), health: self.health.clone() };
        // A part of the daemon with an end of its own: its connections end with it.
        let part = self.daemon.until(server.stop.clone());
        for ip in &server.addresses {
            part.spawn_until_shutdown(serve(SocketAddr::new(*ip, port), told.clone(), part.clone()));
        }
        server
    }

    /// Every service that has one.
    pub fn services(&self) -> impl Iterator<Item = &ObjectKey> {
        self.servers.keys()
    }
}

/// Listens as soon as that can be: the server before may not have let go of the port yet, or somebody else has it.
async fn serve(at: SocketAddr, told: Told, part: Daemon) {
    let mut backoff = Backoff::new(FIRST_RETRY, LAST_RETRY);
    for attempt in 1_u64.. {
        match TcpListener::bind(at).await {
            Ok(listener) => {
                let router = Router::new().fallback(report).with_state(told);
                return component::serve::spawn_router(listener, None, router, &part);
            }
            // An address of the other family may be unknown to the kernel, or cover this one.
            Err(error) if attempt == PATIENT_ATTEMPTS => {
                tracing::warn!(service = %told.key, %at, "serve the health check node port: {error}");
            }
            Err(_) => {}
        }
        tokio::time::sleep(backoff.next_delay()).await;
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

#[cfg(test)]
mod tests {
    use iptables::Family;
    use serde_json::Value;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    use super::*;
    use crate::endpoint::Place;

    /// The answer, as soon as there is one.
    async fn answer(port: u16) -> String {
        let until_asked = async {
            loop {
                match ask(port).await {
                    Ok(answer) if !answer.is_empty() => return answer,
                    _ => tokio::time::sleep(Duration::from_millis(5)).await,
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(60), until_asked).await.unwrap()
    }

    async fn ask(port: u16) -> std::io::Result<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
        stream.write_all(b"GET / HTTP/1.0\r\n\r\n").await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Ok(answer)
    }

    fn objects(port: u16, policy: &str, nodes: &[&str]) -> (crate::model::Service, crate::model::EndpointSlice) {
        let service = json!({
            "metadata": {"namespace": "default", "name": "web"},
            "spec": {"type": "LoadBalancer", "clusterIP": "10.96.0.20", "clusterIPs": ["10.96.0.20"],
                "externalTrafficPolicy": policy, "healthCheckNodePort": port, "ports": [{"port": 80}]},
        });
        let endpoints: Vec<Value> = nodes
            .iter()
            .enumerate()
            .map(|(i, node)| json!({"addresses": [format!("10.244.0.{}", i + 5)], "nodeName": node}))
            .collect();
        let slice = json!({
            "metadata": {"namespace": "default", "name": "web", "labels": {"kubernetes.io/service-name": "web"}},
            "addressType": "IPv4", "endpoints": endpoints, "ports": [{"name": "", "port": 8080}],
        });
        (serde_json::from_value(service).unwrap(), serde_json::from_value(slice).unwrap())
    }

    #[tokio::test]
    async fn load_balancers_are_told_of_endpoints_on_this_node() {
        let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
        let (daemon, health) = (Daemon::new(), ProxyHealth::new(Duration::from_secs(600)));
        let mut checks = HealthChecks::new(&daemon, &health);
        let settings =
            Settings { node_ports: NodePortAddresses::These(vec![Ipv4Addr::LOCALHOST.into()]), ..Settings::default() };
        let (mut table, key) = (ServiceTable::new(Family::V4), ObjectKey::new("default", "web"));
        for (policy, nodes, expected) in [
            ("Local", &["n1", "n1", "n2"][..], Some((200, 2))),
            ("Local", &["n2"], Some((503, 0))),
            ("Cluster", &["n1"], None),
            ("Local", &["n1"], Some((200, 1))),
        ] {
            let (service, slice) = objects(free, policy, nodes);
            table.update(&key, Some(&service), [&slice], &Place::on("n1"));
            checks.update(&key, [&table].into_iter(), &settings);
            let Some((status, count)) = expected else {
                assert!(checks.services().next().is_none(), "{policy}");
                continue;
            };
            let answer = answer(free).await;
            let (head, body) = answer.split_once("\r\n\r\n").unwrap();
            assert!(head.starts_with(&format!("HTTP/1.0 {status}")), "{answer}");
            assert!(head.contains(&format!("x-load-balancing-endpoint-weight: {count}")), "{answer}");
            let told = json!({"service": {"namespace": "default", "name": "web"}, "localEndpoints": count,
                "serviceProxyHealthy": true});
            assert_eq!(serde_json::from_str::<Value>(body).unwrap(), told);
        }
        daemon.shutdown.cancel();
    }
}
