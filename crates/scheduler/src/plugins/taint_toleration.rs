//! Nodes repel pods that do not tolerate their taints; a `PreferNoSchedule` taint repels gently.

use api_types::core::{Taint, Toleration};

use crate::framework::{Candidate, ClusterEvent, Normalize, Plugin, Prepared};

/// See the module.
#[derive(Debug)]
pub struct TaintToleration;

impl Plugin for TaintToleration {
    fn name(&self) -> &'static str {
        "TaintToleration"
    }

    fn requeue_on(&self) -> &'static [ClusterEvent] {
        &[ClusterEvent::NodeChanged, ClusterEvent::PodChanged]
    }

    fn prepare<'a>(&self, candidate: Candidate<'a>) -> Prepared<'a> {
        let tolerations = &candidate.pod.spec.tolerations;
        let repels = |taint: &&Taint| matches!(taint.effect.as_str(), "NoSchedule" | "NoExecute");
        let discourages = |taint: &&Taint| taint.effect == "PreferNoSchedule";
        Prepared::default()
            .filter(move |node| {
                match node.taints().iter().filter(repels).find(|taint| !tolerated(tolerations, taint)) {
                    None => Ok(()),
                    Some(taint) => {
                        let value = taint.value.as_deref().unwrap_or_default();
                        Err(vec![format!("node(s) had untolerated taint {{{}: {value}}}", taint.key).into()])
                    }
                }
            })
            .score(Normalize::HighestWorst, move |node| {
                let intolerable =
                    node.taints().iter().filter(discourages).filter(|taint| !tolerated(tolerations, taint)).count();
                i64::try_from(intolerable).unwrap_or(i64::MAX)
            })
    }
}

/// Whether one of the tolerations covers the taint.
pub(super) fn tolerated(tolerations: &[Toleration], taint: &Taint) -> bool {
    tolerations.iter().any(|toleration| tolerates(toleration, taint))
}

fn tolerates(toleration: &Toleration, taint: &Taint) -> bool {
    let text = |field: &Option<String>| field.as_deref().unwrap_or_default().to_owned();
    let (key, effect) = (text(&toleration.key), text(&toleration.effect));
    if !(effect.is_empty() || effect == taint.effect) || !(key.is_empty() || key == taint.key) {
        return false;
    }
    let (wanted, actual) = (text(&toleration.value), text(&taint.value));
    match toleration.operator.as_deref().unwrap_or_default() {
        "Exists" => true,
        "" | "Equal" => wanted == actual,
        "Gt" => both_numbers(&actual, &wanted).is_some_and(|(actual, wanted)| actual > wanted),
        "Lt" => both_numbers(&actual, &wanted).is_some_and(|(actual, wanted)| actual < wanted),
        _ => false,
    }
}

fn both_numbers(a: &str, b: &str) -> Option<(i64, i64)> {
    Some((a.parse().ok()?, b.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tolerations_match_as_upstreams() {
        let taint = |key: &str, value: &str, effect: &str| Taint {
            key: key.into(),
            value: Some(value.into()),
            effect: effect.into(),
            time_added: None,
        };
        let toleration = |json: serde_json::Value| serde_json::from_value::<Toleration>(json).unwrap();
        let cases = [
            (serde_json::json!({"operator": "Exists"}), true),
            (serde_json::json!({"key": "a", "operator": "Exists"}), true),
            (serde_json::json!({"key": "a", "value": "1"}), true),
            (serde_json::json!({"key": "a", "value": "2"}), false),
            (serde_json::json!({"key": "b", "operator": "Exists"}), false),
            (serde_json::json!({"key": "a", "operator": "Exists", "effect": "NoExecute"}), false),
            (serde_json::json!({"key": "a", "value": "1", "effect": "NoSchedule"}), true),
        ];
        for (json, expected) in cases {
            let tolerations = [toleration(json.clone())];
            assert_eq!(tolerated(&tolerations, &taint("a", "1", "NoSchedule")), expected, "{json}");
        }
    }
}
