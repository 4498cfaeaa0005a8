use serde_json::{Value, json};

use super::*;
use crate::probes::{ProbeKind, Verdict};
use crate::runtime::LinuxUser;
use crate::testing::{at, pod, runtime};

/// What a case adds to the pod and what runs.
#[derive(Default)]
struct Given {
    previous: PodStatus,
    probes: ProbeResults,
    reasons: BTreeMap<String, Reason>,
    replaced: HashSet<ContainerId>,
    stage: Stage,
    failure: Option<Reason>,
}

fn status(spec: &Value, running: &str, given: &Given) -> PodStatus {
    status_of(spec, &runtime(&pod(spec.clone()), running), given)
}

fn status_of(spec: &Value, runtime: &RuntimePod, given: &Given) -> PodStatus {
    let pod = pod(spec.clone());
    let ips: Vec<IpAddr> = runtime.ready_sandbox().map(|_| "10.1.0.2".parse().unwrap()).into_iter().collect();
    generate(&Facts {
        pod: &pod,
        previous: &given.previous,
        runtime,
        ips: &ips,
        node_ips: &["192.168.0.5".parse().unwrap()],
        probes: &given.probes,
        reasons: &given.reasons,
        messages: &HashMap::new(),
        replaced: &given.replaced,
        stage: given.stage,
        failure: given.failure.as_ref(),
        resizing: Resizing::default(),
        now: at(200),
    })
}

/// A status in words: `Running a:running,ready Ready`.
fn words(status: &PodStatus) -> String {
    let mut words = vec![status.phase.clone().unwrap()];
    for container in status.init_container_statuses.iter().chain(&status.container_statuses).flatten() {
        let state = container.state.clone().unwrap();
        let state = if let Some(waiting) = state.waiting {
            waiting.reason.unwrap()
        } else if let Some(terminated) = state.terminated {
            format!("{}({})", terminated.reason.unwrap(), terminated.exit_code)
        } else {
            "running".to_owned()
        };
        let last = container.last_state.as_ref().and_then(|last| last.terminated.as_ref());
        let last = last.map(|last| format!("<{}", last.exit_code)).unwrap_or_default();
        let ready = if container.ready { "+" } else { "" };
        words.push(format!("{}#{}={state}{last}{ready}", container.name, container.restart_count));
    }
    let conditions = status.conditions.iter().flatten().filter(|condition| condition.status == "True");
    let conditions: Vec<&str> = conditions.map(|condition| condition.type_.as_str()).collect();
    if conditions.contains(&"Initialized") {
        words.push("I".to_owned());
    }
    if conditions.contains(&"Ready") {
        words.push("R".to_owned());
    }
    words.join(" ")
}

fn two(policy: &str) -> Value {
    json!({"restartPolicy": policy, "containers": [{"name": "a"}, {"name": "b"}]})
}

fn with_init(policy: &str) -> Value {
    json!({"restartPolicy": policy, "initContainers": [{"name": "i"}], "containers": [{"name": "a"}]})
}

#[test]
fn phases_and_states_follow_the_containers() {
    for (spec, running, expected) in [
        (two("Always"), "", "Pending a#0=ContainerCreating b#0=ContainerCreating I"),
        (two("Always"), "sandbox0 a#0=running", "Pending a#0=running+ b#0=ContainerCreating I"),
        (two("Always"), "sandbox0 a#0=running b#0=running", "Running a#0=running+ b#0=running+ I R"),
        (two("Always"), "sandbox0 a#0=exit0 b#0=running", "Running a#0=Completed(0) b#0=running+ I"),
        (two("Always"), "sandbox0 a#0=exit0 b#0=exit1", "Running a#0=Completed(0) b#0=Error(1) I"),
        (two("Never"), "sandbox0 a#0=exit0 b#0=running", "Running a#0=Completed(0) b#0=running+ I"),
        (two("Never"), "sandbox0 a#0=exit0 b#0=exit0", "Succeeded a#0=Completed(0) b#0=Completed(0) I"),
        (two("Never"), "sandbox0 a#0=exit0 b#0=exit2", "Failed a#0=Completed(0) b#0=Error(2) I"),
        (two("OnFailure"), "sandbox0 a#0=exit0 b#0=exit2", "Running a#0=Completed(0) b#0=Error(2) I"),
        (two("Always"), "sandbox0 a#0=exit3 a#1=running b#0=running", "Running a#1=running<3+ b#0=running+ I R"),
        (with_init("Always"), "sandbox0", "Pending i#0=PodInitializing a#0=PodInitializing"),
        (with_init("Always"), "sandbox0 i#0=running", "Pending i#0=running a#0=PodInitializing"),
        (with_init("Always"), "sandbox0 i#0=exit1", "Pending i#0=Error(1) a#0=PodInitializing"),
        (with_init("Never"), "sandbox0 i#0=exit1", "Failed i#0=Error(1) a#0=PodInitializing"),
        (with_init("Never"), "sandbox0 i#0=exit0 a#0=running", "Running i#0=Completed(0)+ a#0=running+ I R"),
    ] {
        assert_eq!(words(&status(&spec, running, &Given::default())), expected, "{spec}\nwith {running}");
    }
}

