//! A deployment's status and its conditions.

use std::{sync::Arc, time::Duration};

use api_types::{
    apps::{Deployment, DeploymentCondition, DeploymentStatus, ReplicaSet},
    jiff::{SignedDuration, Timestamp},
    meta::Time,
};

use super::{
    plan::{Count, Observed},
    revision::{Sets, observe, replicas},
};

pub(super) const PROGRESSING: &str = "Progressing";
const AVAILABLE: &str = "Available";
const REPLICA_FAILURE: &str = "ReplicaFailure";

const NEW_SET_AVAILABLE: &str = "NewReplicaSetAvailable";
const TIMED_OUT: &str = "ProgressDeadlineExceeded";
pub(super) const PAUSED: &str = "DeploymentPaused";
pub(super) const RESUMED: &str = "DeploymentResumed";
pub(super) const NEW_SET_CREATED: &str = "NewReplicaSetCreated";
pub(super) const FOUND_NEW_SET: &str = "FoundNewReplicaSet";
pub(super) const CREATE_ERROR: &str = "ReplicaSetCreateError";

/// The seconds after which a rollout that does not move has failed; `None` for no limit.
pub(super) fn progress_deadline(deployment: &Deployment) -> Option<i32> {
    let deadline = deployment.spec.as_ref().and_then(|spec| spec.progress_deadline_seconds);
    deadline.filter(|seconds| *seconds != i32::MAX)
}

/// The condition of this type.
pub(super) fn condition<'a>(status: &'a DeploymentStatus, kind: &str) -> Option<&'a DeploymentCondition> {
    status.conditions.iter().flatten().find(|condition| condition.type_ == kind)
}

/// A condition that changed now.
pub(super) fn new_condition(
    kind: &str,
    status: &str,
    reason: &str,
    message: impl Into<String>,
    now: Timestamp,
) -> DeploymentCondition {
    DeploymentCondition {
        type_: kind.to_owned(),
        status: status.to_owned(),
        reason: Some(reason.to_owned()),
        message: Some(message.into()),
        last_update_time: Some(Time(now)),
        last_transition_time: Some(Time(now)),
    }
}

/// Puts a condition into the status. One with the same status and reason stays as it is; the
/// transition time changes only with the status.
pub(super) fn set_condition(status: &mut DeploymentStatus, mut new: DeploymentCondition) {
    if let Some(current) = condition(status, &new.type_) {
        if current.status == new.status && current.reason == new.reason {
            return;
        }
        if current.status == new.status {
            new.last_transition_time.clone_from(&current.last_transition_time);
        }
    }
    let conditions = status.conditions.get_or_insert_default();
    conditions.retain(|condition| condition.type_ != new.type_);
    conditions.push(new);
}

fn remove_condition(status: &mut DeploymentStatus, kind: &str) {
    if let Some(conditions) = &mut status.conditions {
        conditions.retain(|condition| condition.type_ != kind);
    }
}

fn nonzero(count: i32) -> Option<i32> {
    (count != 0).then_some(count)
}

fn sum(sets: &Sets, count: impl Fn(&ReplicaSet) -> Option<i32>) -> i32 {
    sets.all().filter_map(|set| count(set)).fold(0, i32::saturating_add)
}

fn specified(set: &ReplicaSet) -> Option<i32> {
    set.spec.as_ref().and_then(|spec| spec.replicas)
}

/// The status that the replica sets make, without judging progress.
pub(super) fn calculate(deployment: &Deployment, sets: &Sets, now: Timestamp) -> DeploymentStatus {
    let old = deployment.status.clone().unwrap_or_default();
    let observed = observe(deployment, sets);
    let available = sum(sets, |set| set.status.as_ref()?.available_replicas);
    let updated = sets.new.as_ref().and_then(|new| Some(new.status.as_ref()?.replicas)).unwrap_or(0);
    let unavailable = sum(sets, specified).saturating_sub(available).max(0);
    let mut status = DeploymentStatus {
        observed_generation: deployment.metadata.generation,
        replicas: nonzero(sum(sets, |set| Some(set.status.as_ref()?.replicas))),
        updated_replicas: nonzero(updated),
        ready_replicas: nonzero(sum(sets, |set| set.status.as_ref()?.ready_replicas)),
        available_replicas: nonzero(available),
        unavailable_replicas: nonzero(unavailable),
        terminating_replicas: Some(sum(sets, |set| set.status.as_ref()?.terminating_replicas)),
        collision_count: old.collision_count,
        conditions: old.conditions,
    };
    set_condition(&mut status, availability(&observed, available, now));
    status
}

fn availability(observed: &Observed, available: i32, now: Timestamp) -> DeploymentCondition {
    let (status, reason, message) = if Count::from(available) >= observed.replicas - observed.max_unavailable() {
        ("True", "MinimumReplicasAvailable", "Deployment has minimum availability.")
    } else {
        ("False", "MinimumReplicasUnavailable", "Deployment does not have minimum availability.")
    };
    new_condition(AVAILABLE, status, reason, message, now)
}

