//! Asks kubelets, again and again.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use api_types::{
    StatusError,
    core::{Node, NodeStatus},
};
use futures::{StreamExt, stream};
use serde::Deserialize;

use super::{memory::Memory, parse::parse};
use crate::{
    handlers::KubeletClient,
    registry::{Registry, Rest},
    storage::{Revision, cache::Entry},
};

/// So many kubelets are asked at once.
const PARALLEL: usize = 32;
/// A kubelet that needs longer has not answered.
const TIMEOUT: Duration = Duration::from_secs(10);
/// How much of an answer is read, in bytes.
const ANSWER_MAX: usize = 8 << 20;
/// As long as there are no nodes, or some that were not asked twice: before, nothing can be said of them.
const HURRY: Duration = Duration::from_secs(2);

/// See the module.
pub struct Scraper {
    memory: Arc<Memory>,
    /// Where kubelets are, by node: as the node of this revision says.
    places: HashMap<String, (Revision, Arc<Node>)>,
    /// Nodes whose kubelets did not answer last time, which is told once.
    silent: HashSet<String>,
}

/// A node, as far as it says where its kubelet is.
#[derive(Deserialize)]
struct Place {
    #[serde(default)]
    status: Option<NodeStatus>,
}

impl Scraper {
    pub(super) fn new(memory: Arc<Memory>) -> Self {
        Self { memory, places: HashMap::new(), silent: HashSet::new() }
    }

    /// Asks all kubelets at the memory's resolution, for ever.
    pub async fn run(mut self, registry: Arc<Registry>, kubelets: Arc<KubeletClient>) {
        loop {
            let complete = match self.scrape(&registry, &kubelets).await {
                Ok(complete) => complete,
                Err(error) => {
                    tracing::debug!("nodes cannot be listed for their metrics: {error}");
                    true
                }
            };
            let resolution = self.memory.resolution;
            tokio::time::sleep(if complete { resolution } else { resolution.min(HURRY) }).await;
        }
    }

    /// Asks every kubelet once. Whether there are nodes, and of all that answer something can be said.
    async fn scrape(&mut self, registry: &Registry, kubelets: &KubeletClient) -> Result<bool, StatusError> {
        let rest = registry.core("nodes")?;
        let entries = registry.list_cached(&rest, "").await?;
        self.find(&rest, &entries);
        let timeout = TIMEOUT.min(self.memory.resolution);
        let asked = self.places.iter().map(|(name, (_, node))| async move {
            let answer = tokio::time::timeout(timeout, kubelets.resource_metrics(node, ANSWER_MAX)).await;
            (name.clone(), answer.unwrap_or_else(|_| Err("it took too long".to_owned())))
        });
        let asked: Vec<_> = asked.collect();
        let mut answers = stream::iter(asked).buffer_unordered(PARALLEL);
        let (mut complete, mut silent) = (!self.places.is_empty(), HashSet::new());
        while let Some((name, answer)) = answers.next().await {
            match answer {
                Ok(text) => complete &= self.memory.take(&name, parse(&text)),
                Err(error) => {
                    if !self.silent.contains(&name) {
                        tracing::warn!(node = name, "the kubelet does not say what its pods use: {error}");
                    }
                    silent.insert(name);
                }
            }
        }
        drop(answers);
        self.silent = silent;
        Ok(complete)
    }

    /// Finds the kubelets of the nodes that there are, and forgets others.
    fn find(&mut self, rest: &Rest, entries: &[Arc<Entry>]) {
        let there: HashSet<&str> = entries.iter().map(|entry| rest.names(entry.key()).1).collect();
        self.memory.retain(&there);
        self.places.retain(|name, _| there.contains(name.as_str()));
        for entry in entries {
            let name = rest.names(entry.key()).1;
            if self.places.get(name).is_some_and(|(revision, _)| *revision == entry.revision()) {
                continue;
            }
            let place = serde_json::from_slice::<Place>(entry.value());
            let Some(place) = rest.shown(entry.item(), place) else { continue };
            let node = Node { status: place.status, ..Node::default() };
            self.places.insert(name.to_owned(), (entry.revision(), Arc::new(node)));
        }
    }
}
