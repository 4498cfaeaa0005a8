//! Decisions about cron jobs, as a table.

use std::{collections::BTreeSet, sync::Arc};

use api_types::{
    batch::{CronJob, Job},
    jiff::{Timestamp, tz::TimeZone},
};
use serde_json::{Value, json};

use super::plan::{Observed, Plan, plan};

const NOW: &str = "2026-05-19T10:00:10Z";

fn cron_job(spec: Value, status: Value) -> CronJob {
    let mut whole = json!({
        "schedule": "0 * * * *", "jobTemplate": {}, "successfulJobsHistoryLimit": 1, "failedJobsHistoryLimit": 0,
    });
    for (name, value) in spec.as_object().unwrap() {
        whole[name] = value.clone();
    }
    let metadata = json!({"name": "tick", "namespace": "ns", "uid": "c", "creationTimestamp": "2026-05-19T09:30:00Z"});
    serde_json::from_value(json!({"metadata": metadata, "spec": whole, "status": status})).unwrap()
}

fn job(name: &str, condition: Option<&str>, minute: u32) -> Arc<Job> {
    let time = format!("2026-05-19T09:{minute:02}:00Z");
    let conditions: Vec<Value> = condition.iter().map(|kind| json!({"type": kind, "status": "True"})).collect();
    let completion = (condition == Some("Complete")).then_some(&time);
    let status = json!({"conditions": conditions, "startTime": time, "completionTime": completion});
    let job = json!({"metadata": {"name": name, "uid": name}, "status": status});
    Arc::new(serde_json::from_value(job).unwrap())
}

fn active(names: &[&str]) -> Value {
    let reference = |name: &&str| json!({"kind": "Job", "name": name, "uid": name});
    json!({"active": names.iter().map(reference).collect::<Vec<_>>(), "lastScheduleTime": "2026-05-19T09:00:00Z"})
}

fn decide(cron_job: &CronJob, jobs: &[Arc<Job>], gone: &[&str]) -> Plan {
    let gone: BTreeSet<String> = gone.iter().map(|uid| (*uid).to_owned()).collect();
    let observed =
        Observed { cron_job, jobs, gone: &gone, local: &TimeZone::UTC, now: NOW.parse::<Timestamp>().unwrap() };
    plan(&observed)
}

/// The job that starts, those that it replaces, and the events.
fn in_words(plan: &Plan) -> String {
    let start = plan.start.as_ref().map(|start| {
        let replaced: Vec<String> = start.replaces.iter().map(|job| job.name.clone().unwrap()).collect();
        format!("{} for [{}]", start.job.metadata.name.as_ref().unwrap(), replaced.join(" "))
    });
    let reasons: Vec<&str> = plan.tales.iter().map(|tale| tale.reason).collect();
    format!("{} {}", start.unwrap_or_else(|| "nothing".to_owned()), reasons.join(" ")).trim().to_owned()
}

#[test]
fn jobs_are_started() {
    const TEN: &str = "tick-29653080";
    let running = || vec![job("old", None, 0)];
    let cases: Vec<(Value, Value, Vec<Arc<Job>>, String)> = vec![
        (json!({}), json!({}), vec![], format!("{TEN} for []")),
        (json!({"suspend": true}), json!({}), vec![], "nothing".to_owned()),
        (json!({"schedule": "30 * * * *"}), json!({}), vec![], "nothing".to_owned()),
        (json!({"startingDeadlineSeconds": 11}), json!({}), vec![], format!("{TEN} for []")),
        (json!({"startingDeadlineSeconds": 10}), json!({}), vec![], "nothing".to_owned()),
        (json!({}), json!({"lastScheduleTime": "2026-05-19T10:00:00Z"}), vec![], "nothing".to_owned()),
        (json!({}), active(&[TEN]), vec![job(TEN, None, 0)], "nothing".to_owned()),
        (json!({}), active(&["old"]), running(), format!("{TEN} for []")),
        (json!({"concurrencyPolicy": "Forbid"}), active(&["old"]), running(), "nothing JobAlreadyActive".to_owned()),
        (json!({"concurrencyPolicy": "Replace"}), active(&["old"]), running(), format!("{TEN} for [old]")),
        (json!({}), json!({}), running(), format!("{TEN} for [] UnexpectedJob")),
        (
            json!({"concurrencyPolicy": "Forbid"}),
            active(&["old"]),
            vec![job("old", Some("Failed"), 0)],
            format!("{TEN} for [] SawCompletedJob"),
        ),
        (
            json!({}),
            json!({"lastScheduleTime": "2026-05-01T10:00:00Z"}),
            vec![],
            format!("{TEN} for [] TooManyMissedTimes"),
        ),
        (json!({"timeZone": "No/Where"}), json!({}), vec![], "nothing UnknownTimeZone".to_owned()),
        (json!({"schedule": "x"}), json!({}), vec![], "nothing UnparseableSchedule".to_owned()),
        (json!({"schedule": "59 23 31 2 *"}), json!({}), vec![], "nothing InvalidSchedule".to_owned()),
        (json!({"schedule": "TZ=UTC 0 * * * *"}), json!({}), vec![], format!("{TEN} for [] UnsupportedSchedule")),
    ];
    for (spec, status, jobs, expected) in cases {
        let plan = decide(&cron_job(spec.clone(), status.clone()), &jobs, &[]);
        assert_eq!(in_words(&plan), expected, "{spec} {status}");
    }
    let mut going = cron_job(json!({}), active(&["old"]));
    going.metadata.deletion_timestamp = Some(api_types::meta::Time(NOW.parse().unwrap()));
    assert_eq!(in_words(&decide(&going, &[], &["old"])), "nothing MissingJob");
}

#[test]
fn what_ended_is_written_down_and_forgotten() {
    let jobs = [
        job("a", Some("Complete"), 1),
        job("b", Some("Complete"), 5),
        job("c", Some("Failed"), 3),
        job("d", None, 6),
        job("e", Some("Complete"), 2),
    ];
    let cron_job = cron_job(json!({"suspend": true}), active(&["b", "d", "gone"]));
    let plan = decide(&cron_job, &jobs, &["gone"]);
    let status = serde_json::to_value(&plan.status).unwrap();
    assert_eq!(status["lastSuccessfulTime"], "2026-05-19T09:05:00Z");
    assert_eq!(status["active"], json!([{"kind": "Job", "name": "d", "uid": "d"}]));
    let messages: Vec<&str> = plan.tales.iter().map(|tale| tale.message.as_str()).collect();
    assert_eq!(messages, ["Saw completed job: b, status: Complete", "Active job went missing: gone"]);
    let names: Vec<&str> = plan.superfluous.iter().map(|job| job.metadata.name.as_deref().unwrap()).collect();
    assert_eq!(names, ["a", "e", "c"]);
    assert_eq!(super::plan::unseen(cron_job.status.as_ref(), &jobs).len(), 1);
}
