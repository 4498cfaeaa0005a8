//! Upgraded connections: once the other end has agreed, bytes go both ways and nobody here reads them.

use std::time::Duration;

use component::Daemon;
use http::{HeaderMap, HeaderName, Method, Response, StatusCode, header};
use http_body_util::Empty;
use hyper::{
    body::{Bytes, Incoming},
    upgrade::OnUpgrade,
};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};

use super::{
    client::{Backend, KubeletClient},
    hop, passed_on, plain,
};
use crate::{
    catalogue::{Answer, Request},
    metrics::Lasting,
    serving::Body,
};

/// Headers that belong to the agreement about the upgrade.
const AGREEMENT: &[&str] = &[
    "connection",
    "upgrade",
    "sec-websocket-key",
    "sec-websocket-version",
    "sec-websocket-protocol",
    "sec-websocket-extensions",
    "sec-websocket-accept",
    "x-stream-protocol-version",
    "x-accepted-stream-protocol-versions",
];

/// Whether the client wants another protocol on this connection.
pub fn is_upgrade(headers: &HeaderMap) -> bool {
    let mut connection = headers.get_all(header::CONNECTION).iter().filter_map(|value| value.to_str().ok());
    connection.any(|value| value.to_ascii_lowercase().contains("upgrade")) && headers.contains_key(header::UPGRADE)
}

/// Of a client's headers, or a kubelet's, those that belong to the agreement about the upgrade.
pub fn agreement(headers: &HeaderMap) -> HeaderMap {
    let mut kept = HeaderMap::new();
    for name in AGREEMENT.iter().copied().map(HeaderName::from_static) {
        for value in headers.get_all(&name) {
            kept.append(name.clone(), value.clone());
        }
    }
    kept
}

/// Opens a tunnel between the client and whatever listens there.
pub(super) async fn open(
    kubelet: &KubeletClient,
    mut request: Request,
    backend: &Backend,
    path: &str,
    headers: HeaderMap,
) -> Answer {
    let method = if request.method() == Method::POST { Method::POST } else { Method::GET };
    let asked = http::Request::builder().method(method).uri(path).body(Empty::<Bytes>::new());
    let mut asked = asked.map_err(|error| plain(error.to_string()))?;
    *asked.headers_mut() = headers;
    let unreachable = |error| plain(format!("error dialing backend: {error}"));
    let response = kubelet.send(backend, asked).await.map_err(unreachable)?;
    match response.status() {
        StatusCode::SWITCHING_PROTOCOLS => Ok(join(kubelet.daemon(), &mut request, response)),
        // What the other end has against it, in its own words.
        code if code.is_client_error() || code.is_server_error() => Ok(echo(response)),
        code => Err(plain(format!("invalid upgrade response: status code {}", code.as_u16()))),
    }
}

/// Lets the client speak with a server that has agreed to another protocol; gives back what the client is told of that.
pub fn join(daemon: &Daemon, request: &mut Request, mut response: Response<Incoming>) -> crate::serving::Response {
    let server = hyper::upgrade::on(&mut response);
    let client = hyper::upgrade::on(&mut request.http);
    let shutdown = daemon.shutdown.clone();
    // The request lasts as long as the tunnel.
    let lasting = request.http.extensions_mut().remove::<Lasting>();
    daemon.spawn(async move {
        shutdown.run_until_cancelled(copy(client, server)).await;
        drop(lasting);
    });
    let (head, _) = response.into_parts();
    let mut answer = Response::new(Body::Empty);
    *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    *answer.headers_mut() = head.headers;
    answer
}

fn echo(response: Response<Incoming>) -> crate::serving::Response {
    let (mut head, body) = response.into_parts();
    hop::remove(&mut head.headers);
    Response::from_parts(head, passed_on(body))
}

async fn copy(client: OnUpgrade, server: OnUpgrade) {
    match tokio::try_join!(client, server) {
        Ok((client, server)) => relay(TokioIo::new(client), TokioIo::new(server)).await,
        Err(error) => tracing::debug!("upgrade: {error}"),
    }
}

/// How long one side may go on after the other has ended.
const LINGER: Duration = Duration::from_secs(10);

async fn relay<C, S>(client: C, server: S)
where
    C: AsyncRead + AsyncWrite,
    S: AsyncRead + AsyncWrite,
{
    let (from_client, to_client) = tokio::io::split(client);
    let (from_server, to_server) = tokio::io::split(server);
    let mut up = std::pin::pin!(one_way(from_client, to_server));
    let mut down = std::pin::pin!(one_way(from_server, to_client));
    // Last words are passed on; but nobody keeps a connection to somebody who has gone.
    let _ = tokio::select! {
        () = &mut up => tokio::time::timeout(LINGER, down).await,
        () = &mut down => tokio::time::timeout(LINGER, up).await,
    };
}

async fn one_way(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin) {
    if let Err(error) = tokio::io::copy(&mut from, &mut to).await {
        tracing::debug!("tunnel: {error}");
    }
    // Whoever has gone does not want to hear of the end.
    let _ = to.shutdown().await;
}
