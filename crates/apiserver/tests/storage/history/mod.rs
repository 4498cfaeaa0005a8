//! Twenty clients watch what others write, while the API server, or etcd below it, is killed again and again. In the end
//! each is asked what it saw, and the store what happened.
//!
//! `FERROKUBE_HISTORY_SECONDS` makes it go on for longer than a few kills.

mod truth;
mod watcher;
mod wire;

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use apiserver::storage::{
    Store,
    embedded::{EmbeddedOptions, EmbeddedStore},
    etcd::{EtcdOptions, EtcdStore},
};
use http::Method;
use kube::{Client, client::Body};
use rand::{Rng, SeedableRng, rngs::StdRng};
use serde_json::{Value, json};
use tokio::{
    sync::{Notify, watch},
    task::JoinSet,
    time::timeout,
};

use self::{
    truth::{Selection, check, history},
    watcher::{Spec, Watcher},
    wire::Form,
};
use crate::{etcd_server::Etcd, process::ApiServer};

const LONGER: &str = "FERROKUBE_HISTORY_SECONDS";
const KILLS: usize = 3;
const WRITERS: usize = 4;
/// So many writes are acknowledged between two kills.
const WRITES: usize = 60;
/// How long a watcher may take to catch up on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);
const NAMESPACES: [&str; 2] = ["default", "kube-system"];
const NAME: &str = "w0-0";

fn specs() -> Vec<Spec> {
    let selections = [
        Selection::All,
        Selection::Namespace("default"),
        Selection::Label("x"),
        Selection::NotLabel("x"),
        Selection::Name(NAME),
    ];
    let forms = [Form::Json, Form::Partial, Form::Table, Form::Protobuf];
    let pairs = forms.into_iter().flat_map(|form| selections.map(|selection| (form, selection)));
    let spec = |(number, (form, selection))| Spec {
        selection,
        form,
        bookmarks: number % 2 == 0,
        // A Table has no place for the annotation that ends initial events.
        initial: number % 3 == 0 && form != Form::Table,
    };
    pairs.enumerate().map(spec).collect()
}

/// Writes that were acknowledged, by all writers.
#[derive(Default)]
struct Acknowledged {
    count: AtomicUsize,
    more: Notify,
}

async fn send(client: &Client, method: Method, path: &str, kind: &str, body: &Value) -> Option<Value> {
    let request = http::Request::builder().method(method).uri(path).header("content-type", kind);
    let request = request.body(Body::from(body.to_string().into_bytes())).unwrap();
    let answer = client.send(request).await.ok()?;
    let good = answer.status().is_success();
    let body = http_body_util::BodyExt::collect(answer.into_body()).await.ok()?.to_bytes();
    good.then(|| serde_json::from_slice(&body).unwrap())
}

fn collection(namespace: &str) -> String {
    format!("/api/v1/namespaces/{namespace}/configmaps")
}

/// Creates, labels, changes and deletes a few objects of its own until it is stopped. What fails may have been done.
async fn write(client: Client, writer: usize, acknowledged: Arc<Acknowledged>, stop: watch::Receiver<bool>) {
    const MERGE: &str = "application/merge-patch+json";
    let mut random = StdRng::seed_from_u64(writer as u64);
    while !*stop.borrow() {
        let (namespace, name) = (NAMESPACES[random.random_range(0..2)], random.random_range(0..5));
        let name = format!("w{writer}-{name}");
        let (all, one) = (collection(namespace), format!("{}/{name}", collection(namespace)));
        let app = [json!("x"), json!("y"), Value::Null][random.random_range(0..3)].clone();
        let done = match random.random_range(0..4) {
            0 => {
                let object = json!({"metadata": {"name": name, "labels": {"app": "x"}}});
                send(&client, Method::POST, &all, "application/json", &object).await
            }
            1 => send(&client, Method::DELETE, &one, "application/json", &json!({})).await,
            2 => send(&client, Method::PATCH, &one, MERGE, &json!({"metadata": {"labels": {"app": app}}})).await,
            _ => {
                let data = json!({"data": {"number": random.random::<u32>().to_string()}});
                send(&client, Method::PATCH, &one, MERGE, &data).await
            }
        };
        if done.is_some() {
            acknowledged.count.fetch_add(1, Ordering::SeqCst);
            acknowledged.more.notify_one();
        }
    }
}

async fn until_acknowledged(acknowledged: &Acknowledged, count: usize) {
    let wait = async {
        while acknowledged.count.load(Ordering::SeqCst) < count {
            acknowledged.more.notified().await;
        }
    };
    timeout(PATIENCE, wait).await.expect("writers go on");
}

