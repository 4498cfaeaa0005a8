//! What a node's silence and its conditions lead to.

use std::{collections::HashMap, time::Duration};

use api_types::{
    core::{NodeCondition, Taint},
    jiff::Timestamp,
    meta::Time,
};

use crate::{
    slim::Node,
    taints::{
        DISK_PRESSURE, MEMORY_PRESSURE, NETWORK_UNAVAILABLE, NO_EXECUTE, NO_SCHEDULE, NOT_READY, PID_PRESSURE,
        UNREACHABLE, UNSCHEDULABLE,
    },
};

pub(super) const READY: &str = "Ready";
/// Conditions that a silent kubelet cannot vouch for any more.
const VOUCHED: &[&str] = &[READY, "MemoryPressure", "DiskPressure", "PIDPressure"];

/// Condition, its status, and the taint that says the same to the scheduler.
const CONDITION_TAINTS: &[(&str, &str, &str)] = &[
    (READY, "False", NOT_READY),
    (READY, "Unknown", UNREACHABLE),
    ("MemoryPressure", "True", MEMORY_PRESSURE),
    ("DiskPressure", "True", DISK_PRESSURE),
    ("NetworkUnavailable", "True", NETWORK_UNAVAILABLE),
    ("PIDPressure", "True", PID_PRESSURE),
];

/// Whether the node says that it is ready.
pub(super) fn is_ready(node: &Node) -> bool {
    node.condition(READY) == Some("True")
}

/// The conditions to write for a node that has been silent for too long; none when they say so already.
pub(super) fn silent_conditions(node: &Node, now: Timestamp) -> Vec<NodeCondition> {
    let changed = |kind: &&str| {
        let current = node.status.conditions.iter().find(|condition| condition.type_ == **kind);
        let (reason, message, heartbeat) = match current {
            None => (
                "NodeStatusNeverUpdated",
                "Kubelet never posted node status.",
                node.metadata.creation_timestamp.clone(),
            ),
            Some(current) if current.status == "Unknown" => return None,
            Some(current) => {
                ("NodeStatusUnknown", "Kubelet stopped posting node status.", current.last_heartbeat_time.clone())
            }
        };
        Some(NodeCondition {
            type_: (*kind).to_owned(),
            status: "Unknown".to_owned(),
            reason: Some(reason.to_owned()),
            message: Some(message.to_owned()),
            last_heartbeat_time: heartbeat,
            last_transition_time: Some(Time(now)),
        })
    };
    VOUCHED.iter().filter_map(changed).collect()
}

/// The `NoExecute` taint that fits the node's Ready condition.
pub(super) fn evicting_taint(node: &Node) -> Option<&'static str> {
    match node.condition(READY) {
        Some("True") => None,
        Some("False") => Some(NOT_READY),
        _ => Some(UNREACHABLE),
    }
}

/// Whether pods may be evicted from a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Eviction {
    /// Add the taint that evicts.
    Allowed,
    /// Not now: leave what is there.
    Later,
    /// No node is ready, so the fault is probably here: take such taints away.
    Stopped,
}

/// All taints of the node as they should be; `None` when they are. Taints of others are left alone.
pub(super) fn taints(node: &Node, eviction: Eviction, now: Timestamp) -> Option<Vec<Taint>> {
    let ours = |taint: &Taint| match taint.effect.as_str() {
        NO_SCHEDULE => taint.key == UNSCHEDULABLE || CONDITION_TAINTS.iter().any(|(_, _, key)| taint.key == *key),
        NO_EXECUTE => taint.key == NOT_READY || taint.key == UNREACHABLE,
        _ => false,
    };
    let mut wanted: Vec<(&str, &str)> = CONDITION_TAINTS
        .iter()
        .filter(|(condition, status, _)| node.condition(condition) == Some(status))
        .map(|(_, _, key)| (*key, NO_SCHEDULE))
        .collect();
    if node.spec.unschedulable {
        wanted.push((UNSCHEDULABLE, NO_SCHEDULE));
    }
    if let Some(key) = evicting_taint(node) {
        let present = node.spec.taints.iter().any(|taint| taint.effect == NO_EXECUTE && ours(taint));
        match eviction {
            Eviction::Allowed => wanted.push((key, NO_EXECUTE)),
            // One of the two kinds becomes the other at once; only the first needs leave.
            Eviction::Later if present => wanted.push((key, NO_EXECUTE)),
            Eviction::Later | Eviction::Stopped => {}
        }
    }
    let is_wanted = |taint: &Taint| wanted.contains(&(taint.key.as_str(), taint.effect.as_str()));
    let mut taints: Vec<Taint> =
        node.spec.taints.iter().filter(|taint| !ours(taint) || is_wanted(taint)).cloned().collect();
    for (key, effect) in wanted {
        if !taints.iter().any(|taint| taint.key == key && taint.effect == effect) {
            taints.push(Taint { key: key.into(), effect: effect.into(), time_added: Some(Time(now)), value: None });
        }
    }
    (taints != node.spec.taints).then_some(taints)
}

