//! Connections to kubelets, and to the health ports of the control plane's other programs.

use std::{io, sync::Arc, time::Duration};

use api_types::core::Node;
use bytes::Bytes;
use component::Daemon;
use http::{HeaderMap, Method, Request, Response, header};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use component::serve::{certificates::KeyedCertificate, tls::client_config};

/// Why a kubelet could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// No connection.
    #[error("dial tcp {address}: {source}")]
    Dial {
        /// Where to.
        address: String,
        /// Why not.
        source: io::Error,
    },
    /// The answer did not come, or made no sense.
    #[error("request to {address}: {source}")]
    Exchange {
        /// Where to.
        address: String,
        /// Why not.
        source: hyper::Error,
    },
    /// The path cannot be sent.
    #[error("request: {0}")]
    Request(#[from] http::Error),
}

/// Where a kubelet listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Address {
    host: String,
    port: u16,
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

/// The way to kubelets.
pub struct KubeletClient {
    kubelets: TlsConnector,
    /// For our own programs on this machine, whose certificates are self-made.
    loopback: TlsConnector,
    address_types: Vec<String>,
    daemon: Daemon,
}

impl KubeletClient {
    /// A client that prefers addresses of these types, in this order. Its connections are tasks of `daemon`.
    ///
    /// # Errors
    /// When a key does not fit its certificate, or an authority is none.
    pub fn new(tls: KubeletTls, address_types: Vec<String>, daemon: Daemon) -> Result<Self, rustls::Error> {
        let kubelets = TlsConnector::from(Arc::new(client_config(tls.identity, tls.authority)?));
        let loopback = TlsConnector::from(Arc::new(client_config(None, None)?));
        Ok(Self { kubelets, loopback, address_types, daemon })
    }

    /// Tasks of connections.
    pub(super) fn daemon(&self) -> &Daemon {
        &self.daemon
    }

    /// Where a node's kubelet listens.
    pub(super) fn address(&self, node: &Node) -> Option<Address> {
        let status = node.status.as_ref()?;
        let addresses = status.addresses.as_deref().unwrap_or_default();
        let host = self.address_types.iter().find_map(|wanted| addresses.iter().find(|a| a.type_ == *wanted))?;
        let endpoint = status.daemon_endpoints.as_ref().and_then(|endpoints| endpoints.kubelet_endpoint.as_ref());
        let port = endpoint.and_then(|endpoint| u16::try_from(endpoint.port).ok()).filter(|port| *port != 0);
        Some(Address { host: host.address.clone(), port: port.unwrap_or(KUBELET_PORT) })
    }

    /// GET.
    pub(super) async fn get(&self, address: &Address, path: &str) -> Result<Response<Incoming>, ConnectError> {
        self.send(address, Method::GET, path, HeaderMap::new()).await
    }

    /// A request without a body; the connection is made for it, and can be upgraded.
    pub(super) async fn send(
        &self,
        address: &Address,
        method: Method,
        path: &str,
        headers: HeaderMap,
    ) -> Result<Response<Incoming>, ConnectError> {
        self.exchange(&self.kubelets, address, method, path, headers).await
    }

    /// What a program on this machine says of its health.
    ///
    /// # Errors
    /// What stands in the way, in words for people.
    pub async fn healthz(&self, port: u16) -> Result<String, String> {
        let address = Address { host: "127.0.0.1".into(), port };
        let url = format!("https://127.0.0.1:{port}/healthz");
        let asked = self.exchange(&self.loopback, &address, Method::GET, "/healthz", HeaderMap::new()).await;
        let response = asked.map_err(|error| format!("Get {url:?}: {error}"))?;
        let code = response.status();
        let body = response.into_body().collect().await.map_err(|error| error.to_string())?.to_bytes();
        let text = String::from_utf8_lossy(&body).into_owned();
        if code.is_success() { Ok(text) } else { Err(text) }
    }

    async fn exchange(
        &self,
        connector: &TlsConnector,
        address: &Address,
        method: Method,
        path: &str,
        headers: HeaderMap,
    ) -> Result<Response<Incoming>, ConnectError> {
        let text = format!("{}:{}", address.host, address.port);
        let dialled = tokio::time::timeout(DIAL_TIMEOUT, dial(connector, address)).await;
        let dialled = dialled.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        let stream = dialled.map_err(|source| ConnectError::Dial { address: text.clone(), source })?;
        let failed = |source| ConnectError::Exchange { address: text.clone(), source };
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(failed)?;
        let shutdown = self.daemon.shutdown.clone();
        self.daemon.spawn(async move {
            if let Some(Err(error)) = shutdown.run_until_cancelled(connection.with_upgrades()).await {
                tracing::debug!("connection to kubelet: {error}");
            }
        });
        let mut request = Request::builder().method(method).uri(path).body(Empty::<Bytes>::new())?;
        *request.headers_mut() = headers;
        let host = http::HeaderValue::try_from(&text).map_err(http::Error::from)?;
        request.headers_mut().insert(header::HOST, host);
        sender.send_request(request).await.map_err(failed)
    }
}

async fn dial(connector: &TlsConnector, address: &Address) -> io::Result<tokio_rustls::client::TlsStream<TcpStream>> {
    let stream = TcpStream::connect((address.host.as_str(), address.port)).await?;
    stream.set_nodelay(true)?;
    let name = ServerName::try_from(address.host.clone()).map_err(io::Error::other)?;
    connector.connect(name, stream).await
}
