//! Pod CIDRs: every node gets a part of the cluster's range.

mod plan;

use std::sync::Arc;

use component::{
    api::Api,
    informer::{Event, Informer, ObjectKey},
    queue::{Outcome, WorkQueue},
    recorder::{EventType, Recorder},
};
use ipnet::IpNet;
use kube::{Client, api::Patch};
use parking_lot::Mutex;
use serde_json::json;

use self::plan::{Allocator, Range};
use crate::{context::Context, controllers::Run, ownership::object_reference, slim::Node, write};

struct Controller {
    client: Client,
    nodes: Informer<Node>,
    allocator: Mutex<Allocator>,
    recorder: Recorder,
}

/// The controller of nodes' Pod CIDRs; with `--allocate-node-cidrs` only.
pub(crate) fn start(context: &Context) -> Option<Run> {
    let config = &context.config;
    if !config.flags.allocate_node_cidrs {
        return None;
    }
    let ranges = config.flags.cluster_cidr.iter().map(|range| Range::new(*range, config.node_mask(range)));
    let controller = Arc::new(Controller {
        client: context.client.clone(),
        nodes: context.informer(),
        allocator: Mutex::new(Allocator::new(ranges, &config.flags.service_cluster_ip_range)),
        recorder: context.recorder("cidrAllocator"),
    });
    let queue = WorkQueue::new();
    let (this, keys) = (Arc::clone(&controller), Arc::clone(&queue));
    // What nodes have is noted before anything is given: workers start after the first list.
    controller.nodes.on_event(move |event| match event {
        Event::Deleted(node) => this.allocator.lock().release(node.name()),
        Event::Added(node) | Event::Updated { new: node, .. } => {
            if !this.note(node) {
                keys.add(ObjectKey::of(&**node));
            }
        }
    });
    let daemon = context.daemon.clone();
    Some(Box::new(move || {
        // One worker: nodes get their parts in the order in which they came.
        queue.run(&daemon, "nodeipam", 1, move |key| {
            let controller = Arc::clone(&controller);
            async move { write::settle_races(controller.reconcile(&key).await) }
        });
    }))
}

/// A node did not get its Pod CIDR.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Exhausted(#[from] plan::Exhausted),
    #[error("writing the Pod CIDR")]
    Write(#[source] kube::Error),
}

impl Controller {
    /// Notes what a node has; `false` when it has nothing.
    fn note(&self, node: &Node) -> bool {
        let listed =
            node.spec.pod_cidrs.iter().chain(node.spec.pod_cidr.iter().filter(|_| node.spec.pod_cidrs.is_empty()));
        let cidrs: Vec<IpNet> = listed.filter_map(|cidr| cidr.parse().ok()).collect();
        if cidrs.is_empty() {
            return false;
        }
        for rival in self.allocator.lock().occupy(node.name(), &cidrs) {
            tracing::error!(node = node.name(), ?cidrs, ?rival, "a Pod CIDR is taken twice");
        }
        true
    }

    async fn reconcile(&self, key: &ObjectKey) -> Result<Outcome, Error> {
        let Some(node) = self.nodes.store().get(key) else { return Ok(Outcome::Done) };
        if node.spec.pod_cidr.is_some() || node.metadata.deletion_timestamp.is_some() {
            return Ok(Outcome::Done);
        }
        let allocated = self.allocator.lock().allocate(node.name());
        let cidrs = allocated.inspect_err(|_| {
            let message = format!("Node {} status is now: CIDRNotAvailable", node.name());
            self.recorder.record(&object_reference(&*node), EventType::Normal, "CIDRNotAvailable", message);
        })?;
        let names: Vec<String> = cidrs.iter().map(ToString::to_string).collect();
        let patch = json!({
            "metadata": {"uid": node.metadata.uid},
            "spec": {"podCIDR": names.first(), "podCIDRs": names},
        });
        let nodes: Api<Node> = Api::all(self.client.clone());
        nodes.patch(node.name(), &write::patch_params(), &Patch::Merge(patch)).await.map_err(Error::Write)?;
        tracing::info!(node = node.name(), cidrs = names.join(","), "Pod CIDR given");
        Ok(Outcome::Done)
    }
}
