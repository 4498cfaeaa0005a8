//! Writes while the watch cache does not yet know what was written before.

use std::sync::Arc;

use api_types::{Object, StatusError, core::ConfigMap};
use apiserver::{
    bootstrap::{loopback_user, own_options},
    registry::{Change, Changed, Part, Stored, Target, Write},
    storage::{
        Item, Key, ListQuery, Page, Prefix, Result, Revision, Store, Ttl, Unreadable, Watch,
        cache::Freshness,
        embedded::{EmbeddedOptions, EmbeddedStore},
    },
};
use bytes::Bytes;
use futures::{FutureExt, future::BoxFuture, stream};
use tokio::sync::watch;

/// A store whose watches are silent while the gate is closed.
struct Lagging {
    store: EmbeddedStore,
    open: watch::Receiver<bool>,
}

impl Store for Lagging {
    fn get<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<Item>> {
        self.store.get(key)
    }

    fn list<'a>(&'a self, query: &'a ListQuery) -> BoxFuture<'a, Result<Page>> {
        self.store.list(query)
    }

    fn create<'a>(&'a self, key: &'a Key, value: Bytes, ttl: Option<Ttl>) -> BoxFuture<'a, Result<Revision>> {
        self.store.create(key, value, ttl)
    }

    fn update<'a>(
        &'a self,
        key: &'a Key,
        expected: Revision,
        value: Bytes,
        ttl: Option<Ttl>,
    ) -> BoxFuture<'a, Result<Revision>> {
        self.store.update(key, expected, value, ttl)
    }

    fn delete<'a>(&'a self, key: &'a Key, expected: Revision) -> BoxFuture<'a, Result<Revision>> {
        self.store.delete(key, expected)
    }

    fn watch<'a>(&'a self, prefix: &'a Prefix, after: Revision) -> BoxFuture<'a, Result<Watch>> {
        async move {
            let inner = self.store.watch(prefix, after).await?;
            let progress = inner.progress();
            let batches = stream::unfold((inner, self.open.clone()), |(mut inner, mut open)| async move {
                let batch = inner.next().await?;
                open.wait_for(|open| *open).await.ok()?;
                Some((batch, (inner, open)))
            });
            Ok(Watch::new(batches, progress))
        }
        .boxed()
    }

    fn current_revision(&self) -> BoxFuture<'_, Result<Revision>> {
        self.store.current_revision()
    }

    fn unreadable(&self) -> &Unreadable {
        self.store.unreadable()
    }

    fn compact(&self, revision: Revision) -> BoxFuture<'_, Result<()>> {
        self.store.compact(revision)
    }
}

/// Sets the only key of a config map.
struct Set(&'static str);

impl Set {
    fn write(&self, object: &mut dyn Object) {
        let map = object.downcast_mut::<ConfigMap>().unwrap();
        map.data = Some([("k".to_owned(), self.0.to_owned())].into());
    }
}

impl Change for Set {
    fn apply(&self, current: &Stored) -> Result<Changed, StatusError> {
        let mut object = current.object.clone_object();
        self.write(&mut *object);
        Ok(object.into())
    }

    fn create(&self) -> Result<Option<Changed>, StatusError> {
        let mut map = ConfigMap::default();
        self.write(&mut map);
        map.metadata.name = Some("a".to_owned());
        Ok(Some((Box::new(map) as Box<dyn Object>).into()))
    }
}

#[tokio::test]
async fn changing_back_is_no_empty_change() {
    let directory = tempfile::tempdir().unwrap();
    let (gate, open) = watch::channel(true);
    let store = EmbeddedStore::open(&EmbeddedOptions::new(directory.path().join("store"))).unwrap();
    let store: Arc<dyn Store> = Arc::new(Lagging { store, open });
    let (registry, _) = crate::registry::over(&store);
    let rest = &registry.core("configmaps").unwrap();
    let target = Target { namespace: "default", name: "a" };
    let user = loopback_user();
    let set = async |value: &'static str| {
        let write = Write::new(&user, own_options());
        registry.update(rest, &write, target, Part::Main, &Set(value)).await.unwrap();
        let stored = store.get(&rest.key("default", "a")).await.unwrap();
        assert!(String::from_utf8_lossy(&stored.value).contains(&format!(r#""data":{{"k":"{value}"}}"#)), "{value}");
    };
    set("one").await;
    let written = Freshness::AtLeast(store.current_revision().await.unwrap());
    rest.cache().get(&rest.key("default", "a"), written).await.unwrap();
    gate.send(false).unwrap();
    set("two").await;
    set("one").await;
    set("two").await;
}
