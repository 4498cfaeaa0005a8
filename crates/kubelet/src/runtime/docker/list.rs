//! All pods, from one list and a look at each container that may have changed since the last.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use bollard::models::{
    ContainerInspectResponse, ContainerStateStatusEnum as Status, ContainerSummary, ContainerSummaryStateEnum as State,
};
use bollard::query_parameters::ListContainersOptions;
use futures::{StreamExt, TryStreamExt};
use jiff::Timestamp;
use parking_lot::Mutex;

use super::client::translate;
use super::labels::{self, Labels};
use super::{
    ContainerState, ContainerStatus, DockerRuntime, PodIdentity, PodUid, Result, RuntimeError, RuntimePod,
    SandboxStatus, inspect, user,
};

/// How many containers are looked at at the same time.
const CONCURRENCY: usize = 8;

/// A sandbox or a container.
#[derive(Debug, Clone)]
enum Item {
    Sandbox(SandboxStatus),
    Container(Box<ContainerStatus>),
}

/// What was read of containers. A running container keeps its start time, a finished one its exit code, so what has
/// the same state in the next list need not be read again.
#[derive(Default)]
pub(super) struct InspectCache(Mutex<HashMap<String, Known>>);

struct Known {
    /// As Docker's lists name it.
    state: State,
    /// When it was asked for.
    asked_at: Timestamp,
    item: Arc<Item>,
}

impl InspectCache {
    /// Something has happened to this container. What was asked for later knows of it already.
    pub(super) fn forget(&self, id: &str, happened_at: Timestamp) {
        let mut cache = self.0.lock();
        if cache.get(id).is_some_and(|known| known.asked_at <= happened_at) {
            cache.remove(id);
        }
    }

    /// The main process of a container that ran when it was last read.
    pub(super) fn pid(&self, id: &str) -> Option<u32> {
        match self.0.lock().get(id)?.item.as_ref() {
            Item::Container(container) => match container.state {
                ContainerState::Running { pid, .. } if pid != 0 => Some(pid),
                _ => None,
            },
            Item::Sandbox(sandbox) => sandbox.pid,
        }
    }

    fn get(&self, id: &str, state: State) -> Option<Arc<Item>> {
        let cache = self.0.lock();
        cache.get(id).filter(|known| known.state == state).map(|known| Arc::clone(&known.item))
    }

    fn keep(&self, id: &str, known: Known) {
        if matches!(known.state, State::RUNNING | State::EXITED) {
            self.0.lock().insert(id.to_owned(), known);
        }
    }

    fn retain(&self, summaries: &[ContainerSummary]) {
        let present: HashSet<&str> = summaries.iter().filter_map(|summary| summary.id.as_deref()).collect();
        self.0.lock().retain(|id, _| present.contains(id.as_str()));
    }
}

impl DockerRuntime {
    /// Every pod, or the one with this uid.
    pub(super) async fn list(&self, uid: Option<&PodUid>) -> Result<Vec<RuntimePod>> {
        let mut wanted = vec![labels::TYPE.to_owned()];
        wanted.extend(uid.map(|uid| format!("{}={uid}", labels::POD_UID)));
        let options = ListContainersOptions {
            all: true,
            filters: Some(HashMap::from([("label".to_owned(), wanted)])),
            ..ListContainersOptions::default()
        };
        let summaries = self.client.docker()?.list_containers(Some(options)).await;
        let summaries = summaries.map_err(|error| translate("list containers", "all", error))?;
        if uid.is_none() {
            self.cache.retain(&summaries);
        }
        let items: Vec<_> = futures::stream::iter(summaries.into_iter().map(|summary| self.item(summary)))
            .buffer_unordered(CONCURRENCY)
            .map(|item| if uid.is_none() { readable(item) } else { item })
            .try_collect()
            .await?;
        Ok(group(items.into_iter().flatten()))
    }

    /// `None` if it has gone since it was listed.
    async fn item(&self, summary: ContainerSummary) -> Result<Option<(PodIdentity, Arc<Item>)>> {
        if let Some(sandbox) = inspect::dead_sandbox(&summary) {
            let pod = Labels(&summary.labels.unwrap_or_default()).pod();
            return Ok(Some((pod, Arc::new(Item::Sandbox(sandbox)))));
        }
        let ContainerSummary { id, labels, state, .. } = summary;
        let (id, state) = (id.unwrap_or_default(), state.unwrap_or(State::EMPTY));
        let pod = Labels(&labels.unwrap_or_default()).pod();
        if let Some(known) = self.cache.get(&id, state) {
            return Ok(Some((pod, known)));
        }
        match self.read(&id).await {
            Err(RuntimeError::NotFound(_)) => Ok(None),
            read => Ok(Some((pod, read?.1))),
        }
    }

