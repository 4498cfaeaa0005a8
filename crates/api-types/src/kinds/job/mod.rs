//! `batch/v1.Job`.

mod indexes;
mod policies;
mod spec;
mod status;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde_json::Value;

pub(super) use self::spec::{is_indexed, validate_template_spec};
use crate::{
    batch::{Job, JobSpec},
    core::{Affinity, PodTemplateSpec},
    field::{FieldError, Path},
    meta::LabelSelector,
    object::{Column, Kind, SelectableField},
    pod_spec::{defaults, warnings},
    selector::label::Selector,
    table,
    validation::{meta::immutable, names},
};

/// Labels that tell a job's pods, and whether it is the job's UID or its name that they have. The first are of old.
pub const POD_LABELS: [(&str, Identity); 4] = [
    ("controller-uid", Identity::Uid),
    ("job-name", Identity::Name),
    ("batch.kubernetes.io/controller-uid", Identity::Uid),
    ("batch.kubernetes.io/job-name", Identity::Name),
];
/// The one that a job selects its pods by.
pub const SELECTED_BY: &str = "batch.kubernetes.io/controller-uid";

const BACKOFF_LIMIT: i32 = 6;

/// What of a job a label has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Identity {
    /// `metadata.uid`.
    Uid,
    /// `metadata.name`.
    Name,
}

impl Identity {
    /// It.
    #[must_use]
    pub fn of(self, job: &Job) -> &str {
        let own = match self {
            Self::Uid => &job.metadata.uid,
            Self::Name => &job.metadata.name,
        };
        own.as_deref().unwrap_or_default()
    }
}

impl Kind for Job {
    const COLUMNS: &'static [Column] = &[
        Column::NAME,
        Column::text("Status", "Status of the job."),
        Column::text("Completions", SUCCEEDED),
        Column::text("Duration", "Time required to complete the job."),
        Column::AGE,
        Column::text("Containers", "Names of each container in the template.").wide(),
        Column::text("Images", "Images referenced by each container in the template.").wide(),
        Column::text("Selector", SELECTOR).wide(),
    ];

    const SELECTABLE: &'static [SelectableField] =
        &[SelectableField::integer("status.successful").stored_at("status.succeeded")];

    fn set_defaults(&mut self) {
        let spec = self.spec.get_or_insert_default();
        set_spec_defaults(spec);
        let labels = spec.template.metadata.as_ref().and_then(|metadata| metadata.labels.as_ref());
        if self.metadata.labels.as_ref().is_none_or(|own| own.is_empty()) {
            self.metadata.labels = labels.cloned();
        }
    }

    fn validate(&self) -> Vec<FieldError> {
        let default = JobSpec::default();
        let spec = self.spec.as_ref().unwrap_or(&default);
        let mut errors = generated_selector(self, spec);
        errors.extend(whole_spec(&Path::new("spec"), spec));
        errors.extend(host_name(self, spec));
        errors
    }

    fn validate_update(&self, old: &Self) -> Vec<FieldError> {
        let (Some(new), Some(before)) = (&self.spec, &old.spec) else { return Vec::new() };
        let path = Path::new("spec");
        let mut errors: Vec<FieldError> = completions(&path.child("completions"), new, before).into_iter().collect();
        errors.extend(immutable(&path.child("selector"), &new.selector, &before.selector));
        let kept = if waits(old) { with_directives(&before.template, &new.template) } else { before.template.clone() };
        errors.extend(immutable(&path.child("template"), &new.template, &kept));
        errors.extend(immutable(&path.child("completionMode"), &new.completion_mode, &before.completion_mode));
        errors.extend(immutable(&path.child("podFailurePolicy"), &new.pod_failure_policy, &before.pod_failure_policy));
        let limits = (&new.backoff_limit_per_index, &before.backoff_limit_per_index);
        errors.extend(immutable(&path.child("backoffLimitPerIndex"), limits.0, limits.1));
        errors.extend(immutable(&path.child("managedBy"), &new.managed_by, &before.managed_by));
        errors.extend(immutable(&path.child("successPolicy"), &new.success_policy, &before.success_policy));
        errors
    }

    fn validate_status_update(&self, old: &Self) -> Vec<FieldError> {
        status::validate(&Path::new("status"), self, old)
    }

    fn warnings(&self, old: Option<&Self>) -> Vec<String> {
        if old.is_some_and(|old| old.metadata.generation == self.metadata.generation) {
            return Vec::new();
        }
        let name = if old.is_none() { warnings::of_host_name(self.metadata.name.as_deref()) } else { Vec::new() };
        let spec = self.spec.iter().flat_map(|spec| of_job(&Path::new("spec"), spec));
        name.into_iter().chain(spec).collect()
    }

    fn cells(&self) -> Vec<Value> {
        let spec = self.spec.clone().unwrap_or_default();
        let (containers, images) = table::containers_and_images(Some(&spec.template));
        vec![
            self.metadata.name.clone().into(),
            status::word(self).into(),
            status::progress(self).into(),
            status::duration(self).into(),
            table::age(self.metadata.creation_timestamp.as_ref()).into(),
            containers.into(),
            images.into(),
            spec.selector.map_or_else(|| table::NONE.to_owned(), |own| table::selector(&own)).into(),
        ]
    }
}

