//! `apps/v1.Deployment`.

use serde_json::Value;

use crate::{
    IntOrString,
    apps::{Deployment, DeploymentSpec, DeploymentStrategy, RollingUpdateDeployment},
    field::{FieldError, Path},
    object::{Column, Kind},
    pod_spec::{
        defaults::{self, default_text},
        warnings,
    },
    table,
    validation::{meta::immutable, number, template},
};

const REPLICAS: i32 = 1;
const REVISION_HISTORY_LIMIT: i32 = 10;
const PROGRESS_DEADLINE_SECONDS: i32 = 600;
const SURGE: &str = "25%";

impl Kind for Deployment {
    const COLUMNS: &'static [Column] = &[
        Column::NAME,
        Column::text("Ready", "Number of the pod with ready state"),
        Column::text("Up-to-date", "Total number of non-terminating pods targeted by this deployment that have the desired template spec."),
        Column::text("Available", "Total number of available non-terminating pods (ready for at least minReadySeconds) targeted by this deployment."),
        Column::AGE,
        Column::text("Containers", "Names of each container in the template.").wide(),
        Column::text("Images", "Images referenced by each container in the template.").wide(),
        Column::text("Selector", "Label selector for pods. Existing ReplicaSets whose pods are selected by this will be the ones affected by this deployment. It must match the pod template's labels.").wide(),
    ];

    fn set_defaults(&mut self) {
        let spec = self.spec.get_or_insert_default();
        spec.replicas.get_or_insert(REPLICAS);
        spec.revision_history_limit.get_or_insert(REVISION_HISTORY_LIMIT);
        spec.progress_deadline_seconds.get_or_insert(PROGRESS_DEADLINE_SECONDS);
        let strategy: &mut DeploymentStrategy = spec.strategy.get_or_insert_default();
        default_text(&mut strategy.type_, "RollingUpdate");
        if strategy.type_.as_deref() == Some("RollingUpdate") {
            let rolling: &mut RollingUpdateDeployment = strategy.rolling_update.get_or_insert_default();
            rolling.max_unavailable.get_or_insert_with(|| IntOrString::String(SURGE.to_owned()));
            rolling.max_surge.get_or_insert_with(|| IntOrString::String(SURGE.to_owned()));
        }
        defaults::set_defaults(spec.template.spec.get_or_insert_default());
    }

    fn validate(&self) -> Vec<FieldError> {
        let default = DeploymentSpec::default();
        let spec = self.spec.as_ref().unwrap_or(&default);
        let path = Path::new("spec");
        let mut errors = template::non_negative(&path, &[("replicas", spec.replicas)]);
        let selector = template::required_selector(&path.child("selector"), &spec.selector, &mut errors);
        errors.extend(template::validate(&path.child("template"), &spec.template, &selector));
        errors.extend(strategy(&path.child("strategy"), spec.strategy.as_ref()));
        let counts =
            [("minReadySeconds", spec.min_ready_seconds), ("revisionHistoryLimit", spec.revision_history_limit)];
        errors.extend(template::non_negative(&path, &counts));
        errors.extend(progress_deadline(&path.child("progressDeadlineSeconds"), spec));
        errors
    }

    fn validate_update(&self, old: &Self) -> Vec<FieldError> {
        let (Some(new), Some(old)) = (&self.spec, &old.spec) else { return Vec::new() };
        immutable(&Path::new("spec").child("selector"), &new.selector, &old.selector).into_iter().collect()
    }

    fn validate_status_update(&self, old: &Self) -> Vec<FieldError> {
        let Some(status) = &self.status else { return Vec::new() };
        let path = Path::new("status");
        let counts = [
            ("replicas", status.replicas),
            ("updatedReplicas", status.updated_replicas),
            ("readyReplicas", status.ready_replicas),
            ("availableReplicas", status.available_replicas),
            ("unavailableReplicas", status.unavailable_replicas),
        ];
        let mut errors = template::non_negative(&path, &counts);
        let before = old.status.as_ref().and_then(|status| status.collision_count);
        let above = [counts[1], counts[2], counts[3]];
        errors.extend(template::not_above(&path, status.replicas.unwrap_or_default(), &above));
        errors.extend(template::available_are_ready(&path, status.available_replicas, status.ready_replicas));
        errors.extend(template::not_fewer(&path.child("collisionCount"), status.collision_count, before));
        errors
    }

    fn warnings(&self, old: Option<&Self>) -> Vec<String> {
        if old.is_some_and(|old| old.metadata.generation == self.metadata.generation) {
            return Vec::new();
        }
        let name = if old.is_none() { warnings::of_host_name(self.metadata.name.as_deref()) } else { Vec::new() };
        let template = self
            .spec
            .as_ref()
            .map(|spec| warnings::of_template(&Path::new("spec").child("template"), Some(&spec.template)));
        name.into_iter().chain(template.into_iter().flatten()).collect()
    }

    fn cells(&self) -> Vec<Value> {
        let spec = self.spec.as_ref();
        let status = self.status.clone().unwrap_or_default();
        let (containers, images) = table::containers_and_images(spec.map(|spec| &spec.template));
        let desired = spec.and_then(|spec| spec.replicas).unwrap_or_default();
        vec![
            self.metadata.name.clone().into(),
            format!("{}/{desired}", status.ready_replicas.unwrap_or_default()).into(),
            status.updated_replicas.unwrap_or_default().into(),
            status.available_replicas.unwrap_or_default().into(),
            table::age(self.metadata.creation_timestamp.as_ref()).into(),
            containers.into(),
            images.into(),
            spec.map_or_else(|| table::NONE.to_owned(), |spec| table::selector(&spec.selector)).into(),
        ]
    }
}

