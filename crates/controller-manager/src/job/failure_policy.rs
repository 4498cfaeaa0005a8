//! What a failed pod means to its job.

use api_types::batch::{
    PodFailurePolicy, PodFailurePolicyOnExitCodesRequirement, PodFailurePolicyOnPodConditionsPattern,
    PodFailurePolicyRule,
};

use crate::slim::{ContainerStatus, Pod};

/// What becomes of a failure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ruling {
    /// It counts towards the limits.
    Count,
    /// It does not.
    Ignore,
    /// The pod's index has failed.
    FailIndex,
    /// The whole job has; the message says why.
    FailJob(String),
}

/// What the first rule says that the pod matches; without one the failure counts.
pub(super) fn judge(policy: Option<&PodFailurePolicy>, pod: &Pod) -> Ruling {
    let rules = policy.into_iter().flat_map(|policy| policy.rules.iter().enumerate());
    rules.into_iter().find_map(|(number, rule)| apply(rule, number, pod)).unwrap_or(Ruling::Count)
}

fn apply(rule: &PodFailurePolicyRule, number: usize, pod: &Pod) -> Option<Ruling> {
    let why = match (&rule.on_exit_codes, &rule.on_pod_conditions) {
        (Some(codes), _) => exited(codes, pod),
        (None, Some(conditions)) => has_condition(conditions, pod),
        (None, None) => None,
    }?;
    match rule.action.as_str() {
        "Count" => Some(Ruling::Count),
        "Ignore" => Some(Ruling::Ignore),
        "FailIndex" => Some(Ruling::FailIndex),
        "FailJob" => Some(Ruling::FailJob(format!("{why} matching FailJob rule at index {number}"))),
        _ => None,
    }
}

/// Says which container failed as the rule has it, if one did.
fn exited(codes: &PodFailurePolicyOnExitCodesRequirement, pod: &Pod) -> Option<String> {
    let matches = |code: i32| match codes.operator.as_str() {
        "In" => codes.values.contains(&code),
        "NotIn" => !codes.values.contains(&code),
        _ => false,
    };
    let code = |status: &ContainerStatus| Some(status.state.terminated.as_ref()?.exit_code).filter(|code| *code != 0);
    let meant = |status: &&ContainerStatus| codes.container_name.as_ref().is_none_or(|name| *name == status.name);
    let containers = pod.status.container_statuses.iter().chain(&pod.status.init_container_statuses).filter(meant);
    let found = containers.into_iter().find_map(|status| Some((status, code(status).filter(|own| matches(*own))?)));
    found.map(|(status, code)| format!("Container {} for pod {} failed with exit code {code}", status.name, pod.key()))
}

/// Says which condition the pod has that the rule names, if it has one.
fn has_condition(patterns: &[PodFailurePolicyOnPodConditionsPattern], pod: &Pod) -> Option<String> {
    let found = pod.status.conditions.iter().find(|condition| {
        patterns.iter().any(|pattern| {
            // The server puts the status there when a client leaves it out.
            pattern.type_ == condition.type_ && pattern.status.as_deref().unwrap_or("True") == condition.status
        })
    });
    found.map(|condition| format!("Pod {} has condition {}", pod.key(), condition.type_))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn pod(containers: &[(&str, Value)], init: &[(&str, Value)]) -> Pod {
        let status = |(name, state): &(&str, Value)| json!({"name": name, "restartCount": 0, "state": state});
        let all = |list: &[(&str, Value)]| list.iter().map(status).collect::<Vec<_>>();
        serde_json::from_value(json!({
            "metadata": {"name": "p", "namespace": "ns"},
            "status": {
                "containerStatuses": all(containers), "initContainerStatuses": all(init),
                "conditions": [{"type": "DisruptionTarget", "status": "True"}, {"type": "Ready", "status": "False"}],
            },
        }))
        .unwrap()
    }

    fn exited(code: i32) -> Value {
        json!({"terminated": {"exitCode": code}})
    }

    #[test]
    fn the_first_rule_that_matches_decides() {
        let codes = |action: &str, operator: &str, values: &[i32], container: Option<&str>| json!({"action": action, "onExitCodes": {"operator": operator, "values": values, "containerName": container}});
        let conditions = |action: &str, kind: &str, status: &str| json!({"action": action, "onPodConditions": [{"type": "None", "status": "True"}, {"type": kind, "status": status}]});
        let main = |code| pod(&[("main", exited(code))], &[]);
        let fails = |message: &str| Ruling::FailJob(message.to_owned());
        let exit = "Container main for pod ns/p failed with exit code 42 matching FailJob rule at index";
        let cases = [
            (json!([]), main(1), Ruling::Count),
            (json!([codes("FailJob", "In", &[1, 42], None)]), main(42), fails(&format!("{exit} 0"))),
            (json!([codes("FailJob", "In", &[1], None)]), main(42), Ruling::Count),
            (json!([codes("FailJob", "NotIn", &[42], None)]), main(42), Ruling::Count),
            (json!([codes("Ignore", "NotIn", &[1], None)]), main(42), Ruling::Ignore),
            (json!([codes("Ignore", "NotIn", &[1], None)]), main(0), Ruling::Count),
            (json!([codes("Ignore", "In", &[42], Some("other"))]), main(42), Ruling::Count),
            (json!([codes("FailIndex", "In", &[42], Some("main"))]), main(42), Ruling::FailIndex),
            (
                json!([codes("Later", "In", &[42], None), codes("FailJob", "In", &[42], None)]),
                main(42),
                fails(&format!("{exit} 1")),
            ),
            (json!([codes("Count", "In", &[42], None), codes("FailJob", "In", &[42], None)]), main(42), Ruling::Count),
            (
                json!([codes("FailJob", "In", &[3], None)]),
                pod(&[("main", json!({}))], &[("init", exited(3))]),
                fails("Container init for pod ns/p failed with exit code 3 matching FailJob rule at index 0"),
            ),
            (json!([conditions("Ignore", "DisruptionTarget", "True")]), main(1), Ruling::Ignore),
            (json!([conditions("Ignore", "DisruptionTarget", "False")]), main(1), Ruling::Count),
            (
                json!([conditions("FailJob", "Ready", "False")]),
                main(1),
                fails("Pod ns/p has condition Ready matching FailJob rule at index 0"),
            ),
        ];
        for (rules, pod, expected) in cases {
            let policy = serde_json::from_value(json!({"rules": rules})).unwrap();
            assert_eq!(judge(Some(&policy), &pod), expected, "{rules}");
        }
        assert_eq!(judge(None, &main(1)), Ruling::Count);
    }
}