#[test]
fn a_phase_never_goes_back() {
    let previous = |phase: &str| PodStatus { phase: Some(phase.to_owned()), ..PodStatus::default() };
    for (before, running, after) in [
        ("Running", "sandbox0", "Running"),
        ("Succeeded", "sandbox0 a#0=running b#0=running", "Succeeded"),
        ("Failed", "sandbox0 a#0=exit0 b#0=exit0", "Failed"),
    ] {
        let given = Given { previous: previous(before), ..Given::default() };
        assert_eq!(status(&two("Always"), running, &given).phase.as_deref(), Some(after), "{before}");
    }
}

#[test]
fn the_end_of_a_pod_is_told() {
    for (spec, running, expected) in [
        (two("Always"), "sandbox0-dead a#0=exit0 b#0=exit0", "Succeeded a#0=Completed(0) b#0=Completed(0) I"),
        (two("Always"), "sandbox0-dead a#0=exit0 b#0=exit143", "Failed a#0=Completed(0) b#0=Error(143) I"),
        (two("Always"), "sandbox0-dead a#0=exit0", "Failed a#0=Completed(0) b#0=ContainerStatusUnknown(137) I"),
    ] {
        let given = Given { stage: Stage::Terminated, ..Given::default() };
        assert_eq!(words(&status(&spec, running, &given)), expected, "{running}");
    }
    let given = Given { failure: Some(Reason::new("DeadlineExceeded", "too long")), ..Given::default() };
    let failed = status(&two("Always"), "sandbox0 a#0=running b#0=running", &given);
    assert_eq!(failed.phase.as_deref(), Some("Failed"));
    assert_eq!((failed.reason.as_deref(), failed.message.as_deref()), (Some("DeadlineExceeded"), Some("too long")));
}

#[test]
fn reasons_replace_the_state_of_what_does_not_run() {
    let reasons = BTreeMap::from([("a".to_owned(), Reason::new("CrashLoopBackOff", "back-off 10s"))]);
    let given = Given { reasons, ..Given::default() };
    let got = status(&two("Always"), "sandbox0 a#4=exit1 b#0=running", &given);
    assert_eq!(words(&got), "Running a#4=CrashLoopBackOff<1 b#0=running+ I");
    let got = status(&two("Always"), "sandbox0 a#4=running b#0=running", &given);
    assert_eq!(words(&got), "Running a#4=running+ b#0=running+ I R");
}

#[test]
fn reasons_do_not_hide_an_end_that_is_the_last() {
    let reasons = BTreeMap::from([("a".to_owned(), Reason::new("RunContainerError", "no such program"))]);
    for (policy, expected) in [
        ("Never", "Failed a#0=Error(127) b#0=Completed(0) I"),
        ("OnFailure", "Running a#0=RunContainerError<127 b#0=Completed(0) I"),
    ] {
        let given = Given { reasons: reasons.clone(), ..Given::default() };
        assert_eq!(words(&status(&two(policy), "sandbox0 a#0=exit127 b#0=exit0", &given)), expected, "{policy}");
    }
}

#[test]
fn what_is_replaced_has_not_ended() {
    let spec = json!({"restartPolicy": "Never", "containers": [{"name": "a"}]});
    let given = Given { replaced: HashSet::from(["a#0".into()]), ..Given::default() };
    assert_eq!(words(&status(&spec, "sandbox0 a#0=exit0", &given)), "Running a#0=ContainerCreating<0 I");
    assert_eq!(words(&status(&spec, "sandbox0 a#0=exit0 a#1=exit3", &given)), "Failed a#1=Error(3)<0 I");
}

