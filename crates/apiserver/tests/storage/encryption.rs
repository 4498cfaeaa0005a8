//! Values that are encrypted where they are stored.

use std::{fs, path::Path, sync::Arc};

use apiserver::storage::{
    Key, ListQuery, Prefix, Store, StoreError,
    embedded::{EmbeddedOptions, EmbeddedStore},
    encryption::{Encrypted, EncryptionConfig, Folder},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use component::files::FromFiles;

use crate::conformance::{ROOT, object};

const SECRETS: &str = "/registry/secrets";

/// Keys by way and name, best first.
fn write(path: &Path, keys: &[(&str, &str)]) {
    let provider = |(way, name): &(&str, &str)| {
        let secret = STANDARD.encode(name.bytes().cycle().take(32).collect::<Vec<_>>());
        match *way {
            "identity" => "    - identity: {}\n".to_owned(),
            way => format!("    - {way}: {{keys: [{{name: {name}, secret: {secret}}}]}}\n"),
        }
    };
    let providers: String = keys.iter().map(provider).collect();
    let text = format!(
        "apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\nresources:\n  - resources: [secrets]\n    providers:\n{providers}"
    );
    fs::write(path, text).unwrap();
}

fn open(path: &Path, store: Arc<dyn Store>, folder: &str) -> Arc<dyn Store> {
    let file = path.to_owned();
    let config = FromFiles::new("keys", Vec::new(), move || EncryptionConfig::read(&file)).unwrap();
    let folder = Folder { prefix: Prefix::new(folder), group: String::new(), plural: "secrets".into() };
    Arc::new(Encrypted::new(store, Arc::new(config), vec![folder]))
}

fn embedded(directory: &Path) -> Arc<dyn Store> {
    Arc::new(EmbeddedStore::open(&EmbeddedOptions::new(directory.join("store.redb"))).unwrap())
}

#[tokio::test]
async fn it_is_a_store() {
    for way in ["aescbc", "aesgcm", "secretbox", "identity"] {
        let directory = tempfile::tempdir().unwrap();
        let keys = directory.path().join("keys.yaml");
        write(&keys, &[(way, "one")]);
        crate::conformance::run_store(open(&keys, embedded(directory.path()), ROOT)).await;
    }
}

#[tokio::test]
async fn nothing_is_stored_in_the_clear() {
    let directory = tempfile::tempdir().unwrap();
    let keys = directory.path().join("keys.yaml");
    write(&keys, &[("secretbox", "one"), ("identity", "")]);
    let raw = embedded(directory.path());
    let store = open(&keys, raw.clone(), SECRETS);
    let (secret, other) = (Key::from("/registry/secrets/ns/a"), Key::from("/registry/configmaps/ns/a"));
    for key in [&secret, &other] {
        store.create(key, object("hidden"), None).await.unwrap();
        assert_eq!(store.get(key).await.unwrap().value, object("hidden"));
    }
    let stored = raw.get(&secret).await.unwrap().value;
    assert!(stored.starts_with(b"k8s:enc:secretbox:v1:one:"));
    assert!(!stored.windows(6).any(|window| window == b"hidden"));
    assert_eq!(raw.get(&other).await.unwrap().value, object("hidden"), "it was not asked for");
}

#[tokio::test]
async fn keys_are_rotated() {
    let directory = tempfile::tempdir().unwrap();
    let keys = directory.path().join("keys.yaml");
    let raw = embedded(directory.path());
    let key = Key::from("/registry/secrets/ns/a");
    raw.create(&key, object("old"), None).await.unwrap();
    let with = |names: &[(&str, &str)]| {
        write(&keys, names);
        open(&keys, raw.clone(), SECRETS)
    };
    let steps: [&[(&str, &str)]; 3] = [
        &[("aescbc", "one"), ("identity", "")],
        &[("aesgcm", "two"), ("aescbc", "one")],
        &[("identity", ""), ("aesgcm", "two")],
    ];
    for step in steps {
        let store = with(step);
        assert!(store.needs_rewrite(&key).await.unwrap(), "{step:?}");
        let item = store.get(&key).await.unwrap();
        assert_eq!(item.value, object("old"));
        store.update(&key, item.revision, item.value, None).await.unwrap();
        assert!(!store.needs_rewrite(&key).await.unwrap(), "{step:?}");
    }
    assert_eq!(raw.get(&key).await.unwrap().value, object("old"), "in the end it is in the clear again");
}

#[tokio::test]
async fn what_cannot_be_read_keeps_nobody_from_the_rest() {
    let directory = tempfile::tempdir().unwrap();
    let keys = directory.path().join("keys.yaml");
    write(&keys, &[("aesgcm", "one")]);
    let raw = embedded(directory.path());
    let store = open(&keys, raw.clone(), SECRETS);
    let (good, bad) = (Key::from("/registry/secrets/ns/a"), Key::from("/registry/secrets/ns/b"));
    store.create(&good, object("good"), None).await.unwrap();
    let foreign = Bytes::from_static(b"k8s:enc:aesgcm:v1:two:0123456789012345678901234567");
    raw.create(&bad, foreign, None).await.unwrap();
    assert!(matches!(store.get(&bad).await, Err(StoreError::Unreadable { .. })));
    let page = store.list(&ListQuery::all(Prefix::new(SECRETS))).await.unwrap();
    assert_eq!(page.items.iter().map(|item| &item.key).collect::<Vec<_>>(), [&good]);
    assert_eq!(store.unreadable().count(), 1);
}
