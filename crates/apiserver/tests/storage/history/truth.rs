//! What really happened, as the store tells it, and whether a watcher was told that.

use std::collections::BTreeMap;

use apiserver::storage::{Event, Prefix, Revision, Store};
use serde_json::Value;

use super::{watcher::Seen, wire::Told};

/// What is written.
pub const FOLDER: &str = "/registry/configmaps";

/// What a watcher selects by.
#[derive(Clone, Copy, Debug)]
pub enum Selection {
    All,
    Namespace(&'static str),
    /// The label `app` has this value.
    Label(&'static str),
    /// The label `app` has another value, or there is none.
    NotLabel(&'static str),
    /// In any namespace.
    Name(&'static str),
}

impl Selection {
    /// The collection, with the beginning of a query.
    pub fn path(self) -> String {
        let (collection, query) = match self {
            Self::Namespace(namespace) => (format!("/api/v1/namespaces/{namespace}/configmaps"), String::new()),
            Self::All => ("/api/v1/configmaps".to_owned(), String::new()),
            Self::Label(app) => ("/api/v1/configmaps".to_owned(), format!("labelSelector=app%3D{app}")),
            Self::NotLabel(app) => ("/api/v1/configmaps".to_owned(), format!("labelSelector=app%21%3D{app}")),
            Self::Name(name) => ("/api/v1/configmaps".to_owned(), format!("fieldSelector=metadata.name%3D{name}")),
        };
        format!("{collection}?{query}")
    }

    /// Whether an object of this key is selected.
    pub fn selects(self, key: &str, app: Option<&str>) -> bool {
        let (namespace, name) = key.split_once('/').unwrap();
        match self {
            Self::All => true,
            Self::Namespace(own) => namespace == own,
            Self::Label(own) => app == Some(own),
            Self::NotLabel(own) => app != Some(own),
            Self::Name(own) => name == own,
        }
    }
}

/// A change: of which object, when, and what the label `app` says afterwards, if it is there.
pub struct Change {
    key: String,
    revision: u64,
    after: Option<Option<String>>,
}

impl Change {
    fn of(event: &Event) -> Self {
        let app = |value: &[u8]| {
            let object: Value = serde_json::from_slice(value).unwrap();
            object["metadata"]["labels"]["app"].as_str().map(str::to_owned)
        };
        let key = event.key.as_str().strip_prefix(FOLDER).unwrap().trim_start_matches('/').to_owned();
        Self { key, revision: event.revision.0, after: event.value.as_ref().map(|value| app(value)) }
    }
}

/// All that ever happened to what is written, in its order.
pub async fn history(store: &dyn Store) -> Vec<Change> {
    let now = store.current_revision().await.unwrap();
    let mut watch = store.watch(&Prefix::new(FOLDER), Revision(1)).await.unwrap();
    watch.progress().send(now);
    let mut changes = Vec::new();
    let mut reached = Revision::ZERO;
    while reached < now {
        let batch = watch.next().await.unwrap().unwrap();
        changes.extend(batch.events.iter().map(Change::of));
        reached = batch.revision;
    }
    changes
}

/// What a watcher of a selection is to be told of a history, and what is there after each of its changes.
struct Expected {
    events: Vec<Told>,
    /// By revision, from which on it is so.
    states: BTreeMap<u64, BTreeMap<String, u64>>,
}

impl Expected {
    fn of(selection: Selection, history: &[Change]) -> Self {
        let mut state = BTreeMap::new();
        let mut expected = Self { events: Vec::new(), states: BTreeMap::from([(0, BTreeMap::new())]) };
        for Change { key, revision, after } in history {
            let selected = after.as_ref().is_some_and(|app| selection.selects(key, app.as_deref()));
            let before = if selected { state.insert(key.clone(), *revision) } else { state.remove(key) };
            let kind = match (before.is_some(), selected) {
                (false, true) => "ADDED",
                (true, true) => "MODIFIED",
                (true, false) => "DELETED",
                (false, false) => continue,
            };
            let (kind, key) = (kind.to_owned(), key.clone());
            expected.events.push(Told { kind, key, revision: *revision, ends_initial: false });
            expected.states.insert(*revision, state.clone());
        }
        expected
    }

    fn state(&self, revision: u64) -> &BTreeMap<String, u64> {
        self.states.range(..=revision).next_back().unwrap().1
    }

    /// The first event after a revision.
    fn after(&self, revision: u64) -> Option<&Told> {
        self.events.get(self.events.partition_point(|event| event.revision <= revision))
    }
}

/// Checks that what a watcher saw is a gapless, ordered part of the history, from where it began to its end. Returns how
/// many events it was told.
pub fn check(who: &str, selection: Selection, seen: &[Seen], history: &[Change], end: u64) -> usize {
    let expected = Expected::of(selection, history);
    let mut position = 0;
    let mut events = 0;
    for seen in seen {
        match seen {
            Seen::State { revision, objects } => {
                assert!(*revision >= position, "{who}: time goes back from {position} to {revision}");
                assert_eq!(objects, expected.state(*revision), "{who}: what is there at {revision}");
                position = *revision;
            }
            Seen::Event(told) => {
                assert_eq!(Some(told), expected.after(position), "{who}: after {position}");
                position = told.revision;
                events += 1;
            }
            Seen::Bookmark(revision) => {
                assert!(*revision >= position, "{who}: a bookmark at {revision} after {position}");
                if let Some(missed) = expected.after(position) {
                    assert!(
                        missed.revision > *revision,
                        "{who}: {missed:?} is missing before the bookmark at {revision}"
                    );
                }
                position = *revision;
            }
        }
    }
    assert!(position >= end, "{who}: told until {position}, not until {end}");
    events
}

#[test]
fn gaps_repetitions_and_disorder_are_noticed() {
    let change = |key: &str, revision, app: Option<&str>| Change {
        key: format!("default/{key}"),
        revision,
        after: app.map(|app| Some(app.to_owned())),
    };
    let history =
        [change("a", 2, Some("x")), change("b", 3, Some("y")), change("a", 4, Some("y")), change("b", 5, None)];
    let event = |kind: &str, key: &str, revision| {
        Seen::Event(Told { kind: kind.to_owned(), key: format!("default/{key}"), revision, ends_initial: false })
    };
    let state = |revision, keys: &[(&str, u64)]| {
        let objects = keys.iter().map(|(key, revision)| (format!("default/{key}"), *revision)).collect();
        Seen::State { revision, objects }
    };
    let passes =
        |selection, seen: &[Seen]| std::panic::catch_unwind(|| check("a test", selection, seen, &history, 4)).is_ok();
    let (all, x) = (Selection::All, Selection::Label("x"));
    let begin = || state(1, &[]);
    let [first, second, third] = [("ADDED", "a", 2), ("ADDED", "b", 3), ("MODIFIED", "a", 4)];
    let event = |(kind, key, revision)| event(kind, key, revision);
    assert!(passes(all, &[begin(), event(first), event(second), event(third)]));
    assert!(passes(all, &[begin(), event(first), state(3, &[("a", 2), ("b", 3)]), event(third)]));
    assert!(passes(x, &[begin(), event(first), Seen::Bookmark(3), event(("DELETED", "a", 4))]));
    assert!(!passes(all, &[begin(), event(first), event(third)]), "a gap");
    assert!(!passes(all, &[begin(), event(first), event(first), event(second), event(third)]), "a repetition");
    assert!(!passes(all, &[begin(), event(second), event(first), event(third)]), "disorder");
    assert!(!passes(all, &[begin(), event(first), event(second)]), "the end is missing");
    assert!(!passes(all, &[begin(), Seen::Bookmark(4)]), "a bookmark that promises too much");
    assert!(!passes(all, &[state(4, &[("a", 2), ("b", 3)])]), "what is there is old");
}
