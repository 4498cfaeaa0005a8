//! The watch cache over a real store: what clients of the API see of it.

use std::{num::NonZeroUsize, sync::Arc, time::Duration};

use apiserver::storage::{
    Key, Prefix, Revision, Store, StoreError,
    cache::{
        At, Bookmarks, Cache, ChangeKind, Delivery, Extractor, Freshness, Limits, ListBody, ListRequest, Mark,
        Requirement, SelectableField, Selector, Start, WatchRequest, Watcher,
    },
    embedded::{EmbeddedOptions, EmbeddedStore},
};
use bytes::Bytes;
use tokio::time::timeout;

pub const PODS: &str = "/registry/pods";

struct World {
    cache: Cache,
    store: Arc<dyn Store>,
    _folder: tempfile::TempDir,
}

fn world_with(limits: Limits) -> World {
    let folder = tempfile::tempdir().unwrap();
    let options = EmbeddedOptions::new(folder.path().join("store.redb"));
    let store: Arc<dyn Store> = Arc::new(EmbeddedStore::open(&options).unwrap());
    let extractor =
        Extractor::new(vec![SelectableField::at("spec.nodeName"), SelectableField::at("status.phase").or("-")]);
    let cache = Cache::new(store.clone(), Prefix::new(PODS), extractor, limits);
    World { cache, store, _folder: folder }
}

fn world() -> World {
    world_with(Limits::default())
}

pub fn pod(name: &str, app: &str, node: &str) -> Bytes {
    let text = format!(
        r#"{{"apiVersion":"v1","kind":"Pod","metadata":{{"name":"{name}","labels":{{"app":"{app}"}}}},"spec":{{"nodeName":"{node}"}}}}"#
    );
    Bytes::from(text)
}

pub fn key(name: &str) -> Key {
    Key::from(format!("{PODS}/{name}"))
}

pub fn shown(name: &str, app: &str, node: &str, revision: Revision) -> String {
    format!(
        r#"{{"apiVersion":"v1","kind":"Pod","metadata":{{"resourceVersion":"{revision}","name":"{name}","labels":{{"app":"{app}"}}}},"spec":{{"nodeName":"{node}"}}}}"#
    )
}

impl World {
    async fn create(&self, name: &str, app: &str, node: &str) -> Revision {
        self.store.create(&key(name), pod(name, app, node), None).await.unwrap()
    }

    async fn update(&self, name: &str, expected: Revision, app: &str, node: &str) -> Revision {
        self.store.update(&key(name), expected, pod(name, app, node), None).await.unwrap()
    }

    async fn watch(&self, start: Start, selector: Option<Selector>) -> Watcher {
        self.cache.watch(watch_request(start, selector)).await.unwrap()
    }
}

pub fn watch_request(start: Start, selector: Option<Selector>) -> WatchRequest {
    WatchRequest { scope: Prefix::new(PODS), selector, start, bookmarks: Bookmarks::Omit, timeout: None }
}

pub fn list_request(scope: &str, at: At) -> ListRequest {
    ListRequest { scope: Prefix::new(scope), selector: None, start_after: None, limit: None, at }
}

pub fn on_node(node: &'static str) -> Option<Selector> {
    let requirement = Requirement::Field(0, node.to_owned());
    Some(Selector::new(move |entry| entry.field(0) == node).requiring(vec![requirement]))
}

/// The next so many deliveries, as their text on the wire.
pub async fn frames(watcher: &mut Watcher, count: usize) -> Vec<String> {
    let mut frames = Vec::new();
    while frames.len() < count {
        let batch = timeout(Duration::from_secs(10), watcher.next()).await.expect("in time").unwrap().unwrap();
        frames.extend(batch.iter().map(|delivery| match delivery {
            Delivery::Change(change) => String::from_utf8(change.frame().to_vec()).unwrap(),
            Delivery::Bookmark(bookmark) => String::from_utf8(bookmark.frame("v1", "Pod").to_vec()).unwrap(),
        }));
    }
    frames
}

