//! A pod in `kubectl get pods`.

use std::collections::HashSet;

use serde_json::Value;

use crate::{
    core::{Container, ContainerState, ContainerStateTerminated, ContainerStatus, Pod, PodSpec, PodStatus},
    meta::Time,
    object::Column,
    table,
};

pub(super) const COLUMNS: &[Column] = &[
    Column::NAME,
    Column::text("Ready", "The aggregate readiness state of this pod for accepting traffic."),
    Column::text("Status", "The aggregate status of the containers in this pod."),
    Column::text("Restarts", "The number of times the containers in this pod have been restarted and when the last container in this pod has restarted."),
    Column::AGE,
    Column::text("IP", "podIP address allocated to the pod. Routable at least within the cluster. Empty if not yet allocated.").wide(),
    Column::text("Node", "NodeName indicates in which node this pod is scheduled. If empty, this pod is a candidate for scheduling by the scheduler defined in schedulerName. Once this field is set, the kubelet for this node becomes responsible for the lifecycle of this pod. This field should not be used to express a desire for the pod to be scheduled on a specific node. https://kubernetes.io/docs/concepts/scheduling-eviction/assign-pod-node/#nodename").wide(),
    Column::text("Nominated Node", "nominatedNodeName is set only when this pod preempts other pods on the node, but it cannot be scheduled right away as preemption victims receive their graceful termination periods. This field does not guarantee that the pod will be scheduled on this node. Scheduler may decide to place the pod elsewhere if other nodes become available sooner. Scheduler may also decide to give the resources on this node to a higher priority pod that is created after preemption. As a result, this field may be different than PodSpec.nodeName when the pod is scheduled.").wide(),
    Column::text("Readiness Gates", "If specified, all readiness gates will be evaluated for pod readiness. A pod is ready when all its containers are ready AND all conditions specified in the readiness gates have status equal to \"True\" More info: https://git.k8s.io/enhancements/keps/sig-network/580-pod-readiness-gates").wide(),
];

pub(super) fn cells(pod: &Pod) -> Vec<Value> {
    let (no_spec, no_status) = (PodSpec::default(), PodStatus::default());
    let (spec, status) = (pod.spec.as_ref().unwrap_or(&no_spec), pod.status.as_ref().unwrap_or(&no_status));
    let summary = Summary::of(pod, spec, status);
    let ip = status.pod_ips.iter().flatten().next().map(|ip| ip.ip.as_str()).or(status.pod_ip.as_deref());
    vec![
        pod.metadata.name.clone().into(),
        format!("{}/{}", summary.ready, summary.total).into(),
        summary.reason.clone().into(),
        summary.restarts_text().into(),
        table::age(pod.metadata.creation_timestamp.as_ref()).into(),
        table::or_none(ip).into(),
        table::or_none(spec.node_name.as_deref()).into(),
        table::or_none(status.nominated_node_name.as_deref()).into(),
        readiness_gates(spec, status).into(),
    ]
}

fn readiness_gates(spec: &PodSpec, status: &PodStatus) -> String {
    let gates = spec.readiness_gates.as_deref().unwrap_or_default();
    if gates.is_empty() {
        return table::NONE.to_owned();
    }
    let passed = gates.iter().filter(|gate| condition_is_true(status, &gate.condition_type)).count();
    format!("{passed}/{}", gates.len())
}

fn condition_is_true(status: &PodStatus, kind: &str) -> bool {
    status.conditions.iter().flatten().any(|condition| condition.type_ == kind && condition.status == "True")
}

/// Restarts of some containers.
#[derive(Clone, Default)]
struct Restarts {
    count: i32,
    last: Option<Time>,
}

impl Restarts {
    fn add(&mut self, container: &ContainerStatus) {
        self.count += container.restart_count;
        let before = container.last_state.as_ref().and_then(|state| state.terminated.as_ref());
        self.last = self.last.take().max(before.and_then(|terminated| terminated.finished_at.clone()));
    }
}

/// What the columns say of all the pod's containers.
struct Summary {
    reason: String,
    ready: usize,
    total: usize,
    restarts: Restarts,
}

impl Summary {
    fn of(pod: &Pod, spec: &PodSpec, status: &PodStatus) -> Self {
        let sidecars = spec.init_containers.iter().flatten().filter(|container| is_sidecar(container)).count();
        let mut summary = Self {
            reason: overall_reason(status),
            ready: 0,
            total: spec.containers.len() + sidecars,
            restarts: Restarts::default(),
        };
        let (initializing, sidecar_restarts) = summary.add_init_containers(spec, status);
        if !initializing || condition_is_true(status, "Initialized") {
            summary.restarts = sidecar_restarts;
            summary.add_containers(status);
        }
        if pod.metadata.deletion_timestamp.is_some() {
            let phase = status.phase.as_deref().unwrap_or_default();
            if status.reason.as_deref() == Some("NodeLost") {
                summary.reason = "Unknown".to_owned();
            } else if !matches!(phase, "Succeeded" | "Failed") {
                summary.reason = "Terminating".to_owned();
            }
        }
        summary
    }

