//! Kills a writing process again and again and looks whether anything that it had been told is written is missing.
//!
//! The writer is this test program itself, started with a variable that makes one of its tests write.

use std::{
    collections::{BTreeMap, BTreeSet},
    env,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
    time::Duration,
};

use crate::etcd_server::Etcd;
use apiserver::storage::{
    EventKind, Key, ListQuery, Prefix, Revision, Store, StoreError,
    embedded::{EmbeddedOptions, EmbeddedStore},
    etcd::{EtcdOptions, EtcdStore},
};
use bytes::Bytes;
use tokio::time::timeout;

/// Where the writing process finds the file.
const FILE: &str = "STORAGE_CRASH_FILE";
/// The number of the round, part of the keys.
const ROUND: &str = "STORAGE_CRASH_ROUND";

const ROUNDS: usize = 15;
const WRITERS: usize = 16;

/// After so many acknowledgements in one round the writer is killed.
const ENOUGH: [usize; 5] = [1, 40, 150, 400, 7];

fn folder() -> Prefix {
    Prefix::new("/registry/crash")
}

/// The writer: does nothing unless it is started by [`acknowledged_writes_survive_kills`].
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn write_until_killed() {
    let (Ok(file), Ok(round)) = (env::var(FILE), env::var(ROUND)) else { return };
    let store: Arc<dyn Store> = Arc::new(EmbeddedStore::open(&EmbeddedOptions::new(file)).unwrap());
    let writers: Vec<_> =
        (0..WRITERS).map(|writer| tokio::spawn(write(store.clone(), round.clone(), writer))).collect();
    for writer in writers {
        writer.await.unwrap();
    }
}

/// Creates keys, changes every third of them and deletes every seventh, and tells what is acknowledged.
async fn write(store: Arc<dyn Store>, round: String, writer: usize) {
    for number in 0.. {
        let name = format!("{round}/{writer}/{number}");
        let key = Key::from(format!("{}{name}", folder().as_str()));
        let mut revision = store.create(&key, value("first"), None).await.unwrap();
        tell(&name, "first", revision);
        if number % 3 == 0 {
            revision = store.update(&key, revision, value("second"), None).await.unwrap();
            tell(&name, "second", revision);
        }
        if number % 7 == 0 {
            tell(&name, "gone", store.delete(&key, revision).await.unwrap());
        }
    }
}

fn value(text: &str) -> Bytes {
    Bytes::from(format!(r#"{{"metadata":{{}},"data":"{text}","padding":"{}"}}"#, "x".repeat(1500)))
}

fn tell(name: &str, state: &str, revision: Revision) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "ack {name} {state} {revision}").unwrap();
    out.flush().unwrap();
}

/// What was acknowledged: the last state of each key, and every revision with what it wrote.
#[derive(Default)]
struct Acknowledged {
    states: BTreeMap<String, (String, Revision)>,
    writes: BTreeMap<Revision, (String, String)>,
}

impl Acknowledged {
    fn take(&mut self, line: &str) -> bool {
        let Some(words) = line.split("ack ").nth(1) else { return false };
        let words: Vec<_> = words.split(' ').collect();
        let [name, state, revision] = words[..] else { return false };
        let Ok(revision) = revision.parse().map(Revision) else { return false };
        self.states.insert(name.to_owned(), (state.to_owned(), revision));
        let twice = self.writes.insert(revision, (name.to_owned(), state.to_owned()));
        assert_eq!(twice, None, "a revision is given to one write");
        true
    }
}

