//! Taint eviction: pods leave nodes with `NoExecute` taints that they do not tolerate.

mod plan;

use std::{collections::HashMap, sync::Arc, time::Duration};

use api_types::jiff::Timestamp;
use component::{
    api::Api,
    informer::{Event, Informer, ObjectKey},
    queue::{Outcome, WorkQueue},
    recorder::{EventType, Recorder},
};
use kube::{
    Client,
    api::{DeleteParams, Patch, Preconditions},
};
use parking_lot::Mutex;

use self::plan::Fate;
use crate::{
    context::Context,
    controllers::Run,
    ownership::object_reference,
    pod_state::{disruption_patch, is_active},
    slim::{BY_NODE, Node, Pod},
    step::{Error, failed},
    taints::NO_EXECUTE,
    write,
};

const WORKERS: usize = 8;

struct Controller {
    client: Client,
    nodes: Informer<Node>,
    pods: Informer<Pod>,
    recorder: Recorder,
    /// Uids of pods that are to leave later, each with when that was found: where a taint does not say since when it is
    /// there, time runs from then. A change of mind is told, too.
    waiting: Mutex<HashMap<String, Timestamp>>,
}

/// The controller of evictions by taint.
pub(crate) fn start(context: &Context) -> Option<Run> {
    let controller = Arc::new(Controller {
        client: context.client.clone(),
        nodes: context.informer(),
        pods: context.informer(),
        recorder: context.recorder("taint-eviction-controller"),
        waiting: Mutex::default(),
    });
    let queue = WorkQueue::new();
    subscribe(&controller, &queue);
    let daemon = context.daemon.clone();
    Some(Box::new(move || {
        queue.run(&daemon, "tainteviction", WORKERS, move |key| {
            let controller = Arc::clone(&controller);
            async move { write::settle_races(controller.reconcile(&key).await) }
        });
    }))
}

fn subscribe(controller: &Arc<Controller>, queue: &Arc<WorkQueue<ObjectKey>>) {
    let (pods, keys) = (controller.pods.clone(), Arc::clone(queue));
    controller.nodes.on_event(move |event| {
        let touched = match event {
            Event::Added(node) => has_no_execute(node),
            Event::Updated { old, new } => {
                old.spec.taints != new.spec.taints && (has_no_execute(old) || has_no_execute(new))
            }
            Event::Deleted(_) => false,
        };
        if touched {
            pods.store().by_index(BY_NODE, event.object().name()).iter().for_each(|pod| keys.add(pod.key()));
        }
    });
    let (this, keys) = (Arc::clone(controller), Arc::clone(queue));
    controller.pods.on_event(move |event| {
        let pod = match event {
            Event::Added(pod) => pod,
            Event::Updated { old, new }
                if old.spec.node_name != new.spec.node_name || old.spec.tolerations != new.spec.tolerations =>
            {
                new
            }
            Event::Updated { .. } => return,
            Event::Deleted(pod) => {
                this.waiting.lock().remove(pod.uid());
                return;
            }
        };
        if this.node_of(pod).is_some_and(|node| has_no_execute(&node)) {
            keys.add(pod.key());
        }
    });
}

fn has_no_execute(node: &Node) -> bool {
    node.spec.taints.iter().any(|taint| taint.effect == NO_EXECUTE)
}

impl Controller {
    fn node_of(&self, pod: &Pod) -> Option<Arc<Node>> {
        self.nodes.store().get(&ObjectKey::new("", pod.node_name()))
    }

    async fn reconcile(&self, key: &ObjectKey) -> Result<Outcome, Error> {
        let Some(pod) = self.pods.store().get(key).filter(|pod| is_active(pod)) else { return Ok(Outcome::Done) };
        let Some(node) = self.node_of(&pod) else { return Ok(Outcome::Done) };
        let now = Timestamp::now();
        let found = self.waiting.lock().get(pod.uid()).copied().unwrap_or(now);
        match plan::fate(&node.spec.taints, &pod.spec.tolerations, found) {
            Fate::Stay => {
                if self.waiting.lock().remove(pod.uid()).is_some() {
                    let message = format!("Cancelling deletion of Pod {key}");
                    self.recorder.record(&object_reference(&*pod), EventType::Normal, "TaintManagerEviction", message);
                }
                Ok(Outcome::Done)
            }
            Fate::LeaveAt(at) if at > now => {
                self.waiting.lock().insert(pod.uid().to_owned(), found);
                Ok(Outcome::RequeueAfter(Duration::try_from(at.duration_since(now)).unwrap_or_default()))
            }
            Fate::LeaveAt(_) => self.evict(&pod).await.map(|()| Outcome::Done),
        }
    }

    async fn evict(&self, pod: &Pod) -> Result<(), Error> {
        let message = format!("Marking for deletion Pod {}", pod.key());
        self.recorder.record(&object_reference(pod), EventType::Normal, "TaintManagerEviction", message);
        let pods: Api<Pod> =
            Api::namespaced(self.client.clone(), pod.metadata.namespace.as_deref().unwrap_or_default());
        let name = pod.metadata.name.as_deref().unwrap_or_default();
        let patch =
            disruption_patch(pod, "DeletionByTaintManager", "Taint manager: deleting due to NoExecute taint", None);
        let marked = pods.patch_status(name, &write::patch_params(), &Patch::Strategic(patch)).await;
        marked.map_err(failed("marking a pod as disrupted"))?;
        let this_one = Preconditions { uid: pod.metadata.uid.clone(), resource_version: None };
        let parameters = DeleteParams { preconditions: Some(this_one), ..DeleteParams::default() };
        let deleted = pods.delete(name, &parameters).await;
        deleted.map(drop).map_err(failed("evicting a pod"))
    }
}
