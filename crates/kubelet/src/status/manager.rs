//! Tells the API server what has become of pods, and that a deleted pod is gone.
//!
//! The newest status of each pod wins; a key per pod is queued, the difference to what the server has is sent. While
//! the server is away nothing is lost: the key comes back.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use api_types::core::{Pod, PodStatus};
use component::informer::{ObjectKey, Store};
use component::queue::{Outcome, WorkQueue};
use component::{
    Daemon,
    api::{Api, is_moot},
};
use kube::Client;
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions};
use parking_lot::Mutex;
use serde_json::json;

use super::patch;
use crate::pod::PodExt;
use crate::runtime::PodUid;

/// How many pods' statuses are on their way at the same time.
const WORKERS: usize = 4;
/// How soon a server that does not answer is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// Keeps the API's picture of this node's pods true.
#[derive(Clone)]
pub struct StatusManager {
    shared: Arc<Shared>,
}

struct Shared {
    entries: Mutex<HashMap<PodUid, Entry>>,
    queue: Arc<WorkQueue<PodUid>>,
    /// `None` without an API server.
    client: Option<Client>,
}

/// One pod.
#[derive(Clone)]
struct Entry {
    key: ObjectKey,
    /// The newest status.
    status: Arc<PodStatus>,
    /// What the server has, as far as is known.
    server: Option<Server>,
    /// Nothing of the pod runs any more and its volumes are gone.
    finished: bool,
    /// The status that was sent last.
    sent: Option<Arc<PodStatus>>,
}

/// The API's object for a pod: for a static pod, its mirror.
#[derive(Clone)]
struct Server {
    uid: String,
    /// Versions are compared as numbers, which Kubernetes allows since 1.35.
    version: u64,
    status: Arc<PodStatus>,
    deleting: bool,
    /// Whether this came as the answer to our own patch.
    ours: bool,
}

impl Server {
    fn of(pod: &Pod) -> Self {
        Self {
            uid: pod.metadata.uid.clone().unwrap_or_default(),
            version: pod.metadata.resource_version.as_deref().and_then(|v| v.parse().ok()).unwrap_or(0),
            status: Arc::new(pod.status.clone().unwrap_or_default()),
            deleting: pod.deletion_timestamp().is_some(),
            ours: false,
        }
    }
}

impl StatusManager {
    /// A manager that tells `client`; idle until [`StatusManager::run`].
    #[must_use]
    pub fn new(client: Option<Client>) -> Self {
        let shared = Shared { entries: Mutex::default(), queue: WorkQueue::new(), client };
        Self { shared: Arc::new(shared) }
    }

    /// Starts sending, until shutdown.
    pub fn run(&self, daemon: &Daemon) {
        let Some(client) = self.shared.client.clone() else { return };
        let shared = Arc::clone(&self.shared);
        self.shared.queue.run(daemon, "pod-status", WORKERS, move |uid: PodUid| {
            let (shared, client) = (Arc::clone(&shared), client.clone());
            async move { shared.reconcile(&client, &uid).await }
        });
    }

    /// The newest status of a pod. `on_server` is the API's object for it, if there is one.
    pub fn set(&self, pod: &Pod, status: PodStatus, on_server: Option<&Pod>) {
        let uid = pod.uid();
        let mut entries = self.shared.entries.lock();
        let status = Arc::new(status);
        let entry = entries.entry(uid.clone()).or_insert_with(|| Entry {
            key: pod.key(),
            status: Arc::clone(&status),
            server: None,
            finished: false,
            sent: None,
        });
        entry.status = status;
        if let Some(object) = on_server {
            entry.observe(object);
        }
        drop(entries);
        self.shared.queue.add(uid);
    }

    /// What the server has now: `object` belongs to the pod with this uid (whose own it is, or whose mirror).
    pub fn observe(&self, uid: &PodUid, object: &Pod) {
        let mut entries = self.shared.entries.lock();
        let Some(entry) = entries.get_mut(uid) else { return };
        entry.observe(object);
        drop(entries);
        self.shared.queue.add(uid.clone());
    }

