//! Decisions about jobs, as tables: a job, its pods, and what is done.

use std::{collections::BTreeSet, sync::Arc};

use api_types::{
    batch::{Job, JobStatus},
    jiff::Timestamp,
    meta::Time,
};
use serde_json::{Value, json};

use super::{
    TRACKING,
    backoff::Failures,
    plan::{Action, Done, Plan, plan},
    tally::{Observed, Tally, tally},
    terms::Terms,
    tracking::{Conclusion, Finished, Turn, conclude},
};
use crate::slim::{COMPLETION_INDEX, INDEX_FAILURES, Pod};

const NOW: i64 = 10_000;

fn time(second: i64) -> Time {
    Time(Timestamp::from_second(second).unwrap())
}

fn job(spec: Value, status: Value) -> Job {
    let mut whole = json!({"template": {"spec": {"containers": [], "restartPolicy": "Never"}}, "backoffLimit": 6});
    for (name, value) in spec.as_object().unwrap() {
        whole[name] = value.clone();
    }
    serde_json::from_value(
        json!({"metadata": {"name": "j", "namespace": "ns", "uid": "j"}, "spec": whole, "status": status}),
    )
    .unwrap()
}

fn indexed(completions: i32, changes: Value) -> Value {
    let mut spec = json!({"completions": completions, "parallelism": completions, "completionMode": "Indexed"});
    for (name, value) in changes.as_object().unwrap() {
        spec[name] = value.clone();
    }
    spec
}

/// A pod in words: a name, then a phase, then any of `index=N`, `failures=N`, `ended=SECOND`, `exit=CODE`, `ready`,
/// `deleted`, `free` (without the finalizer), `restarts=N`.
fn pod(words: &str) -> Arc<Pod> {
    let mut words = words.split_whitespace();
    let (name, phase) = (words.next().unwrap(), words.next().unwrap());
    let mut pod = json!({
        "metadata": {
            "name": name, "namespace": "ns", "uid": name, "finalizers": [TRACKING], "annotations": {},
            "creationTimestamp": time(NOW - 1000),
        },
        "spec": {"nodeName": "n"},
        "status": {"phase": phase, "conditions": []},
    });
    let mut container = json!({"name": "c", "state": {}});
    for word in words {
        match word.split_once('=').unwrap_or((word, "")) {
            ("index", index) => pod["metadata"]["annotations"][COMPLETION_INDEX] = index.into(),
            ("failures", count) => pod["metadata"]["annotations"][INDEX_FAILURES] = count.into(),
            ("ended", second) => {
                container["state"]["terminated"]["finishedAt"] = json!(time(second.parse().unwrap()));
            }
            ("exit", code) => container["state"]["terminated"]["exitCode"] = json!(code.parse::<i32>().unwrap()),
            ("restarts", count) => container["restartCount"] = json!(count.parse::<i32>().unwrap()),
            ("ready", _) => pod["status"]["conditions"] = json!([{"type": "Ready", "status": "True"}]),
            ("deleted", _) => pod["metadata"]["deletionTimestamp"] = json!(time(NOW)),
            ("free", _) => pod["metadata"]["finalizers"] = json!([]),
            other => panic!("{other:?}"),
        }
    }
    pod["status"]["containerStatuses"] = json!([container]);
    Arc::new(serde_json::from_value(pod).unwrap())
}

fn observed<'a>(job: &'a Job, pods: &[&str]) -> Observed<'a> {
    Observed {
        job,
        terms: Terms::of(job.spec.as_ref().unwrap()).unwrap(),
        pods: pods.iter().map(|words| pod(words)).collect(),
        released: BTreeSet::new(),
        caught_up: true,
        failures: Failures::default(),
        now: Timestamp::from_second(NOW).unwrap(),
    }
}

