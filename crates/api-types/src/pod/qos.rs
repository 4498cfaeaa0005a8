//! Quality of service: whose containers end first when a node runs out of memory.

use super::{ContainerView, PodView, ResourceList, resources::Amounts};

/// `status.qosClass`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QosClass {
    /// Every container, or the pod as a whole, asks for exactly what it is limited to, of CPU and of memory.
    Guaranteed,
    /// Somebody asks for something, or is limited.
    Burstable,
    /// Nobody asks for anything.
    BestEffort,
}

/// Resources that the class depends on.
const COUNTED: [&str; 2] = ["cpu", "memory"];

/// Sums over what counts.
#[derive(Default)]
struct Sums<'a> {
    requests: Amounts<'a>,
    limits: Amounts<'a>,
    /// Somebody lacks a limit.
    unlimited: bool,
}

impl QosClass {
    /// As on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Guaranteed => "Guaranteed",
            Self::Burstable => "Burstable",
            Self::BestEffort => "BestEffort",
        }
    }

    /// The class of a pod whose defaults are set. Resources of the pod as a whole alone decide where there are any.
    #[must_use]
    pub fn of<P: PodView>(pod: &P) -> Self {
        let mut sums = Sums::default();
        if pod.has_pod_resources() {
            sums.count(pod.pod_requests(), pod.pod_limits());
        } else {
            for container in pod.containers().iter().chain(pod.init_containers()) {
                sums.count(container.requests(), container.limits());
            }
        }
        sums.class()
    }
}

impl<'a> Sums<'a> {
    fn count(&mut self, requests: Option<&'a ResourceList>, limits: Option<&'a ResourceList>) {
        add(&mut self.requests, requests);
        self.unlimited |= add(&mut self.limits, limits) < COUNTED.len();
    }

    fn class(&self) -> QosClass {
        if self.requests.is_empty() && self.limits.is_empty() {
            QosClass::BestEffort
        } else if !self.unlimited && self.requests == self.limits {
            QosClass::Guaranteed
        } else {
            QosClass::Burstable
        }
    }
}

/// Adds what is more than nothing; how many resources those were.
fn add<'a>(sums: &mut Amounts<'a>, list: Option<&'a ResourceList>) -> usize {
    let counted = super::resources::amounts(list)
        .filter(|(name, amount)| COUNTED.contains(name) && !amount.is_zero() && !amount.is_negative());
    counted.map(|(name, amount)| *sums.entry(name).or_default() += amount).count()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::core::PodSpec;

    fn class(spec: Value) -> QosClass {
        QosClass::of(&serde_json::from_value::<PodSpec>(spec).unwrap())
    }

    fn containers(resources: &[Value]) -> Value {
        resources.iter().map(|resources| json!({"name": "c", "resources": resources})).collect()
    }

    #[test]
    fn containers_decide() {
        use QosClass::{BestEffort, Burstable, Guaranteed};
        let full = json!({"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"cpu": "1000m", "memory": "1Gi"}});
        let limits_only = json!({"limits": {"cpu": "1", "memory": "1Gi"}});
        let cases = [
            (vec![json!({})], BestEffort),
            (vec![json!({"requests": {"cpu": "0"}, "limits": {"memory": "0"}})], BestEffort),
            (vec![json!({"requests": {"example.com/gpu": "1"}, "limits": {"example.com/gpu": "1"}})], BestEffort),
            (vec![full.clone()], Guaranteed),
            (vec![full.clone(), full.clone()], Guaranteed),
            // Defaults give a container its limits as requests; one that lacks them has no requests.
            (vec![limits_only], Burstable),
            (vec![full.clone(), json!({})], Burstable),
            (vec![json!({"requests": {"cpu": "100m"}})], Burstable),
            (vec![json!({"limits": {"cpu": "1"}})], Burstable),
            (
                vec![json!({"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"cpu": "2", "memory": "1Gi"}})],
                Burstable,
            ),
            (vec![json!({"requests": {"cpu": "1"}, "limits": {"cpu": "1"}})], Burstable),
        ];
        for (resources, expected) in cases {
            let spec = json!({"containers": containers(&resources)});
            assert_eq!(class(spec), expected, "{resources:?}");
        }
        let init = json!({"containers": containers(&[full]), "initContainers": containers(&[json!({})])});
        assert_eq!(class(init), Burstable);
    }

    #[test]
    fn the_pod_as_a_whole_decides_where_it_speaks() {
        use QosClass::{BestEffort, Burstable, Guaranteed};
        let full = json!({"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"cpu": "1", "memory": "1Gi"}});
        let cases = [
            (full.clone(), Guaranteed),
            (json!({"requests": {"cpu": "1"}}), Burstable),
            (json!({"requests": {"cpu": "1"}, "limits": {"cpu": "1"}}), Burstable),
            (json!({"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"cpu": "2", "memory": "1Gi"}}), Burstable),
            (json!({}), BestEffort),
        ];
        for (resources, expected) in cases {
            let spec = json!({"containers": containers(&[json!({})]), "resources": resources});
            assert_eq!(class(spec), expected, "{resources}");
        }
        let spec = json!({"containers": containers(&[full]), "resources": {"requests": {"cpu": "2"}}});
        assert_eq!(class(spec), Burstable);
    }
}
