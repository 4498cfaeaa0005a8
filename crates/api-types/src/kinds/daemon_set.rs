//! `apps/v1.DaemonSet`.

use serde_json::Value;

use crate::{
    IntOrString,
    apps::{DaemonSet, DaemonSetSpec, DaemonSetStatus, DaemonSetUpdateStrategy, RollingUpdateDaemonSet},
    field::{FieldError, Path},
    meta::LabelSelector,
    object::{Column, Kind},
    pod_spec::{
        defaults::{self, default_text},
        validate::validate_template,
        warnings,
    },
    selector::label::Selector,
    table,
    validation::{number, selector, template},
};

const REVISION_HISTORY_LIMIT: i32 = 10;

impl Kind for DaemonSet {
    const COLUMNS: &'static [Column] = &[
        Column::NAME,
        Column::integer("Desired", DESIRED),
        Column::integer("Current", CURRENT),
        Column::integer("Ready", READY),
        Column::integer("Up-to-date", UPDATED),
        Column::integer("Available", AVAILABLE),
        Column::text("Node Selector", NODE_SELECTOR),
        Column::AGE,
        Column::text("Containers", "Names of each container in the template.").wide(),
        Column::text("Images", "Images referenced by each container in the template.").wide(),
        Column::text("Selector", SELECTOR).wide(),
    ];

    fn set_defaults(&mut self) {
        let spec = self.spec.get_or_insert_default();
        spec.revision_history_limit.get_or_insert(REVISION_HISTORY_LIMIT);
        let strategy = spec.update_strategy.get_or_insert_default();
        default_text(&mut strategy.type_, "RollingUpdate");
        if strategy.type_.as_deref() == Some("RollingUpdate") {
            let rolling = strategy.rolling_update.get_or_insert_default();
            rolling.max_unavailable.get_or_insert(IntOrString::Int(1));
            rolling.max_surge.get_or_insert(IntOrString::Int(0));
        }
        defaults::set_defaults(spec.template.spec.get_or_insert_default());
    }

    fn validate(&self) -> Vec<FieldError> {
        let default = DaemonSetSpec::default();
        let spec = self.spec.as_ref().unwrap_or(&default);
        let path = Path::new("spec");
        let mut errors = selector::validate(&path.child("selector"), &spec.selector);
        if let Some(selector) = meaning(&spec.selector) {
            errors.extend(template::selected(&path.child("template"), &spec.template, &selector));
        }
        errors.extend(validate_template(&path.child("template"), &spec.template));
        errors.extend(template::always_restarted(&path.child("template"), &spec.template, "DaemonSet"));
        errors.extend(template::non_negative(&path, &[("minReadySeconds", spec.min_ready_seconds)]));
        errors.extend(strategy(&path.child("updateStrategy"), spec.update_strategy.as_ref()));
        errors.extend(template::non_negative(&path, &[("revisionHistoryLimit", spec.revision_history_limit)]));
        errors
    }

    fn validate_status_update(&self, old: &Self) -> Vec<FieldError> {
        let Some(status) = &self.status else { return Vec::new() };
        let path = Path::new("status");
        let mut errors = counts(&path, status);
        let before = old.status.as_ref().and_then(|status| status.collision_count);
        errors.extend(template::not_fewer(&path.child("collisionCount"), status.collision_count, before));
        errors
    }

    fn warnings(&self, old: Option<&Self>) -> Vec<String> {
        if old.is_some_and(|old| old.metadata.generation == self.metadata.generation) {
            return Vec::new();
        }
        let Some(spec) = &self.spec else { return Vec::new() };
        warnings::of_template(&Path::new("spec").child("template"), Some(&spec.template))
    }

    fn cells(&self) -> Vec<Value> {
        let status = self.status.clone().unwrap_or_default();
        let spec = self.spec.as_ref();
        let (containers, images) = table::containers_and_images(spec.map(|spec| &spec.template));
        let nodes = spec.and_then(|spec| spec.template.spec.as_ref()?.node_selector.as_ref());
        vec![
            self.metadata.name.clone().into(),
            status.desired_number_scheduled.into(),
            status.current_number_scheduled.into(),
            status.number_ready.into(),
            status.updated_number_scheduled.unwrap_or_default().into(),
            status.number_available.unwrap_or_default().into(),
            table::labels(nodes).into(),
            table::age(self.metadata.creation_timestamp.as_ref()).into(),
            containers.into(),
            images.into(),
            spec.map_or_else(|| table::NONE.to_owned(), |spec| table::selector(&spec.selector)).into(),
        ]
    }
}

/// An empty selector cannot be told from an absent one, which selects nothing.
fn meaning(own: &LabelSelector) -> Option<Selector> {
    if selector::is_empty(own) { Some(Selector::nothing()) } else { Selector::from_label_selector(Some(own)).ok() }
}

fn counts(path: &Path, status: &DaemonSetStatus) -> Vec<FieldError> {
    let mut errors = template::non_negative(
        path,
        &[
            ("currentNumberScheduled", Some(status.current_number_scheduled)),
            ("numberMisscheduled", Some(status.number_misscheduled)),
            ("desiredNumberScheduled", Some(status.desired_number_scheduled)),
            ("numberReady", Some(status.number_ready)),
        ],
    );
    let observed = status.observed_generation.unwrap_or_default();
    errors.extend(number::non_negative(&path.child("observedGeneration"), observed));
    errors.extend(template::non_negative(
        path,
        &[
            ("updatedNumberScheduled", status.updated_number_scheduled),
            ("numberAvailable", status.number_available),
            ("numberUnavailable", status.number_unavailable),
            ("collisionCount", status.collision_count),
        ],
    ));
    errors
}

