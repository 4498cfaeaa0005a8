//! What to do about a pod: pure.
//!
//! [`compute_actions`] looks at what the pod should be and what there is, and says what to do next. The worker does
//! it, looks again and asks again, until there is nothing left to do; a crash in between is no special case.

mod back_off;
mod init;
mod resize;
#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::time::Duration;

use api_types::core::{Container, Pod};
use api_types::jiff::Timestamp;

use crate::pod::{PodExt, RestartPolicy, Role, container_hash, restart};
use crate::probes::{ProbeKind, ProbeResults, Verdict};
use crate::runtime::{
    ContainerId, ContainerState, ContainerStatus, LinuxResources, RuntimePod, SandboxId, SandboxStatus,
};
pub use back_off::BackOffs;

/// What is known of a pod.
#[derive(Clone, Copy)]
pub struct Observed<'a> {
    /// What it should be.
    pub pod: &'a Pod,
    /// What runs.
    pub runtime: &'a RuntimePod,
    /// What the probes say.
    pub probes: &'a ProbeResults,
    /// How long containers that keep failing must wait.
    pub back_offs: &'a BackOffs,
    /// Containers that were stopped to be started again, whatever they ended with.
    pub replaced: &'a HashSet<ContainerId>,
}

/// What to do next, in the order of the fields.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Everything that still runs must stop, the sandbox last: the pod is done, or its sandbox is lost.
    pub tear_down: bool,
    /// Containers to stop.
    pub kill: Vec<Kill>,
    /// Running containers to give other limits.
    pub resize: Vec<Resize>,
    /// Attempt number of a sandbox to create.
    pub create_sandbox: Option<u32>,
    /// Containers to start, in order.
    pub start: Vec<Start>,
    /// Containers that will start later.
    pub waiting: Vec<Waiting>,
    /// Dead containers that nobody needs any more.
    pub remove: Vec<ContainerId>,
    /// Dead sandboxes that nobody needs any more.
    pub remove_sandboxes: Vec<SandboxId>,
}

/// A container to stop.
#[derive(Debug, PartialEq, Eq)]
pub struct Kill {
    /// Which.
    pub id: ContainerId,
    /// Its name in the pod.
    pub name: String,
    /// Why, in the words of the event.
    pub message: String,
    /// The probe whose own grace period counts.
    pub probe: Option<ProbeKind>,
    /// Whether another is to be started in its place, whatever it ends with.
    pub restart: bool,
}

/// A running container to give other limits.
#[derive(Debug, PartialEq, Eq)]
pub struct Resize {
    /// Which.
    pub id: ContainerId,
    /// Its name in the pod.
    pub name: String,
    /// What it is to have.
    pub resources: LinuxResources,
}

/// A container to start.
#[derive(Debug, PartialEq, Eq)]
pub struct Start {
    /// Its name in the pod.
    pub name: String,
    /// Its restart count.
    pub attempt: u32,
}

/// A container in back-off.
#[derive(Debug, PartialEq, Eq)]
pub struct Waiting {
    /// Its name in the pod.
    pub name: String,
    /// The present delay.
    pub delay: Duration,
    /// When it may start.
    pub until: Timestamp,
}

impl Plan {
    /// Whether the next thing to do is to wait.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        !self.tear_down
            && self.kill.is_empty()
            && self.resize.is_empty()
            && self.create_sandbox.is_none()
            && self.start.is_empty()
            && self.remove.is_empty()
            && self.remove_sandboxes.is_empty()
    }
}

/// What to do next about a pod that should run.
#[must_use]
pub fn compute_actions(seen: Observed<'_>, now: Timestamp) -> Plan {
    let mut plan = match current_sandbox(seen) {
        None => without_sandbox(seen),
        Some(sandbox) => with_sandbox(seen, sandbox, now),
    };
    if !plan.tear_down {
        if current_sandbox(seen).is_some() {
            start_ephemeral(seen, &mut plan);
        }
        plan.remove = superfluous_containers(seen);
        plan.remove_sandboxes = superfluous_sandboxes(seen);
    }
    plan
}

/// The sandbox that the pod's containers belong in: the newest, if it is up and in the right network.
fn current_sandbox(seen: Observed<'_>) -> Option<&SandboxStatus> {
    let newest = seen.runtime.sandboxes.first()?;
    let ready = newest.state == crate::runtime::SandboxState::Ready;
    (ready && newest.host_network == seen.pod.host_network()).then_some(newest)
}

fn without_sandbox(seen: Observed<'_>) -> Plan {
    if seen.runtime.containers.iter().any(|container| container.state.is_running()) || stale_sandbox_runs(seen) {
        return Plan { tear_down: true, ..Plan::default() };
    }
    let attempt = seen.runtime.sandboxes.first().map_or(0, |newest| newest.attempt.saturating_add(1));
    let started_before = !seen.runtime.containers.is_empty();
    let never = RestartPolicy::of_pod(seen.pod) == RestartPolicy::Never;
    let over = attempt > 0 && started_before && never;
    let wanted = seen.pod.pod_spec().containers.iter().any(|app| may_start(seen, app));
    let create_sandbox = (wanted && !over && !init::failed_for_good(seen)).then_some(attempt);
    Plan { create_sandbox, ..Plan::default() }
}

fn stale_sandbox_runs(seen: Observed<'_>) -> bool {
    seen.runtime.ready_sandbox().is_some()
}

