//! Jobs and cron jobs.

use api_types::{
    JOB_POD_LABELS, JOB_SELECTED_BY,
    batch::{CronJob, Job},
};

use crate::registry::{TypedStrategy, shape::Counted, strategy::Dependents};

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
}