/// What is done when everything succeeds.
fn all_done(action: &Action, tally: &Tally) -> Done {
    let ready = |pods: &[Arc<Pod>]| pods.iter().filter(|pod| crate::pod_state::is_ready(pod)).count();
    match action {
        Action::Nothing => Done::default(),
        Action::Create(places) => Done { created: places.len(), ..Done::default() },
        Action::End(pods) | Action::Delete(pods) => {
            assert!(pods.len() <= tally.active.len());
            Done { deleted: pods.len(), deleted_ready: ready(pods), ..Done::default() }
        }
    }
}

/// `+2`, `+[0 3]`, `-[a b]`, `end[a]`, and when to look again.
fn in_words(plan: &Plan) -> String {
    let names = |pods: &[Arc<Pod>]| {
        let mut names: Vec<&str> = pods.iter().map(|pod| pod.uid()).collect();
        names.sort_unstable();
        names.join(" ")
    };
    let action = match &plan.action {
        Action::Nothing => "nothing".to_owned(),
        Action::Create(places) if places[0].index.is_none() => format!("+{}", places.len()),
        Action::Create(places) => {
            let indexes: Vec<String> = places
                .iter()
                .map(|place| match place.failures {
                    Some(failures) => format!("{}:{}", place.index.unwrap(), failures.counted),
                    None => place.index.unwrap().to_string(),
                })
                .collect();
            format!("+[{}]", indexes.join(" "))
        }
        Action::Delete(pods) => format!("-[{}]", names(pods)),
        Action::End(pods) => format!("end[{}]", names(pods)),
    };
    plan.next.map_or_else(|| action.clone(), |next| format!("{action} again in {}", next.as_secs()))
}

