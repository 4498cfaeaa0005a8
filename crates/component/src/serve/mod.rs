//! Serving HTTP: our own accept loop, because a client certificate belongs to a connection, and
//! because exec and attach need upgrades on HTTP/1 next to HTTP/2.

pub mod certificates;
pub mod guard;
pub mod health;
pub mod tls;

use std::{
    convert::Infallible,
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto::Builder,
};
use rustls::pki_types::CertificateDer;
use socket2::{SockRef, TcpKeepalive};
use tokio::{
    io::BufWriter,
    net::{TcpListener, TcpStream},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_util::either::Either;
use tower::Service;

use crate::Daemon;

/// How long a client may take for its TLS handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How long a client may take for the head of its first request; upstream's figure.
const FIRST_REQUEST: Duration = Duration::from_secs(32);
/// How long a client of HTTP/1 may take from one request to the head of the next; upstream's figure for idle connections.
const NEXT_REQUEST: Duration = Duration::from_secs(90);
/// How long open requests may take after a shutdown began.
const GRACE: Duration = Duration::from_secs(5);

/// How much is collected of what HTTP/2 writes until it is encrypted and goes out, in bytes: some TLS records, of 16 KiB
/// each at most. HTTP/2 writes frame by frame, and TLS makes a record and a system call of every write.
const HTTP2_WRITE_BUFFER: usize = 64 << 10;
/// Nothing is collected of what HTTP/1 writes: it does that itself, and after an upgrade nobody would see to it that
/// what was collected goes out before the connection ends.
const NO_WRITE_BUFFER: usize = 0;

/// Who is at the other end of a connection. In the extensions of every request.
#[derive(Clone, Debug)]
pub struct Peer {
    /// The client's address.
    pub address: SocketAddr,
    /// The client's certificate chain, as presented, **not verified**: see [`tls::ClientAuthority`].
    pub certificates: Arc<[CertificateDer<'static>]>,
    /// Whether the connection is encrypted.
    pub encrypted: bool,
}

/// As [`spawn`], for a router. Not generic, so that the server is compiled here and not in each daemon.
pub fn spawn_router(
    listener: TcpListener,
    tls: Option<Arc<rustls::ServerConfig>>,
    router: axum::Router,
    daemon: &Daemon,
) {
    spawn(listener, tls, router, daemon);
}

/// Accepts connections until shutdown; every connection is a task of `daemon`. Open connections
/// are asked to finish at shutdown and dropped 5 s later.
pub fn spawn<S, B>(listener: TcpListener, tls: Option<Arc<rustls::ServerConfig>>, service: S, daemon: &Daemon)
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Clone + Send + Sync + 'static,
    S::Future: Send,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let acceptor = tls.map(TlsAcceptor::from);
    let connections = daemon.clone();
    daemon.spawn_until_shutdown(async move {
        loop {
            match listener.accept().await {
                Ok((stream, address)) => {
                    let (acceptor, service, daemon) = (acceptor.clone(), service.clone(), connections.clone());
                    connections.spawn(async move {
                        if let Err(error) = connection(stream, address, acceptor, service, &daemon).await {
                            tracing::debug!(%address, "connection: {error}");
                        }
                    });
                }
                Err(error) => after_accept_error(&error).await,
            }
        }
    });
}

/// A refused connection is the client's affair; a lack of descriptors passes only with time.
async fn after_accept_error(error: &io::Error) {
    if !matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset) {
        tracing::error!("accepting a connection: {error}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Plain or encrypted: one type, so that HTTP is compiled once for both.
type Stream = Either<TcpStream, TlsStream<TcpStream>>;
/// How long nothing may be heard of a peer until it is asked whether it is there, and between questions; Go's.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Sets the options of a connection, accepted or made: what is written goes at once, and a peer that vanished without a
/// word is found out.
///
/// # Errors
/// The kernel's.
pub fn tcp_options(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    SockRef::from(stream).set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEP_ALIVE).with_interval(KEEP_ALIVE))
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;

async fn connection<S, B>(
    stream: TcpStream,
    address: SocketAddr,
    acceptor: Option<TlsAcceptor>,
    service: S,
    daemon: &Daemon,
) -> Result<(), BoxError>
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Clone + Send + Sync + 'static,
    S::Future: Send,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    tcp_options(&stream)?;
    let Some(acceptor) = acceptor else {
        let peer = Peer { address, certificates: Arc::from([]), encrypted: false };
        return http(BufWriter::with_capacity(NO_WRITE_BUFFER, Stream::Left(stream)), peer, service, daemon).await;
    };
    let stream = tokio::time::timeout(HANDSHAKE, acceptor.accept(stream)).await??;
    let session = stream.get_ref().1;
    let certificates = session.peer_certificates().unwrap_or_default();
    let certificates = certificates.iter().map(|certificate| certificate.clone().into_owned()).collect();
    let buffer = if session.alpn_protocol() == Some(b"h2") { HTTP2_WRITE_BUFFER } else { NO_WRITE_BUFFER };
    let peer = Peer { address, certificates, encrypted: true };
    http(BufWriter::with_capacity(buffer, Stream::Right(stream)), peer, service, daemon).await
}

async fn http<S, B>(stream: BufWriter<Stream>, peer: Peer, service: S, daemon: &Daemon) -> Result<(), BoxError>
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Clone + Send + Sync + 'static,
    S::Future: Send,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    let asked = Arc::new(AtomicBool::new(false));
    let noted = Arc::clone(&asked);
    let service = hyper::service::service_fn(move |mut request: Request<Incoming>| {
        noted.store(true, Ordering::Relaxed);
        request.extensions_mut().insert(peer.clone());
        service.clone().call(request)
    });
    let mut builder = Builder::new(TokioExecutor::new());
    // Upstream's limits for its HTTP/2 server.
    builder.http2().max_concurrent_streams(250).initial_connection_window_size(1 << 20);
    builder.http1().timer(TokioTimer::new()).header_read_timeout(NEXT_REQUEST);
    let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        result = connection.as_mut() => result,
        () = nothing_asked(&asked) => Err("no request came in time".into()),
        () = daemon.shutdown.cancelled() => {
            connection.as_mut().graceful_shutdown();
            tokio::time::timeout(GRACE, connection).await.unwrap_or(Ok(()))
        }
    }
}

/// Returns when a client has had its time for a first request and made none.
async fn nothing_asked(asked: &AtomicBool) {
    tokio::time::sleep(FIRST_REQUEST).await;
    if asked.load(Ordering::Relaxed) {
        std::future::pending::<()>().await;
    }
}

#[cfg(test)]
mod tests {
    use axum::{Router, routing::get};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    /// What a client reads that writes this and then waits.
    async fn answer(written: &[u8]) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let daemon = Daemon::new();
        spawn_router(listener, None, Router::new().route("/", get(|| async { "here" })), &daemon);
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(written).await.unwrap();
        let mut read = Vec::new();
        stream.read_to_end(&mut read).await.unwrap();
        String::from_utf8_lossy(&read).into_owned()
    }

    #[tokio::test(start_paused = true)]
    async fn who_asks_nothing_is_not_waited_for() {
        for written in [b"".as_slice(), b"GET / HTTP/1.1\r\nhost: a\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"] {
            assert_eq!(answer(written).await.find("here"), None);
        }
        // Who has asked is waited for a while, and answered before.
        assert!(answer(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.ends_with("here"));
    }
}