fn set_spec_defaults(spec: &mut JobSpec) {
    if spec.completions.is_none() && spec.parallelism.is_none() {
        spec.completions = Some(1);
    }
    spec.parallelism.get_or_insert(1);
    let limit = if spec.backoff_limit_per_index.is_some() { i32::MAX } else { BACKOFF_LIMIT };
    spec.backoff_limit.get_or_insert(limit);
    spec.completion_mode.get_or_insert_with(|| "NonIndexed".to_owned());
    spec.suspend.get_or_insert(false);
    spec.manual_selector.get_or_insert(false);
    let rules = spec.pod_failure_policy.iter_mut().flat_map(|policy| &mut policy.rules);
    for pattern in rules.flat_map(|rule| rule.on_pod_conditions.iter_mut().flatten()) {
        defaults::default_text(&mut pattern.status, "True");
    }
    let replacement = if spec.pod_failure_policy.is_some() { "Failed" } else { "TerminatingOrFailed" };
    spec.pod_replacement_policy.get_or_insert_with(|| replacement.to_owned());
    defaults::set_defaults(spec.template.spec.get_or_insert_default());
}

/// A selector that was made for the job selects the pods that are labelled for it.
fn generated_selector(job: &Job, spec: &JobSpec) -> Vec<FieldError> {
    let Some(selector) = spec.selector.as_ref().filter(|_| spec.manual_selector != Some(true)) else {
        return Vec::new();
    };
    let mut errors = Vec::new();
    if job.metadata.uid.as_ref().is_none_or(String::is_empty) {
        errors.push(FieldError::required(&Path::new("metadata").child("uid"), ""));
    }
    let path = Path::new("spec").child("template").child("metadata").child("labels");
    let labels = spec.template.metadata.as_ref().and_then(|metadata| metadata.labels.clone()).unwrap_or_default();
    for (key, identity) in POD_LABELS {
        let (path, expected) = (path.key(key), identity.of(job));
        let detail = format!("must be '{expected}'");
        match labels.get(key) {
            None => errors.push(FieldError::required(&path, detail)),
            Some(own) if own != expected => {
                let value = serde_json::to_value(&labels).unwrap_or_default();
                errors.push(FieldError::invalid(&path, value, detail));
            }
            Some(_) => {}
        }
    }
    let expected: BTreeMap<String, String> =
        POD_LABELS.iter().map(|(key, identity)| ((*key).to_owned(), identity.of(job).to_owned())).collect();
    if Selector::from_label_selector(Some(selector)).is_ok_and(|own| !own.matches(&expected)) {
        let value = serde_json::to_value(selector).unwrap_or_default();
        errors.push(FieldError::invalid(&Path::new("spec").child("selector"), value, "`selector` not auto-generated"));
    }
    errors
}

fn whole_spec(path: &Path, spec: &JobSpec) -> Vec<FieldError> {
    let mut errors = spec::validate(path, spec);
    match &spec.selector {
        None => errors.push(FieldError::required(&path.child("selector"), "")),
        Some(own) => errors.extend(crate::validation::selector::validate(&path.child("selector"), own)),
    }
    let none = LabelSelector::default();
    let selector = match &spec.selector {
        None => Ok(Selector::nothing()),
        Some(own) => Selector::from_label_selector(Some(own)).map_err(|_| none),
    };
    if let Ok(selector) = selector {
        errors.extend(crate::validation::template::selected(&path.child("template"), &spec.template, &selector));
    }
    errors
}

