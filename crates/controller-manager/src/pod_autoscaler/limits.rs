//! Pure: how fast and how far the number of replicas may change.

use std::time::Duration;

use api_types::{
    autoscaling_v2::{HPAScalingPolicy, HPAScalingRules, HorizontalPodAutoscalerBehavior},
    jiff::Timestamp,
};

use super::{conditions::Condition, memory::Memory};

/// Without rules the number of replicas may at most double, or become this.
const UNRULED_MIN: i32 = 4;

/// What an autoscaler wants, before it is limited.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wish {
    pub current: i32,
    pub desired: i32,
    pub min: i32,
    pub max: i32,
    pub now: Timestamp,
}

/// What comes of it: replicas, and what is said of it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Limited {
    pub replicas: i32,
    pub able: Condition,
    pub limited: Condition,
}

/// Why a number of replicas is what it is: reason and message.
type Why = (&'static str, &'static str);

const READY: Why = ("ReadyForNewScale", "recommended size matches current size");
const LOWER: Why = (
    "ScaleUpStabilized",
    "recent recommendations were lower than current one, applying the lowest recent recommendation",
);
const HIGHER: Why = (
    "ScaleDownStabilized",
    "recent recommendations were higher than current one, applying the highest recent recommendation",
);
const WITHIN: Why = ("DesiredWithinRange", "the desired count is within the acceptable range");
const TOO_FAST_UP: Why = ("ScaleUpLimit", "the desired replica count is increasing faster than the maximum scale rate");
const TOO_FAST_DOWN: Why =
    ("ScaleDownLimit", "the desired replica count is decreasing faster than the maximum scale rate");
const TOO_MANY: Why = ("TooManyReplicas", "the desired replica count is more than the maximum replica count");
const TOO_FEW: Why = ("TooFewReplicas", "the desired replica count is less than the minimum replica count");

/// Limits a wish, and remembers it. `window` is that of scaling down when no rule gives one.
pub(super) fn limit(
    wish: Wish,
    behavior: Option<&HorizontalPodAutoscalerBehavior>,
    window: Duration,
    memory: &mut Memory,
) -> Limited {
    let rules = behavior.map(|behavior| Rules::of(behavior, window));
    let (stabilized, why) = match &rules {
        Some(rules) => rules.stabilize(wish, memory),
        None => stabilize(wish, window, memory),
    };
    let able = Condition::able(true, if stabilized == wish.desired { READY } else { why });
    let wish = Wish { desired: stabilized, ..wish };
    let (replicas, why) = match &rules {
        Some(rules) => rules.limit(wish, memory),
        None => limit_unruled(wish),
    };
    Limited { replicas, able, limited: Condition::limited(replicas != stabilized, why) }
}

/// The longest period of which something has to be remembered.
pub(super) fn longest_period(behavior: &HorizontalPodAutoscalerBehavior) -> Duration {
    let rules = [&behavior.scale_up, &behavior.scale_down];
    let policies = rules.into_iter().flatten().flat_map(|rules| rules.policies.iter().flatten());
    policies.map(|policy| seconds(policy.period_seconds)).max().unwrap_or_default()
}

fn seconds(number: i32) -> Duration {
    Duration::from_secs(u64::try_from(number).unwrap_or(0))
}

/// The highest recommendation of the window.
fn stabilize(wish: Wish, window: Duration, memory: &mut Memory) -> (i32, Why) {
    let highest = memory.recommended(window, wish.now).fold(wish.desired, i32::max);
    memory.recommend(wish.desired, window, wish.now);
    (highest, HIGHER)
}

fn limit_unruled(wish: Wish) -> (i32, Why) {
    let fastest = wish.current.saturating_mul(2).max(UNRULED_MIN);
    if wish.desired < wish.min {
        (wish.min, TOO_FEW)
    } else if wish.desired > wish.max.min(fastest) {
        (wish.max.min(fastest), if wish.max > fastest { TOO_FAST_UP } else { TOO_MANY })
    } else {
        (wish.desired, WITHIN)
    }
}

/// The rules of an autoscaler, complete.
struct Rules {
    up: Rule,
    down: Rule,
}

struct Rule {
    window: Duration,
    select: Select,
    policies: Vec<HPAScalingPolicy>,
}

