//! All pods, from one list and a look at each container that may have changed since the last.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use bollard::models::{ContainerInspectResponse, ContainerSummary, ContainerSummaryStateEnum as State};
use bollard::query_parameters::ListContainersOptions;
use futures::{StreamExt, TryStreamExt};
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

/// What was read of a container, with the state Docker's list gave it then. A running container keeps its start
/// time, a finished one its exit code, so what has the same state in the next list need not be read again.
#[derive(Default)]
pub(super) struct InspectCache(Mutex<HashMap<String, (State, Arc<Item>)>>);

impl InspectCache {
    /// Something happened to this container.
    pub(super) fn forget(&self, id: &str) {
        self.0.lock().remove(id);
    }

    /// The main process of a container that ran when it was last read.
    pub(super) fn pid(&self, id: &str) -> Option<u32> {
        match self.0.lock().get(id)?.1.as_ref() {
            Item::Container(container) => match container.state {
                ContainerState::Running { pid, .. } if pid != 0 => Some(pid),
                _ => None,
            },
            Item::Sandbox(sandbox) => sandbox.pid,
        }
    }

    fn get(&self, id: &str, state: State) -> Option<Arc<Item>> {
        let cache = self.0.lock();
        cache.get(id).filter(|(known, _)| *known == state).map(|(_, item)| Arc::clone(item))
    }

    fn keep(&self, id: &str, state: State, item: &Arc<Item>) {
        if matches!(state, State::RUNNING | State::EXITED) {
            self.0.lock().insert(id.to_owned(), (state, Arc::clone(item)));
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
        let ContainerSummary { id, labels, state, .. } = summary;
        let (id, state) = (id.unwrap_or_default(), state.unwrap_or(State::EMPTY));
        let pod = Labels(&labels.unwrap_or_default()).pod();
        if let Some(known) = self.cache.get(&id, state) {
            return Ok(Some((pod, known)));
        }
        let details = match self.inspect(&id).await {
            Err(RuntimeError::NotFound(_)) => return Ok(None),
            details => details?,
        };
        let item = Arc::new(item_of(&details)?);
        self.cache.keep(&id, state, &item);
        Ok(Some((pod, item)))
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
    fn one_container_that_makes_no_sense_hides_no_others() {
        let broken = || item_of(&ContainerInspectResponse::default()).map(Some);
        assert!(broken().is_err());
        assert!(readable(broken()).is_ok_and(|item| item.is_none()));
        let lost: Result<Option<Item>> = Err(RuntimeError::Unreachable("gone".into()));
        assert!(readable(lost).is_err(), "that says nothing about the container");
    }
}
