//! The local copy.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt,
    ops::Bound,
    sync::Arc,
};

use kube::Resource;
use parking_lot::RwLock;

use super::Event;

/// Namespace (empty at cluster scope) and name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectKey {
    /// Empty for cluster-scoped objects.
    pub namespace: String,
    /// Name.
    pub name: String,
}

impl ObjectKey {
    /// A key from its parts.
    pub fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }

    /// The key of an object.
    pub fn of<T: Resource>(object: &T) -> Self {
        let meta = object.meta();
        Self::new(meta.namespace.clone().unwrap_or_default(), meta.name.clone().unwrap_or_default())
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.namespace.is_empty() { f.write_str(&self.name) } else { write!(f, "{}/{}", self.namespace, self.name) }
    }
}

/// The values of an object under an index.
pub type IndexFn<T> = fn(&T) -> Vec<String>;

/// What one object changes.
pub(super) type Changes<T> = [Option<Event<T>>; 2];

/// Objects by key and by index.
pub struct Store<T> {
    inner: RwLock<Inner<T>>,
}

struct Inner<T> {
    objects: BTreeMap<ObjectKey, Arc<T>>,
    indexes: HashMap<&'static str, Index<T>>,
}

struct Index<T> {
    values_of: IndexFn<T>,
    keys: HashMap<String, BTreeSet<ObjectKey>>,
}

impl<T> Default for Store<T> {
    fn default() -> Self {
        Self { inner: RwLock::new(Inner { objects: BTreeMap::new(), indexes: HashMap::new() }) }
    }
}

impl<T: Resource> Store<T> {
    /// One object.
    #[must_use]
    pub fn get(&self, key: &ObjectKey) -> Option<Arc<T>> {
        self.inner.read().objects.get(key).cloned()
    }

    /// All objects, in order of namespace and name.
    #[must_use]
    pub fn list(&self) -> Vec<Arc<T>> {
        self.inner.read().objects.values().cloned().collect()
    }

    /// The objects of a namespace, in order of name.
    #[must_use]
    pub fn list_namespace(&self, namespace: &str) -> Vec<Arc<T>> {
        let inner = self.inner.read();
        let from = Bound::Included(ObjectKey::new(namespace, ""));
        let objects = inner.objects.range((from, Bound::Unbounded));
        objects.take_while(|(key, _)| key.namespace == namespace).map(|(_, object)| Arc::clone(object)).collect()
    }

    /// The objects with `value` under the index `name`; none when there is no such index.
    #[must_use]
    pub fn by_index(&self, name: &str, value: &str) -> Vec<Arc<T>> {
        let inner = self.inner.read();
        let keys = inner.indexes.get(name).and_then(|index| index.keys.get(value));
        keys.into_iter().flatten().filter_map(|key| inner.objects.get(key).cloned()).collect()
    }

    /// How many objects there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.inner.read().objects.len()
    }

    /// Whether there is no object.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn add_index(&self, name: &'static str, values_of: IndexFn<T>) {
        let mut inner = self.inner.write();
        let mut index = Index { values_of, keys: HashMap::new() };
        for (key, object) in &inner.objects {
            index.insert(key, object);
        }
        inner.indexes.insert(name, index);
    }

    /// Stores an object; the events, none when it is the same version.
    pub(super) fn apply(&self, object: T) -> Changes<T> {
        let key = ObjectKey::of(&object);
        let new = Arc::new(object);
        let mut inner = self.inner.write();
        match inner.insert(key, Arc::clone(&new)) {
            None => [Some(Event::Added(new)), None],
            Some(old) if old.meta().resource_version == new.meta().resource_version => [None, None],
            // Another object of the same name is another object: the first has gone.
            Some(old) if old.meta().uid != new.meta().uid => [Some(Event::Deleted(old)), Some(Event::Added(new))],
            Some(old) => [Some(Event::Updated { old, new }), None],
        }
    }

    /// Removes an object; the event carries `last`, its final state.
    pub(super) fn remove(&self, last: T) -> Option<Event<T>> {
        let removed = self.inner.write().remove(&ObjectKey::of(&last));
        removed.map(|_| Event::Deleted(Arc::new(last)))
    }

    /// Removes an object of which only the name is known; the event carries the state before.
    pub(super) fn remove_key(&self, key: &ObjectKey) -> Option<Event<T>> {
        self.inner.write().remove(key).map(Event::Deleted)
    }

    /// Removes all but those; the events.
    pub(super) fn retain(&self, stays: impl Fn(&ObjectKey) -> bool) -> Vec<Event<T>> {
        let gone: Vec<ObjectKey> = self.inner.read().objects.keys().filter(|key| !stays(key)).cloned().collect();
        gone.iter().filter_map(|key| self.remove_key(key)).collect()
    }
}

