//! Watch and compaction.

use std::collections::BTreeSet;

use apiserver::storage::{EventKind, ListQuery, Revision, StoreError};
use futures::future::join_all;

use super::{Subject, events, object, value_before};

pub async fn watch_tells_all_changes_in_order(subject: Subject) {
    let start = subject.store.current_revision().await.expect("revision");
    let mut watch = subject.watch(start).await;
    let neighbour = Subject { folder: format!("{}-neighbour", subject.folder), ..subject.clone() };
    let a = subject.create("a", "1").await;
    neighbour.create("a", "").await;
    let a2 = subject.update("a", a, "2").await;
    let gone = subject.delete("a", a2).await;
    let again = subject.create("a", "3").await;
    let seen: Vec<_> = events(&mut watch, 4).await.into_iter().map(|e| (e.revision, e.kind, e.created)).collect();
    let expected = [
        (a, EventKind::Created, a),
        (a2, EventKind::Modified, a),
        (gone, EventKind::Deleted, a),
        (again, EventKind::Created, again),
    ];
    assert_eq!(seen, expected);
}

pub async fn watch_from_the_past_and_on(subject: Subject) {
    let mut last = subject.create("a", "start").await;
    let start = last;
    // More than a feed keeps in memory.
    let padding = "x".repeat(10_000);
    for number in 0..200 {
        last = subject.update("a", last, &format!("{number}{padding}")).await;
    }
    let mut watch = subject.watch(start).await;
    let past = events(&mut watch, 200).await;
    assert!(past.is_sorted_by_key(|event| event.revision));
    assert_eq!(past[0].value, Some(object(&format!("0{padding}"))));
    assert_eq!(past[199].revision, last);
    let next = subject.update("a", last, "next").await;
    assert_eq!(events(&mut watch, 1).await[0].revision, next);
}

pub async fn watch_carries_previous_values(subject: Subject) {
    let a = subject.create("a", "1").await;
    let a2 = subject.update("a", a, "2").await;
    subject.delete("a", a2).await;
    subject.create("a", "3").await;
    let mut watch = subject.watch(Revision(a.0 - 1)).await;
    let seen = events(&mut watch, 4).await;
    let values: Vec<_> = seen.into_iter().map(|event| (value_before(&event), event.value)).collect();
    let (one, two, three) = (Some(object("1")), Some(object("2")), Some(object("3")));
    assert_eq!(values, [(None, one.clone()), (one, two.clone()), (two, None), (None, three)]);
}

pub async fn watch_tells_progress_when_asked(subject: Subject) {
    let start = subject.store.current_revision().await.expect("revision");
    let mut watch = subject.watch(start).await;
    let neighbour = Subject { folder: format!("{}-neighbour", subject.folder), ..subject.clone() };
    let elsewhere = neighbour.create("a", "").await;
    watch.progress().send(elsewhere);
    let wait = async {
        loop {
            let batch = watch.next().await.expect("goes on").expect("works");
            assert!(batch.events.is_empty());
            if batch.revision >= elsewhere {
                break;
            }
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(10), wait).await.expect("progress is told");
}

pub async fn watch_sees_every_concurrent_write_once(subject: Subject) {
    let start = subject.store.current_revision().await.expect("revision");
    let mut watches = Vec::new();
    for _ in 0..3 {
        watches.push(subject.watch(start).await);
    }
    let writers = (0..8).map(|writer| {
        let subject = subject.clone();
        async move {
            for number in 0..50 {
                subject.create(&format!("{writer}-{number}"), "").await;
            }
        }
    });
    join_all(writers).await;
    for watch in &mut watches {
        let seen = events(watch, 400).await;
        assert!(seen.is_sorted_by_key(|event| event.revision));
        assert_eq!(seen.iter().map(|event| &event.key).collect::<BTreeSet<_>>().len(), 400);
    }
}

/// The last case: it takes away the history of all others.
pub async fn compaction_refuses_the_past_and_keeps_the_present(subject: Subject) {
    let a = subject.create("a", "1").await;
    let b = subject.create("b", "1").await;
    let gone = subject.delete("b", b).await;
    let a2 = subject.update("a", a, "2").await;
    let future = subject.store.compact(Revision(a2.0 + 100_000)).await;
    assert!(matches!(future, Err(StoreError::FutureRevision { .. })), "{future:?}");
    subject.store.compact(gone).await.expect("compact");
    subject.store.compact(a).await.expect("compacting less changes nothing");

    let items = subject.list(Some(gone)).await;
    assert_eq!(items.iter().map(|item| &item.value).collect::<Vec<_>>(), [&object("1")]);
    assert_eq!(subject.list(None).await[0].value, object("2"));
    let mut watch = subject.watch(gone).await;
    let event = events(&mut watch, 1).await.remove(0);
    assert_eq!((event.revision, value_before(&event)), (a2, Some(object("1"))));
}

/// Not for decorators that remember more than the store.
pub async fn compacted_history_is_gone(subject: Subject) {
    let a = subject.create("a", "1").await;
    let a2 = subject.update("a", a, "2").await;
    let a3 = subject.update("a", a2, "3").await;
    subject.store.compact(a3).await.expect("compact");
    let query = ListQuery { revision: Some(a), ..ListQuery::all(subject.prefix()) };
    let past = subject.store.list(&query).await;
    assert!(matches!(past, Err(StoreError::Compacted { .. })), "{past:?}");
    let first = match subject.store.watch(&subject.prefix(), a).await {
        Ok(mut watch) => watch.next().await.expect("an answer"),
        Err(error) => Err(error),
    };
    match first {
        Err(StoreError::Compacted { .. }) => {}
        Ok(batch) => assert_eq!(batch.events[0].revision, a2, "what is remembered longer is complete"),
        other => panic!("{other:?}"),
    }
}
