//! Watchers are woken by what concerns them, and miss nothing by not being woken.

use std::{
    collections::BTreeMap,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

use apiserver::storage::{
    Key, Prefix, Revision, Store, StoreError,
    cache::{
        At, Bookmarks, Cache, Delivery, Entry, Extractor, Freshness, Limits, ListRequest, Requirement, SelectableField,
        Selector, Start, WatchRequest, Watcher,
    },
    embedded::{EmbeddedOptions, EmbeddedStore},
};
use bytes::Bytes;
use proptest::{collection::vec, prelude::*, sample::select, test_runner::Config};
use tokio::runtime::Runtime;

const PODS: &str = "/registry/pods/";
const NAMESPACES: &[&str] = &["a", "b"];
const NAMES: &[&str] = &["x", "y", "z"];
const NODES: &[&str] = &["", "n1", "n2"];
const PHASES: &[&str] = &["Pending", "Running"];

/// What a key may hold, as far as watchers look at it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Pod {
    node: &'static str,
    phase: &'static str,
}

impl Pod {
    fn value(&self, name: &str) -> Bytes {
        let Self { node, phase } = self;
        let text = format!(
            r#"{{"metadata":{{"name":"{name}"}},"spec":{{"nodeName":"{node}"}},"status":{{"phase":"{phase}"}}}}"#
        );
        text.into()
    }
}

/// Namespace and name.
type Place = (&'static str, &'static str);

fn key((namespace, name): Place) -> Key {
    Key::from(format!("{PODS}{namespace}/{name}"))
}

/// Which pods a watch is about.
#[derive(Clone, Debug, Default)]
struct Filter {
    namespace: Option<&'static str>,
    name: Option<&'static str>,
    node: Option<&'static str>,
    phase: Option<&'static str>,
    /// A term that no index knows.
    not_on: Option<&'static str>,
}

impl Filter {
    fn matches(&self, (namespace, name): Place, pod: &Pod) -> bool {
        self.namespace.is_none_or(|wanted| wanted == namespace)
            && self.name.is_none_or(|wanted| wanted == name)
            && self.node.is_none_or(|wanted| wanted == pod.node)
            && self.phase.is_none_or(|wanted| wanted == pod.phase)
            && self.not_on.is_none_or(|unwanted| unwanted != pod.node)
    }

    fn scope(&self) -> Prefix {
        Prefix::new(&format!("{PODS}{}", self.namespace.unwrap_or_default()))
    }

    fn selector(&self) -> Option<Selector> {
        let Self { namespace, name, node, phase, not_on } = self.clone();
        let of_name = name.map(|name| match namespace {
            Some(namespace) => Requirement::Key(key((namespace, name))),
            None => Requirement::Name(name.to_owned()),
        });
        let of_node = node.map(|node| Requirement::Field(0, node.to_owned()));
        let of_phase = phase.map(|phase| Requirement::Field(1, phase.to_owned()));
        let selector = Selector::new(move |entry: &Entry| {
            let own = entry.key().as_str().rsplit('/').next();
            (name.is_none() || name == own)
                && node.is_none_or(|node| node == entry.field(0))
                && phase.is_none_or(|phase| phase == entry.field(1))
                && not_on.is_none_or(|node| node != entry.field(0))
        });
        let everything = name.or(node).or(phase).or(not_on).is_none();
        (!everything).then(|| selector.requiring([of_name, of_node, of_phase].into_iter().flatten().collect()))
    }

    fn watch(&self, start: Start) -> WatchRequest {
        WatchRequest {
            scope: self.scope(),
            selector: self.selector(),
            start,
            bookmarks: Bookmarks::Omit,
            timeout: None,
        }
    }
}

struct World {
    cache: Cache,
    store: Arc<dyn Store>,
    _folder: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        Self::with(Limits::default())
    }

    fn with(limits: Limits) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = EmbeddedStore::open(&EmbeddedOptions::new(folder.path().join("store.redb"))).unwrap();
        let store: Arc<dyn Store> = Arc::new(store);
        let fields = ["spec.nodeName", "status.phase"].map(SelectableField::at).into();
        let cache = Cache::new(store.clone(), Prefix::new(PODS), Extractor::new(fields), limits);
        Self { cache, store, _folder: folder }
    }

    /// Until the cache has seen everything.
    async fn settle(&self) -> Revision {
        let at = At::Newest(Freshness::Consistent);
        let all = ListRequest { scope: Prefix::new(PODS), selector: None, start_after: None, limit: None, at };
        self.cache.list(&all).await.unwrap().revision
    }

    async fn put(&self, place: Place, before: Option<Revision>, pod: &Pod) -> Revision {
        let value = pod.value(place.1);
        match before {
            None => self.store.create(&key(place), value, None).await.unwrap(),
            Some(revision) => self.store.update(&key(place), revision, value, None).await.unwrap(),
        }
    }
}

