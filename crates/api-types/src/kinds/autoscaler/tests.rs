//! What autoscalers may be, and that both versions say the same.

use serde_json::json;

use super::{
    convert::{from_v1, to_v1},
    *,
};

fn autoscaler(mut spec: Value) -> HorizontalPodAutoscaler {
    let own = spec.as_object_mut().unwrap();
    own.entry("maxReplicas").or_insert(3.into());
    own.entry("scaleTargetRef").or_insert(json!({"kind": "Deployment", "name": "d", "apiVersion": "apps/v1"}));
    let mut autoscaler: HorizontalPodAutoscaler =
        serde_json::from_value(json!({"metadata": {"name": "h"}, "spec": spec})).unwrap();
    autoscaler.set_defaults();
    autoscaler
}

fn every_metric() -> Value {
    let object = json!({"kind": "Service", "name": "s", "apiVersion": "v1"});
    let selector = json!({"matchLabels": {"a": "b"}});
    json!([
        {"type": "Resource", "resource": {"name": "memory", "target": {"type": "AverageValue", "averageValue": "1Gi"}}},
        {
            "type": "ContainerResource",
            "containerResource": {
                "name": "cpu", "container": "c", "target": {"type": "Utilization", "averageUtilization": 50},
            },
        },
        {
            "type": "Pods",
            "pods": {"metric": {"name": "p", "selector": selector}, "target": {"type": "AverageValue", "averageValue": "5"}},
        },
        {
            "type": "Object",
            "object": {"describedObject": object, "metric": {"name": "o"}, "target": {"type": "Value", "value": "7"}},
        },
        {
            "type": "External",
            "external": {"metric": {"name": "e", "selector": selector}, "target": {"type": "Value", "value": "9"}},
        },
        {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 60}}},
    ])
}

#[test]
fn both_versions_say_the_same() {
    let behavior = json!({"scaleUp": {"stabilizationWindowSeconds": 10}});
    let mut new = autoscaler(json!({"metrics": every_metric(), "behavior": behavior}));
    new.status = serde_json::from_value(json!({
        "currentReplicas": 2, "desiredReplicas": 3,
        "currentMetrics": [
            {"type": "Resource", "resource": {"name": "cpu", "current": {"averageUtilization": 40, "averageValue": "1"}}},
        ],
        "conditions": [{"type": "AbleToScale", "status": "True"}],
    }))
    .unwrap();
    let old = to_v1(&new);
    assert_eq!(old.spec.target_cpu_utilization_percentage, Some(60));
    assert_eq!(old.status.as_ref().unwrap().current_cpu_utilization_percentage, Some(40));
    let annotations = old.metadata.annotations.as_ref().unwrap();
    assert_eq!(annotations.len(), 4);
    assert!(annotations["autoscaling.alpha.kubernetes.io/behavior"].contains(r#""StabilizationWindowSeconds":10"#));
    assert!(annotations["autoscaling.alpha.kubernetes.io/metrics"].contains(r#""targetAverageUtilization":50"#));
    assert_eq!(serde_json::to_value(from_v1(&old)).unwrap(), serde_json::to_value(&new).unwrap());
}

#[test]
fn the_old_version_says_what_it_means() {
    let mut old: crate::autoscaling::HorizontalPodAutoscaler = serde_json::from_value(json!({
        "metadata": {"annotations": {"autoscaling.alpha.kubernetes.io/metrics": "no JSON", "a": "b"}},
        "spec": {"maxReplicas": 3, "scaleTargetRef": {"kind": "Deployment", "name": "d"}},
    }))
    .unwrap();
    old.set_defaults();
    let new = from_v1(&old);
    assert_eq!(new.spec.metrics, Some(vec![cpu_metric(80)]));
    assert_eq!(new.metadata.annotations.unwrap().len(), 1);
    assert!(old.validate().is_empty());
}

#[test]
fn mistakes_are_told() {
    let metric = |metric: Value| json!({"metrics": [metric]});
    let cases = [
        (json!({}), vec![]),
        (json!({"metrics": every_metric()}), vec![]),
        (
            json!({"minReplicas": 0, "maxReplicas": 0, "scaleTargetRef": {"kind": "", "name": "a/b"}}),
            vec![
                "spec.minReplicas: Invalid value: 0: must be greater than or equal to 1",
                "spec.maxReplicas: Invalid value: 0: must be greater than 0",
                "spec.scaleTargetRef.kind: Required value",
                r#"spec.scaleTargetRef.name: Invalid value: "a/b": may not contain '/'"#,
                "spec.metrics: Forbidden: must specify at least one Object or External metric to support scaling to zero replicas",
            ],
        ),
        (
            metric(json!({"type": "Pods"})),
            vec!["spec.metrics[0].pods: Required value: must populate information for the given metric source"],
        ),
        (
            metric(json!({"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Any"}}})),
            vec![
                r#"spec.metrics[0].resource.target.type: Invalid value: "Any": must be either Utilization, Value, or AverageValue"#,
                "spec.metrics[0].resource.target.averageUtilization: Required value: must set either a target raw value or a target utilization",
            ],
        ),
        (
            json!({"behavior": {"scaleDown": {"stabilizationWindowSeconds": 3601, "policies": []}}}),
            vec![
                "spec.behavior.scaleDown.stabilizationWindowSeconds: Invalid value: 3601: must be less than or equal to 3600",
                "spec.behavior.scaleDown.policies: Required value: must specify at least one Policy",
            ],
        ),
    ];
    for (spec, expected) in cases {
        let errors: Vec<String> = autoscaler(spec.clone()).validate().iter().map(ToString::to_string).collect();
        assert_eq!(errors, expected, "{spec}");
    }
}

#[test]
fn rows_tell_targets() {
    let mut own = autoscaler(json!({"metrics": every_metric()}));
    assert_eq!(own.cells()[2], "memory: <unknown>/1Gi, cpu: <unknown>/50% + 4 more...");
    own.spec.metrics.as_mut().unwrap().drain(..3);
    assert_eq!(
        own.cells()[1..5],
        [json!("Deployment/d"), json!("<unknown>/7, <unknown>/9 + 1 more..."), json!("1"), json!(3)]
    );
}
