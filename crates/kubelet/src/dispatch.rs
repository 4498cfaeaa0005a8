//! The kubelet's one loop: news from everywhere, handed to the pods' workers. It dispatches; it does no work.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use api_types::core::{Node, Pod};
use api_types::jiff::Timestamp;
use api_types::meta::ObjectMeta;
use component::informer::{Informer, ObjectKey};
use component::recorder::EventType::Warning;
use tokio::sync::mpsc;

use crate::admission::admit;
use crate::pleg::PodChanged;
use crate::pod::{PodExt, annotations};
use crate::runtime::{PodUid, RuntimePod, SandboxId};
use crate::sources::inbox::Inbox;
use crate::sources::mirror::Mirrors;
use crate::sources::{Manifests, StaticSource};
use crate::status::manager::on_server;
use crate::status::{is_over, rejected};
use crate::volumes::pods_on_disk;
use crate::workers::{Desired, Intent, NODE_LABEL, Workers};

/// How often what no pod owns is looked for.
const HOUSEKEEPING: Duration = Duration::from_secs(30);
/// Least grace of a pod that is gone from its source, as upstream.
const MINIMUM_GRACE: u32 = 1;
const DEFAULT_GRACE: i64 = 30;

/// The API's side.
pub struct ApiSide {
    /// This node's pods.
    pub pods: Informer<Pod>,
    /// This node.
    pub node: Informer<Node>,
    /// Keys of pods that changed.
    pub inbox: Arc<Inbox>,
    /// Mirror pods.
    pub mirrors: Mirrors,
}

/// What the loop waits for.
enum Input {
    ApiPods(BTreeSet<ObjectKey>),
    ApiSynced,
    Manifests(Manifests),
    Runtime(PodUid),
    WorkerEnded,
    Housekeeping,
}

/// The loop's state.
pub struct Dispatcher {
    workers: Workers,
    api: Option<ApiSide>,
    /// Whether the API's pods have been seen.
    api_synced: bool,
    /// Sources of static pods that have not reported yet.
    awaited: HashSet<StaticSource>,
    /// Which pod has a name in the API.
    by_key: HashMap<ObjectKey, PodUid>,
    /// Pods that this node refused.
    refused: HashSet<PodUid>,
    /// What each source of static pods has.
    statics: HashMap<StaticSource, HashMap<PodUid, Arc<Pod>>>,
    /// Static pods that wait until another of the same name has stopped.
    waiting: Vec<Arc<Pod>>,
    /// `--root-dir`.
    root: PathBuf,
}

impl Dispatcher {
    /// A loop that waits for these sources before it takes anything for an orphan.
    #[must_use]
    pub fn new(workers: Workers, api: Option<ApiSide>, awaited: HashSet<StaticSource>) -> Self {
        Self {
            root: workers.context().root.clone(),
            api_synced: api.is_none(),
            workers,
            api,
            awaited,
            by_key: HashMap::new(),
            refused: HashSet::new(),
            statics: HashMap::new(),
            waiting: Vec::new(),
        }
    }

    /// For ever.
    pub async fn run(mut self, mut manifests: mpsc::Receiver<Manifests>, mut changes: mpsc::Receiver<PodChanged>) {
        let mut housekeeping = tokio::time::interval_at(tokio::time::Instant::now() + HOUSEKEEPING, HOUSEKEEPING);
        loop {
            let input = tokio::select! {
                keys = next_keys(self.api.as_ref()) => Input::ApiPods(keys),
                () = synced(self.api.as_ref()), if !self.api_synced => Input::ApiSynced,
                Some(manifests) = manifests.recv() => Input::Manifests(manifests),
                Some(PodChanged(uid)) = changes.recv() => Input::Runtime(uid),
                () = self.workers.ended() => Input::WorkerEnded,
                _ = housekeeping.tick() => Input::Housekeeping,
            };
            self.handle(input).await;
        }
    }

