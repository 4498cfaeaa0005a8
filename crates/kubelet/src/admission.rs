//! Whether this node can run a pod that it was given: pure.

use std::collections::BTreeMap;

use api_types::core::{Node, Pod};
use api_types::pod::host_ports::host_ports;
use api_types::pod::node_affinity::{NodeView, Required};
use api_types::pod::resources::{self, Amounts, Counting};
use api_types::quantity::Quantity;

use crate::env::Allocatable;
use crate::pod::PodExt;
use crate::status::Reason;

/// Refuses the pod if it does not fit beside `others`; `node` is what the API says, if it has said it.
///
/// # Errors
/// Upstream's reason and message.
pub fn admit(pod: &Pod, others: &[&Pod], allocatable: &Allocatable, node: Option<&Node>) -> Result<(), Reason> {
    if let Some(node) = node
        && !selects(pod, node)
    {
        return Err(predicate("NodeAffinity", "node(s) didn't match Pod's node affinity/selector"));
    }
    fits(pod, others, allocatable)?;
    if conflicts(pod, others) {
        return Err(predicate("NodePorts", "node(s) didn't have free ports for the requested pod ports"));
    }
    Ok(())
}

fn predicate(name: &str, why: &str) -> Reason {
    Reason::new(name, format!("Pod was rejected: Predicate {name} failed: {why}"))
}

fn fits(pod: &Pod, others: &[&Pod], allocatable: &Allocatable) -> Result<(), Reason> {
    let pods = i64::try_from(others.len()).unwrap_or(i64::MAX);
    if let Some(capacity) = allocatable.get("pods").filter(|capacity| pods >= capacity.value()) {
        return Err(out_of("pods", 1, pods, capacity.value()));
    }
    for (name, requested) in requests(pod) {
        let Some(capacity) = allocatable.get(name) else {
            return Err(out_of(name, amount(name, requested), 0, 0));
        };
        let used: Quantity = others.iter().filter_map(|other| requests(other).get(name).copied()).sum();
        if used + requested > *capacity {
            return Err(out_of(name, amount(name, requested), amount(name, used), amount(name, *capacity)));
        }
    }
    Ok(())
}

fn out_of(name: &str, requested: i64, used: i64, capacity: i64) -> Reason {
    let message = format!(
        "Pod was rejected: Node didn't have enough resource: {name}, requested: {requested}, used: {used}, capacity: {capacity}"
    );
    Reason::new(&format!("OutOf{name}"), message)
}

/// CPU is told in thousandths.
fn amount(name: &str, quantity: Quantity) -> i64 {
    if name == "cpu" { quantity.milli_value() } else { quantity.value() }
}

/// What a pod asks for; nothing of a resource is no request.
fn requests(pod: &Pod) -> Amounts<'_> {
    let mut requests = resources::requests(pod, Counting::default());
    requests.retain(|_, amount| !amount.is_zero());
    requests
}

fn conflicts(pod: &Pod, others: &[&Pod]) -> bool {
    let wanted = host_ports(pod);
    !wanted.is_empty()
        && others
            .iter()
            .flat_map(|other| host_ports(*other))
            .any(|taken| wanted.iter().any(|port| port.conflicts_with(&taken)))
}

fn selects(pod: &Pod, node: &Node) -> bool {
    let no_labels = BTreeMap::new();
    let labels = node.metadata.labels.as_ref().unwrap_or(&no_labels);
    let name = node.metadata.name.as_deref().unwrap_or_default();
    let spec = pod.pod_spec();
    let affinity = spec.affinity.as_ref().and_then(|affinity| affinity.node_affinity.as_ref());
    Required::of(spec.node_selector.as_ref(), affinity).matches(NodeView { name, labels })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(spec: serde_json::Value) -> Pod {
        serde_json::from_value(json!({"metadata": {"name": "p"}, "spec": spec})).unwrap()
    }

    fn asking(cpu: &str) -> serde_json::Value {
        json!({"containers": [{"name": "c", "resources": {"requests": {"cpu": cpu}}}]})
    }

    #[test]
    fn pods_that_cannot_run_are_refused_in_upstreams_words() {
        let allocatable = Allocatable::from([
            ("cpu".to_owned(), Quantity::from_milli(2000)),
            ("pods".to_owned(), Quantity::new(2, api_types::quantity::Format::DecimalSi)),
        ]);
        let node: Node = serde_json::from_value(json!({"metadata": {"name": "n", "labels": {"disk": "ssd"}}})).unwrap();
        let port =
            |port: i32| json!({"containers": [{"name": "c", "ports": [{"containerPort": 1, "hostPort": port}]}]});
        let mut on_ssd = asking("1");
        on_ssd["nodeSelector"] = json!({"disk": "ssd"});
        let mut on_hdd = asking("1");
        on_hdd["nodeSelector"] = json!({"disk": "hdd"});
        let cases = [
            (asking("1"), vec![], None),
            (
                asking("1500m"),
                vec![asking("1")],
                Some(
                    "OutOfcpu: Pod was rejected: Node didn't have enough resource: cpu, requested: 1500, used: 1000, capacity: 2000",
                ),
            ),
            (
                asking("0"),
                vec![asking("0"), asking("0")],
                Some(
                    "OutOfpods: Pod was rejected: Node didn't have enough resource: pods, requested: 1, used: 2, capacity: 2",
                ),
            ),
            (port(80), vec![port(81)], None),
            (
                port(80),
                vec![port(80)],
                Some(
                    "NodePorts: Pod was rejected: Predicate NodePorts failed: node(s) didn't have free ports for the requested pod ports",
                ),
            ),
            (on_ssd, vec![], None),
            (
                on_hdd,
                vec![],
                Some(
                    "NodeAffinity: Pod was rejected: Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector",
                ),
            ),
        ];
        for (spec, others, expected) in cases {
            let others: Vec<Pod> = others.into_iter().map(pod).collect();
            let others: Vec<&Pod> = others.iter().collect();
            let got = admit(&pod(spec.clone()), &others, &allocatable, Some(&node));
            let got = got.err().map(|why| format!("{}: {}", why.reason, why.message));
            assert_eq!(got.as_deref(), expected, "{spec}");
        }
    }
}
