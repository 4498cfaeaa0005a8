//! The node's status: pure, from what is known.

use std::collections::BTreeMap;
use std::net::IpAddr;

use api_types::core::{
    ContainerImage, DaemonEndpoint, NodeAddress, NodeCondition, NodeDaemonEndpoints, NodeRuntimeHandler,
    NodeRuntimeHandlerFeatures, NodeStatus, NodeSystemInfo,
};
use api_types::jiff::Timestamp;
use api_types::meta::Time;
use api_types::quantity::{Quantity, Wire};

use crate::eviction::{Pressure, Pressures};
use crate::runtime::{ImageInfo, RuntimeHandler};

/// As many images as upstream tells.
const IMAGES: usize = 50;
/// Names of one image that are told.
const NAMES: usize = 5;

/// What a status is made of.
pub(super) struct NodeFacts<'a> {
    pub(super) hostname: &'a str,
    pub(super) ips: &'a [IpAddr],
    pub(super) port: u16,
    pub(super) capacity: &'a BTreeMap<String, Quantity>,
    pub(super) allocatable: &'a BTreeMap<String, Quantity>,
    pub(super) info: NodeSystemInfo,
    pub(super) images: &'a [ImageInfo],
    /// What runtime classes can name.
    pub(super) handlers: &'a [RuntimeHandler],
    /// What it is short of.
    pub(super) pressures: &'a Pressures,
    /// Why the node is not ready.
    pub(super) trouble: Option<String>,
    /// The status that the API shows.
    pub(super) known: Option<&'a NodeStatus>,
    /// The last status, for transition times.
    pub(super) previous: Option<&'a NodeStatus>,
    pub(super) now: Timestamp,
}

/// The status.
pub(super) fn generate(facts: &NodeFacts<'_>) -> NodeStatus {
    let foreign = foreign(facts);
    let with_foreign = |own: &BTreeMap<String, Quantity>| Some(wire(own).into_iter().chain(foreign.clone()).collect());
    NodeStatus {
        addresses: Some(addresses(facts)),
        capacity: with_foreign(facts.capacity),
        allocatable: with_foreign(facts.allocatable),
        conditions: Some(conditions(facts)),
        daemon_endpoints: Some(NodeDaemonEndpoints {
            kubelet_endpoint: Some(DaemonEndpoint { port: i32::from(facts.port) }),
        }),
        images: Some(images(facts.images)),
        runtime_handlers: handlers(facts.handlers),
        node_info: Some(facts.info.clone()),
        ..NodeStatus::default()
    }
}

/// Nothing where the runtime does not tell, as upstream.
fn handlers(handlers: &[RuntimeHandler]) -> Option<Vec<NodeRuntimeHandler>> {
    let told = handlers.iter().map(|handler| NodeRuntimeHandler {
        name: Some(handler.name.clone()),
        features: Some(NodeRuntimeHandlerFeatures {
            recursive_read_only_mounts: Some(handler.recursive_read_only_mounts),
            user_namespaces: Some(handler.user_namespaces),
        }),
    });
    (!handlers.is_empty()).then(|| told.collect())
}

/// Whether two statuses say the same, heartbeats aside.
pub(super) fn same(a: &NodeStatus, b: &NodeStatus) -> bool {
    let timeless = |status: &NodeStatus| {
        let mut status = status.clone();
        for condition in status.conditions.iter_mut().flatten() {
            condition.last_heartbeat_time = None;
        }
        status
    };
    timeless(a) == timeless(b)
}

fn wire(amounts: &BTreeMap<String, Quantity>) -> BTreeMap<String, Wire> {
    amounts.iter().map(|(name, amount)| (name.clone(), amount.to_wire())).collect()
}

/// Extended resources that somebody else has added to the node's capacity: pods may have them all.
fn foreign(facts: &NodeFacts<'_>) -> BTreeMap<String, Wire> {
    let known = facts.known.and_then(|known| known.capacity.as_ref()).into_iter().flatten();
    let foreign = known.filter(|(name, _)| name.contains('/') && !facts.capacity.contains_key(*name));
    foreign.map(|(name, amount)| (name.clone(), amount.clone())).collect()
}

fn addresses(facts: &NodeFacts<'_>) -> Vec<NodeAddress> {
    let address = |kind: &str, address: String| NodeAddress { type_: kind.to_owned(), address };
    let mut addresses: Vec<NodeAddress> = facts.ips.iter().map(|ip| address("InternalIP", ip.to_string())).collect();
    addresses.push(address("Hostname", facts.hostname.to_owned()));
    addresses
}

type Condition<'a> = (&'a str, &'a str, &'a str, &'a str);

