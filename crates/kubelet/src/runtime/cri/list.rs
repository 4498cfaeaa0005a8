//! All pods, from two lists and a look at whatever may have changed since the last.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use futures::{StreamExt, TryStreamExt};
use parking_lot::Mutex;

use super::client::Method;
use super::events::Id;
use super::protocol::{
    ContainerFilter, ContainerStatusResponse, ListContainersRequest, ListContainersResponse, ListPodSandboxRequest,
    ListPodSandboxResponse, PodSandboxFilter, PodSandboxState, PodSandboxStatusResponse, State, StatusOfId,
};
use super::{
    ContainerId, ContainerState, ContainerStatus, PodIdentity, PodUid, Result, RuntimeError, RuntimePod, SandboxId,
    SandboxState, SandboxStatus, Shared, inspect, labels, user,
};

/// How many sandboxes and containers are looked at at the same time.
const CONCURRENCY: usize = 8;

/// A sandbox or a container, and whose it is.
#[derive(Debug)]
pub(super) enum Item {
    Sandbox(PodIdentity, SandboxStatus),
    Container(PodIdentity, Box<ContainerStatus>),
}

/// A state as a list tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Listed {
    Sandbox(PodSandboxState),
    Container(State),
}

impl Listed {
    /// Whether what has the same state in the next list need not be read again: a running container keeps its start
    /// time, a finished one its exit code, a sandbox its addresses.
    fn is_lasting(self) -> bool {
        matches!(self, Self::Sandbox(_) | Self::Container(State::Running | State::Exited))
    }
}

/// What was read of each, with the state that the list gave it then.
#[derive(Default)]
pub(super) struct InspectCache(Mutex<HashMap<String, (Listed, Arc<Item>)>>);

impl InspectCache {
    /// Something happened to this one.
    pub(super) fn forget(&self, id: &str) {
        self.0.lock().remove(id);
    }

    /// The main process of a container that ran when it was last read.
    pub(super) fn pid(&self, id: &str) -> Option<u32> {
        match self.0.lock().get(id)?.1.as_ref() {
            Item::Container(_, container) => match container.state {
                ContainerState::Running { pid, .. } if pid != 0 => Some(pid),
                _ => None,
            },
            Item::Sandbox(_, sandbox) => sandbox.pid,
        }
    }

    /// Containers that ran when they were last read.
    pub(super) fn running(&self) -> Vec<ContainerStatus> {
        let cache = self.0.lock();
        let containers = cache.values().filter_map(|(_, item)| match item.as_ref() {
            Item::Container(_, container) if container.state.is_running() => Some(ContainerStatus::clone(container)),
            _ => None,
        });
        containers.collect()
    }

    fn get(&self, id: &str, state: Listed) -> Option<Arc<Item>> {
        let cache = self.0.lock();
        cache.get(id).filter(|(known, _)| *known == state).map(|(_, item)| Arc::clone(item))
    }

    fn keep(&self, id: &str, state: Listed, item: Item) -> Arc<Item> {
        let item = Arc::new(item);
        if state.is_lasting() {
            self.0.lock().insert(id.to_owned(), (state, Arc::clone(&item)));
        }
        item
    }

    fn retain(&self, is_there: impl Fn(&str) -> bool) {
        self.0.lock().retain(|id, _| is_there(id));
    }
}

impl Shared {
    /// Every pod, or the one with this uid.
    pub(super) async fn list(self: &Arc<Self>, uid: Option<&PodUid>) -> Result<Vec<RuntimePod>> {
        let listed = self.listed(uid).await?;
        if uid.is_none() {
            let present: HashSet<&str> = listed.iter().map(|(id, _)| id.as_str()).collect();
            self.cache.retain(|id| present.contains(id));
            self.lives.retain(|id| present.contains(id));
        }
        let items: Vec<_> = futures::stream::iter(listed.into_iter().map(|(id, state)| self.item(id, state)))
            .buffer_unordered(CONCURRENCY)
            .map(|item| if uid.is_none() { readable(item) } else { item })
            .try_collect()
            .await?;
        Ok(group(items.into_iter().flatten()))
    }

    /// What there is of all pods or of one. Sandboxes are listed last: a container never comes without its sandbox.
    async fn listed(&self, uid: Option<&PodUid>) -> Result<Vec<(String, Listed)>> {
        let selector: BTreeMap<String, String> =
            uid.map(|uid| (labels::POD_UID.to_owned(), uid.0.clone())).into_iter().collect();
        let filter = Some(ContainerFilter { id: String::new(), label_selector: selector.clone() });
        let containers = self.client.call(Method::LIST_CONTAINERS, "all", ListContainersRequest { filter });
        let filter = Some(PodSandboxFilter { id: String::new(), label_selector: selector });
        let sandboxes = self.client.call(Method::LIST_SANDBOXES, "all", ListPodSandboxRequest { filter });
        let containers: ListContainersResponse = containers.await?;
        let sandboxes: ListPodSandboxResponse = sandboxes.await?;
        let ours = |labels: &BTreeMap<String, String>| labels::pod(labels).is_some();
        let containers = containers.containers.into_iter().filter(|container| ours(&container.labels));
        let containers = containers.map(|container| {
            let state = Listed::Container(container.state());
            (container.id, state)
        });
        let sandboxes = sandboxes.items.into_iter().filter(|sandbox| ours(&sandbox.labels)).map(|sandbox| {
            let state = Listed::Sandbox(sandbox.state());
            (sandbox.id, state)
        });
        Ok(containers.chain(sandboxes).collect())
    }

