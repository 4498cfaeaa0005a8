//! Pure: Docker's details of a container in the kubelet's words.

use bollard::models::{
    ContainerInspectResponse, ContainerState as DockerState, ContainerStateStatusEnum as Status, ContainerSummary,
    ContainerSummaryStateEnum, HostConfig,
};
use std::path::PathBuf;

use jiff::Timestamp;

use super::client::lacking;
use super::labels::{self, Labels};
use super::{
    ContainerState, ContainerStatus, Exit, ImageId, LinuxResources, Mounted, Result, SandboxState, SandboxStatus,
};
use crate::pod::sound::is_sound;

/// Exit codes with which Docker says that it could not start the process.
const CANNOT_RUN: [i64; 3] = [126, 127, 128];
/// The reason for it.
const CONTAINER_CANNOT_RUN: &str = "ContainerCannotRun";

/// A container's status from its details.
pub(super) fn container(details: &ContainerInspectResponse) -> Result<ContainerStatus> {
    let config = details.config.as_ref();
    let no_labels = Default::default();
    let labels = Labels(config.and_then(|config| config.labels.as_ref()).unwrap_or(&no_labels));
    let state = details.state.as_ref().ok_or_else(|| lacking("inspect container", "State"))?;
    let created_at = time(details.created.as_deref()).unwrap_or(Timestamp::UNIX_EPOCH);
    let id = id(details).ok_or_else(|| lacking("inspect container", "usable Id"))?;
    Ok(ContainerStatus {
        reference: format!("docker://{id}"),
        id: id.into(),
        sandbox_id: labels.get(labels::SANDBOX_ID).into(),
        name: labels.get(labels::CONTAINER_NAME).to_owned(),
        attempt: labels.attempt(),
        state: container_state(state, created_at),
        created_at,
        image: labels.get(labels::IMAGE_NAME).to_owned(),
        image_id: ImageId(details.image.clone().unwrap_or_default()),
        hash: labels.get(labels::HASH).to_owned(),
        tty: config.and_then(|config| config.tty).unwrap_or(false),
        termination_message_path: labels.get(labels::MESSAGE_PATH).to_owned(),
        termination_message_policy: labels.get(labels::MESSAGE_POLICY).to_owned(),
        resources: details.host_config.as_ref().map(resources),
        user: None,
        mounts: mounts(details),
        log_path: details.log_path.as_deref().filter(|path| path.starts_with('/')).map(PathBuf::from),
        labels: labels.given(),
        annotations: labels.annotations(),
    })
}

/// A sandbox's status from its details.
pub(super) fn sandbox(details: &ContainerInspectResponse) -> Result<SandboxStatus> {
    let no_labels = Default::default();
    let config = details.config.as_ref();
    let labels = Labels(config.and_then(|config| config.labels.as_ref()).unwrap_or(&no_labels));
    let state = details.state.as_ref().ok_or_else(|| lacking("inspect sandbox", "State"))?;
    let running = state.running == Some(true);
    let network_mode = details.host_config.as_ref().and_then(|host| host.network_mode.as_deref());
    Ok(SandboxStatus {
        id: id(details).ok_or_else(|| lacking("inspect sandbox", "usable Id"))?.into(),
        attempt: labels.attempt(),
        state: if running { SandboxState::Ready } else { SandboxState::NotReady },
        created_at: time(details.created.as_deref()).unwrap_or(Timestamp::UNIX_EPOCH),
        pid: state.pid.filter(|_| running).and_then(|pid| u32::try_from(pid).ok()),
        host_network: network_mode == Some("host"),
        runtime_ips: runtime_ip(details).into_iter().collect(),
        labels: labels.given(),
        annotations: labels.annotations(),
    })
}

/// A sandbox that has ended: nothing of it matters that a list does not say.
pub(super) fn dead_sandbox(summary: &ContainerSummary) -> Option<SandboxStatus> {
    let labels = Labels(summary.labels.as_ref()?);
    if summary.state != Some(ContainerSummaryStateEnum::EXITED) || labels.get(labels::TYPE) != labels::TYPE_SANDBOX {
        return None;
    }
    let network_mode = summary.host_config.as_ref().and_then(|host| host.network_mode.as_deref());
    Some(SandboxStatus {
        id: summary.id.clone().filter(|id| is_sound(id))?.into(),
        attempt: labels.attempt(),
        state: SandboxState::NotReady,
        created_at: summary.created.and_then(|second| Timestamp::from_second(second).ok()).unwrap_or_default(),
        pid: None,
        host_network: network_mode == Some("host"),
        runtime_ips: Vec::new(),
        labels: labels.given(),
        annotations: labels.annotations(),
    })
}

