//! Whether this node can run a pod that it was given: pure.

pub mod sysctls;

use std::collections::BTreeMap;

use api_types::core::{Node, Pod, Taint};
use api_types::pod::host_ports::host_ports;
use api_types::pod::node_affinity::{NodeView, Required};
use api_types::pod::qos::QosClass;
use api_types::pod::resources::{self, Amounts, Counting};
use api_types::pod::tolerations;
use api_types::quantity::Quantity;

use crate::env::Allocatable;
use crate::eviction::{EVICTED, Pressure, Pressures};
use crate::pod::{PodExt, qos};
use crate::status::Reason;

/// What nodes of this kubelet run.
const OS: &str = "linux";
const OS_LABEL: &str = "kubernetes.io/os";

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
    if node.is_some_and(|node| !pod.is_static() && repels(node, pod)) {
        return Err(predicate("TaintToleration", "node(s) had taints that the pod didn't tolerate"));
    }
    fits(pod, others, allocatable, node)?;
    if conflicts(pod, others) {
        return Err(predicate("NodePorts", "node(s) didn't have free ports for the requested pod ports"));
    }
    Ok(())
}

/// Refuses pods that a node under pressure has no room for: under pressure of memory those that ask for none, under any
/// other all, but for those that the node is made of and, of memory, those that tolerate it.
///
/// # Errors
/// Upstream's reason and message.
pub fn welcome(pod: &Pod, pressures: &Pressures) -> Result<(), Reason> {
    if pressures.is_empty() || pod.is_static() || qos::is_critical(pod) {
        return Ok(());
    }
    let memory_alone = pressures.iter().all(|pressure| *pressure == Pressure::Memory);
    if memory_alone && (QosClass::of(pod) != QosClass::BestEffort || tolerates_memory_pressure(pod)) {
        return Ok(());
    }
    let names: Vec<&str> = pressures.iter().map(|pressure| pressure.condition()).collect();
    let message = format!("Pod was rejected: The node had condition: [{}]. ", names.join(" "));
    Err(Reason::new(EVICTED, message))
}

/// Whether the pod would have to leave the node at once.
fn repels(node: &Node, pod: &Pod) -> bool {
    let taints = node.spec.as_ref().and_then(|spec| spec.taints.as_deref()).unwrap_or_default();
    let own = pod.pod_spec().tolerations.as_deref().unwrap_or_default();
    tolerations::untolerated(taints, own, &[tolerations::NO_EXECUTE]).is_some()
}

fn tolerates_memory_pressure(pod: &Pod) -> bool {
    let taint = Taint {
        key: "node.kubernetes.io/memory-pressure".to_owned(),
        effect: "NoSchedule".to_owned(),
        ..Taint::default()
    };
    tolerations::tolerated(pod.pod_spec().tolerations.as_deref().unwrap_or_default(), &taint)
}

/// Refuses what is for another operating system, and what containers on Docker cannot have.
///
/// # Errors
/// Upstream's reason and message.
pub fn supported(pod: &Pod) -> Result<(), Reason> {
    let spec = pod.pod_spec();
    if spec.node_selector.as_ref().and_then(|labels| labels.get(OS_LABEL)).is_some_and(|name| name != OS) {
        let message = "Pod was rejected: Failed to admit pod as the `kubernetes.io/os` label doesn't match node label";
        return Err(Reason::new("PodOSSelectorNodeLabelDoesNotMatch", message));
    }
    if spec.os.as_ref().is_some_and(|os| os.name != OS) {
        let message = "Pod was rejected: Failed to admit pod as the OS field doesn't match node OS";
        return Err(Reason::new("PodOSNotSupported", message));
    }
    let security = spec.security_context.as_ref();
    // Docker looks up the groups of a user in the image, always.
    if security.and_then(|context| context.supplemental_groups_policy.as_deref()) == Some("Strict") {
        let message = "Pod was rejected: SupplementalGroupsPolicy=Strict is not supported in this node";
        return Err(Reason::new("SupplementalGroupsPolicyNotSupported", message));
    }
    Ok(())
}

fn predicate(name: &str, why: &str) -> Reason {
    Reason::new(name, format!("Pod was rejected: Predicate {name} failed: {why}"))
}

fn fits(pod: &Pod, others: &[&Pod], allocatable: &Allocatable, node: Option<&Node>) -> Result<(), Reason> {
    let pods = i64::try_from(others.len()).unwrap_or(i64::MAX);
    if let Some(capacity) = allocatable.get("pods").filter(|capacity| pods >= capacity.value()) {
        let lacking = Shortage { name: "pods".to_owned(), requested: 1, used: pods, capacity: capacity.value() };
        return Err(lacking.refusal());
    }
    let wanted = requests(pod);
    let names: Vec<&str> = wanted.keys().copied().collect();
    match shortage(pod, others, Capacity { allocatable, node }, &names) {
        Some(lacking) => Err(lacking.refusal()),
        None => Ok(()),
    }
}

