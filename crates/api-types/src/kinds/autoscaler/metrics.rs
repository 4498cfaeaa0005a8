//! What an autoscaler may go by.

use super::reference;
use crate::{
    autoscaling_v2::{HorizontalPodAutoscalerSpec, MetricIdentifier, MetricSpec, MetricTarget},
    field::{FieldError, Path},
    quantity::{Quantity, Wire},
    validation::{names, resource_names},
};

const TYPES: &[&str] = &["ContainerResource", "External", "Object", "Pods", "Resource"];
const TARGETS: [&str; 3] = ["Utilization", "Value", "AverageValue"];
const AMOUNT_OR_SHARE: &str = "must set either a target raw value or a target utilization";

pub(super) fn validate(path: &Path, spec: &HorizontalPodAutoscalerSpec) -> Vec<FieldError> {
    let metrics = spec.metrics.as_deref().unwrap_or_default();
    let mut errors: Vec<FieldError> =
        metrics.iter().enumerate().flat_map(|(i, metric)| validate_metric(&path.index(i), metric)).collect();
    let from_outside = metrics.iter().any(|metric| matches!(metric.type_.as_str(), "Object" | "External"));
    if spec.min_replicas == Some(0) && !from_outside {
        let detail = "must specify at least one Object or External metric to support scaling to zero replicas";
        errors.push(FieldError::forbidden(path, detail));
    }
    errors
}

/// The sources that a metric has, in the order in which upstream looks at them, each with its type.
fn sources(metric: &MetricSpec) -> Vec<(&'static str, &'static str)> {
    let all = [
        ("object", "Object", metric.object.is_some()),
        ("external", "External", metric.external.is_some()),
        ("pods", "Pods", metric.pods.is_some()),
        ("resource", "Resource", metric.resource.is_some()),
        ("containerResource", "ContainerResource", metric.container_resource.is_some()),
    ];
    all.into_iter().filter(|(.., present)| *present).map(|(field, kind, _)| (field, kind)).collect()
}

fn validate_metric(path: &Path, metric: &MetricSpec) -> Vec<FieldError> {
    let (own, type_path) = (metric.type_.as_str(), path.child("type"));
    let unknown = (!TYPES.contains(&own)).then(|| FieldError::not_supported(&type_path, own, TYPES));
    let mut errors = Vec::new();
    if own.is_empty() {
        errors.push(FieldError::required(&type_path, "must specify a metric source type"));
    }
    errors.extend(unknown.clone());
    let sources = sources(metric);
    if let Some((field, kind)) = sources.first() {
        errors.extend(source(&path.child(field), kind, metric));
    }
    let expected = TYPES.iter().find(|kind| **kind == own).map(|kind| field_of(kind));
    match expected {
        Some(field) if !sources.iter().any(|(present, _)| *present == field) => {
            let detail = "must populate information for the given metric source";
            errors.push(FieldError::required(&path.child(field), detail));
        }
        Some(_) => {}
        // Upstream tells it twice.
        None => errors.extend(unknown),
    }
    if sources.len() != 1 {
        let others = sources.iter().filter(|(field, _)| Some(*field) != expected);
        let detail = "must populate the given metric source only";
        errors.extend(others.map(|(field, _)| FieldError::forbidden(&path.child(field), detail)));
    }
    errors
}

fn field_of(kind: &str) -> &'static str {
    match kind {
        "Object" => "object",
        "External" => "external",
        "Pods" => "pods",
        "Resource" => "resource",
        _ => "containerResource",
    }
}