    async fn handle(&mut self, input: Input) {
        match input {
            Input::ApiPods(keys) => self.api_pods(keys),
            Input::ApiSynced => {
                self.api_synced = true;
                self.housekeeping().await;
            }
            Input::Manifests(manifests) => {
                let first = self.awaited.remove(&manifests.source);
                self.manifests(manifests);
                if first {
                    self.housekeeping().await;
                }
            }
            Input::Runtime(uid) => self.workers.nudge(&uid),
            Input::WorkerEnded => self.start_waiting(),
            Input::Housekeeping => self.housekeeping().await,
        }
    }

    /// Oldest first, so that pods are admitted again in the order in which they were.
    fn api_pods(&mut self, keys: BTreeSet<ObjectKey>) {
        let Some(api) = &self.api else { return };
        let store = api.pods.store();
        let mut found: Vec<(ObjectKey, Option<Arc<Pod>>)> =
            keys.into_iter().map(|key| (key.clone(), store.get(&key))).collect();
        found.sort_by_key(|(_, pod)| {
            pod.as_ref().and_then(|pod| pod.metadata.creation_timestamp.as_ref().map(|time| time.0))
        });
        for (key, pod) in found {
            self.api_pod(&key, pod);
        }
    }

    fn api_pod(&mut self, key: &ObjectKey, pod: Option<Arc<Pod>>) {
        let own = pod.as_ref().filter(|pod| !pod.is_mirror());
        if let Some(old) = self.by_key.get(key).filter(|old| own.is_none_or(|pod| pod.uid() != **old)).cloned() {
            self.by_key.remove(key);
            self.refused.remove(&old);
            self.remove(&old);
        }
        let Some(pod) = pod else {
            self.touch_mirror(key);
            return;
        };
        if pod.is_mirror() {
            if let Some(uid) = pod.annotation(annotations::CONFIG_MIRROR) {
                self.workers.context().statuses.observe(&uid.into(), &pod);
            }
            self.touch_mirror(key);
            return;
        }
        let uid = pod.uid();
        self.workers.context().statuses.observe(&uid, &pod);
        let new = self.by_key.insert(key.clone(), uid.clone()).is_none();
        if new && !self.admits(&pod) {
            self.refused.insert(uid.clone());
        }
        match intent(&pod) {
            Intent::Run if self.refused.contains(&uid) => {}
            intent => self.workers.tell(Desired { pod, intent }),
        }
    }

    /// A pod that has begun already is not asked again.
    fn admits(&self, pod: &Arc<Pod>) -> bool {
        let begun = pod.phase() == "Running" || is_over(pod) || pod.deletion_timestamp().is_some();
        if begun {
            return true;
        }
        let others = self.workers.pods();
        let others: Vec<&Pod> =
            others.iter().map(AsRef::as_ref).filter(|other| other.uid() != pod.uid() && !is_over(other)).collect();
        let context = self.workers.context();
        let node = self.api.as_ref().and_then(|api| api.node.store().list().into_iter().next());
        match admit(pod, &others, &context.node.allocatable, node.as_deref()) {
            Ok(()) => true,
            Err(why) => {
                context.events.pod(pod, Warning, &why.reason, &why.message);
                let server = self.api.as_ref().and_then(|api| on_server(api.pods.store(), pod));
                context.statuses.set(pod, rejected(pod, &why, Timestamp::now()), server.as_deref());
                false
            }
        }
    }

    fn remove(&mut self, uid: &PodUid) {
        match self.workers.pod(uid) {
            Some(pod) => {
                let grace = pod.metadata.deletion_grace_period_seconds.or(own_grace(&pod)).unwrap_or(DEFAULT_GRACE);
                let grace = u32::try_from(grace).unwrap_or(0).max(MINIMUM_GRACE);
                self.workers.tell(Desired { pod, intent: Intent::Remove { grace } });
            }
            None => self.workers.context().statuses.forget(uid),
        }
    }

    fn touch_mirror(&self, key: &ObjectKey) {
        if let Some(api) = &self.api {
            api.mirrors.touch(key.clone());
        }
    }