/// Whether all pods are new and available.
pub(super) fn is_complete(deployment: &Deployment, status: &DeploymentStatus) -> bool {
    let wanted = nonzero(replicas(deployment));
    status.updated_replicas == wanted
        && status.replicas == wanted
        && status.available_replicas == wanted
        && status.observed_generation >= deployment.metadata.generation
}

fn has_progressed(old: &DeploymentStatus, new: &DeploymentStatus) -> bool {
    let old_pods = |status: &DeploymentStatus| status.replicas.unwrap_or(0) - status.updated_replicas.unwrap_or(0);
    new.updated_replicas > old.updated_replicas
        || old_pods(new) < old_pods(old)
        || new.ready_replicas > old.ready_replicas
        || new.available_replicas > old.available_replicas
}

/// When the rollout fails if it does not move; `None` when it has nothing to fail.
fn deadline(deployment: &Deployment, status: &DeploymentStatus) -> Option<Timestamp> {
    let seconds = progress_deadline(deployment)?;
    let progressing = condition(status, PROGRESSING)?;
    if progressing.reason.as_deref() == Some(NEW_SET_AVAILABLE) {
        return None;
    }
    let from = progressing.last_update_time.as_ref()?.0;
    Some(from.checked_add(SignedDuration::from_secs(seconds.into())).unwrap_or(Timestamp::MAX))
}

/// The status in the course of a rollout: [`calculate`]d, with progress and failures judged.
pub(super) fn rollout(deployment: &Deployment, sets: &Sets, now: Timestamp) -> DeploymentStatus {
    let old = deployment.status.clone().unwrap_or_default();
    let mut status = calculate(deployment, sets, now);
    if progress_deadline(deployment).is_none() {
        remove_condition(&mut status, PROGRESSING);
    } else if !was_complete(&old, &status) {
        judge_progress(deployment, sets, &old, &mut status, now);
    }
    match failure(sets, now) {
        Some(failure) => set_condition(&mut status, failure),
        None => remove_condition(&mut status, REPLICA_FAILURE),
    }
    status
}

/// A rollout that has succeeded is not judged again: pods that fail later are no rollout.
fn was_complete(old: &DeploymentStatus, new: &DeploymentStatus) -> bool {
    let reason = condition(old, PROGRESSING).and_then(|condition| condition.reason.as_deref());
    new.replicas == new.updated_replicas && reason == Some(NEW_SET_AVAILABLE)
}

fn judge_progress(
    deployment: &Deployment,
    sets: &Sets,
    old: &DeploymentStatus,
    status: &mut DeploymentStatus,
    now: Timestamp,
) {
    let subject = match &sets.new {
        Some(new) => format!("ReplicaSet {:?}", new.metadata.name.as_deref().unwrap_or_default()),
        None => format!("Deployment {:?}", deployment.metadata.name.as_deref().unwrap_or_default()),
    };
    if is_complete(deployment, status) {
        let message = format!("{subject} has successfully progressed.");
        set_condition(status, new_condition(PROGRESSING, "True", NEW_SET_AVAILABLE, message, now));
    } else if has_progressed(old, status) {
        let message = format!("{subject} is progressing.");
        let mut progressing = new_condition(PROGRESSING, "True", "ReplicaSetUpdated", message, now);
        if let Some(current) = condition(status, PROGRESSING).filter(|current| current.status == "True") {
            progressing.last_transition_time.clone_from(&current.last_transition_time);
        }
        // Removed first, so that the update time moves even when nothing else does.
        remove_condition(status, PROGRESSING);
        set_condition(status, progressing);
    } else if deadline(deployment, status).is_some_and(|deadline| deadline < now) {
        let message = format!("{subject} has timed out progressing.");
        set_condition(status, new_condition(PROGRESSING, "False", TIMED_OUT, message, now));
    }
}

/// What the replica sets report: the new one first.
fn failure(sets: &Sets, now: Timestamp) -> Option<DeploymentCondition> {
    let of = |set: &Arc<ReplicaSet>| {
        set.status.as_ref()?.conditions.iter().flatten().find(|c| c.type_ == REPLICA_FAILURE).cloned()
    };
    let failure = sets.all().find_map(of)?;
    Some(DeploymentCondition {
        type_: REPLICA_FAILURE.to_owned(),
        status: failure.status,
        reason: failure.reason,
        message: failure.message,
        last_update_time: Some(Time(now)),
        last_transition_time: failure.last_transition_time,
    })
}

/// In how long the rollout has to be judged again even if nothing happens.
pub(super) fn next_judgement(deployment: &Deployment, status: &DeploymentStatus, now: Timestamp) -> Option<Duration> {
    let timed_out = condition(status, PROGRESSING).is_some_and(|c| c.reason.as_deref() == Some(TIMED_OUT));
    if timed_out || is_complete(deployment, status) {
        return None;
    }
    let rest = deadline(deployment, status)?.duration_since(now);
    // A second more, so that the deadline has passed for certain.
    Some(Duration::try_from(rest).unwrap_or_default() + Duration::from_secs(1))
}

#[cfg(test)]
mod tests;
