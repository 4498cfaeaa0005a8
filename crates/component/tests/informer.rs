//! An informer of a server that sends what cannot be decoded.
#![allow(clippy::unwrap_used)]

use std::{
    convert::Infallible,
    sync::Arc,
    time::{Duration, Instant},
};

use api_types::core::Pod;
use axum::{
    Router,
    body::{Body, Bytes},
    extract::{RawQuery, State},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use component::{
    Daemon,
    informer::{Event, Informer, ObjectKey, Scope},
};
use futures::stream;
use kube::{Client, Config};
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::mpsc};

/// What the server sends, and who wants to know what was asked.
struct Script {
    /// Whether what there is comes as a stream, or in pages of two.
    streams: bool,
    items: Vec<Value>,
    watch: Vec<String>,
    queries: mpsc::UnboundedSender<String>,
}

fn pod(name: &str, version: &str, spec: Value) -> Value {
    let metadata = json!({"namespace": "n", "name": name, "uid": name, "resourceVersion": version});
    json!({"metadata": metadata, "spec": spec})
}

fn readable() -> Value {
    json!({"containers": []})
}

// In the order of every server: the type first.
fn event(kind: &str, object: &Value) -> String {
    format!(r#"{{"type":"{kind}","object":{object}}}"#)
}

fn lines(events: Vec<String>) -> Response {
    let lines = events.into_iter().map(|event| Ok::<_, Infallible>(format!("{event}\n")));
    Body::from_stream(stream::iter(lines)).into_response()
}

/// Tells what there is, sends a watch's events once, and is silent from then on.
async fn answer(State(script): State<Arc<Script>>, RawQuery(query): RawQuery) -> Response {
    let query = query.unwrap_or_default();
    script.queries.send(query.clone()).unwrap();
    if query.contains("sendInitialEvents=true") {
        if !script.streams {
            let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 422});
            return (StatusCode::UNPROCESSABLE_ENTITY, status.to_string()).into_response();
        }
        let end = json!({"kind": "Pod", "apiVersion": "v1", "metadata":
            {"resourceVersion": "2", "annotations": {"k8s.io/initial-events-end": "true"}}});
        let mut events: Vec<String> = script.items.iter().map(|item| event("ADDED", item)).collect();
        events.push(event("BOOKMARK", &end));
        events.extend(script.watch.clone());
        return lines(events);
    }
    if !query.contains("watch=true") {
        let second = query.contains("continue=more");
        let items = if second { &script.items[2..] } else { &script.items[..2] };
        let more = if second { Value::Null } else { "more".into() };
        return json!({"metadata": {"resourceVersion": "2", "continue": more}, "items": items})
            .to_string()
            .into_response();
    }
    if query.contains("resourceVersion=2&") {
        return lines(script.watch.clone());
    }
    Body::from_stream(stream::pending::<Result<Bytes, Infallible>>()).into_response()
}

async fn serve(script: Script) -> Client {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new().fallback(answer).with_state(Arc::new(script));
    tokio::spawn(async { axum::serve(listener, router).await });
    Client::try_from(Config::new(format!("http://{address}").parse().unwrap())).unwrap()
}

#[tokio::test]
async fn what_cannot_be_decoded_is_passed_over() {
    passes_over(true).await;
}

#[tokio::test]
async fn a_server_that_does_not_stream_is_asked_for_pages() {
    passes_over(false).await;
}

async fn passes_over(streams: bool) {
    component::daemon::install_crypto_provider();
    let (queries, mut asked) = mpsc::unbounded_channel();
    let items = [pod("a", "1", readable()), pod("bad", "2", json!(5)), pod("gone", "2", readable())];
    let watch = vec![
        event("MODIFIED", &pod("a", "3", json!("no spec"))),
        event("ADDED", &pod("c", "4", readable())),
        event("DELETED", &pod("gone", "5", json!(5))),
        event("ADDED", &json!(7)),
    ];
    let client = serve(Script { streams, items: items.to_vec(), watch, queries }).await;
    let informer = Informer::<Pod>::new(&(), &Scope::default());
    let (events, mut seen) = mpsc::unbounded_channel();
    informer.on_event(move |event| {
        let kind = match event {
            Event::Added(_) => "added",
            Event::Updated { .. } => "updated",
            Event::Deleted(_) => "deleted",
        };
        events.send((kind, ObjectKey::of(&**event.object()).name)).unwrap();
    });
    let daemon = Daemon::new();
    informer.start(client, &daemon);
    let mut pages = 0;
    let go_on = async {
        while let Some(query) = asked.recv().await {
            pages += usize::from(query.contains("limit="));
            if query.contains("resourceVersion=5&") {
                return;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(20), go_on).await.expect("the watch goes on behind what it passed over");
    assert_eq!(pages, if streams { 0 } else { 2 });
    daemon.shutdown.cancel();
    let mut all = Vec::new();
    while let Ok((kind, name)) = seen.try_recv() {
        all.push(format!("{kind} {name}"));
    }
    assert_eq!(all, ["added a", "added gone", "added c", "deleted gone"]);
    let names: Vec<_> = informer.store().list().iter().map(|pod| ObjectKey::of(&**pod).name).collect();
    assert_eq!(names, ["a", "c"], "a is shown as it was last readable");
    let passed_over = ["a", "bad", "c", "gone"].map(|uid| informer.passes_over(uid));
    assert_eq!(passed_over, [true, true, false, false]);
}

#[tokio::test]
async fn a_server_that_ends_watches_at_once_is_not_asked_at_once() {
    component::daemon::install_crypto_provider();
    let (queries, mut asked) = mpsc::unbounded_channel();
    let client = serve(Script { streams: true, items: Vec::new(), watch: Vec::new(), queries }).await;
    let informer = Informer::<Pod>::new(&(), &Scope::default());
    let daemon = Daemon::new();
    informer.start(client, &daemon);
    let mut times = Vec::new();
    let thrice = async {
        while times.len() < 3 {
            if asked.recv().await.unwrap().contains("resourceVersion=2&") {
                times.push(Instant::now());
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(20), thrice).await.expect("it is asked again");
    daemon.shutdown.cancel();
    let (first, last) = (times[0], times[2]);
    assert!(last - first >= Duration::from_millis(300), "{times:?}");
}
