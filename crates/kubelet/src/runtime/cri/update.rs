//! Other limits for a container that runs.

use std::sync::Arc;

use super::client::Method;
use super::protocol::{Nothing, Resources, UpdateResourcesRequest};
use super::{ContainerId, LinuxResources, Result, RuntimeError, Shared};

impl Shared {
    pub(super) async fn update(self: &Arc<Self>, id: &ContainerId, resources: &LinuxResources) -> Result<()> {
        let actual = self.container(id).await?.resources;
        if resources.memory_limit == 0 && actual.is_some_and(|actual| actual.memory_limit > 0) {
            let message = "a limit of memory cannot be taken away".to_owned();
            return Err(RuntimeError::Refused { operation: "update container", message });
        }
        let question = UpdateResourcesRequest { container_id: id.0.clone(), linux: Some(limits(resources)) };
        let updated = self.client.call(Method::UPDATE_RESOURCES, id.as_str(), question).await;
        self.cache.forget(id.as_str());
        updated.map(|Nothing {}| ())
    }
}

/// Zero is "as it is" to runtimes, and -1 no quota.
fn limits(resources: &LinuxResources) -> Resources {
    Resources {
        cpu_shares: resources.cpu_shares,
        cpu_quota: if resources.cpu_quota > 0 { resources.cpu_quota } else { -1 },
        cpu_period: resources.cpu_period,
        memory_limit_in_bytes: resources.memory_limit,
        // Equal to the limit: no swap.
        memory_swap_limit_in_bytes: resources.memory_limit,
        oom_score_adj: 0,
    }
}