#[test]
fn pods_are_created_and_deleted() {
    let policy = json!({"rules": [{"action": "FailIndex", "onExitCodes": {"operator": "In", "values": [9]}}]});
    let per_index = |changes: Value| {
        let mut spec = indexed(3, json!({"backoffLimitPerIndex": 1, "backoffLimit": i32::MAX}));
        for (name, value) in changes.as_object().unwrap() {
            spec[name] = value.clone();
        }
        spec
    };
    type Pods = &'static [&'static str];
    let cases: Vec<(Value, Value, Pods, &str)> = vec![
        (json!({"completions": 5, "parallelism": 2}), json!({}), &[], "+2"),
        (json!({"completions": 5, "parallelism": 2}), json!({}), &["a Running", "b Pending"], "nothing"),
        (json!({"completions": 5, "parallelism": 2}), json!({}), &["a Running", "b Succeeded"], "+1"),
        (
            json!({"completions": 5, "parallelism": 9}),
            json!({"succeeded": 3}),
            &["a Running", "b Succeeded"],
            "nothing",
        ),
        (json!({"completions": 5, "parallelism": 9}), json!({"succeeded": 3}), &["b Succeeded free"], "+2"),
        (json!({"completions": 2, "parallelism": 1}), json!({}), &["a Running", "b Pending"], "-[b]"),
        (json!({"completions": 2, "parallelism": 0}), json!({}), &["a Running"], "-[a]"),
        (json!({"completions": 900, "parallelism": 900}), json!({}), &[], "+500"),
        (json!({"parallelism": 3}), json!({}), &["a Running"], "+2"),
        (json!({"parallelism": 3}), json!({}), &["a Running", "b Succeeded"], "nothing"),
        (json!({"completions": 2, "parallelism": 2, "suspend": true}), json!({}), &[], "nothing"),
        (
            json!({"completions": 2, "parallelism": 2, "suspend": true}),
            json!({}),
            &["a Running", "b Succeeded"],
            "-[a]",
        ),
        // A pod that is being deleted is replaced at once, or when it has failed.
        (json!({"completions": 1, "parallelism": 1}), json!({}), &["a Running deleted"], "nothing again in 10"),
        (
            json!({"completions": 1, "parallelism": 1, "podReplacementPolicy": "Failed"}),
            json!({}),
            &["a Running deleted"],
            "nothing",
        ),
        // Failures delay.
        (json!({"completions": 1, "parallelism": 1}), json!({}), &["a Failed ended=9995"], "nothing again in 5"),
        (json!({"completions": 1, "parallelism": 1}), json!({}), &["a Failed ended=9990"], "+1"),
        (
            json!({"completions": 1, "parallelism": 1}),
            json!({}),
            &["a Failed ended=9985", "b Failed ended=9990"],
            "nothing again in 10",
        ),
        (
            json!({"completions": 3, "parallelism": 1}),
            json!({}),
            &["a Failed ended=9985", "b Succeeded ended=9990"],
            "+1",
        ),
        // A deadline is looked at again.
        (
            json!({"completions": 1, "parallelism": 1, "activeDeadlineSeconds": 60}),
            json!({"startTime": time(NOW - 20)}),
            &["a Running"],
            "nothing again in 40",
        ),
        // Indexes.
        (indexed(3, json!({})), json!({}), &[], "+[0 1 2]"),
        (indexed(5, json!({"parallelism": 2})), json!({"completedIndexes": "0,2"}), &["a Running index=1"], "+[3]"),
        (indexed(3, json!({})), json!({}), &["a Running index=0", "b Succeeded index=2"], "+[1]"),
        (
            indexed(3, json!({})),
            json!({}),
            &["a Running index=0", "b Pending index=0", "c Running index=3", "d Running", "e Running index=1"],
            "-[b c d]",
        ),
        (indexed(3, json!({})), json!({}), &["a Failed index=0 ended=9995", "b Running index=1"], "nothing again in 5"),
        (indexed(2, json!({"podReplacementPolicy": "Failed"})), json!({}), &["a Running index=0 deleted"], "+[1]"),
        // Failures that count by index.
        (per_index(json!({})), json!({}), &["a Failed index=1 ended=9980"], "+[0:0 1:1 2:0]"),
        (per_index(json!({})), json!({}), &["a Failed index=1 ended=9995"], "+[0:0 2:0] again in 5"),
        (
            per_index(json!({})),
            json!({"failedIndexes": "0"}),
            &["a Failed index=1 failures=1 ended=9980", "b Running index=2"],
            "nothing",
        ),
        (
            per_index(json!({"podFailurePolicy": policy})),
            json!({}),
            &["a Failed index=1 exit=9 ended=9980", "b Running index=2"],
            "+[0:0]",
        ),
    ];
    for (spec, status, pods, expected) in cases {
        let job = job(spec.clone(), status);
        let observed = observed(&job, pods);
        let plan = plan(&observed, &tally(&observed));
        assert_eq!(in_words(&plan), expected, "{spec} {pods:?}");
    }
}

#[test]
fn nothing_is_done_before_the_cache_shows_what_was() {
    let mut job = job(json!({"completions": 1, "parallelism": 1}), json!({}));
    let mut lagging = observed(&job, &[]);
    lagging.caught_up = false;
    assert_eq!(in_words(&plan(&lagging, &tally(&lagging))), "nothing");
    job.metadata.deletion_timestamp = Some(time(NOW));
    let going = observed(&job, &[]);
    assert_eq!(in_words(&plan(&going, &tally(&going))), "nothing");
}