    /// Counts init containers up to the one that is not done, which gives the pod its reason.
    /// Returns whether there is one, and the restarts of sidecars.
    fn add_init_containers(&mut self, spec: &PodSpec, status: &PodStatus) -> (bool, Restarts) {
        let init = spec.init_containers.as_deref().unwrap_or_default();
        let sidecars = init.iter().filter(|own| is_sidecar(own)).map(|own| own.name.as_str());
        let sidecars: HashSet<&str> = sidecars.collect();
        let mut sidecar_restarts = Restarts::default();
        for (i, container) in status.init_container_statuses.iter().flatten().enumerate() {
            self.restarts.add(container);
            let sidecar = sidecars.contains(container.name.as_str());
            if sidecar {
                sidecar_restarts.add(container);
            }
            match init_state(container, sidecar) {
                InitState::Done => {}
                InitState::Started => self.ready += usize::from(container.ready),
                InitState::Stuck(why) => {
                    self.reason = format!("Init:{why}");
                    return (true, sidecar_restarts);
                }
                InitState::Pending => {
                    self.reason = format!("Init:{i}/{}", init.len());
                    return (true, sidecar_restarts);
                }
            }
        }
        (false, sidecar_restarts)
    }

    /// The first container that is not plainly running gives the pod its reason.
    fn add_containers(&mut self, status: &PodStatus) {
        let mut running = false;
        for container in status.container_statuses.iter().flatten().rev() {
            self.restarts.add(container);
            let state = container.state.as_ref();
            match state.and_then(state_reason) {
                Some(reason) => self.reason = reason,
                None if container.ready && state.is_some_and(|state| state.running.is_some()) => {
                    running = true;
                    self.ready += 1;
                }
                None => {}
            }
        }
        if self.reason == "Completed" && running {
            self.reason = if condition_is_true(status, "Ready") { "Running" } else { "NotReady" }.to_owned();
        }
    }

    fn restarts_text(&self) -> String {
        let count = self.restarts.count;
        match &self.restarts.last {
            Some(last) if count != 0 => format!("{count} ({} ago)", table::age(Some(last))),
            _ => count.to_string(),
        }
    }
}

fn is_sidecar(container: &Container) -> bool {
    container.restart_policy.as_deref() == Some("Always")
}

fn overall_reason(status: &PodStatus) -> String {
    let gated =
        |c: &&crate::core::PodCondition| c.type_ == "PodScheduled" && c.reason.as_deref() == Some("SchedulingGated");
    if status.conditions.iter().flatten().any(|condition| gated(&condition)) {
        return "SchedulingGated".to_owned();
    }
    let reason = status.reason.clone().filter(|reason| !reason.is_empty());
    reason.or_else(|| status.phase.clone()).unwrap_or_default()
}

/// How far an init container is.
enum InitState {
    Done,
    /// A sidecar that is up.
    Started,
    /// Failed, or cannot start.
    Stuck(String),
    Pending,
}

fn init_state(container: &ContainerStatus, sidecar: bool) -> InitState {
    let state = container.state.as_ref();
    if let Some(terminated) = state.and_then(|state| state.terminated.as_ref()) {
        return match terminated.exit_code {
            0 => InitState::Done,
            _ if sidecar && container.started == Some(true) => InitState::Started,
            _ => InitState::Stuck(terminated_reason(terminated)),
        };
    }
    if sidecar && container.started == Some(true) {
        return InitState::Started;
    }
    let waiting = state.and_then(|state| state.waiting.as_ref()).and_then(|waiting| waiting.reason.as_deref());
    match waiting {
        Some(reason) if !reason.is_empty() && reason != "PodInitializing" => InitState::Stuck(reason.to_owned()),
        _ => InitState::Pending,
    }
}

fn state_reason(state: &ContainerState) -> Option<String> {
    let waiting = state.waiting.as_ref().and_then(|waiting| waiting.reason.clone());
    waiting.filter(|reason| !reason.is_empty()).or_else(|| state.terminated.as_ref().map(terminated_reason))
}

