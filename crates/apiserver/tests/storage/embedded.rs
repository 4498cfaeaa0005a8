//! The embedded store, alone and below the watch cache.

use std::{sync::Arc, time::Duration};

use crate::conformance::{ROOT, Subject, events, object, value_before};
use apiserver::storage::{
    EventKind, Key, ListQuery, Prefix, Revision, Store, StoreError, Ttl,
    cache::{Cache, Extractor, Freshness, Limits},
    embedded::{EmbeddedOptions, EmbeddedStore},
};
use redb::ReadableTableMetadata;

fn options(folder: &tempfile::TempDir) -> EmbeddedOptions {
    EmbeddedOptions::new(folder.path().join("data/store.redb"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conforms() {
    let folder = tempfile::tempdir().unwrap();
    crate::conformance::run_store(Arc::new(EmbeddedStore::open(&options(&folder)).unwrap())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conforms_below_the_cache() {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(EmbeddedStore::open(&options(&folder)).unwrap());
    let cache = Cache::new(store, Prefix::new(ROOT), Extractor::default(), Limits::default());
    crate::conformance::run_decorator(Arc::new(cache)).await;
}

#[tokio::test]
async fn a_restart_goes_on_where_it_ended() {
    let folder = tempfile::tempdir().unwrap();
    let subject = |store| Subject { store: Arc::new(store), folder: "/registry/things".into() };
    let first = subject(EmbeddedStore::open(&options(&folder)).unwrap());
    let a = first.create("a", "1").await;
    let a2 = first.update("a", a, "2").await;
    let ending = first.store.create(&first.key("ending"), object("e"), Some(Ttl::seconds(1))).await.unwrap();
    drop(first);

    let second = subject(EmbeddedStore::open(&options(&folder)).unwrap());
    assert!(second.store.current_revision().await.unwrap() >= ending);
    assert_eq!(second.list(Some(a)).await[0].value, object("1"));
    let mut watch = second.watch(a).await;
    let seen = events(&mut watch, 3).await;
    assert_eq!((seen[0].revision, seen[1].revision), (a2, ending));
    assert_eq!(value_before(&seen[2]), Some(object("e")), "a time to live outlives the process");
    assert!(second.update("a", a2, "3").await > seen[2].revision);
}

#[tokio::test]
async fn a_file_in_use_or_damaged_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let open = EmbeddedStore::open(&options(&folder)).unwrap();
    let refusal = |options: &EmbeddedOptions| EmbeddedStore::open(options).err().map(|error| error.to_string());
    assert!(refusal(&options(&folder)).unwrap().contains("in use by another process"));
    drop(open);

    let garbage = folder.path().join("garbage.redb");
    std::fs::write(&garbage, "not a database".repeat(1000)).unwrap();
    assert!(refusal(&EmbeddedOptions::new(&garbage)).unwrap().contains("garbage.redb"));
    let short = folder.path().join("short.redb");
    let whole = std::fs::read(options(&folder).path).unwrap();
    std::fs::write(&short, &whole[..whole.len() / 2]).unwrap();
    assert!(refusal(&EmbeddedOptions::new(&short)).unwrap().contains("short.redb"));
}

#[tokio::test]
async fn history_is_compacted_by_itself() {
    let folder = tempfile::tempdir().unwrap();
    let options = EmbeddedOptions { history: Duration::from_millis(50), ..options(&folder) };
    let store = EmbeddedStore::open(&options).unwrap();
    let key = Key::from("/registry/things/a");
    let first = store.create(&key, object("1"), None).await.unwrap();
    let second = store.update(&key, first, object("2"), None).await.unwrap();
    let mut last = store.update(&key, second, object("3"), None).await.unwrap();
    let compacted = async {
        while let Ok(watch) = store.watch(&Prefix::new("/registry"), first).await {
            drop(watch);
            last = store.update(&key, last, object("n"), None).await.unwrap();
        }
    };
    tokio::time::timeout(Duration::from_secs(10), compacted).await.expect("compaction runs");
    let refused = store.watch(&Prefix::new("/registry"), Revision(1)).await.err();
    assert!(matches!(refused, Some(StoreError::Compacted { .. })));
    assert_eq!(store.get(&key).await.unwrap().revision, last);
}

const RECORDS: redb::TableDefinition<'static, u64, &'static [u8]> = redb::TableDefinition::new("records");
const DEADLINES: redb::TableDefinition<'static, (u64, &'static str), ()> = redb::TableDefinition::new("deadlines");

/// Does something to the file behind the store's back.
fn tamper(options: &EmbeddedOptions, change: impl FnOnce(&redb::WriteTransaction)) {
    let database = redb::Database::open(&options.path).unwrap();
    let transaction = database.begin_write().unwrap();
    change(&transaction);
    transaction.commit().unwrap();
}

/// Makes records unreadable.
fn damage(options: &EmbeddedOptions, revisions: &[Revision]) {
    tamper(options, |transaction| {
        let mut records = transaction.open_table(RECORDS).unwrap();
        for revision in revisions {
            records.insert(revision.0, &b"damaged"[..]).unwrap();
        }
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_record_is_passed_over() {
    let folder = tempfile::tempdir().unwrap();
    let subject = |store| Subject { store: Arc::new(store), folder: "/registry/things".into() };
    let first = subject(EmbeddedStore::open(&options(&folder)).unwrap());
    let a = first.create("a", "1").await;
    let b = first.create("b", "1").await;
    let ending = first.store.create(&first.key("ending"), object("e"), Some(Ttl::seconds(1))).await.unwrap();
    let c = first.create("c", "1").await;
    let c2 = first.update("c", c, "2").await;
    drop(first);
    damage(&options(&folder), &[b, ending, c]);

    let subject = subject(EmbeddedStore::open(&options(&folder)).unwrap());
    let store = &subject.store;
    let cache = Cache::new(store.clone(), subject.prefix(), Extractor::default(), Limits::default());
    let listed = subject.list(None).await;
    assert_eq!(listed.iter().map(|item| item.revision).collect::<Vec<_>>(), [a, c2]);
    let unreadable = |result: &Result<_, StoreError>| matches!(result, Err(StoreError::Unreadable { .. }));
    let b_key = subject.key("b");
    assert!(unreadable(&store.get(&b_key).await.map(drop)));
    assert_eq!(Store::list(&cache, &ListQuery::all(subject.prefix())).await.unwrap().items, listed);
    assert!(unreadable(&cache.get(&b_key, Freshness::Consistent).await.map(drop)));
    let (refused, d) = tokio::join!(store.update(&b_key, b, object("2"), None), subject.create("d", "1"));
    assert!(unreadable(&refused.map(drop)));
    let mut watch = subject.watch(a).await;
    let seen = events(&mut watch, 3).await;
    let ended = seen.iter().find(|event| event.key == subject.key("ending")).expect("what cannot be read ends too");
    assert_eq!((ended.kind, &ended.previous), (EventKind::Deleted, &None));
    assert!(seen.iter().any(|event| event.revision == c2) && seen.iter().any(|event| event.revision == d));
    store.compact(store.current_revision().await.unwrap()).await.unwrap();
    assert_eq!(subject.list(None).await.len(), 3);
}

#[tokio::test]
async fn deadlines_of_nothing_do_not_keep_the_writer_busy() {
    let folder = tempfile::tempdir().unwrap();
    drop(EmbeddedStore::open(&options(&folder)).unwrap());
    let insert = |transaction: &redb::WriteTransaction| {
        transaction.open_table(DEADLINES).unwrap().insert((1, "/registry/things/never"), ()).unwrap();
    };
    tamper(&options(&folder), insert);
    let subject =
        Subject { store: Arc::new(EmbeddedStore::open(&options(&folder)).unwrap()), folder: "/registry/things".into() };
    let created = subject.store.create(&subject.key("a"), object(""), Some(Ttl::seconds(1))).await.unwrap();
    events(&mut subject.watch(created).await, 1).await;
    drop(subject);
    tamper(&options(&folder), |transaction| {
        assert_eq!(transaction.open_table(DEADLINES).unwrap().len().unwrap(), 0);
    });
}

#[tokio::test]
async fn a_full_store_lets_go_and_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let options = EmbeddedOptions { quota: 8 << 20, history: Duration::ZERO, ..options(&folder) };
    let subject =
        Subject { store: Arc::new(EmbeddedStore::open(&options).unwrap()), folder: "/registry/things".into() };
    let (store, value) = (&subject.store, object(&"x".repeat(100_000)));
    let mut written = Vec::new();
    let full = loop {
        let key = subject.key(&format!("{:04}", written.len()));
        match store.create(&key, value.clone(), None).await {
            Ok(revision) => written.push((key, revision)),
            Err(error) => break error,
        }
        assert!(written.len() < 200, "there is an end to it");
    };
    assert!(matches!(full, StoreError::Full { .. }) && !full.is_fault(), "{full}");
    assert!(full.to_string().starts_with("database space exceeded: "), "{full}");
    let (key, revision) = &written[0];
    assert!(matches!(store.update(key, *revision, value.clone(), None).await, Err(StoreError::Full { .. })));
    assert_eq!(store.get(key).await.unwrap().value, value);
    for (key, revision) in &written {
        store.delete(key, *revision).await.unwrap();
    }
    store.compact(store.current_revision().await.unwrap()).await.unwrap();
    for number in 0..8 {
        let key = subject.key(&format!("again-{number}"));
        store.create(&key, value.clone(), None).await.expect("there is room again");
    }
    assert!(store.size().is_some_and(|size| size >= 8 << 20));
}

#[tokio::test]
async fn what_is_given_back_is_all_that_is_taken_again() {
    let folder = tempfile::tempdir().unwrap();
    let options = EmbeddedOptions { quota: 8 << 20, history: Duration::ZERO, ..options(&folder) };
    let subject =
        Subject { store: Arc::new(EmbeddedStore::open(&options).unwrap()), folder: "/registry/things".into() };
    let (store, value) = (&subject.store, object(&"x".repeat(100_000)));
    let mut last = None;
    for number in 0.. {
        match store.create(&subject.key(&format!("{number:04}")), value.clone(), None).await {
            Ok(revision) => last = Some((subject.key(&format!("{number:04}")), revision)),
            Err(_) => break,
        }
    }
    let (key, revision) = last.unwrap();
    store.delete(&key, revision).await.unwrap();
    store.compact(store.current_revision().await.unwrap()).await.unwrap();
    // Many at once, so that some are written together.
    let keys: Vec<Key> = (0..50).map(|number| subject.key(&format!("again-{number}"))).collect();
    let written = futures::future::join_all(keys.iter().map(|key| store.create(key, value.clone(), None))).await;
    let written = written.into_iter().filter(Result::is_ok).count();
    assert!(written <= 3, "{written} values of the size of one");
}
