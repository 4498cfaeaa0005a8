//! Sessions in every form in which clients ask for them.

use std::net::SocketAddr;

use axum::http::{HeaderMap, Request, StatusCode};
use component::auth::Anonymous;
use component::serve;
use futures::{SinkExt, StreamExt};
use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::client_async;
use tokio_tungstenite::tungstenite::{Message, client::IntoClientRequest};
use tokio_util::io::{CopyToBytes, SinkWriter, StreamReader};

use super::Daemon;
use super::streams::testing::Client;
use super::tests::app;

struct Kubelet {
    address: SocketAddr,
    daemon: Daemon,
}

impl Drop for Kubelet {
    fn drop(&mut self) {
        self.daemon.shutdown.cancel();
    }
}

async fn start() -> Kubelet {
    let daemon = Daemon::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    serve::spawn(listener, None, app(Anonymous::Allowed).await, &daemon);
    Kubelet { address, daemon }
}

/// A connection that has been upgraded to SPDY, or why not.
async fn spdy(
    kubelet: &Kubelet,
    path: &str,
    versions: &[&str],
) -> Result<(TokioIo<Upgraded>, HeaderMap), (StatusCode, String)> {
    let stream = TcpStream::connect(kubelet.address).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection.with_upgrades());
    let mut request =
        Request::post(path).header("host", "x").header("connection", "Upgrade").header("upgrade", "SPDY/3.1");
    for version in versions {
        request = request.header("x-stream-protocol-version", *version);
    }
    let response = sender.send_request(request.body(Empty::<Bytes>::new()).unwrap()).await.unwrap();
    let (status, headers) = (response.status(), response.headers().clone());
    if status != StatusCode::SWITCHING_PROTOCOLS {
        let body = response.into_body().collect().await.unwrap().to_bytes();
        return Err((status, String::from_utf8_lossy(&body).into_owned()));
    }
    Ok((TokioIo::new(hyper::upgrade::on(response).await.unwrap()), headers))
}

const SCRIPT: &str =
    "/exec/ns/web/main?command=sh&command=-c&command=echo+o;+echo+e+%3E%262;+cat;+exit+5&input=1&output=1&error=1";

#[tokio::test]
async fn a_command_is_executed_over_spdy_in_every_version() {
    let kubelet = start().await;
    for (versions, chosen) in [
        (vec!["v5.channel.k8s.io", "v4.channel.k8s.io", "channel.k8s.io"], "v4.channel.k8s.io"),
        (vec!["v3.channel.k8s.io, v2.channel.k8s.io"], "v3.channel.k8s.io"),
        (vec!["v2.channel.k8s.io"], "v2.channel.k8s.io"),
        (vec!["channel.k8s.io"], "channel.k8s.io"),
    ] {
        let (io, headers) = spdy(&kubelet, SCRIPT, &versions).await.unwrap();
        assert_eq!(
            (headers["x-stream-protocol-version"].as_bytes(), &headers["upgrade"]),
            (chosen.as_bytes(), &"SPDY/3.1".parse().unwrap())
        );
        let mut client = Client::new(io);
        for (id, kind) in [(1, "error"), (3, "stdin"), (5, "stdout"), (7, "stderr")] {
            client.open(id, kind).await;
        }
        client.data(3, "typed\n", true).await;
        let all = [1, 5, 7];
        assert!(client.read_until(|client| all.iter().all(|id| client.finished.contains(id))).await);
        assert_eq!((client.text(5).as_str(), client.text(7).as_str()), ("o\ntyped\n", "e\n"), "{chosen}");
        let end = client.text(1);
        match chosen {
            "v4.channel.k8s.io" => assert!(end.contains(r#""reason":"NonZeroExitCode""#), "{end}"),
            _ => assert_eq!(end, "command terminated with non-zero exit code: exit status 5", "{chosen}"),
        }
        assert!(client.read_until(|client| client.farewell == Some(0)).await);
    }
}

#[tokio::test]
async fn a_session_needs_an_agreement() {
    let kubelet = start().await;
    let refused = |path, versions| {
        let kubelet = &kubelet;
        async move { spdy(kubelet, path, versions).await.err().unwrap() }
    };
    let (code, text) = refused(SCRIPT, &[]).await;
    assert_eq!((code.as_u16(), text.as_str()), (400, "unable to upgrade: X-Stream-Protocol-Version is required"));
    let (code, text) = refused(SCRIPT, &["v9"]).await;
    assert!(code == StatusCode::FORBIDDEN && text.contains("client supports [v9], server accepts [v4.channel.k8s.io "));
    let (code, text) = refused("/portForward/ns/other", &["portforward.k8s.io"]).await;
    assert_eq!((code.as_u16(), text.as_str()), (404, "pod does not exist"));
    let (code, _) = refused("/portForward/ns/web/some-other-uid", &["portforward.k8s.io"]).await;
    assert_eq!(code.as_u16(), 404);
}

/// All that comes through a WebSocket.
async fn websocket(kubelet: &Kubelet, path: &str, protocol: &str, says: Vec<Message>) -> Vec<Message> {
    let mut request = format!("ws://{}{path}", kubelet.address).into_client_request().unwrap();
    if !protocol.is_empty() {
        request.headers_mut().insert("sec-websocket-protocol", protocol.parse().unwrap());
    }
    let stream = TcpStream::connect(kubelet.address).await.unwrap();
    let (mut socket, _) = client_async(request, stream).await.unwrap();
    for message in says {
        socket.send(message).await.unwrap();
    }
    socket.filter_map(|message| futures::future::ready(message.ok())).collect().await
}

#[tokio::test]
async fn old_websockets_are_told_of_failures_in_words() {
    let kubelet = start().await;
    let path = "/exec/ns/web/main?command=sh&command=-c&command=echo+o;+exit+5&output=1";
    for protocol in ["", "channel.k8s.io", "v4.channel.k8s.io", "v5.channel.k8s.io"] {
        let messages = websocket(&kubelet, path, protocol, Vec::new()).await;
        let data: Vec<Vec<u8>> =
            messages.into_iter().filter(Message::is_binary).map(|m| m.into_data().to_vec()).collect();
        assert_eq!(data[..2], [b"\x01".to_vec(), b"\x01o\n".to_vec()], "{protocol}");
        let end = String::from_utf8(data[2].clone()).unwrap();
        let expected = if protocol.starts_with('v') { "\x03{" } else { "\x03command terminated" };
        assert!(end.starts_with(expected), "{protocol}: {end}");
    }
    let messages = websocket(&kubelet, path, "base64.channel.k8s.io", Vec::new()).await;
    assert_eq!(messages[1], Message::Text("1bwo=".into()));
}

/// A server that says in capitals what it is told, once.
async fn shouter() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut said = String::new();
                stream.read_to_string(&mut said).await.unwrap();
                stream.write_all(said.to_uppercase().as_bytes()).await.unwrap();
            });
        }
    });
    port
}

