use serde_json::{Value, json};

use super::*;
use crate::testing::{at, pod, runtime};

/// The plan in words.
fn words(plan: &Plan) -> String {
    let mut words = Vec::new();
    words.extend(plan.tear_down.then(|| "tear down".to_owned()));
    words.extend(plan.kill.iter().map(|kill| format!("kill {}: {}", kill.id, kill.message)));
    words.extend(plan.create_sandbox.map(|attempt| format!("sandbox{attempt}")));
    words.extend(plan.start.iter().map(|start| format!("start {}#{}", start.name, start.attempt)));
    words.extend(
        plan.waiting
            .iter()
            .map(|waiting| format!("{} waits {:?} until {}", waiting.name, waiting.delay, waiting.until.as_second())),
    );
    words.extend(plan.remove.iter().map(|id| format!("remove {id}")));
    words.extend(plan.remove_sandboxes.iter().map(|id| format!("remove {id}")));
    words.join("; ")
}

/// A pod with containers `a` and `b`.
fn two(policy: &str) -> Value {
    json!({"restartPolicy": policy, "containers": [{"name": "a"}, {"name": "b"}]})
}

/// A pod with one container.
fn one(policy: &str) -> Value {
    json!({"restartPolicy": policy, "containers": [{"name": "a"}]})
}

/// Init containers `i` and `j`, then `a`.
fn with_init(policy: &str) -> Value {
    json!({"restartPolicy": policy, "initContainers": [{"name": "i"}, {"name": "j"}], "containers": [{"name": "a"}]})
}

/// A sidecar `s` with a startup probe, an init container `i`, then `a`.
fn with_sidecar() -> Value {
    json!({"restartPolicy": "Never", "containers": [{"name": "a"}], "initContainers": [
        {"name": "s", "restartPolicy": "Always", "startupProbe": {}}, {"name": "i"}]})
}

/// Verdicts in words: `web#0 liveness failure`.
fn verdicts(text: &str) -> ProbeResults {
    let mut results = ProbeResults::default();
    for verdict in text.split(',').filter(|verdict| !verdict.is_empty()) {
        let mut words = verdict.split_whitespace();
        let id = words.next().unwrap().into();
        let kind = match words.next().unwrap() {
            "startup" => ProbeKind::Startup,
            "liveness" => ProbeKind::Liveness,
            _ => ProbeKind::Readiness,
        };
        let verdict = if words.next() == Some("success") { Verdict::Success } else { Verdict::Failure };
        results.set(&id, kind, verdict);
    }
    results
}

fn check(spec: Value, running: &str, probes: &str, expected: &str) {
    let pod = pod(spec.clone());
    let runtime = runtime(&pod, running);
    let (probes, back_offs) = (verdicts(probes), BackOffs::default());
    let seen =
        Observed { pod: &pod, runtime: &runtime, probes: &probes, back_offs: &back_offs, replaced: &HashSet::new() };
    assert_eq!(words(&compute_actions(seen, at(101))), expected, "{spec}\nwith {running}");
}

#[test]
fn sandboxes_come_first() {
    for (spec, running, expected) in [
        (one("Always"), "", "sandbox0"),
        (one("Always"), "sandbox0-dead", "sandbox1"),
        (one("Always"), "sandbox0-dead a#0=exit0", "sandbox1"),
        (one("Always"), "sandbox0-dead a#0=running", "tear down"),
        (one("OnFailure"), "sandbox0-dead a#0=exit0", ""),
        (one("OnFailure"), "sandbox0-dead a#0=exit1", "sandbox1"),
        (one("Never"), "sandbox0-dead", "sandbox1"),
        (one("Never"), "sandbox0-dead a#0=exit1", ""),
        (two("Never"), "sandbox0-dead a#0=exit1", ""),
        (with_init("Never"), "sandbox0-dead i#0=exit1", ""),
        (with_init("Always"), "sandbox0-dead i#0=exit1", "sandbox1"),
        (json!({"hostNetwork": true, "containers": [{"name": "a"}]}), "sandbox0 a#0=running", "tear down"),
    ] {
        check(spec, running, "", expected);
    }
}

