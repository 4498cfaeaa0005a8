//! Arithmetic of requests: what a pod takes from a node.

use api_types::quantity::{Quantity, Wire};

use crate::model::{Container, Pod, ResourceList};

/// What a container without a CPU request is taken to use when nodes are scored; upstream's
/// `DefaultMilliCPURequest`.
const ASSUMED_MILLI_CPU: i64 = 100;
/// The same for memory: upstream's `DefaultMemoryRequest`, 200 MiB.
const ASSUMED_MEMORY: i64 = 200 << 20;

/// An amount of every resource. The common ones are fields; the rest is a short sorted list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Amounts {
    /// Thousandths of a core.
    pub milli_cpu: i64,
    /// Bytes.
    pub memory: i64,
    /// Bytes.
    pub ephemeral_storage: i64,
    /// Extended resources and huge pages, sorted by name.
    pub others: Vec<(Box<str>, i64)>,
}

impl Amounts {
    /// Reads a resource list. `pods` is no amount that a pod asks for and is left out.
    #[must_use]
    pub fn of(list: &ResourceList) -> Self {
        let mut amounts = Self::default();
        for (name, wire) in list {
            // Validated when written; an unreadable amount asks for nothing.
            let quantity = Quantity::try_from(wire).unwrap_or_default();
            match name.as_str() {
                "cpu" => amounts.milli_cpu = quantity.milli_value(),
                "memory" => amounts.memory = quantity.value(),
                "ephemeral-storage" => amounts.ephemeral_storage = quantity.value(),
                "pods" => {}
                other => amounts.others.push((other.into(), quantity.value())),
            }
        }
        amounts
    }

    /// The amount of an extended resource.
    #[must_use]
    pub fn other(&self, name: &str) -> i64 {
        self.others.binary_search_by(|(known, _)| (**known).cmp(name)).map_or(0, |at| self.others[at].1)
    }

    /// Applies `combine` to each resource of both.
    fn merge(&mut self, other: &Self, combine: fn(i64, i64) -> i64) {
        self.milli_cpu = combine(self.milli_cpu, other.milli_cpu);
        self.memory = combine(self.memory, other.memory);
        self.ephemeral_storage = combine(self.ephemeral_storage, other.ephemeral_storage);
        for (name, amount) in &other.others {
            match self.others.binary_search_by(|(known, _)| known.cmp(name)) {
                Ok(at) => self.others[at].1 = combine(self.others[at].1, *amount),
                Err(at) => self.others.insert(at, (name.clone(), combine(0, *amount))),
            }
        }
    }

    /// Adds.
    pub fn add(&mut self, other: &Self) {
        self.merge(other, i64::saturating_add);
    }

    /// Subtracts.
    pub fn subtract(&mut self, other: &Self) {
        self.merge(other, i64::saturating_sub);
    }

    fn raise_to(&mut self, other: &Self) {
        self.merge(other, i64::max);
    }
}

/// What a pod takes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Requests {
    /// What it asks for: compared with what is left.
    pub asked: Amounts,
    /// CPU with the assumed minimum, for scoring.
    pub scored_milli_cpu: i64,
    /// Memory with the assumed minimum, for scoring.
    pub scored_memory: i64,
}

impl Requests {
    /// The effective requests of a pod: the larger of what runs together and of each init
    /// container beside the sidecars started before it; plus overhead; pod-level requests win.
    #[must_use]
    pub fn of(pod: &Pod) -> Self {
        let asked = total(pod, &|container| Amounts::of(requests(container)));
        let scored = total(pod, &|container| {
            let mut amounts = Amounts::of(requests(container));
            assume(&mut amounts, requests(container));
            amounts
        });
        Self { asked, scored_milli_cpu: scored.milli_cpu, scored_memory: scored.memory }
    }
}

fn requests(container: &Container) -> &ResourceList {
    static NONE: ResourceList = ResourceList::new();
    container.resources.as_deref().map_or(&NONE, |resources| &resources.requests)
}

