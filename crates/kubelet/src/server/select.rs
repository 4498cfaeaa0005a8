//! Pure: which container a request means, from the pod and its status.

use api_types::core::{ContainerState, ContainerStatus, Pod};

use super::reply::Refusal;
use crate::runtime::ContainerId;

/// Which run of a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Run {
    /// The one that runs, or ran last.
    Current,
    /// The one before (`--previous`).
    Previous,
}

/// Whether the pod has a container of this name, of any sort.
pub(super) fn has_container(pod: &Pod, name: &str) -> bool {
    let Some(spec) = &pod.spec else { return false };
    let init = spec.init_containers.iter().flatten();
    let ephemeral = spec.ephemeral_containers.iter().flatten();
    spec.containers.iter().chain(init).any(|container| container.name == name)
        || ephemeral.into_iter().any(|container| container.name == name)
}

/// The container whose log is meant.
pub(super) fn log_container(pod: &Pod, name: &str, run: Run) -> Result<ContainerId, Refusal> {
    let pod_name = pod.metadata.name.as_deref().unwrap_or_default();
    let say = |text: String| Refusal::bad_request(text);
    let status =
        status(pod, name).ok_or_else(|| say(format!("container {name:?} in pod {pod_name:?} is not available")))?;
    let last = status.last_state.as_ref().and_then(ended);
    if run == Run::Previous {
        return last
            .ok_or_else(|| say(format!("previous terminated container {name:?} in pod {pod_name:?} not found")));
    }
    let state = status.state.clone().unwrap_or_default();
    let current = match (&state.running, &state.waiting) {
        (Some(_), _) => status.container_id.as_deref().and_then(id),
        // Waiting to be started again: the log is what the last run left.
        (None, Some(_)) => last,
        (None, None) => ended(&state),
    };
    current.ok_or_else(|| say(waiting(name, pod_name, &state)))
}

fn waiting(name: &str, pod: &str, state: &ContainerState) -> String {
    let reason = state.waiting.as_ref().and_then(|waiting| waiting.reason.as_deref()).unwrap_or("ContainerCreating");
    let why = match reason {
        "ErrImagePull" => "image can't be pulled",
        "ImagePullBackOff" => "trying and failing to pull image",
        other => other,
    };
    format!("container {name:?} in pod {pod:?} is waiting to start: {why}")
}

fn status<'a>(pod: &'a Pod, name: &str) -> Option<&'a ContainerStatus> {
    let status = pod.status.as_ref()?;
    let lists = [&status.container_statuses, &status.init_container_statuses, &status.ephemeral_container_statuses];
    lists.into_iter().flatten().flatten().find(|status| status.name == name)
}

fn ended(state: &ContainerState) -> Option<ContainerId> {
    state.terminated.as_ref()?.container_id.as_deref().and_then(id)
}

/// `docker://0123…` without its scheme.
fn id(text: &str) -> Option<ContainerId> {
    let bare = text.split_once("://").map_or(text, |(_, id)| id);
    (!bare.is_empty()).then(|| bare.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(status: &str) -> Pod {
        serde_json::from_str(&format!(
            r#"{{"metadata":{{"name":"web"}},"spec":{{"containers":[{{"name":"main"}}],"initContainers":[{{"name":"init"}}]}},
                "status":{{"containerStatuses":[{status}]}}}}"#
        ))
        .unwrap()
    }

    fn main(state: &str, last: &str) -> String {
        format!(
            r#"{{"name":"main","image":"i","imageID":"","ready":true,"restartCount":1,"containerID":"docker://now",
                "state":{state},"lastState":{last}}}"#
        )
    }

    #[test]
    fn the_run_that_is_meant_is_found() {
        let ended = |id: &str| format!(r#"{{"terminated":{{"exitCode":1,"containerID":"docker://{id}"}}}}"#);
        let running = r#"{"running":{}}"#;
        let waiting = |reason: &str| format!(r#"{{"waiting":{{"reason":"{reason}"}}}}"#);
        let cases = [
            (main(running, "{}"), Run::Current, "now"),
            (main(running, &ended("before")), Run::Previous, "before"),
            (main(&ended("now"), "{}"), Run::Current, "now"),
            (main(&waiting("CrashLoopBackOff"), &ended("before")), Run::Current, "before"),
            (
                main(&waiting("ImagePullBackOff"), "{}"),
                Run::Current,
                r#"container "main" in pod "web" is waiting to start: trying and failing to pull image"#,
            ),
            (
                main(&waiting("ContainerCreating"), "{}"),
                Run::Current,
                r#"container "main" in pod "web" is waiting to start: ContainerCreating"#,
            ),
            (main(running, "{}"), Run::Previous, r#"previous terminated container "main" in pod "web" not found"#),
            (String::new(), Run::Current, r#"container "main" in pod "web" is not available"#),
        ];
        for (status, run, expected) in cases {
            let got = log_container(&pod(&status), "main", run).map_or_else(|refusal| refusal.text, |id| id.0);
            assert_eq!(got, expected, "{status}");
        }
    }

    #[test]
    fn containers_of_all_sorts_are_known() {
        assert!(has_container(&pod(""), "main") && has_container(&pod(""), "init"));
        assert!(!has_container(&pod(""), "other"));
    }
}
