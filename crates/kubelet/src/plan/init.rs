//! Init containers and sidecars: one after the other, before everything else.

use api_types::core::Container;
use api_types::jiff::Timestamp;

use super::{Observed, Plan, Start, decide, decide_running, start_when_allowed};
use crate::pod::{PodExt, Role, restart};
use crate::probes::{ProbeKind, Verdict};
use crate::runtime::{ContainerState, ContainerStatus, SandboxId};

/// How far initialisation has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    /// The pod's containers may start.
    Done,
    /// Something is running, or starting, or waits.
    Pending,
    /// An init container failed that is not restarted.
    Failed,
}

/// Adds what is to be done about init containers and sidecars.
pub(super) fn advance(seen: Observed<'_>, sandbox: &SandboxId, now: Timestamp, plan: &mut Plan) -> Progress {
    let initialised = has_initialised(seen, sandbox);
    for (role, container) in seen.pod.all_containers() {
        let progress = match role {
            Role::App | Role::Ephemeral => break,
            Role::Init if initialised => Progress::Done,
            Role::Init => init(seen, sandbox, container, now, plan),
            Role::Sidecar => sidecar(seen, sandbox, container, now, plan),
        };
        match progress {
            Progress::Done => {}
            Progress::Pending if role == Role::Sidecar && initialised => {}
            other => return other,
        }
    }
    Progress::Done
}

/// Once an app container exists in the sandbox, init containers are done whatever is left of them.
fn has_initialised(seen: Observed<'_>, sandbox: &SandboxId) -> bool {
    let app = |name: &str| seen.pod.container(name).is_some_and(|(role, _)| role == Role::App);
    seen.runtime.containers.iter().any(|container| container.sandbox_id == *sandbox && app(&container.name))
}

/// The newest of this name in the sandbox: what ran in an earlier one runs again.
fn latest<'a>(seen: Observed<'a>, sandbox: &SandboxId, container: &Container) -> Option<&'a ContainerStatus> {
    seen.runtime.containers.iter().find(|status| status.name == container.name && status.sandbox_id == *sandbox)
}

fn init(seen: Observed<'_>, sandbox: &SandboxId, container: &Container, now: Timestamp, plan: &mut Plan) -> Progress {
    let Some(status) = latest(seen, sandbox, container) else {
        return first_start(seen, container, plan);
    };
    match &status.state {
        ContainerState::Running { .. } => {}
        ContainerState::Exited(exit) if exit.code == 0 => return Progress::Done,
        ContainerState::Exited(exit) if !restart::restarts(seen.pod, Role::Init, container, exit.code) => {
            return Progress::Failed;
        }
        _ => start_when_allowed(seen, container, status, now, plan),
    }
    Progress::Pending
}

fn sidecar(
    seen: Observed<'_>,
    sandbox: &SandboxId,
    container: &Container,
    now: Timestamp,
    plan: &mut Plan,
) -> Progress {
    let Some(status) = latest(seen, sandbox, container) else {
        return first_start(seen, container, plan);
    };
    if !status.state.is_running() {
        decide(seen, Role::Sidecar, container, now, plan);
        return Progress::Pending;
    }
    if !decide_running(seen, Role::Sidecar, container, status, plan) {
        return Progress::Pending;
    }
    let probed = container.startup_probe.is_some();
    let started = !probed || seen.probes.get(&status.id, ProbeKind::Startup) == Some(Verdict::Success);
    if started { Progress::Done } else { Progress::Pending }
}

/// The first in this sandbox; restarts are counted over all of them.
fn first_start(seen: Observed<'_>, container: &Container, plan: &mut Plan) -> Progress {
    let attempt = seen.runtime.latest(&container.name).map_or(0, |earlier| earlier.attempt.saturating_add(1));
    plan.start.push(Start { name: container.name.clone(), attempt });
    Progress::Pending
}

/// Whether an init container has failed and will not run again, so that no new sandbox is needed either.
pub(super) fn failed_for_good(seen: Observed<'_>) -> bool {
    let init = seen.pod.pod_spec().init_containers.iter().flatten();
    let app_ran = seen.pod.pod_spec().containers.iter().any(|app| seen.runtime.latest(&app.name).is_some());
    !app_ran
        && init.filter(|container| container.restart_policy.as_deref() != Some("Always")).any(|container| {
            match seen.runtime.latest(&container.name).map(|status| &status.state) {
                Some(ContainerState::Exited(exit)) => {
                    exit.code != 0 && !restart::restarts(seen.pod, Role::Init, container, exit.code)
                }
                _ => false,
            }
        })
}
