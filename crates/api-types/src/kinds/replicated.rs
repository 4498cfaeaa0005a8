//! What replica sets and replication controllers have in common: how their pods are counted, and how that is shown.

use serde_json::Value;

use crate::{
    apps::ReplicaSetStatus,
    core::{PodTemplateSpec, ReplicationControllerStatus},
    field::{FieldError, Path},
    meta::ObjectMeta,
    object::{Column, SelectableField},
    table,
    validation::template,
};

/// The columns; what is wanted, there, ready and selected is described by each kind.
pub(super) const fn columns([wanted, there, ready, selected]: [&'static str; 4]) -> [Column; 8] {
    [
        Column::NAME,
        Column::integer("Desired", wanted),
        Column::integer("Current", there),
        Column::integer("Ready", ready),
        Column::AGE,
        Column::text("Containers", "Names of each container in the template.").wide(),
        Column::text("Images", "Images referenced by each container in the template.").wide(),
        Column::text("Selector", selected).wide(),
    ]
}

pub(super) const SELECTABLE: &[SelectableField] = &[SelectableField::integer("status.replicas")];

/// What a status counts.
#[derive(Default)]
pub(super) struct Counts {
    replicas: i32,
    labeled: Option<i32>,
    ready: Option<i32>,
    available: Option<i32>,
}

impl From<&ReplicaSetStatus> for Counts {
    fn from(status: &ReplicaSetStatus) -> Self {
        Self {
            replicas: status.replicas,
            labeled: status.fully_labeled_replicas,
            ready: status.ready_replicas,
            available: status.available_replicas,
        }
    }
}

impl From<&ReplicationControllerStatus> for Counts {
    fn from(status: &ReplicationControllerStatus) -> Self {
        Self {
            replicas: status.replicas,
            labeled: status.fully_labeled_replicas,
            ready: status.ready_replicas,
            available: status.available_replicas,
        }
    }
}

impl Counts {
    pub(super) fn validate(&self) -> Vec<FieldError> {
        let counts = [
            ("replicas", Some(self.replicas)),
            ("fullyLabeledReplicas", self.labeled),
            ("readyReplicas", self.ready),
            ("availableReplicas", self.available),
        ];
        let path = Path::new("status");
        let mut errors = template::non_negative(&path, &counts);
        errors.extend(template::not_above(&path, self.replicas, &counts[1..]));
        errors.extend(template::available_are_ready(&path, self.available, self.ready));
        errors
    }
}

/// The cells of [`COLUMNS`].
pub(super) fn cells(
    meta: &ObjectMeta,
    wanted: Option<i32>,
    counts: &Counts,
    template: Option<&PodTemplateSpec>,
    selector: String,
) -> Vec<Value> {
    let (containers, images) = table::containers_and_images(template);
    vec![
        meta.name.clone().into(),
        wanted.unwrap_or_default().into(),
        counts.replicas.into(),
        counts.ready.unwrap_or_default().into(),
        table::age(meta.creation_timestamp.as_ref()).into(),
        containers.into(),
        images.into(),
        selector.into(),
    ]
}
