//! Container statuses.

use api_types::core::{
    Container, ContainerState, ContainerStateRunning, ContainerStateTerminated, ContainerStateWaiting, ContainerStatus,
    ContainerUser, LinuxContainerUser, ResourceRequirements, VolumeMount, VolumeMountStatus,
};
use api_types::quantity::{Quantity, Wire};

use std::collections::BTreeMap;

use super::{Facts, Reason, Stage, seconds};
use crate::pod::{PodExt, Role, qos, restart};
use crate::probes::{ProbeKind, Verdict};
use crate::runtime::{self, Exit};

/// How upstream tells of a container that has disappeared.
const LOST: &str = "ContainerStatusUnknown";
const LOST_EXIT_CODE: i32 = 137;

/// The statuses of all containers: init containers in the order of the spec, the others by name, as upstream.
pub(super) struct Statuses {
    /// Init containers and sidecars.
    pub(super) init: Vec<ContainerStatus>,
    /// The others.
    pub(super) app: Vec<ContainerStatus>,
    /// Ephemeral containers, which count for nothing.
    pub(super) ephemeral: Vec<ContainerStatus>,
}

/// One status for each container of the pod.
pub(super) fn all(facts: &Facts<'_>) -> Statuses {
    let mut statuses = Statuses { init: Vec::new(), app: Vec::new(), ephemeral: Vec::new() };
    for (role, container) in facts.pod.every_container() {
        let list = match role {
            Role::Init | Role::Sidecar => &mut statuses.init,
            Role::App => &mut statuses.app,
            Role::Ephemeral => &mut statuses.ephemeral,
        };
        let mut status = one(facts, role, &container);
        if role == Role::Ephemeral {
            status.started = None;
        }
        list.push(status);
    }
    for list in [&mut statuses.app, &mut statuses.ephemeral] {
        list.sort_by(|one, other| one.name.cmp(&other.name));
    }
    statuses
}

fn one(facts: &Facts<'_>, role: Role, container: &Container) -> ContainerStatus {
    let previous = previous(facts, &container.name);
    let Some(latest) = facts.runtime.latest(&container.name) else {
        return absent(facts, container, previous);
    };
    let mut state = state(facts, latest);
    let mut last_state =
        before(facts, latest).or_else(|| previous.and_then(|status| status.last_state.clone())).unwrap_or_default();
    if let Some(reason) = why_it_waits(facts, role, container, latest) {
        if state.terminated.is_some() {
            last_state = std::mem::take(&mut state);
        }
        state = waiting(&reason);
    }
    let started = started(facts, role, container, latest);
    ContainerStatus {
        name: container.name.clone(),
        ready: ready(facts, role, container, latest, started),
        started: Some(started),
        restart_count: i32::try_from(latest.attempt).unwrap_or(i32::MAX),
        image: if latest.image.is_empty() { image(container) } else { latest.image.clone() },
        image_id: facts.image_reference(latest),
        container_id: Some(latest.reference.clone()),
        state: Some(state),
        last_state: Some(last_state),
        allocated_resources: container.resources.as_ref().and_then(|resources| resources.requests.clone()),
        resources: resources(container, latest),
        user: user(latest, previous),
        volume_mounts: volume_mounts(container),
        ..ContainerStatus::default()
    }
}

/// Why a container that is to run does not, if that is known. An end that is the last is not hidden by it.
fn why_it_waits(
    facts: &Facts<'_>,
    role: Role,
    container: &Container,
    status: &runtime::ContainerStatus,
) -> Option<Reason> {
    let replaced = facts.replaced.contains(&status.id);
    let starts = match &status.state {
        runtime::ContainerState::Running { .. } => false,
        runtime::ContainerState::Exited(exit) => replaced || restart::restarts(facts.pod, role, container, exit.code),
        runtime::ContainerState::Created | runtime::ContainerState::Unknown => true,
    };
    let known = facts.reasons.contains_key(&container.name);
    (facts.stage == Stage::Running && starts && (known || replaced)).then(|| waiting_reason(facts, &container.name))
}