/// Files and links are named after it.
fn id(details: &ContainerInspectResponse) -> Option<String> {
    details.id.clone().filter(|id| is_sound(id))
}

fn runtime_ip(details: &ContainerInspectResponse) -> Option<std::net::IpAddr> {
    let networks = details.network_settings.as_ref()?.networks.as_ref()?;
    networks.values().find_map(|network| network.ip_address.as_deref()?.parse().ok())
}

fn mounts(details: &ContainerInspectResponse) -> Vec<Mounted> {
    let mounted = |mount: &bollard::models::MountPoint| Mounted {
        host_path: mount.source.clone().unwrap_or_default(),
        container_path: mount.destination.clone().unwrap_or_default(),
    };
    details.mounts.iter().flatten().map(mounted).collect()
}

/// What was asked for when the container was made, or last updated. Less than nothing is no limit.
fn resources(host: &HostConfig) -> LinuxResources {
    let limit = |value: Option<i64>| value.unwrap_or(0).max(0);
    let cpu_quota = limit(host.cpu_quota);
    LinuxResources {
        cpu_shares: limit(host.cpu_shares),
        cpu_quota,
        cpu_period: if cpu_quota > 0 { limit(host.cpu_period) } else { 0 },
        memory_limit: limit(host.memory),
        oom_score_adj: 0,
    }
}

fn container_state(state: &DockerState, created_at: Timestamp) -> ContainerState {
    match state.status {
        Some(Status::RUNNING | Status::PAUSED) => ContainerState::Running {
            started_at: time(state.started_at.as_deref()).unwrap_or(Timestamp::UNIX_EPOCH),
            pid: state.pid.and_then(|pid| u32::try_from(pid).ok()).unwrap_or(0),
        },
        Some(Status::CREATED) => created(state, created_at),
        Some(Status::EXITED) => ContainerState::Exited(exit(state)),
        _ => ContainerState::Unknown,
    }
}

/// To Docker a container whose start failed is still `created`, with an error and an exit code.
fn created(state: &DockerState, created_at: Timestamp) -> ContainerState {
    match state.error.as_deref().filter(|error| !error.is_empty()) {
        None => ContainerState::Created,
        Some(error) => ContainerState::Exited(Exit {
            code: state.exit_code.and_then(|code| i32::try_from(code).ok()).filter(|code| *code != 0).unwrap_or(128),
            started_at: Some(created_at),
            finished_at: created_at,
            reason: CONTAINER_CANNOT_RUN,
            message: error.to_owned(),
        }),
    }
}

fn exit(state: &DockerState) -> Exit {
    let code = state.exit_code.unwrap_or(0);
    let message = state.error.clone().unwrap_or_default();
    let reason = match code {
        _ if state.oom_killed == Some(true) => "OOMKilled",
        0 => "Completed",
        code if CANNOT_RUN.contains(&code) && !message.is_empty() => CONTAINER_CANNOT_RUN,
        _ => "Error",
    };
    let started_at = time(state.started_at.as_deref());
    let finished_at = time(state.finished_at.as_deref()).unwrap_or(Timestamp::UNIX_EPOCH);
    Exit {
        code: i32::try_from(code).unwrap_or(-1),
        started_at,
        // Docker notes the start after the fact, for a short process after its end.
        finished_at: started_at.map_or(finished_at, |started_at| finished_at.max(started_at)),
        reason,
        message,
    }
}

