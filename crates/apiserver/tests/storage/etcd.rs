//! The store in etcd, alone and below the watch cache, against an etcd of its own.

use std::{
    num::NonZeroUsize,
    sync::Arc,
    time::{Duration, Instant},
};

use crate::conformance::{ROOT, Subject, events, object};
use crate::etcd_server::Etcd;
use apiserver::storage::{
    Item, Key, ListQuery, Prefix, Store, StoreError, Ttl,
    cache::{At, Cache, Extractor, Freshness, Limits, ListRequest},
    etcd::{EtcdOptions, EtcdStore, EtcdTls},
};

async fn store(etcd: &Etcd) -> Arc<EtcdStore> {
    Arc::new(EtcdStore::connect(&EtcdOptions::new(vec![etcd.url()])).await.unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conforms() {
    let etcd = Etcd::start().await;
    crate::conformance::run_store(store(&etcd).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conforms_below_the_cache() {
    let etcd = Etcd::start().await;
    let cache = Cache::new(store(&etcd).await, Prefix::new(ROOT), Extractor::default(), Limits::default());
    crate::conformance::run_decorator(Arc::new(cache)).await;
}

#[tokio::test]
async fn a_dead_endpoint_beside_a_live_one_does_no_harm() {
    let etcd = Etcd::start().await;
    let options = EtcdOptions::new(vec![crate::etcd_server::unused_url(), etcd.url()]);
    let store = EtcdStore::connect(&options).await.unwrap();
    for number in 0..20 {
        let key = Key::from(format!("/registry/things/{number}"));
        store.create(&key, object(""), None).await.unwrap();
        store.get(&key).await.unwrap();
    }
}

#[tokio::test]
async fn tls_with_client_certificates() {
    let etcd = Etcd::start_tls().await;
    let pki = etcd.pki().unwrap();
    let identity = Some((pki.certificate.clone().into_bytes(), pki.key.clone().into_bytes()));
    let tls = EtcdTls { ca: Some(pki.ca.clone().into_bytes()), identity };
    let options = EtcdOptions { tls: Some(tls), ..EtcdOptions::new(vec![etcd.url()]) };
    let store = EtcdStore::connect(&options).await.unwrap();
    let key = Key::from("/registry/things/a");
    let revision = store.create(&key, object("1"), None).await.unwrap();
    assert_eq!(store.get(&key).await.unwrap().revision, revision);

    let stranger = EtcdTls { ca: Some(pki.ca.clone().into_bytes()), identity: None };
    let options = EtcdOptions { tls: Some(stranger), timeout: Duration::from_secs(1), ..options };
    let refused = EtcdStore::connect(&options).await.unwrap().get(&key).await;
    assert!(matches!(refused, Err(StoreError::Unavailable { .. })), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_is_survived() {
    let mut etcd = Etcd::start().await;
    let options = EtcdOptions { timeout: Duration::from_secs(3), ..EtcdOptions::new(vec![etcd.url()]) };
    let store = Arc::new(EtcdStore::connect(&options).await.unwrap());
    let subject = Subject { store: store.clone(), folder: "/registry/things".into() };
    let cache = Cache::new(store.clone(), subject.prefix(), Extractor::default(), Limits::default());
    let a = subject.create("a", "1").await;
    let mut watch = subject.watch(a).await;
    let consistent = ListRequest {
        scope: subject.prefix(),
        selector: None,
        start_after: None,
        limit: None,
        at: At::Newest(Freshness::Consistent),
    };
    assert_eq!(cache.list(&consistent).await.unwrap().revision, a);

    etcd.stop();
    let begin = Instant::now();
    let failed = store.get(&subject.key("a")).await;
    assert!(matches!(failed, Err(StoreError::Unavailable { .. })), "{failed:?}");
    let failed = store.create(&subject.key("b"), object(""), None).await;
    assert!(failed.as_ref().is_err_and(StoreError::is_fault), "{failed:?}");
    let failed = cache.list(&consistent).await.map(drop);
    assert!(matches!(failed, Err(StoreError::Unavailable { .. })), "{failed:?}");
    assert!(begin.elapsed() < Duration::from_secs(11), "nothing hangs");
    let stale = ListRequest { at: At::Newest(Freshness::Any), ..consistent.clone() };
    assert_eq!(cache.list(&stale).await.unwrap().entries.len(), 1);

    etcd.resume().await;
    let key = subject.key("a");
    let again = async {
        loop {
            match store.get(&key).await {
                Err(StoreError::Unavailable { .. }) => {}
                other => return other.unwrap().revision,
            }
        }
    };
    assert_eq!(tokio::time::timeout(Duration::from_secs(20), again).await.unwrap(), a);
    let a2 = subject.update("a", a, "2").await;
    let seen = events(&mut watch, 1).await;
    assert_eq!(seen[0].revision, a2);
    let listed = cache.list(&consistent).await.unwrap();
    assert_eq!((listed.revision, listed.entries.len()), (a2, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_servers_on_one_etcd_see_each_other() {
    let etcd = Etcd::start().await;
    let (here, there) = (store(&etcd).await, store(&etcd).await);
    let here = Subject { store: here, folder: "/registry/things".into() };
    let cache = Cache::new(there, here.prefix(), Extractor::default(), Limits::default());
    let consistent = ListRequest {
        scope: here.prefix(),
        selector: None,
        start_after: None,
        limit: None,
        at: At::Newest(Freshness::Consistent),
    };
    for number in 0..50 {
        let revision = here.create(&number.to_string(), "").await;
        let listed = cache.list(&consistent).await.unwrap();
        assert!(listed.revision >= revision);
        assert_eq!(listed.entries.len(), number + 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_is_no_text_is_passed_over() {
    let etcd = Etcd::start().await;
    let mut raw = etcd_client::Client::connect([etcd.url()], None).await.unwrap().kv_client();
    let store = store(&etcd).await;
    let subject = Subject { store: store.clone(), folder: "/registry/things".into() };
    let a = subject.create("a", "1").await;
    for end in [&b"b\xff"[..], b"b\xff\xfe", b"\xff"] {
        raw.put([b"/registry/things/", end].concat(), r#"{"metadata":{}}"#, None).await.unwrap();
    }
    let c = subject.create("c", "1").await;
    let keys = |items: &[Item]| items.iter().map(|item| item.key.clone()).collect::<Vec<_>>();
    let both = [subject.key("a"), subject.key("c")];
    assert_eq!(keys(&subject.list(None).await), both);
    assert_eq!(keys(&subject.list(Some(c)).await), both);
    let mut query = ListQuery { limit: NonZeroUsize::new(1), ..ListQuery::all(subject.prefix()) };
    let mut paged = Vec::new();
    loop {
        let page = store.list(&query).await.unwrap();
        paged.extend(keys(&page.items));
        if page.remaining == 0 {
            break;
        }
        query.start_after = page.items.last().map(|item| item.key.clone());
        query.revision = Some(page.revision);
    }
    assert_eq!(paged, both);

    let mut from_the_past = subject.watch(a).await;
    let cache = Cache::new(store.clone(), subject.prefix(), Extractor::default(), Limits::default());
    let consistent = ListRequest {
        scope: subject.prefix(),
        selector: None,
        start_after: None,
        limit: None,
        at: At::Newest(Freshness::Consistent),
    };
    assert_eq!(cache.list(&consistent).await.unwrap().entries.len(), 2);
    raw.put(b"/registry/things/\xfe".to_vec(), "late", None).await.unwrap();
    let c2 = subject.update("c", c, "2").await;
    let listed = cache.list(&consistent).await.unwrap();
    assert_eq!((listed.revision, listed.entries.len()), (c2, 2));
    let seen: Vec<_> = events(&mut from_the_past, 2).await.iter().map(|event| event.revision).collect();
    assert_eq!(seen, [c, c2]);
    assert_eq!(store.unreadable().count(), 4, "each is named once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writes_with_a_time_to_live_do_not_wait_for_each_others_time_outs() {
    let mut etcd = Etcd::start().await;
    let options = EtcdOptions { timeout: Duration::from_secs(1), ..EtcdOptions::new(vec![etcd.url()]) };
    let store = EtcdStore::connect(&options).await.unwrap();
    etcd.stop();
    let begin = Instant::now();
    let keys: Vec<_> = (0..10).map(|number| Key::from(format!("/registry/events/{number}"))).collect();
    let writes = keys.iter().map(|key| store.create(key, object(""), Some(Ttl::seconds(60))));
    for written in futures::future::join_all(writes).await {
        assert!(matches!(written, Err(StoreError::Unavailable { .. })), "{written:?}");
    }
    assert!(begin.elapsed() < Duration::from_secs(4), "{:?}", begin.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_etcd_holds_up_nobody_for_long() {
    let etcd = Etcd::start().await;
    let options = EtcdOptions { timeout: Duration::from_secs(1), ..EtcdOptions::new(vec![etcd.url()]) };
    let store = Arc::new(EtcdStore::connect(&options).await.unwrap());
    let subject = Subject { store: store.clone(), folder: "/registry/things".into() };
    let cache = Cache::new(store.clone(), subject.prefix(), Extractor::default(), Limits::default());
    // A busy machine may need more than that second for etcd's first write.
    let patient = Arc::new(EtcdStore::connect(&EtcdOptions::new(vec![etcd.url()])).await.unwrap());
    let a = Subject { store: patient, folder: "/registry/things".into() }.create("a", "1").await;
    let mut watch = subject.watch(a).await;
    let key = subject.key("a");
    cache.get(&key, Freshness::AtLeast(a)).await.unwrap();

    etcd.signal("STOP");
    let begin = Instant::now();
    let reads = futures::future::join_all((0..50).map(|_| cache.get(&key, Freshness::Consistent))).await;
    assert!(reads.iter().all(|read| matches!(read, Err(StoreError::Unavailable { .. }))), "{reads:?}");
    let written = store.create(&subject.key("b"), object(""), None).await;
    assert!(matches!(written, Err(StoreError::Undetermined { .. })), "{written:?}");
    assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
    assert_eq!(cache.get(&key, Freshness::Any).await.unwrap().revision(), a, "what is known is served");

    etcd.signal("CONT");
    let again = async {
        for number in 0.. {
            if let Ok(revision) = store.create(&subject.key(&format!("c{number}")), object(""), None).await {
                return revision;
            }
        }
        unreachable!("numbers do not end")
    };
    let c = tokio::time::timeout(Duration::from_secs(20), again).await.unwrap();
    let seen = async { while watch.next().await.unwrap().unwrap().revision < c {} };
    tokio::time::timeout(Duration::from_secs(20), seen).await.expect("watches go on");
}
