//! No single request can take the server down, whatever it builds.

use std::time::Duration;

use apiserver::Config;
use futures::StreamExt;
use http::Method;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::client::{Api, crowded};

const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const JSON_PATCH: &str = "application/json-patch+json";
const APPLY: &str = "application/apply-patch+yaml";

/// A JSON patch each of whose copies doubles the depth of what it copies.
fn doubling() -> String {
    let first = json!({"op": "add", "path": "/a", "value": {}});
    let copies = (0..17).map(|n| json!({"op": "copy", "from": "/a", "path": "/a".repeat((1 << n) + 1)}));
    Value::from_iter(std::iter::once(first).chain(copies)).to_string()
}

/// A JSON patch each of whose operations goes deeper than the one before.
fn descending() -> String {
    let inner = (0..100).fold(json!({}), |inner, _| json!({"a": inner}));
    let step = |n: usize| json!({"op": "add", "path": "/a".repeat(100 * n + 1), "value": {"a": inner}});
    Value::from_iter((0..100_usize).map(step)).to_string()
}

fn many_operations() -> String {
    Value::from(vec![json!({"op": "test", "path": "/kind", "value": "ConfigMap"}); 10_001]).to_string()
}

/// Anchors within anchors: `levels` of so many aliases each.
fn aliases(levels: usize, each: usize) -> String {
    let lines = (1..=levels).map(|n| format!("a{n}: &a{n} [{}]\n", vec![format!("*a{}", n - 1); each].join(", ")));
    format!("apiVersion: v1\nkind: ConfigMap\na0: &a0 x\n{}", lines.collect::<String>())
}

/// One long text, many times.
fn long_aliases() -> String {
    let anchors = (0..2000).map(|n| format!("b{n}: &b{n} x\n")).collect::<String>();
    let text = "x".repeat(1 << 20);
    format!("apiVersion: v1\nkind: ConfigMap\na: &a {text}\n{anchors}c: [{}]\n", vec!["*a"; 10_000].join(", "))
}

fn nested(open: &str, close: &str) -> String {
    format!("{{\"data\":{}1{}}}", open.repeat(100_000), close.repeat(100_000))
}

#[tokio::test]
async fn deep_and_large_bodies_are_refused() {
    let api = Api::start().await;
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"k": "v"}});
    api.post(MAPS, &map).await.ok();
    let cases = [
        (JSON_PATCH, doubling(), 422),
        (JSON_PATCH, descending(), 422),
        (JSON_PATCH, many_operations(), 413),
        (JSON_PATCH, format!("[{}]", nested("[", "]")), 400),
        ("application/merge-patch+json", nested("{\"a\":", "}"), 400),
        ("application/strategic-merge-patch+json", nested("[", "]"), 400),
        (APPLY, nested("{\"a\":", "}"), 400),
        (APPLY, nested("[", "]"), 400),
        (APPLY, aliases(40, 2), 400),
        (APPLY, aliases(200, 1), 400),
        (APPLY, long_aliases(), 400),
    ];
    let path = format!("{MAPS}/a?fieldManager=m");
    for (media_type, body, code) in cases {
        let start: String = body.chars().take(80).collect();
        let reply = api.raw(Method::PATCH, &path, &[("content-type", media_type)], body.into_bytes()).await;
        assert_eq!(reply.failure().0, code, "{media_type} {start}: {}", reply.failure().2);
    }
    for (media_type, body) in [
        ("application/json", nested("{\"a\":", "}")),
        ("application/json", nested("[", "]")),
        ("application/yaml", nested("[", "]")),
        ("application/yaml", aliases(200, 1)),
    ] {
        let reply = api.raw(Method::PUT, &path, &[("content-type", media_type)], body.into_bytes()).await;
        assert_eq!(reply.failure().0, 400, "{media_type}");
    }
    assert_eq!(api.get(&format!("{MAPS}/a")).await.ok()["data"], map["data"]);
}

