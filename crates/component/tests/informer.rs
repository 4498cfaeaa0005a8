//! An informer of a server that sends what cannot be decoded.
#![allow(clippy::unwrap_used)]

use std::{convert::Infallible, sync::Arc, time::Duration};

use api_types::core::Pod;
use axum::{
    Router,
    body::{Body, Bytes},
    extract::{RawQuery, State},
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
    list: Value,
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

/// Lists once, sends a watch's events once, and is silent from then on.
async fn answer(State(script): State<Arc<Script>>, RawQuery(query): RawQuery) -> Response {
    let query = query.unwrap_or_default();
    if !query.contains("watch=true") {
        return script.list.to_string().into_response();
    }
    let first = query.contains("resourceVersion=2&");
    script.queries.send(query).unwrap();
    if !first {
        return Body::from_stream(stream::pending::<Result<Bytes, Infallible>>()).into_response();
    }
    let lines: Vec<_> = script.watch.iter().map(|event| Ok::<_, Infallible>(format!("{event}\n"))).collect();
    Body::from_stream(stream::iter(lines)).into_response()
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
    component::daemon::install_crypto_provider();
    let (queries, mut asked) = mpsc::unbounded_channel();
    let items = [pod("a", "1", readable()), pod("bad", "2", json!(5)), pod("gone", "2", readable())];
    // In the order of every server: the type first.
    let event = |kind: &str, object: Value| format!(r#"{{"type":"{kind}","object":{object}}}"#);
    let watch = vec![
        event("MODIFIED", pod("a", "3", json!("no spec"))),
        event("ADDED", pod("c", "4", readable())),
        event("DELETED", pod("gone", "5", json!(5))),
        event("ADDED", json!(7)),
    ];
    let list = json!({"metadata": {"resourceVersion": "2"}, "items": items});
    let client = serve(Script { list, watch, queries }).await;
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
    let go_on = async {
        while let Some(query) = asked.recv().await {
            if query.contains("resourceVersion=5&") {
                return;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(20), go_on).await.expect("the watch goes on behind what it passed over");
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
