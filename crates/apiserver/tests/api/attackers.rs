//! Clients that mean harm: each is refused or bounded, and the rest goes on.

use std::{io::Write, time::Duration};

use flate2::{Compression, write::GzEncoder};
use http::Method;
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper_util::rt::{TokioExecutor, TokioIo};
use kube::{Client, Config, config::AuthInfo};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::client::Api;

const MAPS: &str = "/api/v1/namespaces/default/configmaps";
/// How long an answer may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

async fn connect(api: &Api) -> TcpStream {
    TcpStream::connect(api.server.address()).await.unwrap()
}

/// The rest goes on.
async fn others_are_served(api: &Api) {
    let served = async {
        assert_eq!(api.get("/readyz").await.code, 200);
        assert_eq!(api.get(MAPS).await.code, 200);
    };
    timeout(PATIENCE, served).await.expect("others are served");
}

/// What comes until the server closes the connection.
async fn rest(stream: &mut TcpStream) -> Vec<u8> {
    let mut read = Vec::new();
    // A reset is an end as well.
    let _ = timeout(PATIENCE, stream.read_to_end(&mut read)).await.expect("the connection ends");
    read
}

#[tokio::test]
async fn what_is_too_long_is_refused_before_it_comes() {
    let api = Api::start().await;
    let length = 100 << 20;
    let mut stream = connect(&api).await;
    let head = format!(
        "POST {MAPS} HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = [0; 12];
    timeout(PATIENCE, stream.read_exact(&mut answer)).await.unwrap().unwrap();
    assert_eq!(&answer, b"HTTP/1.1 413");
    // And the same without saying so.
    let mut stream = connect(&api).await;
    let head = format!(
        "POST {MAPS} HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let chunk = [b"10000\r\n".as_slice(), &[b' '; 0x10000], b"\r\n"].concat();
    let mut sent = 0;
    while sent < length && stream.write_all(&chunk).await.is_ok() {
        sent += 0x10000;
    }
    assert!(sent < length, "the server does not read on");
    others_are_served(&api).await;
}

#[tokio::test]
async fn what_is_packed_is_not_unpacked() {
    let api = Api::start().await;
    let mut bomb = GzEncoder::new(Vec::new(), Compression::best());
    bomb.write_all(br#"{"metadata":{"name":"a"},"data":{"a":""#).unwrap();
    for _ in 0..1000 {
        bomb.write_all(&[b'a'; 1 << 16]).unwrap();
    }
    let bomb = bomb.finish().unwrap();
    let headers = [("content-type", "application/json"), ("content-encoding", "gzip")];
    let reply = api.raw(Method::POST, MAPS, &headers, bomb).await;
    assert!(matches!(reply.code, 400 | 415), "{}", reply.code);
    others_are_served(&api).await;
}

#[tokio::test]
async fn other_encodings_are_refused() {
    let api = Api::start().await;
    // Ten thousand arrays within each other, after CBOR's own mark.
    let nested = [b"\xd9\xd9\xf7".as_slice(), &[0x81; 10_000], b"\x00"].concat();
    let reply = api.raw(Method::POST, MAPS, &[("content-type", "application/cbor")], nested.clone()).await;
    assert_eq!(reply.code, 415);
    let reply =
        api.raw(Method::PATCH, &format!("{MAPS}/a"), &[("content-type", "application/apply-patch+cbor")], nested).await;
    assert_eq!(reply.code, 415);
    // Schemas within schemas: a message of which each holds another.
    let mut schema = Vec::new();
    for _ in 0..10_000 {
        let mut outer = vec![0xd2, 0x01];
        let mut length = schema.len();
        while length >= 0x80 {
            outer.push((length & 0x7f) as u8 | 0x80);
            length >>= 7;
        }
        outer.push(length as u8);
        outer.append(&mut schema);
        schema = outer;
    }
    let kind = b"\x0a\x2f\x0a\x17apiextensions.k8s.io/v1\x12\x14CustomResourceDef...";
    let body = [b"k8s\0".as_slice(), kind, b"\x12", &schema].concat();
    let path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    let reply = api.raw(Method::POST, path, &[("content-type", "application/vnd.kubernetes.protobuf")], body).await;
    assert_eq!(reply.code, 400);
    others_are_served(&api).await;
}

#[tokio::test]
async fn too_many_and_too_long_headers_are_refused() {
    let api = Api::start().await;
    let many = (0..10_000).map(|n| format!("x-{n}: a\r\n")).collect::<String>();
    let long = format!("x: {}\r\n", "a".repeat(4 << 20));
    let path = format!("x-a: {}", "a".repeat(1 << 20));
    for headers in [many, long, path] {
        let mut stream = connect(&api).await;
        // The server may close while it is being written to.
        let _ = stream.write_all(format!("GET {MAPS} HTTP/1.1\r\nhost: a\r\n{headers}\r\n\r\n").as_bytes()).await;
        let answer = rest(&mut stream).await;
        assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 431") || answer.starts_with(b"HTTP/1.1 400"));
    }
    others_are_served(&api).await;
}

/// A frame of HTTP/2.
fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags, 0, 0, 0, stream], payload].concat()
}

