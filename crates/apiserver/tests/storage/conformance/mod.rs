//! What every [`Store`] does, whichever it is: the suite that the embedded store, etcd and the watch cache pass.
//!
//! Each case takes a store and a folder of its own, so that cases can share a store.

mod reads;
mod watches;
mod writes;

use std::{future::Future, pin::Pin, sync::Arc, time::Duration};

use apiserver::storage::{Event, Item, Key, ListQuery, Prefix, Revision, Store, Ttl, Watch};
use bytes::Bytes;
use tokio::time::timeout;

/// A store under test, and the folder that belongs to one case.
#[derive(Clone)]
pub struct Subject {
    pub store: Arc<dyn Store>,
    pub folder: String,
}

type Case = fn(Subject) -> Pin<Box<dyn Future<Output = ()> + Send>>;

macro_rules! cases {
    ($($module:ident::$name:ident),* $(,)?) => {
        &[$((stringify!($name), |subject| Box::pin($module::$name(subject)))),*]
    };
}

/// All cases, by name.
const CASES: &[(&str, Case)] = cases![
    writes::create_then_get,
    writes::create_refuses_what_exists,
    writes::update_replaces_the_expected_version_only,
    writes::delete_removes_the_expected_version_only,
    writes::revisions_only_grow,
    writes::one_of_many_concurrent_updates_wins,
    writes::a_key_created_again_is_new,
    writes::values_end_with_their_time,
    writes::a_large_value_comes_back,
    reads::get_of_nothing,
    reads::list_is_ordered_and_within_its_prefix,
    reads::list_pages_are_of_one_revision,
    reads::list_as_of_an_earlier_revision,
    reads::list_of_the_future_is_refused,
    reads::current_revision_is_that_of_the_latest_write,
    watches::watch_tells_all_changes_in_order,
    watches::watch_from_the_past_and_on,
    watches::watch_carries_previous_values,
    watches::watch_tells_progress_when_asked,
    watches::watch_sees_every_concurrent_write_once,
    watches::compaction_refuses_the_past_and_keeps_the_present,
];

/// The cases for stores themselves, not for decorators that remember more than the store below.
const STORE_CASES: &[(&str, Case)] = cases![watches::compacted_history_is_gone];

/// Runs the cases for a store.
pub async fn run_store(store: Arc<dyn Store>) {
    run(store.clone(), CASES).await;
    run(store, STORE_CASES).await;
}

/// Runs the cases for a decorator of a store.
pub async fn run_decorator(store: Arc<dyn Store>) {
    run(store, CASES).await;
}

/// Where the keys of the suite lie.
pub const ROOT: &str = "/registry/conformance/";

/// Runs every case, and reports all that fail.
async fn run(store: Arc<dyn Store>, cases: &[(&str, Case)]) {
    let mut failed = Vec::new();
    for (name, case) in cases {
        let subject = Subject { store: store.clone(), folder: format!("{ROOT}{name}") };
        if let Err(error) = tokio::spawn(case(subject)).await {
            failed.push(format!("{name}: {error}"));
        }
    }
    assert!(failed.is_empty(), "{failed:#?}");
}

impl Subject {
    pub fn key(&self, name: &str) -> Key {
        Key::from(format!("{}/{name}", self.folder))
    }

    pub fn prefix(&self) -> Prefix {
        Prefix::new(&self.folder)
    }

    pub async fn create(&self, name: &str, value: &str) -> Revision {
        self.store.create(&self.key(name), object(value), None).await.expect("create")
    }

    pub async fn update(&self, name: &str, expected: Revision, value: &str) -> Revision {
        self.store.update(&self.key(name), expected, object(value), None).await.expect("update")
    }

    pub async fn delete(&self, name: &str, expected: Revision) -> Revision {
        self.store.delete(&self.key(name), expected).await.expect("delete")
    }

    pub async fn list(&self, revision: Option<Revision>) -> Vec<Item> {
        let query = ListQuery { revision, ..ListQuery::all(self.prefix()) };
        self.store.list(&query).await.expect("list").items
    }

    pub async fn watch(&self, after: Revision) -> Watch {
        self.store.watch(&self.prefix(), after).await.expect("watch")
    }
}

/// A value as the API server stores it.
pub fn object(text: &str) -> Bytes {
    Bytes::from(format!(r#"{{"metadata":{{"name":"x"}},"data":"{text}"}}"#))
}

/// What the key of a change held before.
pub fn value_before(event: &Event) -> Option<Bytes> {
    let before = event.previous.as_ref()?;
    assert!(before.key == event.key && before.created <= before.revision && before.revision < event.revision);
    Some(before.value.clone())
}

/// A short life.
pub fn moment() -> Option<Ttl> {
    Some(Ttl::seconds(1))
}

/// The next so many events of a watch.
pub async fn events(watch: &mut Watch, count: usize) -> Vec<Event> {
    let collect = async {
        let mut events = Vec::new();
        while events.len() < count {
            let batch = watch.next().await.expect("the watch goes on").expect("the watch works");
            let last = batch.events.last().map_or(batch.revision, |event| event.revision);
            assert!(last <= batch.revision, "a batch reaches as far as its events");
            events.extend(batch.events);
        }
        events
    };
    let events: Vec<Event> = timeout(Duration::from_secs(20), collect).await.expect("events come in time");
    assert_eq!(events.len(), count);
    events
}
