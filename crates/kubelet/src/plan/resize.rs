//! Limits that a running container is to have and has not.

use api_types::core::Container;

use super::{Kill, Resize};
use crate::pod::qos;
use crate::runtime::{ContainerStatus, LinuxResources};

/// How a container comes to what it is to have.
pub(super) enum Way {
    /// While it runs.
    InPlace(Resize),
    /// In another that is started in its place.
    Restart(Kill),
}

/// What is to be done about a running container's limits, if anything.
pub(super) fn decide(container: &Container, running: &ContainerStatus) -> Option<Way> {
    let actual = running.resources.as_ref()?;
    let wanted = qos::limits(container);
    if wanted.same_limits(actual) {
        return None;
    }
    let name = container.name.clone();
    if changed(&wanted, actual).any(|resource| needs_restart(container, resource)) {
        let message = format!("Container {name} resize requires restart");
        return Some(Way::Restart(Kill { id: running.id.clone(), name, message, probe: None, restart: true }));
    }
    Some(Way::InPlace(Resize { id: running.id.clone(), name, resources: wanted }))
}

fn changed(wanted: &LinuxResources, actual: &LinuxResources) -> impl Iterator<Item = &'static str> {
    let memory = wanted.memory_limit != actual.memory_limit;
    let cpu = |of: &LinuxResources| (of.cpu_shares, of.cpu_quota, of.cpu_period);
    let found = [("memory", memory), ("cpu", cpu(wanted) != cpu(actual))];
    found.into_iter().filter(|(_, changed)| *changed).map(|(name, _)| name)
}

fn needs_restart(container: &Container, resource: &str) -> bool {
    let mut policies = container.resize_policy.iter().flatten();
    policies.any(|policy| policy.resource_name == resource && policy.restart_policy == "RestartContainer")
}
