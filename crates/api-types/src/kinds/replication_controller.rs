//! `v1.ReplicationController`.

use serde_json::Value;

use crate::{
    core::{ReplicationController, ReplicationControllerSpec},
    field::{FieldError, Path},
    object::{Column, Kind, SelectableField},
    pod_spec::defaults,
    selector::label::Selector,
    table,
    validation::{meta, template},
};

impl Kind for ReplicationController {
    const COLUMNS: &'static [Column] = &[
        Column::NAME,
        Column::integer("Desired", "How many pods are wanted."),
        Column::integer("Current", "How many pods there are."),
        Column::integer("Ready", "How many pods are ready."),
        Column::AGE,
        Column::text("Containers", "Names of each container in the template.").wide(),
        Column::text("Images", "Images referenced by each container in the template.").wide(),
        Column::text("Selector", "Labels of the pods that are counted.").wide(),
    ];

    const SELECTABLE: &'static [SelectableField] = &[SelectableField::integer("status.replicas")];

    fn set_defaults(&mut self) {
        let spec = self.spec.get_or_insert_default();
        spec.replicas.get_or_insert(1);
        let Some(template) = &mut spec.template else { return };
        defaults::set_defaults(template.spec.get_or_insert_default());
        let labels = template.metadata.as_ref().and_then(|metadata| metadata.labels.as_ref());
        if let Some(labels) = labels.filter(|labels| !labels.is_empty()) {
            for own in [&mut spec.selector, &mut self.metadata.labels] {
                if own.as_ref().is_none_or(|own| own.is_empty()) {
                    *own = Some(labels.clone());
                }
            }
        }
    }

    fn validate(&self) -> Vec<FieldError> {
        let default = ReplicationControllerSpec::default();
        let spec = self.spec.as_ref().unwrap_or(&default);
        let path = Path::new("spec");
        let counts = [("minReadySeconds", spec.min_ready_seconds), ("replicas", spec.replicas)];
        let mut errors = template::non_negative(&path, &counts);
        let selector = spec.selector.clone().unwrap_or_default();
        if selector.is_empty() {
            errors.push(FieldError::required(&path.child("selector"), ""));
        }
        errors.extend(meta::labels(&path.child("selector"), &selector));
        match &spec.template {
            None => errors.push(FieldError::required(&path.child("template"), "")),
            Some(own) => {
                errors.extend(template::validate(&path.child("template"), own, &Selector::from_labels(&selector)));
            }
        }
        errors
    }

    fn validate_status_update(&self, _old: &Self) -> Vec<FieldError> {
        let Some(status) = &self.status else { return Vec::new() };
        let counts = [
            ("replicas", Some(status.replicas)),
            ("fullyLabeledReplicas", status.fully_labeled_replicas),
            ("readyReplicas", status.ready_replicas),
            ("availableReplicas", status.available_replicas),
        ];
        template::non_negative(&Path::new("status"), &counts)
    }

    fn cells(&self) -> Vec<Value> {
        let spec = self.spec.as_ref();
        let status = self.status.as_ref();
        let (containers, images) = table::containers_and_images(spec.and_then(|spec| spec.template.as_ref()));
        vec![
            self.metadata.name.clone().into(),
            spec.and_then(|spec| spec.replicas).unwrap_or_default().into(),
            status.map_or(0, |status| status.replicas).into(),
            status.and_then(|status| status.ready_replicas).unwrap_or_default().into(),
            table::age(self.metadata.creation_timestamp.as_ref()).into(),
            containers.into(),
            images.into(),
            table::labels(spec.and_then(|spec| spec.selector.as_ref())).into(),
        ]
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn controller(spec: Value) -> ReplicationController {
        let mut controller: ReplicationController = serde_json::from_value(json!({"spec": spec})).unwrap();
        controller.set_defaults();
        controller
    }

    #[test]
    fn labels_come_from_the_template() {
        let template =
            json!({"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
        let controller = controller(json!({"template": template}));
        let value = serde_json::to_value(&controller).unwrap();
        assert_eq!(
            (&value["spec"]["selector"], &value["metadata"]["labels"]),
            (&json!({"a": "b"}), &json!({"a": "b"}))
        );
        assert_eq!(value["spec"]["replicas"], 1);
        assert_eq!(controller.validate(), []);
        assert_eq!(controller.cells()[5..], [json!("c"), json!("i"), json!("a=b")]);
    }

    #[test]
    fn mistakes_are_told() {
        let errors: Vec<String> =
            controller(json!({"replicas": -1})).validate().iter().map(ToString::to_string).collect();
        assert_eq!(
            errors,
            [
                "spec.replicas: Invalid value: -1: must be greater than or equal to 0",
                "spec.selector: Required value",
                "spec.template: Required value",
            ]
        );
    }
}
