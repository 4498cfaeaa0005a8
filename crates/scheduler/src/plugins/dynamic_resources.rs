//! Pods that claim devices. Nobody here allocates devices: such pods wait, rather than run without.

use crate::{
    cache::Snapshot,
    framework::{Candidate, Change, Hint, Plugin, PreFilter, Rejection},
};

/// See the module.
#[derive(Debug)]
pub struct DynamicResources;

impl Plugin for DynamicResources {
    fn name(&self) -> &'static str {
        "DynamicResources"
    }

    fn hint(&self, _: Candidate<'_>, _: &Change) -> Hint {
        Hint::Skip
    }

    fn pre_filter<'a>(&'a self, candidate: Candidate<'a>, _: &'a Snapshot) -> Result<PreFilter<'a>, Rejection> {
        if candidate.pod.spec.resource_claims.is_empty() {
            return Ok(PreFilter::default());
        }
        Err(Rejection::never_here("cannot allocate all claims"))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::testing::{Cluster, node};

    #[test]
    fn who_claims_devices_waits() {
        let mut cluster = Cluster::of(&[node("a", json!({}))]);
        let pod = json!({"metadata": {}, "spec": {"resourceClaims": [{"name": "gpu", "resourceClaimName": "gpu"}]}});
        let message = "0/1 nodes are available: cannot allocate all claims.";
        assert_eq!(cluster.decide(&pod).unwrap_err(), message);
    }
}
