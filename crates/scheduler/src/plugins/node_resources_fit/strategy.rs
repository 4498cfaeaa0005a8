//! Which nodes are better: empty ones, full ones, or full to some degree.

use api_types::field::{FieldError, Path};
use serde::Deserialize;

use crate::{
    cache::{NodeInfo, PodInfo},
    framework::MAX_SCORE,
    plugins::scored_resources::{ResourceSpec, Usage, Weighted, assumed_usage, validate, weighted},
};

/// `scoringStrategy`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub(super) struct ScoringStrategy {
    r#type: Option<String>,
    resources: Option<Vec<ResourceSpec>>,
    requested_to_capacity_ratio: Option<Ratio>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Ratio {
    shape: Vec<Point>,
}

/// A corner of the function from utilization to score.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Point {
    utilization: i64,
    score: i64,
}

const TYPES: &[&str] = &["LeastAllocated", "MostAllocated", "RequestedToCapacityRatio"];
/// The best score of a shape.
const BEST_OF_SHAPE: i64 = 10;

/// The rating.
#[derive(Debug)]
pub(super) struct Strategy {
    kind: Kind,
    resources: Vec<Weighted>,
}

#[derive(Debug)]
enum Kind {
    Least,
    Most,
    Shape(Vec<Point>),
}

impl Strategy {
    pub(super) fn new(given: ScoringStrategy, path: &Path) -> Result<Self, Vec<FieldError>> {
        let mut errors = validate(&path.child("resources"), given.resources.as_ref());
        let shape = given.requested_to_capacity_ratio.unwrap_or_default().shape;
        let kind = match given.r#type.as_deref().unwrap_or("LeastAllocated") {
            "LeastAllocated" => Kind::Least,
            "MostAllocated" => Kind::Most,
            "RequestedToCapacityRatio" => {
                errors.extend(wrong_shape(&path.child("requestedToCapacityRatio").child("shape"), &shape));
                Kind::Shape(shape)
            }
            other => {
                errors.push(FieldError::not_supported(&path.child("type"), other, TYPES));
                Kind::Least
            }
        };
        if errors.is_empty() { Ok(Self { kind, resources: weighted(given.resources) }) } else { Err(errors) }
    }

    /// The weighted mean over the resources that the node has.
    pub(super) fn score(&self, node: &NodeInfo, pod: &PodInfo) -> i64 {
        let (mut total, mut weights) = (0, 0);
        for resource in &self.resources {
            let Some(usage) = assumed_usage(&resource.name, node, pod) else { continue };
            let score = self.kind.score(usage);
            if matches!(self.kind, Kind::Shape(_)) && score == 0 {
                continue;
            }
            total += score * resource.weight;
            weights += resource.weight;
        }
        match (&self.kind, weights) {
            (_, 0) => 0,
            (Kind::Shape(_), weights) => (total + weights / 2) / weights,
            (_, weights) => total / weights,
        }
    }
}

impl Kind {
    fn score(&self, Usage { room, used }: Usage) -> i64 {
        match self {
            Self::Least if used > room => 0,
            Self::Least => share(room - used, room),
            Self::Most => share(used.min(room), room),
            Self::Shape(points) => on_shape(points, if used > room { MAX_SCORE } else { share(used, room) }),
        }
    }
}

/// In percent.
fn share(part: i64, whole: i64) -> i64 {
    if let Some(scaled) = part.checked_mul(MAX_SCORE) {
        return scaled / whole;
    }
    i64::try_from(i128::from(part) * i128::from(MAX_SCORE) / i128::from(whole)).unwrap_or(MAX_SCORE)
}

/// Straight lines between the corners, level outside.
fn on_shape(points: &[Point], utilization: i64) -> i64 {
    let scaled = |point: &Point| point.score * (MAX_SCORE / BEST_OF_SHAPE);
    let Some(after) = points.iter().position(|point| utilization <= point.utilization) else {
        return points.last().map_or(0, scaled);
    };
    let (to, Some(from)) = (&points[after], after.checked_sub(1).map(|at| &points[at])) else {
        return scaled(&points[after]);
    };
    let (run, rise) = (to.utilization - from.utilization, scaled(to) - scaled(from));
    scaled(from) + rise * (utilization - from.utilization) / run
}

