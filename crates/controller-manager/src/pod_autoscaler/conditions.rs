//! Pure: what an autoscaler says of itself.

use api_types::{autoscaling_v2::HorizontalPodAutoscalerCondition, jiff::Timestamp, meta::Time};

/// A condition as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Condition {
    kind: &'static str,
    holds: bool,
    reason: String,
    message: String,
}

impl Condition {
    fn new(kind: &'static str, holds: bool, (reason, message): (&str, &str)) -> Self {
        Self { kind, holds, reason: reason.to_owned(), message: message.to_owned() }
    }

    /// Whether the target can be scaled.
    pub(super) fn able(holds: bool, why: (&str, &str)) -> Self {
        Self::new("AbleToScale", holds, why)
    }

    /// Whether metrics say how far.
    pub(super) fn active(holds: bool, why: (&str, &str)) -> Self {
        Self::new("ScalingActive", holds, why)
    }

    /// Whether it is scaled less than metrics say.
    pub(super) fn limited(holds: bool, why: (&str, &str)) -> Self {
        Self::new("ScalingLimited", holds, why)
    }

    /// Puts it among the others. The time is that of the last change of its status.
    pub(super) fn put(self, conditions: &mut Vec<HorizontalPodAutoscalerCondition>, now: Timestamp) {
        let status = if self.holds { "True" } else { "False" };
        let at = conditions.iter().position(|own| own.type_ == self.kind).unwrap_or_else(|| {
            conditions.push(HorizontalPodAutoscalerCondition {
                type_: self.kind.to_owned(),
                ..HorizontalPodAutoscalerCondition::default()
            });
            conditions.len() - 1
        });
        let Some(own) = conditions.get_mut(at) else { return };
        if own.status != status {
            status.clone_into(&mut own.status);
            own.last_transition_time = Some(Time(now));
        }
        own.reason = Some(self.reason);
        own.message = Some(self.message);
    }
}
