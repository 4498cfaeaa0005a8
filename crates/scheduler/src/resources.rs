//! Arithmetic of requests: what a pod takes from a node.

use api_types::{
    pod::{
        ResourceList,
        resources::{self, Counting},
    },
    quantity::{Quantity, Wire},
};

use crate::model::Pod;

/// What a container without a CPU request is taken to use when nodes are scored; upstream's
/// `DefaultMilliCPURequest`.
const ASSUMED_MILLI_CPU: i64 = 100;
/// The same for memory: upstream's `DefaultMemoryRequest`, 200 MiB.
const ASSUMED_MEMORY: i64 = 200 << 20;

/// A resource that a plugin looks at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ResourceName {
    /// `cpu`.
    Cpu,
    /// `memory`.
    Memory,
    /// `ephemeral-storage`.
    EphemeralStorage,
    /// Extended resources and huge pages.
    Other(Box<str>),
}

impl From<&str> for ResourceName {
    fn from(name: &str) -> Self {
        match name {
            "cpu" => Self::Cpu,
            "memory" => Self::Memory,
            "ephemeral-storage" => Self::EphemeralStorage,
            other => Self::Other(other.into()),
        }
    }
}

/// An amount of every resource. The common ones are fields; the rest is a short sorted list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
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
    /// Rounds what was added up. `pods` is no amount that a pod asks for and is left out.
    #[must_use]
    pub fn of(quantities: impl IntoIterator<Item = (impl AsRef<str>, Quantity)>) -> Self {
        let mut amounts = Self::default();
        for (name, quantity) in quantities {
            match name.as_ref() {
                "cpu" => amounts.milli_cpu = quantity.milli_value(),
                "memory" => amounts.memory = quantity.value(),
                "ephemeral-storage" => amounts.ephemeral_storage = quantity.value(),
                "pods" => {}
                other => amounts.others.push((other.into(), quantity.value())),
            }
        }
        amounts
    }

    /// What a node offers.
    #[must_use]
    pub fn offered(list: &ResourceList) -> Self {
        // An unreadable amount offers nothing.
        Self::of(list.iter().map(|(name, wire)| (name, Quantity::try_from(wire).unwrap_or_default())))
    }

    /// The amount of an extended resource.
    #[must_use]
    pub fn other(&self, name: &str) -> i64 {
        self.others.binary_search_by(|(known, _)| (**known).cmp(name)).map_or(0, |at| self.others[at].1)
    }

    /// The amount of a resource.
    #[must_use]
    pub fn amount(&self, name: &ResourceName) -> i64 {
        match name {
            ResourceName::Cpu => self.milli_cpu,
            ResourceName::Memory => self.memory,
            ResourceName::EphemeralStorage => self.ephemeral_storage,
            ResourceName::Other(name) => self.other(name),
        }
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
}

/// What a pod takes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Requests {
    /// What it asks for: compared with what is left.
    pub asked: Amounts,
    /// CPU with the assumed minimum, for scoring.
    pub scored_milli_cpu: i64,
    /// Memory with the assumed minimum, for scoring.
    pub scored_memory: i64,
}

impl Requests {
    /// The effective requests of a pod.
    #[must_use]
    pub fn of(pod: &Pod) -> Self {
        let asked = resources::requests(pod, Counting { missing: &[], held: true });
        let scored = resources::requests(pod, Counting { missing: &missing(pod, &asked), held: true });
        let scored = |name: &str| scored.get(name).copied().unwrap_or_default();
        Self {
            scored_milli_cpu: scored("cpu").milli_value(),
            scored_memory: scored("memory").value(),
            asked: Amounts::of(asked),
        }
    }
}

/// What is assumed of containers that name no request. A pod that asks for something as a whole leaves nothing to
/// assume where it does.
fn missing(pod: &Pod, asked: &resources::Amounts<'_>) -> Vec<(&'static str, Quantity)> {
    let assumed = [("cpu", Quantity::from_milli(ASSUMED_MILLI_CPU)), ("memory", Quantity::from_bytes(ASSUMED_MEMORY))];
    let whole = resources::has_pod_level_requests(pod);
    assumed.into_iter().filter(|(name, _)| !whole || asked.get(name).is_none_or(Quantity::is_zero)).collect()
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
    fn amounts_are_rounded_up() {
        let little = serde_json::json!({"requests": {"cpu": "100u", "memory": "1500m", "example.com/gpu": "2"}});
        let requests = Requests::of(&pod(serde_json::json!({"containers": [{"resources": little}]})));
        assert_eq!((requests.asked.milli_cpu, requests.asked.memory), (1, 2));
        assert_eq!((requests.asked.other("example.com/gpu"), requests.asked.other("example.com/fpga")), (2, 0));
    }

    #[test]
    fn scoring_assumes_a_minimum() {
        let whole = |requests: serde_json::Value| serde_json::json!({"containers": [{}, {}], "resources": requests});
        let cases = [
            (serde_json::json!({"containers": [{}, {"resources": cpu("1")}]}), (1000, 1100), (0, 400 << 20)),
            (serde_json::json!({"containers": [{"resources": cpu("0")}]}), (0, 0), (0, 200 << 20)),
            (whole(cpu("1")), (1000, 1000), (0, 400 << 20)),
            (whole(serde_json::json!({"requests": {"cpu": "0", "memory": "1"}})), (0, 0), (1, 1)),
        ];
        for (spec, milli_cpu, memory) in cases {
            let requests = Requests::of(&pod(spec.clone()));
            assert_eq!((requests.asked.milli_cpu, requests.scored_milli_cpu), milli_cpu, "{spec}");
            assert_eq!((requests.asked.memory, requests.scored_memory), memory, "{spec}");
        }
    }
}