fn run_and_kill(file: &Path, round: usize, acknowledged: &mut Acknowledged) {
    let mut child = Command::new(env::current_exe().unwrap())
        .args(["--exact", "crash::write_until_killed", "--nocapture", "--test-threads=1"])
        .env(FILE, file)
        .env(ROUND, round.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let mut count = 0;
    while count < ENOUGH[round % ENOUGH.len()] {
        let line = lines.next().expect("the writer writes until it is killed");
        count += usize::from(acknowledged.take(&line));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let rest: Vec<_> = lines.collect();
    let whole = rest.len().saturating_sub(1);
    for line in &rest[..whole] {
        acknowledged.take(line);
    }
}

#[tokio::test]
async fn acknowledged_writes_survive_kills() {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("store.redb");
    let mut acknowledged = Acknowledged::default();
    let mut before = Revision::ZERO;
    for round in 0..ROUNDS {
        let known = acknowledged.writes.len();
        run_and_kill(&file, round, &mut acknowledged);
        assert!(acknowledged.writes.len() > known);
        let new = acknowledged.writes.keys().filter(|revision| **revision > before).count();
        assert_eq!(new, acknowledged.writes.len() - known, "revisions only grow, over restarts too");
        let store = EmbeddedStore::open(&EmbeddedOptions::new(&file)).unwrap();
        let now = check(&store, &acknowledged).await;
        assert!(now >= before);
        before = now;
    }
}

/// Everything acknowledged is there: as a state, and once in the history.
async fn check(store: &dyn Store, acknowledged: &Acknowledged) -> Revision {
    let page = store.list(&ListQuery::all(folder())).await.unwrap();
    let items: BTreeMap<_, _> = page.items.iter().map(|item| (item.key.as_str(), item)).collect();
    assert_eq!(items.len(), page.items.len());
    for (name, (state, revision)) in &acknowledged.states {
        let item = items.get(format!("{}{name}", folder().as_str()).as_str());
        match item {
            // What followed an acknowledged write may have been done without being acknowledged.
            Some(item) => assert!(item.revision > *revision || item.value == value(state), "{name} {state}"),
            None => assert!(state == "gone" || number(name).is_multiple_of(7), "{name} {state} is lost"),
        }
    }
    let mut watch = store.watch(&folder(), Revision(1)).await.unwrap();
    watch.progress().send(page.revision);
    let mut history = BTreeMap::new();
    let mut reached = Revision::ZERO;
    while reached < page.revision {
        let batch = watch.next().await.unwrap().unwrap();
        for event in batch.events {
            assert!(event.revision > reached);
            reached = event.revision;
            history.insert(event.revision, event);
        }
        reached = reached.max(batch.revision);
    }
    for (revision, (name, state)) in &acknowledged.writes {
        let event = history.get(revision).unwrap_or_else(|| panic!("{name} {state} is lost"));
        assert!(event.key.as_str().ends_with(name.as_str()));
        assert_eq!(event.kind == EventKind::Deleted, state == "gone");
        assert!(event.value.as_ref().is_none_or(|stored| *stored == value(state)));
    }
    page.revision
}

fn number(name: &str) -> usize {
    name.rsplit('/').next().unwrap().parse().unwrap()
}

/// The other way round: etcd is killed under the writers, who must be told the truth about every write.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writes_to_a_dying_etcd_are_told_truly() {
    let mut etcd = Etcd::start().await;
    let options = EtcdOptions { timeout: Duration::from_secs(5), ..EtcdOptions::new(vec![etcd.url()]) };
    let store = Arc::new(EtcdStore::connect(&options).await.unwrap());
    let (tx, mut outcomes) = tokio::sync::mpsc::channel(1024);
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..8 {
        let (store, tx) = (store.clone(), tx.clone());
        writers.spawn(async move {
            for number in 0.. {
                let key = Key::from(format!("{}{writer}-{number}", folder().as_str()));
                let outcome = store.create(&key, value("first"), None).await;
                if tx.send((key, outcome)).await.is_err() {
                    return;
                }
            }
        });
    }
    drop(tx);
    let mut told = Vec::new();
    for round in 1..=2 {
        while told.len() < round * 200 {
            told.push(outcomes.recv().await.unwrap());
        }
        etcd.stop();
        etcd.resume().await;
    }
    while told.iter().filter(|(_, outcome)| outcome.is_ok()).count() < 600 {
        told.push(outcomes.recv().await.unwrap());
    }
    outcomes.close();
    while let Some(outcome) = outcomes.recv().await {
        told.push(outcome);
    }
    while writers.join_next().await.is_some() {}

    let page = store.list(&ListQuery::all(folder())).await.unwrap();
    let items: BTreeMap<_, _> = page.items.into_iter().map(|item| (item.key.clone(), item)).collect();
    for (key, outcome) in told {
        match outcome {
            Ok(revision) => assert_eq!(items[&key].revision, revision),
            Err(StoreError::Unavailable { .. }) => {
                assert!(!items.contains_key(&key), "{key} was said not to be written");
            }
            Err(StoreError::Undetermined { .. }) => {}
            Err(error) => panic!("{key}: {error}"),
        }
    }
}

/// The store that a full disk is to befall, when started by [`a_full_disk_is_survived`].
const LIMITED: &str = "STORE_ON_A_FULL_DISK";

/// Writes until the file may not grow, and then until it may again. Does nothing unless it is started by
/// [`a_full_disk_is_survived`].
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn write_to_a_full_disk() {
    let Ok(file) = env::var(LIMITED) else { return };
    let store = EmbeddedStore::open(&EmbeddedOptions::new(file)).unwrap();
    let create = async |number: usize| {
        let key = Key::from(format!("{}{number}", folder().as_str()));
        store.create(&key, value(&"x".repeat(60_000)), None).await
    };
    let mut watch = store.watch(&folder(), store.current_revision().await.unwrap()).await.unwrap();
    let mut acknowledged = BTreeSet::new();
    let mut number = 0;
    while let Ok(revision) = create(number).await {
        acknowledged.insert(revision);
        number += 1;
    }
    assert!(!acknowledged.is_empty());
    assert!(create(number + 1).await.is_err_and(|error| error.is_fault()), "the disk is still full");
    let pid = std::process::id().to_string();
    let raised = Command::new("prlimit").args(["--pid", &pid, "--fsize=unlimited"]).status().unwrap();
    assert!(raised.success());
    let again = async {
        loop {
            number += 2;
            match create(number).await {
                Ok(revision) => return revision,
                Err(error) => assert!(error.is_fault(), "{error}"),
            }
        }
    };
    acknowledged.insert(timeout(Duration::from_secs(20), again).await.expect("the store recovers"));
    let listed = store.list(&ListQuery::all(folder())).await.unwrap().items;
    let listed: BTreeSet<Revision> = listed.iter().map(|item| item.revision).collect();
    assert!(listed.is_superset(&acknowledged), "what was acknowledged is there");
    let mut told = BTreeSet::new();
    while !told.is_superset(&listed) {
        let batch = timeout(Duration::from_secs(20), watch.next()).await.expect("watches go on").unwrap().unwrap();
        told.extend(batch.events.iter().map(|event| event.revision));
    }
    assert_eq!(told, listed, "watches tell what is there");
    println!("recovered");
}

#[tokio::test]
async fn a_full_disk_is_survived() {
    let folder = tempfile::tempdir().unwrap();
    let test = "crash::write_to_a_full_disk";
    // Half a KiB each; what would exceed the limit fails, instead of ending the process.
    let script = r#"trap "" XFSZ; ulimit -S -f 6000; exec "$0" --exact "$1" --nocapture"#;
    let output = Command::new("sh")
        .args(["-c", script])
        .arg(env::current_exe().unwrap())
        .arg(test)
        .env(LIMITED, folder.path().join("store.redb"))
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("recovered"), "{text}{}", String::from_utf8_lossy(&output.stderr));
}
