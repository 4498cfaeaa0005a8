//! Which daemon sets an event concerns.

use std::{sync::Arc, time::Duration};

use api_types::selector::label::Selector;
use component::{
    informer::{Event, ObjectKey},
    queue::WorkQueue,
};

use super::{
    Controller,
    nodes::{Placement, Presence},
};
use crate::{pod_events::Owners, slim::Node};

/// Queues sets when they, their pods or nodes change.
pub(super) fn subscribe(controller: &Arc<Controller>, queue: &Arc<WorkQueue<ObjectKey>>) {
    let this = Arc::clone(controller);
    controller.sets.on_event(move |event| {
        if let Event::Deleted(set) = event {
            this.failures.forget(set.metadata.uid.as_deref().unwrap_or_default());
        }
    });
    let owners = Owners {
        owners: controller.sets.clone(),
        pods: controller.pods.clone(),
        selector: |set| Selector::from_label_selector(set.spec.as_ref().map(|spec| &spec.selector)).ok(),
        expectations: Arc::clone(&controller.expectations),
        together: Duration::ZERO,
    };
    owners.subscribe(queue);
    let (this, keys) = (Arc::clone(controller), Arc::clone(queue));
    controller.nodes.on_event(move |event| {
        let changed = match event {
            Event::Added(_) | Event::Deleted(_) => true,
            Event::Updated { old, new } => places_differ(old, new),
        };
        if changed {
            this.queue_placed(event, &keys);
        }
    });
}

/// Whether a daemon set could think otherwise of the node.
fn places_differ(old: &Node, new: &Node) -> bool {
    old.metadata.labels != new.metadata.labels || old.spec.taints != new.spec.taints
}

impl Controller {
    /// Queues the sets for which the event makes a difference.
    fn queue_placed(&self, event: &Event<Node>, queue: &WorkQueue<ObjectKey>) {
        for set in self.sets.store().list() {
            let placement = Placement::of(&set);
            let concerned = match event {
                Event::Added(node) | Event::Deleted(node) => placement.on(node) != Presence::Unwanted,
                Event::Updated { old, new } => placement.on(old) != placement.on(new),
            };
            if concerned {
                queue.add(ObjectKey::of(&*set));
            }
        }
    }
}
