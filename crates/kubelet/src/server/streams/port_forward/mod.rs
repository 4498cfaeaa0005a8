//! `/portForward/…`: connections to ports of a pod.
//!
//! A client opens a pair of streams for each connection ([`pairs`]), over SPDY/3.1 or over SPDY in a WebSocket; or it
//! names its ports beforehand and has a pair of channels of a WebSocket for each ([`channels`]).

mod channels;
mod pairs;
mod tunnel;

use std::io;
use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::http::request::Parts;
use axum::response::Response;
use tokio::net::TcpStream;

use super::super::ServerState;
use super::super::reply::Refusal;
use super::requests::Upgrade;
use super::transport::{Terms, Wanted};
use super::{spdy, websocket};
use crate::network::dial::Namespace;
use crate::runtime::PodUid;

type Server = State<Arc<ServerState>>;
type Ports = Query<Vec<(String, String)>>;

const PROTOCOLS: [&str; 1] = ["portforward.k8s.io"];
const TUNNEL: &str = "SPDY/3.1+portforward.k8s.io";
const CHANNELS: [&str; 2] = ["v4.channel.k8s.io", "v4.base64.channel.k8s.io"];

pub(in super::super) async fn port_forward(
    server: Server,
    Path((namespace, pod)): Path<(String, String)>,
    ports: Ports,
    upgrade: Upgrade,
) -> Result<Response, Refusal> {
    forward(server, &namespace, &pod, None, ports, upgrade)
}

pub(in super::super) async fn port_forward_with_uid(
    server: Server,
    Path((namespace, pod, uid)): Path<(String, String, String)>,
    ports: Ports,
    upgrade: Upgrade,
) -> Result<Response, Refusal> {
    forward(server, &namespace, &pod, Some(&uid), ports, upgrade)
}

fn forward(
    State(server): Server,
    namespace: &str,
    pod: &str,
    uid: Option<&str>,
    Query(query): Ports,
    Upgrade(mut parts): Upgrade,
) -> Result<Response, Refusal> {
    let entry = server.pods.pod(namespace, pod);
    let entry = entry.filter(|entry| uid.is_none_or(|uid| entry.pod.metadata.uid.as_deref() == Some(uid)));
    let entry = entry.ok_or_else(|| Refusal::not_found("pod does not exist"))?;
    let terms = Terms { wanted: Wanted::default(), daemon: server.daemon.clone() };
    let name = format!("{pod}_{namespace}");
    let target = Target { server, name, uid: entry.runtime_uid };
    if let Some(handshake) = spdy::handshake(&mut parts, &PROTOCOLS) {
        return Ok(handshake?.talk(&terms, |accepted| pairs::talk(accepted, target)));
    }
    if websocket::is_asked(&parts) {
        return over_websocket(&mut parts, &query, &terms, target);
    }
    Err(Refusal::bad_request("unable to upgrade connection: the request asks for no protocol known here"))
}

fn over_websocket(
    parts: &mut Parts,
    query: &[(String, String)],
    terms: &Terms,
    target: Target,
) -> Result<Response, Refusal> {
    let known = [TUNNEL, CHANNELS[0], CHANNELS[1]];
    let (upgrade, protocol) = websocket::agree(parts, &known)?;
    if protocol == Some(TUNNEL) {
        let shutdown = terms.daemon.shutdown.clone();
        return Ok(upgrade.on_upgrade(move |socket| async move {
            let held = spdy::hold(tunnel::bytes_of(socket), |accepted| pairs::talk(accepted, target));
            shutdown.run_until_cancelled(held).await;
        }));
    }
    let ports = channels::ports(query)?;
    let coding = websocket::Coding::of(protocol.unwrap_or_default());
    let shutdown = terms.daemon.shutdown.clone();
    let upgrade = upgrade.max_message_size(channels::MESSAGE_MAX);
    Ok(upgrade.on_upgrade(move |socket| async move {
        shutdown.run_until_cancelled(channels::talk(socket, coding, ports, target)).await;
    }))
}

/// A pod whose ports are wanted.
#[derive(Clone)]
struct Target {
    server: Arc<ServerState>,
    /// Name and namespace.
    name: String,
    uid: PodUid,
}

impl Target {
    /// A connection to a port inside the pod.
    ///
    /// # Errors
    /// What the client is to be told.
    async fn connect(&self, port: u16) -> Result<TcpStream, String> {
        let connected = match self.namespace().await {
            Ok(namespace) => namespace.connect(port).await.map_err(|error| refused(port, &error)),
            Err(why) => Err(why),
        };
        let Self { name, uid, .. } = self;
        connected.map_err(|why| format!("error forwarding port {port} to pod {name}, uid {}: {why}", uid.as_str()))
    }

    async fn namespace(&self) -> Result<Namespace, String> {
        let pid = self.pid().await?;
        let namespace = Namespace::of(pid).map_err(|error| format!("the sandbox is gone: {error}"))?;
        // The process may have ended since, and its number be another's; what is open now is held.
        if self.pid().await? != pid {
            return Err("the sandbox has been made anew".to_owned());
        }
        Ok(namespace)
    }

    async fn pid(&self) -> Result<u32, String> {
        let pod = self.server.runtime.pod(&self.uid).await.map_err(|error| error.to_string())?;
        let sandbox = pod.ready_sandbox().and_then(|sandbox| sandbox.pid);
        sandbox.ok_or_else(|| "the pod's sandbox is not running".to_owned())
    }
}

fn refused(port: u16, error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => {
            format!("failed to connect to localhost:{port} inside the pod: connect: connection refused")
        }
        _ => format!("failed to connect to localhost:{port} inside the pod: {error}"),
    }
}