#[test]
fn containers_are_told_by_name_with_their_mounts() {
    let spec = json!({"containers": [
        {"name": "z", "volumeMounts": [{"name": "v", "mountPath": "/v", "readOnly": true, "recursiveReadOnly": "IfPossible"},
            {"name": "w", "mountPath": "/w", "readOnly": false}]},
        {"name": "b"}]});
    for running in ["sandbox0", "sandbox0 z#0=running b#0=running"] {
        let statuses = status(&spec, running, &Given::default()).container_statuses.unwrap();
        assert_eq!(statuses.iter().map(|status| status.name.as_str()).collect::<Vec<_>>(), ["b", "z"]);
        let told = json!([{"name": "v", "mountPath": "/v", "readOnly": true, "recursiveReadOnly": "Disabled"},
            {"name": "w", "mountPath": "/w"}]);
        assert_eq!(serde_json::to_value(&statuses[1].volume_mounts).unwrap(), told, "{running}");
    }
}

#[test]
fn a_user_is_told_of_a_container_that_has_ended() {
    let spec = json!({"restartPolicy": "Never", "containers": [{"name": "a"}]});
    let mut running = runtime(&pod(spec.clone()), "sandbox0 a#0=running");
    running.containers[0].user = Some(LinuxUser { uid: 7, gid: 8, groups: vec![8, 9] });
    let first = status_of(&spec, &running, &Given::default());
    let user = first.container_statuses.as_ref().unwrap()[0].user.clone();
    let expected = json!({"linux": {"uid": 7, "gid": 8, "supplementalGroups": [8, 9]}});
    assert_eq!(serde_json::to_value(&user).unwrap(), expected);
    let given = Given { previous: first, ..Given::default() };
    assert_eq!(status(&spec, "sandbox0 a#0=exit0", &given).container_statuses.unwrap()[0].user, user);
    assert_eq!(status(&spec, "sandbox0 a#1=exit0", &given).container_statuses.unwrap()[0].user, None);
}

#[test]
fn probes_decide_readiness() {
    let probed = json!({"containers": [{"name": "a", "startupProbe": {}, "readinessProbe": {}}]});
    let verdicts = |list: &[(ProbeKind, Verdict)]| {
        let mut results = ProbeResults::default();
        for (kind, verdict) in list {
            results.set(&"a#0".into(), *kind, *verdict);
        }
        Given { probes: results, ..Given::default() }
    };
    let startup = (ProbeKind::Startup, Verdict::Success);
    for (list, started, ready) in [
        (vec![], false, false),
        (vec![startup], true, false),
        (vec![startup, (ProbeKind::Readiness, Verdict::Success)], true, true),
        (vec![startup, (ProbeKind::Readiness, Verdict::Failure)], true, false),
    ] {
        let got = status(&probed, "sandbox0 a#0=running", &verdicts(&list));
        let container = &got.container_statuses.as_ref().unwrap()[0];
        assert_eq!((container.started, container.ready), (Some(started), ready), "{list:?}");
    }
}

#[test]
fn conditions_say_why_not_and_since_when() {
    let first = status(&with_init("Always"), "sandbox0 i#0=running", &Given::default());
    let of = |status: &PodStatus, name: &str| {
        let found = status.conditions.iter().flatten().find(|condition| condition.type_ == name).unwrap().clone();
        let since = found.last_transition_time.unwrap().0.as_second();
        (found.status, found.reason.unwrap_or_default(), found.message.unwrap_or_default(), since)
    };
    let expected = |status: &str, reason: &str, message: &str, since: i64| {
        (status.to_owned(), reason.to_owned(), message.to_owned(), since)
    };
    let incomplete = "containers with incomplete status: [i]";
    assert_eq!(of(&first, "Initialized"), expected("False", "ContainersNotInitialized", incomplete, 200));
    let unready = "containers with unready status: [a]";
    assert_eq!(of(&first, "ContainersReady"), expected("False", "ContainersNotReady", unready, 200));
    let mut earlier = first;
    for condition in earlier.conditions.iter_mut().flatten() {
        condition.last_transition_time = Some(Time(at(7)));
    }
    let given = Given { previous: earlier, ..Given::default() };
    let second = status(&with_init("Always"), "sandbox0 i#0=exit0 a#0=running", &given);
    assert_eq!(of(&second, "Ready"), expected("True", "", "", 200));
    assert_eq!(of(&second, "PodReadyToStartContainers"), expected("True", "", "", 7));
    let gated = json!({"readinessGates": [{"conditionType": "x/y"}], "containers": [{"name": "a"}]});
    let gated = status(&gated, "sandbox0 a#0=running", &Given::default());
    let message = "corresponding condition of pod readiness gate \"x/y\" does not exist.";
    assert_eq!(of(&gated, "Ready"), expected("False", "ReadinessGatesNotReady", message, 200));
    assert_eq!(of(&gated, "ContainersReady").0, "True");
}