#[tokio::test]
async fn headers_without_end_end() {
    const SETTINGS: u8 = 4;
    const HEADERS: u8 = 1;
    const CONTINUATION: u8 = 9;
    let api = Api::start().await;
    let mut stream = connect(&api).await;
    let begin = [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".as_slice(), &frame(SETTINGS, 0, 0, &[])].concat();
    stream.write_all(&begin).await.unwrap();
    // GET, http, /.
    stream.write_all(&frame(HEADERS, 0, 1, &[0x82, 0x86, 0x84])).await.unwrap();
    // A header that is not indexed: `a: aaa…`.
    let header = [b"\x00\x01a\x64".as_slice(), &[b'a'; 100]].concat().repeat(100);
    let more = frame(CONTINUATION, 0, 1, &header);
    let (mut reader, mut writer) = stream.split();
    let flood = async {
        let mut sent = 0;
        while sent < 256 << 20 && writer.write_all(&more).await.is_ok() {
            sent += more.len();
        }
        sent
    };
    let drain = async {
        let mut all = Vec::new();
        let _ = reader.read_to_end(&mut all).await;
    };
    let (sent, ()) = timeout(PATIENCE, async { tokio::join!(flood, drain) }).await.expect("the flood ends");
    assert!(sent < 16 << 20, "{sent} bytes of headers were taken");
    others_are_served(&api).await;
}

#[tokio::test]
async fn streams_that_are_reset_at_once_leave_nothing() {
    let api = Api::start_crowded(&["--max-requests-inflight=5"]).await;
    let io = TokioIo::new(connect(&api).await);
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake::<_, _, Full<Bytes>>(TokioExecutor::new(), io).await.unwrap();
    let connection = tokio::spawn(connection);
    for _ in 0..1000 {
        let request = http::Request::get(format!("http://a{MAPS}")).body(Full::default()).unwrap();
        if sender.ready().await.is_err() {
            break;
        }
        let mut answer = Box::pin(sender.send_request(request));
        // It is sent, and given up before it is answered.
        let _ = futures::poll!(answer.as_mut());
        tokio::task::yield_now().await;
    }
    others_are_served(&api).await;
    drop(sender);
    let _ = timeout(PATIENCE, connection).await.expect("the connection ends");
    others_are_served(&api).await;
}

#[tokio::test]
async fn connections_that_say_nothing_are_in_nobodys_way() {
    let api = Api::start().await;
    let mut idle = Vec::new();
    for number in 0..2000 {
        let mut stream = connect(&api).await;
        // Some begin to say something.
        if number % 2 == 0 {
            stream.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
        }
        idle.push(stream);
    }
    others_are_served(&api).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_that_is_not_read_holds_up_nobody() {
    let api = Api::start().await;
    let mut deaf = connect(&api).await;
    deaf.write_all(format!("GET {MAPS}?watch=true HTTP/1.1\r\nhost: a\r\n\r\n").as_bytes()).await.unwrap();
    let mut answer = [0; 12];
    deaf.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200");
    let mut other = api.watch(&format!("{MAPS}?watch=true")).await;
    let path = format!("{MAPS}/a");
    api.post(MAPS, &json!({"metadata": {"name": "a"}})).await.ok();
    assert_eq!(other.event().await.0, "ADDED");
    for number in 0..50_u32 {
        let data = json!({"data": {"a": format!("{number}{}", "x".repeat(200_000))}});
        api.merge(&path, &data).await.ok();
        assert_eq!(other.event().await.0, "MODIFIED");
    }
    others_are_served(&api).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_watches_of_one_client_are_told() {
    let api = Api::start().await;
    let mut bodies = Vec::new();
    for _ in 0..5 {
        let io = TokioIo::new(connect(&api).await);
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake::<_, _, Full<Bytes>>(TokioExecutor::new(), io).await.unwrap();
        tokio::spawn(connection);
        for _ in 0..200 {
            let request = http::Request::get(format!("http://a{MAPS}?watch=true")).body(Full::default()).unwrap();
            sender.ready().await.unwrap();
            let answer = timeout(PATIENCE, sender.send_request(request)).await.expect("watches begin").unwrap();
            bodies.push(answer.into_body());
        }
    }
    api.post(MAPS, &json!({"metadata": {"name": "a"}})).await.ok();
    for body in &mut bodies {
        let frame = timeout(PATIENCE, body.frame()).await.expect("each is told").unwrap().unwrap();
        assert!(frame.into_data().unwrap().starts_with(br#"{"type":"ADDED""#));
    }
    others_are_served(&api).await;
}

#[tokio::test]
async fn long_selectors_are_answered() {
    let api = Api::start().await;
    api.post(MAPS, &json!({"metadata": {"name": "a", "labels": {"a": "v1"}}})).await.ok();
    let values = (0..5000).map(|n| format!("v{n}")).collect::<Vec<_>>().join(",");
    let requirements = vec!["a%3Dv1"; 5000].join(",");
    let fields = vec!["metadata.name%3Da"; 2000].join(",");
    for query in [
        format!("labelSelector=a%20in%20({values})"),
        format!("labelSelector={requirements}"),
        format!("fieldSelector={fields}"),
    ] {
        let reply = api.get(&format!("{MAPS}?{query}")).await;
        assert!(matches!(reply.code, 200 | 400), "{}", reply.code);
    }
    others_are_served(&api).await;
}

/// What somebody who may do nothing is told, of what there is and of what there is not.
#[tokio::test]
async fn who_may_do_nothing_learns_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let tokens = folder.path().join("tokens.csv");
    std::fs::write(&tokens, "secret,jane,1\n").unwrap();
    let api = Api::start_with(&["--authorization-mode=RBAC", &format!("--token-auth-file={}", tokens.display())]).await;
    api.post(MAPS, &json!({"metadata": {"name": "there", "finalizers": ["example.com/x"]}})).await.ok();
    let node = json!({"metadata": {"name": "there"}});
    api.post("/api/v1/nodes", &node).await.ok();
    let client = |token: Option<&str>| {
        let mut config = Config::new(api.server.secure_url().parse().unwrap());
        config.accept_invalid_certs = true;
        config.auth_info = AuthInfo { token: token.map(|token| token.to_owned().into()), ..AuthInfo::default() };
        Client::try_from(config).unwrap()
    };
    let body = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "NAME"}}).to_string();
    let requests = [
        ("GET", "/api/v1/namespaces/default/configmaps/NAME", ""),
        ("GET", "/api/v1/namespaces/default/configmaps?fieldSelector=metadata.name%3DNAME&watch=true", ""),
        ("PUT", "/api/v1/namespaces/default/configmaps/NAME", &body),
        ("PATCH", "/api/v1/namespaces/default/configmaps/NAME", "{}"),
        ("PATCH", "/api/v1/namespaces/default/configmaps/NAME?fieldManager=a", "nonsense"),
        ("DELETE", "/api/v1/namespaces/default/configmaps/NAME", ""),
        ("POST", "/api/v1/namespaces/default/configmaps", &body),
        ("GET", "/api/v1/nodes/NAME", ""),
        ("GET", "/api/v1/nodes/NAME/proxy/a", ""),
        ("GET", "/api/v1/nodes/NAME/status", ""),
        ("POST", "/api/v1/namespaces/NAME/configmaps", &body),
        ("GET", "/apis/NAME/v1/things", ""),
    ];
    for (method, path, body) in requests {
        for token in [None, Some("secret"), Some("wrong")] {
            let mut told = Vec::new();
            // What is there in one way or another: an object, a namespace, a group; and what is not.
            for name in ["there", "kube-system", "apps", "missing"] {
                let (path, body) = (path.replace("NAME", name), body.replace("NAME", name));
                let request = http::Request::builder()
                    .method(method)
                    .uri(path)
                    .header("content-type", "application/merge-patch+json");
                let answer = client(token).send(request.body(body.into_bytes().into()).unwrap()).await.unwrap();
                let code = answer.status().as_u16();
                let text = answer.into_body().collect().await.unwrap().to_bytes();
                let status: Value = serde_json::from_slice(&text).unwrap();
                assert!(matches!(code, 401 | 403), "{method} {name} by {token:?}: {status}");
                told.push(status.to_string().replace(name, "NAME"));
            }
            assert!(told.windows(2).all(|pair| pair[0] == pair[1]), "{method} {path} by {token:?}: {told:#?}");
        }
    }
}
