//! Connections to kubelets, to pods, and to the health ports of the control plane's other programs.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use api_types::core::Node;
use bytes::Bytes;
use component::Daemon;
use http::{HeaderValue, Request, Response, header};
use http_body::Body;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use component::serve::{certificates::KeyedCertificate, tcp_options, tls::client_config};

/// Why nothing came of a request.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// No connection.
    #[error("dial tcp {address}: {}", in_gos_words(source))]
    Dial {
        /// Where to.
        address: String,
        /// Why not.
        source: io::Error,
    },
    /// The address is one that is not for others to reach through this server.
    #[error("address not allowed")]
    NotAllowed,
    /// The answer did not come, or made no sense.
    #[error("request to {address}: {source}")]
    Exchange {
        /// Where to.
        address: String,
        /// Why not.
        source: hyper::Error,
    },
    /// The request cannot be sent.
    #[error("request: {0}")]
    Request(#[from] http::Error),
}

/// What people look for in messages.
fn in_gos_words(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "connect: connection refused".to_owned(),
        io::ErrorKind::HostUnreachable => "connect: no route to host".to_owned(),
        io::ErrorKind::NetworkUnreachable => "connect: network is unreachable".to_owned(),
        io::ErrorKind::TimedOut => "i/o timeout".to_owned(),
        _ => error.to_string(),
    }
}

/// A host and a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Address {
    /// A name or an IP address.
    pub(super) host: String,
    /// The port.
    pub(super) port: u16,
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

impl Address {
    async fn resolve(&self) -> Result<Vec<SocketAddr>, ConnectError> {
        let failed = |source| ConnectError::Dial { address: self.to_string(), source };
        let found = tokio::time::timeout(DIAL_TIMEOUT, tokio::net::lookup_host((self.host.as_str(), self.port))).await;
        let found = found.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        Ok(found.map_err(failed)?.collect())
    }

    /// Whether clients may be led there: a name must not have any address that they may not reach.
    pub(super) async fn is_allowed(&self) -> Result<bool, ConnectError> {
        Ok(self.resolve().await?.iter().all(|address| is_global_unicast(address.ip())))
    }
}

/// Whether an address is that of one machine or pod somewhere in the network: not this machine's own loopback, nothing
/// link-local (where clouds keep their metadata), nothing that means many.
pub(super) fn is_global_unicast(address: IpAddr) -> bool {
    let elsewhere =
        |local: bool| !(local || address.is_unspecified() || address.is_loopback() || address.is_multicast());
    match address.to_canonical() {
        IpAddr::V4(v4) if address.is_ipv6() => is_global_unicast(v4.into()),
        IpAddr::V4(v4) => elsewhere(v4.is_link_local() || v4.is_broadcast()),
        IpAddr::V6(v6) => elsewhere(v6.is_unicast_link_local()),
    }
}

/// What is known of the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Peer {
    /// A kubelet, to which this server shows who it is.
    Kubelet,
    /// The same, but nobody looks at its certificate.
    UnverifiedKubelet,
    /// Anything that speaks HTTP and may be reached by clients.
    Http,
    /// Anything that speaks HTTPS, with whatever certificate, and may be reached by clients.
    Https,
}

/// Where a request goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Backend {
    /// The address.
    pub(super) address: Address,
    /// What is known of it.
    pub(super) peer: Peer,
    /// Whether clients choose what is asked of it.
    pub(super) reach: Reach,
}

/// How far a connection may lead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// Wherever the address leads.
    Anywhere,
    /// Only where clients may be led, see [`is_global_unicast`].
    Outside,
}

/// How to prove to kubelets who we are, and to find out who they are.
#[derive(Default)]
pub struct KubeletTls {
    /// `--kubelet-client-certificate`, `--kubelet-client-key`.
    pub identity: Option<KeyedCertificate>,
    /// `--kubelet-certificate-authority`; kubelets' certificates are not checked without it, as upstream.
    pub authority: Option<Vec<CertificateDer<'static>>>,
}

/// The port on which a kubelet listens that does not say.
const KUBELET_PORT: u16 = 10250;

