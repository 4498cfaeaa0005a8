//! Create, update, delete, time to live.

use std::collections::HashSet;

use apiserver::storage::{EventKind, Revision, StoreError};
use futures::future::join_all;

use super::{Subject, events, moment, object, value_before};

pub async fn create_then_get(subject: Subject) {
    let revision = subject.create("a", "1").await;
    let item = subject.store.get(&subject.key("a")).await.expect("get");
    assert_eq!(item.key, subject.key("a"));
    assert_eq!(item.value, object("1"));
    assert_eq!((item.revision, item.created), (revision, revision));
}

pub async fn create_refuses_what_exists(subject: Subject) {
    let revision = subject.create("a", "1").await;
    let again = subject.store.create(&subject.key("a"), object("2"), None).await;
    assert!(matches!(again, Err(StoreError::Exists { .. })), "{again:?}");
    let item = subject.store.get(&subject.key("a")).await.expect("get");
    assert_eq!((item.revision, item.value), (revision, object("1")));
}

pub async fn update_replaces_the_expected_version_only(subject: Subject) {
    let key = subject.key("a");
    let missing = subject.store.update(&key, Revision(7), object("1"), None).await;
    assert!(matches!(missing, Err(StoreError::NotFound { .. })), "{missing:?}");
    let missing = subject.store.update(&key, Revision::ZERO, object("1"), None).await;
    assert!(matches!(missing, Err(StoreError::NotFound { .. })), "{missing:?}");
    let created = subject.create("a", "1").await;
    let updated = subject.update("a", created, "2").await;
    match subject.store.update(&key, created, object("3"), None).await {
        Err(StoreError::Conflict { expected, current }) => {
            assert_eq!(expected, created);
            assert_eq!((current.revision, current.created, current.value), (updated, created, object("2")));
        }
        other => panic!("{other:?}"),
    }
    let item = subject.store.get(&key).await.expect("get");
    assert_eq!((item.revision, item.created, item.value), (updated, created, object("2")));
}

pub async fn delete_removes_the_expected_version_only(subject: Subject) {
    let key = subject.key("a");
    let created = subject.create("a", "1").await;
    let updated = subject.update("a", created, "2").await;
    let stale = subject.store.delete(&key, created).await;
    assert!(matches!(&stale, Err(StoreError::Conflict { current, .. }) if current.revision == updated), "{stale:?}");
    let deleted = subject.delete("a", updated).await;
    assert!(deleted > updated);
    let gone = subject.store.get(&key).await;
    assert!(matches!(gone, Err(StoreError::NotFound { .. })), "{gone:?}");
    let again = subject.store.delete(&key, updated).await;
    assert!(matches!(again, Err(StoreError::NotFound { .. })), "{again:?}");
}

pub async fn revisions_only_grow(subject: Subject) {
    let mut seen = subject.create("a", "0").await;
    for round in 0..10 {
        let revision = subject.update("a", seen, &round.to_string()).await;
        assert!(revision > seen);
        seen = revision;
    }
    assert!(subject.create("b", "").await > seen);
}

pub async fn one_of_many_concurrent_updates_wins(subject: Subject) {
    let created = subject.create("a", "start").await;
    let attempts = (0..20).map(|number| {
        let (subject, key) = (subject.clone(), subject.key("a"));
        async move { subject.store.update(&key, created, object(&number.to_string()), None).await }
    });
    let outcomes = join_all(attempts).await;
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1);
    assert!(outcomes.iter().all(|outcome| matches!(outcome, Ok(_) | Err(StoreError::Conflict { .. }))), "{outcomes:?}");
    let creations = (0..20).map(|number| {
        let (subject, key) = (subject.clone(), subject.key(&format!("b{number}")));
        async move { subject.store.create(&key, object(""), None).await.expect("create") }
    });
    let revisions: HashSet<Revision> = join_all(creations).await.into_iter().collect();
    assert_eq!(revisions.len(), 20, "every write has a revision of its own");
}

pub async fn a_key_created_again_is_new(subject: Subject) {
    let created = subject.create("a", "1").await;
    subject.delete("a", created).await;
    let again = subject.create("a", "2").await;
    let item = subject.store.get(&subject.key("a")).await.expect("get");
    assert_eq!((item.revision, item.created), (again, again));
}

pub async fn values_end_with_their_time(subject: Subject) {
    let start = subject.store.current_revision().await.expect("revision");
    let mut watch = subject.watch(start).await;
    let ending = subject.store.create(&subject.key("ending"), object("e"), moment()).await.expect("create");
    let kept = subject.store.create(&subject.key("kept"), object("k"), moment()).await.expect("create");
    subject.update("kept", kept, "for ever").await;
    let seen = events(&mut watch, 4).await;
    assert_eq!((&seen[3].key, seen[3].kind), (&subject.key("ending"), EventKind::Deleted));
    assert_eq!(value_before(&seen[3]), Some(object("e")));
    assert!(seen[3].revision > ending);
    assert_eq!(subject.list(None).await.len(), 1);
}

pub async fn a_large_value_comes_back(subject: Subject) {
    let text = "x".repeat(1 << 20);
    for name in ["a", "b", "c", "d", "e", "f"] {
        subject.create(name, &text).await;
    }
    assert!(subject.list(None).await.iter().all(|item| item.value == object(&text)));
    let huge = subject.store.create(&subject.key("huge"), object(&"x".repeat(3 << 20)), None).await;
    assert!(matches!(huge, Err(StoreError::TooLarge { .. })), "{huge:?}");
}