/// How well a zone is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ZoneState {
    /// Most nodes are ready.
    Normal,
    /// Many are not.
    Partial,
    /// None is ready.
    Full,
}

/// The zones of the cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Zones {
    /// Ready nodes and others, by zone.
    counts: HashMap<String, (usize, usize)>,
}

impl Zones {
    /// Counts nodes by zone.
    pub(super) fn count<'a>(nodes: impl Iterator<Item = &'a Node>) -> Self {
        let mut zones = Self::default();
        for node in nodes {
            let count = zones.counts.entry(zone_of(node)).or_default();
            if is_ready(node) { count.0 += 1 } else { count.1 += 1 }
        }
        zones
    }

    /// Whether no node of the cluster is ready.
    pub(super) fn all_disrupted(&self) -> bool {
        self.counts.values().all(|(ready, _)| *ready == 0)
    }

    /// The state of a zone, of which `threshold` is the share of silent nodes that makes it partial.
    pub(super) fn state(&self, zone: &str, threshold: f64) -> ZoneState {
        let (ready, others) = self.counts.get(zone).copied().unwrap_or_default();
        match (ready, others) {
            (0, 1..) => ZoneState::Full,
            // Counts of nodes are far below what a float can hold.
            (_, 3..) if others as f64 / (ready + others) as f64 >= threshold => ZoneState::Partial,
            _ => ZoneState::Normal,
        }
    }

    /// Nodes in the zone.
    pub(super) fn size(&self, zone: &str) -> usize {
        self.counts.get(zone).map_or(0, |(ready, others)| ready + others)
    }
}

/// Region and zone in one word.
pub(super) fn zone_of(node: &Node) -> String {
    let label = |key| node.label(key).unwrap_or_default();
    format!("{}:{}", label("topology.kubernetes.io/region"), label("topology.kubernetes.io/zone"))
}

/// Lets one through per so much time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bucket {
    /// At most 1.
    tokens: f64,
    /// When `tokens` was right.
    at: Timestamp,
}

impl Bucket {
    /// A full one.
    pub(super) fn new(now: Timestamp) -> Self {
        Self { tokens: 1.0, at: now }
    }