    /// `None` if it has gone since it was listed.
    async fn item(self: &Arc<Self>, id: String, state: Listed) -> Result<Option<Arc<Item>>> {
        if let Some(known) = self.cache.get(&id, state) {
            return Ok(Some(known));
        }
        let read = match state {
            Listed::Sandbox(_) => self.read_sandbox(&SandboxId(id.clone())).await,
            Listed::Container(_) => self.read_container(&ContainerId(id.clone())).await,
        };
        match read {
            Err(RuntimeError::NotFound(_)) => Ok(None),
            read => read,
        }
    }

    async fn read_sandbox(self: &Arc<Self>, id: &SandboxId) -> Result<Option<Arc<Item>>> {
        let question = StatusOfId { id: id.0.clone(), verbose: true };
        let answer: PodSandboxStatusResponse = self.client.call(Method::SANDBOX_STATUS, id.as_str(), question).await?;
        let Some((pod, sandbox)) = inspect::sandbox(answer)? else { return Ok(None) };
        let ready = sandbox.state == SandboxState::Ready;
        self.note(&pod.uid, Id::Sandbox(id.clone()), sandbox.pid, ready);
        let state = if ready { PodSandboxState::Ready } else { PodSandboxState::NotReady };
        Ok(Some(self.cache.keep(id.as_str(), Listed::Sandbox(state), Item::Sandbox(pod, sandbox))))
    }

    async fn read_container(self: &Arc<Self>, id: &ContainerId) -> Result<Option<Arc<Item>>> {
        let question = StatusOfId { id: id.0.clone(), verbose: true };
        let answer: ContainerStatusResponse = self.client.call(Method::CONTAINER_STATUS, id.as_str(), question).await?;
        let Some((pod, mut container)) = inspect::container(answer, self.name().await?)? else { return Ok(None) };
        user::find(&mut container);
        let (state, pid) = match container.state {
            ContainerState::Created => (State::Created, None),
            ContainerState::Running { pid, .. } => (State::Running, Some(pid).filter(|pid| *pid > 0)),
            ContainerState::Exited(_) => (State::Exited, None),
            ContainerState::Unknown => (State::Unknown, None),
        };
        self.note(&pod.uid, Id::Container(id.clone()), pid, state == State::Running);
        let item = Item::Container(pod, Box::new(container));
        Ok(Some(self.cache.keep(id.as_str(), Listed::Container(state), item)))
    }

    /// A sandbox as it is now.
    pub(super) async fn sandbox(self: &Arc<Self>, id: &SandboxId) -> Result<SandboxStatus> {
        match self.read_sandbox(id).await?.as_deref() {
            Some(Item::Sandbox(_, sandbox)) => Ok(sandbox.clone()),
            _ => Err(RuntimeError::NotFound(id.0.clone())),
        }
    }

    /// A container as it is now.
    pub(super) async fn container(self: &Arc<Self>, id: &ContainerId) -> Result<ContainerStatus> {
        match self.read_container(id).await?.as_deref() {
            Some(Item::Container(_, container)) => Ok(ContainerStatus::clone(container)),
            _ => Err(RuntimeError::NotFound(id.0.clone())),
        }
    }
}

/// Of all pods, what makes no sense is left out, so that nobody can hide the others behind it. Who asks for one pod alone
/// is told.
fn readable<T>(item: Result<Option<T>>) -> Result<Option<T>> {
    match item {
        Err(error @ RuntimeError::Broken { .. }) => {
            tracing::warn!("a container is left out: {error}");
            Ok(None)
        }
        item => item,
    }
}

fn group(items: impl Iterator<Item = Arc<Item>>) -> Vec<RuntimePod> {
    let mut pods: BTreeMap<PodUid, RuntimePod> = BTreeMap::new();
    for item in items {
        let (Item::Sandbox(identity, _) | Item::Container(identity, _)) = item.as_ref();
        let pod = pods.entry(identity.uid.clone()).or_default();
        pod.identity.clone_from(identity);
        match item.as_ref() {
            Item::Sandbox(_, sandbox) => pod.sandboxes.push(sandbox.clone()),
            Item::Container(_, container) => pod.containers.push(ContainerStatus::clone(container)),
        }
    }
    for pod in pods.values_mut() {
        pod.sort();
    }
    pods.into_values().collect()
}
