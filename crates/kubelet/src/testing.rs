//! A small language for tests: what runs of a pod, in words.

use api_types::core::Pod;
use api_types::jiff::Timestamp;

use crate::pod::container_hash;
use crate::runtime::{ContainerState, ContainerStatus, Exit, ImageId, RuntimePod, SandboxState, SandboxStatus};

/// A moment, in seconds since 1970.
pub(crate) fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

/// A pod from a spec.
pub(crate) fn pod(spec: serde_json::Value) -> Pod {
    let pod =
        serde_json::json!({"metadata": {"name": "p", "namespace": "ns", "uid": "u", "generation": 1}, "spec": spec});
    serde_json::from_value(pod).unwrap()
}

/// What runs: words like `sandbox0`, `sandbox0-dead`, `web#1=running`, `web#0=exit3`, `web#0=created`, with
/// `@sandbox1` for another sandbox than the newest. Later ones are newer. The id of `web#1` is `web#1`, and it ended
/// at second 100.
pub(crate) fn runtime(pod: &Pod, words: &str) -> RuntimePod {
    let mut runtime = RuntimePod::default();
    for (age, word) in words.split_whitespace().enumerate() {
        let created_at = at(i64::try_from(age).unwrap());
        match word.split_once('=') {
            None => runtime.sandboxes.insert(0, sandbox(word, created_at)),
            Some((name, state)) => {
                let newest = runtime.sandboxes.first().map(|sandbox| sandbox.id.0.clone()).unwrap_or_default();
                runtime.containers.insert(0, container(pod, name, state, &newest, created_at));
            }
        }
    }
    runtime
}

fn sandbox(word: &str, created_at: Timestamp) -> SandboxStatus {
    let (name, dead) = word.strip_suffix("-dead").map_or((word, false), |name| (name, true));
    SandboxStatus {
        id: name.into(),
        attempt: name.strip_prefix("sandbox").and_then(|attempt| attempt.parse().ok()).unwrap(),
        state: if dead { SandboxState::NotReady } else { SandboxState::Ready },
        created_at,
        pid: (!dead).then_some(1),
        host_network: false,
        runtime_ips: Vec::new(),
        labels: Default::default(),
        annotations: Default::default(),
    }
}

fn container(pod: &Pod, id: &str, state: &str, newest: &str, created_at: Timestamp) -> ContainerStatus {
    use crate::pod::PodExt;
    let (name, attempt) = id.split_once('#').unwrap();
    let (state, sandbox) = state.split_once('@').unwrap_or((state, newest));
    let hash = pod.container(name).map(|(_, container)| container_hash(&container)).unwrap_or_default();
    ContainerStatus {
        reference: format!("docker://{id}"),
        id: id.into(),
        sandbox_id: sandbox.into(),
        name: name.to_owned(),
        attempt: attempt.parse().unwrap(),
        state: state_of(state),
        created_at,
        image: "image".into(),
        image_id: ImageId("sha256:1".into()),
        hash: if state == "outdated" { "other".into() } else { hash },
        tty: false,
        termination_message_path: String::new(),
        termination_message_policy: String::new(),
        resources: None,
        user: None,
        mounts: Vec::new(),
        log_path: None,
        labels: Default::default(),
        annotations: Default::default(),
    }
}

fn state_of(state: &str) -> ContainerState {
    match state {
        "running" | "outdated" => ContainerState::Running { started_at: at(50), pid: 2 },
        "created" => ContainerState::Created,
        _ => {
            let code = state.strip_prefix("exit").and_then(|code| code.parse().ok()).unwrap();
            ContainerState::Exited(Exit {
                code,
                started_at: Some(at(50)),
                finished_at: at(100),
                reason: if code == 0 { "Completed" } else { "Error" },
                message: String::new(),
            })
        }
    }
}
