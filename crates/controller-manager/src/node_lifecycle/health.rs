//! When each node was last heard of, by this process's own clock: clocks of nodes may be wrong.

use std::{collections::HashMap, time::Duration};

use api_types::meta::{MicroTime, Time};
use parking_lot::Mutex;
use tokio::time::Instant;

use super::plan::{READY, is_ready};
use crate::slim::{Lease, Node};

/// Nodes by name.
#[derive(Debug, Default)]
pub(super) struct Health {
    nodes: Mutex<HashMap<String, Heard>>,
}

#[derive(Debug)]
struct Heard {
    /// When a heartbeat last changed.
    at: Instant,
    /// The last renewal of the lease, by the node's clock.
    renewed: Option<MicroTime>,
    /// The last heartbeat in the status, by the node's clock.
    heartbeat: Option<Time>,
    /// The node stopped being ready and its pods have not been told.
    pods_to_tell: bool,
}

impl Health {
    /// Notes what a node's status says. `before` is what it said before.
    pub(super) fn hear_node(&self, before: Option<&Node>, node: &Node) {
        let condition = node.status.conditions.iter().find(|condition| condition.type_ == READY);
        let heartbeat = condition.and_then(|condition| condition.last_heartbeat_time.clone());
        let mut nodes = self.nodes.lock();
        let heard = nodes.entry(node.name().to_owned()).or_insert_with(Heard::now);
        if heard.heartbeat != heartbeat {
            heard.heartbeat = heartbeat;
            heard.at = Instant::now();
        }
        heard.pods_to_tell = !is_ready(node) && (heard.pods_to_tell || before.is_some_and(is_ready));
    }

    /// Notes that a lease was renewed, if it was.
    pub(super) fn hear_lease(&self, lease: &Lease) {
        let name = lease.metadata.name.clone().unwrap_or_default();
        // A node that is not known yet is heard of when it is.
        if let Some(heard) = self.nodes.lock().get_mut(&name)
            && heard.renewed != lease.spec.renew_time
        {
            heard.renewed.clone_from(&lease.spec.renew_time);
            heard.at = Instant::now();
        }
    }

    /// How long the node has been silent.
    pub(super) fn silence(&self, node: &str) -> Duration {
        self.nodes.lock().entry(node.to_owned()).or_insert_with(Heard::now).at.elapsed()
    }

    /// Whether pods have to be told that their node is not ready.
    pub(super) fn has_pods_to_tell(&self, node: &str) -> bool {
        self.nodes.lock().get(node).is_some_and(|heard| heard.pods_to_tell)
    }

    /// They have been told.
    pub(super) fn told_pods(&self, node: &str) {
        if let Some(heard) = self.nodes.lock().get_mut(node) {
            heard.pods_to_tell = false;
        }
    }

    /// The node is gone.
    pub(super) fn forget(&self, node: &str) {
        self.nodes.lock().remove(node);
    }
}

impl Heard {
    /// A node seen for the first time has its whole grace period.
    fn now() -> Self {
        Self { at: Instant::now(), renewed: None, heartbeat: None, pods_to_tell: false }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn node(ready: &str, heartbeat: &str) -> Node {
        serde_json::from_value(json!({
            "metadata": {"name": "n"},
            "status": {"conditions": [{"type": "Ready", "status": ready, "lastHeartbeatTime": heartbeat}]},
        }))
        .unwrap()
    }

    fn lease(renewed: &str) -> Lease {
        serde_json::from_value(json!({"metadata": {"name": "n"}, "spec": {"renewTime": renewed}})).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn only_changes_are_signs_of_life() {
        let health = Health::default();
        let second = Duration::from_secs(1);
        let (first, later) = ("2020-01-01T00:00:00Z", "2020-01-01T00:00:10Z");
        health.hear_node(None, &node("True", first));
        tokio::time::advance(second).await;
        health.hear_node(None, &node("Unknown", first));
        assert_eq!(health.silence("n"), second);
        health.hear_lease(&lease("2020-01-01T00:00:00.000000Z"));
        assert_eq!(health.silence("n"), Duration::ZERO);
        tokio::time::advance(second).await;
        health.hear_lease(&lease("2020-01-01T00:00:00.000000Z"));
        assert_eq!(health.silence("n"), second);
        health.hear_node(None, &node("True", later));
        assert_eq!(health.silence("n"), Duration::ZERO);
    }

    #[tokio::test]
    async fn pods_are_told_once_of_a_transition() {
        let health = Health::default();
        let time = "2020-01-01T00:00:00Z";
        health.hear_node(None, &node("False", time));
        assert!(!health.has_pods_to_tell("n"));
        health.hear_node(Some(&node("True", time)), &node("False", time));
        health.hear_node(Some(&node("False", time)), &node("False", time));
        assert!(health.has_pods_to_tell("n"));
        health.told_pods("n");
        assert!(!health.has_pods_to_tell("n"));
    }
}