    /// Takes a token that comes back after `1/rate` seconds.
    ///
    /// # Errors
    /// How long to wait; `None` when nothing is let through at this rate.
    pub(super) fn take(&mut self, rate: f64, now: Timestamp) -> Result<(), Option<Duration>> {
        let elapsed = now.duration_since(self.at).as_secs_f64().max(0.0);
        self.tokens = (self.tokens + elapsed * rate).min(1.0);
        self.at = now;
        if rate <= 0.0 {
            return Err(None);
        }
        if self.tokens < 1.0 {
            return Err(Some(Duration::from_secs_f64((1.0 - self.tokens) / rate)));
        }
        self.tokens -= 1.0;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn node(ready: Option<&str>, changes: &Value) -> Node {
        let conditions: Vec<Value> = ready
            .map(|status| json!({"type": "Ready", "status": status, "lastHeartbeatTime": "1970-01-01T00:00:07Z"}))
            .into_iter()
            .collect();
        let mut node = json!({
            "metadata": {"name": "n", "creationTimestamp": "1970-01-01T00:00:01Z"}, "spec": {}, "status": {"conditions": conditions},
        });
        for (name, value) in changes.as_object().unwrap() {
            node["spec"][name] = value.clone();
        }
        serde_json::from_value(node).unwrap()
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn a_silent_node_is_unknown() {
        let reasons = |node: &Node| -> Vec<String> {
            silent_conditions(node, at(50))
                .into_iter()
                .map(|c| format!("{}={} {}", c.type_, c.status, c.reason.unwrap()))
                .collect()
        };
        let rest = ["MemoryPressure", "DiskPressure", "PIDPressure"]
            .map(|kind| format!("{kind}=Unknown NodeStatusNeverUpdated"));
        let mut expected = vec!["Ready=Unknown NodeStatusUnknown".to_owned()];
        expected.extend(rest.clone());
        assert_eq!(reasons(&node(Some("True"), &json!({}))), expected);
        assert_eq!(reasons(&node(Some("Unknown"), &json!({}))), rest);
        let never = &silent_conditions(&node(None, &json!({})), at(50))[0];
        assert_eq!(never.reason.as_deref(), Some("NodeStatusNeverUpdated"));
        assert_eq!(never.last_heartbeat_time, Some(Time(at(1))));
    }

    fn text(taints: Option<Vec<Taint>>) -> String {
        let Some(taints) = taints else { return "same".to_owned() };
        let word = |taint: &Taint| format!("{}:{}", taint.key.rsplit('/').next().unwrap(), taint.effect);
        taints.iter().map(word).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn taints_follow_conditions() {
        let taint = |key: &str, effect: &str| json!({"key": key, "effect": effect});
        let both = json!({"taints": [taint(UNREACHABLE, NO_SCHEDULE), taint(UNREACHABLE, NO_EXECUTE), taint("mine", NO_EXECUTE)]});
        let cases = [
            (node(Some("True"), &json!({})), Eviction::Allowed, "same"),
            (node(Some("True"), &both), Eviction::Allowed, "mine:NoExecute"),
            (node(Some("Unknown"), &both), Eviction::Allowed, "same"),
            (node(Some("Unknown"), &both), Eviction::Later, "same"),
            (node(Some("Unknown"), &both), Eviction::Stopped, "unreachable:NoSchedule mine:NoExecute"),
            (node(Some("Unknown"), &json!({})), Eviction::Allowed, "unreachable:NoSchedule unreachable:NoExecute"),
            (node(Some("Unknown"), &json!({})), Eviction::Later, "unreachable:NoSchedule"),
            (node(Some("False"), &both), Eviction::Later, "mine:NoExecute not-ready:NoSchedule not-ready:NoExecute"),
            (node(Some("False"), &json!({})), Eviction::Allowed, "not-ready:NoSchedule not-ready:NoExecute"),
            (node(Some("True"), &json!({"unschedulable": true})), Eviction::Allowed, "unschedulable:NoSchedule"),
            (node(Some("True"), &json!({"taints": [taint(UNSCHEDULABLE, NO_SCHEDULE)]})), Eviction::Allowed, ""),
        ];
        for (node, eviction, expected) in cases {
            assert_eq!(text(taints(&node, eviction, at(50))), expected, "{node:?} {eviction:?}");
        }
    }

    #[test]
    fn zones_are_judged() {
        let nodes = |ready: usize, others: usize| {
            let ready = std::iter::repeat_n(node(Some("True"), &json!({})), ready);
            ready.chain(std::iter::repeat_n(node(Some("Unknown"), &json!({})), others)).collect::<Vec<_>>()
        };
        let cases = [
            (1, 0, ZoneState::Normal),
            (0, 1, ZoneState::Full),
            (1, 2, ZoneState::Normal),
            (2, 3, ZoneState::Partial),
            (7, 3, ZoneState::Normal),
        ];
        for (ready, others, expected) in cases {
            let zones = Zones::count(nodes(ready, others).iter());
            assert_eq!(zones.state(":", 0.55), expected, "{ready} {others}");
            assert_eq!(zones.all_disrupted(), expected == ZoneState::Full);
        }
    }

    #[test]
    fn a_bucket_lets_one_through_at_a_time() {
        let mut bucket = Bucket::new(at(0));
        assert_eq!(bucket.take(0.1, at(0)), Ok(()));
        assert_eq!(bucket.take(0.1, at(0)), Err(Some(Duration::from_secs(10))));
        assert_eq!(bucket.take(0.0, at(4)), Err(None));
        assert_eq!(bucket.take(0.1, at(20)), Ok(()));
    }
}
