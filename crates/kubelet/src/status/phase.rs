//! A pod's phase, which only moves forward.

use api_types::core::{ContainerStatus, Pod};

use super::Stage;
use super::containers::Statuses;
use crate::pod::{PodExt, RestartPolicy, Role, restart};

/// `status.phase`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Some container has not started yet.
    Pending,
    /// All have started; some run or will run again.
    Running,
    /// All have ended well.
    Succeeded,
    /// All have ended, one of them not well; or the kubelet refused the pod.
    Failed,
}

impl Phase {
    const ALL: [Self; 4] = [Self::Pending, Self::Running, Self::Succeeded, Self::Failed];

    /// As on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::Running => "Running",
            Self::Succeeded => "Succeeded",
            Self::Failed => "Failed",
        }
    }

    /// From the wire; what is not known yet is pending.
    #[must_use]
    pub fn parse(text: Option<&str>) -> Self {
        Self::ALL.into_iter().find(|phase| Some(phase.as_str()) == text).unwrap_or(Self::Pending)
    }

    /// Whether nothing can follow.
    #[must_use]
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed)
    }

    /// The later of the two; a final phase stays.
    #[must_use]
    pub fn advance(self, next: Self) -> Self {
        if self.is_final() { self } else { self.max(next) }
    }
}

/// How many containers are doing what.
#[derive(Default)]
struct Count {
    waiting: usize,
    running: usize,
    stopped: usize,
    succeeded: usize,
}

/// The phase that the containers' statuses mean.
pub(super) fn compute(pod: &Pod, statuses: &Statuses, stage: Stage) -> Phase {
    let count = count(&statuses.app);
    match initialisation(pod, statuses, &count) {
        Initialisation::Failed => return Phase::Failed,
        Initialisation::Pending if stage == Stage::Terminated => return Phase::Failed,
        Initialisation::Pending => return Phase::Pending,
        Initialisation::Done => {}
    }
    if stage == Stage::Terminated {
        let all_well = count.succeeded == statuses.app.len();
        return if all_well { Phase::Succeeded } else { Phase::Failed };
    }
    if count.waiting > 0 {
        Phase::Pending
    } else if count.running > 0 || any_restarts(pod, statuses) {
        Phase::Running
    } else if count.succeeded == count.stopped {
        Phase::Succeeded
    } else {
        Phase::Failed
    }
}

fn count(statuses: &[ContainerStatus]) -> Count {
    let mut count = Count::default();
    for status in statuses {
        let state = status.state.clone().unwrap_or_default();
        if state.running.is_some() {
            count.running += 1;
        } else if let Some(terminated) = state.terminated {
            count.stopped += 1;
            count.succeeded += usize::from(terminated.exit_code == 0);
        } else if status.last_state.as_ref().is_some_and(|last| last.terminated.is_some()) {
            count.stopped += 1;
        } else {
            count.waiting += 1;
        }
    }
    count
}

/// Whether some container that has ended will run again.
fn any_restarts(pod: &Pod, statuses: &Statuses) -> bool {
    statuses.app.iter().any(|status| {
        let Some((role, container)) = pod.container(&status.name) else { return false };
        match status.state.as_ref().and_then(|state| state.terminated.as_ref()) {
            Some(terminated) => restart::restarts(pod, role, &container, terminated.exit_code),
            // It waits, after an earlier end: it is in back-off.
            None => true,
        }
    })
}

enum Initialisation {
    Done,
    Pending,
    Failed,
}

fn initialisation(pod: &Pod, statuses: &Statuses, apps: &Count) -> Initialisation {
    if apps.running + apps.stopped > 0 {
        return Initialisation::Done;
    }
    let mut pending = false;
    for status in &statuses.init {
        let Some((role, container)) = pod.container(&status.name) else { continue };
        let state = status.state.clone().unwrap_or_default();
        match (role, state.terminated) {
            (Role::Sidecar, _) => pending |= status.started != Some(true),
            (_, Some(terminated)) if terminated.exit_code == 0 => {}
            (_, Some(_)) if RestartPolicy::of_container(pod, role, &container) == RestartPolicy::Never => {
                return Initialisation::Failed;
            }
            _ => pending = true,
        }
    }
    if pending { Initialisation::Pending } else { Initialisation::Done }
}
