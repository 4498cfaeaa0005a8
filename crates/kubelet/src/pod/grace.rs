//! Grace periods. On the wire they are 64 bits with a sign; here they are what a clock can measure: a negative one is
//! none, a huge one is very long.

use std::time::Duration;

use api_types::core::{Pod, Probe};

use super::PodExt;

/// Least grace of a pod that is asked to go, as upstream.
pub const MINIMUM: u32 = 1;
/// Upstream's default.
const DEFAULT: i64 = 30;
/// Most grace of a pod that the API has no more. Somebody has taken it away without waiting for the kubelet; its
/// `terminationGracePeriodSeconds` is no promise that the containers may run on unseen for as long.
const FORCED: u32 = 30;

fn seconds(given: i64) -> u32 {
    u32::try_from(given.max(0)).unwrap_or(u32::MAX)
}

fn own(pod: &Pod) -> i64 {
    pod.pod_spec().termination_grace_period_seconds.unwrap_or(DEFAULT)
}

/// How long one of the pod's containers has to end; `probe` is what failed and may know better.
#[must_use]
pub fn of_container(pod: &Pod, probe: Option<&Probe>) -> Duration {
    let probes = probe.and_then(|probe| probe.termination_grace_period_seconds);
    Duration::from_secs(seconds(probes.unwrap_or_else(|| own(pod))).into())
}

/// Seconds that a pod has which was asked to go.
#[must_use]
pub fn of_deletion(pod: &Pod) -> u32 {
    seconds(pod.metadata.deletion_grace_period_seconds.unwrap_or_else(|| own(pod))).max(MINIMUM)
}

/// Seconds that a pod has which its source has no more.
#[must_use]
pub fn of_removal(pod: &Pod) -> u32 {
    let asked = of_deletion(pod);
    if pod.is_static() { asked } else { asked.min(FORCED) }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn pod(own: Value, deletion: Value, source: &str) -> Pod {
        serde_json::from_value(json!({
            "metadata": {
                "deletionGracePeriodSeconds": deletion,
                "annotations": {crate::pod::annotations::CONFIG_SOURCE: source},
            },
            "spec": {"terminationGracePeriodSeconds": own, "containers": []},
        }))
        .unwrap()
    }

    #[test]
    fn grace_periods_saturate() {
        let none = Value::Null;
        let (most, least) = (json!(i64::MAX), json!(i64::MIN));
        let forever = u32::MAX;
        // Own grace period, that of the deletion; then of a container, of a deletion, of a removal: API's and static.
        let cases = [
            (&none, &none, (30, 30, 30, 30)),
            (&json!(5), &none, (5, 5, 5, 5)),
            (&json!(300), &none, (300, 300, 30, 300)),
            (&json!(300), &json!(2), (300, 2, 2, 2)),
            (&json!(0), &none, (0, 1, 1, 1)),
            (&json!(5), &json!(0), (5, 1, 1, 1)),
            (&most, &none, (forever, forever, 30, forever)),
            (&most, &most, (forever, forever, 30, forever)),
            (&json!(1_i64 << 32), &none, (forever, forever, 30, forever)),
            (&least, &least, (0, 1, 1, 1)),
        ];
        for (own, deletion, expected) in cases {
            let of_api = pod(own.clone(), deletion.clone(), "api");
            let of_file = pod(own.clone(), deletion.clone(), "file");
            let container = of_container(&of_api, None).as_secs();
            let got = (container, of_deletion(&of_api), of_removal(&of_api), of_removal(&of_file));
            assert_eq!(got, (expected.0.into(), expected.1, expected.2, expected.3), "{own} {deletion}");
        }
    }

    #[test]
    fn a_probe_may_know_better() {
        let probe = |grace: i64| serde_json::from_value(json!({"terminationGracePeriodSeconds": grace})).unwrap();
        for (grace, expected) in [(3, 3), (0, 0), (-1, 0), (i64::MAX, u32::MAX.into())] {
            let got = of_container(&pod(json!(7), Value::Null, "api"), Some(&probe(grace)));
            assert_eq!(got.as_secs(), expected, "{grace}");
        }
    }
}