    fn manifests(&mut self, manifests: Manifests) {
        let new: HashMap<PodUid, Arc<Pod>> = manifests.pods.into_iter().map(|pod| (pod.uid(), pod)).collect();
        let old = self.statics.insert(manifests.source, new.clone()).unwrap_or_default();
        for (uid, pod) in &old {
            if !new.contains_key(uid) {
                self.waiting.retain(|waiting| waiting.uid() != *uid);
                self.remove(uid);
                self.touch_mirror(&pod.key());
            }
        }
        for (uid, pod) in new {
            if !old.contains_key(&uid) {
                self.waiting.push(pod);
            }
        }
        self.start_waiting();
    }

    /// Starts static pods whose name is free.
    fn start_waiting(&mut self) {
        for pod in std::mem::take(&mut self.waiting) {
            let key = pod.key();
            if self.workers.has_name(&key) {
                self.waiting.push(pod);
                continue;
            }
            self.workers.tell(Desired { pod, intent: Intent::Run });
            self.touch_mirror(&key);
        }
    }

    /// Removes what no pod owns: containers, directories, addresses. Only when every source has been heard.
    async fn housekeeping(&mut self) {
        if !self.api_synced || !self.awaited.is_empty() {
            return;
        }
        let context = Arc::clone(self.workers.context());
        let pods = match context.runtime.list_pods().await {
            Ok(pods) => pods,
            Err(error) => {
                tracing::warn!("looking for orphans: {error}");
                return;
            }
        };
        let live: Vec<SandboxId> =
            pods.iter().flat_map(|pod| &pod.sandboxes).map(|sandbox| sandbox.id.clone()).collect();
        if let Err(error) = context.network.release_all_but(&live).await {
            tracing::warn!("releasing addresses: {error}");
        }
        let root = self.root.clone();
        let on_disk = tokio::task::spawn_blocking(move || pods_on_disk(&root)).await.unwrap_or_default();
        let with_directory = on_disk.into_iter().map(|uid| orphan(&uid, None));
        let own = |pod: &&RuntimePod| is_own(pod, &context.node.name);
        let with_containers = pods.iter().filter(own).map(|pod| orphan(&pod.identity.uid, Some(pod)));
        for orphan in with_containers.chain(with_directory) {
            if self.workers.pod(&orphan.uid()).is_none() {
                tracing::info!(pod = %orphan.described(), "removing what is left of a pod that nobody wants");
                self.workers.tell(Desired { pod: Arc::new(orphan), intent: Intent::Remove { grace: MINIMUM_GRACE } });
            }
        }
    }
}

async fn next_keys(api: Option<&ApiSide>) -> BTreeSet<ObjectKey> {
    match api {
        Some(api) => api.inbox.next().await,
        None => std::future::pending().await,
    }
}

async fn synced(api: Option<&ApiSide>) {
    match api {
        Some(api) => api.pods.synced().await,
        None => std::future::pending().await,
    }
}

/// What the API says should become of a pod.
fn intent(pod: &Pod) -> Intent {
    match pod.deletion_timestamp() {
        None => Intent::Run,
        Some(_) => {
            let grace = pod.metadata.deletion_grace_period_seconds.or(own_grace(pod)).unwrap_or(DEFAULT_GRACE);
            Intent::Terminate { grace: u32::try_from(grace).unwrap_or(0).max(MINIMUM_GRACE) }
        }
    }
}

fn own_grace(pod: &Pod) -> Option<i64> {
    pod.pod_spec().termination_grace_period_seconds
}

/// Whether this node's kubelet made some of it: another's may share the runtime.
fn is_own(pod: &RuntimePod, node: &str) -> bool {
    let sandboxes = pod.sandboxes.iter().map(|sandbox| &sandbox.labels);
    let mut labels = sandboxes.chain(pod.containers.iter().map(|container| &container.labels));
    labels.any(|labels| labels.get(NODE_LABEL).is_some_and(|name| name == node))
}

/// A pod of which only containers or files are known.
fn orphan(uid: &PodUid, found: Option<&RuntimePod>) -> Pod {
    let identity = found.map(|pod| pod.identity.clone()).unwrap_or_default();
    Pod {
        metadata: ObjectMeta {
            uid: Some(uid.0.clone()),
            name: Some(identity.name),
            namespace: Some(identity.namespace),
            ..ObjectMeta::default()
        },
        ..Pod::default()
    }
}
