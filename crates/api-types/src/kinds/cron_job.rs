//! `batch/v1.CronJob`.

use serde_json::Value;

use super::job::{self, of_job};
use crate::{
    batch::{CronJob, CronJobSpec},
    cron,
    field::{FieldError, Path},
    jiff::tz,
    object::{Column, Kind},
    pod_spec::{
        defaults::{self, default_text},
        warnings,
    },
    table,
    validation::{names, number, template},
};

const CONCURRENCY: &[&str] = &["Allow", "Forbid", "Replace"];
/// A job's name is longer by the time at which it was made.
const NAME_MAX: usize = 52;
/// Upstream names the field so.
const ZONED: &str = "CRON_TZ or TZ used in spec.spec.schedule is not officially supported, see https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/ for more details";
const ZONE_PART_MAX: usize = 14;

impl Kind for CronJob {
    const COLUMNS: &'static [Column] = &[
        Column::NAME,
        Column::text("Schedule", "The schedule in Cron format, see https://en.wikipedia.org/wiki/Cron."),
        Column::text("Timezone", TIME_ZONE),
        Column::boolean("Suspend", SUSPEND),
        Column::integer("Active", "A list of pointers to currently running jobs."),
        Column::text("Last Schedule", "Information when was the last time the job was successfully scheduled."),
        Column::AGE,
        Column::text("Containers", "Names of each container in the template.").wide(),
        Column::text("Images", "Images referenced by each container in the template.").wide(),
        Column::text("Selector", SELECTOR).wide(),
    ];

    fn set_defaults(&mut self) {
        default_text(&mut self.spec.concurrency_policy, CONCURRENCY[0]);
        self.spec.suspend.get_or_insert(false);
        self.spec.successful_jobs_history_limit.get_or_insert(3);
        self.spec.failed_jobs_history_limit.get_or_insert(1);
        let job = self.spec.job_template.spec.get_or_insert_default();
        defaults::set_defaults(job.template.spec.get_or_insert_default());
    }

    fn validate(&self) -> Vec<FieldError> {
        let mut errors = validate_spec(&self.spec, None);
        let name = self.metadata.name.as_deref().unwrap_or_default();
        if name.len() > NAME_MAX {
            let detail = format!("must be no more than {NAME_MAX} characters");
            errors.push(FieldError::invalid(&Path::new("metadata").child("name"), name, detail));
        }
        errors
    }

    fn revalidate(&self, old: &Self) -> Vec<FieldError> {
        validate_spec(&self.spec, Some(&old.spec))
    }

    fn warnings(&self, old: Option<&Self>) -> Vec<String> {
        let name = if old.is_none() { warnings::of_host_name(self.metadata.name.as_deref()) } else { Vec::new() };
        let spec = &self.spec;
        let zoned = spec.schedule.contains("TZ").then(|| ZONED.to_owned());
        let path = Path::new("spec").child("jobTemplate").child("spec");
        let job = spec.job_template.spec.iter().flat_map(|spec| of_job(&path, spec));
        name.into_iter().chain(job).chain(zoned).collect()
    }

    fn cells(&self) -> Vec<Value> {
        let status = self.status.clone().unwrap_or_default();
        let job = self.spec.job_template.spec.as_ref();
        let (containers, images) = table::containers_and_images(job.map(|job| &job.template));
        let selector = job.and_then(|job| job.selector.as_ref());
        let suspended = if self.spec.suspend == Some(true) { "True" } else { "False" };
        let last = status.last_schedule_time.as_ref();
        vec![
            self.metadata.name.clone().into(),
            self.spec.schedule.clone().into(),
            self.spec.time_zone.clone().unwrap_or_else(|| table::NONE.to_owned()).into(),
            suspended.into(),
            status.active.map_or(0, |active| active.len()).into(),
            last.map_or_else(|| table::NONE.to_owned(), |last| table::age(Some(last))).into(),
            table::age(self.metadata.creation_timestamp.as_ref()).into(),
            containers.into(),
            images.into(),
            selector.map_or_else(|| table::NONE.to_owned(), table::selector).into(),
        ]
    }
}

fn validate_spec(spec: &CronJobSpec, old: Option<&CronJobSpec>) -> Vec<FieldError> {
    let path = Path::new("spec");
    let mut errors = schedule(&path.child("schedule"), spec, old);
    if let Some(seconds) = spec.starting_deadline_seconds {
        errors.extend(number::non_negative(&path.child("startingDeadlineSeconds"), seconds));
    }
    if old.is_none_or(|old| old.time_zone != spec.time_zone)
        && let Some(zone) = &spec.time_zone
    {
        errors.extend(time_zone(&path.child("timeZone"), zone));
    }
    let policy = spec.concurrency_policy.as_deref();
    errors.extend(names::one_of(&path.child("concurrencyPolicy"), policy, CONCURRENCY));
    errors.extend(job::validate_template_spec(&path.child("jobTemplate"), &spec.job_template));
    let limits = [
        ("successfulJobsHistoryLimit", spec.successful_jobs_history_limit),
        ("failedJobsHistoryLimit", spec.failed_jobs_history_limit),
    ];
    errors.extend(template::non_negative(&path, &limits));
    errors
}