fn pressure(facts: &NodeFacts<'_>, kind: Pressure) -> Condition<'static> {
    let name = kind.condition();
    match (kind, facts.pressures.contains(&kind)) {
        (Pressure::Memory, false) => {
            (name, "False", "KubeletHasSufficientMemory", "kubelet has sufficient memory available")
        }
        (Pressure::Memory, true) => {
            (name, "True", "KubeletHasInsufficientMemory", "kubelet has insufficient memory available")
        }
        (Pressure::Disk, false) => (name, "False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
        (Pressure::Disk, true) => (name, "True", "KubeletHasDiskPressure", "kubelet has disk pressure"),
        (Pressure::Pid, false) => (name, "False", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
        (Pressure::Pid, true) => (name, "True", "KubeletHasInsufficientPID", "kubelet has insufficient PID available"),
    }
}

fn conditions(facts: &NodeFacts<'_>) -> Vec<NodeCondition> {
    let ready = match &facts.trouble {
        None => ("Ready", "True", "KubeletReady", "kubelet is posting ready status"),
        Some(why) => ("Ready", "False", "KubeletNotReady", why.as_str()),
    };
    let [memory, disk, pid] = [Pressure::Memory, Pressure::Disk, Pressure::Pid].map(|kind| pressure(facts, kind));
    let found = [memory, disk, pid, ready];
    let second = Time(Timestamp::from_second(facts.now.as_second()).unwrap_or(facts.now));
    let since = |name: &str, status: &str| {
        let known = facts.previous.and_then(|previous| previous.conditions.as_ref()).into_iter().flatten();
        let mut same = known.filter(|condition| condition.type_ == name && condition.status == status);
        same.next().and_then(|condition| condition.last_transition_time.clone())
    };
    found
        .into_iter()
        .map(|(name, status, reason, message)| NodeCondition {
            type_: name.to_owned(),
            status: status.to_owned(),
            reason: Some(reason.to_owned()),
            message: Some(message.to_owned()),
            last_heartbeat_time: Some(second.clone()),
            last_transition_time: Some(since(name, status).unwrap_or_else(|| second.clone())),
        })
        .collect()
}

/// The largest images with some of their names.
fn images(images: &[ImageInfo]) -> Vec<ContainerImage> {
    let mut named: Vec<ContainerImage> = images
        .iter()
        .filter(|image| !image.tags.is_empty() || !image.digests.is_empty())
        .map(|image| ContainerImage {
            names: Some(image.digests.iter().chain(&image.tags).take(NAMES).cloned().collect()),
            size_bytes: i64::try_from(image.size).ok(),
        })
        .collect();
    named.sort_by(|a, b| b.size_bytes.cmp(&a.size_bytes).then_with(|| a.names.cmp(&b.names)));
    named.truncate(IMAGES);
    named
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(trouble: Option<&str>, previous: Option<&NodeStatus>, second: i64) -> NodeStatus {
        let resources = BTreeMap::from([("cpu".to_owned(), Quantity::from_milli(2000))]);
        generate(&NodeFacts {
            hostname: "n",
            ips: &["10.0.0.1".parse().unwrap()],
            port: 10250,
            capacity: &resources,
            allocatable: &resources,
            info: NodeSystemInfo::default(),
            images: &[],
            handlers: &[],
            pressures: &Pressures::from([Pressure::Pid]),
            trouble: trouble.map(str::to_owned),
            known: previous,
            previous,
            now: Timestamp::from_second(second).unwrap(),
        })
    }

    fn ready(status: &NodeStatus) -> (&str, &str, i64) {
        let ready = status.conditions.iter().flatten().find(|condition| condition.type_ == "Ready").unwrap();
        let since = ready.last_transition_time.as_ref().unwrap().0.as_second();
        (&ready.status, ready.message.as_deref().unwrap(), since)
    }

    #[test]
    fn what_others_have_added_is_kept() {
        let mut known = status(None, None, 10);
        let gpus = Quantity::from_bytes(3).to_wire();
        known.capacity.get_or_insert_default().insert("example.com/gpu".to_owned(), gpus.clone());
        known.capacity.get_or_insert_default().insert("stale".to_owned(), gpus.clone());
        let now = status(None, Some(&known), 20);
        for amounts in [now.capacity.unwrap(), now.allocatable.unwrap()] {
            assert_eq!((amounts.get("example.com/gpu"), amounts.len()), (Some(&gpus), 2));
        }
    }

    #[test]
    fn readiness_is_told_with_its_reason_and_since_when() {
        let first = status(Some("container runtime is down"), None, 10);
        assert_eq!(ready(&first), ("False", "container runtime is down", 10));
        let second = status(None, Some(&first), 20);
        assert_eq!(ready(&second), ("True", "kubelet is posting ready status", 20));
        let third = status(None, Some(&second), 30);
        assert_eq!(ready(&third).2, 20);
        let pressed = |name: &str| {
            third.conditions.iter().flatten().any(|condition| condition.type_ == name && condition.status == "True")
        };
        assert!(pressed("PIDPressure") && !pressed("MemoryPressure") && !pressed("DiskPressure"));
        assert!(same(&second, &third) && !same(&first, &second));
    }
}