fn with_sandbox(seen: Observed<'_>, sandbox: &SandboxStatus, now: Timestamp) -> Plan {
    let mut plan = Plan::default();
    for stray in seen.runtime.containers.iter().filter(|c| c.state.is_running() && c.sandbox_id != sandbox.id) {
        plan.kill.push(Kill {
            id: stray.id.clone(),
            name: stray.name.clone(),
            message: format!("Stopping container {}", stray.name),
            probe: None,
            restart: false,
        });
    }
    match init::advance(seen, &sandbox.id, now, &mut plan) {
        init::Progress::Failed => return Plan { tear_down: true, ..Plan::default() },
        init::Progress::Pending => return plan,
        init::Progress::Done => {}
    }
    let mut alive = 0;
    for app in &seen.pod.pod_spec().containers {
        alive += usize::from(decide(seen, Role::App, app, now, &mut plan));
    }
    if alive == 0 {
        return Plan { tear_down: true, ..Plan::default() };
    }
    plan
}

/// Adds the ephemeral containers that have not been made yet: each is made once.
fn start_ephemeral(seen: Observed<'_>, plan: &mut Plan) {
    for ephemeral in seen.pod.pod_spec().ephemeral_containers.iter().flatten() {
        if seen.runtime.latest(&ephemeral.name).is_none() {
            plan.start.push(Start { name: ephemeral.name.clone(), attempt: 0 });
        }
    }
}

/// Adds what is to be done about one container that should run. Answers whether it runs, or will.
fn decide(seen: Observed<'_>, role: Role, container: &Container, now: Timestamp, plan: &mut Plan) -> bool {
    let Some(latest) = seen.runtime.latest(&container.name) else {
        plan.start.push(Start { name: container.name.clone(), attempt: 0 });
        return true;
    };
    match &latest.state {
        ContainerState::Running { .. } => {
            decide_running(seen, role, container, latest, plan);
            true
        }
        ContainerState::Created | ContainerState::Unknown => {
            start_when_allowed(seen, container, latest, now, plan);
            true
        }
        ContainerState::Exited(exit) => {
            let again = restart::restarts(seen.pod, role, container, exit.code)
                || hash_changed(container, latest)
                || seen.replaced.contains(&latest.id);
            if again {
                start_when_allowed(seen, container, latest, now, plan);
            }
            again
        }
    }
}

/// Adds what is to be done about a container that runs. Answers whether it goes on running.
fn decide_running(
    seen: Observed<'_>,
    role: Role,
    container: &Container,
    running: &ContainerStatus,
    plan: &mut Plan,
) -> bool {
    if let Some(kill) = reason_to_kill(seen, role, container, running) {
        plan.kill.push(kill);
        return false;
    }
    match resize::decide(container, running) {
        Some(resize::Way::InPlace(resize)) => plan.resize.push(resize),
        Some(resize::Way::Restart(kill)) => {
            plan.kill.push(kill);
            return false;
        }
        None => {}
    }
    true
}

fn start_when_allowed(
    seen: Observed<'_>,
    container: &Container,
    latest: &ContainerStatus,
    now: Timestamp,
    plan: &mut Plan,
) {
    match seen.back_offs.waiting(&container.name, ended_at(latest), now) {
        Some((delay, until)) => plan.waiting.push(Waiting { name: container.name.clone(), delay, until }),
        None => plan.start.push(Start { name: container.name.clone(), attempt: latest.attempt.saturating_add(1) }),
    }
}

/// From when the back-off counts.
fn ended_at(container: &ContainerStatus) -> Timestamp {
    match &container.state {
        ContainerState::Exited(exit) => exit.finished_at,
        _ => container.created_at,
    }
}

fn reason_to_kill(seen: Observed<'_>, role: Role, container: &Container, running: &ContainerStatus) -> Option<Kill> {
    let name = &container.name;
    let failed = |kind| seen.probes.get(&running.id, kind) == Some(Verdict::Failure);
    let (why, probe) = if hash_changed(container, running) {
        (format!("Container {name} definition changed"), None)
    } else if failed(ProbeKind::Liveness) {
        (format!("Container {name} failed liveness probe"), Some(ProbeKind::Liveness))
    } else if failed(ProbeKind::Startup) {
        (format!("Container {name} failed startup probe"), Some(ProbeKind::Startup))
    } else {
        return None;
    };
    let restart = probe.is_none() || RestartPolicy::of_container(seen.pod, role, container) != RestartPolicy::Never;
    let message = if restart { format!("{why}, will be restarted") } else { why };
    Some(Kill { id: running.id.clone(), name: name.clone(), message, probe, restart })
}

fn hash_changed(container: &Container, status: &ContainerStatus) -> bool {
    !status.hash.is_empty() && status.hash != container_hash(container)
}

fn may_start(seen: Observed<'_>, app: &Container) -> bool {
    match seen.runtime.latest(&app.name).map(|latest| &latest.state) {
        Some(ContainerState::Exited(exit)) => restart::restarts(seen.pod, Role::App, app, exit.code),
        _ => true,
    }
}

/// Of each name the two newest are kept: the present one and the one that `logs --previous` shows.
fn superfluous_containers(seen: Observed<'_>) -> Vec<ContainerId> {
    let mut kept: std::collections::HashMap<&str, usize> = std::collections::HashMap::new();
    let mut superfluous = Vec::new();
    for container in &seen.runtime.containers {
        let count = kept.entry(container.name.as_str()).or_default();
        *count += 1;
        if *count > 2 && !container.state.is_running() {
            superfluous.push(container.id.clone());
        }
    }
    superfluous
}

fn superfluous_sandboxes(seen: Observed<'_>) -> Vec<SandboxId> {
    let old = seen.runtime.sandboxes.iter().skip(1);
    old.filter(|sandbox| sandbox.state == crate::runtime::SandboxState::NotReady)
        .map(|sandbox| sandbox.id.clone())
        .collect()
}
