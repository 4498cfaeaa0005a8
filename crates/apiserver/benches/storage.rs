//! What the storage layer costs without HTTP above it: creates with their fsync, lists, and the fan-out of watches.

use std::{hint::black_box, sync::Arc};

use apiserver::storage::{
    Item, Key, Prefix, Revision, Store,
    cache::{
        At, Bookmarks, Cache, Delivery, Extractor, Freshness, Limits, ListBody, ListRequest, SelectableField, Selector,
        Start, WatchRequest, Watcher,
    },
    embedded::{EmbeddedOptions, EmbeddedStore},
};
use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use futures::future::join_all;
use tokio::runtime::Runtime;

const PODS: &str = "/registry/pods";

/// As many pods as the budgets speak of.
const OBJECTS: usize = 4000;
const WATCHERS: usize = 100;
const UPDATES: usize = 500;

/// A pod of about 3.7 KB.
fn pod(number: usize) -> Bytes {
    let containers = (0..4).map(|container| {
        format!(
            r#"{{"name":"container-{container}","image":"registry.example/app/image:{number}","env":[{}],"resources":{{"requests":{{"cpu":"100m","memory":"128Mi"}}}}}}"#,
            (0..8)
                .map(|variable| format!(r#"{{"name":"VARIABLE_{variable}","value":"value of the variable {variable}"}}"#))
                .collect::<Vec<_>>()
                .join(",")
        )
    });
    let containers = containers.collect::<Vec<_>>().join(",");
    Bytes::from(format!(
        r#"{{"apiVersion":"v1","kind":"Pod","metadata":{{"name":"pod-{number}","namespace":"load","labels":{{"app":"load","tier":"{}"}}}},"spec":{{"nodeName":"node-{}","containers":[{containers}]}},"status":{{"phase":"Running"}}}}"#,
        number % 10,
        number % 100
    ))
}

fn key(number: usize) -> Key {
    Key::from(format!("{PODS}/load/pod-{number}"))
}

fn extractor() -> Extractor {
    let fields = ["metadata.name", "metadata.namespace", "spec.nodeName", "spec.schedulerName", "status.phase"];
    Extractor::new(fields.map(SelectableField::at).into())
}

struct World {
    runtime: Runtime,
    store: Arc<dyn Store>,
    cache: Cache,
    _folder: tempfile::TempDir,
}

fn world() -> World {
    let runtime = Runtime::new().expect("a runtime");
    let folder = tempfile::tempdir().expect("a folder");
    let options = EmbeddedOptions::new(folder.path().join("store.redb"));
    let store = runtime.block_on(async { EmbeddedStore::open(&options).expect("a store") });
    let store: Arc<dyn Store> = Arc::new(store);
    let cache = Cache::new(store.clone(), Prefix::new(PODS), extractor(), Limits::default());
    World { runtime, store, cache, _folder: folder }
}

impl World {
    fn fill(&self) -> Vec<Revision> {
        self.runtime.block_on(async {
            let creations = (0..OBJECTS).map(|number| {
                let store = self.store.clone();
                async move { store.create(&key(number), pod(number), None).await.expect("create") }
            });
            join_all(creations).await
        })
    }
}

fn creates(criterion: &mut Criterion) {
    let world = world();
    let mut group = criterion.benchmark_group("embedded create");
    let mut next = 0;
    for writers in [1, 32] {
        group.throughput(Throughput::Elements(writers as u64));
        group.bench_function(format!("{writers} at once"), |bencher| {
            bencher.iter(|| {
                let creations = (next..next + writers).map(|number| {
                    let store = world.store.clone();
                    async move { store.create(&key(number), pod(number), None).await.expect("create") }
                });
                next += writers;
                world.runtime.block_on(join_all(creations))
            });
        });
    }
    group.finish();
}

fn lists(criterion: &mut Criterion) {
    let world = world();
    world.fill();
    let mut group = criterion.benchmark_group("cache list");
    group.throughput(Throughput::Elements(OBJECTS as u64));
    let all = ListRequest {
        scope: Prefix::new(PODS),
        selector: None,
        start_after: None,
        limit: None,
        at: At::Newest(Freshness::Consistent),
    };
    let list = |request: &ListRequest| world.runtime.block_on(world.cache.list(request)).expect("list");
    group.bench_function("find", |bencher| bencher.iter(|| list(&all)));
    group.bench_function("find and join", |bencher| {
        bencher.iter(|| {
            ListBody::new(b"{\"items\":[", Bytes::new(), list(&all).entries).for_each(|chunk| drop(black_box(chunk)));
        });
    });
    let on_node = ListRequest { selector: Some(Selector::new(|entry| entry.field(2) == "node-7")), ..all.clone() };
    group.bench_function("select by field", |bencher| bencher.iter(|| list(&on_node)));
    let labelled =
        ListRequest { selector: Some(Selector::new(|entry| entry.label("tier") == Some("7"))), ..all.clone() };
    group.bench_function("select by label", |bencher| bencher.iter(|| list(&labelled)));
    group.finish();
}

fn extraction(criterion: &mut Criterion) {
    let item = Item { key: key(1), value: pod(1), revision: Revision(1), created: Revision(1) };
    let mut group = criterion.benchmark_group("cache entry");
    group.throughput(Throughput::Bytes(item.value.len() as u64));
    group.bench_function("extract", |bencher| bencher.iter(|| extractor().entry(item.clone())));
    group.finish();
}

async fn drain(mut watcher: Watcher, mut count: usize) -> usize {
    let mut bytes = 0;
    while count > 0 {
        for delivery in watcher.next().await.expect("goes on").expect("keeps up") {
            if let Delivery::Change(change) = delivery {
                bytes += change.frame().len();
                count -= 1;
            }
        }
    }
    bytes
}

fn fan_out(criterion: &mut Criterion) {
    let world = world();
    let mut revisions = world.fill();
    let mut group = criterion.benchmark_group("fan-out");
    group.sample_size(10);
    group.throughput(Throughput::Elements((WATCHERS * UPDATES) as u64));
    group.bench_function("100 watches of 500 updates", |bencher| {
        bencher.iter(|| {
            world.runtime.block_on(async {
                let request = WatchRequest {
                    scope: Prefix::new(PODS),
                    selector: None,
                    start: Start::Now(Freshness::Consistent),
                    bookmarks: Bookmarks::Omit,
                    timeout: None,
                };
                let mut watchers = Vec::new();
                for _ in 0..WATCHERS {
                    let watcher = world.cache.watch(request.clone()).await.expect("watch");
                    watchers.push(tokio::spawn(drain(watcher, UPDATES)));
                }
                let updates = revisions.iter().enumerate().take(UPDATES).map(|(number, revision)| {
                    let store = world.store.clone();
                    async move { store.update(&key(number), *revision, pod(number), None).await.expect("update") }
                });
                let updated = join_all(updates).await;
                revisions[..UPDATES].copy_from_slice(&updated);
                join_all(watchers).await
            });
        });
    });
    group.finish();
}

criterion_group!(benches, creates, lists, extraction, fan_out);
criterion_main!(benches);
