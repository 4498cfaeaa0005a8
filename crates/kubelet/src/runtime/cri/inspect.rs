//! Pure: what a runtime says of a sandbox or a container, in the kubelet's words.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

use jiff::Timestamp;
use serde::Deserialize;

use super::client::{Method, lacking};
use super::protocol::{self as wire, Mode, State};
use super::{
    ContainerState, ContainerStatus, Exit, ImageId, LinuxResources, Mounted, PodIdentity, Result, SandboxState,
    SandboxStatus, labels,
};
use crate::pod::sound::is_sound;

/// The reason of a container that could not be started.
const START_ERROR: &str = "StartError";

/// What runtimes tell besides, as JSON, when they are asked to be verbose.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Info {
    pid: Option<u32>,
    runtime_spec: Spec,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Spec {
    linux: Linux,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Linux {
    resources: Option<Limits>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Limits {
    cpu: Cpu,
    memory: Memory,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Cpu {
    shares: Option<u64>,
    quota: Option<i64>,
    period: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Memory {
    limit: Option<i64>,
}

fn info(map: &BTreeMap<String, String>) -> Info {
    map.get("info").and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
}

/// A sandbox, and whose it is; `None` if it is no kubelet's.
pub(super) fn sandbox(answer: wire::PodSandboxStatusResponse) -> Result<Option<(PodIdentity, SandboxStatus)>> {
    let status = answer.status.ok_or_else(|| lacking(Method::SANDBOX_STATUS, "status"))?;
    let Some(pod) = labels::pod(&status.labels) else { return Ok(None) };
    let ready = status.state() == wire::PodSandboxState::Ready;
    let linux = status.linux.and_then(|linux| linux.namespaces).and_then(|namespaces| namespaces.options);
    let sandbox = SandboxStatus {
        id: sound(status.id, Method::SANDBOX_STATUS)?.into(),
        attempt: status.metadata.map(|metadata| metadata.attempt).unwrap_or_default(),
        state: if ready { SandboxState::Ready } else { SandboxState::NotReady },
        created_at: time(status.created_at).unwrap_or(Timestamp::UNIX_EPOCH),
        pid: info(&answer.info).pid.filter(|pid| ready && *pid > 0),
        host_network: linux.is_some_and(|options| options.network() == Mode::Node),
        runtime_ips: status.network.map(ips).unwrap_or_default(),
        labels: labels::given(status.labels),
        annotations: labels::given(status.annotations),
    };
    Ok(Some((pod, sandbox)))
}

fn ips(network: wire::SandboxNetwork) -> Vec<IpAddr> {
    let more = network.additional_ips.into_iter().map(|ip| ip.ip);
    [network.ip].into_iter().chain(more).filter_map(|ip| ip.parse().ok()).collect()
}

/// A container, and whose it is; `None` if it is no kubelet's. `runtime` is the runtime's name.
pub(super) fn container(
    answer: wire::ContainerStatusResponse,
    runtime: &str,
) -> Result<Option<(PodIdentity, ContainerStatus)>> {
    let status = answer.status.ok_or_else(|| lacking(Method::CONTAINER_STATUS, "status"))?;
    let Some(pod) = labels::pod(&status.labels) else { return Ok(None) };
    let info = info(&answer.info);
    let note = |key: &str| labels::get(&status.annotations, key).to_owned();
    let id = sound(status.id.clone(), Method::CONTAINER_STATUS)?;
    let metadata = status.metadata.clone().unwrap_or_default();
    let container = ContainerStatus {
        reference: format!("{runtime}://{id}"),
        id: id.into(),
        sandbox_id: note(labels::SANDBOX_ID).into(),
        name: metadata.name,
        attempt: metadata.attempt,
        state: state(&status, info.pid.unwrap_or(0)),
        created_at: time(status.created_at).unwrap_or(Timestamp::UNIX_EPOCH),
        image: note(labels::IMAGE_NAME),
        image_id: ImageId(note(labels::IMAGE_ID)),
        hash: note(labels::HASH),
        tty: note(labels::TTY) == "true",
        termination_message_path: note(labels::MESSAGE_PATH),
        termination_message_policy: note(labels::MESSAGE_POLICY),
        resources: resources(status.resources, info.runtime_spec.linux.resources),
        user: None,
        mounts: status.mounts.into_iter().map(mounted).collect(),
        log_path: Some(PathBuf::from(status.log_path)).filter(|path| path.is_absolute()),
        labels: labels::given(status.labels),
        annotations: labels::given(status.annotations),
    };
    Ok(Some((pod, container)))
}

/// Files and links are named after it.
fn sound(id: String, method: Method) -> Result<String> {
    if is_sound(&id) { Ok(id) } else { Err(lacking(method, "usable id")) }
}

fn mounted(mount: wire::Mount) -> Mounted {
    Mounted { host_path: mount.host_path, container_path: mount.container_path }
}

/// As the runtime tells them, or else as they are in what it made of the container's configuration. Less than nothing
/// is no limit.
fn resources(told: Option<wire::ContainerResources>, made: Option<Limits>) -> Option<LinuxResources> {
    let unsigned = |value: Option<u64>| value.and_then(|value| i64::try_from(value).ok()).unwrap_or(0);
    let (shares, quota, period, memory) = match (told.and_then(|told| told.linux), made) {
        (Some(told), _) => (told.cpu_shares, told.cpu_quota, told.cpu_period, told.memory_limit_in_bytes),
        (None, Some(Limits { cpu, memory })) => {
            (unsigned(cpu.shares), cpu.quota.unwrap_or(0), unsigned(cpu.period), memory.limit.unwrap_or(0))
        }
        (None, None) => return None,
    };
    let cpu_quota = quota.max(0);
    Some(LinuxResources {
        cpu_shares: shares.max(0),
        cpu_quota,
        cpu_period: if cpu_quota > 0 { period.max(0) } else { 0 },
        memory_limit: memory.max(0),
        oom_score_adj: 0,
    })
}

fn state(status: &wire::ContainerStatus, pid: u32) -> ContainerState {
    match status.state() {
        State::Created => ContainerState::Created,
        State::Running => {
            ContainerState::Running { started_at: time(status.started_at).unwrap_or(Timestamp::UNIX_EPOCH), pid }
        }
        State::Exited => ContainerState::Exited(exit(status)),
        State::Unknown => ContainerState::Unknown,
    }
}

fn exit(status: &wire::ContainerStatus) -> Exit {
    let failed = status.reason == START_ERROR;
    let started_at = time(if failed { status.created_at } else { status.started_at });
    let finished_at = time(status.finished_at).or(started_at).unwrap_or(Timestamp::UNIX_EPOCH);
    Exit {
        code: status.exit_code,
        started_at,
        finished_at: started_at.map_or(finished_at, |started_at| finished_at.max(started_at)),
        reason: match status.exit_code {
            _ if status.reason == "OOMKilled" => "OOMKilled",
            _ if failed => START_ERROR,
            0 => "Completed",
            _ => "Error",
        },
        message: status.message.clone(),
    }
}

/// Nanoseconds since 1970; nothing is "never".
fn time(nanoseconds: i64) -> Option<Timestamp> {
    Timestamp::from_nanosecond(nanoseconds.into()).ok().filter(|time| *time > Timestamp::UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(state: State, reason: &str, exit_code: i32) -> wire::ContainerStatusResponse {
        let labels = [(labels::POD_UID.to_owned(), "u".to_owned())].into();
        let status = wire::ContainerStatus {
            id: "0a".into(),
            state: state.into(),
            reason: reason.into(),
            message: "words".into(),
            exit_code,
            created_at: 1_000_000_000,
            started_at: 1_000_000_000,
            labels,
            ..wire::ContainerStatus::default()
        };
        wire::ContainerStatusResponse { status: Some(status), info: BTreeMap::new() }
    }

    #[test]
    fn states_are_told_apart() {
        let state = |answer| container(answer, "containerd").unwrap().unwrap().1.state;
        assert_eq!(state(status(State::Created, "", 0)), ContainerState::Created);
        assert!(state(status(State::Running, "", 0)).is_running());
        for (reason, code, expected) in [
            ("OOMKilled", 137, "OOMKilled"),
            ("Completed", 0, "Completed"),
            ("whatever", 3, "Error"),
            (START_ERROR, 128, START_ERROR),
        ] {
            let ContainerState::Exited(exit) = state(status(State::Exited, reason, code)) else { panic!() };
            assert_eq!((exit.reason, exit.code, exit.finished_at.as_second()), (expected, code, 1));
        }
    }

    #[test]
    fn strange_answers_are_read_or_refused() {
        let with = |change: fn(&mut wire::ContainerStatusResponse)| {
            let mut answer = status(State::Running, "", 0);
            change(&mut answer);
            container(answer, "containerd")
        };
        assert!(with(|answer| answer.status = None).is_err());
        assert!(with(|answer| answer.status.as_mut().unwrap().id = "../x".into()).is_err());
        assert!(with(|answer| answer.status.as_mut().unwrap().labels.clear()).unwrap().is_none());
        assert!(with(|answer| answer.status.as_mut().unwrap().state = 99).unwrap().is_some());
        let strange = [r#"{"pid": -1}"#, "nonsense", r#"{"pid": 7, "runtimeSpec": null}"#];
        for text in strange {
            let mut answer = status(State::Running, "", 0);
            answer.info.insert("info".into(), text.into());
            assert_eq!(container(answer, "containerd").unwrap().unwrap().1.resources, None, "{text}");
        }
        assert!(sandbox(wire::PodSandboxStatusResponse::default()).is_err());
    }

    #[test]
    fn limits_are_found_where_they_are() {
        let mut answer = status(State::Running, "", 0);
        let text = r#"{"pid":7,"runtimeSpec":{"linux":{"resources":{"cpu":{"shares":102,"quota":-1,"period":100000},
            "memory":{"limit":4096}}}}}"#;
        answer.info.insert("info".into(), text.into());
        let found = container(answer, "containerd").unwrap().unwrap().1;
        assert!(matches!(found.state, ContainerState::Running { pid: 7, .. }));
        assert_eq!(found.reference, "containerd://0a");
        let expected = LinuxResources { cpu_shares: 102, memory_limit: 4096, ..LinuxResources::default() };
        assert_eq!(found.resources, Some(expected));
    }
}