/// How long a connection may take to be made.
const DIAL_TIMEOUT: Duration = Duration::from_secs(10);

/// How much is read of an answer's head, in bytes, and how many headers it may have.
const HEAD_MAX: usize = 256 << 10;
const HEADERS_MAX: usize = 1000;

/// The way to kubelets and pods.
pub struct KubeletClient {
    kubelets: TlsConnector,
    unverified_kubelets: TlsConnector,
    /// For pods, and for our own programs on this machine, whose certificates are self-made.
    anybody: TlsConnector,
    address_types: Vec<String>,
    daemon: Daemon,
}

impl KubeletClient {
    /// A client that prefers addresses of these types, in this order. Its connections are tasks of `daemon`.
    ///
    /// # Errors
    /// When a key does not fit its certificate, or an authority is none.
    pub fn new(tls: KubeletTls, address_types: Vec<String>, daemon: Daemon) -> Result<Self, rustls::Error> {
        let KubeletTls { identity, authority } = tls;
        let copy = identity.as_ref().map(|own| KeyedCertificate { chain: own.chain.clone(), key: own.key.clone_key() });
        let connector = |identity, authority| client_config(identity, authority).map(Arc::new).map(TlsConnector::from);
        Ok(Self {
            kubelets: connector(identity, authority)?,
            unverified_kubelets: connector(copy, None)?,
            anybody: connector(None, None)?,
            address_types,
            daemon,
        })
    }

    /// Tasks of connections.
    pub(super) fn daemon(&self) -> &Daemon {
        &self.daemon
    }

    /// Where a node's kubelet listens.
    ///
    /// # Errors
    /// What is known of the node's addresses, in upstream's words.
    pub(super) fn address(&self, node: &Node) -> Result<Address, String> {
        let status = node.status.as_ref();
        let addresses = status.and_then(|status| status.addresses.as_deref()).unwrap_or_default();
        let preferred = self.address_types.iter().find_map(|wanted| addresses.iter().find(|a| a.type_ == *wanted));
        let Some(host) = preferred else {
            let known: Vec<String> = addresses.iter().map(|a| format!("{{{} {}}}", a.type_, a.address)).collect();
            return Err(format!("no preferred addresses found; known addresses: [{}]", known.join(" ")));
        };
        let endpoint = status.and_then(|status| status.daemon_endpoints.as_ref()?.kubelet_endpoint.as_ref());
        let port = endpoint.and_then(|endpoint| u16::try_from(endpoint.port).ok()).filter(|port| *port != 0);
        Ok(Address { host: host.address.clone(), port: port.unwrap_or(KUBELET_PORT) })
    }

    /// What a program on this machine says of its health.
    ///
    /// # Errors
    /// What stands in the way, in words for people.
    pub async fn healthz(&self, port: u16) -> Result<String, String> {
        let address = Address { host: "127.0.0.1".into(), port };
        let url = format!("https://{address}/healthz");
        let backend = Backend { address, peer: Peer::Https, reach: Reach::Anywhere };
        let request = Request::get("/healthz").body(Empty::<Bytes>::new()).map_err(|error| error.to_string())?;
        let response = self.send(&backend, request).await.map_err(|error| format!("Get {url:?}: {error}"))?;
        let code = response.status();
        let body = response.into_body().collect().await.map_err(|error| error.to_string())?.to_bytes();
        let text = String::from_utf8_lossy(&body).into_owned();
        if code.is_success() { Ok(text) } else { Err(text) }
    }

    /// What a node's kubelet says of the resources that are used there; at most so many bytes are read.
    ///
    /// # Errors
    /// What stands in the way, in words for people.
    pub async fn resource_metrics(&self, node: &Node, most: usize) -> Result<String, String> {
        let backend = Backend { address: self.address(node)?, peer: Peer::Kubelet, reach: Reach::Anywhere };
        let request =
            Request::get("/metrics/resource").body(Empty::<Bytes>::new()).map_err(|error| error.to_string())?;
        let response = self.send(&backend, request).await.map_err(|error| error.to_string())?;
        let code = response.status();
        let body = Limited::new(response.into_body(), most).collect().await.map_err(|error| error.to_string())?;
        if !code.is_success() {
            return Err(code.to_string());
        }
        String::from_utf8(body.to_bytes().into()).map_err(|error| error.to_string())
    }