fn strategy(path: &Path, strategy: Option<&DaemonSetUpdateStrategy>) -> Vec<FieldError> {
    let default = DaemonSetUpdateStrategy::default();
    let strategy = strategy.unwrap_or(&default);
    match (strategy.type_.as_deref().unwrap_or_default(), &strategy.rolling_update) {
        ("OnDelete", _) => Vec::new(),
        ("RollingUpdate", None) => vec![FieldError::required(&path.child("rollingUpdate"), "")],
        ("RollingUpdate", Some(rolling)) => rolling_update(&path.child("rollingUpdate"), rolling),
        _ => {
            let value = serde_json::to_value(strategy).unwrap_or_default();
            vec![FieldError::not_supported(path, value, &["RollingUpdate", "OnDelete"])]
        }
    }
}

fn rolling_update(path: &Path, rolling: &RollingUpdateDaemonSet) -> Vec<FieldError> {
    let default = IntOrString::Int(0);
    let unavailable = rolling.max_unavailable.as_ref().unwrap_or(&default);
    let surge = rolling.max_surge.as_ref().unwrap_or(&default);
    let (unavailable_path, surge_path) = (path.child("maxUnavailable"), path.child("maxSurge"));
    let mut errors = template::count_or_percent(&unavailable_path, unavailable);
    errors.extend(template::count_or_percent(&surge_path, surge));
    errors.extend(template::at_most_all(&unavailable_path, unavailable));
    errors.extend(template::at_most_all(&surge_path, surge));
    match (template::is_zero(unavailable), template::is_zero(surge)) {
        (false, false) => {
            let value = serde_json::to_value(surge).unwrap_or_default();
            errors.push(FieldError::invalid(&surge_path, value, "may not be set when maxUnavailable is non-zero"));
        }
        (true, true) => errors.push(FieldError::required(&unavailable_path, "cannot be 0 when maxSurge is 0")),
        _ => {}
    }
    errors
}

const DESIRED: &str = "The total number of nodes that should be running the daemon pod (including nodes correctly running the daemon pod). More info: https://kubernetes.io/docs/concepts/workloads/controllers/daemonset/";
const CURRENT: &str = "The number of nodes that are running at least 1 daemon pod and are supposed to run the daemon pod. More info: https://kubernetes.io/docs/concepts/workloads/controllers/daemonset/";
const READY: &str = "numberReady is the number of nodes that should be running the daemon pod and have one or more of the daemon pod running with a Ready Condition.";
const UPDATED: &str = "The total number of nodes that are running updated daemon pod";
const AVAILABLE: &str = "The number of nodes that should be running the daemon pod and have one or more of the daemon pod running and available (ready for at least spec.minReadySeconds)";
const NODE_SELECTOR: &str = "NodeSelector is a selector which must be true for the pod to fit on a node. Selector which must match a node's labels for the pod to be scheduled on that node. More info: https://kubernetes.io/docs/concepts/configuration/assign-pod-node/";
const SELECTOR: &str = "A label query over pods that are managed by the daemon set. Must match in order to be controlled. It must match the pod template's labels. More info: https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#label-selectors";

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn set(mut spec: Value) -> DaemonSet {
        let own = spec.as_object_mut().unwrap();
        own.entry("selector").or_insert(json!({"matchLabels": {"a": "b"}}));
        own.entry("template").or_insert(json!({
            "metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]},
        }));
        let mut set: DaemonSet = serde_json::from_value(json!({"spec": spec})).unwrap();
        set.set_defaults();
        set
    }

    #[test]
    fn mistakes_are_told() {
        let rolling = |unavailable: Value, surge: Value| json!({"updateStrategy": {"rollingUpdate": {"maxUnavailable": unavailable, "maxSurge": surge}}});
        let cases = [
            (json!({}), vec![]),
            (json!({"updateStrategy": {"type": "OnDelete"}}), vec![]),
            (
                json!({"selector": {}}),
                vec![
                    r#"spec.template.metadata.labels: Invalid value: {"a":"b"}: `selector` does not match template `labels`"#,
                ],
            ),
            (
                rolling(json!(1), json!("10%")),
                vec![
                    r#"spec.updateStrategy.rollingUpdate.maxSurge: Invalid value: "10%": may not be set when maxUnavailable is non-zero"#,
                ],
            ),
            (
                rolling(json!(0), json!(0)),
                vec![
                    "spec.updateStrategy.rollingUpdate.maxUnavailable: Required value: cannot be 0 when maxSurge is 0",
                ],
            ),
            (
                rolling(json!("101%"), json!(0)),
                vec![
                    r#"spec.updateStrategy.rollingUpdate.maxUnavailable: Invalid value: "101%": must not be greater than 100%"#,
                ],
            ),
        ];
        for (spec, expected) in cases {
            let errors: Vec<String> = set(spec.clone()).validate().iter().map(ToString::to_string).collect();
            assert_eq!(errors, expected, "{spec}");
        }
    }
}
