//! `v1.ReplicationController`.

use serde_json::Value;

use super::replicated::{self, Counts};
use crate::{
    core::{ReplicationController, ReplicationControllerSpec},
    field::{FieldError, Path},
    object::{Column, Kind, SelectableField},
    pod_spec::{defaults, warnings},
    selector::label::Selector,
    table,
    validation::{meta, template},
};

impl Kind for ReplicationController {
    const COLUMNS: &'static [Column] = &replicated::columns([
        "Replicas is the number of desired replicas. This is a pointer to distinguish between explicit zero and unspecified. Defaults to 1. More info: https://kubernetes.io/docs/concepts/workloads/controllers/replicationcontroller#what-is-a-replicationcontroller",
        "Replicas is the most recently observed number of replicas. More info: https://kubernetes.io/docs/concepts/workloads/controllers/replicationcontroller#what-is-a-replicationcontroller",
        "The number of ready replicas for this replication controller.",
        "Selector is a label query over pods that should match the Replicas count. If Selector is empty, it is defaulted to the labels present on the Pod template. Label keys and values that must match in order to be controlled by this replication controller, if empty defaulted to labels on Pod template. More info: https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#label-selectors",
    ]);

    const SELECTABLE: &'static [SelectableField] = replicated::SELECTABLE;

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
        self.status.as_ref().map(|status| Counts::from(status).validate()).unwrap_or_default()
    }

    fn warnings(&self, old: Option<&Self>) -> Vec<String> {
        if old.is_some_and(|old| old.metadata.generation == self.metadata.generation) {
            return Vec::new();
        }
        let name = if old.is_none() { warnings::of_host_name(self.metadata.name.as_deref()) } else { Vec::new() };
        let template = self.spec.as_ref().map(|spec| {
            let path = Path::new("spec").child("template");
            warnings::of_template(&path, spec.template.as_ref())
        });
        name.into_iter().chain(template.into_iter().flatten()).collect()
    }

    fn cells(&self) -> Vec<Value> {
        let spec = self.spec.as_ref();
        let counts = self.status.as_ref().map(Counts::from).unwrap_or_default();
        let template = spec.and_then(|spec| spec.template.as_ref());
        let selector = table::labels(spec.and_then(|spec| spec.selector.as_ref()));
        replicated::cells(&self.metadata, spec.and_then(|spec| spec.replicas), &counts, template, selector)
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
