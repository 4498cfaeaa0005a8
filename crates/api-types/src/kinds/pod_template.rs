//! `v1.PodTemplate`.

use serde_json::Value;

use crate::{
    core::PodTemplate,
    field::{FieldError, Path},
    object::{Column, Kind},
    pod_spec::{defaults, validate::validate_template, warnings},
    table,
};

impl Kind for PodTemplate {
    const COLUMNS: &'static [Column] = &[
        Column::NAME,
        Column::text("Containers", "Names of each container in the template."),
        Column::text("Images", "Images referenced by each container in the template."),
        Column::text("Pod Labels", "The labels for the pod template."),
    ];

    fn set_defaults(&mut self) {
        defaults::set_defaults(self.template.get_or_insert_default().spec.get_or_insert_default());
    }

    fn validate(&self) -> Vec<FieldError> {
        validate_template(&Path::new("template"), &self.template.clone().unwrap_or_default())
    }

    fn warnings(&self, _old: Option<&Self>) -> Vec<String> {
        warnings::of_template(&Path::new("template"), self.template.as_ref())
    }

    fn cells(&self) -> Vec<Value> {
        let (containers, images) = table::containers_and_images(self.template.as_ref());
        let labels = self.template.as_ref().and_then(|template| template.metadata.as_ref()?.labels.as_ref());
        vec![self.metadata.name.clone().into(), containers.into(), images.into(), table::labels(labels).into()]
    }
}
