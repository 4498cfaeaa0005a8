//! The way to servers that objects name, by service or URL.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use apiserver::webhook::{CallError, Place, Server, Settings};
use axum::{
    Router,
    body::{Body, Bytes},
    http::{StatusCode, header},
    response::Redirect,
    routing::post,
};
use serde_json::json;

use super::server::{HookServer, own_address};
use crate::client::Api;

const LONG: Duration = Duration::from_secs(30);

fn hostile() -> Router {
    let endless = || async {
        let pieces = futures::stream::repeat_with(|| Ok::<_, std::io::Error>(Bytes::from(vec![b' '; 1 << 16])));
        Body::from_stream(pieces)
    };
    Router::new()
        .route("/echo", post(|body: Bytes| async { body }))
        .route("/slow", post(std::future::pending::<()>))
        .route("/endless", post(endless))
        .route("/redirect", post(|| async { Redirect::temporary("/echo") }))
        .route("/busy", post(|| async { (StatusCode::SERVICE_UNAVAILABLE, "not now") }))
        .route("/header", post(|| async { [(header::SERVER, "x".repeat(1 << 18))] }))
}

fn server(api: &Api, place: Place, pem: &str) -> Server {
    let settings = Settings { place, authorities: pem.as_bytes().to_vec() };
    Server::new(settings, &api.server.registry().handle())
}

async fn ask(server: &Server, timeout: Duration) -> Result<String, CallError> {
    let answer = server.post("question".into(), timeout).await?;
    Ok(String::from_utf8(answer.to_vec()).unwrap())
}

#[tokio::test]
async fn hostile_servers_are_endured() {
    let api = Api::start().await;
    let hook = HookServer::start(hostile()).await;
    let at = |path: &str| server(&api, Place::Url(hook.url(path)), &hook.pem);
    assert_eq!(ask(&at("/echo"), LONG).await.unwrap(), "question");
    for (path, words) in [
        ("/endless", "the answer has more than 16777216 bytes"),
        ("/redirect", "which is not followed"),
        ("/busy", "the server is currently unable to handle the request"),
        ("/header", "message head is too large"),
        ("/nowhere", "the server could not find the requested resource"),
    ] {
        let error = ask(&at(path), LONG).await.unwrap_err();
        assert!(error.message.contains(words), "{path}: {error}");
    }
    let begun = Instant::now();
    let short = Duration::from_millis(50);
    let error = ask(&at("/slow"), short).await.unwrap_err();
    assert_eq!(error.message, format!("Post \"{}?timeout=1s\": context deadline exceeded", hook.url("/slow")));
    assert!(begun.elapsed() >= short);
    let stranger = server(&api, Place::Url(hook.url("/echo")), "");
    let error = ask(&stranger, LONG).await.unwrap_err();
    assert!(error.message.ends_with("x509: certificate signed by unknown authority"), "{error}");
    let error = ask(&server(&api, Place::Url(hook.url("/echo")), "no PEM"), LONG).await.unwrap_err();
    assert!(error.message.contains("unable to parse bytes as PEM block"), "{error}");
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let dead = Place::Url(format!("https://{}", listener.local_addr().unwrap()));
    drop(listener);
    let error = ask(&server(&api, dead, &hook.pem), LONG).await.unwrap_err();
    assert!(error.message.ends_with("connect: connection refused"), "{error}");
}

#[tokio::test]
async fn connections_are_kept() {
    let api = Api::start().await;
    let peers = Arc::new(AtomicUsize::new(0));
    let count = peers.clone();
    // Each connection has a service of its own.
    let routes = Router::new().route("/", post(|| async { "yes" }));
    let routes = routes.layer(axum::middleware::from_fn(
        move |request: axum::extract::Request, next: axum::middleware::Next| {
            let seen = request.extensions().get::<component::serve::Peer>().map(|peer| peer.address.port());
            count.store(usize::from(seen.unwrap_or_default()), Ordering::SeqCst);
            next.run(request)
        },
    ));
    let hook = HookServer::start(routes).await;
    let server = server(&api, Place::Url(hook.url("/")), &hook.pem);
    ask(&server, LONG).await.unwrap();
    let first = peers.load(Ordering::SeqCst);
    ask(&server, LONG).await.unwrap();
    assert_eq!(peers.load(Ordering::SeqCst), first, "the same connection");
    assert_ne!(first, 0);
}

#[tokio::test]
async fn services_lead_to_their_endpoints() {
    let api = Api::start().await;
    let place = || Place::Service { namespace: "default".into(), name: "hook".into(), port: 443, path: "/echo".into() };
    let error = ask(&server(&api, place(), ""), LONG).await.unwrap_err();
    assert!(error.message.ends_with(r#"services "hook" not found"#), "{error}");
    let spec = json!({"ports": [{"port": 443}], "clusterIP": "None"});
    let service = json!({"metadata": {"name": "hook"}, "spec": spec});
    api.post("/api/v1/namespaces/default/services", &service).await.ok();
    let error = ask(&server(&api, place(), ""), LONG).await.unwrap_err();
    assert!(error.message.ends_with(r#"no endpoints available for service "hook""#), "{error}");
    let Some(address) = own_address() else { return };
    let hook = HookServer::start_at(address, hostile()).await;
    let slice = json!({
        "metadata": {"name": "hook-1", "labels": {"kubernetes.io/service-name": "hook"}}, "addressType": "IPv4",
        "ports": [{"name": "", "port": hook.address().port()}], "endpoints": [{"addresses": [address]}],
    });
    api.post("/apis/discovery.k8s.io/v1/namespaces/default/endpointslices", &slice).await.ok();
    assert_eq!(ask(&server(&api, place(), &hook.pem), LONG).await.unwrap(), "question");
    let other = Place::Service { namespace: "default".into(), name: "hook".into(), port: 80, path: String::new() };
    let error = ask(&server(&api, other, ""), LONG).await.unwrap_err();
    assert!(error.message.ends_with(r#"no service port 80 found for service "hook""#), "{error}");
}