/// What somebody has added to the node of an extended resource.
fn added(node: &Node, name: &str) -> Option<Quantity> {
    let allocatable = node.status.as_ref()?.allocatable.as_ref()?;
    Quantity::try_from(allocatable.get(name).filter(|_| name.contains('/'))?).ok()
}

/// A resource of which too little is left. CPU is told in thousandths.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("Node didn't have enough resource: {name}, requested: {requested}, used: {used}, capacity: {capacity}")]
pub struct Shortage {
    /// Its name.
    pub name: String,
    /// What is asked for.
    pub requested: i64,
    /// What others hold.
    pub used: i64,
    /// What there is.
    pub capacity: i64,
}

impl Shortage {
    fn refusal(&self) -> Reason {
        Reason::new(&format!("OutOf{}", self.name), format!("Pod was rejected: {self}"))
    }
}

/// What there is for pods.
#[derive(Clone, Copy)]
pub struct Capacity<'a> {
    /// What the kubelet itself has found.
    pub allocatable: &'a Allocatable,
    /// What the API says, in which others add extended resources.
    pub node: Option<&'a Node>,
}

impl Capacity<'_> {
    fn of(&self, name: &str) -> Option<Quantity> {
        self.allocatable.get(name).copied().or_else(|| added(self.node?, name))
    }
}

/// The first of these resources of which the pod cannot have what it asks for beside `others`.
#[must_use]
pub fn shortage(pod: &Pod, others: &[&Pod], capacity: Capacity<'_>, names: &[&str]) -> Option<Shortage> {
    let wanted = requests(pod);
    names.iter().find_map(|name| {
        let requested = *wanted.get(name)?;
        let told = |used: Quantity, capacity: Quantity| Shortage {
            name: (*name).to_owned(),
            requested: amount(name, requested),
            used: amount(name, used),
            capacity: amount(name, capacity),
        };
        let Some(capacity) = capacity.of(name) else {
            // Extended resources that the node does not know are somebody else's business, as upstream.
            return (!name.contains('/')).then(|| told(Quantity::ZERO, Quantity::ZERO));
        };
        let used: Quantity = others.iter().filter_map(|other| requests(other).get(name).copied()).sum();
        (used + requested > capacity).then(|| told(used, capacity))
    })
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
        let mut spec = spec;
        if spec["tolerations"].is_null() {
            spec["tolerations"] = json!([{"key": "b", "operator": "Exists", "tolerationSeconds": 0}]);
        }
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
        let node = json!({"metadata": {"name": "n", "labels": {"disk": "ssd"}},
            "spec": {"taints": [{"key": "a", "effect": "NoSchedule"}, {"key": "b", "effect": "NoExecute"}]},
            "status": {"allocatable": {"example.com/gpu": "2"}}});
        let node: Node = serde_json::from_value(node).unwrap();
        let device = |name: &str, amount: &str| json!({"containers": [{"name": "c", "resources": {"requests": {name: amount}}}]});
        let port =
            |port: i32| json!({"containers": [{"name": "c", "ports": [{"containerPort": 1, "hostPort": port}]}]});
        let mut on_ssd = asking("1");
        on_ssd["nodeSelector"] = json!({"disk": "ssd"});
        let mut on_hdd = asking("1");
        on_hdd["nodeSelector"] = json!({"disk": "hdd"});
        let mut intolerant = asking("1");
        intolerant["tolerations"] = json!([{"key": "b", "operator": "Exists", "effect": "NoSchedule"}]);
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
            (device("example.com/gpu", "1"), vec![device("example.com/gpu", "1")], None),
            (
                device("example.com/gpu", "2"),
                vec![device("example.com/gpu", "1")],
                Some(
                    "OutOfexample.com/gpu: Pod was rejected: Node didn't have enough resource: example.com/gpu, requested: 2, used: 1, capacity: 2",
                ),
            ),
            (device("example.com/other", "1"), vec![], None),
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
                intolerant,
                vec![],
                Some(
                    "TaintToleration: Pod was rejected: Predicate TaintToleration failed: node(s) had taints that the pod didn't tolerate",
                ),
            ),
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

    #[test]
    fn pods_for_other_systems_are_refused() {
        for (spec, expected) in [
            (json!({"os": {"name": "linux"}, "nodeSelector": {"kubernetes.io/os": "linux"}}), None),
            (json!({"os": {"name": "windows"}}), Some("PodOSNotSupported")),
            (json!({"nodeSelector": {"kubernetes.io/os": "windows"}}), Some("PodOSSelectorNodeLabelDoesNotMatch")),
            (
                json!({"securityContext": {"supplementalGroupsPolicy": "Strict"}}),
                Some("SupplementalGroupsPolicyNotSupported"),
            ),
        ] {
            let mut spec = spec;
            spec["containers"] = json!([]);
            let refusal = supported(&pod(spec.clone())).err().map(|why| why.reason);
            assert_eq!(refusal.as_deref(), expected, "{spec}");
        }
    }
}
