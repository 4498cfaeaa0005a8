//! A cron job's jobs, as they are created.

use api_types::{
    batch::{CronJob, Job},
    jiff::{Timestamp, tz::TimeZone},
    meta::ObjectMeta,
};

use crate::ownership::controller_reference;

/// Annotation: the time that a job is for.
const SCHEDULED: &str = "batch.kubernetes.io/cronjob-scheduled-timestamp";

/// The name of the job for a time: there is one, whoever creates it.
pub(super) fn job_name(cron_job: &CronJob, at: Timestamp) -> String {
    format!("{}-{}", cron_job.metadata.name.as_deref().unwrap_or_default(), at.as_second().div_euclid(60))
}

/// The job for a time.
pub(super) fn job(cron_job: &CronJob, at: Timestamp) -> Job {
    let template = cron_job.spec.job_template.clone();
    let from = template.metadata.unwrap_or_default();
    let mut annotations = from.annotations.unwrap_or_default();
    annotations.insert(SCHEDULED.to_owned(), told(at, cron_job.spec.time_zone.as_deref()));
    let metadata = ObjectMeta {
        name: Some(job_name(cron_job, at)),
        namespace: cron_job.metadata.namespace.clone(),
        labels: from.labels,
        annotations: Some(annotations),
        owner_references: Some(vec![controller_reference(cron_job)]),
        ..ObjectMeta::default()
    };
    Job { metadata, spec: template.spec, status: None }
}

/// The time by the clocks of a zone, as RFC 3339 has it.
fn told(at: Timestamp, zone: Option<&str>) -> String {
    let zone = zone.and_then(|name| TimeZone::get(name).ok()).unwrap_or(TimeZone::UTC);
    let local = at.to_zoned(zone);
    let text = local.strftime("%Y-%m-%dT%H:%M:%S");
    if local.offset().is_zero() { format!("{text}Z") } else { format!("{text}{}", local.strftime("%:z")) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_job_tells_its_time() {
        let cron_job = |zone: Option<&str>| -> CronJob {
            serde_json::from_value(json!({
                "metadata": {"name": "tick", "namespace": "ns", "uid": "c"},
                "spec": {"schedule": "* * * * *", "timeZone": zone, "jobTemplate": {
                    "metadata": {"labels": {"a": "b"}, "annotations": {"c": "d"}, "name": "ignored"},
                    "spec": {"template": {}, "completions": 2},
                }},
            }))
            .unwrap()
        };
        let at: Timestamp = "2026-05-19T10:04:00Z".parse().unwrap();
        let job = serde_json::to_value(job(&cron_job(Some("Asia/Kolkata")), at)).unwrap();
        assert_eq!(job["metadata"]["name"], "tick-29653084");
        assert_eq!(job["metadata"]["labels"], json!({"a": "b"}));
        assert_eq!(job["metadata"]["annotations"], json!({"c": "d", SCHEDULED: "2026-05-19T15:34:00+05:30"}));
        assert_eq!(job["metadata"]["ownerReferences"][0]["uid"], "c");
        assert_eq!(job["spec"]["completions"], 2);
        for zone in [None, Some("UTC"), Some("Africa/Abidjan")] {
            let job = super::job(&cron_job(zone), at);
            assert_eq!(job.metadata.annotations.unwrap()[SCHEDULED], "2026-05-19T10:04:00Z");
        }
    }
}
