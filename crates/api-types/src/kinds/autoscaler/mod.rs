//! `autoscaling/v2.HorizontalPodAutoscaler`, which is stored, and `autoscaling/v1.HorizontalPodAutoscaler`, which says
//! less.

pub(crate) mod annotations;
pub(crate) mod convert;
mod metrics;
mod shown;
#[cfg(test)]
mod tests;
mod v1;

use serde_json::Value;

use crate::{
    autoscaling_v2::{
        CrossVersionObjectReference, HPAScalingPolicy, HPAScalingRules, HorizontalPodAutoscaler,
        HorizontalPodAutoscalerSpec, MetricSpec, MetricTarget, ResourceMetricSource,
    },
    field::{FieldError, Path},
    object::{Column, Kind},
    quantity::Quantity,
    table,
    validation::{names, template},
};

/// The target where none is said, in percent of the CPU that is asked for.
const CPU_UTILIZATION: i32 = 80;
const MAX_WINDOW: i32 = 3600;
const MAX_PERIOD: i32 = 1800;
const PERIOD: i32 = 15;
const SELECTIONS: &[&str] = &["Disabled", "Max", "Min"];
const POLICIES: &[&str] = &["Percent", "Pods"];

const COLUMNS: &[Column] = &[
    Column::NAME,
    Column::text("Reference", REFERENCE),
    Column::text("Targets", METRICS),
    Column::text("MinPods", MIN_REPLICAS),
    Column::text("MaxPods", MAX_REPLICAS),
    Column::text("Replicas", REPLICAS),
    Column::AGE,
];

impl Kind for HorizontalPodAutoscaler {
    const COLUMNS: &'static [Column] = COLUMNS;

    fn set_defaults(&mut self) {
        let spec = &mut self.spec;
        spec.min_replicas.get_or_insert(1);
        if spec.metrics.as_ref().is_none_or(Vec::is_empty) {
            spec.metrics = Some(vec![cpu_metric(CPU_UTILIZATION)]);
        }
        let Some(behavior) = &mut spec.behavior else { return };
        if behavior.scale_up.is_some() || behavior.scale_down.is_some() {
            let pods = HPAScalingPolicy { type_: "Pods".to_owned(), value: 4, period_seconds: PERIOD };
            let up = HPAScalingRules {
                stabilization_window_seconds: Some(0),
                policies: Some(vec![pods, all_pods()]),
                ..HPAScalingRules::default()
            };
            let down = HPAScalingRules { policies: Some(vec![all_pods()]), ..HPAScalingRules::default() };
            complete(behavior.scale_up.get_or_insert_default(), up);
            complete(behavior.scale_down.get_or_insert_default(), down);
        }
    }

    fn validate(&self) -> Vec<FieldError> {
        validate_spec(&Path::new("spec"), &self.spec, 1)
    }

    fn revalidate(&self, old: &Self) -> Vec<FieldError> {
        let least = if old.spec.min_replicas == Some(0) { 0 } else { 1 };
        validate_spec(&Path::new("spec"), &self.spec, least)
    }

    fn validate_status_update(&self, _old: &Self) -> Vec<FieldError> {
        let Some(status) = &self.status else { return Vec::new() };
        let counts = [("currentReplicas", status.current_replicas), ("desiredReplicas", Some(status.desired_replicas))];
        template::non_negative(&Path::new("status"), &counts)
    }

    fn cells(&self) -> Vec<Value> {
        let target = &self.spec.scale_target_ref;
        let current = self.status.as_ref().and_then(|status| status.current_replicas).unwrap_or_default();
        vec![
            self.metadata.name.clone().into(),
            format!("{}/{}", target.kind, target.name).into(),
            shown::metrics(self).into(),
            self.spec.min_replicas.map_or_else(|| "<unset>".to_owned(), |own| own.to_string()).into(),
            self.spec.max_replicas.into(),
            current.into(),
            table::age(self.metadata.creation_timestamp.as_ref()).into(),
        ]
    }
}

/// The share of CPU that pods use of what they ask for.
fn cpu_metric(percent: i32) -> MetricSpec {
    let target =
        MetricTarget { type_: "Utilization".to_owned(), average_utilization: Some(percent), ..MetricTarget::default() };
    let resource = ResourceMetricSource { name: "cpu".to_owned(), target };
    MetricSpec { type_: "Resource".to_owned(), resource: Some(resource), ..MetricSpec::default() }
}

fn all_pods() -> HPAScalingPolicy {
    HPAScalingPolicy { type_: "Percent".to_owned(), value: 100, period_seconds: PERIOD }
}

/// Takes over what the rules do not say.
fn complete(own: &mut HPAScalingRules, default: HPAScalingRules) {
    own.select_policy.get_or_insert_with(|| "Max".to_owned());
    own.stabilization_window_seconds = own.stabilization_window_seconds.or(default.stabilization_window_seconds);
    own.policies = own.policies.take().or(default.policies);
}

