//! What load balancing sees of the nodes.

use std::{
    collections::{BTreeSet, HashMap},
    net::IpAddr,
    sync::Arc,
};

use api_types::discovery::EndpointSlice;

use super::ledger::{Claim, Port};
use crate::slim::Node;

/// Such a node is behind no load balancer.
const EXCLUDED: &str = "node.kubernetes.io/exclude-from-external-load-balancers";
/// The cluster autoscaler is about to delete such a node.
const TO_BE_DELETED: &str = "ToBeDeletedByClusterAutoscaler";

/// Where a node is reached from outside, when it can take traffic.
pub(super) fn addresses(node: &Node) -> Vec<IpAddr> {
    let usable = node.metadata.deletion_timestamp.is_none()
        && node.label(EXCLUDED).is_none()
        && !node.spec.taints.iter().any(|taint| taint.key == TO_BE_DELETED)
        && node.condition("Ready") == Some("True");
    if !usable {
        return Vec::new();
    }
    let of_type = |kind: &str| -> Vec<IpAddr> {
        let listed = node.status.addresses.iter().filter(|address| address.type_ == kind);
        listed.filter_map(|address| address.address.parse().ok()).filter(is_reachable).collect()
    };
    let (external, internal) = (of_type("ExternalIP"), of_type("InternalIP"));
    let has = |six: bool| external.iter().any(|ip| ip.is_ipv6() == six);
    let rest: Vec<IpAddr> = internal.into_iter().filter(|ip| !has(ip.is_ipv6())).collect();
    [external, rest].concat()
}

/// What is reachable from elsewhere. That a node says so is no reason to send others to themselves.
fn is_reachable(ip: &IpAddr) -> bool {
    !(ip.is_loopback() || ip.is_unspecified() || ip.is_multicast())
}

/// Whether load balancing sees the same in both.
pub(super) fn shows_the_same(old: &Node, new: &Node) -> bool {
    addresses(old) == addresses(new) && kubelet_port(old) == kubelet_port(new)
}

fn kubelet_port(node: &Node) -> Option<i32> {
    node.status.daemon_endpoints.kubelet_endpoint.as_ref().map(|endpoint| endpoint.port)
}

/// What no service may take away: the kubelets' ports, and the API servers', by the slice of the service `kubernetes`.
pub(super) fn reserved(nodes: &[Arc<Node>], apiserver: Option<&EndpointSlice>) -> HashMap<Claim, String> {
    let of = |ip: IpAddr, number: i32, owner: &str| {
        let port = Port { protocol: "TCP".to_owned(), number };
        (Claim { ip, port: Some(port) }, owner.to_owned())
    };
    let kubelets = nodes.iter().filter_map(|node| Some((addresses(node), kubelet_port(node)?)));
    let kubelets = kubelets.flat_map(|(ips, port)| ips.into_iter().map(move |ip| of(ip, port, "the kubelet")));
    let ports = || apiserver.into_iter().flat_map(|slice| slice.ports.iter().flatten()).filter_map(|port| port.port);
    let servers = apiserver
        .into_iter()
        .flat_map(|slice| slice.endpoints.iter().flatten())
        .flat_map(|endpoint| &endpoint.addresses);
    let servers = servers.filter_map(|text| text.parse().ok());
    let servers = servers.flat_map(|ip| ports().map(move |port| of(ip, port, "the API server")));
    kubelets.chain(servers).collect()
}

/// The nodes with endpoints that are ready.
pub(super) fn with_endpoints(slices: &[Arc<EndpointSlice>]) -> BTreeSet<String> {
    let endpoints = slices.iter().flat_map(|slice| slice.endpoints.iter().flatten());
    let ready = endpoints.filter(|endpoint| endpoint.conditions.as_ref().and_then(|c| c.ready) != Some(false));
    ready.filter_map(|endpoint| endpoint.node_name.clone()).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn node(metadata: Value, spec: Value, ready: &str, addresses: Value) -> Node {
        let conditions = json!([{"type": "Ready", "status": ready}]);
        let endpoints = json!({"kubeletEndpoint": {"Port": 10250}});
        let status = json!({"conditions": conditions, "addresses": addresses, "daemonEndpoints": endpoints});
        serde_json::from_value(json!({"metadata": metadata, "spec": spec, "status": status})).unwrap()
    }

    #[test]
    fn nodes_that_take_traffic_show_their_outer_addresses() {
        let inner = || {
            json!([{"type": "InternalIP", "address": "10.0.0.1"}, {"type": "Hostname", "address": "n"},
            {"type": "InternalIP", "address": "fd00::1"}, {"type": "InternalIP", "address": "127.0.0.1"}])
        };
        let mut both = inner();
        both.as_array_mut().unwrap().push(json!({"type": "ExternalIP", "address": "192.0.2.1"}));
        let cases = [
            (node(json!({}), json!({}), "True", inner()), "10.0.0.1 fd00::1"),
            (node(json!({}), json!({"unschedulable": true}), "True", both), "192.0.2.1 fd00::1"),
            (node(json!({}), json!({}), "Unknown", inner()), ""),
            (node(json!({"labels": {EXCLUDED: ""}}), json!({}), "True", inner()), ""),
            (node(json!({"deletionTimestamp": "2026-01-01T00:00:00Z"}), json!({}), "True", inner()), ""),
            (node(json!({}), json!({"taints": [{"key": TO_BE_DELETED, "effect": "NoSchedule"}]}), "True", inner()), ""),
        ];
        for (node, expected) in cases {
            let shown: Vec<String> = addresses(&node).iter().map(ToString::to_string).collect();
            assert_eq!(shown.join(" "), expected, "{node:?}");
        }
    }

    #[test]
    fn ports_of_the_machines_own_are_reserved() {
        let addresses = json!([{"type": "InternalIP", "address": "10.0.0.1"}]);
        let nodes = [Arc::new(node(json!({}), json!({}), "True", addresses))];
        let slice = json!({"metadata": {}, "addressType": "IPv4", "ports": [{"port": 6443}],
            "endpoints": [{"addresses": ["10.0.0.1"], "nodeName": "n"}, {"addresses": ["10.0.0.9"], "nodeName": "m",
                "conditions": {"ready": false}}]});
        let slice: EndpointSlice = serde_json::from_value(slice).unwrap();
        let reserved = reserved(&nodes, Some(&slice));
        let said: BTreeSet<String> = reserved.iter().map(|(claim, owner)| format!("{claim}: {owner}")).collect();
        let expected = [
            "port 10250/TCP of 10.0.0.1: the kubelet",
            "port 6443/TCP of 10.0.0.1: the API server",
            "port 6443/TCP of 10.0.0.9: the API server",
        ];
        assert_eq!(said, expected.map(str::to_owned).into());
        assert_eq!(with_endpoints(&[Arc::new(slice)]), ["n".to_owned()].into());
    }
}
