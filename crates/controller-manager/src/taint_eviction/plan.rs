//! When a pod must leave a tainted node.

use api_types::{
    core::{Taint, Toleration},
    jiff::{SignedDuration, Timestamp},
    pod::tolerations::{NO_EXECUTE, tolerates},
};

/// What becomes of a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It may stay.
    Stay,
    /// It goes at this time, unless the taint goes first.
    LeaveAt(Timestamp),
}

/// The pod leaves when the first toleration that it needs runs out; at once when a taint is not
/// tolerated at all. Time runs from when the taint was added, or from when it was `found` if it does not say.
pub(super) fn fate(taints: &[Taint], tolerations: &[Toleration], found: Timestamp) -> Fate {
    let leave = taints.iter().filter(|taint| taint.effect == NO_EXECUTE).filter_map(|taint| {
        let matching: Vec<&Toleration> = tolerations.iter().filter(|toleration| tolerates(toleration, taint)).collect();
        if matching.is_empty() {
            return Some(found);
        }
        let seconds = matching.iter().filter_map(|toleration| toleration.toleration_seconds).min()?;
        let since = taint.time_added.as_ref().map_or(found, |time| time.0);
        Some(since.checked_add(SignedDuration::from_secs(seconds.max(0))).unwrap_or(Timestamp::MAX))
    });
    leave.min().map_or(Fate::Stay, Fate::LeaveAt)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_shortest_toleration_decides() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let taint =
            |key: &str, effect: &str| json!({"key": key, "effect": effect, "timeAdded": "1970-01-01T00:01:00Z"});
        let unreachable = taint("unreachable", "NoExecute");
        let tolerate = |key: &str, seconds| json!({"key": key, "operator": "Exists", "tolerationSeconds": seconds});
        let cases = [
            (json!([]), json!([]), Fate::Stay),
            (json!([taint("a", "NoSchedule")]), json!([]), Fate::Stay),
            (json!([unreachable]), json!([]), Fate::LeaveAt(at(100))),
            (json!([unreachable]), json!([tolerate("unreachable", Some(300))]), Fate::LeaveAt(at(360))),
            (json!([unreachable]), json!([{"operator": "Exists"}]), Fate::Stay),
            (
                json!([{"key": "by-hand", "effect": "NoExecute"}]),
                json!([tolerate("by-hand", Some(5))]),
                Fate::LeaveAt(at(105)),
            ),
            (
                json!([unreachable, taint("b", "NoExecute")]),
                json!([tolerate("unreachable", Some(300)), tolerate("b", Some(30))]),
                Fate::LeaveAt(at(90)),
            ),
            (
                json!([unreachable, taint("b", "NoExecute")]),
                json!([tolerate("unreachable", None)]),
                Fate::LeaveAt(at(100)),
            ),
        ];
        for (taints, tolerations, expected) in cases {
            let (taints, tolerations): (Vec<Taint>, Vec<Toleration>) =
                (serde_json::from_value(taints).unwrap(), serde_json::from_value(tolerations).unwrap());
            assert_eq!(fate(&taints, &tolerations, at(100)), expected, "{taints:?} {tolerations:?}");
        }
    }
}
