//! Pod conditions, with upstream's reasons and messages.

use api_types::core::{ContainerStatus, PodCondition};

use super::containers::Statuses;
use super::{Facts, Phase, Reason};
use crate::eviction::EVICTED;
use crate::pod::{PodExt, Role};

const READY_TO_START: &str = "PodReadyToStartContainers";
const INITIALIZED: &str = "Initialized";
const READY: &str = "Ready";
const CONTAINERS_READY: &str = "ContainersReady";
const SCHEDULED: &str = "PodScheduled";
/// Upstream's, of a resize that is not granted.
pub(super) const RESIZE_PENDING: &str = "PodResizePending";
/// Upstream's, of a resize that is granted and not in force.
pub(super) const RESIZE_IN_PROGRESS: &str = "PodResizeInProgress";
const COMPLETED: &str = "PodCompleted";

/// Whether a condition holds, and why (not).
type Holds = Result<Option<Reason>, Reason>;

/// The kubelet's own conditions, in upstream's order. Others' conditions are not touched.
pub(super) fn all(facts: &Facts<'_>, statuses: &Statuses, phase: Phase) -> Vec<PodCondition> {
    let containers_ready = containers_ready(facts, statuses, phase);
    let ready = containers_ready.clone().and_then(|_| readiness_gates(facts));
    let found = [
        (READY_TO_START, ready_to_start(facts)),
        (INITIALIZED, initialized(facts, statuses, phase)),
        (READY, ready),
        (CONTAINERS_READY, containers_ready),
        (SCHEDULED, Ok(None)),
    ];
    let own = found.into_iter().map(|(name, holds)| condition(facts, name, holds));
    own.chain(resize(facts)).chain(disruption(facts)).collect()
}

/// Whether the kubelet has ended the pod for the node's sake, which its owner may want to tell from a failure.
fn disruption(facts: &Facts<'_>) -> Option<PodCondition> {
    let failure = facts.failure.filter(|failure| failure.reason == EVICTED)?;
    let why = Reason::new("TerminationByKubelet", failure.message.as_str());
    Some(condition(facts, "DisruptionTarget", Ok(Some(why))))
}

/// Conditions that are there only while a resize is not in force.
fn resize(facts: &Facts<'_>) -> impl Iterator<Item = PodCondition> {
    let resizing = &facts.resizing;
    let pending = resizing.pending.map(|(reason, message)| (RESIZE_PENDING, Reason::new(reason, message)));
    let error = resizing.error.map(|error| (RESIZE_IN_PROGRESS, Reason::new("Error", error)));
    let granted = resizing.granted.map(|_| (RESIZE_IN_PROGRESS, Reason::default()));
    let mut conditions = Vec::new();
    for (name, why) in pending.into_iter().chain(error.or(granted)) {
        let mut condition = condition(facts, name, Ok(Some(why)));
        if name == RESIZE_IN_PROGRESS {
            condition.observed_generation = resizing.granted.or(facts.pod.metadata.generation);
        }
        conditions.push(condition);
    }
    conditions.into_iter()
}

fn condition(facts: &Facts<'_>, name: &str, holds: Holds) -> PodCondition {
    let (status, why) = match holds {
        Ok(why) => ("True", why),
        Err(why) => ("False", Some(why)),
    };
    let previous = facts.previous.conditions.iter().flatten().find(|condition| condition.type_ == name);
    let unchanged = previous.filter(|condition| condition.status == status);
    let since = unchanged.and_then(|condition| condition.last_transition_time.clone());
    let (reason, message) = why.map(|why| (why.reason, why.message)).unzip();
    PodCondition {
        type_: name.to_owned(),
        status: status.to_owned(),
        reason: reason.filter(|reason| !reason.is_empty()),
        message: message.filter(|message| !message.is_empty()),
        last_transition_time: Some(since.unwrap_or_else(|| facts.time())),
        observed_generation: facts.pod.metadata.generation,
        ..PodCondition::default()
    }
}

fn ready_to_start(facts: &Facts<'_>) -> Holds {
    let wired = facts.runtime.ready_sandbox().is_some() && !facts.ips.is_empty();
    if wired { Ok(None) } else { Err(Reason::default()) }
}

fn initialized(facts: &Facts<'_>, statuses: &Statuses, phase: Phase) -> Holds {
    let begun = |status: &ContainerStatus| {
        let state = status.state.clone().unwrap_or_default();
        let last = status.last_state.clone().unwrap_or_default();
        state.running.is_some() || state.terminated.is_some() || last.terminated.is_some()
    };
    let incomplete: Vec<&str> = statuses
        .init
        .iter()
        .filter(|status| match facts.pod.container(&status.name) {
            Some((Role::Sidecar, _)) => status.started != Some(true),
            _ => !status.ready,
        })
        .map(|status| status.name.as_str())
        .collect();
    if phase == Phase::Succeeded {
        return Ok(Some(Reason::new(COMPLETED, "")));
    }
    if incomplete.is_empty() || statuses.app.iter().any(begun) {
        return Ok(None);
    }
    let message = format!("containers with incomplete status: [{}]", incomplete.join(" "));
    Err(Reason::new("ContainersNotInitialized", message))
}

fn containers_ready(facts: &Facts<'_>, statuses: &Statuses, phase: Phase) -> Holds {
    match phase {
        Phase::Succeeded => return Err(Reason::new(COMPLETED, "")),
        Phase::Failed => return Err(Reason::new("PodFailed", "")),
        Phase::Pending | Phase::Running => {}
    }
    let sidecars = statuses.init.iter().filter(|status| is_sidecar(facts, status));
    let counted = sidecars.chain(&statuses.app);
    let unready: Vec<&str> = counted.filter(|status| !status.ready).map(|status| status.name.as_str()).collect();
    if unready.is_empty() {
        return Ok(None);
    }
    Err(Reason::new("ContainersNotReady", format!("containers with unready status: [{}]", unready.join(" "))))
}

fn is_sidecar(facts: &Facts<'_>, status: &ContainerStatus) -> bool {
    facts.pod.container(&status.name).is_some_and(|(role, _)| role == Role::Sidecar)
}

fn readiness_gates(facts: &Facts<'_>) -> Holds {
    let conditions = facts.pod.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    let mut wrong = Vec::new();
    for gate in facts.pod.pod_spec().readiness_gates.iter().flatten() {
        let name = &gate.condition_type;
        match conditions.iter().find(|condition| condition.type_ == *name) {
            None => wrong.push(format!("corresponding condition of pod readiness gate {name:?} does not exist.")),
            Some(condition) if condition.status != "True" => wrong
                .push(format!("the status of pod readiness gate {name:?} is not \"True\", but {}", condition.status)),
            Some(_) => {}
        }
    }
    if wrong.is_empty() { Ok(None) } else { Err(Reason::new("ReadinessGatesNotReady", wrong.join(", "))) }
}
