//! kube-rs, with which most operators in Rust are written, against a server that is killed.

use std::{collections::BTreeSet, time::Duration};

use api_types::core::ConfigMap;
use futures::{StreamExt, stream::BoxStream};
use kube::{
    Api,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams, WatchEvent, WatchParams},
};
use serde_json::json;
use tokio::time::timeout;

use crate::{etcd_server::Etcd, process::ApiServer};

const PATIENCE: Duration = Duration::from_secs(60);
const KILLS: usize = 4;
/// So soon what failed is tried again.
const AGAIN: Duration = Duration::from_millis(20);

fn map(name: &str) -> ConfigMap {
    serde_json::from_value(json!({"metadata": {"name": name, "labels": {"app": "a"}}, "data": {"k": "v"}})).unwrap()
}

fn version(map: &ConfigMap) -> String {
    map.metadata.resource_version.clone().unwrap()
}

/// A watch that goes on where it was.
struct Told {
    maps: Api<ConfigMap>,
    version: String,
    seen: BTreeSet<String>,
}

impl Told {
    /// Until a version is seen; nothing is told twice.
    async fn until(&mut self, wanted: &str) {
        let told = async {
            while !self.seen.contains(wanted) {
                match self.maps.watch(&WatchParams::default(), &self.version).await {
                    Ok(events) => self.read(events.boxed(), wanted).await,
                    Err(_) => tokio::time::sleep(AGAIN).await,
                }
            }
        };
        timeout(PATIENCE, told).await.expect("the watch goes on");
    }

    async fn read(&mut self, mut events: BoxStream<'_, kube::Result<WatchEvent<ConfigMap>>>, wanted: &str) {
        while let Some(Ok(event)) = events.next().await {
            match event {
                WatchEvent::Added(map) | WatchEvent::Modified(map) | WatchEvent::Deleted(map) => {
                    self.version = version(&map);
                    assert!(self.seen.insert(self.version.clone()), "{map:?} is told twice");
                }
                WatchEvent::Bookmark(bookmark) => self.version = bookmark.metadata.resource_version,
                WatchEvent::Error(status) => panic!("{status:?}"),
            }
            if self.seen.contains(wanted) {
                return;
            }
        }
    }
}

/// Every way of writing that kube-rs knows. Returns the versions of what was written.
async fn write(maps: &Api<ConfigMap>, name: &str) -> Vec<String> {
    let post = PostParams::default();
    let created = again(|| async { maps.create(&post, &map(name)).await }).await;
    assert!(maps.create(&post, &map(name)).await.is_err_and(|error| error.to_string().contains("already exists")));
    let mut changed = created.clone();
    changed.data.get_or_insert_default().insert("replaced".to_owned(), "yes".to_owned());
    let replaced = maps.replace(name, &post, &changed).await.unwrap();
    assert!(maps.replace(name, &post, &changed).await.is_err(), "what it replaces has changed");
    let parameters = PatchParams::apply("kube-rs");
    let merged = maps.patch(name, &parameters, &Patch::Merge(json!({"data": {"merged": "yes"}}))).await.unwrap();
    let strategic = Patch::Strategic(json!({"metadata": {"labels": {"b": "b"}}}));
    let strategic = maps.patch(name, &PatchParams::default(), &strategic).await.unwrap();
    let applied =
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"applied": "yes"}});
    let applied = maps.patch(name, &parameters, &Patch::Apply(applied)).await.unwrap();
    assert_eq!(applied.data.as_ref().unwrap().len(), 4);
    assert_eq!(maps.get(name).await.unwrap(), applied);
    let selected = maps.list(&ListParams::default().labels("app=a,b=b").fields(&format!("metadata.name={name}"))).await;
    assert_eq!(selected.unwrap().items, std::slice::from_ref(&applied));
    assert_eq!(maps.get_metadata(name).await.unwrap().metadata, applied.metadata);
    [created, replaced, merged, strategic, applied].iter().map(version).collect()
}

async fn a_watch_through_kills(mut server: ApiServer, mut etcd: Option<Etcd>) {
    let maps: Api<ConfigMap> = Api::namespaced(server.client(), "default");
    let begin = maps.list(&ListParams::default()).await.unwrap();
    let mut told =
        Told { maps: maps.clone(), version: begin.metadata.resource_version.unwrap(), seen: BTreeSet::new() };
    let mut written = Vec::new();
    for round in 0..KILLS {
        let name = format!("m{round}");
        written.extend(write(&maps, &name).await);
        assert!(maps.delete(&name, &DeleteParams::default()).await.unwrap().is_right(), "it is gone at once");
        if round % 2 == 0 {
            told.until(written.last().unwrap()).await;
        }
        match &mut etcd {
            Some(etcd) if round % 2 == 0 => {
                etcd.stop();
                etcd.resume().await;
            }
            _ => {
                server.kill();
                server.resume().await;
            }
        }
    }
    let last = again(|| async { maps.create(&PostParams::default(), &map("last")).await }).await;
    told.until(&version(&last)).await;
    assert!(written.iter().all(|version| told.seen.contains(version)), "nothing is missed");
    maps.delete_collection(&DeleteParams::default(), &ListParams::default().labels("app=a")).await.unwrap();
    assert_eq!(maps.get_opt("last").await.unwrap(), None);
}

/// Until the server is there, and has its etcd.
async fn again<T, F: Future<Output = kube::Result<T>>>(call: impl Fn() -> F) -> T {
    let answered = async {
        loop {
            match call().await {
                Ok(answer) => return answer,
                Err(_) => tokio::time::sleep(AGAIN).await,
            }
        }
    };
    timeout(PATIENCE, answered).await.expect("the server comes back")
}

#[tokio::test(flavor = "multi_thread")]
async fn kube_rs_goes_on_over_the_embedded_store() {
    a_watch_through_kills(ApiServer::start(None).await, None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kube_rs_goes_on_over_etcd() {
    let etcd = Etcd::start().await;
    a_watch_through_kills(ApiServer::start(Some(etcd.url())).await, Some(etcd)).await;
}
