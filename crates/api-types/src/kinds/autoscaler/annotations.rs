//! What autoscalers of `autoscaling/v1` have in annotations, in the form of that time.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::convert::read;
use crate::{
    autoscaling_v2::{
        HorizontalPodAutoscaler, HorizontalPodAutoscalerBehavior, HorizontalPodAutoscalerCondition, MetricSpec,
        MetricStatus,
    },
    meta::ObjectMeta,
    read_by_serde,
};

const METRICS: &str = "autoscaling.alpha.kubernetes.io/metrics";
const CURRENT_METRICS: &str = "autoscaling.alpha.kubernetes.io/current-metrics";
const CONDITIONS: &str = "autoscaling.alpha.kubernetes.io/conditions";
const BEHAVIOR: &str = "autoscaling.alpha.kubernetes.io/behavior";

/// Those that say what is wanted.
pub const OF_SPEC: [&str; 2] = [METRICS, BEHAVIOR];
/// Those that say what there is.
pub const OF_STATUS: [&str; 2] = [CURRENT_METRICS, CONDITIONS];

/// A field of old and the path of what it is now.
type Field = (&'static str, &'static [&'static str]);

const IDENTIFIED: [Field; 2] = [("metricName", &["metric", "name"]), ("selector", &["metric", "selector"])];
const AVERAGE: Field = ("targetAverageValue", &["target", "averageValue"]);
const SHARE: Field = ("targetAverageUtilization", &["target", "averageUtilization"]);
const CURRENT_AVERAGE: Field = ("currentAverageValue", &["current", "averageValue"]);
const CURRENT_SHARE: Field = ("currentAverageUtilization", &["current", "averageUtilization"]);
const NAME: Field = ("name", &["name"]);
const CONTAINER: Field = ("container", &["container"]);
const DESCRIBED: Field = ("target", &["describedObject"]);

/// Sources of metrics, and their fields.
const SPECS: [(&str, &[Field]); 5] = [
    (
        "object",
        &[
            DESCRIBED,
            IDENTIFIED[0],
            IDENTIFIED[1],
            ("targetValue", &["target", "value"]),
            ("averageValue", &["target", "averageValue"]),
        ],
    ),
    ("pods", &[IDENTIFIED[0], IDENTIFIED[1], AVERAGE]),
    ("resource", &[NAME, SHARE, AVERAGE]),
    ("containerResource", &[NAME, CONTAINER, SHARE, AVERAGE]),
    (
        "external",
        &[IDENTIFIED[0], ("metricSelector", &["metric", "selector"]), ("targetValue", &["target", "value"]), AVERAGE],
    ),
];

/// The same of what is measured.
const STATUSES: [(&str, &[Field]); 5] = [
    (
        "object",
        &[
            DESCRIBED,
            IDENTIFIED[0],
            IDENTIFIED[1],
            ("currentValue", &["current", "value"]),
            ("averageValue", &["current", "averageValue"]),
        ],
    ),
    ("pods", &[IDENTIFIED[0], IDENTIFIED[1], CURRENT_AVERAGE]),
    ("resource", &[NAME, CURRENT_SHARE, CURRENT_AVERAGE]),
    ("containerResource", &[NAME, CONTAINER, CURRENT_SHARE, CURRENT_AVERAGE]),
    (
        "external",
        &[
            IDENTIFIED[0],
            ("metricSelector", &["metric", "selector"]),
            ("currentValue", &["current", "value"]),
            CURRENT_AVERAGE,
        ],
    ),
];

/// What annotations said.
#[derive(Default)]
pub(super) struct Said {
    pub(super) metrics: Option<Vec<MetricSpec>>,
    pub(super) current: Option<Vec<MetricStatus>>,
    pub(super) conditions: Option<Vec<HorizontalPodAutoscalerCondition>>,
    pub(super) behavior: Option<HorizontalPodAutoscalerBehavior>,
}

read_by_serde!(MetricSpec);
read_by_serde!(MetricStatus);
read_by_serde!(HorizontalPodAutoscalerCondition);
read_by_serde!(HorizontalPodAutoscalerBehavior);

/// Takes the annotations away and reads them.
pub(super) fn take(metadata: &mut ObjectMeta) -> Said {
    let Some(annotations) = &mut metadata.annotations else { return Said::default() };
    let mut value = |key| annotations.remove(key).and_then(|text| serde_json::from_str::<Value>(&text).ok());
    let (metrics, current) = (value(METRICS), value(CURRENT_METRICS));
    let (conditions, behavior) = (value(CONDITIONS), value(BEHAVIOR));
    if annotations.is_empty() {
        metadata.annotations = None;
    }
    let list = |value: Option<Value>| match value {
        Some(Value::Array(list)) => Some(list),
        _ => None,
    };
    Said {
        metrics: list(metrics).and_then(|list| list.iter().map(|own| read(&with_type(renewed(own, &SPECS)))).collect()),
        current: list(current).and_then(|list| list.iter().map(|own| read(&renewed(own, &STATUSES))).collect()),
        conditions: list(conditions).and_then(|list| list.iter().map(read).collect()),
        behavior: behavior.and_then(|own| read(&cased(own, char::to_ascii_lowercase))),
    }
}

/// The annotations of an autoscaler.
pub(super) fn of(autoscaler: &HorizontalPodAutoscaler) -> BTreeMap<String, String> {
    let tree = serde_json::to_value(autoscaler).unwrap_or_default();
    let list = |path: &str| tree.pointer(path).and_then(Value::as_array).cloned().unwrap_or_default();
    let metrics: Vec<Value> =
        list("/spec/metrics").iter().filter(|own| !is_cpu_share(own)).map(|own| aged(own, &SPECS)).collect();
    let current: Vec<Value> = list("/status/currentMetrics").iter().map(|own| aged(own, &STATUSES)).collect();
    let behavior = tree.pointer("/spec/behavior").filter(|own| !own.is_null());
    let behavior = behavior.map(|own| cased(own.clone(), char::to_ascii_uppercase));
    let lists = [(METRICS, metrics), (CURRENT_METRICS, current), (CONDITIONS, list("/status/conditions"))];
    let lists = lists.into_iter().filter(|(_, list)| !list.is_empty()).map(|(key, list)| (key, Value::from(list)));
    let all = lists.chain(behavior.map(|own| (BEHAVIOR, own)));
    all.map(|(key, value)| (key.to_owned(), value.to_string())).collect()
}

/// There is a field for it.
fn is_cpu_share(metric: &Value) -> bool {
    let share = metric.pointer("/resource/target/averageUtilization").is_some_and(|own| !own.is_null());
    metric["type"] == "Resource" && metric.pointer("/resource/name") == Some(&json!("cpu")) && share
}

/// A metric in the form of old.
fn aged(metric: &Value, table: &[(&str, &[Field])]) -> Value {
    let mut out = Map::from_iter([("type".to_owned(), metric["type"].clone())]);
    for (source, fields) in table {
        let Some(own) = metric.get(*source).filter(|own| !own.is_null()) else { continue };
        let mut aged = Map::new();
        for (old, path) in *fields {
            let value = path.iter().try_fold(own, |value, key| value.get(*key));
            if let Some(value) = value.filter(|value| !value.is_null()) {
                aged.insert((*old).to_owned(), value.clone());
            }
        }
        out.insert((*source).to_owned(), aged.into());
    }
    out.into()
}

/// A metric of old in the present form, but for the types of targets.
fn renewed(metric: &Value, table: &[(&str, &[Field])]) -> Value {
    let mut out = Map::from_iter([("type".to_owned(), metric["type"].clone())]);
    for (source, fields) in table {
        let Some(own) = metric.get(*source).filter(|own| own.is_object()) else { continue };
        let mut renewed = Map::new();
        for (old, path) in *fields {
            if let Some(value) = own.get(*old).filter(|value| !value.is_null()) {
                set(&mut renewed, path, value.clone());
            }
        }
        out.insert((*source).to_owned(), renewed.into());
    }
    out.into()
}

fn set(map: &mut Map<String, Value>, path: &[&str], value: Value) {
    match path {
        [] => {}
        [last] => drop(map.insert((*last).to_owned(), value)),
        [first, rest @ ..] => {
            let inner = map.entry((*first).to_owned()).or_insert_with(|| Map::new().into());
            if let Value::Object(inner) = inner {
                set(inner, rest, value);
            }
        }
    }
}

/// Adds what of a target was not said then: its type.
fn with_type(mut metric: Value) -> Value {
    for (source, _) in SPECS {
        let Some(own) = metric.get_mut(source) else { continue };
        let target = own.get("target");
        let has = |field| target.is_some_and(|target| target.get(field).is_some());
        let kind = match source {
            "resource" | "containerResource" if has("averageUtilization") => "Utilization",
            "external" if has("value") => "Value",
            "object" if !has("averageValue") => "Value",
            _ => "AverageValue",
        };
        if let Value::Object(own) = own {
            set(own, &["target", "type"], kind.into());
        }
    }
    metric
}

/// The same with another case of the first letters of names: the behaviour was written with Go's names.
fn cased(value: Value, case: fn(&char) -> char) -> Value {
    match value {
        Value::Object(map) => {
            let renamed = map.into_iter().map(|(key, value)| {
                let mut letters = key.chars();
                let first: String = letters.next().iter().map(case).collect();
                (first + letters.as_str(), cased(value, case))
            });
            Value::Object(renamed.collect())
        }
        Value::Array(list) => list.into_iter().map(|value| cased(value, case)).collect::<Vec<_>>().into(),
        other => other,
    }
}
