//! The store in etcd, alone and below the watch cache, against an etcd of its own.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use crate::conformance::{ROOT, Subject, events, object};
use crate::etcd_server::Etcd;
use apiserver::storage::{
    Key, Prefix, Store, StoreError,
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
