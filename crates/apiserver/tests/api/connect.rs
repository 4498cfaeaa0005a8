//! Logs and exec: passed on to the kubelet, here one that only echoes.

use std::{convert::Infallible, net::SocketAddr};

use component::{
    Daemon,
    serve::{self, certificates},
};
use futures::StreamExt;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::{
    body::{Bytes, Incoming},
    upgrade::Upgraded,
};
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tokio_tungstenite::{
    client_async,
    tungstenite::{Message, client::IntoClientRequest},
};

use crate::client::Api;

const PODS: &str = "/api/v1/namespaces/default/pods";

struct Kubelet {
    address: SocketAddr,
    daemon: Daemon,
}

impl Drop for Kubelet {
    fn drop(&mut self) {
        self.daemon.shutdown.cancel();
    }
}

impl Kubelet {
    async fn start() -> Self {
        let daemon = Daemon::new();
        let certificate = certificates::make("kubelet", &["127.0.0.1".to_owned()]).unwrap();
        let tls = serve::tls::server_config(certificate).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        serve::spawn(listener, Some(tls), tower::service_fn(answer), &daemon);
        Self { address, daemon }
    }
}

async fn answer(mut request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let path = request.uri().path_and_query().unwrap().to_string();
    if request.headers().contains_key(header::UPGRADE) {
        let upgrade = hyper::upgrade::on(&mut request);
        tokio::spawn(async move {
            let mut stream = TokioIo::new(upgrade.await.unwrap());
            stream.write_all(format!("{path}\n").as_bytes()).await.unwrap();
            if path.contains("command=leave") {
                return;
            }
            let (mut read, mut write) = tokio::io::split(stream);
            tokio::io::copy(&mut read, &mut write).await.unwrap();
        });
        let response = Response::builder()
            .status(StatusCode::SWITCHING_PROTOCOLS)
            .header(header::CONNECTION, "Upgrade")
            .header(header::UPGRADE, "websocket");
        return Ok(response.body(Full::default()).unwrap());
    }
    if path.contains("/waiting/") {
        let text = "container \"c\" in pod \"waiting\" is waiting to start: ContainerCreating";
        return Ok(Response::builder().status(StatusCode::BAD_REQUEST).body(text.into()).unwrap());
    }
    Ok(Response::new(format!("log of {path}\n").into()))
}

async fn start() -> (Api, Kubelet) {
    let (api, kubelet) = (Api::start().await, Kubelet::start().await);
    let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n"}});
    api.post("/api/v1/nodes", &node).await.ok();
    let status = json!({"status": {
        "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": kubelet.address.port()}},
    }});
    api.merge("/api/v1/nodes/n/status", &status).await.ok();
    for (name, node) in [("p", Some("n")), ("waiting", Some("n")), ("unscheduled", None)] {
        let mut pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
        if let Some(node) = node {
            pod["spec"]["nodeName"] = node.into();
        }
        api.post(PODS, &pod).await.ok();
    }
    (api, kubelet)
}

#[tokio::test]
async fn logs_come_from_the_kubelet() {
    let (api, _kubelet) = start().await;
    let log = api.get(&format!("{PODS}/p/log?follow=true&tailLines=5")).await;
    assert_eq!(log.code, 200);
    assert_eq!(String::from_utf8(log.bytes).unwrap(), "log of /containerLogs/default/p/c?follow=true&tailLines=5\n");
    let waiting = api.get(&format!("{PODS}/waiting/log")).await.failure();
    assert_eq!(
        waiting,
        (400, "BadRequest".into(), "container \"c\" in pod \"waiting\" is waiting to start: ContainerCreating".into())
    );
    let nothing = api.get(&format!("{PODS}/unscheduled/log")).await;
    assert_eq!((nothing.code, nothing.bytes.len()), (204, 0));
    for (options, code) in [("tailLines=-1", 422), ("limitBytes=0", 422), ("stream=Foo", 422), ("tailLines=x", 400)] {
        assert_eq!(api.get(&format!("{PODS}/unscheduled/log?{options}")).await.failure().0, code, "{options}");
    }
    assert_eq!(api.get(&format!("{PODS}/p/log?insecureSkipTLSVerifyBackend=true")).await.code, 200);
    api.delete("/api/v1/nodes/n").await.ok();
    assert_eq!(api.get(&format!("{PODS}/p/log")).await.failure().2, "pods \"n\" not found");
    assert_eq!(api.get(&format!("{PODS}/absent/log")).await.failure().2, "pods \"absent\" not found");
    assert_eq!(api.get(&format!("{PODS}/p/log?container=x")).await.failure().2, "container x is not valid for pod p");
}

