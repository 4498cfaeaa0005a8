//! Metrics in `kubectl get hpa`.

use crate::{
    autoscaling_v2::{HorizontalPodAutoscaler, MetricSpec, MetricStatus, MetricTarget, MetricValueStatus},
    table,
};

const UNKNOWN: &str = "<unknown>";
const MAX_SHOWN: usize = 2;

/// `cpu: 10%/80%, 5/10 (avg)`.
pub(super) fn metrics(autoscaler: &HorizontalPodAutoscaler) -> String {
    let specs = autoscaler.spec.metrics.as_deref().unwrap_or_default();
    let statuses = autoscaler.status.as_ref().and_then(|status| status.current_metrics.as_deref()).unwrap_or_default();
    let all: Vec<String> = specs.iter().enumerate().map(|(i, spec)| metric(spec, statuses.get(i))).collect();
    let shown = all[..all.len().min(MAX_SHOWN)].join(", ");
    match all.len().saturating_sub(MAX_SHOWN) {
        0 => table::or_none(Some(&shown)),
        more => format!("{shown} + {more} more..."),
    }
}

fn metric(spec: &MetricSpec, status: Option<&MetricStatus>) -> String {
    match spec.type_.as_str() {
        "External" => spec
            .external
            .as_ref()
            .map(|own| amount(&own.target, status.and_then(|status| Some(&status.external.as_ref()?.current)))),
        "Object" => spec
            .object
            .as_ref()
            .map(|own| amount(&own.target, status.and_then(|status| Some(&status.object.as_ref()?.current)))),
        "Pods" => spec.pods.as_ref().map(|own| {
            let current = status.and_then(|status| Some(&status.pods.as_ref()?.current));
            format!("{}/{}", average(current), text(own.target.average_value.as_ref().map(|amount| &*amount.0)))
        }),
        "Resource" => spec.resource.as_ref().map(|own| {
            resource(&own.name, &own.target, status.and_then(|status| Some(&status.resource.as_ref()?.current)))
        }),
        "ContainerResource" => spec.container_resource.as_ref().map(|own| {
            let current = status.and_then(|status| Some(&status.container_resource.as_ref()?.current));
            resource(&own.name, &own.target, current)
        }),
        _ => None,
    }
    .unwrap_or_else(|| "<unknown type>".to_owned())
}

fn text(amount: Option<&str>) -> &str {
    amount.unwrap_or(UNKNOWN)
}

fn average(current: Option<&MetricValueStatus>) -> &str {
    text(current.and_then(|current| Some(&*current.average_value.as_ref()?.0)))
}

fn amount(target: &MetricTarget, current: Option<&MetricValueStatus>) -> String {
    match &target.average_value {
        Some(wanted) => format!("{}/{} (avg)", average(current), wanted.0),
        None => {
            let current = current.and_then(|current| Some(&*current.value.as_ref()?.0));
            format!("{}/{}", text(current), text(target.value.as_ref().map(|value| &*value.0)))
        }
    }
}

fn resource(name: &str, target: &MetricTarget, current: Option<&MetricValueStatus>) -> String {
    if let Some(wanted) = &target.average_value {
        return format!("{name}: {}/{}", average(current), wanted.0);
    }
    let percent = |share: Option<i32>, absent: &str| share.map_or_else(|| absent.to_owned(), |own| format!("{own}%"));
    let current = percent(current.and_then(|current| current.average_utilization), UNKNOWN);
    format!("{name}: {current}/{}", percent(target.average_utilization, "<auto>"))
}