#[tokio::test]
async fn lists_that_are_too_long_to_merge_are_refused() {
    let api = Api::start().await;
    let finalized = json!({"metadata": {"name": "a", "finalizers": ["example.com/x"]}});
    assert_eq!(api.post(MAPS, &finalized).await.code, 201);
    let finalizers: Vec<String> = (0..100_000).map(|n| format!("example.com/{n}")).collect();
    let patch = json!({"metadata": {"finalizers": finalizers}}).to_string();
    let kind = "application/strategic-merge-patch+json";
    let reply = api.raw(Method::PATCH, &format!("{MAPS}/a"), &[("content-type", kind)], patch.into()).await;
    assert_eq!(reply.code, 422);
    assert_eq!(api.get(&format!("{MAPS}/a")).await.code, 200);
}

#[tokio::test]
async fn bodies_that_come_slowly_keep_nobody_waiting() {
    let api = Api::start_crowded(&["--max-mutating-requests-inflight=1"]).await;
    let head = format!(
        "POST {MAPS} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 99\r\nExpect: 100-continue\r\n\r\n"
    );
    let mut slow = Vec::new();
    for _ in 0..500 {
        let mut stream = TcpStream::connect(api.server.address()).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        // It is told to go on when its body is waited for.
        let mut answer = [0; 25];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"HTTP/1.1 100 Continue\r\n\r\n");
        stream.write_all(b"{").await.unwrap();
        slow.push(stream);
    }
    assert_eq!(api.post(MAPS, &json!({"metadata": {"name": "a"}})).await.code, 201);
    let body = format!("{:98}", r#""metadata": {"name": "slow"}}"#);
    slow[0].write_all(body.as_bytes()).await.unwrap();
    let mut answer = [0; 12];
    slow[0].read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 201");
}

#[tokio::test]
async fn a_body_that_does_not_come_gives_its_place_back() {
    let api = Api::start_crowded(&["--max-mutating-requests-inflight=1", "--request-timeout=500ms"]).await;
    let mut slow = TcpStream::connect(api.server.address()).await.unwrap();
    let head =
        format!("POST {MAPS} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{{");
    slow.write_all(head.as_bytes()).await.unwrap();
    let mut answer = [0; 12];
    slow.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 504");
    // The connection stays, and hyper goes on reading from it.
    let created = async { while api.post(MAPS, &json!({"metadata": {"name": "a"}})).await.code == 429 {} };
    tokio::time::timeout(Duration::from_secs(30), created).await.unwrap();
    assert_eq!(api.get(&format!("{MAPS}/a")).await.code, 200);
}

#[tokio::test]
async fn who_is_to_mend_an_overload_is_not_refused() {
    let folder = tempfile::tempdir().unwrap();
    let tokens = folder.path().join("tokens.csv");
    std::fs::write(&tokens, "master,root,1,system:masters\n").unwrap();
    let tokens = format!("--token-auth-file={}", tokens.display());
    let full = |config: &mut Config| {
        crowded(config);
        config.limits.reading = 0;
    };
    let api = Api::start_configured(&[&tokens], full).await;
    assert_eq!(api.get(MAPS).await.code, 429);
    let mut config = kube::Config::new(api.server.secure_url().parse().unwrap());
    config.accept_invalid_certs = true;
    config.auth_info.token = Some("master".to_owned().into());
    let request = http::Request::get(MAPS).body(kube::client::Body::empty()).unwrap();
    assert_eq!(kube::Client::try_from(config).unwrap().send(request).await.unwrap().status(), 200);
}

#[tokio::test]
async fn one_user_leaves_room_for_the_bodies_of_others() {
    // As much as one body may take.
    let api = Api::start_crowded(&["--max-mutating-requests-inflight=1"]).await;
    let body = |bytes: usize| format!("{{\"metadata\":{{\"name\":\"a\"}},\"data\":{{\"a\":\"{}", "x".repeat(bytes));
    let head =
        format!("POST {MAPS} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 3000000\r\n\r\n");
    let mut answers = futures::stream::FuturesUnordered::new();
    for _ in 0..2 {
        let mut stream = TcpStream::connect(api.server.address()).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        let body = body(2_000_000);
        answers.push(async move {
            stream.write_all(body.as_bytes()).await.unwrap();
            let mut answer = [0; 12];
            stream.read_exact(&mut answer).await.unwrap();
            answer
        });
    }
    // The first of them waits for more, the other is told that there is no room for both.
    let answer = tokio::time::timeout(Duration::from_secs(30), answers.next()).await.unwrap().unwrap();
    assert_eq!(&answer, b"HTTP/1.1 429");
}
