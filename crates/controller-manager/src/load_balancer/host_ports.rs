//! Ports of the nodes that pods have.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use component::informer::Event;

use super::ledger::{Claim, Port};
use crate::{pod_state, slim::Pod};

/// Index: pods by the ports of their nodes that they have.
pub(super) const BY_HOST_PORT: &str = "host-port";

/// Under which values the pod is found.
pub(super) fn index(pod: &Pod) -> Vec<String> {
    held(pod).keys().map(ToString::to_string).collect()
}

/// The ports of its node that the pod has, each with the addresses that it has it on; none for all of them. With
/// `hostNetwork` the API server sets the host's ports to the containers'.
fn held(pod: &Pod) -> BTreeMap<Port, BTreeSet<IpAddr>> {
    let mut held: BTreeMap<Port, BTreeSet<IpAddr>> = BTreeMap::new();
    if pod.node_name().is_empty() || pod_state::is_terminal(pod) {
        return held;
    }
    let containers = pod.spec.containers.iter().chain(&pod.spec.init_containers);
    let mut everywhere = Vec::new();
    for port in containers.flat_map(|container| &container.ports) {
        let Some(number) = port.host_port.filter(|number| *number != 0) else { continue };
        let protocol = port.protocol.clone().filter(|text| !text.is_empty()).unwrap_or_else(|| "TCP".to_owned());
        let key = Port { protocol, number };
        let ip = port.host_ip.as_deref().and_then(|text| text.parse::<IpAddr>().ok());
        match ip.filter(|ip| !ip.is_unspecified()) {
            Some(ip) => drop(held.entry(key).or_default().insert(ip)),
            None => everywhere.push(key),
        }
    }
    held.extend(everywhere.into_iter().map(|key| (key, BTreeSet::new())));
    held
}

/// What the pod has of this port on a node with these addresses, and as whose services are told of it.
pub(super) fn claims(pod: &Pod, port: &Port, addresses: &[IpAddr]) -> Vec<(Claim, String)> {
    let Some(ips) = held(pod).remove(port) else { return Vec::new() };
    let ips = addresses.iter().filter(|ip| ips.is_empty() || ips.contains(*ip));
    let owner = || format!("pod {}", pod.key());
    ips.map(|ip| (Claim { ip: *ip, port: Some(port.clone()) }, owner())).collect()
}

/// The ports that were taken or given up by what happened to a pod.
pub(super) fn changed(event: &Event<Pod>) -> BTreeSet<Port> {
    let keys = |pod: &Pod| held(pod).into_keys().collect();
    match event {
        Event::Added(pod) | Event::Deleted(pod) => keys(pod),
        Event::Updated { old, new } if old.node_name() == new.node_name() => {
            let (before, after): (BTreeSet<Port>, _) = (keys(old), keys(new));
            before.symmetric_difference(&after).cloned().collect()
        }
        Event::Updated { old, new } => keys(old).union(&keys(new)).cloned().collect(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::{Value, json};

    use super::*;

    fn pod(node: &str, phase: &str, ports: Value) -> Pod {
        let spec = json!({"nodeName": node, "containers": [{"name": "c", "ports": ports}]});
        let metadata = json!({"namespace": "ns", "name": "p"});
        serde_json::from_value(json!({"metadata": metadata, "spec": spec, "status": {"phase": phase}})).unwrap()
    }

    #[test]
    fn pods_have_ports_of_their_nodes() {
        let ports = || {
            json!([{"containerPort": 80, "hostPort": 80, "protocol": "TCP"}, {"containerPort": 81},
            {"containerPort": 53, "hostPort": 53, "protocol": "UDP", "hostIP": "10.0.0.2"},
            {"containerPort": 9, "hostPort": 9, "hostIP": "127.0.0.1"}, {"containerPort": 9, "hostPort": 7, "hostIP": "::"}])
        };
        let running = pod("n", "Running", ports());
        assert_eq!(index(&running), ["7/TCP", "9/TCP", "80/TCP", "53/UDP"]);
        for nothing in [pod("", "Pending", ports()), pod("n", "Succeeded", ports())] {
            assert!(index(&nothing).is_empty());
        }
        let addresses = ["10.0.0.1", "10.0.0.2"].map(|ip| ip.parse().unwrap());
        let said = |number: i32, protocol: &str| {
            let port = Port { protocol: protocol.to_owned(), number };
            let claims = claims(&running, &port, &addresses);
            claims.iter().map(|(claim, owner)| format!("{claim}: {owner}")).collect::<Vec<_>>().join("; ")
        };
        assert_eq!(said(80, "TCP"), "port 80/TCP of 10.0.0.1: pod ns/p; port 80/TCP of 10.0.0.2: pod ns/p");
        assert_eq!(said(53, "UDP"), "port 53/UDP of 10.0.0.2: pod ns/p");
        assert_eq!((said(9, "TCP"), said(80, "UDP")), (String::new(), String::new()));
    }

    #[test]
    fn only_what_changes_is_told() {
        let port = |number: i32| json!([{"containerPort": number, "hostPort": number}]);
        let update = |old: &Pod, new: &Pod| {
            let event = Event::Updated { old: Arc::new(old.clone()), new: Arc::new(new.clone()) };
            changed(&event).iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
        };
        let (waiting, running) = (pod("", "Pending", port(80)), pod("n", "Running", port(80)));
        assert_eq!(update(&waiting, &running), "80/TCP");
        assert_eq!(update(&running, &running), "");
        assert_eq!(update(&running, &pod("n", "Failed", port(80))), "80/TCP");
        assert_eq!(update(&running, &pod("m", "Running", port(80))), "80/TCP");
    }
}