#[test]
fn jobs_end_early() {
    let fail_job = json!({"rules": [
        {"action": "Ignore", "onPodConditions": [{"type": "Ready", "status": "True"}]},
        {"action": "FailJob", "onExitCodes": {"operator": "In", "values": [42]}},
    ]});
    let announced =
        json!({"conditions": [{"type": "FailureTarget", "status": "True", "reason": "Because", "message": "so"}]});
    type Pods = &'static [&'static str];
    type Why = (&'static str, &'static str);
    let cases: Vec<(Value, Value, Pods, Option<Why>)> = vec![
        (json!({"backoffLimit": 1}), json!({"failed": 1}), &["a Running"], None),
        (
            json!({"backoffLimit": 1}),
            json!({"failed": 1}),
            &["a Running", "b Failed"],
            Some(("BackoffLimitExceeded", "Job has reached the specified backoff limit")),
        ),
        (
            json!({"backoffLimit": 1}),
            json!({"failed": 1, "uncountedTerminatedPods": {"failed": ["b"]}}),
            &["a Running", "b Failed"],
            Some(("BackoffLimitExceeded", "Job has reached the specified backoff limit")),
        ),
        (
            json!({"backoffLimit": 0}),
            json!({}),
            &["a Running deleted"],
            Some(("BackoffLimitExceeded", "Job has reached the specified backoff limit")),
        ),
        (json!({"backoffLimit": 0, "podReplacementPolicy": "Failed"}), json!({}), &["a Running deleted"], None),
        (
            json!({"backoffLimit": 2, "template": {"spec": {"containers": [], "restartPolicy": "OnFailure"}}}),
            json!({}),
            &["a Running restarts=2"],
            Some(("BackoffLimitExceeded", "Job has reached the specified backoff limit")),
        ),
        (
            json!({"backoffLimit": 0, "template": {"spec": {"containers": [], "restartPolicy": "OnFailure"}}}),
            json!({}),
            &["a Running restarts=0"],
            None,
        ),
        (
            json!({"activeDeadlineSeconds": 5}),
            json!({"startTime": time(NOW - 5)}),
            &["a Running"],
            Some(("DeadlineExceeded", "Job was active longer than specified deadline")),
        ),
        (json!({"activeDeadlineSeconds": 5, "suspend": true}), json!({"startTime": time(NOW - 5)}), &[], None),
        (
            json!({"podFailurePolicy": fail_job}),
            json!({}),
            &["a Failed exit=42"],
            Some((
                "PodFailurePolicy",
                "Container c for pod ns/a failed with exit code 42 matching FailJob rule at index 1",
            )),
        ),
        (json!({"podFailurePolicy": fail_job, "backoffLimit": 0}), json!({}), &["a Failed ready exit=42"], None),
        (json!({}), announced, &["a Running"], Some(("Because", "so"))),
        (
            indexed(4, json!({"backoffLimitPerIndex": 0, "maxFailedIndexes": 1})),
            json!({"failedIndexes": "3"}),
            &["a Failed index=0"],
            Some(("MaxFailedIndexesExceeded", "Job has exceeded the specified maximal number of failed indexes")),
        ),
        (
            indexed(3, json!({"backoffLimitPerIndex": 0})),
            json!({"completedIndexes": "0"}),
            &["a Failed index=1", "b Succeeded index=2"],
            Some(("FailedIndexes", "Job has failed indexes")),
        ),
        (indexed(3, json!({"backoffLimitPerIndex": 0})), json!({"completedIndexes": "0"}), &["a Failed index=1"], None),
        (
            indexed(3, json!({"successPolicy": {"rules": [{"succeededCount": 2}, {"succeededIndexes": "2"}]}})),
            json!({}),
            &["a Running index=0", "b Succeeded index=2"],
            Some(("SuccessPolicy", "Matched rules at index 1")),
        ),
    ];
    for (spec, status, pods, expected) in cases {
        let job = job(spec.clone(), status.clone());
        let observed = observed(&job, pods);
        let plan = plan(&observed, &tally(&observed));
        let verdict = plan.verdict.as_ref().map(|verdict| (verdict.reason.as_str(), verdict.message.as_str()));
        assert_eq!(verdict, expected, "{spec} {status} {pods:?}");
        assert_eq!(matches!(plan.action, Action::End(_)), expected.is_some());
    }
}

/// A whole pass in which everything succeeds: what is written first, which pods are let go, what is written last.
fn pass(job: &Job, pods: &[&str]) -> (Conclusion, JobStatus, Finished) {
    let observed = observed(job, pods);
    let tally = tally(&observed);
    let plan = plan(&observed, &tally);
    let done = all_done(&plan.action, &tally);
    let conclusion = conclude(&observed, &tally, plan, done);
    let released = conclusion.release.iter().map(|pod| pod.uid().to_owned()).collect();
    let (status, finished) = conclusion.settle(&released, &observed);
    (conclusion, status, finished)
}