/// A schedule with a time zone in it may stay, but is no longer taken.
fn schedule(path: &Path, spec: &CronJobSpec, old: Option<&CronJobSpec>) -> Vec<FieldError> {
    let own = spec.schedule.as_str();
    if own.is_empty() {
        return vec![FieldError::required(path, "")];
    }
    let mut errors = Vec::new();
    if let Err(why) = cron::parse(own) {
        errors.push(FieldError::invalid(path, own, why));
    }
    let tolerated = old.is_some_and(|old| old.schedule.contains("TZ"));
    if !own.contains("TZ") {
        return errors;
    }
    if !tolerated {
        let detail = "cannot use TZ or CRON_TZ in schedule, use timeZone field instead";
        errors.push(FieldError::invalid(path, own, detail));
    } else if spec.time_zone.is_some() {
        let detail = "cannot use both timeZone field and TZ or CRON_TZ in schedule";
        errors.push(FieldError::invalid(path, own, detail));
    }
    errors
}

/// A zone of the machine's database. Where that has none at all, any well-formed name is taken.
fn time_zone(path: &Path, zone: &str) -> Vec<FieldError> {
    if zone.is_empty() {
        return vec![FieldError::invalid(path, zone, "timeZone must be nil or non-empty string")];
    }
    let unknown = || FieldError::invalid(path, zone, format!("unknown time zone {zone}"));
    let good = |part: &str| {
        let bytes = |b: u8| b.is_ascii_alphanumeric() || b"._-+".contains(&b);
        !matches!(part, "." | "..")
            && !part.starts_with('-')
            && (1..=ZONE_PART_MAX).contains(&part.len())
            && part.bytes().all(bytes)
    };
    if !zone.split('/').all(good) {
        return vec![unknown()];
    }
    let mut errors = Vec::new();
    if zone.eq_ignore_ascii_case("Local") {
        let detail = "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones";
        errors.push(FieldError::invalid(path, zone, detail));
    }
    if !tz::db().is_definitively_empty() && tz::TimeZone::get(zone).is_err() {
        errors.push(unknown());
    }
    errors
}

const TIME_ZONE: &str = "The time zone name for the given schedule, see https://en.wikipedia.org/wiki/List_of_tz_database_time_zones. If not specified, this will default to the time zone of the kube-controller-manager process. The set of valid time zone names and the time zone offset is loaded from the system-wide time zone database by the API server during CronJob validation and the controller manager during execution. If no system-wide time zone database can be found a bundled version of the database is used instead. If the time zone name becomes invalid during the lifetime of a CronJob or due to a change in host configuration, the controller will stop creating new new Jobs and will create a system event with the reason UnknownTimeZone. More information can be found in https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/#time-zones";
const SUSPEND: &str = "This flag tells the controller to suspend subsequent executions, it does not apply to already started executions.  Defaults to false.";
const SELECTOR: &str = "A label query over pods that should match the pod count. Normally, the system sets this field for you. More info: https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#label-selectors";

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn cron_job(name: &str, mut spec: Value) -> CronJob {
        let own = spec.as_object_mut().unwrap();
        own.entry("schedule").or_insert("*/5 * * * *".into());
        own.entry("jobTemplate").or_insert(json!({"spec": {"template": {
            "spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]},
        }}}));
        let mut job: CronJob = serde_json::from_value(json!({"metadata": {"name": name}, "spec": spec})).unwrap();
        job.set_defaults();
        job
    }

    fn texts(errors: &[FieldError]) -> Vec<String> {
        errors.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn mistakes_are_told() {
        let cases = [
            (json!({}), vec![]),
            (json!({"timeZone": "UTC"}), vec![]),
            (
                json!({"schedule": "1 2"}),
                vec![r#"spec.schedule: Invalid value: "1 2": expected exactly 5 fields, found 2: [1 2]"#],
            ),
            (
                json!({"schedule": "TZ=UTC 0 * * * *"}),
                vec![
                    r#"spec.schedule: Invalid value: "TZ=UTC 0 * * * *": cannot use TZ or CRON_TZ in schedule, use timeZone field instead"#,
                ],
            ),
            (
                json!({"timeZone": "Europe/In valid"}),
                vec![r#"spec.timeZone: Invalid value: "Europe/In valid": unknown time zone Europe/In valid"#],
            ),
            (
                json!({"concurrencyPolicy": "x", "failedJobsHistoryLimit": -1}),
                vec![
                    r#"spec.concurrencyPolicy: Unsupported value: "x": supported values: "Allow", "Forbid", "Replace""#,
                    "spec.failedJobsHistoryLimit: Invalid value: -1: must be greater than or equal to 0",
                ],
            ),
        ];
        for (spec, expected) in cases {
            assert_eq!(texts(&cron_job("c", spec.clone()).validate()), expected, "{spec}");
        }
    }

    #[test]
    fn a_long_name_may_stay() {
        let job = cron_job(&"a".repeat(53), json!({}));
        assert_eq!(job.validate().len(), 1);
        assert!(job.revalidate(&job).is_empty());
    }
}