/// What a watcher is told: kind, namespace and name, revision.
type Told = (&'static str, String, Revision);

/// Everything that can be had without waiting.
async fn drain(watcher: &mut Watcher) -> Vec<Told> {
    let mut told = Vec::new();
    loop {
        let next = std::future::poll_fn(|context| Poll::Ready(pin!(watcher.next()).poll(context))).await;
        let Poll::Ready(batch) = next else { return told };
        for delivery in batch.unwrap().unwrap() {
            let Delivery::Change(change) = delivery else { panic!("{delivery:?}") };
            told.push((change.kind.as_str(), change.entry.key().as_str()[PODS.len()..].to_owned(), change.revision));
        }
    }
}

/// One step of a history.
#[derive(Clone, Debug)]
enum Step {
    Put(Place, Pod),
    Delete(Place),
    /// The watcher of this number reads on.
    Read(usize),
}

fn places() -> impl Strategy<Value = Place> {
    (select(NAMESPACES), select(NAMES))
}

fn pods() -> impl Strategy<Value = Pod> {
    (select(NODES), select(PHASES)).prop_map(|(node, phase)| Pod { node, phase })
}

fn filters() -> impl Strategy<Value = Filter> {
    let perhaps = |of| proptest::option::of(select(of));
    (
        perhaps(NAMESPACES),
        perhaps(NAMES),
        perhaps(NODES),
        perhaps(PHASES),
        proptest::option::weighted(0.2, select(NODES)),
    )
        .prop_map(|(namespace, name, node, phase, not_on)| Filter { namespace, name, node, phase, not_on })
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (places(), pods()).prop_map(|(place, pod)| Step::Put(place, pod)),
        2 => places().prop_map(Step::Delete),
        2 => (0..WATCHERS).prop_map(Step::Read),
    ];
    vec(step, 1..60)
}

const WATCHERS: usize = 8;

/// What each filter should have been told, found by looking at every change.
#[derive(Default)]
struct Model {
    pods: BTreeMap<Place, (Pod, Revision)>,
    told: Vec<Vec<Told>>,
}

impl Model {
    fn change(&mut self, filters: &[Filter], place: Place, after: Option<&Pod>, revision: Revision) {
        let before = self.pods.remove(&place).map(|(pod, _)| pod);
        for (filter, told) in filters.iter().zip(&mut self.told) {
            let selected = |pod: Option<&Pod>| pod.is_some_and(|pod| filter.matches(place, pod));
            let kind = match (selected(before.as_ref()), selected(after)) {
                (false, false) => continue,
                (false, true) => "ADDED",
                (true, true) => "MODIFIED",
                (true, false) => "DELETED",
            };
            told.push((kind, format!("{}/{}", place.0, place.1), revision));
        }
        self.pods.extend(after.map(|pod| (place, (pod.clone(), revision))));
    }
}

async fn replay(filters: Vec<Filter>, steps: Vec<Step>) {
    let world = World::new();
    let mut model = Model { told: vec![Vec::new(); filters.len()], ..Model::default() };
    let mut watchers = Vec::new();
    for filter in &filters {
        watchers.push(world.cache.watch(filter.watch(Start::Now(Freshness::Consistent))).await.unwrap());
    }
    let mut told = vec![Vec::new(); filters.len()];
    for step in steps {
        match step {
            Step::Put(place, pod) => {
                let before = model.pods.get(&place).map(|(_, revision)| *revision);
                let revision = world.put(place, before, &pod).await;
                model.change(&filters, place, Some(&pod), revision);
            }
            Step::Delete(place) => {
                let Some((_, before)) = model.pods.get(&place) else { continue };
                let revision = world.store.delete(&key(place), *before).await.unwrap();
                model.change(&filters, place, None, revision);
            }
            Step::Read(number) => told[number].extend(drain(&mut watchers[number]).await),
        }
    }
    let last = world.settle().await;
    for (number, watcher) in watchers.iter_mut().enumerate() {
        told[number].extend(drain(watcher).await);
        assert_eq!(told[number], model.told[number], "{:?}", filters[number]);
        assert_eq!(watcher.revision(), last, "who was not woken has got there all the same");
    }
}

proptest! {
    #![proptest_config(Config { cases: 48, ..Config::default() })]

    #[test]
    fn an_indexed_watcher_sees_what_a_filter_of_everything_sees(
        filters in vec(filters(), WATCHERS),
        steps in steps(),
    ) {
        Runtime::new().unwrap().block_on(replay(filters, steps));
    }
}