fn names(pods: &[Arc<Pod>]) -> Vec<&str> {
    pods.iter().map(|pod| pod.uid()).collect()
}

/// The conditions that are true.
fn conditions(status: &JobStatus) -> Vec<&str> {
    let conditions = status.conditions.iter().flatten().filter(|condition| condition.status == "True");
    conditions.map(|condition| condition.type_.as_str()).collect()
}

#[test]
fn pods_are_noted_let_go_and_counted() {
    let job = job(json!({"completions": 3, "parallelism": 3}), json!({}));
    let (first, last, finished) =
        pass(&job, &["a Succeeded", "b Failed ended=1", "c Running ready", "d Succeeded free"]);
    let status = serde_json::to_value(&first.status).unwrap();
    assert_eq!(status["uncountedTerminatedPods"], json!({"succeeded": ["a"], "failed": ["b"]}));
    assert_eq!((&status["active"], &status["ready"], &status["terminating"]), (&json!(2), &json!(1), &json!(0)));
    assert_eq!(status.get("succeeded"), None);
    assert_eq!(names(&first.release), ["a", "b"]);
    let status = serde_json::to_value(&last).unwrap();
    assert_eq!(status["uncountedTerminatedPods"], json!({}));
    assert_eq!((&status["succeeded"], &status["failed"]), (&json!(1), &json!(1)));
    assert_eq!(finished, Finished::No);
}

#[test]
fn what_was_interrupted_goes_on() {
    // The controller died after it had noted both, and after `b` was let go.
    let noted = json!({"succeeded": 5, "uncountedTerminatedPods": {"succeeded": ["a", "b"]}});
    let job = job(json!({"completions": 9, "parallelism": 1}), noted);
    let (first, last, _) = pass(&job, &["a Succeeded", "b Succeeded free"]);
    assert_eq!(first.status.succeeded, Some(6));
    assert_eq!(first.status.uncounted_terminated_pods.unwrap().succeeded, Some(vec!["a".to_owned()]));
    assert_eq!(last.succeeded, Some(7));
    assert_eq!(names(&first.release), ["a"]);

    // A cache that still shows the finalizer does not count again.
    let job = self::job(json!({"completions": 9, "parallelism": 1}), json!({"succeeded": 7}));
    let mut observed = observed(&job, &["a Succeeded"]);
    observed.released.insert("a".to_owned());
    let tally = tally(&observed);
    assert_eq!(tally.succeeded, 7);
    let plan = plan(&observed, &tally);
    assert!(conclude(&observed, &tally, plan, Done::default()).release.is_empty());
}

#[test]
fn no_more_is_noted_than_a_status_can_hold() {
    let pods: Vec<String> = (0..600).map(|number| format!("p{number} Succeeded")).collect();
    let pods: Vec<&str> = pods.iter().map(String::as_str).collect();
    let job = job(json!({"completions": 600, "parallelism": 600}), json!({}));
    let (first, last, finished) = pass(&job, &pods);
    assert_eq!((first.release.len(), last.succeeded, finished), (500, Some(500), Finished::No));
}