fn assume(amounts: &mut Amounts, requests: &ResourceList) {
    if !requests.contains_key("cpu") {
        amounts.milli_cpu = ASSUMED_MILLI_CPU;
    }
    if !requests.contains_key("memory") {
        amounts.memory = ASSUMED_MEMORY;
    }
}

fn total(pod: &Pod, of: &dyn Fn(&Container) -> Amounts) -> Amounts {
    let mut running = Amounts::default();
    for container in &pod.spec.containers {
        running.add(&of(container));
    }
    let mut sidecars = Amounts::default();
    let mut peak = Amounts::default();
    for container in &pod.spec.init_containers {
        let amounts = of(container);
        if container.restart_policy.as_deref() == Some("Always") {
            sidecars.add(&amounts);
            peak.raise_to(&sidecars);
        } else {
            let mut beside = sidecars.clone();
            beside.add(&amounts);
            peak.raise_to(&beside);
        }
    }
    running.add(&sidecars);
    running.raise_to(&peak);
    override_with(&mut running, pod.spec.resources.as_deref().map(|resources| &resources.requests));
    if let Some(overhead) = &pod.spec.overhead {
        running.add(&Amounts::of(overhead));
    }
    running
}

/// Pod-level requests replace the containers' sum, for CPU and memory.
fn override_with(running: &mut Amounts, pod_level: Option<&ResourceList>) {
    let Some(pod_level) = pod_level else { return };
    let amounts = Amounts::of(pod_level);
    if pod_level.contains_key("cpu") {
        running.milli_cpu = amounts.milli_cpu;
    }
    if pod_level.contains_key("memory") {
        running.memory = amounts.memory;
    }
}

/// How many pods a node takes.
#[must_use]
pub fn pod_slots(allocatable: &ResourceList) -> i64 {
    allocatable.get("pods").and_then(|wire: &Wire| Quantity::try_from(wire).ok()).map_or(0, |slots| slots.value())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(yaml_like: serde_json::Value) -> Pod {
        serde_json::from_value(serde_json::json!({"metadata": {}, "spec": yaml_like})).unwrap()
    }

    fn cpu(amount: &str) -> serde_json::Value {
        serde_json::json!({"requests": {"cpu": amount}})
    }

    #[test]
    fn requests_are_effective() {
        let sidecar = serde_json::json!({"resources": cpu("100m"), "restartPolicy": "Always"});
        let cases = [
            (serde_json::json!({"containers": [{"resources": cpu("1")}, {"resources": cpu("500m")}]}), 1500),
            (
                serde_json::json!({"containers": [{"resources": cpu("1")}], "initContainers": [{"resources": cpu("3")}]}),
                3000,
            ),
            (
                serde_json::json!({"containers": [{"resources": cpu("1")}], "initContainers": [sidecar, {"resources": cpu("2")}]}),
                2100,
            ),
            (
                serde_json::json!({"containers": [{"resources": cpu("1")}], "initContainers": [{"resources": cpu("1")}, sidecar]}),
                1100,
            ),
            (serde_json::json!({"containers": [{}], "overhead": {"cpu": "250m"}}), 250),
            (serde_json::json!({"containers": [{"resources": cpu("1")}], "resources": cpu("5")}), 5000),
        ];
        for (spec, milli_cpu) in cases {
            assert_eq!(Requests::of(&pod(spec.clone())).asked.milli_cpu, milli_cpu, "{spec}");
        }
    }

    #[test]
    fn scoring_assumes_a_minimum() {
        let requests = Requests::of(&pod(serde_json::json!({"containers": [{}, {"resources": cpu("1")}]})));
        assert_eq!((requests.asked.milli_cpu, requests.scored_milli_cpu), (1000, 1100));
        assert_eq!((requests.asked.memory, requests.scored_memory), (0, 400 << 20));
    }
}