    /// The newest status that was set.
    #[must_use]
    pub fn get(&self, uid: &PodUid) -> Option<Arc<PodStatus>> {
        self.shared.entries.lock().get(uid).map(|entry| Arc::clone(&entry.status))
    }

    /// Nothing of the pod is left on this node: if it is being deleted, it may go.
    pub fn finish(&self, uid: &PodUid) {
        if let Some(entry) = self.shared.entries.lock().get_mut(uid) {
            entry.finished = true;
        }
        self.shared.queue.add(uid.clone());
    }

    /// The pod is gone.
    pub fn forget(&self, uid: &PodUid) {
        self.shared.entries.lock().remove(uid);
    }
}

impl Entry {
    fn observe(&mut self, object: &Pod) {
        let seen = Server::of(object);
        let newer = self.server.as_ref().is_none_or(|known| known.uid != seen.uid || known.version < seen.version);
        if newer {
            self.server = Some(seen);
        }
    }

    /// What to send, if anything.
    fn difference(&self) -> Option<serde_json::Value> {
        let server = self.server.as_ref()?;
        // A server that stores a status differently than it was sent must not be asked for ever.
        if server.ours && self.sent.as_ref() == Some(&self.status) {
            return None;
        }
        patch::diff(&server.status, &self.status)
    }
}

impl Shared {
    async fn reconcile(&self, client: &Client, uid: &PodUid) -> Result<Outcome, kube::Error> {
        let Some(entry) = self.entries.lock().get(uid).cloned() else { return Ok(Outcome::Done) };
        let Some(server) = &entry.server else { return Ok(Outcome::Done) };
        let api: Api<Pod> = Api::namespaced(client.clone(), &entry.key.namespace);
        let result = match entry.difference() {
            Some(status) => self.send(&api, uid, &entry, &server.uid, status).await,
            None => Ok(server.deleting),
        };
        let result = match result {
            Ok(true) if entry.finished => delete(&api, &entry.key.name, &server.uid).await,
            other => other.map(drop),
        };
        settle(result)
    }

    /// Sends a patch; answers whether the pod is being deleted.
    async fn send(
        &self,
        api: &Api<Pod>,
        uid: &PodUid,
        entry: &Entry,
        server_uid: &str,
        status: serde_json::Value,
    ) -> Result<bool, kube::Error> {
        let patch = json!({"metadata": {"uid": server_uid}, "status": status});
        let answer = api.patch_status(&entry.key.name, &PatchParams::default(), &Patch::Strategic(&patch)).await?;
        let deleting = answer.deletion_timestamp().is_some();
        if let Some(known) = self.entries.lock().get_mut(uid) {
            let seen = Server { ours: true, ..Server::of(&answer) };
            if known.server.as_ref().is_none_or(|old| old.version <= seen.version) {
                known.server = Some(seen);
            }
            known.sent = Some(Arc::clone(&entry.status));
        }
        Ok(deleting)
    }
}

async fn delete(api: &Api<Pod>, name: &str, uid: &str) -> Result<(), kube::Error> {
    let preconditions = Preconditions { uid: Some(uid.to_owned()), resource_version: None };
    let parameters =
        DeleteParams { grace_period_seconds: Some(0), preconditions: Some(preconditions), ..DeleteParams::default() };
    api.delete(name, &parameters).await.map(drop)
}

/// A pod that is gone, or another of the same name, needs no status; a server that is away is tried again soon.
fn settle(result: Result<(), kube::Error>) -> Result<Outcome, kube::Error> {
    match result {
        Ok(()) => Ok(Outcome::Done),
        Err(kube::Error::Api(status)) if is_moot(&status) => Ok(Outcome::Done),
        Err(error @ kube::Error::Api(_)) => Err(error),
        Err(error) => {
            tracing::info!(retry_in = ?RETRY, "pod status: {error}");
            Ok(Outcome::RequeueAfter(RETRY))
        }
    }
}

/// The API's object for a pod: itself, or the mirror of a static pod.
#[must_use]
pub fn on_server(store: &Store<Pod>, pod: &Pod) -> Option<Arc<Pod>> {
    let object = store.get(&pod.key())?;
    let belongs = if pod.is_static() { object.is_mirror() } else { object.uid() == pod.uid() };
    belongs.then_some(object)
}