/// Which of several policies counts.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Select {
    /// The one that changes most.
    Max,
    /// The one that changes least.
    Min,
    Disabled,
}

impl Rule {
    fn of(rules: Option<&HPAScalingRules>, window: Duration, policies: &[(&str, i32)]) -> Self {
        let usual = || {
            let policy = |(kind, value): &(&str, i32)| HPAScalingPolicy {
                type_: (*kind).to_owned(),
                value: *value,
                period_seconds: 15,
            };
            policies.iter().map(policy).collect()
        };
        let select = match rules.and_then(|rules| rules.select_policy.as_deref()) {
            Some("Min") => Select::Min,
            Some("Disabled") => Select::Disabled,
            _ => Select::Max,
        };
        Self {
            window: rules.and_then(|rules| rules.stabilization_window_seconds).map_or(window, seconds),
            select,
            policies: rules
                .and_then(|rules| rules.policies.clone())
                .filter(|own| !own.is_empty())
                .unwrap_or_else(usual),
        }
    }
}

impl Rules {
    fn of(behavior: &HorizontalPodAutoscalerBehavior, window: Duration) -> Self {
        Self {
            up: Rule::of(behavior.scale_up.as_ref(), Duration::ZERO, &[("Pods", 4), ("Percent", 100)]),
            down: Rule::of(behavior.scale_down.as_ref(), window, &[("Percent", 100)]),
        }
    }

    /// What is between the lowest recommendation of the window of scaling up and the highest of that of scaling down, and
    /// nearest to what there is.
    fn stabilize(&self, wish: Wish, memory: &mut Memory) -> (i32, Why) {
        let lowest = memory.recommended(self.up.window, wish.now).fold(wish.desired, i32::min);
        let highest = memory.recommended(self.down.window, wish.now).fold(wish.desired, i32::max);
        memory.recommend(wish.desired, self.up.window.max(self.down.window), wish.now);
        let why = if wish.desired >= wish.current { LOWER } else { HIGHER };
        (wish.current.max(lowest).min(highest), why)
    }

    fn limit(&self, wish: Wish, memory: &Memory) -> (i32, Why) {
        if wish.desired > wish.current {
            let fastest = self.fastest_up(wish, memory).max(wish.current);
            if wish.desired > wish.max.min(fastest) {
                return (wish.max.min(fastest), if wish.max > fastest { TOO_FAST_UP } else { TOO_MANY });
            }
        } else if wish.desired < wish.current {
            let fastest = self.fastest_down(wish, memory).min(wish.current);
            if wish.desired < wish.min.max(fastest) {
                return (wish.min.max(fastest), if wish.min < fastest { TOO_FAST_DOWN } else { TOO_FEW });
            }
        }
        (wish.desired, WITHIN)
    }

    /// How many replicas there may be now at most.
    fn fastest_up(&self, wish: Wish, memory: &Memory) -> i32 {
        let allowed = self.up.policies.iter().map(|policy| {
            let start = memory.at_start(wish.current, seconds(policy.period_seconds), wish.now);
            match policy.type_.as_str() {
                "Pods" => start.saturating_add(policy.value),
                // Rounded up, so that something happens.
                _ => (f64::from(start) * (1.0 + f64::from(policy.value) / 100.0)).ceil() as i32,
            }
        });
        match self.up.select {
            Select::Disabled => Some(wish.current),
            Select::Min => allowed.min(),
            Select::Max => allowed.max(),
        }
        .unwrap_or(wish.current)
    }

    /// How many replicas there may be now at least.
    fn fastest_down(&self, wish: Wish, memory: &Memory) -> i32 {
        let allowed = self.down.policies.iter().map(|policy| {
            let start = memory.at_start(wish.current, seconds(policy.period_seconds), wish.now);
            match policy.type_.as_str() {
                "Pods" => start.saturating_sub(policy.value),
                _ => (f64::from(start) * (1.0 - f64::from(policy.value) / 100.0)) as i32,
            }
        });
        match self.down.select {
            Select::Disabled => Some(wish.current),
            Select::Min => allowed.max(),
            Select::Max => allowed.min(),
        }
        .unwrap_or(wish.current)
    }
}

#[cfg(test)]
mod tests;
