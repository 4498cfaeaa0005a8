//! Node lifecycle: silent nodes become unknown, conditions become taints, pods of lost nodes are
//! marked as not ready.

mod health;
mod plan;

use std::{collections::HashMap, sync::Arc, time::Duration};

use api_types::{
    core::{ObjectReference, Taint},
    jiff::Timestamp,
    meta::Time,
};
use component::{
    api::Api,
    informer::{Event, Informer, ObjectKey, Scope},
    queue::{Outcome, WorkQueue},
    recorder::{EventType, Recorder},
};
use kube::{Client, api::Patch};
use parking_lot::Mutex;
use serde_json::json;

use self::{
    health::Health,
    plan::{Bucket, Eviction, ZoneState, Zones},
};
use crate::{
    context::Context,
    controllers::Run,
    options::Flags,
    ownership::object_reference,
    pod_state,
    slim::{BY_NODE, Lease, Node, Pod},
    step::{Error, failed},
    taints::NO_EXECUTE,
    write,
};

const LEASES: &str = "kube-node-lease";
const WORKERS: usize = 8;

struct Controller {
    client: Client,
    flags: Flags,
    nodes: Informer<Node>,
    pods: Informer<Pod>,
    recorder: Recorder,
    health: Health,
    /// Limits how fast nodes of a zone lose their pods.
    buckets: Mutex<HashMap<String, Bucket>>,
}

/// The controller of nodes' lives.
pub(crate) fn start(context: &Context) -> Option<Run> {
    let controller = Arc::new(Controller {
        client: context.client.clone(),
        flags: context.config.flags.clone(),
        nodes: context.informer(),
        pods: context.informer(),
        recorder: context.recorder("node-controller"),
        health: Health::default(),
        buckets: Mutex::default(),
    });
    let queue = WorkQueue::new();
    subscribe(&controller, &queue);
    watch_leases(&controller, context);
    let daemon = context.daemon.clone();
    Some(Box::new(move || {
        queue.run(&daemon, "nodelifecycle", WORKERS, move |key| {
            let controller = Arc::clone(&controller);
            async move { write::settle_races(controller.reconcile(&key).await) }
        });
    }))
}

/// Leases only move a node's deadline; the queue looks at it when it comes.
fn watch_leases(controller: &Arc<Controller>, context: &Context) {
    let scope = Scope { namespace: Some(LEASES.to_owned()), ..Scope::default() };
    let leases = Informer::<Lease>::new(&(), &scope);
    let this = Arc::clone(controller);
    leases.on_event(move |event| {
        if !matches!(event, Event::Deleted(_)) {
            this.health.hear_lease(event.object());
        }
    });
    leases.start(context.client.clone(), &context.daemon);
}

fn subscribe(controller: &Arc<Controller>, queue: &Arc<WorkQueue<ObjectKey>>) {
    let (this, keys) = (Arc::clone(controller), Arc::clone(queue));
    controller.nodes.on_event(move |event| this.on_node(event, &keys));
    let (this, keys) = (Arc::clone(controller), Arc::clone(queue));
    controller.pods.on_event(move |event| {
        let pod = event.object();
        let node = ObjectKey::new("", pod.node_name());
        let lost = || this.nodes.store().get(&node).is_some_and(|node| is_lost(&node));
        if !matches!(event, Event::Deleted(_)) && pod_state::is_ready(pod) && lost() {
            keys.add(node);
        }
    });
}

/// Whether nobody but this controller speaks for the node's pods.
fn is_lost(node: &Node) -> bool {
    node.condition(plan::READY) == Some("Unknown")
}

impl Controller {
    fn on_node(&self, event: &Event<Node>, queue: &WorkQueue<ObjectKey>) {
        let node = event.object();
        let was_ready = match event {
            Event::Added(_) => {
                self.health.hear_node(None, node);
                self.record(
                    node,
                    "RegisteredNode",
                    format!("Node {0} event: Registered Node {0} in Controller", node.name()),
                );
                None
            }
            Event::Updated { old, .. } => {
                self.health.hear_node(Some(old), node);
                Some(plan::is_ready(old))
            }
            Event::Deleted(_) => {
                self.health.forget(node.name());
                self.record(
                    node,
                    "RemovingNode",
                    format!("Node {0} event: Removing Node {0} from Controller", node.name()),
                );
                None
            }
        };
        queue.add(ObjectKey::of(&**node));
        if was_ready != Some(plan::is_ready(node)) {
            // Whether pods may be evicted anywhere depends on how many nodes are ready.
            let others = self.nodes.store().list();
            others.iter().filter(|other| !plan::is_ready(other)).for_each(|other| queue.add(ObjectKey::of(&**other)));
        }
    }

    fn record(&self, node: &Node, reason: &str, message: String) {
        self.recorder.record(&object_reference(node), EventType::Normal, reason, message);
    }

