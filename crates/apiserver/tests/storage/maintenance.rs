//! Snapshots, restores and defragmentation of the embedded store, as an operator does them, while clients write and
//! processes are killed.

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    process::{Command, Output},
    sync::Arc,
    time::Duration,
};

use apiserver::storage::{
    ListQuery, Prefix, Revision, Store, StoreError,
    embedded::{EmbeddedOptions, EmbeddedStore},
};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    Api, Client,
    api::{ListParams, PostParams},
};

use crate::process::ApiServer;

fn kube_apiserver(words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kube-apiserver"));
    command.args(words);
    command
}

async fn run(words: &[&str]) -> Output {
    let mut command = kube_apiserver(words);
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

async fn succeed(words: &[&str]) -> String {
    let output = run(words).await;
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

async fn refused(words: &[&str]) -> String {
    let output = run(words).await;
    assert!(!output.status.success(), "{words:?}");
    String::from_utf8(output.stderr).unwrap()
}

/// Creates config maps until it is ended, and tells which were acknowledged.
async fn write(client: Client, round: usize) -> BTreeMap<String, u64> {
    let api: Api<ConfigMap> = Api::default_namespaced(client);
    let mut acknowledged = BTreeMap::new();
    for number in 0.. {
        let mut map = ConfigMap::default();
        map.metadata.name = Some(format!("{round}-{number}"));
        map.data = Some(BTreeMap::from([("x".to_owned(), "y".repeat(2000))]));
        let Ok(made) = api.create(&PostParams::default(), &map).await else { break };
        let revision = made.metadata.resource_version.unwrap().parse().unwrap();
        acknowledged.insert(made.metadata.name.unwrap(), revision);
    }
    acknowledged
}

async fn names(client: Client) -> BTreeMap<String, u64> {
    let api: Api<ConfigMap> = Api::default_namespaced(client);
    let listed = api.list(&ListParams::default()).await.unwrap();
    let entry = |map: ConfigMap| (map.metadata.name.unwrap(), map.metadata.resource_version.unwrap().parse().unwrap());
    listed.items.into_iter().map(entry).collect()
}

/// What is stored below a folder, and at which revision.
async fn stored(path: &Path) -> (BTreeMap<String, Revision>, Revision) {
    let store = EmbeddedStore::open(&EmbeddedOptions::new(path)).unwrap();
    let page = store.list(&ListQuery::all(Prefix::new("/registry/configmaps/default"))).await.unwrap();
    let name = |key: &str| key.rsplit('/').next().unwrap().to_owned();
    (page.items.iter().map(|item| (name(item.key.as_str()), item.revision)).collect(), page.revision)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_is_one_moment_of_a_busy_server_and_never_goes_back() {
    let server = ApiServer::start(None).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("snapshot");
    let (file, data) = (file.to_str().unwrap(), folder.path().join("restored"));
    let data = data.to_str().unwrap();
    let source = server.store().parent().unwrap().to_str().unwrap().to_owned();
    let writer = tokio::spawn(write(server.client(), 0));
    while names(server.client()).await.len() < 20 {
        tokio::task::yield_now().await;
    }
    let told = succeed(&["snapshot", "save", file, "--data-dir", &source]).await;
    assert!(told.starts_with("Snapshot saved at "), "{told}");
    let mut server = server;
    server.kill();
    let acknowledged = writer.await.unwrap();
    let status = succeed(&["snapshot", "status", file]).await;
    let told = succeed(&["snapshot", "restore", file, "--data-dir", data]).await;
    assert!(told.contains(status.trim()), "{told} {status}");
    let path = Path::new(data).join("store.redb");
    let (restored, revision) = stored(&path).await;
    // Everything until some moment, nothing after it.
    let last = restored.values().max().unwrap().0;
    let expected: BTreeMap<_, _> = acknowledged.into_iter().filter(|(_, revision)| *revision <= last).collect();
    assert!(expected.len() >= 20);
    assert_eq!(restored.into_iter().map(|(name, revision)| (name, revision.0)).collect::<BTreeMap<_, _>>(), expected);

    // Whatever clients may have seen is compacted.
    assert!(revision.0 >= last + 1_000_000_000);
    let store = EmbeddedStore::open(&EmbeddedOptions::new(&path)).unwrap();
    let prefix = Prefix::new("/registry/configmaps");
    let old = store.watch(&prefix, Revision(last + 1000)).await;
    assert!(matches!(old, Err(StoreError::Compacted { .. })));
    assert!(store.watch(&prefix, revision).await.is_ok());
    drop(store);

    // What is there is never replaced.
    let again = refused(&["snapshot", "restore", file, "--data-dir", data]).await;
    assert!(again.contains("there is a store at"), "{again}");
    let mode = |path: &str| std::os::unix::fs::PermissionsExt::mode(&fs::metadata(path).unwrap().permissions()) & 0o777;
    assert_eq!((mode(file), mode(path.to_str().unwrap())), (0o600, 0o600));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_snapshot_is_not_restored() {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("source");
    let store = EmbeddedStore::open(&EmbeddedOptions::new(source.join("store.redb"))).unwrap();
    store.create(&"/registry/configmaps/default/a".into(), "value".into(), None).await.unwrap();
    let (file, target) = (folder.path().join("snapshot"), folder.path().join("target"));
    let [source, file, target] = [&source, &file, &target].map(|path| path.to_str().unwrap());
    // A store that somebody has open, who does not answer, is not read past them.
    assert!(refused(&["snapshot", "save", file, "--data-dir", source]).await.contains("in use by another process"));
    drop(store);
    succeed(&["snapshot", "save", file, "--data-dir", source]).await;
    let mut bytes = fs::read(file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(file, bytes).unwrap();
    refused(&["snapshot", "restore", file, "--data-dir", target]).await;
    refused(&["snapshot", "status", file]).await;
    assert_eq!(fs::read_dir(target).unwrap().count(), 0, "nothing is left");
    assert!(refused(&["snapshot", "save", file, "--data-dir", target]).await.contains("there is no store at"));
}

#[tokio::test(flavor = "multi_thread")]
async fn defragmentation_makes_the_file_smaller_under_readers() {
    let folder = tempfile::tempdir().unwrap();
    let options = EmbeddedOptions { history: Duration::ZERO, ..EmbeddedOptions::new(folder.path().join("store.redb")) };
    let store = Arc::new(EmbeddedStore::open(&options).unwrap());
    let maintenance = store.maintenance();
    let listener = maintenance.listen().unwrap();
    let door = tokio::spawn(maintenance.serve(listener));
    let mut keep = None;
    for number in 0..200 {
        let key = format!("/registry/things/{number}").as_str().into();
        let revision = store.create(&key, "x".repeat(50_000).into(), None).await.unwrap();
        if number == 100 {
            keep = Some((key, revision));
        } else {
            store.delete(&key, revision).await.unwrap();
        }
    }
    let current = store.current_revision().await.unwrap();
    store.compact(current).await.unwrap();
    let before = store.size().unwrap();
    let mut watch = store.watch(&Prefix::new("/registry/things"), current).await.unwrap();
    let told = succeed(&["defrag", "--data-dir", folder.path().to_str().unwrap()]).await;
    assert!(told.starts_with("Defragmented"), "{told}");
    let after = store.size().unwrap();
    assert!(after * 4 < before, "{before} {after}");
    let (key, revision) = keep.unwrap();
    assert_eq!(store.get(&key).await.unwrap().revision, revision);
    assert_eq!(store.current_revision().await.unwrap(), current);
    let next = store.update(&key, revision, "y".into(), None).await.unwrap();
    assert_eq!(watch.next().await.unwrap().unwrap().events[0].revision, next);
    door.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_when_maintenance_is_killed() {
    let mut server = ApiServer::start(None).await;
    let folder = tempfile::tempdir().unwrap();
    let source = server.store().parent().unwrap().to_str().unwrap().to_owned();
    let file = folder.path().join("snapshot").to_str().unwrap().to_owned();
    succeed(&["snapshot", "save", &file, "--data-dir", &source]).await;
    let mut acknowledged = BTreeMap::new();
    for round in 0..6 {
        let writer = tokio::spawn(write(server.client(), round));
        while names(server.client()).await.len() < acknowledged.len() + 10 {
            tokio::task::yield_now().await;
        }
        // The one who saves is killed at some moment, and the server at another.
        let mut save = kube_apiserver(&["snapshot", "save", &file, "--data-dir", &source]).spawn().unwrap();
        let mut defrag = kube_apiserver(&["defrag", "--data-dir", &source]).spawn().unwrap();
        tokio::time::sleep(Duration::from_millis(round as u64 * 9)).await;
        save.kill().unwrap();
        tokio::time::sleep(Duration::from_millis(round as u64 * 7)).await;
        server.kill();
        save.wait().unwrap();
        defrag.wait().unwrap();
        acknowledged.extend(writer.await.unwrap());
        // The snapshot of before is there, or a later one, whole.
        succeed(&["snapshot", "status", &file]).await;
        server.resume().await;
        let found = names(server.client()).await;
        for (name, revision) in &acknowledged {
            assert_eq!(found.get(name), Some(revision), "{name}");
        }
    }
    server.kill();
    let target = folder.path().join("target").to_str().unwrap().to_owned();
    for round in 0..6 {
        let mut restore = kube_apiserver(&["snapshot", "restore", &file, "--data-dir", &target]).spawn().unwrap();
        tokio::time::sleep(Duration::from_millis(round * 5)).await;
        restore.kill().unwrap();
        restore.wait().unwrap();
        // There is a whole store or none.
        let path = Path::new(&target).join("store.redb");
        if path.exists() {
            assert!(!stored(&path).await.0.is_empty());
            fs::remove_dir_all(&target).unwrap();
        }
    }
    succeed(&["snapshot", "restore", &file, "--data-dir", &target]).await;
}