fn terminated_reason(terminated: &ContainerStateTerminated) -> String {
    match (terminated.reason.as_deref(), terminated.signal) {
        (Some(reason), _) if !reason.is_empty() => reason.to_owned(),
        (_, Some(signal)) if signal != 0 => format!("Signal:{signal}"),
        _ => format!("ExitCode:{}", terminated.exit_code),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn row(pod: Value) -> [String; 3] {
        let pod: Pod = serde_json::from_value(pod).unwrap();
        let cells = cells(&pod);
        [1, 2, 3].map(|i| cells[i].as_str().unwrap().to_owned())
    }

    fn pod(spec: Value, status: Value) -> Value {
        json!({"metadata": {"name": "a"}, "spec": spec, "status": status})
    }

    fn status(name: &str, ready: bool, restarts: i32, state: Value) -> Value {
        json!({
            "name": name, "ready": ready, "started": ready, "restartCount": restarts, "state": state,
            "image": "", "imageID": "",
        })
    }

    fn running() -> Value {
        json!({"running": {}})
    }

    fn terminated(code: i32, reason: &str) -> Value {
        json!({"terminated": {"exitCode": code, "reason": reason}})
    }

    fn waiting(reason: &str) -> Value {
        json!({"waiting": {"reason": reason}})
    }

    #[test]
    fn ready_status_and_restarts_follow_the_containers() {
        let cases = [
            ("Pending", vec![], ["0/1", "Pending", "0"]),
            ("Running", vec![status("c", true, 0, running())], ["1/1", "Running", "0"]),
            ("Running", vec![status("c", false, 3, waiting("CrashLoopBackOff"))], ["0/1", "CrashLoopBackOff", "3"]),
            ("Succeeded", vec![status("c", false, 0, terminated(0, "Completed"))], ["0/1", "Completed", "0"]),
            ("Failed", vec![status("c", false, 0, terminated(3, ""))], ["0/1", "ExitCode:3", "0"]),
            (
                "Running",
                vec![status("c", true, 1, running()), status("d", false, 1, terminated(0, "Completed"))],
                ["1/2", "NotReady", "2"],
            ),
        ];
        for (phase, statuses, expected) in cases {
            let names = if statuses.len() == 2 { vec!["c", "d"] } else { vec!["c"] };
            let containers: Vec<Value> = names.iter().map(|name| json!({"name": name})).collect();
            let pod = pod(json!({"containers": containers}), json!({"phase": phase, "containerStatuses": statuses}));
            assert_eq!(row(pod.clone()), expected, "{pod}");
        }
    }

    #[test]
    fn init_containers_come_first() {
        let spec = json!({
            "containers": [{"name": "c"}],
            "initContainers": [{"name": "i"}, {"name": "s", "restartPolicy": "Always"}],
        });
        let done = || status("i", true, 2, terminated(0, "Completed"));
        let cases = [
            (vec![status("i", false, 0, running())], vec![], ["0/2", "Init:0/2", "0"]),
            (vec![status("i", false, 0, terminated(1, "Error"))], vec![], ["0/2", "Init:Error", "0"]),
            (vec![status("i", false, 1, waiting("ErrImagePull"))], vec![], ["0/2", "Init:ErrImagePull", "1"]),
            (vec![done(), status("s", false, 0, waiting("PodInitializing"))], vec![], ["0/2", "Init:1/2", "2"]),
            (
                vec![done(), status("s", true, 1, running())],
                vec![status("c", true, 3, running())],
                ["2/2", "Running", "4"],
            ),
        ];
        for (init, containers, expected) in cases {
            let status = json!({"phase": "Running", "initContainerStatuses": init, "containerStatuses": containers});
            let pod = pod(spec.clone(), status);
            assert_eq!(row(pod.clone()), expected, "{pod}");
        }
    }

    #[test]
    fn the_pod_itself_can_be_the_reason() {
        let spec = json!({"containers": [{"name": "c"}]});
        let gated = json!([{"type": "PodScheduled", "status": "False", "reason": "SchedulingGated"}]);
        let deleted = |status: Value| json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}, "spec": spec, "status": status});
        let cases = [
            (pod(spec.clone(), json!({"phase": "Pending", "conditions": gated})), "SchedulingGated"),
            (pod(spec.clone(), json!({"phase": "Failed", "reason": "Evicted"})), "Evicted"),
            (deleted(json!({"phase": "Running"})), "Terminating"),
            (deleted(json!({"phase": "Running", "reason": "NodeLost"})), "Unknown"),
            (deleted(json!({"phase": "Succeeded"})), "Succeeded"),
        ];
        for (pod, reason) in cases {
            assert_eq!(row(pod.clone())[1], reason, "{pod}");
        }
    }

    #[test]
    fn the_last_restart_is_told() {
        let finished = crate::jiff::Timestamp::now() - crate::jiff::SignedDuration::from_mins(2);
        let status = json!({
            "name": "c", "ready": true, "restartCount": 3, "image": "", "imageID": "", "state": {"running": {}},
            "lastState": {"terminated": {"exitCode": 1, "finishedAt": finished.to_string()}},
        });
        let pod =
            pod(json!({"containers": [{"name": "c"}]}), json!({"phase": "Running", "containerStatuses": [status]}));
        assert!(row(pod)[2].starts_with("3 (2m"));
    }

    #[test]
    fn there_is_a_cell_for_each_column() {
        assert_eq!(cells(&Pod::default()).len(), COLUMNS.len());
    }
}