impl<T> Inner<T> {
    fn insert(&mut self, key: ObjectKey, object: Arc<T>) -> Option<Arc<T>> {
        let old = self.objects.insert(key.clone(), Arc::clone(&object));
        for index in self.indexes.values_mut() {
            if let Some(old) = &old {
                index.remove(&key, old);
            }
            index.insert(&key, &object);
        }
        old
    }

    fn remove(&mut self, key: &ObjectKey) -> Option<Arc<T>> {
        let old = self.objects.remove(key)?;
        for index in self.indexes.values_mut() {
            index.remove(key, &old);
        }
        Some(old)
    }
}

impl<T> Index<T> {
    fn insert(&mut self, key: &ObjectKey, object: &T) {
        for value in (self.values_of)(object) {
            self.keys.entry(value).or_default().insert(key.clone());
        }
    }

    fn remove(&mut self, key: &ObjectKey, object: &T) {
        for value in (self.values_of)(object) {
            if let Some(keys) = self.keys.get_mut(&value) {
                keys.remove(key);
                if keys.is_empty() {
                    self.keys.remove(&value);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use api_types::{core::Pod, meta::ObjectMeta};

    use super::*;

    fn pod(namespace: &str, name: &str, version: &str, node: &str) -> Pod {
        let metadata = ObjectMeta {
            namespace: Some(namespace.into()),
            name: Some(name.into()),
            resource_version: Some(version.into()),
            labels: Some([("node".to_owned(), node.to_owned())].into()),
            ..ObjectMeta::default()
        };
        Pod { metadata, ..Pod::default() }
    }

    fn node(pod: &Pod) -> Vec<String> {
        pod.metadata.labels.iter().flatten().map(|(_, node)| node.clone()).collect()
    }

    fn names(events: &[Event<Pod>]) -> Vec<String> {
        let word = |event: &Event<Pod>| match event {
            Event::Added(_) => "+",
            Event::Updated { .. } => "~",
            Event::Deleted(_) => "-",
        };
        events.iter().map(|event| format!("{}{}", word(event), ObjectKey::of(&**event.object()))).collect()
    }

    /// All that there is, as it comes.
    fn fill(store: &Store<Pod>, pods: Vec<Pod>) -> Vec<String> {
        let seen: BTreeSet<ObjectKey> = pods.iter().map(ObjectKey::of).collect();
        let mut events: Vec<Event<Pod>> = pods.into_iter().flat_map(|pod| store.apply(pod)).flatten().collect();
        events.extend(store.retain(|key| seen.contains(key)));
        names(&events)
    }

    #[test]
    fn a_snapshot_and_deltas_produce_the_same_events() {
        let store = Store::default();
        let events = fill(&store, vec![pod("a", "x", "1", "n"), pod("a", "y", "2", "n"), pod("b", "z", "3", "m")]);
        assert_eq!(events, ["+a/x", "+a/y", "+b/z"]);
        let events = fill(&store, vec![pod("a", "y", "2", "n"), pod("b", "z", "4", "m"), pod("c", "w", "5", "n")]);
        assert_eq!(events, ["~b/z", "+c/w", "-a/x"]);
        let mut another = pod("a", "y", "6", "n");
        another.metadata.uid = Some("another".into());
        let events = fill(&store, vec![another, pod("b", "z", "4", "m"), pod("c", "w", "5", "n")]);
        assert_eq!(events, ["-a/y", "+a/y"]);
    }

    #[test]
    fn indexes_follow_changes() {
        let store = Store::default();
        store.add_index("node", node);
        store.apply(pod("a", "x", "1", "n"));
        assert_eq!(store.by_index("node", "n").len(), 1);
        store.apply(pod("a", "x", "2", "m"));
        assert!(store.by_index("node", "n").is_empty());
        assert_eq!(store.by_index("node", "m").len(), 1);
        store.remove(pod("a", "x", "3", "m"));
        assert!(store.by_index("node", "m").is_empty());
        assert!(store.is_empty());
    }

    #[test]
    fn a_namespace_is_a_range() {
        let store = Store::default();
        for (namespace, name) in [("a", "1"), ("ab", "2"), ("b", "3")] {
            store.apply(pod(namespace, name, "1", "n"));
        }
        assert_eq!(store.list_namespace("a").len(), 1);
        assert_eq!(store.list_namespace("b").len(), 1);
    }
}
