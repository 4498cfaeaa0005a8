//! A client that watches, and goes on where it was whenever the watch ends.

use std::{collections::BTreeMap, time::Duration};

use http_body_util::BodyExt;
use kube::{Client, client::Body};
use serde_json::Value;
use tokio::sync::watch;

use super::{
    truth::Selection,
    wire::{Form, Told},
};

/// So soon a request that failed is sent again.
const AGAIN: Duration = Duration::from_millis(20);

/// How a watcher watches.
#[derive(Clone, Copy, Debug)]
pub struct Spec {
    pub selection: Selection,
    pub form: Form,
    pub bookmarks: bool,
    /// Every other time it asks for what is there as events.
    pub initial: bool,
}

/// What a watcher learnt.
#[derive(Debug)]
pub enum Seen {
    /// What is there, from a list or as initial events.
    State {
        revision: u64,
        objects: BTreeMap<String, u64>,
    },
    Event(Told),
    Bookmark(u64),
}

/// Why a watch ended.
enum End {
    /// The connection, or the server.
    Lost,
    /// Everything was told.
    Done,
}

pub struct Watcher {
    pub spec: Spec,
    client: Client,
    /// The last change that it will be told, once that is known.
    end: watch::Receiver<Option<u64>>,
    position: u64,
    pub seen: Vec<Seen>,
    /// How often it had to begin anew.
    pub watches: usize,
}

impl Watcher {
    pub fn new(spec: Spec, client: Client, end: watch::Receiver<Option<u64>>) -> Self {
        Self { spec, client, end, position: 0, seen: Vec::new(), watches: 0 }
    }

    /// Watches until all has been told.
    pub async fn run(mut self) -> Self {
        while !(self.spec.initial || self.list().await) {
            tokio::time::sleep(AGAIN).await;
        }
        while let End::Lost = self.watch().await {
            tokio::time::sleep(AGAIN).await;
        }
        self
    }

    async fn send(&self, path: &str, accept: &str) -> Option<http::Response<Body>> {
        let request = http::Request::get(path).header("accept", accept).body(Body::empty()).unwrap();
        let answer = self.client.send(request).await.ok()?;
        let code = answer.status().as_u16();
        assert!(matches!(code, 200 | 429 | 500..), "{path}: {code}");
        (code == 200).then_some(answer)
    }

    async fn list(&mut self) -> bool {
        let Some(answer) = self.send(&self.spec.selection.path(), "application/json").await else { return false };
        let Ok(body) = answer.into_body().collect().await else { return false };
        let list: Value = serde_json::from_slice(&body.to_bytes()).unwrap();
        let revision = |object: &Value| object["metadata"]["resourceVersion"].as_str().unwrap().parse().unwrap();
        let item = |item: &Value| {
            let text = |field: &str| item["metadata"][field].as_str().unwrap().to_owned();
            (format!("{}/{}", text("namespace"), text("name")), revision(item))
        };
        let objects = list["items"].as_array().unwrap().iter().map(item).collect();
        self.position = revision(&list);
        self.seen.push(Seen::State { revision: self.position, objects });
        true
    }

    async fn watch(&mut self) -> End {
        let mut path = format!("{}&watch=true", self.spec.selection.path());
        let mut initial = (self.spec.initial && self.watches.is_multiple_of(2)).then(BTreeMap::new);
        if initial.is_some() {
            path.push_str("&sendInitialEvents=true&resourceVersionMatch=NotOlderThan");
        }
        if self.spec.bookmarks || initial.is_some() {
            path.push_str("&allowWatchBookmarks=true");
        }
        if self.position > 0 {
            path = format!("{path}&resourceVersion={}", self.position);
        }
        let Some(mut answer) = self.send(&path, self.spec.form.accept()).await else { return End::Lost };
        self.watches += 1;
        let mut buffer = Vec::new();
        loop {
            while let Some(told) = self.spec.form.take(&mut buffer) {
                self.take(told, &mut initial);
            }
            if initial.is_none() && self.end.borrow_and_update().is_some_and(|end| self.position >= end) {
                return End::Done;
            }
            tokio::select! {
                frame = answer.body_mut().frame() => match frame {
                    Some(Ok(frame)) => buffer.extend_from_slice(frame.data_ref().unwrap()),
                    _ => return End::Lost,
                },
                changed = self.end.changed() => changed.unwrap(),
            }
        }
    }

    fn take(&mut self, told: Told, initial: &mut Option<BTreeMap<String, u64>>) {
        match initial {
            Some(objects) if told.kind == "ADDED" => {
                let twice = objects.insert(told.key, told.revision);
                assert_eq!(twice, None, "initial events tell each object once");
            }
            Some(objects) => {
                assert!(told.kind == "BOOKMARK" && told.ends_initial, "{told:?} among initial events");
                self.position = told.revision;
                self.seen.push(Seen::State { revision: told.revision, objects: std::mem::take(objects) });
                *initial = None;
            }
            None => {
                self.position = told.revision;
                let bookmark = told.kind == "BOOKMARK";
                self.seen.push(if bookmark { Seen::Bookmark(told.revision) } else { Seen::Event(told) });
            }
        }
    }
}
