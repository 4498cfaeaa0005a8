//! A pod can keep others off its node, and off nothing greater.

use api_types::{StatusError, core::Pod, rows};
use futures::future::BoxFuture;

use crate::registry::{Review, admission::Plugin};

const HOSTNAME: &str = "kubernetes.io/hostname";

pub(super) struct LimitPodHardAntiAffinityTopology;

impl Plugin for LimitPodHardAntiAffinityTopology {
    fn concerns(&self, review: &Review<'_>) -> bool {
        review.door.writes(&rows::PODS)
    }

    fn validate<'a>(&'a self, review: &'a Review<'_>) -> BoxFuture<'a, Result<(), StatusError>> {
        let result = review.expect::<Pod>("Pod").map_err(StatusError::from).and_then(|pod| match wider(pod) {
            None => Ok(()),
            Some(key) => {
                let field = "affinity.PodAntiAffinity.RequiredDuringScheduling";
                Err(review.forbidden(&format!("{field} has TopologyKey {key} but only key {HOSTNAME} is allowed")))
            }
        });
        Box::pin(async move { result })
    }
}

/// The topology of a term that is about more than a node.
fn wider(pod: &Pod) -> Option<&str> {
    let anti = pod.spec.as_ref()?.affinity.as_ref()?.pod_anti_affinity.as_ref()?;
    let terms = anti.required_during_scheduling_ignored_during_execution.iter().flatten();
    terms.map(|term| term.topology_key.as_str()).find(|key| *key != HOSTNAME)
}