/// Writes something that every watcher is told; returns for each selection the last of it.
async fn finish(client: &Client) -> impl Fn(Selection) -> u64 + use<> {
    let mut marks = Vec::new();
    for (namespace, name, app) in [
        ("default", "end-x", "x"),
        ("default", "end-y", "y"),
        ("kube-system", "end-x", "x"),
        ("kube-system", "end-y", "y"),
        ("default", NAME, "x"),
    ] {
        let one = format!("{}/{name}?fieldManager=end&force=true", collection(namespace));
        let metadata = json!({"name": name, "labels": {"app": app}});
        let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"end": "true"}});
        let written = send(client, Method::PATCH, &one, "application/apply-patch+yaml", &object).await.unwrap();
        let revision: u64 = written["metadata"]["resourceVersion"].as_str().unwrap().parse().unwrap();
        marks.push((format!("{namespace}/{name}"), app, revision));
    }
    move |selection| {
        let told = marks.iter().filter(|(key, app, _)| selection.selects(key, Some(app)));
        told.map(|(.., revision)| *revision).max().unwrap()
    }
}

/// Where the state is.
enum World {
    Embedded(ApiServer),
    Etcd(ApiServer, Etcd),
}

impl World {
    fn server(&mut self) -> &mut ApiServer {
        let (Self::Embedded(server) | Self::Etcd(server, _)) = self;
        server
    }

    async fn kill(&mut self, number: usize) {
        match self {
            Self::Etcd(_, etcd) if number.is_multiple_of(2) => {
                etcd.stop();
                etcd.resume().await;
            }
            _ => {
                self.server().kill();
                self.server().resume().await;
            }
        }
    }

    /// The store, when nobody else has it any more.
    async fn open(mut self) -> (Self, Arc<dyn Store>) {
        self.server().kill();
        let store: Arc<dyn Store> = match &self {
            Self::Embedded(server) => Arc::new(EmbeddedStore::open(&EmbeddedOptions::new(server.store())).unwrap()),
            Self::Etcd(_, etcd) => Arc::new(EtcdStore::connect(&EtcdOptions::new(vec![etcd.url()])).await.unwrap()),
        };
        (self, store)
    }
}

async fn watch_and_kill(mut world: World) {
    let client = world.server().client();
    let acknowledged = Arc::new(Acknowledged::default());
    let (stop, stopped) = watch::channel(false);
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        writers.spawn(write(client.clone(), writer, Arc::clone(&acknowledged), stopped.clone()));
    }
    let (mut watchers, mut ends) = (Vec::new(), Vec::new());
    for spec in specs() {
        let (tell, end) = watch::channel(None);
        // Each has a connection of its own.
        watchers.push(tokio::spawn(Watcher::new(spec, world.server().client(), end).run()));
        ends.push((spec.selection, tell));
    }
    for number in 0..KILLS {
        let count = acknowledged.count.load(Ordering::SeqCst);
        until_acknowledged(&acknowledged, count + WRITES).await;
        world.kill(number).await;
    }
    let count = acknowledged.count.load(Ordering::SeqCst);
    until_acknowledged(&acknowledged, count + WRITES).await;
    stop.send(true).unwrap();
    while writers.join_next().await.is_some() {}
    let end = finish(&client).await;
    for (selection, tell) in &ends {
        tell.send(Some(end(*selection))).unwrap();
    }
    let mut done = Vec::new();
    for watcher in watchers {
        done.push(timeout(PATIENCE, watcher).await.expect("watchers catch up").unwrap());
    }
    let (_world, store) = world.open().await;
    let history = history(&*store).await;
    assert!(history.len() >= KILLS * WRITES);
    for Watcher { spec, seen, watches, .. } in done {
        let events = check(&format!("{spec:?}"), spec.selection, &seen, &history, end(spec.selection));
        assert!(watches > 1, "{spec:?} was interrupted");
        assert!(events > 0, "{spec:?} was told something");
    }
}

/// Once, or for as long as is asked for.
async fn again_and_again<W: Future<Output = World>>(begin: impl Fn() -> W) {
    let seconds = std::env::var(LONGER).ok().and_then(|text| text.parse().ok()).unwrap_or(0);
    let started = Instant::now();
    loop {
        watch_and_kill(begin().await).await;
        if started.elapsed() >= Duration::from_secs(seconds) {
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn watches_tell_all_and_nothing_twice_whatever_is_killed() {
    again_and_again(async || World::Embedded(ApiServer::start(None).await)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn watches_tell_all_and_nothing_twice_over_etcd() {
    let begin = async || {
        let etcd = Etcd::start().await;
        World::Etcd(ApiServer::start(Some(etcd.url())).await, etcd)
    };
    again_and_again(begin).await;
}
