//! The kubelet's one loop: news from everywhere, handed to the pods' workers. It dispatches; it does no work.

mod housekeeping;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use api_types::core::{Node, Pod};
use api_types::jiff::Timestamp;
use component::informer::{Informer, ObjectKey};
use component::liveness::Pulse;
use component::recorder::EventType::Warning;
use tokio::sync::mpsc;

use self::housekeeping::{Found, Housekeeper};
use crate::admission::{admit, supported, sysctls, welcome};
use crate::pleg::PodChanged;
use crate::pod::{PodExt, annotations, grace, sound};
use crate::runtime::PodUid;
use crate::sources::inbox::Inbox;
use crate::sources::mirror::Mirrors;
use crate::sources::{Manifests, StaticSource};
use crate::status::manager::on_server;
use crate::status::{Reason, is_over, rejected};
use crate::workers::{Desired, Intent, Workers};

/// How often what no pod owns is looked for.
const HOUSEKEEPING: Duration = Duration::from_secs(30);
/// The loop hangs when it has not turned for so long.
pub const HANGS_AFTER: Duration = HOUSEKEEPING.saturating_mul(4);

/// The API's side.
pub struct ApiSide {
    /// This node's pods.
    pub pods: Informer<Pod>,
    /// This node.
    pub node: Informer<Node>,
    /// Keys of pods that changed, all of them first.
    pub inbox: Arc<Inbox>,
    /// Mirror pods.
    pub mirrors: Mirrors,
}

/// What the loop waits for.
enum Input {
    ApiPods(BTreeSet<ObjectKey>),
    Manifests(Manifests),
    Runtime(PodChanged),
    WorkerEnded,
    Housekeeping,
    Found(Found),
}

/// The loop's state.
pub struct Dispatcher {
    workers: Workers,
    housekeeper: Housekeeper,
    api: Option<ApiSide>,
    /// Whether the API has told of all its pods.
    api_heard: bool,
    /// Sources of static pods that have not reported yet.
    awaited: HashSet<StaticSource>,
    /// Mirrors that changed while a source of static pods was awaited: nobody knows yet whether they are wanted.
    mirrors: BTreeSet<ObjectKey>,
    /// Which pod has a name in the API.
    by_key: HashMap<ObjectKey, PodUid>,
    /// Pods that this node refused.
    refused: HashSet<PodUid>,
    /// What each source of static pods has.
    statics: HashMap<StaticSource, HashMap<PodUid, Arc<Pod>>>,
    /// Static pods that wait until another of the same name has stopped.
    waiting: Vec<Arc<Pod>>,
    /// When the loop last turned: at least as often as it keeps house.
    pulse: Pulse,
}

impl Dispatcher {
    /// A loop that waits for these sources before it takes anything for an orphan.
    #[must_use]
    pub fn new(workers: Workers, api: Option<ApiSide>, awaited: HashSet<StaticSource>) -> Self {
        Self {
            housekeeper: Housekeeper::start(workers.context()),
            api_heard: api.is_none(),
            workers,
            api,
            awaited,
            mirrors: BTreeSet::new(),
            by_key: HashMap::new(),
            refused: HashSet::new(),
            statics: HashMap::new(),
            waiting: Vec::new(),
            pulse: Pulse::default(),
        }
    }

    /// When the loop last turned.
    #[must_use]
    pub fn pulse(&self) -> Pulse {
        self.pulse.clone()
    }

    /// For ever.
    pub async fn run(mut self, mut manifests: mpsc::Receiver<Manifests>, mut changes: mpsc::Receiver<PodChanged>) {
        let mut housekeeping = tokio::time::interval_at(tokio::time::Instant::now() + HOUSEKEEPING, HOUSEKEEPING);
        loop {
            let input = tokio::select! {
                keys = next_keys(self.api.as_ref()) => Input::ApiPods(keys),
                Some(manifests) = manifests.recv() => Input::Manifests(manifests),
                Some(change) = changes.recv() => Input::Runtime(change),
                () = self.workers.ended() => Input::WorkerEnded,
                _ = housekeeping.tick() => Input::Housekeeping,
                found = self.housekeeper.found() => Input::Found(found),
            };
            self.pulse.beat();
            self.handle(input);
        }
    }

    fn handle(&mut self, input: Input) {
        match input {
            Input::ApiPods(keys) => {
                self.api_pods(keys);
                if !std::mem::replace(&mut self.api_heard, true) {
                    self.housekeeping();
                }
            }
            Input::Manifests(manifests) => {
                let first = self.awaited.remove(&manifests.source);
                self.manifests(manifests);
                if first {
                    self.static_source_heard();
                }
            }
            Input::Runtime(PodChanged { uid, look }) => self.workers.show(&uid, look),
            Input::WorkerEnded => self.start_waiting(),
            Input::Housekeeping => self.housekeeping(),
            Input::Found(found) => self.remove_orphans(found),
        }
    }

    fn static_source_heard(&mut self) {
        if self.awaited.is_empty() {
            for key in std::mem::take(&mut self.mirrors) {
                self.touch_mirror(&key);
            }
        }
        self.housekeeping();
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

    /// Whether a static pod of this uid is called so.
    fn is_mirror_of(&self, key: &ObjectKey, uid: &PodUid) -> bool {
        self.statics.values().filter_map(|pods| pods.get(uid)).any(|pod| pod.key() == *key)
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
            // Anybody can write the annotation; only a static pod's own mirror is believed.
            if let Some(uid) =
                pod.annotation(annotations::CONFIG_MIRROR).map(PodUid::from).filter(|uid| self.is_mirror_of(key, uid))
            {
                self.workers.context().statuses.observe(&uid, &pod);
            }
            self.touch_mirror(key);
            return;
        }
        let pod = from_api(pod);
        let uid = pod.uid();
        self.workers.context().statuses.observe(&uid, &pod);
        let new = self.by_key.insert(key.clone(), uid.clone()).is_none();
        if let Err(why) = sound::check(&pod) {
            self.never_run(&pod, &why, new);
            return;
        }
        if new && !self.admits(&pod) {
            self.refused.insert(uid.clone());
        }
        match intent(&pod) {
            Intent::Run if self.refused.contains(&uid) => {}
            intent => self.workers.tell(Desired::new(pod, intent)),
        }
    }