/// Docker writes the year 1 for "never".
fn time(text: Option<&str>) -> Option<Timestamp> {
    text?.parse().ok().filter(|time| *time > Timestamp::UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(json: &str) -> ContainerState {
        container_state(&serde_json::from_str(json).unwrap(), Timestamp::from_second(7).unwrap())
    }

    fn exited(code: i32, reason: &'static str, message: &str) -> ContainerState {
        let at = |second: i64| Timestamp::from_second(second).unwrap();
        ContainerState::Exited(Exit {
            code,
            started_at: Some(at(1)),
            finished_at: at(2),
            reason,
            message: message.into(),
        })
    }

    #[test]
    fn sandboxes_that_have_ended_are_known_from_the_list() {
        let summary = |state: &str, kind: &str| -> ContainerSummary {
            let text = format!(
                r#"{{"Id": "0a", "State": "{state}", "Created": 7, "HostConfig": {{"NetworkMode": "host"}}, "Labels":
                    {{"io.kubernetes.docker.type": "{kind}", "io.kubernetes.container.restartCount": "2", "app": "web"}}}}"#
            );
            serde_json::from_str(&text).unwrap()
        };
        let dead = dead_sandbox(&summary("exited", "podsandbox")).unwrap();
        assert_eq!((dead.attempt, dead.state, dead.pid, dead.host_network), (2, SandboxState::NotReady, None, true));
        assert_eq!((dead.created_at.as_second(), dead.labels.contains_key("app")), (7, true));
        for other in
            [summary("running", "podsandbox"), summary("exited", "container"), summary("created", "podsandbox")]
        {
            assert_eq!(dead_sandbox(&other), None, "{other:?}");
        }
    }

    fn cannot_run(code: i32, message: &str) -> ContainerState {
        let created_at = Timestamp::from_second(7).unwrap();
        ContainerState::Exited(Exit {
            code,
            started_at: Some(created_at),
            finished_at: created_at,
            reason: "ContainerCannotRun",
            message: message.into(),
        })
    }

    #[test]
    fn strange_answers_are_read_or_refused() {
        let details = |id: &str, labels: &str| -> ContainerInspectResponse {
            let text = format!(r#"{{"Id": "{id}", "State": {{"Pid": -1}}, "Config": {{"Labels": {labels}}}}}"#);
            serde_json::from_str(&text).unwrap()
        };
        let strange = r#"{"io.kubernetes.container.restartCount": "-3", "io.kubernetes.pod.uid": "../..",
            "annotation.": "", "io.kubernetes.sandbox.id": "/"}"#;
        for labels in [strange, "{}", r#"{"io.kubernetes.container.restartCount": "99999999999999999999"}"#] {
            assert_eq!(container(&details("0a", labels)).unwrap().attempt, 0, "{labels}");
            assert_eq!(sandbox(&details("0a", labels)).unwrap().pid, None, "{labels}");
        }
        for id in ["", "..", "a/b", "/etc"] {
            assert!(container(&details(id, "{}")).is_err() && sandbox(&details(id, "{}")).is_err(), "{id}");
        }
        assert!(container(&ContainerInspectResponse::default()).is_err());
    }

    #[test]
    fn states_are_told_apart() {
        let times = r#""StartedAt":"1970-01-01T00:00:01Z","FinishedAt":"1970-01-01T00:00:02Z""#;
        let never = r#""StartedAt":"0001-01-01T00:00:00Z""#;
        let cases = [
            (format!(r#"{{"Status":"exited","ExitCode":0,{times}}}"#), exited(0, "Completed", "")),
            (format!(r#"{{"Status":"exited","ExitCode":3,{times}}}"#), exited(3, "Error", "")),
            (format!(r#"{{"Status":"exited","ExitCode":137,"OOMKilled":true,{times}}}"#), exited(137, "OOMKilled", "")),
            (
                format!(r#"{{"Status":"exited","ExitCode":127,"Error":"no such file",{times}}}"#),
                exited(127, "ContainerCannotRun", "no such file"),
            ),
            (format!(r#"{{"Status":"created","Error":"",{never}}}"#), ContainerState::Created),
            (format!(r#"{{"Status":"created","ExitCode":127,"Error":"boom",{never}}}"#), cannot_run(127, "boom")),
            (format!(r#"{{"Status":"created","ExitCode":0,"Error":"boom",{never}}}"#), cannot_run(128, "boom")),
            (r#"{"Status":"dead"}"#.into(), ContainerState::Unknown),
        ];
        for (json, expected) in cases {
            assert_eq!(state(&json), expected, "{json}");
        }
    }
}
