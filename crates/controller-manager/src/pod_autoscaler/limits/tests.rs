//! How fast the number of replicas changes.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

const WINDOW: Duration = Duration::from_secs(300);

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_000_000 + seconds).unwrap()
}

fn behavior(value: Value) -> HorizontalPodAutoscalerBehavior {
    serde_json::from_value(value).unwrap()
}

fn wish(current: i32, desired: i32, seconds: i64) -> Wish {
    Wish { current, desired, min: 1, max: 100, now: at(seconds) }
}

/// Steps: when, what there is, what is wanted; what comes of it, and the reasons of both conditions.
type Step = (i64, i32, i32, (i32, &'static str, &'static str));

/// Follows the steps, as if every change were made at once.
fn check(behavior: Option<&HorizontalPodAutoscalerBehavior>, steps: &[Step]) {
    let mut memory = Memory::default();
    let longest = behavior.map(longest_period).unwrap_or_default();
    for (seconds, current, desired, (replicas, able, limited)) in steps {
        let wish = wish(*current, *desired, *seconds);
        memory.begin(*current, wish.now);
        let got = limit(wish, behavior, WINDOW, &mut memory);
        let step = format!("at {seconds}: {current} to {desired}");
        assert_eq!(got.replicas, *replicas, "{step}");
        let text = format!("{:?} {:?}", got.able, got.limited);
        assert!(text.contains(&format!("reason: \"{able}\"")), "{step}: {text}");
        assert!(text.contains(&format!("reason: \"{limited}\"")), "{step}: {text}");
        let holds = matches!(*limited, "DesiredWithinRange");
        assert!(text.contains(&format!("kind: \"ScalingLimited\", holds: {}", !holds)), "{step}: {text}");
        if got.replicas != *current {
            memory.scaled(*current, got.replicas, longest, wish.now);
        }
    }
}

const READY: &str = "ReadyForNewScale";
const DOWN: &str = "ScaleDownStabilized";
const UP: &str = "ScaleUpStabilized";
const WITHIN: &str = "DesiredWithinRange";

#[test]
fn without_rules_it_at_most_doubles_and_waits_before_it_shrinks() {
    check(
        None,
        &[
            (0, 1, 3, (3, READY, WITHIN)),
            (15, 3, 20, (6, READY, "ScaleUpLimit")),
            (30, 6, 300, (12, READY, "ScaleUpLimit")),
            (45, 12, 12, (24, DOWN, "ScaleUpLimit")),
        ],
    );
    check(
        None,
        &[
            (0, 5, 5, (5, READY, WITHIN)),
            (15, 5, 1, (5, DOWN, WITHIN)),
            (290, 5, 3, (5, DOWN, WITHIN)),
            (320, 5, 1, (3, DOWN, WITHIN)),
            (600, 3, 1, (1, READY, WITHIN)),
            (615, 60, 300, (100, READY, "TooManyReplicas")),
            (616, 5, 0, (10, DOWN, "ScaleUpLimit")),
        ],
    );
}

#[test]
fn rules_say_how_fast() {
    let pods = behavior(json!({
        "scaleUp": {"stabilizationWindowSeconds": 0, "policies": [{"type": "Pods", "value": 2, "periodSeconds": 60}]},
        "scaleDown": {"stabilizationWindowSeconds": 0, "policies": [{"type": "Percent", "value": 50, "periodSeconds": 60}]},
    }));
    check(
        Some(&pods),
        &[
            (0, 4, 20, (6, READY, "ScaleUpLimit")),
            (15, 6, 20, (6, READY, "ScaleUpLimit")),
            (61, 6, 20, (8, READY, "ScaleUpLimit")),
            (130, 8, 1, (4, READY, "ScaleDownLimit")),
            (145, 4, 1, (4, READY, "ScaleDownLimit")),
            (200, 4, 1, (2, READY, "ScaleDownLimit")),
            (270, 2, 0, (1, READY, "TooFewReplicas")),
            (400, 1, 2, (2, READY, WITHIN)),
        ],
    );
    let disabled = behavior(json!({"scaleDown": {"selectPolicy": "Disabled", "stabilizationWindowSeconds": 0}}));
    check(Some(&disabled), &[(0, 9, 1, (9, READY, "ScaleDownLimit")), (15, 9, 300, (18, READY, "ScaleUpLimit"))]);
    let least = behavior(json!({
        "scaleUp": {
            "selectPolicy": "Min",
            "policies": [{"type": "Pods", "value": 1, "periodSeconds": 60}, {"type": "Percent", "value": 100, "periodSeconds": 60}],
        },
    }));
    check(Some(&least), &[(0, 9, 30, (10, READY, "ScaleUpLimit")), (15, 10, 9, (10, DOWN, WITHIN))]);
}