    /// A pod whose names are no names: no worker may ever make a path of them. Nothing of it is on this node.
    fn never_run(&mut self, pod: &Arc<Pod>, why: &Reason, new: bool) {
        if new {
            self.refuse(pod, why);
        }
        self.refused.insert(pod.uid());
        self.workers.context().statuses.finish(&pod.uid());
    }

    /// Tells everybody that this node does not run the pod.
    fn refuse(&self, pod: &Arc<Pod>, why: &Reason) {
        let context = self.workers.context();
        context.events.pod(pod, Warning, &why.reason, &why.message);
        let server = self.api.as_ref().and_then(|api| on_server(api.pods.store(), pod));
        context.statuses.set(pod, rejected(pod, why, Timestamp::now()), server.as_deref());
    }

    /// A pod that has begun already is not asked again.
    fn admits(&self, pod: &Arc<Pod>) -> bool {
        let begun = pod.phase() == "Running" || is_over(pod) || pod.deletion_timestamp().is_some();
        if begun {
            return true;
        }
        let context = self.workers.context();
        let others = self.workers.pods();
        let others = others.iter().filter(|other| other.uid() != pod.uid() && !is_over(other));
        let others: Vec<Arc<Pod>> = others.map(|other| context.allocations.applied(other)).collect();
        let others: Vec<&Pod> = others.iter().map(AsRef::as_ref).collect();
        let node = self.api.as_ref().and_then(|api| api.node.store().list().into_iter().next());
        let pressures = context.pressures.borrow().clone();
        let admitted = supported(pod)
            .and_then(|()| welcome(pod, &pressures))
            .and_then(|()| sysctls::check(pod, &context.node.unsafe_sysctls))
            .and_then(|()| admit(pod, &others, &context.node.allocatable, node.as_deref()));
        match admitted {
            Ok(()) => true,
            Err(why) => {
                self.refuse(pod, &why);
                false
            }
        }
    }

    fn remove(&mut self, uid: &PodUid) {
        match self.workers.pod(uid) {
            Some(pod) => {
                let grace = grace::of_removal(&pod);
                self.workers.tell(Desired::new(pod, Intent::Remove { grace }));
            }
            None => self.workers.context().statuses.forget(uid),
        }
    }

    fn touch_mirror(&mut self, key: &ObjectKey) {
        if !self.awaited.is_empty() {
            self.mirrors.insert(key.clone());
        } else if let Some(api) = &self.api {
            api.mirrors.touch(key.clone());
        }
    }

    fn manifests(&mut self, manifests: Manifests) {
        let sound = manifests.pods.into_iter().filter(|pod| match sound::check(pod) {
            Ok(()) => true,
            Err(why) => {
                tracing::error!(source = manifests.source.as_str(), "{}", why.message);
                false
            }
        });
        let new: HashMap<PodUid, Arc<Pod>> = sound.map(|pod| (pod.uid(), pod)).collect();
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
            self.workers.tell(Desired::new(pod, Intent::Run));
            self.touch_mirror(&key);
        }
    }

    /// Looks for what no pod owns, once every source has told what it has: before that, nothing is known to be absent.
    fn housekeeping(&self) {
        if self.api_heard && self.awaited.is_empty() {
            self.housekeeper.look();
        }
    }

    fn remove_orphans(&self, found: Found) {
        for orphan in found.orphans(&self.workers.context().node.name, |uid| self.is_wanted(uid)) {
            tracing::info!(pod = %orphan.described(), "removing what is left of a pod that nobody wants");
            self.workers.tell(Desired::new(Arc::new(orphan), Intent::Remove { grace: grace::MINIMUM }));
        }
    }

    /// Whether a source has the pod, readable or not, or its worker is not through with it.
    fn is_wanted(&self, uid: &PodUid) -> bool {
        let in_api = || !self.refused.contains(uid) && self.by_key.values().any(|known| known == uid);
        let unreadable = || self.api.as_ref().is_some_and(|api| api.pods.passes_over(uid.as_str()));
        let in_manifests = || self.statics.values().any(|pods| pods.contains_key(uid));
        self.workers.pod(uid).is_some() || in_api() || in_manifests() || unreadable()
    }
}

async fn next_keys(api: Option<&ApiSide>) -> BTreeSet<ObjectKey> {
    match api {
        Some(api) => api.inbox.next().await,
        None => std::future::pending().await,
    }
}

/// What the API says should become of a pod.
fn intent(pod: &Pod) -> Intent {
    match pod.deletion_timestamp() {
        None => Intent::Run,
        Some(_) => Intent::Terminate { grace: grace::of_deletion(pod) },
    }
}

/// A pod of the API is one, whatever its annotations say.
fn from_api(pod: Arc<Pod>) -> Arc<Pod> {
    if !pod.is_static() {
        return pod;
    }
    let mut honest = Arc::unwrap_or_clone(pod);
    let annotations = honest.metadata.annotations.get_or_insert_default();
    annotations.insert(annotations::CONFIG_SOURCE.to_owned(), annotations::SOURCE_API.to_owned());
    Arc::new(honest)
}