fn strategy(path: &Path, strategy: Option<&DeploymentStrategy>) -> Vec<FieldError> {
    let Some(strategy) = strategy else { return vec![FieldError::required(path, "")] };
    let rolling_path = path.child("rollingUpdate");
    match (strategy.type_.as_deref().unwrap_or_default(), &strategy.rolling_update) {
        ("Recreate", None) => Vec::new(),
        ("Recreate", Some(_)) => {
            let detail = "may not be specified when strategy `type` is 'Recreate'";
            vec![FieldError::forbidden(&rolling_path, detail)]
        }
        ("RollingUpdate", None) => {
            vec![FieldError::required(&rolling_path, "this should be defaulted and never be nil")]
        }
        ("RollingUpdate", Some(rolling)) => rolling_update(&rolling_path, rolling),
        (other, _) => {
            vec![FieldError::not_supported(&path.child("type"), other, &["Recreate", "RollingUpdate"])]
        }
    }
}

fn rolling_update(path: &Path, rolling: &RollingUpdateDeployment) -> Vec<FieldError> {
    let default = IntOrString::Int(0);
    let unavailable = rolling.max_unavailable.as_ref().unwrap_or(&default);
    let surge = rolling.max_surge.as_ref().unwrap_or(&default);
    let unavailable_path = path.child("maxUnavailable");
    let mut errors = template::count_or_percent(&unavailable_path, unavailable);
    errors.extend(template::count_or_percent(&path.child("maxSurge"), surge));
    if template::is_zero(unavailable) && template::is_zero(surge) {
        let value = serde_json::to_value(unavailable).unwrap_or_default();
        errors.push(FieldError::invalid(&unavailable_path, value, "may not be 0 when `maxSurge` is 0"));
    }
    errors.extend(template::at_most_all(&unavailable_path, unavailable));
    errors
}

fn progress_deadline(path: &Path, spec: &DeploymentSpec) -> Vec<FieldError> {
    let Some(deadline) = spec.progress_deadline_seconds else { return Vec::new() };
    let mut errors: Vec<FieldError> = number::non_negative(path, deadline).into_iter().collect();
    if deadline <= spec.min_ready_seconds.unwrap_or_default() {
        errors.push(FieldError::invalid(path, deadline, "must be greater than minReadySeconds"));
    }
    errors
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn deployment(mut spec: Value) -> Deployment {
        let own = spec.as_object_mut().unwrap();
        own.entry("selector").or_insert(json!({"matchLabels": {"a": "b"}}));
        own.entry("template").or_insert(json!({
            "metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]},
        }));
        let mut deployment: Deployment = serde_json::from_value(json!({"spec": spec})).unwrap();
        deployment.set_defaults();
        deployment
    }

    #[test]
    fn deployments_are_defaulted() {
        let value = serde_json::to_value(deployment(json!({}))).unwrap();
        let spec = &value["spec"];
        assert_eq!(
            (&spec["replicas"], &spec["revisionHistoryLimit"], &spec["progressDeadlineSeconds"], &spec["strategy"]),
            (
                &json!(1),
                &json!(10),
                &json!(600),
                &json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}})
            )
        );
        assert_eq!(
            spec["template"]["spec"],
            json!({
                "containers": [{
                    "name": "c", "image": "i", "imagePullPolicy": "Always", "resources": {},
                    "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File",
                }],
                "dnsPolicy": "ClusterFirst", "restartPolicy": "Always", "schedulerName": "default-scheduler",
                "securityContext": {}, "terminationGracePeriodSeconds": 30,
            })
        );
        let recreate = serde_json::to_value(deployment(json!({"strategy": {"type": "Recreate"}}))).unwrap();
        assert_eq!(recreate["spec"]["strategy"], json!({"type": "Recreate"}));
    }

    #[test]
    fn mistakes_are_told() {
        let cases = [
            (json!({}), vec![]),
            (
                json!({"selector": {}}),
                vec![
                    "spec.selector: Required value",
                    r#"spec.template.metadata.labels: Invalid value: {"a":"b"}: `selector` does not match template `labels`"#,
                ],
            ),
            (
                json!({"strategy": {"rollingUpdate": {"maxSurge": 0, "maxUnavailable": "0%"}}}),
                vec![
                    r#"spec.strategy.rollingUpdate.maxUnavailable: Invalid value: "0%": may not be 0 when `maxSurge` is 0"#,
                ],
            ),
            (
                json!({"strategy": {"type": "Recreate", "rollingUpdate": {}}}),
                vec!["spec.strategy.rollingUpdate: Forbidden: may not be specified when strategy `type` is 'Recreate'"],
            ),
            (
                json!({"minReadySeconds": 600}),
                vec!["spec.progressDeadlineSeconds: Invalid value: 600: must be greater than minReadySeconds"],
            ),
        ];
        for (spec, expected) in cases {
            let errors: Vec<String> = deployment(spec).validate().iter().map(ToString::to_string).collect();
            assert_eq!(errors, expected);
        }
    }

    #[test]
    fn rows_tell_how_many_are_ready() {
        let mut deployment = deployment(json!({"replicas": 3}));
        deployment.status = serde_json::from_value(json!({"readyReplicas": 2, "updatedReplicas": 1})).unwrap();
        let cells = deployment.cells();
        assert_eq!(cells[1..4], [json!("2/3"), json!(1), json!(0)]);
        assert_eq!(cells[5..], [json!("c"), json!("i"), json!("a=b")]);
    }
}
