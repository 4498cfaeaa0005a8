//! What pods hold of the node's CPU and memory: what they were admitted with, until a resize is granted.
//!
//! A pod's spec says what is asked for. Everything on the node goes by the allocation instead, which changes only when
//! what is asked for fits beside what the others hold.

mod checkpoint;
mod table;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use api_types::core::{Container, Pod, ResourceRequirements};
use api_types::quantity::Wire;
use serde::{Deserialize, Serialize};

use crate::pod::{PodExt, Role};
pub use checkpoint::{read, write};
pub use table::{Allocations, Refusal};

/// Amounts by resource.
type Amounts = BTreeMap<String, Wire>;

/// What one container holds.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct Held {
    requests: Option<Amounts>,
    limits: Option<Amounts>,
}

impl Held {
    fn of(resources: Option<&ResourceRequirements>) -> Self {
        Self {
            requests: resources.and_then(|resources| resources.requests.clone()),
            limits: resources.and_then(|resources| resources.limits.clone()),
        }
    }
}

/// What a pod's containers hold, by name.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Allocation {
    containers: BTreeMap<String, Held>,
}

impl Allocation {
    /// What the pod's spec asks for.
    #[must_use]
    pub fn of(pod: &Pod) -> Self {
        let containers = pod.all_containers();
        let resizable = containers.iter().filter(|(role, _)| *role != Role::Init);
        let held = resizable.map(|(_, container)| (container.name.clone(), Held::of(container.resources.as_ref())));
        Self { containers: held.collect() }
    }

    /// The pod with what it holds in place of what it asks for; the same one where that is the same.
    #[must_use]
    pub fn apply(&self, pod: &Arc<Pod>) -> Arc<Pod> {
        let differs = |container: &Container| {
            let held = self.containers.get(&container.name);
            held.is_some_and(|held| *held != Held::of(container.resources.as_ref()))
        };
        if !pod.all_containers().iter().any(|(role, container)| *role != Role::Init && differs(container)) {
            return Arc::clone(pod);
        }
        let mut allocated = Pod::clone(pod);
        let spec = allocated.spec.get_or_insert_default();
        for container in spec.containers.iter_mut().chain(spec.init_containers.iter_mut().flatten()) {
            if let Some(held) = self.containers.get(&container.name) {
                let resources = container.resources.get_or_insert_default();
                resources.requests.clone_from(&held.requests);
                resources.limits.clone_from(&held.limits);
            }
        }
        Arc::new(allocated)
    }
}
