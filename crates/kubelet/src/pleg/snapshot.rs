//! Pure: what was seen, and how it differs from what is seen now.

use std::collections::{BTreeMap, BTreeSet};

use crate::runtime::{ContainerState, PodUid, RuntimePod, SandboxState};

/// A pod, as far as a difference matters: its containers and sandboxes by id, each with what it is doing.
type Seen = BTreeMap<String, Doing>;

/// What a container or sandbox is doing. A restart shows as another process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Doing {
    Created,
    Running { pid: u32 },
    Ended { code: i32 },
    Unknown,
}

/// All pods.
#[derive(Debug, Default)]
pub(super) struct Snapshot(BTreeMap<PodUid, Seen>);

impl Snapshot {
    /// Takes in all pods; the answer is which differ, those that are gone among them.
    pub(super) fn replace(&mut self, pods: &[RuntimePod]) -> Vec<PodUid> {
        let present: BTreeSet<&PodUid> = pods.iter().map(|pod| &pod.identity.uid).collect();
        let gone: Vec<PodUid> = self.0.keys().filter(|uid| !present.contains(uid)).cloned().collect();
        gone.iter().for_each(|uid| drop(self.0.remove(uid)));
        gone.into_iter().chain(pods.iter().filter_map(|pod| self.update(pod))).collect()
    }

    /// Takes in one pod; the answer is its uid if it differs.
    pub(super) fn update(&mut self, pod: &RuntimePod) -> Option<PodUid> {
        let uid = &pod.identity.uid;
        let now = seen(pod);
        let before = if now.is_empty() { self.0.remove(uid) } else { self.0.insert(uid.clone(), now.clone()) };
        (before.unwrap_or_default() != now).then(|| uid.clone())
    }
}

fn seen(pod: &RuntimePod) -> Seen {
    let sandboxes = pod.sandboxes.iter().map(|sandbox| {
        let doing = match sandbox.state {
            SandboxState::Ready => Doing::Running { pid: sandbox.pid.unwrap_or(0) },
            SandboxState::NotReady => Doing::Ended { code: 0 },
        };
        (sandbox.id.0.clone(), doing)
    });
    let containers = pod.containers.iter().map(|container| (container.id.0.clone(), doing(&container.state)));
    sandboxes.chain(containers).collect()
}

fn doing(state: &ContainerState) -> Doing {
    match state {
        ContainerState::Created => Doing::Created,
        ContainerState::Running { pid, .. } => Doing::Running { pid: *pid },
        ContainerState::Exited(exit) => Doing::Ended { code: exit.code },
        ContainerState::Unknown => Doing::Unknown,
    }
}
