//! Get, list, revisions.

use std::num::NonZeroUsize;

use apiserver::storage::{Item, ListQuery, Revision, StoreError};

use super::{Subject, object};

fn names(subject: &Subject, items: &[Item]) -> Vec<String> {
    let folder = subject.prefix();
    items.iter().map(|item| item.key.as_str().trim_start_matches(folder.as_str()).to_owned()).collect()
}

pub async fn get_of_nothing(subject: Subject) {
    let missing = subject.store.get(&subject.key("a")).await;
    assert!(matches!(missing, Err(StoreError::NotFound { .. })), "{missing:?}");
}

pub async fn list_is_ordered_and_within_its_prefix(subject: Subject) {
    assert!(subject.list(None).await.is_empty());
    for name in ["n2/b", "n1/a", "n10/c", "n1/b", "n1-x/a"] {
        subject.create(name, name).await;
    }
    let neighbour = Subject { folder: format!("{}-neighbour", subject.folder), ..subject.clone() };
    neighbour.create("z", "").await;
    assert_eq!(names(&subject, &subject.list(None).await), ["n1-x/a", "n1/a", "n1/b", "n10/c", "n2/b"]);
    let namespace = Subject { folder: format!("{}/n1", subject.folder), ..subject.clone() };
    assert_eq!(names(&namespace, &namespace.list(None).await), ["a", "b"]);
}

pub async fn list_pages_are_of_one_revision(subject: Subject) {
    for name in ["a", "b", "c", "d", "e"] {
        subject.create(name, name).await;
    }
    let limit = NonZeroUsize::new(2);
    let mut query = ListQuery { limit, ..ListQuery::all(subject.prefix()) };
    let first = subject.store.list(&query).await.expect("list");
    assert_eq!(names(&subject, &first.items), ["a", "b"]);
    assert_eq!(first.remaining, 3);

    let c = subject.store.get(&subject.key("c")).await.expect("get");
    subject.delete("c", c.revision).await;
    let d = subject.store.get(&subject.key("d")).await.expect("get");
    subject.update("d", d.revision, "changed").await;
    subject.create("cc", "").await;

    query.revision = Some(first.revision);
    query.start_after = Some(subject.key("b"));
    let second = subject.store.list(&query).await.expect("list");
    assert_eq!(names(&subject, &second.items), ["c", "d"]);
    assert_eq!(second.items[1].value, object("d"));
    assert_eq!((second.revision, second.remaining), (first.revision, 1));
    query.start_after = Some(subject.key("d"));
    let third = subject.store.list(&query).await.expect("list");
    assert_eq!((names(&subject, &third.items), third.remaining), (vec!["e".to_owned()], 0));
    query.start_after = Some(subject.key("zz"));
    assert!(subject.store.list(&query).await.expect("list").items.is_empty());
}

pub async fn list_as_of_an_earlier_revision(subject: Subject) {
    let a = subject.create("a", "1").await;
    let b = subject.create("b", "1").await;
    let a2 = subject.update("a", a, "2").await;
    let gone = subject.delete("b", b).await;
    let b2 = subject.create("b", "3").await;
    let a3 = subject.update("a", a2, "3").await;
    let expected: [(Revision, &[(&str, &str)]); 6] = [
        (a, &[("a", "1")]),
        (b, &[("a", "1"), ("b", "1")]),
        (a2, &[("a", "2"), ("b", "1")]),
        (gone, &[("a", "2")]),
        (b2, &[("a", "2"), ("b", "3")]),
        (a3, &[("a", "3"), ("b", "3")]),
    ];
    for (revision, content) in expected {
        let items = subject.list(Some(revision)).await;
        let found: Vec<_> = names(&subject, &items).into_iter().zip(items.into_iter().map(|item| item.value)).collect();
        let content: Vec<_> = content.iter().map(|(name, value)| ((*name).to_owned(), object(value))).collect();
        assert_eq!(found, content, "as of {revision}");
    }
}

pub async fn list_of_the_future_is_refused(subject: Subject) {
    let current = subject.create("a", "").await;
    let query = ListQuery { revision: Some(Revision(current.0 + 100_000)), ..ListQuery::all(subject.prefix()) };
    let future = subject.store.list(&query).await;
    assert!(matches!(future, Err(StoreError::FutureRevision { .. })), "{future:?}");
}

pub async fn current_revision_is_that_of_the_latest_write(subject: Subject) {
    let written = subject.create("a", "").await;
    assert_eq!(subject.store.current_revision().await.expect("revision"), written);
    let listed = subject.store.list(&ListQuery::all(subject.prefix())).await.expect("list");
    assert_eq!(listed.revision, written);
}