pub fn frame(kind: ChangeKind, object: &str) -> String {
    format!("{{\"type\":\"{}\",\"object\":{object}}}\n", kind.as_str())
}

pub const CONSISTENT: At = At::Newest(Freshness::Consistent);

#[tokio::test]
async fn lists_are_the_stored_bytes_with_the_revision_put_in() {
    let world = world();
    let a = world.create("ns1/a", "x", "n1").await;
    let b = world.create("ns2/b", "y", "n2").await;
    let listing = world.cache.list(&list_request(PODS, CONSISTENT)).await.unwrap();
    assert_eq!(listing.revision, b);
    let body: Vec<u8> = ListBody::new(b"{\"items\":[", Bytes::new(), listing.entries.clone()).flatten().collect();
    let expected = format!(r#"{{"items":[{},{}]}}"#, shown("ns1/a", "x", "n1", a), shown("ns2/b", "y", "n2", b));
    assert_eq!(String::from_utf8(body).unwrap(), expected);
    let entry = &listing.entries[1];
    assert_eq!((entry.label("app"), entry.field(0), entry.field(1)), (Some("y"), "n2", "-"));
    let one = world.cache.list(&list_request("/registry/pods/ns1", CONSISTENT)).await.unwrap();
    assert_eq!(one.entries.len(), 1);
    assert_eq!(
        world.cache.get(&key("ns1/a"), Freshness::Consistent).await.unwrap().json(),
        shown("ns1/a", "x", "n1", a)
    );
}

#[tokio::test]
async fn pages_continue_as_of_their_revision() {
    let world = world();
    let mut revisions = Vec::new();
    for name in ["a", "b", "c", "d", "e"] {
        revisions.push(world.create(name, "x", name).await);
    }
    let mut request = list_request(PODS, CONSISTENT);
    request.limit = NonZeroUsize::new(2);
    let first = world.cache.list(&request).await.unwrap();
    assert_eq!((first.entries.len(), first.remaining, first.next.clone()), (2, Some(3), Some(key("b"))));
    world.store.delete(&key("c"), revisions[2]).await.unwrap();
    world.update("d", revisions[3], "x", "moved").await;
    world.create("cc", "x", "new").await;

    request.start_after = first.next;
    request.at = At::Exactly(first.revision);
    let second = world.cache.list(&request).await.unwrap();
    let names: Vec<_> = second.entries.iter().map(|entry| entry.field(0)).collect();
    assert_eq!((names, second.remaining), (vec!["c", "d"], Some(1)));
    // A cache without history asks the store, with the same result.
    let forgetful =
        Cache::new(world.store.clone(), Prefix::new(PODS), Extractor::default(), Limits { changes: 0, bytes: 0 });
    let again = forgetful.list(&request).await.unwrap();
    let keys = |entries: &[Arc<apiserver::storage::cache::Entry>]| -> Vec<_> {
        entries.iter().map(|e| e.key().clone()).collect()
    };
    assert_eq!(keys(&again.entries), keys(&second.entries));
    assert_eq!((again.next, again.remaining), (second.next, second.remaining));
}

#[tokio::test]
async fn a_watch_with_a_selector_tells_who_enters_and_leaves() {
    let world = world();
    let a = world.create("a", "x", "n1").await;
    let mut watcher = world.watch(Start::After(a), on_node("n2")).await;
    let a2 = world.update("a", a, "x", "n2").await;
    let a3 = world.update("a", a2, "y", "n2").await;
    let a4 = world.update("a", a3, "y", "n3").await;
    world.store.delete(&key("a"), a4).await.unwrap();
    let b = world.create("b", "x", "n2").await;
    let gone = world.store.delete(&key("b"), b).await.unwrap();
    let expected = [
        frame(ChangeKind::Added, &shown("a", "x", "n2", a2)),
        frame(ChangeKind::Modified, &shown("a", "y", "n2", a3)),
        frame(ChangeKind::Deleted, &shown("a", "y", "n2", a4)),
        frame(ChangeKind::Added, &shown("b", "x", "n2", b)),
        frame(ChangeKind::Deleted, &shown("b", "x", "n2", gone)),
    ];
    assert_eq!(frames(&mut watcher, 5).await, expected);
}

#[tokio::test]
async fn initial_events_end_with_a_bookmark() {
    let world = world();
    let a = world.create("a", "x", "n1").await;
    let b = world.create("b", "x", "n2").await;
    let mut watcher = world.watch(Start::StateThenBookmark(Freshness::Consistent), on_node("n1")).await;
    let c = world.create("c", "x", "n1").await;
    let seen = frames(&mut watcher, 3).await;
    assert_eq!(seen[0], frame(ChangeKind::Added, &shown("a", "x", "n1", a)));
    let bookmark = format!(
        "{{\"type\":\"BOOKMARK\",\"object\":{{\"kind\":\"Pod\",\"apiVersion\":\"v1\",\"metadata\":{{\"resourceVersion\":\"{b}\",\"annotations\":{{\"k8s.io/initial-events-end\":\"true\"}}}}}}}}\n"
    );
    assert_eq!(seen[1], bookmark);
    assert_eq!(seen[2], frame(ChangeKind::Added, &shown("c", "x", "n1", c)));
}

#[tokio::test]
async fn watchers_share_one_frame() {
    let world = world();
    let a = world.create("a", "x", "n1").await;
    let mut first = world.watch(Start::After(a), None).await;
    let mut second = world.watch(Start::After(a), on_node("n1")).await;
    world.update("a", a, "y", "n1").await;
    let (mut pointers, mut translations) = (Vec::new(), 0);
    for watcher in [&mut first, &mut second] {
        let batch = watcher.next().await.unwrap().unwrap();
        let Delivery::Change(change) = &batch[0] else { panic!("{batch:?}") };
        let translated = change.translated(|line| {
            translations += 1;
            Ok::<_, StoreError>(Bytes::copy_from_slice(&line.to_ascii_uppercase()))
        });
        let translated = translated.unwrap();
        assert!(translated.starts_with(b"{\"TYPE\":\"MODIFIED\""));
        pointers.push((change.frame().as_ptr(), translated.as_ptr()));
    }
    assert_eq!((pointers[0], translations), (pointers[1], 1));
}

#[tokio::test]
async fn a_watcher_that_is_too_far_behind_is_told() {
    let world = world_with(Limits { changes: 10, bytes: 1 << 20 });
    let mut last = world.create("a", "x", "n1").await;
    let mut watcher = world.watch(Start::After(last), None).await;
    let first = last;
    for _ in 0..20 {
        last = world.update("a", last, "x", "n1").await;
    }
    world.cache.list(&list_request(PODS, CONSISTENT)).await.unwrap();
    assert!(matches!(watcher.next().await, Some(Err(StoreError::Compacted { .. }))));
    assert!(watcher.next().await.is_none());
    let late = world.cache.watch(watch_request(Start::After(first), None)).await;
    assert!(matches!(late.err(), Some(StoreError::Compacted { .. })));
}

#[tokio::test]
async fn bookmarks_come_by_the_minute_and_before_the_end() {
    let world = world();
    let a = world.create("a", "x", "n1").await;
    let mut request = watch_request(Start::After(a), None);
    request.bookmarks = Bookmarks::Send;
    request.timeout = Some(Duration::from_secs(90));
    let mut watcher = world.cache.watch(request).await.unwrap();
    tokio::time::pause();
    let begin = tokio::time::Instant::now();
    let mut at = Vec::new();
    while let Some(batch) = watcher.next().await {
        for delivery in batch.unwrap() {
            let Delivery::Bookmark(bookmark) = delivery else { panic!("{delivery:?}") };
            assert_eq!((bookmark.revision, bookmark.mark), (a, Mark::Progress));
            at.push(begin.elapsed().as_secs_f64().round());
        }
    }
    assert_eq!(at, [60.0, 88.0]);
    assert_eq!(begin.elapsed().as_secs_f64().round(), 90.0);
}

#[tokio::test]
async fn a_revision_that_does_not_come_is_refused_in_time() {
    let world = world();
    let a = world.create("a", "x", "n1").await;
    let future = Revision(a.0 + 1000);
    let at = At::Newest(Freshness::AtLeast(future));
    let refused = world.cache.list(&list_request(PODS, at)).await.err();
    assert!(
        matches!(refused, Some(StoreError::FutureRevision { requested, .. }) if requested == future),
        "{refused:?}"
    );
}

#[tokio::test]
async fn a_value_that_is_no_object_keeps_nobody_from_the_others() {
    let world = world();
    let broken = world.store.create(&key("broken"), Bytes::from_static(b"[1]"), None).await.unwrap();
    let a = world.create("a", "x", "n1").await;
    let listed = async || {
        let listing = world.cache.list(&list_request(PODS, CONSISTENT)).await.unwrap();
        listing.entries.iter().map(|entry| (entry.key().clone(), entry.revision())).collect::<Vec<_>>()
    };
    assert_eq!(listed().await, [(key("a"), a)]);
    for freshness in [Freshness::Consistent, Freshness::Any] {
        let refused = world.cache.get(&key("broken"), freshness).await.err();
        assert!(matches!(&refused, Some(StoreError::Unreadable { .. })), "{refused:?}");
        assert!(refused.unwrap().to_string().contains("/registry/pods/broken"));
    }
    assert_eq!(world.store.unreadable().count(), 1, "it is named once, not at every read");

    let mut watcher = world.watch(Start::After(a), None).await;
    let mended = world.update("broken", broken, "x", "n1").await;
    let damaged = world.store.update(&key("broken"), mended, Bytes::from_static(b"{"), None).await.unwrap();
    assert_eq!(listed().await, [(key("a"), a), (key("broken"), mended)], "it is shown as it was last readable");
    let refused = world.cache.get(&key("broken"), Freshness::Consistent).await.err();
    assert!(matches!(refused, Some(StoreError::Unreadable { .. })), "{refused:?}");
    let gone = world.store.delete(&key("broken"), damaged).await.unwrap();
    let expected = [
        frame(ChangeKind::Added, &shown("broken", "x", "n1", mended)),
        frame(ChangeKind::Deleted, &shown("broken", "x", "n1", gone)),
    ];
    assert_eq!(frames(&mut watcher, 2).await, expected);
    assert_eq!(listed().await, [(key("a"), a)]);
    let refused = world.cache.get(&key("broken"), Freshness::Consistent).await.err();
    assert!(matches!(refused, Some(StoreError::NotFound { .. })), "{refused:?}");
    assert_eq!(world.store.unreadable().count(), 2);
}

#[tokio::test]
async fn pages_pass_over_what_is_no_object() {
    let world = world();
    for (name, value) in [("a", None), ("b", Some("[1]")), ("c", Some("")), ("d", None)] {
        let value = value.map_or_else(|| pod(name, "x", "n1"), Bytes::from);
        world.store.create(&key(name), value, None).await.unwrap();
    }
    let whole = world.cache.list(&list_request(PODS, CONSISTENT)).await.unwrap();
    let forgetful =
        Cache::new(world.store.clone(), Prefix::new(PODS), Extractor::default(), Limits { changes: 0, bytes: 0 });
    world.create("later", "x", "n1").await;
    let mut request = list_request(PODS, At::Exactly(whole.revision));
    request.limit = NonZeroUsize::new(1);
    for cache in [&world.cache, &forgetful] {
        let mut keys = Vec::new();
        request.start_after = None;
        loop {
            let page = cache.list(&request).await.unwrap();
            keys.extend(page.entries.iter().map(|entry| entry.key().clone()));
            request.start_after = page.next;
            if request.start_after.is_none() {
                break;
            }
        }
        assert_eq!(keys, [key("a"), key("d")]);
    }
}
