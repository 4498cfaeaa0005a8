//! Jobs and cron jobs.

use api_types::{
    JOB_POD_LABELS, JOB_SELECTED_BY,
    batch::{CronJob, Job},
    validation::names::dns1123_label,
};

use crate::registry::{TypedStrategy, shape::Counted, strategy::Dependents};

/// Beyond these two a job's indexes may become too long to be written down.
const MANY_COMPLETIONS: i32 = 100_000;
const MUCH_PARALLELISM: i32 = 10_000;

pub(super) struct Jobs;

impl TypedStrategy for Jobs {
    type Kind = Job;
    type Shape = Counted;
    /// As it was before there was a garbage collector.
    const DEPENDENTS: Dependents = Dependents::Orphaned;
    const DELETE_WARNING: Option<&'static str> = Some(
        "child pods are preserved by default when jobs are deleted; set propagationPolicy=Background to remove them or set propagationPolicy=Orphan to suppress this warning",
    );

    fn prepare_for_create(&self, new: &mut Job) {
        let manual = new.spec.as_ref().is_some_and(|spec| spec.manual_selector == Some(true));
        if !manual {
            generate_selector(new);
        }
    }

    fn warnings(&self, job: &Job) -> Vec<String> {
        let mut warnings = host_name_warnings(job.metadata.name.as_deref());
        let spec = job.spec.as_ref();
        let many = spec.and_then(|spec| spec.completions).is_some_and(|own| own > MANY_COMPLETIONS);
        if many && spec.and_then(|spec| spec.parallelism).is_some_and(|own| own > MUCH_PARALLELISM) {
            warnings.push("In Indexed Jobs with a number of completions higher than 10^5 and a parallelism higher than 10^4, Kubernetes might not be able to track completedIndexes when a big number of indexes fail".to_owned());
        }
        warnings
    }
}

/// Labels a job's pods as its own, and selects them by that. What the client has said stays; validation compares it.
fn generate_selector(job: &mut Job) {
    let labels = JOB_POD_LABELS.map(|(key, identity)| (key, identity.of(job).to_owned()));
    let Some(spec) = &mut job.spec else { return };
    let selected = spec.selector.get_or_insert_default().match_labels.get_or_insert_default();
    let own = spec.template.metadata.get_or_insert_default().labels.get_or_insert_default();
    for (key, value) in labels {
        if key == JOB_SELECTED_BY {
            selected.entry(key.to_owned()).or_insert_with(|| value.clone());
        }
        own.entry(key.to_owned()).or_insert(value);
    }
}

pub(super) struct CronJobs;

impl TypedStrategy for CronJobs {
    type Kind = CronJob;
    type Shape = Counted;

    fn warnings(&self, job: &CronJob) -> Vec<String> {
        host_name_warnings(job.metadata.name.as_deref())
    }
}

/// A name that pods get should be good for their host names.
fn host_name_warnings(name: Option<&str>) -> Vec<String> {
    let wrong = dns1123_label(name.unwrap_or_default());
    if wrong.is_empty() {
        return Vec::new();
    }
    let why = wrong.join(" ");
    vec![format!(
        "metadata.name: this is used in Pod names and hostnames, which can result in surprising behavior; a DNS label is recommended: [{why}]"
    )]
}
