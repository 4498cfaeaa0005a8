//! Serving HTTP: our own accept loop, because a client certificate belongs to a connection, and
//! because exec and attach need upgrades on HTTP/1 next to HTTP/2.

pub mod certificates;
pub mod guard;
pub mod health;
mod idle;
mod places;
pub mod tls;
mod trust;

use std::{convert::Infallible, io, net::SocketAddr, sync::Arc, time::Duration};

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

pub use self::places::raise_descriptors;
use self::{
    idle::Requests,
    places::{PLACES, Place},
};
use crate::{Daemon, metrics};

/// How long a client may take for its TLS handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How long a client may take for the head of its first request; upstream's figure.
const FIRST_REQUEST: Duration = Duration::from_secs(32);
/// How long a client may take from one request to the next; upstream's figure for idle connections.
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
/// are asked to finish at shutdown and dropped 5 s later. There are at most as many as the process has descriptors for;
/// when there are so many, those give way on which nothing is asked.
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
                    let Some(place) = PLACES.take() else {
                        tracing::debug!(%address, "turned away: something is being answered on every connection");
                        continue;
                    };
                    let (acceptor, service, daemon) = (acceptor.clone(), service.clone(), connections.clone());
                    connections.spawn(async move {
                        let requests = place.requests.clone();
                        let served = connection(stream, address, acceptor, service, requests, &daemon);
                        if let Some(Err(error)) = within(&place, served).await {
                            tracing::debug!(%address, "connection: {error}");
                        }
                    });
                }
                Err(error) => after_accept_error(&error).await,
            }
        }
    });
}

/// What comes of it, unless the connection has to give way.
async fn within<T>(place: &Place, served: impl Future<Output = T>) -> Option<T> {
    place.end.run_until_cancelled(served).await
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
    requests: Arc<Requests>,
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
        return http(BufWriter::with_capacity(NO_WRITE_BUFFER, Stream::Left(stream)), peer, service, requests, daemon)
            .await;
    };
    let stream = handshake(&acceptor, stream).await.inspect_err(|_| metrics::handshake_failed())?;
    let session = stream.get_ref().1;
    let certificates = session.peer_certificates().unwrap_or_default();
    let certificates = certificates.iter().map(|certificate| certificate.clone().into_owned()).collect();
    let buffer = if session.alpn_protocol() == Some(b"h2") { HTTP2_WRITE_BUFFER } else { NO_WRITE_BUFFER };
    let peer = Peer { address, certificates, encrypted: true };
    http(BufWriter::with_capacity(buffer, Stream::Right(stream)), peer, service, requests, daemon).await
}

async fn handshake(acceptor: &TlsAcceptor, stream: TcpStream) -> Result<TlsStream<TcpStream>, BoxError> {
    Ok(tokio::time::timeout(HANDSHAKE, acceptor.accept(stream)).await??)
}

async fn http<S, B>(
    stream: BufWriter<Stream>,
    peer: Peer,
    service: S,
    requests: Arc<Requests>,
    daemon: &Daemon,
) -> Result<(), BoxError>
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Clone + Send + Sync + 'static,
    S::Future: Send,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    let counted = Arc::clone(&requests);
    let service = hyper::service::service_fn(move |mut request: Request<Incoming>| {
        let open = counted.begin();
        request.extensions_mut().insert(peer.clone());
        let answer = service.clone().call(request);
        async move { Ok::<_, Infallible>(answer.await?.map(|body| open.until_the_end_of(body))) }
    });
    let mut builder = Builder::new(TokioExecutor::new());
    // Upstream's limits for its HTTP/2 server.
    builder.http2().max_concurrent_streams(250).initial_connection_window_size(1 << 20);
    builder.http1().timer(TokioTimer::new()).header_read_timeout(NEXT_REQUEST);
    let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        result = connection.as_mut() => return result,
        () = requests.idle(FIRST_REQUEST, NEXT_REQUEST) => {
            connection.as_mut().graceful_shutdown();
            // What is asked just then is answered; a client that does not say goodbye is not waited for.
            let nothing_came = async {
                tokio::time::sleep(GRACE).await;
                requests.idle(Duration::ZERO, Duration::ZERO).await;
            };
            tokio::select! {
                result = connection.as_mut() => return result,
                () = nothing_came => return Err("no request came in time".into()),
                () = daemon.shutdown.cancelled() => {}
            }
        }
        () = daemon.shutdown.cancelled() => connection.as_mut().graceful_shutdown(),
    }
    tokio::time::timeout(GRACE, connection).await.unwrap_or(Ok(()))
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

    #[tokio::test(start_paused = true)]
    async fn who_asked_once_is_not_waited_for_without_end() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let daemon = Daemon::new();
        let answers = || async { axum::body::Body::from_stream(nothing()) };
        let router = Router::new().route("/", get(|| async { "here" })).route("/watch", get(answers));
        spawn_router(listener, None, router, &daemon);
        let stream = TokioIo::new(TcpStream::connect(address).await.unwrap());
        let handshake = hyper::client::conn::http2::handshake::<_, _, String>(TokioExecutor::new(), stream);
        let (mut sender, connection) = at_once(handshake).await.unwrap();
        let connection = tokio::spawn(connection);
        let mut ask = async |path: &str| {
            let request = Request::get(format!("http://a{path}")).body(String::new()).unwrap();
            at_once(sender.send_request(request)).await.unwrap()
        };
        drop(ask("/").await);
        // What lasts keeps the connection.
        let watch = ask("/watch").await;
        tokio::time::sleep(NEXT_REQUEST * 10).await;
        assert!(!connection.is_finished());
        assert_eq!(ask("/").await.status(), 200);
        drop(watch);
        let begun = tokio::time::Instant::now();
        connection.await.unwrap().unwrap();
        assert!(begun.elapsed() >= NEXT_REQUEST && begun.elapsed() < NEXT_REQUEST + GRACE);
    }

    /// What comes of something, while the clock stands.
    async fn at_once<T>(what: impl Future<Output = T>) -> T {
        let busy = async {
            loop {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            done = what => done,
            () = busy => unreachable!(),
        }
    }

    fn nothing() -> impl futures::Stream<Item = Result<bytes::Bytes, Infallible>> {
        futures::stream::pending()
    }
}
