//! Between the versions: what `autoscaling/v1` has no field for is in annotations.

use std::collections::BTreeMap;

use super::{CPU_UTILIZATION, annotations, cpu_metric};
use crate::{autoscaling as v1, autoscaling_v2 as v2, codec::FromJson, meta::ObjectMeta};

/// An autoscaler of `autoscaling/v1` in `autoscaling/v2`. Annotations that cannot be read say nothing.
#[must_use]
pub fn from_v1(old: &v1::HorizontalPodAutoscaler) -> v2::HorizontalPodAutoscaler {
    let mut metadata = old.metadata.clone();
    let said = annotations::take(&mut metadata);
    let mut metrics = said.metrics.unwrap_or_default();
    metrics.extend(old.spec.target_cpu_utilization_percentage.map(cpu_metric));
    if metrics.is_empty() {
        metrics.push(cpu_metric(CPU_UTILIZATION));
    }
    let target = &old.spec.scale_target_ref;
    let spec = v2::HorizontalPodAutoscalerSpec {
        scale_target_ref: v2::CrossVersionObjectReference {
            api_version: target.api_version.clone(),
            kind: target.kind.clone(),
            name: target.name.clone(),
        },
        min_replicas: old.spec.min_replicas,
        max_replicas: old.spec.max_replicas,
        metrics: Some(metrics),
        behavior: said.behavior,
    };
    let status = old.status.as_ref().map(|status| v2::HorizontalPodAutoscalerStatus {
        observed_generation: status.observed_generation,
        last_scale_time: status.last_scale_time.clone(),
        current_replicas: Some(status.current_replicas),
        desired_replicas: status.desired_replicas,
        current_metrics: said.current.or_else(|| current_cpu(status.current_cpu_utilization_percentage?)),
        conditions: said.conditions,
    });
    v2::HorizontalPodAutoscaler { metadata, spec, status }
}

fn current_cpu(percent: i32) -> Option<Vec<v2::MetricStatus>> {
    let current = v2::MetricValueStatus { average_utilization: Some(percent), ..v2::MetricValueStatus::default() };
    let resource = v2::ResourceMetricStatus { name: "cpu".to_owned(), current };
    Some(vec![v2::MetricStatus {
        type_: "Resource".to_owned(),
        resource: Some(resource),
        ..v2::MetricStatus::default()
    }])
}

/// An autoscaler of `autoscaling/v2` in `autoscaling/v1`.
#[must_use]
pub fn to_v1(new: &v2::HorizontalPodAutoscaler) -> v1::HorizontalPodAutoscaler {
    let target = &new.spec.scale_target_ref;
    let metrics = new.spec.metrics.as_deref().unwrap_or_default();
    let cpu = metrics.iter().filter_map(|metric| metric.resource.as_ref()).find(|own| own.name == "cpu");
    let spec = v1::HorizontalPodAutoscalerSpec {
        scale_target_ref: v1::CrossVersionObjectReference {
            api_version: target.api_version.clone(),
            kind: target.kind.clone(),
            name: target.name.clone(),
        },
        min_replicas: new.spec.min_replicas,
        max_replicas: new.spec.max_replicas,
        target_cpu_utilization_percentage: cpu.and_then(|cpu| cpu.target.average_utilization),
    };
    let status = new.status.as_ref().map(|status| {
        let current = status.current_metrics.iter().flatten().filter_map(|metric| metric.resource.as_ref());
        let cpu = current.filter(|own| own.name == "cpu").filter_map(|own| own.current.average_utilization).next_back();
        v1::HorizontalPodAutoscalerStatus {
            observed_generation: status.observed_generation,
            last_scale_time: status.last_scale_time.clone(),
            current_replicas: status.current_replicas.unwrap_or_default(),
            desired_replicas: status.desired_replicas,
            current_cpu_utilization_percentage: cpu,
        }
    });
    v1::HorizontalPodAutoscaler { metadata: annotated(new), spec, status }
}

/// The metadata, with annotations that say the rest.
fn annotated(new: &v2::HorizontalPodAutoscaler) -> ObjectMeta {
    let mut metadata = new.metadata.clone();
    // What somebody has written there does not count.
    annotations::take(&mut metadata);
    let added: BTreeMap<String, String> = annotations::of(new);
    if !added.is_empty() {
        metadata.annotations.get_or_insert_default().extend(added);
    }
    metadata
}

/// A value of a type that is read here only.
pub(super) fn read<T: FromJson>(value: &serde_json::Value) -> Option<T> {
    T::from_tree(value).ok()
}
