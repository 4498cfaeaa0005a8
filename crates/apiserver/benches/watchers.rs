//! What a change costs with many watchers, each of which watches one node's pods: CPU time of the process per update,
//! the store's commit included.
//!
//! Every change concerns one watcher. `every watcher woken` hides from the cache what the selectors require, which is how
//! it was before there was an index.

use std::{sync::Arc, time::Duration};

use apiserver::storage::{
    Key, Prefix, Revision, Store,
    cache::{
        Bookmarks, Cache, Delivery, Extractor, Freshness, Limits, Requirement, SelectableField, Selector, Start,
        WatchRequest, Watcher,
    },
    embedded::{EmbeddedOptions, EmbeddedStore},
};
use bytes::Bytes;
use criterion::{Criterion, criterion_group, criterion_main};
use futures::future::join_all;
use tokio::{runtime::Runtime, sync::mpsc};

const PODS: &str = "/registry/pods";

/// What a selector tells the cache.
#[derive(Clone, Copy)]
enum Told {
    Requirement,
    Nothing,
}

/// Name, watchers, what they tell, updates.
const ROWS: &[(&str, usize, Told, usize)] = &[
    ("100 watches", 100, Told::Requirement, 1000),
    ("5000 watches", 5000, Told::Requirement, 1000),
    ("100 watches, every watcher woken", 100, Told::Nothing, 100),
    ("5000 watches, every watcher woken", 5000, Told::Nothing, 100),
];

fn key(number: usize) -> Key {
    Key::from(format!("{PODS}/load/pod-{number}"))
}

/// A pod on a node of its own.
fn pod(number: usize) -> Bytes {
    let spec = "x".repeat(2000);
    let text = format!(
        r#"{{"metadata":{{"name":"pod-{number}","namespace":"load"}},"spec":{{"nodeName":"node-{number}","filler":"{spec}"}},"status":{{"phase":"Running"}}}}"#
    );
    text.into()
}

struct World {
    runtime: Runtime,
    store: Arc<dyn Store>,
    cache: Cache,
    revisions: Vec<Revision>,
    _folder: tempfile::TempDir,
}

impl World {
    fn new(pods: usize) -> Self {
        let runtime = Runtime::new().expect("a runtime");
        let folder = tempfile::tempdir().expect("a folder");
        let options = EmbeddedOptions::new(folder.path().join("store.redb"));
        let store: Arc<dyn Store> =
            runtime.block_on(async { Arc::new(EmbeddedStore::open(&options).expect("a store")) });
        let fields = ["spec.nodeName", "status.phase"].map(SelectableField::at).into();
        let cache = Cache::new(store.clone(), Prefix::new(PODS), Extractor::new(fields), Limits::default());
        let create = |number| {
            let store = store.clone();
            async move { store.create(&key(number), pod(number), None).await.expect("create") }
        };
        let revisions = runtime.block_on(join_all((0..pods).map(create)));
        // The cache fills when it is first asked, and may be slower than a request would wait.
        runtime.block_on(async { while cache.get(&key(0), Freshness::Any).await.is_err() {} });
        Self { runtime, store, cache, revisions, _folder: folder }
    }

    async fn watch(&self, number: usize, told: Told) -> Watcher {
        let node = format!("node-{number}");
        let requirements = match told {
            Told::Requirement => vec![Requirement::Field(0, node.clone())],
            Told::Nothing => Vec::new(),
        };
        let selector = Selector::new(move |entry| entry.field(0) == node).requiring(requirements);
        let request = WatchRequest {
            scope: Prefix::new(PODS),
            selector: Some(selector),
            start: Start::Now(Freshness::Consistent),
            bookmarks: Bookmarks::Omit,
            timeout: None,
        };
        self.cache.watch(request).await.expect("watch")
    }

    /// The CPU time of the updates, one after the other, each seen by its watcher before the next.
    async fn updates(&mut self, told: Told, count: usize) -> Duration {
        let (seen, mut sights) = mpsc::unbounded_channel();
        let mut watchers = Vec::new();
        for number in 0..self.revisions.len() {
            let (watcher, seen) = (self.watch(number, told).await, seen.clone());
            watchers.push(tokio::spawn(report(watcher, seen)));
        }
        let begin = cpu_time();
        for turn in 0..count {
            let number = turn % self.revisions.len();
            let updated = self.store.update(&key(number), self.revisions[number], pod(number), None).await;
            self.revisions[number] = updated.expect("update");
            sights.recv().await.expect("the watcher sees it");
        }
        let spent = cpu_time() - begin;
        watchers.iter().for_each(tokio::task::JoinHandle::abort);
        join_all(watchers).await;
        spent / count as u32
    }
}

async fn report(mut watcher: Watcher, seen: mpsc::UnboundedSender<usize>) {
    while let Some(Ok(deliveries)) = watcher.next().await {
        for delivery in deliveries {
            if let Delivery::Change(change) = delivery
                && seen.send(change.frame().len()).is_err()
            {
                return;
            }
        }
    }
}

/// What the process has used so far, in all its threads: Linux tells it in hundredths of a second.
fn cpu_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("Linux");
    let (_, behind_the_name) = stat.rsplit_once(')').expect("the name of the process");
    let times = behind_the_name.split_whitespace().skip(11).take(2);
    times.map(|ticks| Duration::from_millis(10 * ticks.parse::<u64>().expect("a number"))).sum()
}

fn updates(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("CPU per update");
    group.sample_size(10).warm_up_time(Duration::from_millis(1)).measurement_time(Duration::from_millis(1));
    for (name, watchers, told, count) in ROWS {
        let mut world = World::new(*watchers);
        let runtime = world.runtime.handle().clone();
        group.bench_function(*name, |bencher| {
            bencher.iter_custom(|iterations| {
                (0..iterations).map(|_| runtime.block_on(world.updates(*told, *count))).sum()
            });
        });
    }
    group.finish();
}

criterion_group!(benches, updates);
criterion_main!(benches);