/// Of a container that has ended, what was known while it ran.
fn user(status: &runtime::ContainerStatus, previous: Option<&ContainerStatus>) -> Option<ContainerUser> {
    let Some(user) = &status.user else {
        let id = Some(status.reference.clone());
        return previous.filter(|previous| previous.container_id == id)?.user.clone();
    };
    let linux = LinuxContainerUser { uid: user.uid, gid: user.gid, supplemental_groups: Some(user.groups.clone()) };
    Some(ContainerUser { linux: Some(linux) })
}

/// What is mounted where. No mount is read-only all the way down: Docker cannot do that.
fn volume_mounts(container: &Container) -> Option<Vec<VolumeMountStatus>> {
    let told = |mount: &VolumeMount| {
        let read_only = mount.read_only.filter(|read_only| *read_only);
        VolumeMountStatus {
            name: mount.name.clone(),
            mount_path: mount.mount_path.clone(),
            read_only,
            recursive_read_only: read_only.map(|_| "Disabled".to_owned()),
            ..VolumeMountStatus::default()
        }
    };
    Some(container.volume_mounts.as_ref()?.iter().map(told).collect())
}

/// What is in force for a container that runs; for others, what they hold.
fn resources(container: &Container, status: &runtime::ContainerStatus) -> Option<ResourceRequirements> {
    let held = container.resources.clone();
    let actual = status.resources.as_ref().filter(|_| status.state.is_running());
    let Some(actual) = actual.filter(|actual| !qos::limits(container).same_limits(actual)) else { return held };
    let mut shown = held?;
    let put = |list: &mut Option<BTreeMap<String, Wire>>, name: &str, amount: Option<Quantity>| match (list, amount) {
        (Some(list), Some(amount)) if list.contains_key(name) => drop(list.insert(name.to_owned(), amount.to_wire())),
        (Some(list), None) => drop(list.remove(name)),
        _ => {}
    };
    let memory = Some(actual.memory_limit).filter(|limit| *limit > 0).map(Quantity::from_bytes);
    put(&mut shown.requests, "cpu", Some(Quantity::from_milli(actual.milli_cpu_of_shares())));
    put(&mut shown.limits, "cpu", actual.milli_cpu_of_quota().map(Quantity::from_milli));
    put(&mut shown.limits, "memory", memory);
    Some(shown)
}

impl Facts<'_> {
    /// `imageID` as the runtime spelt it when the container was made.
    fn image_reference(&self, status: &runtime::ContainerStatus) -> String {
        match status.annotations.get(crate::workers::IMAGE_REFERENCE) {
            Some(reference) => reference.clone(),
            None => status.image_id.0.clone(),
        }
    }
}

fn previous<'a>(facts: &Facts<'a>, name: &str) -> Option<&'a ContainerStatus> {
    let previous: &'a api_types::core::PodStatus = facts.previous;
    let lists =
        [&previous.init_container_statuses, &previous.container_statuses, &previous.ephemeral_container_statuses];
    lists.into_iter().flatten().flatten().find(|status| status.name == name)
}

/// A container of which the runtime knows nothing: not made yet, removed after its end, or lost.
fn absent(facts: &Facts<'_>, container: &Container, previous: Option<&ContainerStatus>) -> ContainerStatus {
    let old_state = previous.and_then(|status| status.state.clone()).unwrap_or_default();
    if let Some(old) = previous.filter(|_| old_state.terminated.is_some()) {
        return ContainerStatus { ready: false, started: Some(false), ..old.clone() };
    }
    let mut status = ContainerStatus {
        name: container.name.clone(),
        started: Some(false),
        image: image(container),
        state: Some(waiting(&waiting_reason(facts, &container.name))),
        last_state: Some(previous.and_then(|status| status.last_state.clone()).unwrap_or_default()),
        restart_count: previous.map_or(0, |status| status.restart_count),
        volume_mounts: volume_mounts(container),
        ..ContainerStatus::default()
    };
    if old_state.running.is_some() {
        let lost = terminated_unseen(previous);
        if facts.stage == Stage::Running {
            status.last_state = Some(lost);
            status.restart_count = status.restart_count.saturating_add(1);
        } else {
            status.state = Some(lost);
        }
    } else if facts.stage == Stage::Terminated {
        status.state = Some(terminated_unseen(None));
    }
    status
}