#[test]
fn windows_are_of_each_direction() {
    let slow = behavior(json!({
        "scaleUp": {"stabilizationWindowSeconds": 60},
        "scaleDown": {"stabilizationWindowSeconds": 120},
    }));
    check(
        Some(&slow),
        &[
            (0, 4, 4, (4, READY, WITHIN)),
            (15, 4, 8, (4, UP, WITHIN)),
            (76, 4, 8, (8, READY, WITHIN)),
            (90, 8, 2, (8, DOWN, WITHIN)),
            (197, 8, 2, (2, READY, WITHIN)),
        ],
    );
}

#[test]
fn what_is_given_back_counts() {
    let rules = behavior(json!({
        "scaleUp": {"stabilizationWindowSeconds": 0, "policies": [{"type": "Pods", "value": 4, "periodSeconds": 60}]},
        "scaleDown": {"stabilizationWindowSeconds": 0, "policies": [{"type": "Pods", "value": 2, "periodSeconds": 60}]},
    }));
    check(
        Some(&rules),
        &[
            (0, 10, 20, (14, READY, "ScaleUpLimit")),
            (10, 14, 5, (8, READY, "ScaleDownLimit")),
            (20, 8, 20, (14, READY, "ScaleUpLimit")),
        ],
    );
}

proptest! {
    /// Whatever was wanted and done before, limits hold, and nothing is scaled past what is wanted.
    #[test]
    fn limits_hold(
        history in prop::collection::vec((0_i32..200, 1_i64..100), 0..30),
        (up, down) in (0_i32..3600, 0_i32..3600),
        values in prop::collection::vec((any::<bool>(), 1_i32..200, 1_i32..1800), 1..4),
        select in 0_usize..4,
        bounded in any::<bool>(),
    ) {
        let policies: Vec<Value> = values
            .iter()
            .map(|(pods, value, period)| {
                json!({"type": if *pods { "Pods" } else { "Percent" }, "value": value, "periodSeconds": period})
            })
            .collect();
        let select = [json!(null), json!("Max"), json!("Min"), json!("Disabled")][select].clone();
        let rules = |window: i32| {
            json!({"stabilizationWindowSeconds": window, "policies": policies, "selectPolicy": select})
        };
        let rules = behavior(json!({"scaleUp": rules(up), "scaleDown": rules(down)}));
        let rules = bounded.then_some(&rules);
        let (mut memory, mut current, mut seconds) = (Memory::default(), 10, 0);
        for (desired, later) in history {
            seconds += later;
            let wish = wish(current, desired, seconds);
            memory.begin(current, wish.now);
            let got = limit(wish, rules, WINDOW, &mut memory).replicas;
            prop_assert!((1..=100).contains(&got), "{got} of {desired}");
            if bounded {
                prop_assert!(got <= current.max(desired) && got >= current.min(desired).max(1), "{current} {desired} {got}");
                memory.scaled(current, got, rules.map(longest_period).unwrap_or_default(), wish.now);
            } else {
                prop_assert!(got <= (current * 2).max(4));
            }
            current = got;
        }
    }
}