/// Counts how often somebody is woken.
#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

const RUNNING: Pod = Pod { node: "n1", phase: "Running" };

impl World {
    /// Does something, and tells how often each of these watchers was woken by it.
    async fn woken_by<T>(&self, filters: &[Filter], action: impl Future<Output = T>) -> (T, Vec<usize>) {
        let mut watchers = Vec::new();
        for filter in filters {
            watchers.push(self.cache.watch(filter.watch(Start::Now(Freshness::Consistent))).await.unwrap());
        }
        // A future that watches everything is the last to be woken.
        watchers.push(self.cache.watch(Filter::default().watch(Start::Now(Freshness::Consistent))).await.unwrap());
        let mut asleep = Vec::new();
        for watcher in &mut watchers {
            let (mut next, count) = (Box::pin(watcher.next()), Arc::<Count>::default());
            let waker = Waker::from(count.clone());
            assert!(next.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
            asleep.push((next, count));
        }
        let done = action.await;
        let counts = || asleep.iter().map(|(_, count)| count.0.load(Ordering::SeqCst)).collect::<Vec<_>>();
        let all_told = async {
            while counts().last() == Some(&0) {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), all_told).await.expect("somebody is woken");
        let mut counts = counts();
        counts.pop();
        (done, counts)
    }
}

#[tokio::test]
async fn a_change_wakes_those_whom_it_concerns() {
    let world = World::new();
    let bystanders = [
        Filter { namespace: Some("b"), ..Filter::default() },
        Filter { namespace: Some("a"), name: Some("y"), ..Filter::default() },
        Filter { name: Some("y"), ..Filter::default() },
        Filter { node: Some("n2"), ..Filter::default() },
        Filter { node: Some(""), phase: Some("Running"), ..Filter::default() },
    ];
    let concerned = [
        Filter { namespace: Some("a"), ..Filter::default() },
        Filter { namespace: Some("a"), name: Some("x"), ..Filter::default() },
        Filter { name: Some("x"), ..Filter::default() },
        Filter { node: Some("n1"), ..Filter::default() },
        Filter { not_on: Some("n2"), ..Filter::default() },
    ];
    let place = ("a", "x");
    let (revision, woken) = world.woken_by(&bystanders, world.put(place, None, &RUNNING)).await;
    assert_eq!(woken, [0; 5]);
    let (revision, woken) = world.woken_by(&concerned, world.put(place, Some(revision), &RUNNING)).await;
    assert_eq!(woken, [1; 5]);
    let nodes = ["n1", "n2", ""].map(|node| Filter { node: Some(node), ..Filter::default() });
    let moved = Pod { node: "n2", ..RUNNING };
    let (revision, woken) = world.woken_by(&nodes, world.put(place, Some(revision), &moved)).await;
    assert_eq!(woken, [1, 1, 0], "those are told whom it leaves and whom it joins");
    let (_, woken) = world.woken_by(&nodes, world.store.delete(&key(place), revision)).await;
    assert_eq!(woken, [0, 1, 0]);
}

#[tokio::test]
async fn who_has_something_in_common_is_told_apart_by_the_rest() {
    let world = World::new();
    let on = |node| Filter { node: Some(node), phase: Some("Running"), ..Filter::default() };
    let mut filters = ["n2", "n1", "", "n2"].map(on);
    filters[3].node = Some("n3");
    let (_, woken) = world.woken_by(&filters, world.put(("a", "x"), None, &RUNNING)).await;
    assert_eq!(woken, [0, 1, 0, 0]);
}

#[tokio::test]
async fn a_watcher_is_behind_only_by_what_concerns_it() {
    let world = World::with(Limits { changes: 4, bytes: 1 << 20 });
    let on = |node| Filter { node: Some(node), ..Filter::default() }.watch(Start::Now(Freshness::Consistent));
    let mut quiet = world.cache.watch(on("n2")).await.unwrap();
    let mut busy = world.cache.watch(on("n1")).await.unwrap();
    let mut last = None;
    for _ in 0..20 {
        last = Some(world.put(("a", "x"), last, &RUNNING).await);
    }
    world.settle().await;
    assert!(matches!(busy.next().await, Some(Err(StoreError::Compacted { .. }))));
    let created = world.put(("a", "y"), None, &Pod { node: "n2", ..RUNNING }).await;
    world.settle().await;
    assert_eq!(drain(&mut quiet).await, [("ADDED", "a/y".to_owned(), created)]);
}