#[test]
fn a_job_completes_and_fails() {
    let job = job(json!({"completions": 1, "parallelism": 1}), json!({"startTime": time(1)}));
    let (first, last, finished) = pass(&job, &["a Succeeded"]);
    assert_eq!(conditions(&first.status), ["SuccessCriteriaMet"]);
    assert_eq!((conditions(&last), finished), (vec!["SuccessCriteriaMet", "Complete"], Finished::Yes));
    assert_eq!(last.completion_time, Some(time(NOW)));
    let complete = last.conditions.as_ref().unwrap()[1].clone();
    assert_eq!(complete.reason.as_deref(), Some("CompletionsReached"));
    assert_eq!(complete.message.as_deref(), Some("Reached expected number of succeeded pods"));

    // Pods that run are deleted, are counted as failed, and are waited for.
    let job = self::job(json!({"completions": 2, "parallelism": 2, "backoffLimit": 0}), json!({}));
    let (first, last, finished) = pass(&job, &["a Failed", "b Running ready"]);
    assert_eq!(conditions(&first.status), ["FailureTarget"]);
    assert_eq!((first.status.active, first.status.ready, first.status.terminating), (None, Some(0), Some(1)));
    assert_eq!((last.failed, finished), (Some(2), Finished::No));
    let mut gone = job.clone();
    gone.status = Some(last);
    let (_, last, finished) = pass(&gone, &[]);
    assert_eq!((conditions(&last), finished), (vec!["FailureTarget", "Failed"], Finished::Yes));
    assert_eq!((last.failed, last.completion_time), (Some(2), None));

    // A job that is met with success counts nobody as failed.
    let policy = json!({"successPolicy": {"rules": [{"succeededCount": 1}]}});
    let job = self::job(indexed(2, policy), json!({}));
    let (first, last, finished) = pass(&job, &["a Succeeded index=1", "b Running index=0"]);
    assert_eq!(names(&first.release), ["b", "a"]);
    assert_eq!((last.failed, last.completed_indexes.as_deref(), finished), (None, Some("1"), Finished::No));
}

#[test]
fn a_suspended_job_has_no_start_and_a_resumed_one_a_new_one() {
    let started = json!({"startTime": time(5)});
    let job = job(json!({"completions": 2, "parallelism": 2, "suspend": true}), started);
    let (first, last, _) = pass(&job, &["a Running ready"]);
    assert_eq!((first.turn, conditions(&last)), (Some(Turn::Suspended), vec!["Suspended"]));
    assert_eq!((last.start_time.clone(), last.active, last.failed), (None, None, None));
    let mut resumed = job.clone();
    resumed.status = Some(last);
    resumed.spec.as_mut().unwrap().suspend = Some(false);
    let (first, last, _) = pass(&resumed, &[]);
    assert_eq!((first.turn, conditions(&last)), (Some(Turn::Resumed), vec![]));
    assert_eq!((last.start_time, last.active), (Some(time(NOW)), Some(2)));
    let (first, ..) = pass(&self::job(json!({"completions": 1, "parallelism": 1}), json!({})), &[]);
    assert_eq!((first.turn, first.status.conditions), (None, None));
}

#[test]
fn indexes_are_written_down() {
    let job = job(
        indexed(5, json!({"backoffLimitPerIndex": 0, "backoffLimit": i32::MAX})),
        json!({"completedIndexes": "0", "succeeded": 1, "failedIndexes": ""}),
    );
    let pods =
        ["a Succeeded index=1", "b Succeeded index=1", "c Succeeded index=7", "d Failed index=3", "e Running index=2"];
    let (first, last, _) = pass(&job, &pods);
    assert_eq!((last.completed_indexes.as_deref(), last.succeeded), (Some("0,1"), Some(2)));
    assert_eq!((last.failed_indexes.as_deref(), last.failed), (Some("3"), Some(1)));
    assert_eq!(names(&first.release), ["a", "b", "d", "c"]);

    // A failed pod stays until there is another for its index, which knows how often the index has failed.
    let job = self::job(indexed(2, json!({"backoffLimitPerIndex": 3, "backoffLimit": i32::MAX})), json!({}));
    let (first, ..) = pass(&job, &["a Failed index=0 ended=9000"]);
    assert!(first.release.is_empty());
    let (first, last, _) =
        pass(&job, &["a Failed index=0 ended=9000", "b Pending index=0 failures=1", "c Running index=1"]);
    assert_eq!((names(&first.release), last.failed), (vec!["a"], Some(1)));
}