async fn forward<I>(client: &mut Client<I>)
where
    I: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    let (port, closed) = (shouter().await.to_string(), "1");
    for (first, request) in [(1, "0"), (5, "1")] {
        let headers = |kind| [("streamtype", kind), ("port", port.as_str()), ("requestid", request)];
        client.open_with(first, &headers("error")).await;
        client.open_with(first + 2, &headers("data")).await;
        client.data(first + 2, "hello", true).await;
    }
    // Without a request's name, as old clients do it, and to where nobody listens.
    client.open_with(9, &[("streamtype", "error"), ("port", closed)]).await;
    client.open_with(11, &[("streamtype", "data"), ("port", closed)]).await;
    for (id, headers) in [
        (13, vec![("streamtype", "data"), ("port", "0"), ("requestid", "2")]),
        (15, vec![("streamtype", "other"), ("port", "1"), ("requestid", "3")]),
        (17, vec![("streamtype", "data"), ("requestid", "4")]),
    ] {
        client.open_with(id, &headers).await;
    }
    let ended = |client: &Client<I>| [1, 3, 5, 7, 9, 11].iter().all(|id| client.finished.contains(id));
    assert!(client.read_until(|client| ended(client) && client.resets.len() == 3).await);
    assert_eq!((client.text(3).as_str(), client.text(7).as_str()), ("HELLO", "HELLO"));
    assert_eq!((client.text(1).as_str(), client.text(5).as_str(), client.text(11).as_str()), ("", "", ""));
    let expected = "error forwarding port 1 to pod web_ns, uid u: failed to connect to localhost:1 inside the pod: connect: connection refused";
    assert_eq!(client.text(9), expected);
}

#[tokio::test]
async fn ports_are_forwarded_over_spdy() {
    let kubelet = start().await;
    let (io, _) = spdy(&kubelet, "/portForward/ns/web", &["portforward.k8s.io"]).await.unwrap();
    forward(&mut Client::new(io)).await;
}

#[tokio::test]
async fn ports_are_forwarded_over_spdy_in_a_websocket() {
    let kubelet = start().await;
    let mut request = format!("ws://{}/portForward/ns/web", kubelet.address).into_client_request().unwrap();
    request.headers_mut().insert("sec-websocket-protocol", "SPDY/3.1+portforward.k8s.io".parse().unwrap());
    let stream = TcpStream::connect(kubelet.address).await.unwrap();
    let (socket, response) = client_async(request, stream).await.unwrap();
    assert_eq!(response.headers()["sec-websocket-protocol"], "SPDY/3.1+portforward.k8s.io");
    let (sink, messages) = socket.split();
    let read = messages.map(|message| message.map(Message::into_data).map_err(std::io::Error::other));
    let write = sink
        .sink_map_err(std::io::Error::other)
        .with(|data: Bytes| async { Ok::<_, std::io::Error>(Message::Binary(data)) });
    let write = SinkWriter::new(CopyToBytes::new(Box::pin(write)));
    forward(&mut Client::new(tokio::io::join(StreamReader::new(read), write))).await;
}

#[tokio::test]
async fn named_ports_have_channels() {
    let kubelet = start().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut said = [0; 5];
        stream.read_exact(&mut said).await.unwrap();
        stream.write_all(b"HELLO").await.unwrap();
    });
    let path = format!("/portForward/ns/web?port={port},1");
    let says = vec![Message::Binary(Bytes::from_static(b"\0hello"))];
    let messages = websocket(&kubelet, &path, "v4.channel.k8s.io", says).await;
    let mut channels: std::collections::BTreeMap<u8, Vec<u8>> = std::collections::BTreeMap::new();
    for message in messages.into_iter().filter(Message::is_binary) {
        let data = message.into_data();
        channels.entry(data[0]).or_default().extend_from_slice(&data[1..]);
    }
    let own = port.to_le_bytes();
    assert_eq!(channels[&0], [&own[..], b"HELLO"].concat());
    assert_eq!((channels[&1].as_slice(), channels[&2].as_slice()), (&own[..], &[1, 0][..]));
    assert!(String::from_utf8_lossy(&channels[&3][2..]).contains("connection refused"));
    let without = spdy(&kubelet, "/portForward/ns/web", &[]).await.err().unwrap();
    assert_eq!(without.0.as_u16(), 400);
}
