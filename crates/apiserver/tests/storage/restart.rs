//! Watches that were running when the server was started again go on where they were.

use std::{sync::Arc, time::Duration};

use apiserver::storage::{
    Prefix, Revision, Store, StoreError,
    cache::{Cache, ChangeKind, Extractor, Freshness, Limits, SelectableField, Start},
    embedded::{EmbeddedOptions, EmbeddedStore},
    etcd::{EtcdOptions, EtcdStore},
};
use tokio::time::timeout;

use crate::{
    cache::{CONSISTENT, PODS, frame, frames, key, list_request, on_node, pod, shown, watch_request},
    conformance::object,
    etcd_server::Etcd,
};

/// What a watch of everything is to see of one write.
type Told = (Revision, String);

fn cache(store: Arc<dyn Store>, limits: Limits) -> Cache {
    Cache::new(store, Prefix::new(PODS), Extractor::new(vec![SelectableField::at("spec.nodeName")]), limits)
}

/// Writes of pods, and of other things between them, which do not concern those who watch pods.
async fn write(store: &dyn Store, rounds: usize) -> Vec<Told> {
    let mut told = Vec::new();
    for round in 0..rounds {
        let name = format!("p{round}");
        let at = key(&name);
        store.create(&format!("/registry/others/{round}").as_str().into(), object("x"), None).await.unwrap();
        let created = store.create(&at, pod(&name, "a", "n1"), None).await.unwrap();
        told.push((created, frame(ChangeKind::Added, &shown(&name, "a", "n1", created))));
        let moved = store.update(&at, created, pod(&name, "a", "n2"), None).await.unwrap();
        told.push((moved, frame(ChangeKind::Modified, &shown(&name, "a", "n2", moved))));
        if round % 2 == 0 {
            let gone = store.delete(&at, moved).await.unwrap();
            told.push((gone, frame(ChangeKind::Deleted, &shown(&name, "a", "n2", gone))));
        }
    }
    told
}

/// Watchers from everywhere in the past see what came after, and what comes.
async fn go_on(store: Arc<dyn Store>, past: &[Told]) {
    let cache = cache(store.clone(), Limits::default());
    cache.list(&list_request(PODS, CONSISTENT)).await.unwrap();
    // The latest first, so that the history grows step by step.
    let positions: Vec<usize> = (0..past.len()).rev().step_by(past.len() / 20).collect();
    let mut watchers = Vec::new();
    for position in positions {
        let watcher = cache.watch(watch_request(Start::After(past[position].0), None)).await.unwrap();
        watchers.push((position, watcher));
    }
    let leaving = cache.watch(watch_request(Start::After(past[0].0), on_node("n1"))).await.unwrap();
    let mut all = past.to_vec();
    let created = store.create(&key("new"), pod("new", "a", "n1"), None).await.unwrap();
    all.push((created, frame(ChangeKind::Added, &shown("new", "a", "n1", created))));
    for (position, mut watcher) in watchers {
        let expected: Vec<_> = all[position + 1..].iter().map(|(_, frame)| frame.clone()).collect();
        assert_eq!(frames(&mut watcher, expected.len()).await, expected, "from {position}");
    }
    // The first pod was on the node before the watch began, and leaves it.
    let mut leaving = leaving;
    let seen = frames(&mut leaving, 1).await;
    assert_eq!(seen[0], frame(ChangeKind::Deleted, &shown("p0", "a", "n1", past[1].0)));
    let then = cache.list(&list_request(PODS, apiserver::storage::cache::At::Exactly(past[1].0))).await.unwrap();
    let then: Vec<_> = then.entries.iter().map(|entry| (entry.key().clone(), entry.revision())).collect();
    assert_eq!(then, [(key("p0"), past[1].0)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn watches_go_on_over_the_embedded_store() {
    let folder = tempfile::tempdir().unwrap();
    let options = EmbeddedOptions::new(folder.path().join("store.redb"));
    let store = EmbeddedStore::open(&options).unwrap();
    let past = write(&store, 40).await;
    drop(store);
    go_on(Arc::new(EmbeddedStore::open(&options).unwrap()), &past).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn watches_go_on_over_etcd() {
    let mut etcd = Etcd::start().await;
    let options = EtcdOptions::new(vec![etcd.url()]);
    let past = write(&EtcdStore::connect(&options).await.unwrap(), 40).await;
    etcd.stop();
    etcd.resume().await;
    go_on(Arc::new(EtcdStore::connect(&options).await.unwrap()), &past).await;
}

#[tokio::test]
async fn what_is_compacted_is_not_remembered() {
    let folder = tempfile::tempdir().unwrap();
    let options = EmbeddedOptions::new(folder.path().join("store.redb"));
    let store = EmbeddedStore::open(&options).unwrap();
    let past = write(&store, 20).await;
    store.compact(past[10].0).await.unwrap();
    drop(store);
    let cache = cache(Arc::new(EmbeddedStore::open(&options).unwrap()), Limits::default());
    for _ in 0..2 {
        let late = cache.watch(watch_request(Start::After(past[9].0), None)).await.err();
        assert!(matches!(late, Some(StoreError::Compacted { .. })), "{late:?}");
    }
    let mut watcher = cache.watch(watch_request(Start::After(past[10].0), None)).await.unwrap();
    assert_eq!(frames(&mut watcher, 1).await[0], past[11].1);
}

#[tokio::test]
async fn a_cache_remembers_no_more_than_it_may() {
    let folder = tempfile::tempdir().unwrap();
    let options = EmbeddedOptions::new(folder.path().join("store.redb"));
    let store = Arc::new(EmbeddedStore::open(&options).unwrap());
    let past = write(&*store, 20).await;
    let cache = cache(store, Limits { changes: 10, bytes: 1 << 20 });
    cache.get(&key("p1"), Freshness::Any).await.unwrap();
    let (first, last) = (past[0].0, past[past.len() - 11].0);
    let late = cache.watch(watch_request(Start::After(first), None)).await.err();
    assert!(matches!(late, Some(StoreError::Compacted { .. })), "{late:?}");
    let mut watcher = cache.watch(watch_request(Start::After(last), None)).await.unwrap();
    let expected: Vec<_> = past[past.len() - 10..].iter().map(|(_, frame)| frame.clone()).collect();
    let seen = timeout(Duration::from_secs(10), frames(&mut watcher, 10)).await.unwrap();
    assert_eq!(seen, expected);
}