fn wrong_shape(path: &Path, points: &[Point]) -> Vec<FieldError> {
    if points.is_empty() {
        return vec![FieldError::required(path, "at least one point must be specified")];
    }
    let mut errors = Vec::new();
    for (i, point) in points.iter().enumerate() {
        let (path, value) = (path.index(i), point.utilization);
        if !(0..=100).contains(&value) {
            errors.push(FieldError::invalid(&path.child("utilization"), value, "not in valid range [0-100]"));
        }
        if i > 0 && points[i - 1].utilization >= value {
            let detail = "utilization values must be sorted in increasing order";
            errors.push(FieldError::invalid(&path.child("utilization"), value, detail));
        }
        if !(0..=BEST_OF_SHAPE).contains(&point.score) {
            errors.push(FieldError::invalid(&path.child("score"), point.score, "not in valid range [0-10]"));
        }
    }
    errors
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::model::{Node, Pod};

    fn score(strategy: Value, requests: Value) -> i64 {
        let strategy = Strategy::new(serde_json::from_value(strategy).unwrap(), &Path::default()).unwrap();
        let allocatable = json!({"cpu": "4", "memory": "1000Mi", "example.com/gpu": "2", "pods": "10"});
        let node: Node =
            serde_json::from_value(json!({"metadata": {}, "status": {"allocatable": allocatable}})).unwrap();
        let spec = json!({"containers": [{"resources": {"requests": requests}}]});
        let pod: Pod = serde_json::from_value(json!({"metadata": {}, "spec": spec})).unwrap();
        strategy.score(&NodeInfo::of(&std::sync::Arc::new(node)), &pod.info)
    }

    #[test]
    fn strategies() {
        let asks = || json!({"cpu": "1", "memory": "500Mi"});
        let shape = json!({"shape": [{"utilization": 0, "score": 0}, {"utilization": 50, "score": 10}, {"utilization": 100, "score": 0}]});
        let ratio = json!({"type": "RequestedToCapacityRatio", "requestedToCapacityRatio": shape});
        let cases = [
            (json!({}), asks(), (75 + 50) / 2),
            (json!({"type": "MostAllocated"}), asks(), (25 + 50) / 2),
            (json!({"type": "MostAllocated"}), json!({"cpu": "9", "memory": "9Gi"}), 100),
            (json!({}), json!({"cpu": "9", "memory": "9Gi"}), 0),
            (ratio.clone(), asks(), (50 + 100) / 2),
            (ratio, json!({"cpu": "4", "memory": "500Mi"}), 100),
            (
                json!({"resources": [{"name": "cpu", "weight": 3}, {"name": "memory", "weight": 1}]}),
                asks(),
                (75 * 3 + 50) / 4,
            ),
            // An extended resource counts for the pods that want it.
            (json!({"resources": [{"name": "cpu"}, {"name": "example.com/gpu"}]}), asks(), 75),
            (
                json!({"resources": [{"name": "cpu"}, {"name": "example.com/gpu"}]}),
                json!({"cpu": "1", "example.com/gpu": "1"}),
                (75 + 50) / 2,
            ),
            (json!({"resources": [{"name": "ephemeral-storage"}]}), asks(), 0),
        ];
        for (strategy, requests, expected) in cases {
            assert_eq!(score(strategy.clone(), requests.clone()), expected, "{strategy} {requests}");
        }
    }

    #[test]
    fn shapes_are_checked() {
        let wrong = |shape: Value| {
            let given = json!({"type": "RequestedToCapacityRatio", "requestedToCapacityRatio": {"shape": shape}});
            Strategy::new(serde_json::from_value(given).unwrap(), &Path::default()).is_err()
        };
        let point = |utilization: i64, score: i64| json!({"utilization": utilization, "score": score});
        assert!(wrong(json!([])) && wrong(json!([point(0, 11)])) && wrong(json!([point(101, 0)])));
        assert!(wrong(json!([point(50, 0), point(50, 1)])));
        assert!(!wrong(json!([point(0, 0), point(100, 10)])));
    }
}