/// Pods of an indexed job have their index in their host name.
fn host_name(job: &Job, spec: &JobSpec) -> Option<FieldError> {
    let last = spec.completions.filter(|count| is_indexed(spec) && *count > 0)? - 1;
    let name = job.metadata.name.as_deref().unwrap_or_default();
    let host = format!("{name}-{last}");
    let detail = format!("will not able to create pod with invalid DNS label: {host}");
    let wrong = !names::dns1123_label(&host).is_empty();
    wrong.then(|| FieldError::invalid(&Path::new("metadata").child("name"), name, detail))
}

/// An indexed job may get more completions or fewer, together with its parallelism.
fn completions(path: &Path, new: &JobSpec, old: &JobSpec) -> Option<FieldError> {
    if !is_indexed(new) {
        return immutable(path, &new.completions, &old.completions);
    }
    let own = new.completions.filter(|own| Some(*own) != old.completions)?;
    let apart = Some(own) != new.parallelism;
    apart.then(|| FieldError::invalid(path, own, "can only be modified in tandem with spec.parallelism"))
}

/// Whether nothing of a job runs: it has not begun, or has been suspended to the end.
fn waits(job: &Job) -> bool {
    let suspended = job.spec.as_ref().is_some_and(|spec| spec.suspend == Some(true));
    let status = job.status.as_ref();
    let not_begun = status.is_none_or(|status| status.start_time.is_none());
    let at_rest =
        status.is_some_and(|status| status.active.unwrap_or_default() == 0) && self::status::is_true(job, "Suspended");
    suspended && (not_begun || at_rest)
}

/// The old template with what of the new one says where pods run.
fn with_directives(old: &PodTemplateSpec, new: &PodTemplateSpec) -> PodTemplateSpec {
    let mut kept = old.clone();
    let wanted = new.spec.clone().unwrap_or_default();
    if let Some(spec) = &mut kept.spec {
        let nodes = wanted.affinity.as_ref().and_then(|affinity| affinity.node_affinity.clone());
        let affinity = Affinity { node_affinity: nodes, ..spec.affinity.clone().unwrap_or_default() };
        let absent = wanted.affinity.is_none() && affinity == Affinity::default();
        let present = spec.affinity.is_some() || wanted.affinity.is_some();
        spec.affinity = (present && !absent).then_some(affinity);
        spec.node_selector = wanted.node_selector;
        spec.tolerations = wanted.tolerations;
        spec.scheduling_gates = wanted.scheduling_gates;
    }
    let metadata = new.metadata.clone().unwrap_or_default();
    if kept.metadata.is_some() || new.metadata.is_some() {
        let own = kept.metadata.get_or_insert_default();
        (own.labels, own.annotations) = (metadata.labels, metadata.annotations);
    }
    kept
}

const SUCCEEDED: &str = "The number of pods which reached phase Succeeded. The value increases monotonically for a given spec. However, it may decrease in reaction to scale down of elastic indexed jobs.";
const SELECTOR: &str = "A label query over pods that should match the pod count. Normally, the system sets this field for you. More info: https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#label-selectors";

/// Beyond these two a job's indexes may become too long to be written down.
const MANY_COMPLETIONS: i32 = 100_000;
const MUCH_PARALLELISM: i32 = 10_000;
const TOO_LONG: &str = "In Indexed Jobs with a number of completions higher than 10^5 and a parallelism higher than 10^4, Kubernetes might not be able to track completedIndexes when a big number of indexes fail";

/// The warnings about a job at this path.
pub(super) fn of_job(path: &Path, spec: &JobSpec) -> Vec<String> {
    let many = spec.completions.unwrap_or_default() > MANY_COMPLETIONS
        && spec.parallelism.unwrap_or_default() > MUCH_PARALLELISM;
    let indexed = spec.completion_mode.as_deref() == Some("Indexed");
    let long = (indexed && many).then(|| format!("{path}: {TOO_LONG}"));
    let template = warnings::of_template(&path.child("template"), Some(&spec.template));
    long.into_iter().chain(template).collect()
}
