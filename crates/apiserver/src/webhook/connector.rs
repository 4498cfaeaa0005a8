//! Connections under TLS to a server that an object names.

use std::{
    error::Error,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use component::serve::tcp_options;
use futures::future::BoxFuture;
use http::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::{
    client::legacy::connect::{Connected, Connection},
    rt::TokioIo,
};
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::{
    Place,
    service::{self, Address, Otherwise},
};
use crate::registry::admission::Handle;

/// How long a connection may take to be made, even where nobody waits for it any more.
const DIAL_TIMEOUT: Duration = Duration::from_secs(30);

/// Makes connections to one server.
#[derive(Clone)]
pub struct Connector(Arc<Way>);

/// The way to a server.
struct Way {
    place: Place,
    name: ServerName<'static>,
    tls: TlsConnector,
    registry: Handle,
    otherwise: Otherwise,
}

impl Connector {
    /// A way to a server under this TLS; services are looked up in the registry.
    ///
    /// # Errors
    /// When the place is none, in words for people.
    pub fn new(
        place: &Place,
        tls: rustls::ClientConfig,
        registry: &Handle,
        otherwise: Otherwise,
    ) -> Result<Self, String> {
        let name = ServerName::try_from(place.server_name()?).map_err(|error| error.to_string())?;
        let tls = TlsConnector::from(Arc::new(tls));
        Ok(Self(Arc::new(Way { place: place.clone(), name, tls, registry: registry.clone(), otherwise })))
    }
}

/// A connection under TLS.
pub struct Secured(TokioIo<TlsStream<TcpStream>>);

/// Why there is no connection, in words for people.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct NotConnected(String);

impl tower::Service<Uri> for Connector {
    type Response = Secured;
    type Error = NotConnected;
    type Future = BoxFuture<'static, Result<Secured, NotConnected>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), NotConnected>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let way = self.0.clone();
        Box::pin(async move {
            let connected = tokio::time::timeout(DIAL_TIMEOUT, way.connect(&uri)).await;
            connected.unwrap_or_else(|_| Err("dial tcp: i/o timeout".to_owned())).map_err(NotConnected)
        })
    }
}

impl Way {
    async fn connect(&self, uri: &Uri) -> Result<Secured, String> {
        let address = match &self.place {
            Place::Service { namespace, name, port, .. } => {
                let found = service::find(&self.registry, namespace, name, *port, self.otherwise).await;
                found.map_err(|error| error.status().message.clone().unwrap_or_default())?
            }
            Place::Url(_) => {
                let host = uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
                Address::Named(host.to_owned(), uri.port_u16().unwrap_or(443))
            }
        };
        let stream = dial(address).await?;
        tcp_options(&stream).map_err(|error| error.to_string())?;
        let shaken = self.tls.connect(self.name.clone(), stream).await;
        shaken.map(|stream| Secured(TokioIo::new(stream))).map_err(|error| tls_error(&error))
    }
}

async fn dial(address: Address) -> Result<TcpStream, String> {
    let candidates: Vec<SocketAddr> = match address {
        Address::At(address) => vec![address],
        Address::Named(host, port) => {
            let failed = |error: io::Error| format!("dial tcp: lookup {host}: {error}");
            tokio::net::lookup_host((host.as_str(), port)).await.map_err(failed)?.collect()
        }
    };
    let shown = candidates.first().map(ToString::to_string).unwrap_or_default();
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::ConnectionRefused => format!("dial tcp {shown}: connect: connection refused"),
        io::ErrorKind::HostUnreachable => format!("dial tcp {shown}: connect: no route to host"),
        io::ErrorKind::NetworkUnreachable => format!("dial tcp {shown}: connect: network is unreachable"),
        io::ErrorKind::TimedOut => format!("dial tcp {shown}: i/o timeout"),
        _ => format!("dial tcp {shown}: {error}"),
    };
    TcpStream::connect(candidates.as_slice()).await.map_err(failed)
}

/// What people look for in messages, where there are such words.
fn tls_error(error: &io::Error) -> String {
    use rustls::{CertificateError as Certificate, Error as Tls};
    let inner = error.get_ref().and_then(|inner| (inner as &(dyn Error + 'static)).downcast_ref::<Tls>());
    let verify = "tls: failed to verify certificate: x509";
    match inner {
        Some(Tls::InvalidCertificate(Certificate::UnknownIssuer)) => {
            format!("{verify}: certificate signed by unknown authority")
        }
        Some(Tls::InvalidCertificate(
            Certificate::Expired | Certificate::ExpiredContext { .. } | Certificate::NotValidYet,
        )) => {
            format!("{verify}: certificate has expired or is not yet valid")
        }
        Some(Tls::InvalidCertificate(
            why @ (Certificate::NotValidForName | Certificate::NotValidForNameContext { .. }),
        )) => {
            format!("{verify}: {why}")
        }
        Some(other) => format!("tls: {other}"),
        None => error.to_string(),
    }
}

impl Connection for Secured {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl Read for Secured {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl Write for Secured {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