    async fn reconcile(&self, key: &ObjectKey) -> Result<Outcome, Error> {
        let Some(node) = self.nodes.store().get(key) else { return Ok(Outcome::Done) };
        let grace = match node.condition(plan::READY) {
            Some(_) => self.flags.node_monitor_grace_period,
            None => self.flags.node_startup_grace_period,
        };
        let silence = self.health.silence(node.name());
        if silence >= grace && self.write_silence(&node).await? {
            // The informer brings the node back with its new conditions.
            return Ok(Outcome::Done);
        }
        let (eviction, wait) = self.eviction(&node);
        self.write_taints(&node, eviction).await?;
        if !plan::is_ready(&node) {
            self.tell_pods(&node).await?;
        }
        let deadline = grace.checked_sub(silence).filter(|rest| !rest.is_zero());
        let next = [wait, deadline].into_iter().flatten().min();
        Ok(next.map_or(Outcome::Done, Outcome::RequeueAfter))
    }

    /// Writes what can no longer be known about a silent node; `false` when it says so already.
    async fn write_silence(&self, node: &Node) -> Result<bool, Error> {
        let conditions = plan::silent_conditions(node, Timestamp::now());
        if conditions.is_empty() {
            return Ok(false);
        }
        tracing::info!(node = node.name(), "the node is silent, its conditions become unknown");
        let patch = json!({"metadata": {"uid": node.metadata.uid}, "status": {"conditions": conditions}});
        let nodes: Api<Node> = Api::all(self.client.clone());
        let written = nodes.patch_status(node.name(), &write::patch_params(), &Patch::Strategic(patch)).await;
        written.map(|_| true).map_err(failed("writing a silent node's conditions"))
    }

    /// Whether pods may be evicted from this node now, and if not, when to ask again.
    fn eviction(&self, node: &Node) -> (Eviction, Option<Duration>) {
        let Some(taint) = plan::evicting_taint(node) else { return (Eviction::Allowed, None) };
        let nodes = self.nodes.store().list();
        let zones = Zones::count(nodes.iter().map(|node| &**node));
        if zones.all_disrupted() {
            return (Eviction::Stopped, None);
        }
        let has_taint = |key: &str| node.spec.taints.iter().any(|t: &Taint| t.effect == NO_EXECUTE && t.key == key);
        if has_taint(taint) {
            return (Eviction::Allowed, None);
        }
        let zone = plan::zone_of(node);
        let rate = match zones.state(&zone, self.flags.unhealthy_zone_threshold) {
            ZoneState::Normal | ZoneState::Full => self.flags.node_eviction_rate,
            ZoneState::Partial if zones.size(&zone) > self.flags.large_cluster_size_threshold => {
                self.flags.secondary_node_eviction_rate
            }
            ZoneState::Partial => 0.0,
        };
        let now = Timestamp::now();
        match self.buckets.lock().entry(zone).or_insert_with(|| Bucket::new(now)).take(rate, now) {
            Ok(()) => (Eviction::Allowed, None),
            Err(wait) => (Eviction::Later, wait),
        }
    }

    async fn write_taints(&self, node: &Node, eviction: Eviction) -> Result<(), Error> {
        let Some(taints) = plan::taints(node, eviction, Timestamp::now()) else { return Ok(()) };
        // The whole list is written, so it must be the list that was read.
        let patch = json!({
            "metadata": {"resourceVersion": node.metadata.resource_version},
            "spec": {"taints": taints},
        });
        let nodes: Api<Node> = Api::all(self.client.clone());
        let written = nodes.patch(node.name(), &write::patch_params(), &Patch::Merge(patch)).await;
        written.map(drop).map_err(failed("tainting a node"))
    }

    /// Marks the pods of a node that is not ready: all of them when it is lost; otherwise once, when
    /// it stopped being ready, since its kubelet speaks for them.
    async fn tell_pods(&self, node: &Node) -> Result<(), Error> {
        let transition = self.health.has_pods_to_tell(node.name());
        if !transition && !is_lost(node) {
            return Ok(());
        }
        let pods = self.pods.store().by_index(BY_NODE, node.name());
        for pod in pods.iter().filter(|pod| pod_state::is_ready(pod)) {
            self.mark_not_ready(pod).await?;
        }
        if transition {
            self.record(node, "NodeNotReady", format!("Node {} status is now: NodeNotReady", node.name()));
            self.health.told_pods(node.name());
        }
        Ok(())
    }

    async fn mark_not_ready(&self, pod: &Pod) -> Result<(), Error> {
        let condition = json!({"type": "Ready", "status": "False", "lastTransitionTime": Time(Timestamp::now())});
        let patch = json!({"metadata": {"uid": pod.metadata.uid}, "status": {"conditions": [condition]}});
        let pods: Api<Pod> =
            Api::namespaced(self.client.clone(), pod.metadata.namespace.as_deref().unwrap_or_default());
        let name = pod.metadata.name.as_deref().unwrap_or_default();
        match pods.patch_status(name, &write::patch_params(), &Patch::Strategic(patch)).await {
            Err(error) if write::is_race(&error) => Ok(()),
            Err(error) => Err(failed("marking a pod as not ready")(error)),
            Ok(_) => {
                let regarding: ObjectReference = object_reference(pod);
                self.recorder.record(&regarding, EventType::Warning, "NodeNotReady", "Node is not ready");
                Ok(())
            }
        }
    }
}