    /// Reads a container or sandbox, and remembers it.
    async fn read(&self, id: &str) -> Result<(ContainerInspectResponse, Arc<Item>)> {
        let asked_at = Timestamp::now();
        let details = self.inspect(id).await?;
        let item = Arc::new(item_of(&details)?);
        self.cache.keep(id, Known { state: state_of(&details), asked_at, item: Arc::clone(&item) });
        Ok((details, item))
    }

    /// A container as it is now.
    pub(super) async fn read_container(&self, id: &str) -> Result<ContainerStatus> {
        match self.read(id).await?.1.as_ref() {
            Item::Container(container) => Ok(ContainerStatus::clone(container)),
            Item::Sandbox(_) => Err(RuntimeError::NotFound(id.to_owned())),
        }
    }

    /// A sandbox as it is now, with all its details.
    pub(super) async fn read_sandbox(&self, id: &str) -> Result<(ContainerInspectResponse, SandboxStatus)> {
        let (details, item) = self.read(id).await?;
        match item.as_ref() {
            Item::Sandbox(sandbox) => Ok((details, sandbox.clone())),
            Item::Container(_) => Err(RuntimeError::NotFound(id.to_owned())),
        }
    }
}

/// Of all pods, a container that makes no sense is left out, so that nobody can hide the others behind one. Who asks
/// for its pod alone is told.
fn readable<T>(item: Result<Option<T>>) -> Result<Option<T>> {
    match item {
        Err(error @ RuntimeError::Broken { .. }) => {
            tracing::warn!("a container is left out: {error}");
            Ok(None)
        }
        item => item,
    }
}

/// What a list would say.
fn state_of(details: &ContainerInspectResponse) -> State {
    match details.state.as_ref().and_then(|state| state.status) {
        Some(Status::RUNNING) => State::RUNNING,
        Some(Status::EXITED) => State::EXITED,
        _ => State::EMPTY,
    }
}

fn item_of(details: &ContainerInspectResponse) -> Result<Item> {
    let labels = details.config.as_ref().and_then(|config| config.labels.as_ref());
    let kind = labels.and_then(|labels| labels.get(labels::TYPE)).map(String::as_str);
    if kind == Some(labels::TYPE_SANDBOX) {
        inspect::sandbox(details).map(Item::Sandbox)
    } else {
        inspect::container(details).map(|mut status| {
            user::find(&mut status);
            Item::Container(Box::new(status))
        })
    }
}

fn group(items: impl Iterator<Item = (PodIdentity, Arc<Item>)>) -> Vec<RuntimePod> {
    let mut pods: BTreeMap<PodUid, RuntimePod> = BTreeMap::new();
    for (identity, item) in items {
        let pod = pods.entry(identity.uid.clone()).or_default();
        pod.identity = identity;
        match item.as_ref() {
            Item::Sandbox(sandbox) => pod.sandboxes.push(sandbox.clone()),
            Item::Container(container) => pod.containers.push(ContainerStatus::clone(container)),
        }
    }
    for pod in pods.values_mut() {
        pod.sort();
    }
    pods.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_read_after_an_event_need_not_be_read_again() {
        let at = |second: i64| Timestamp::from_second(second).unwrap();
        let sandbox = r#"{"Id": "a", "State": {"Status": "running", "Running": true},
            "Config": {"Labels": {"io.kubernetes.docker.type": "podsandbox"}}}"#;
        let details: ContainerInspectResponse = serde_json::from_str(sandbox).unwrap();
        let cache = InspectCache::default();
        let known =
            |asked_at| Known { state: state_of(&details), asked_at, item: Arc::new(item_of(&details).unwrap()) };
        for (asked, happened, kept) in [(5, 4, true), (5, 5, false), (5, 6, false)] {
            cache.keep("a", known(at(asked)));
            cache.forget("a", at(happened));
            assert_eq!(cache.get("a", State::RUNNING).is_some(), kept, "asked at {asked}, happened at {happened}");
        }
        cache.keep("a", known(at(5)));
        assert!(cache.get("a", State::EXITED).is_none(), "another state than it was read in");
    }

    #[test]
    fn one_container_that_makes_no_sense_hides_no_others() {
        let broken = || item_of(&ContainerInspectResponse::default()).map(Some);
        assert!(broken().is_err());
        assert!(readable(broken()).is_ok_and(|item| item.is_none()));
        let lost: Result<Option<Item>> = Err(RuntimeError::Unreachable("gone".into()));
        assert!(readable(lost).is_err(), "that says nothing about the container");
    }
}