fn terminated_unseen(previous: Option<&ContainerStatus>) -> ContainerState {
    let used_to_run = if previous.is_some() { " The container used to be Running" } else { "" };
    ContainerState {
        terminated: Some(ContainerStateTerminated {
            exit_code: LOST_EXIT_CODE,
            reason: Some(LOST.to_owned()),
            message: Some(format!("The container could not be located when the pod was terminated.{used_to_run}")),
            container_id: previous.and_then(|status| status.container_id.clone()),
            ..ContainerStateTerminated::default()
        }),
        ..ContainerState::default()
    }
}

fn waiting_reason(facts: &Facts<'_>, name: &str) -> Reason {
    let initialising = facts.pod.pod_spec().init_containers.iter().flatten().next().is_some();
    let default = if initialising { "PodInitializing" } else { "ContainerCreating" };
    facts.reasons.get(name).cloned().unwrap_or_else(|| Reason::new(default, ""))
}

fn waiting(reason: &Reason) -> ContainerState {
    ContainerState {
        waiting: Some(ContainerStateWaiting {
            reason: Some(reason.reason.clone()),
            message: Some(reason.message.clone()).filter(|message| !message.is_empty()),
        }),
        ..ContainerState::default()
    }
}

fn state(facts: &Facts<'_>, status: &runtime::ContainerStatus) -> ContainerState {
    match &status.state {
        runtime::ContainerState::Running { started_at, .. } => ContainerState {
            running: Some(ContainerStateRunning { started_at: Some(seconds(*started_at)) }),
            ..ContainerState::default()
        },
        runtime::ContainerState::Exited(exit) => terminated(facts, status, exit),
        _ if facts.stage == Stage::Terminated => terminated_unseen(None),
        _ => waiting(&waiting_reason(facts, &status.name)),
    }
}

fn terminated(facts: &Facts<'_>, status: &runtime::ContainerStatus, exit: &Exit) -> ContainerState {
    let own = facts.messages.get(&status.id).filter(|message| !message.is_empty());
    let message = own.cloned().unwrap_or_else(|| exit.message.clone());
    ContainerState {
        terminated: Some(ContainerStateTerminated {
            exit_code: exit.code,
            reason: Some(exit.reason.to_owned()),
            message: Some(message).filter(|message| !message.is_empty()),
            started_at: exit.started_at.map(seconds),
            finished_at: Some(seconds(exit.finished_at)),
            container_id: Some(status.reference.clone()),
            ..ContainerStateTerminated::default()
        }),
        ..ContainerState::default()
    }
}

/// How the container before this one ended.
fn before(facts: &Facts<'_>, latest: &runtime::ContainerStatus) -> Option<ContainerState> {
    let mut earlier = facts.runtime.containers.iter().filter(|status| status.name == latest.name).skip(1);
    earlier.find_map(|status| match &status.state {
        runtime::ContainerState::Exited(exit) => Some(terminated(facts, status, exit)),
        _ => None,
    })
}

fn started(facts: &Facts<'_>, role: Role, container: &Container, status: &runtime::ContainerStatus) -> bool {
    let succeeded = || facts.probes.get(&status.id, ProbeKind::Startup) == Some(Verdict::Success);
    role != Role::Init && status.state.is_running() && (container.startup_probe.is_none() || succeeded())
}

fn ready(
    facts: &Facts<'_>,
    role: Role,
    container: &Container,
    status: &runtime::ContainerStatus,
    started: bool,
) -> bool {
    if role == Role::Ephemeral {
        return false;
    }
    if role == Role::Init {
        return matches!(&status.state, runtime::ContainerState::Exited(exit) if exit.code == 0);
    }
    let succeeded = || facts.probes.get(&status.id, ProbeKind::Readiness) == Some(Verdict::Success);
    started && (container.readiness_probe.is_none() || succeeded())
}

fn image(container: &Container) -> String {
    container.image.clone().unwrap_or_default()
}
