//! Pod garbage: pods of nodes that are gone, pods that no kubelet will end, finished pods beyond a
//! threshold.

mod plan;

use std::{fmt, sync::Arc, time::Duration};

use component::{
    api::Api,
    informer::{Event, Informer, ObjectKey},
    queue::{Outcome, WorkQueue},
};
use kube::{
    Client,
    api::{DeleteParams, Patch, Preconditions},
};

use self::plan::{PodNode, Reason};
use crate::step::{Error, failed};
use crate::{
    context::Context,
    controllers::Run,
    pod_state::{disruption_patch, is_terminal},
    slim::{BY_NODE, BY_TERMINATED, Node, Pod, TERMINATED},
    write,
};

/// A node that is gone may come back within this time, as upstream has it.
const QUARANTINE: Duration = Duration::from_secs(40);
const WORKERS: usize = 4;

/// What is looked at.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Key {
    /// One pod and its node.
    Pod(ObjectKey),
    /// The number of finished pods.
    Terminated,
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pod(key) => key.fmt(f),
            Self::Terminated => f.write_str("finished pods"),
        }
    }
}

struct Controller {
    client: Client,
    pods: Informer<Pod>,
    nodes: Informer<Node>,
    threshold: usize,
}

/// The controller of pods that nobody else removes.
pub(crate) fn start(context: &Context) -> Option<Run> {
    let controller = Arc::new(Controller {
        client: context.client.clone(),
        pods: context.informer(),
        nodes: context.informer(),
        threshold: context.config.flags.terminated_pod_gc_threshold,
    });
    let queue = WorkQueue::new();
    subscribe(&controller, &queue);
    let daemon = context.daemon.clone();
    Some(Box::new(move || {
        // Pods that were there before: their nodes may have gone while nobody was looking.
        for pod in controller.pods.store().list() {
            queue_pod(&queue, &controller.nodes, &pod);
        }
        queue.run(&daemon, "podgc", WORKERS, move |key| {
            let controller = Arc::clone(&controller);
            async move { write::settle_races(controller.reconcile(&key).await) }
        });
    }))
}

fn subscribe(controller: &Arc<Controller>, queue: &Arc<WorkQueue<Key>>) {
    let (nodes, keys) = (controller.nodes.clone(), Arc::clone(queue));
    controller.pods.on_event(move |event| {
        let (before, pod) = match event {
            Event::Added(pod) => (None, pod),
            Event::Updated { old, new } => (Some(old), new),
            Event::Deleted(_) => return,
        };
        if is_terminal(pod) && before.is_none_or(|before| !is_terminal(before)) {
            keys.add(Key::Terminated);
        }
        // Before the nodes are known every node would seem to be gone.
        if nodes.has_synced() {
            queue_pod(&keys, &nodes, pod);
        }
    });
    let (pods, keys) = (controller.pods.clone(), Arc::clone(queue));
    controller.nodes.on_event(move |event| {
        let delay = match event {
            Event::Deleted(_) => QUARANTINE,
            Event::Updated { old, new } if old.spec.taints != new.spec.taints => Duration::ZERO,
            _ => return,
        };
        for pod in pods.store().by_index(BY_NODE, event.object().name()) {
            keys.add_after(Key::Pod(pod.key()), delay);
        }
    });
}

fn queue_pod(queue: &WorkQueue<Key>, nodes: &Informer<Node>, pod: &Pod) {
    let deleting = pod.metadata.deletion_timestamp.is_some();
    if pod.node_name().is_empty() {
        if deleting {
            queue.add(Key::Pod(pod.key()));
        }
    } else if nodes.store().get(&ObjectKey::new("", pod.node_name())).is_none() {
        queue.add_after(Key::Pod(pod.key()), QUARANTINE);
    } else if deleting {
        queue.add(Key::Pod(pod.key()));
    }
}

impl Controller {
    async fn reconcile(&self, key: &Key) -> Result<Outcome, Error> {
        match key {
            Key::Pod(key) => self.reconcile_pod(key).await?,
            Key::Terminated => {
                let terminated = self.pods.store().by_index(BY_TERMINATED, TERMINATED);
                for pod in plan::beyond_threshold(terminated, self.threshold) {
                    self.delete(&pod).await?;
                }
            }
        }
        Ok(Outcome::Done)
    }

    async fn reconcile_pod(&self, key: &ObjectKey) -> Result<(), Error> {
        let Some(pod) = self.pods.store().get(key) else { return Ok(()) };
        let node = self.nodes.store().get(&ObjectKey::new("", pod.node_name()));
        let known = match &node {
            _ if pod.node_name().is_empty() => PodNode::Unscheduled,
            Some(node) => PodNode::Known(node),
            None => PodNode::Gone,
        };
        let Some(reason) = plan::reason(&pod, known) else { return Ok(()) };
        if reason == Reason::Orphaned && self.node_exists(pod.node_name()).await? {
            return Ok(());
        }
        tracing::info!(pod = %key, ?reason, "removing a pod that nobody else will");
        self.mark(&pod, reason).await?;
        self.delete(&pod).await
    }

    /// Asks the server: a cache that lags must not cost a running pod.
    async fn node_exists(&self, name: &str) -> Result<bool, Error> {
        let nodes: Api<Node> = Api::all(self.client.clone());
        Ok(nodes.get_opt(name).await.map_err(failed("reading a pod's node"))?.is_some())
    }

    /// A pod that has not finished failed: whoever counts it sees that.
    async fn mark(&self, pod: &Pod, reason: Reason) -> Result<(), Error> {
        if is_terminal(pod) {
            return Ok(());
        }
        let patch = match reason {
            Reason::Orphaned => {
                disruption_patch(pod, "DeletionByPodGC", "PodGC: node no longer exists", Some("Failed"))
            }
            Reason::OutOfService => disruption_patch(
                pod,
                "DeletionByPodGC",
                "PodGC: pod is running on an out-of-service node",
                Some("Failed"),
            ),
            Reason::Unscheduled => return Ok(()),
        };
        let name = pod.metadata.name.as_deref().unwrap_or_default();
        let marked = self.api(pod).patch_status(name, &write::patch_params(), &Patch::Strategic(patch)).await;
        marked.map(drop).map_err(failed("marking a pod as failed"))
    }

    async fn delete(&self, pod: &Pod) -> Result<(), Error> {
        let this_one = Preconditions { uid: pod.metadata.uid.clone(), resource_version: None };
        let parameters =
            DeleteParams { grace_period_seconds: Some(0), preconditions: Some(this_one), ..DeleteParams::default() };
        match self.api(pod).delete(pod.metadata.name.as_deref().unwrap_or_default(), &parameters).await {
            Err(error) if !write::is_race(&error) => Err(failed("deleting a pod")(error)),
            _ => Ok(()),
        }
    }

    fn api(&self, pod: &Pod) -> Api<Pod> {
        Api::namespaced(self.client.clone(), pod.metadata.namespace.as_deref().unwrap_or_default())
    }
}