fn validate_spec(path: &Path, spec: &HorizontalPodAutoscalerSpec, least: i32) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if let Some(min) = spec.min_replicas.filter(|min| *min < least) {
        let detail = format!("must be greater than or equal to {least}");
        errors.push(FieldError::invalid(&path.child("minReplicas"), min, detail));
    }
    let (max, max_path) = (spec.max_replicas, path.child("maxReplicas"));
    if max < 1 {
        errors.push(FieldError::invalid(&max_path, max, "must be greater than 0"));
    }
    if spec.min_replicas.is_some_and(|min| max < min) {
        errors.push(FieldError::invalid(&max_path, max, "must be greater than or equal to `minReplicas`"));
    }
    errors.extend(reference(&path.child("scaleTargetRef"), &spec.scale_target_ref));
    errors.extend(metrics::validate(&path.child("metrics"), spec));
    if let Some(behavior) = &spec.behavior {
        let path = path.child("behavior");
        for (field, rules) in [("scaleUp", &behavior.scale_up), ("scaleDown", &behavior.scale_down)] {
            errors.extend(rules.iter().flat_map(|rules| scaling_rules(&path.child(field), rules)));
        }
    }
    errors
}

/// A kind and a name, each good for a path.
fn reference(path: &Path, reference: &CrossVersionObjectReference) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for (field, own) in [("kind", &reference.kind), ("name", &reference.name)] {
        let path = path.child(field);
        if own.is_empty() {
            errors.push(FieldError::required(&path, ""));
        } else {
            errors.extend(names::check(names::path_segment, &path, own));
        }
    }
    errors
}

fn scaling_rules(path: &Path, rules: &HPAScalingRules) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let window_path = path.child("stabilizationWindowSeconds");
    match rules.stabilization_window_seconds {
        Some(window) if window < 0 => {
            errors.push(FieldError::invalid(&window_path, window, "must be greater than or equal to zero"));
        }
        Some(window) if window > MAX_WINDOW => {
            let detail = format!("must be less than or equal to {MAX_WINDOW}");
            errors.push(FieldError::invalid(&window_path, window, detail));
        }
        _ => {}
    }
    if let Some(policy) = rules.select_policy.as_deref().filter(|policy| !SELECTIONS.contains(policy)) {
        errors.push(FieldError::not_supported(&path.child("selectPolicy"), policy, SELECTIONS));
    }
    let policies = rules.policies.as_deref().unwrap_or_default();
    if policies.is_empty() {
        errors.push(FieldError::required(&path.child("policies"), "must specify at least one Policy"));
    }
    for (i, policy) in policies.iter().enumerate() {
        errors.extend(scaling_policy(&path.child("policies").index(i), policy));
    }
    let tolerance = rules.tolerance.as_ref();
    if let Some(own) = tolerance.filter(|own| Quantity::try_from(*own).is_ok_and(|own| own.is_negative())) {
        let detail = "must be greater or equal to zero";
        errors.push(FieldError::invalid(&path.child("tolerance"), own.0.as_str(), detail));
    }
    errors
}

fn scaling_policy(path: &Path, policy: &HPAScalingPolicy) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if !POLICIES.contains(&policy.type_.as_str()) {
        errors.push(FieldError::not_supported(&path.child("type"), policy.type_.as_str(), POLICIES));
    }
    for (field, own) in [("value", policy.value), ("periodSeconds", policy.period_seconds)] {
        if own <= 0 {
            errors.push(FieldError::invalid(&path.child(field), own, "must be greater than zero"));
        }
    }
    if policy.period_seconds > MAX_PERIOD {
        let detail = format!("must be less than or equal to {MAX_PERIOD}");
        errors.push(FieldError::invalid(&path.child("periodSeconds"), policy.period_seconds, detail));
    }
    errors
}

const REFERENCE: &str = "scaleTargetRef points to the target resource to scale, and is used to the pods for which metrics should be collected, as well as to actually change the replica count.";
const METRICS: &str = "metrics contains the specifications for which to use to calculate the desired replica count (the maximum replica count across all metrics will be used).  The desired replica count is calculated multiplying the ratio between the target value and the current value by the current number of pods.  Ergo, metrics used must decrease as the pod count is increased, and vice-versa.  See the individual metric source types for more information about how each type of metric must respond. If not set, the default metric will be set to 80% average CPU utilization.";
const MIN_REPLICAS: &str = "minReplicas is the lower limit for the number of replicas to which the autoscaler can scale down.  It defaults to 1 pod.  minReplicas is allowed to be 0 if the alpha feature gate HPAScaleToZero is enabled and at least one Object or External metric is configured.  Scaling is active as long as at least one metric value is available.";
const MAX_REPLICAS: &str = "maxReplicas is the upper limit for the number of replicas to which the autoscaler can scale up. It cannot be less that minReplicas.";
const REPLICAS: &str =
    "currentReplicas is current number of replicas of pods managed by this autoscaler, as last seen by the autoscaler.";
