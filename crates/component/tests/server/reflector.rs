use std::{collections::BTreeMap, sync::Arc};

use api_types::{core::ConfigMap, meta::ObjectMeta};
use component::{
    Daemon,
    informer::{Informer, Item, ObjectKey, Scope, Store},
};
use kube::{
    Api, Client,
    api::{DeleteParams, Patch, PatchParams, PostParams},
    client::{Body, ClientBuilder},
};
use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::json;
use tokio::sync::Notify;
use tower::util::MapRequestLayer;

use crate::support::{PATIENCE, Server, config};

/// An informer of a kind in the namespace `default`, and what it takes to wait for it.
struct Watched<T: Item> {
    informer: Informer<T>,
    changed: Arc<Notify>,
    daemon: Daemon,
}

impl<T: Item<DynamicType = ()>> Watched<T> {
    async fn start(client: Client) -> Self {
        let scope = Scope { namespace: Some("default".to_owned()), ..Scope::default() };
        let own = Self { informer: Informer::new(&(), &scope), changed: Arc::default(), daemon: Daemon::new() };
        let changed = own.changed.clone();
        own.informer.on_event(move |_| changed.notify_one());
        own.informer.start(client, &own.daemon);
        tokio::time::timeout(PATIENCE, own.informer.synced()).await.unwrap();
        own
    }

    async fn until(&self, what: &str, done: impl Fn(&Store<T>) -> bool) {
        let wait = async {
            while !done(self.informer.store()) {
                self.changed.notified().await;
            }
        };
        if tokio::time::timeout(PATIENCE, wait).await.is_err() {
            panic!("{what} did not happen: {:#?}", self.informer.store().list());
        }
    }

    async fn until_names(&self, expected: &[&str]) {
        self.until(&format!("{expected:?}"), |store| names(store) == expected).await;
    }
}

impl<T: Item> Drop for Watched<T> {
    fn drop(&mut self) {
        self.daemon.shutdown.cancel();
    }
}

/// The names of the test's own objects.
fn names<T: Item>(store: &Store<T>) -> Vec<String> {
    let all = store.list().into_iter().map(|object| object.meta().name.clone().unwrap());
    all.filter(|name| name.len() == 1).collect()
}

fn maps(client: &Client) -> Api<ConfigMap> {
    Api::namespaced(client.clone(), "default")
}

async fn create(maps: &Api<ConfigMap>, name: &str, data: &[(&str, &str)]) {
    let data: BTreeMap<String, String> = data.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect();
    let metadata = ObjectMeta { name: Some(name.into()), ..ObjectMeta::default() };
    let map = ConfigMap { metadata, data: Some(data), ..ConfigMap::default() };
    maps.create(&PostParams::default(), &map).await.unwrap();
}

/// What a request for a list or a watch asks for.
fn sort(uri: &http::Uri) -> Option<&'static str> {
    let (asks, query) = (uri.path().ends_with("/configmaps"), uri.query().unwrap_or_default());
    // All that there is comes as a stream.
    asks.then(|| if query.contains("sendInitialEvents=true") { "list" } else { "watch" })
}

#[tokio::test]
async fn what_the_server_has_forgotten_is_listed_again() {
    let mut server = Server::start().await;
    create(&maps(&server.client()), "a", &[]).await;
    server.forget().await;
    // Until all that there is is asked for anew, watches ask for what was before everything: the server answers that this
    // is gone.
    let asked = Arc::new(Mutex::new(Vec::new()));
    let log = asked.clone();
    let layer = MapRequestLayer::new(move |mut request: http::Request<Body>| {
        let Some(sort) = sort(request.uri()) else { return request };
        log.lock().push(sort);
        if sort == "watch" && log.lock().iter().filter(|sort| **sort == "list").count() < 2 {
            *request.uri_mut() = outdated_watch(request.uri());
        }
        request
    });
    let client = ClientBuilder::try_from(config(server.address())).unwrap().with_layer(&layer).build();
    let watched = Watched::<ConfigMap>::start(client).await;
    watched.until_names(&["a"]).await;
    server.restart().await;
    create(&maps(&server.client()), "b", &[]).await;
    watched.until_names(&["a", "b"]).await;
    let mut asked = asked.lock().clone();
    asked.dedup();
    assert_eq!(asked[..3], ["list", "watch", "list"]);
}

/// The same watch, from the first version on.
fn outdated_watch(uri: &http::Uri) -> http::Uri {
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(format!("{}?watch=true&resourceVersion=1", uri.path()).parse().unwrap());
    http::Uri::from_parts(parts).unwrap()
}

#[tokio::test]
async fn a_server_that_comes_back_is_followed_again() {
    let mut server = Server::start().await;
    let maps = maps(&server.client());
    create(&maps, "a", &[]).await;
    create(&maps, "b", &[]).await;
    let watched = Watched::<ConfigMap>::start(server.client()).await;
    watched.until_names(&["a", "b"]).await;
    server.restart().await;
    let maps = self::maps(&server.client());
    create(&maps, "c", &[]).await;
    maps.delete("a", &DeleteParams::default()).await.unwrap();
    watched.until_names(&["b", "c"]).await;
}

/// Config maps that have a number; others cannot be read as such.
#[derive(Clone, Debug, Deserialize)]
struct Numbered {
    metadata: ObjectMeta,
    data: Number,
}
component::slim_resource!(Numbered => ConfigMap);

#[derive(Clone, Debug, Deserialize)]
struct Number {
    number: String,
}

#[tokio::test]
async fn an_object_that_cannot_be_read_stops_no_other() {
    let server = Server::start().await;
    let maps = maps(&server.client());
    create(&maps, "a", &[("number", "1")]).await;
    create(&maps, "b", &[("word", "two")]).await;
    let watched = Watched::<Numbered>::start(server.client()).await;
    watched.until_names(&["a"]).await;
    // One that becomes unreadable stays as it was known; those after it arrive.
    let unreadable = Patch::Merge(json!({"data": {"number": null}}));
    maps.patch("a", &PatchParams::default(), &unreadable).await.unwrap();
    create(&maps, "c", &[("number", "3")]).await;
    watched.until_names(&["a", "c"]).await;
    let number = |store: &Store<Numbered>, name: &str| {
        store.get(&ObjectKey::new("default", name)).map(|object| object.data.number.clone())
    };
    assert_eq!(number(watched.informer.store(), "a").as_deref(), Some("1"));
    let readable = Patch::Merge(json!({"data": {"number": "2"}}));
    maps.patch("b", &PatchParams::default(), &readable).await.unwrap();
    watched.until_names(&["a", "b", "c"]).await;
    // What is deleted is gone, however it looked in the end.
    maps.delete("a", &DeleteParams::default()).await.unwrap();
    watched.until_names(&["b", "c"]).await;
}
