//! Other limits for a container that runs.

use bollard::models::ContainerUpdateBody;

use super::client::translate;
use super::{DockerRuntime, LinuxResources, Result, RuntimeError};

const OPERATION: &str = "update container";

impl DockerRuntime {
    pub(super) async fn update(&self, id: &str, resources: &LinuxResources) -> Result<()> {
        let details = self.inspect(id).await?;
        let limited = details.host_config.and_then(|host| host.memory).is_some_and(|memory| memory > 0);
        if limited && resources.memory_limit == 0 {
            let message = "a limit of memory cannot be taken away".to_owned();
            return Err(RuntimeError::Refused { operation: OPERATION, message });
        }
        let updated = self.client.docker()?.update_container(id, body(resources)).await;
        self.cache.forget(id, jiff::Timestamp::now());
        updated.map_err(|error| translate(OPERATION, id, error))
    }
}

/// Zero is "as it is" to Docker, and -1 no quota.
fn body(resources: &LinuxResources) -> ContainerUpdateBody {
    let memory = (resources.memory_limit > 0).then_some(resources.memory_limit);
    ContainerUpdateBody {
        cpu_shares: Some(resources.cpu_shares),
        cpu_quota: Some(if resources.cpu_quota > 0 { resources.cpu_quota } else { -1 }),
        cpu_period: (resources.cpu_period > 0).then_some(resources.cpu_period),
        memory,
        // Equal to the limit: no swap.
        memory_swap: memory,
        ..ContainerUpdateBody::default()
    }
}
