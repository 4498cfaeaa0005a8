//! Merge keys: `batch/v1`.

use super::{BATCH, METADATA, Type, field, list, meta::LABEL_SELECTOR, pod::POD_TEMPLATE_SPEC, set};

pub(super) static CRON_JOB: Type =
    Type::new(BATCH, "CronJob", &[METADATA, field("spec").of(&CRON_JOB_SPEC).present(), field("status").present()]);

pub(super) static CRON_JOB_SPEC: Type =
    Type::new(BATCH, "CronJobSpec", &[field("jobTemplate").of(&JOB_TEMPLATE_SPEC).present()]);

pub(super) static JOB: Type = Type::new(
    BATCH,
    "Job",
    &[METADATA, field("spec").of(&JOB_SPEC).present(), field("status").of(&JOB_STATUS).present()],
);

pub(super) static JOB_SPEC: Type = Type::new(
    BATCH,
    "JobSpec",
    &[field("selector").of(&LABEL_SELECTOR), field("template").of(&POD_TEMPLATE_SPEC).present()],
);

pub(super) static JOB_STATUS: Type = Type::new(
    BATCH,
    "JobStatus",
    &[list("conditions").merge("type"), field("uncountedTerminatedPods").of(&UNCOUNTED_TERMINATED_PODS)],
);

pub(super) static JOB_TEMPLATE_SPEC: Type =
    Type::new(BATCH, "JobTemplateSpec", &[METADATA, field("spec").of(&JOB_SPEC).present()]);

pub(super) static UNCOUNTED_TERMINATED_PODS: Type =
    Type::new(BATCH, "UncountedTerminatedPods", &[set("failed"), set("succeeded")]);