    /// Sends a request over a connection that is made for it, and that can be upgraded.
    pub(super) async fn send<B>(
        &self,
        backend: &Backend,
        mut request: Request<B>,
    ) -> Result<Response<Incoming>, ConnectError>
    where
        B: Body + Send + 'static,
        B::Data: Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let address = &backend.address;
        if !request.headers().contains_key(header::HOST) {
            let host = HeaderValue::try_from(address.to_string()).map_err(http::Error::from)?;
            request.headers_mut().insert(header::HOST, host);
        }
        let stream = self.connect(backend).await?;
        let connector = match backend.peer {
            Peer::Http => return self.exchange(address, TokioIo::new(stream), request).await,
            Peer::Https => &self.anybody,
            Peer::Kubelet => &self.kubelets,
            Peer::UnverifiedKubelet => &self.unverified_kubelets,
        };
        let failed = |source| ConnectError::Dial { address: address.to_string(), source };
        let name = ServerName::try_from(address.host.clone()).map_err(io::Error::other).map_err(failed)?;
        let shaken = tokio::time::timeout(DIAL_TIMEOUT, connector.connect(name, stream)).await;
        let stream = shaken.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())).map_err(failed)?;
        self.exchange(address, TokioIo::new(stream), request).await
    }

    async fn connect(&self, backend: &Backend) -> Result<TcpStream, ConnectError> {
        let address = &backend.address;
        let candidates = address.resolve().await?;
        // What is dialled is what was looked at, whatever the name means a moment later.
        if backend.reach == Reach::Outside && !candidates.iter().all(|candidate| is_global_unicast(candidate.ip())) {
            return Err(ConnectError::NotAllowed);
        }
        let failed = |source| ConnectError::Dial { address: address.to_string(), source };
        let dialled = tokio::time::timeout(DIAL_TIMEOUT, TcpStream::connect(candidates.as_slice())).await;
        let stream = dialled.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())).map_err(failed)?;
        tcp_options(&stream).map_err(failed)?;
        Ok(stream)
    }

    async fn exchange<I, B>(
        &self,
        address: &Address,
        stream: TokioIo<I>,
        request: Request<B>,
    ) -> Result<Response<Incoming>, ConnectError>
    where
        TokioIo<I>: hyper::rt::Read + hyper::rt::Write + Send + Unpin + 'static,
        B: Body + Send + 'static,
        B::Data: Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let failed = |source| ConnectError::Exchange { address: address.to_string(), source };
        let mut builder = hyper::client::conn::http1::Builder::new();
        builder.max_buf_size(HEAD_MAX).max_headers(HEADERS_MAX);
        let (mut sender, connection) = builder.handshake(stream).await.map_err(failed)?;
        let shutdown = self.daemon.shutdown.clone();
        self.daemon.spawn(async move {
            if let Some(Err(error)) = shutdown.run_until_cancelled(connection.with_upgrades()).await {
                tracing::debug!("connection to a kubelet or pod: {error}");
            }
        });
        sender.send_request(request).await.map_err(failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_led_to_this_machine_itself() {
        for allowed in ["10.1.2.3", "192.0.2.2", "8.8.8.8", "fd00::1", "2001:db8::1", "::ffff:10.1.2.3"] {
            assert!(is_global_unicast(allowed.parse().unwrap()), "{allowed}");
        }
        for refused in [
            "127.0.0.1",
            "127.9.9.9",
            "0.0.0.0",
            "169.254.169.254",
            "224.0.0.1",
            "255.255.255.255",
            "::1",
            "::",
            "fe80::1",
            "ff02::1",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
        ] {
            assert!(!is_global_unicast(refused.parse().unwrap()), "{refused}");
        }
    }
}