fn source(path: &Path, kind: &str, metric: &MetricSpec) -> Vec<FieldError> {
    match kind {
        "Object" => metric
            .object
            .iter()
            .flat_map(|own| {
                let mut errors = reference(&path.child("describedObject"), &own.described_object);
                errors.extend(identifier(&path.child("metric"), &own.metric));
                let detail = "must set either a target value or averageValue";
                errors.extend(target(&path.child("target"), &own.target, own.target.value.is_none(), detail));
                errors
            })
            .collect(),
        "External" => metric
            .external
            .iter()
            .flat_map(|own| {
                let mut errors = identifier(&path.child("metric"), &own.metric);
                let detail = "must set either a target value for metric or a per-pod target";
                errors.extend(target(&path.child("target"), &own.target, own.target.value.is_none(), detail));
                if own.target.value.is_some() && own.target.average_value.is_some() {
                    let detail = "may not set both a target value for metric and a per-pod target";
                    errors.push(FieldError::forbidden(&path.child("target").child("value"), detail));
                }
                errors
            })
            .collect(),
        "Pods" => metric
            .pods
            .iter()
            .flat_map(|own| {
                let mut errors = identifier(&path.child("metric"), &own.metric);
                let detail = "must specify a positive target averageValue";
                errors.extend(target(&path.child("target"), &own.target, true, detail));
                errors
            })
            .collect(),
        "Resource" => metric
            .resource
            .iter()
            .flat_map(|own| {
                let mut errors = Vec::new();
                if own.name.is_empty() {
                    errors.push(FieldError::required(&path.child("name"), "must specify a resource name"));
                }
                errors.extend(share(&path.child("target"), &own.target));
                errors
            })
            .collect(),
        _ => metric
            .container_resource
            .iter()
            .flat_map(|own| {
                let mut errors = match own.name.as_str() {
                    "" => vec![FieldError::required(&path.child("name"), "must specify a resource name")],
                    name => resource_names::of_container(&path.child("name"), name),
                };
                errors.extend(match own.container.as_str() {
                    "" => vec![FieldError::required(&path.child("container"), "must specify a container")],
                    name => names::check(names::dns1123_label, &path.child("container"), name),
                });
                errors.extend(share(&path.child("target"), &own.target));
                errors
            })
            .collect(),
    }
}

fn identifier(path: &Path, own: &MetricIdentifier) -> Vec<FieldError> {
    match own.name.as_str() {
        "" => vec![FieldError::required(&path.child("name"), "must specify a metric name")],
        name => names::check(names::path_segment, &path.child("name"), name),
    }
}

/// A target that has an average, unless something else will do.
fn target(path: &Path, own: &MetricTarget, needs_average: bool, detail: &str) -> Vec<FieldError> {
    let mut errors = amounts(path, own);
    if needs_average && own.average_value.is_none() {
        errors.push(FieldError::required(&path.child("averageValue"), detail));
    }
    errors
}

/// A target of a resource: an amount or a share, one of them.
fn share(path: &Path, own: &MetricTarget) -> Vec<FieldError> {
    let mut errors = amounts(path, own);
    match (own.average_utilization, &own.average_value) {
        (None, None) => errors.push(FieldError::required(&path.child("averageUtilization"), AMOUNT_OR_SHARE)),
        (Some(_), Some(_)) => {
            let detail = "may not set both a target raw value and a target utilization";
            errors.push(FieldError::forbidden(&path.child("averageValue"), detail));
        }
        _ => {}
    }
    errors
}

fn amounts(path: &Path, own: &MetricTarget) -> Vec<FieldError> {
    let kind = own.type_.as_str();
    let mut errors = Vec::new();
    if kind.is_empty() {
        errors.push(FieldError::required(&path.child("type"), "must specify a metric target type"));
    }
    if !TARGETS.contains(&kind) {
        let detail = "must be either Utilization, Value, or AverageValue";
        errors.push(FieldError::invalid(&path.child("type"), kind, detail));
    }
    for (field, amount) in [("value", &own.value), ("averageValue", &own.average_value)] {
        errors.extend(amount.as_ref().and_then(|amount| positive(&path.child(field), amount)));
    }
    if let Some(percent) = own.average_utilization.filter(|percent| *percent < 1) {
        errors.push(FieldError::invalid(&path.child("averageUtilization"), percent, "must be greater than 0"));
    }
    errors
}

fn positive(path: &Path, wire: &Wire) -> Option<FieldError> {
    let positive = Quantity::try_from(wire).is_ok_and(|amount| amount > Quantity::ZERO);
    (!positive).then(|| FieldError::invalid(path, wire.0.as_str(), "must be positive"))
}