/// Runs a command in a tunnel to the kubelet.
async fn exec(api: &Api, command: &str) -> TokioIo<Upgraded> {
    let stream = TcpStream::connect(api.server.address()).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection.with_upgrades());
    let request = Request::builder()
        .method(Method::GET)
        .uri(format!("{PODS}/p/exec?{command}&stdin=true&stdout=true"))
        .header(header::HOST, "x")
        .header(header::CONNECTION, "Upgrade")
        .header(header::UPGRADE, "websocket")
        .body(Full::<Bytes>::default())
        .unwrap();
    let response = sender.send_request(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::SWITCHING_PROTOCOLS);
    TokioIo::new(hyper::upgrade::on(response).await.unwrap())
}

#[tokio::test]
async fn exec_is_a_tunnel() {
    let (api, _kubelet) = start().await;
    let mut tunnel = exec(&api, "command=echo&command=a%20b").await;
    let expected = "/exec/default/p/c?input=1&output=1&command=echo&command=a%20b\nhello";
    tunnel.write_all(b"hello").await.unwrap();
    let mut read = vec![0; expected.len()];
    tunnel.read_exact(&mut read).await.unwrap();
    assert_eq!(String::from_utf8(read).unwrap(), expected);
}

/// Whoever is connected may end without taking leave of TLS.
#[tokio::test]
async fn last_words_arrive() {
    let (api, _kubelet) = start().await;
    for _ in 0..20 {
        let mut read = Vec::new();
        // How it ends does not matter.
        let _ = exec(&api, "command=leave").await.read_to_end(&mut read).await;
        assert_eq!(String::from_utf8(read).unwrap(), "/exec/default/p/c?input=1&output=1&command=leave\n");
    }
}

#[tokio::test]
async fn logs_travel_in_messages() {
    let (api, _kubelet) = start().await;
    for (protocol, expected) in [
        ("", "log of /containerLogs/default/p/c?follow=true\n"),
        ("binary.k8s.io", "log of /containerLogs/default/p/c?follow=true\n"),
        ("base64.binary.k8s.io", "bG9nIG9mIC9jb250YWluZXJMb2dzL2RlZmF1bHQvcC9jP2ZvbGxvdz10cnVlCg=="),
    ] {
        let url = format!("ws://{}{PODS}/p/log?follow=true", api.server.address());
        let mut request = url.into_client_request().unwrap();
        if !protocol.is_empty() {
            request.headers_mut().insert(header::SEC_WEBSOCKET_PROTOCOL, protocol.parse().unwrap());
        }
        let stream = TcpStream::connect(api.server.address()).await.unwrap();
        let (mut socket, _) = client_async(request, stream).await.unwrap();
        let mut messages = Vec::new();
        while let Some(Ok(message)) = socket.next().await {
            messages.push(message);
        }
        let texts: Vec<String> =
            messages.iter().map(|message| message.clone().into_text().unwrap().to_string()).collect();
        assert_eq!(texts, ["", expected, ""], "{protocol}");
        assert!(matches!(messages[2], Message::Close(Some(ref frame)) if u16::from(frame.code) == 1000));
    }
}

#[tokio::test]
async fn exec_needs_a_place_to_go() {
    let (api, _kubelet) = start().await;
    let plain = api.get(&format!("{PODS}/p/exec?command=x")).await.failure();
    assert_eq!(plain.2, "Upgrade request required");
    let unscheduled = api.get(&format!("{PODS}/unscheduled/exec?command=x")).await.failure();
    assert_eq!(unscheduled.2, "pod unscheduled does not have a host assigned");
}