#[test]
fn containers_start_and_start_again() {
    for (spec, running, expected) in [
        (two("Always"), "sandbox0", "start a#0; start b#0"),
        (two("Always"), "sandbox0 a#0=running", "start b#0"),
        (two("Always"), "sandbox0 a#0=running b#0=running", ""),
        (two("Always"), "sandbox0 a#0=exit0 b#0=running", "start a#1"),
        (two("OnFailure"), "sandbox0 a#0=exit0 b#0=running", ""),
        (two("OnFailure"), "sandbox0 a#0=exit1 b#0=running", "start a#1"),
        (two("Never"), "sandbox0 a#0=exit1 b#0=running", ""),
        (two("Never"), "sandbox0 a#0=exit1", "start b#0"),
        (two("Never"), "sandbox0 a#0=exit1 b#0=exit0", "tear down"),
        (two("OnFailure"), "sandbox0 a#0=exit0 b#0=exit0", "tear down"),
        (one("Always"), "sandbox0 a#0=created", "start a#1"),
        (one("Always"), "sandbox0-dead sandbox1 a#0=exit137@sandbox0", "start a#1; remove sandbox0"),
        (one("Always"), "sandbox0 a#0=exit1 a#1=exit1 a#2=running", "remove a#0"),
        (one("Always"), "sandbox0 a#0=outdated", "kill a#0: Container a definition changed, will be restarted"),
        (
            json!({"restartPolicy": "Never", "containers": [{"name": "a", "restartPolicy": "Never",
                "restartPolicyRules": [{"action": "Restart", "exitCodes": {"operator": "In", "values": [42]}}]}]}),
            "sandbox0 a#0=exit42",
            "start a#1",
        ),
    ] {
        check(spec, running, "", expected);
    }
}

#[test]
fn init_containers_run_in_turn() {
    for (spec, running, expected) in [
        (with_init("Always"), "sandbox0", "start i#0"),
        (with_init("Always"), "sandbox0 i#0=running", ""),
        (with_init("Always"), "sandbox0 i#0=exit0", "start j#0"),
        (with_init("Always"), "sandbox0 i#0=exit1", "start i#1"),
        (with_init("Never"), "sandbox0 i#0=exit1", "tear down"),
        (with_init("Always"), "sandbox0 i#0=exit0 j#0=exit0", "start a#0"),
        (with_init("Always"), "sandbox0 a#0=running", ""),
        (with_init("Always"), "sandbox0 a#0=exit0", "start a#1"),
        (
            with_init("Always"),
            "sandbox0-dead sandbox1 i#0=exit0@sandbox0 j#0=exit0@sandbox0 a#0=exit137@sandbox0",
            "start i#1; remove sandbox0",
        ),
    ] {
        check(spec, running, "", expected);
    }
}

#[test]
fn sidecars_run_as_long_as_the_pod() {
    for (running, probes, expected) in [
        ("sandbox0", "", "start s#0"),
        ("sandbox0 s#0=running", "", ""),
        ("sandbox0 s#0=running", "s#0 startup success", "start i#0"),
        (
            "sandbox0 s#0=running",
            "s#0 startup failure",
            "kill s#0: Container s failed startup probe, will be restarted",
        ),
        ("sandbox0 s#0=exit1", "", "start s#1"),
        ("sandbox0 s#0=running i#0=exit0", "s#0 startup success", "start a#0"),
        ("sandbox0 i#0=exit0 a#0=running s#0=exit0", "", "start s#1"),
        ("sandbox0 i#0=exit0 s#0=running a#0=exit0", "s#0 startup success", "tear down"),
    ] {
        check(with_sidecar(), running, probes, expected);
    }
}

#[test]
fn ephemeral_containers_start_once_beside_the_others() {
    let with_ephemeral = |policy: &str| {
        let mut spec = with_init(policy);
        spec["ephemeralContainers"] = json!([{"name": "e"}]);
        spec
    };
    for (running, expected) in [
        ("", "sandbox0"),
        ("sandbox0", "start i#0; start e#0"),
        ("sandbox0 i#0=exit0 j#0=exit0 a#0=running", "start e#0"),
        ("sandbox0 i#0=exit0 j#0=exit0 a#0=running e#0=running", ""),
        ("sandbox0 i#0=exit0 j#0=exit0 a#0=running e#0=exit1", ""),
        ("sandbox0 i#0=exit0 j#0=exit0 a#0=running e#0=created", ""),
        ("sandbox0 i#0=exit0 j#0=exit0 a#0=exit0 e#0=running", "tear down"),
    ] {
        check(with_ephemeral("Never"), running, "", expected);
    }
}

#[test]
fn probes_kill() {
    for (policy, probes, expected) in [
        ("Always", "a#0 liveness success", ""),
        ("Always", "a#0 readiness failure", ""),
        ("Always", "a#0 liveness failure", "kill a#0: Container a failed liveness probe, will be restarted"),
        ("Never", "a#0 startup failure", "kill a#0: Container a failed startup probe"),
        ("Always", "a#9 liveness failure", ""),
    ] {
        check(one(policy), "sandbox0 a#0=running", probes, expected);
    }
}

#[test]
fn what_keeps_failing_waits() {
    let pod = pod(two("Always"));
    let runtime = runtime(&pod, "sandbox0 a#1=exit1 b#0=exit1");
    let mut back_offs = BackOffs::default();
    back_offs.restarted("a", at(90), at(95));
    let probes = ProbeResults::default();
    let plan = |now| {
        let seen = Observed {
            pod: &pod,
            runtime: &runtime,
            probes: &probes,
            back_offs: &back_offs,
            replaced: &HashSet::new(),
        };
        words(&compute_actions(seen, at(now)))
    };
    assert_eq!(plan(101), "start b#1; a waits 10s until 110");
    assert_eq!(plan(110), "start a#2; start b#1");
}
