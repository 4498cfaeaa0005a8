//! `apps/v1.ReplicaSet`.

use serde_json::Value;

use super::replicated::{self, Counts};
use crate::{
    apps::{ReplicaSet, ReplicaSetSpec},
    core::PodTemplateSpec,
    field::{FieldError, Path},
    object::{Column, Kind, SelectableField},
    pod_spec::{defaults, warnings},
    table,
    validation::{meta::immutable, template},
};

impl Kind for ReplicaSet {
    const COLUMNS: &'static [Column] = &replicated::columns([
        "Replicas is the number of desired pods. This is a pointer to distinguish between explicit zero and unspecified. Defaults to 1. More info: https://kubernetes.io/docs/concepts/workloads/controllers/replicaset",
        "Replicas is the most recently observed number of non-terminating pods. More info: https://kubernetes.io/docs/concepts/workloads/controllers/replicaset",
        "The number of non-terminating pods targeted by this ReplicaSet with a Ready Condition.",
        "Selector is a label query over pods that should match the replica count. Label keys and values that must match in order to be controlled by this replica set. It must match the pod template's labels. More info: https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#label-selectors",
    ]);

    const SELECTABLE: &'static [SelectableField] = replicated::SELECTABLE;

    fn set_defaults(&mut self) {
        let spec = self.spec.get_or_insert_default();
        spec.replicas.get_or_insert(1);
        if let Some(template) = &mut spec.template {
            defaults::set_defaults(template.spec.get_or_insert_default());
        }
    }

    fn validate(&self) -> Vec<FieldError> {
        let default = ReplicaSetSpec::default();
        let spec = self.spec.as_ref().unwrap_or(&default);
        let path = Path::new("spec");
        let counts = [("replicas", spec.replicas), ("minReadySeconds", spec.min_ready_seconds)];
        let mut errors = template::non_negative(&path, &counts);
        let selector = template::required_selector(&path.child("selector"), &spec.selector, &mut errors);
        let empty = PodTemplateSpec::default();
        let own = spec.template.as_ref().unwrap_or(&empty);
        errors.extend(template::validate(&path.child("template"), own, &selector));
        errors
    }

    fn validate_update(&self, old: &Self) -> Vec<FieldError> {
        let (Some(new), Some(old)) = (&self.spec, &old.spec) else { return Vec::new() };
        immutable(&Path::new("spec").child("selector"), &new.selector, &old.selector).into_iter().collect()
    }

    fn validate_status_update(&self, _old: &Self) -> Vec<FieldError> {
        self.status.as_ref().map(|status| Counts::from(status).validate()).unwrap_or_default()
    }

    fn warnings(&self, old: Option<&Self>) -> Vec<String> {
        if old.is_some_and(|old| old.metadata.generation == self.metadata.generation) {
            return Vec::new();
        }
        let name = if old.is_none() { warnings::of_host_name(self.metadata.name.as_deref()) } else { Vec::new() };
        let template = self
            .spec
            .as_ref()
            .map(|spec| warnings::of_template(&Path::new("spec").child("template"), spec.template.as_ref()));
        name.into_iter().chain(template.into_iter().flatten()).collect()
    }

    fn cells(&self) -> Vec<Value> {
        let spec = self.spec.as_ref();
        let counts = self.status.as_ref().map(Counts::from).unwrap_or_default();
        let template = spec.and_then(|spec| spec.template.as_ref());
        let selector = spec.map_or_else(|| table::NONE.to_owned(), |spec| table::selector(&spec.selector));
        replicated::cells(&self.metadata, spec.and_then(|spec| spec.replicas), &counts, template, selector)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn replica_set(label: &str, policy: &str) -> ReplicaSet {
        let mut replica_set: ReplicaSet = serde_json::from_value(json!({"spec": {
            "selector": {"matchLabels": {"a": "b"}},
            "template": {
                "metadata": {"labels": {"a": label}},
                "spec": {"restartPolicy": policy, "containers": [{"name": "c", "image": "i"}]},
            },
        }}))
        .unwrap();
        replica_set.set_defaults();
        replica_set
    }

    #[test]
    fn the_selector_selects_the_templates_pods() {
        let cases = [
            ("b", "Always", vec![]),
            (
                "x",
                "Always",
                vec![
                    r#"spec.template.metadata.labels: Invalid value: {"a":"x"}: `selector` does not match template `labels`"#,
                ],
            ),
            (
                "b",
                "Never",
                vec![r#"spec.template.spec.restartPolicy: Unsupported value: "Never": supported values: "Always""#],
            ),
        ];
        for (label, policy, expected) in cases {
            let errors: Vec<String> = replica_set(label, policy).validate().iter().map(ToString::to_string).collect();
            assert_eq!(errors, expected);
        }
    }

    #[test]
    fn the_selector_stays() {
        let old = replica_set("b", "Always");
        let mut new = old.clone();
        new.spec.as_mut().unwrap().selector.match_labels.as_mut().unwrap().insert("c".into(), "d".into());
        assert_eq!(
            new.validate_update(&old)[0].to_string(),
            r#"spec.selector: Invalid value: {"matchLabels":{"a":"b","c":"d"}}: field is immutable"#
        );
    }
}
