//! Taints repel pods that do not tolerate them.

use crate::core::{Taint, Toleration};

/// Effect: no new pods.
pub const NO_SCHEDULE: &str = "NoSchedule";
/// Effect: no new pods where others take them.
pub const PREFER_NO_SCHEDULE: &str = "PreferNoSchedule";
/// Effect: no new pods, and running ones go.
pub const NO_EXECUTE: &str = "NoExecute";

/// Whether a toleration covers a taint. An empty effect covers every effect; an empty key covers every key.
#[must_use]
pub fn tolerates(toleration: &Toleration, taint: &Taint) -> bool {
    let (key, effect) = (text(&toleration.key), text(&toleration.effect));
    if !(effect.is_empty() || effect == taint.effect) || !(key.is_empty() || key == taint.key) {
        return false;
    }
    let (value, actual) = (text(&toleration.value), text(&taint.value));
    match toleration.operator.as_deref().unwrap_or_default() {
        "Exists" => true,
        "" | "Equal" => value == actual,
        "Gt" => integer(actual).zip(integer(value)).is_some_and(|(actual, bound)| actual > bound),
        "Lt" => integer(actual).zip(integer(value)).is_some_and(|(actual, bound)| actual < bound),
        _ => false,
    }
}

/// What tells a toleration from others, how long it lasts excepted: key, operator, value and effect.
pub type Identity<'a> = (Option<&'a str>, Option<&'a str>, Option<&'a str>, Option<&'a str>);

/// That of one.
#[must_use]
pub fn identity(own: &Toleration) -> Identity<'_> {
    (own.key.as_deref(), own.operator.as_deref(), own.value.as_deref(), own.effect.as_deref())
}

fn text(field: &Option<String>) -> &str {
    field.as_deref().unwrap_or_default()
}

/// Whether one of the tolerations covers the taint.
#[must_use]
pub fn tolerated(tolerations: &[Toleration], taint: &Taint) -> bool {
    tolerations.iter().any(|toleration| tolerates(toleration, taint))
}

/// The first taint with one of these effects that nothing tolerates.
#[must_use]
pub fn untolerated<'t>(taints: &'t [Taint], tolerations: &[Toleration], effects: &[&str]) -> Option<&'t Taint> {
    let counted = taints.iter().filter(|taint| effects.contains(&taint.effect.as_str()));
    counted.into_iter().find(|taint| !tolerated(tolerations, taint))
}

/// A whole number as people write it: no sign but `-`, no leading zeros.
fn integer(text: &str) -> Option<i64> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let plain = digits.starts_with(|c: char| c.is_ascii_digit()) && (text == "0" || !digits.starts_with('0'));
    plain.then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn taint(value: Value) -> Taint {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn tolerations_match_as_upstreams() {
        let own = json!({"key": "a", "value": "1", "effect": "NoSchedule"});
        let cases = [
            (json!({"operator": "Exists"}), true),
            (json!({"operator": "Exists", "effect": "NoSchedule"}), true),
            (json!({"operator": "Exists", "effect": "NoExecute"}), false),
            (json!({"key": "a", "operator": "Exists"}), true),
            (json!({"key": "a", "operator": "Exists", "effect": "NoExecute"}), false),
            (json!({"key": "b", "operator": "Exists"}), false),
            (json!({"key": "a", "value": "1"}), true),
            (json!({"key": "a", "value": "1", "operator": "Equal", "effect": "NoSchedule"}), true),
            (json!({"key": "a", "value": "2"}), false),
            (json!({"key": "a"}), false),
            // Validation forbids it; where it is met it covers taints of that value.
            (json!({"value": "1"}), true),
            (json!({"key": "a", "operator": "In", "value": "1"}), false),
        ];
        for (toleration, expected) in cases {
            let parsed: Toleration = serde_json::from_value(toleration.clone()).unwrap();
            assert_eq!(tolerates(&parsed, &taint(own.clone())), expected, "{toleration}");
        }
        let empty: Toleration = serde_json::from_value(json!({"key": "a"})).unwrap();
        assert!(tolerates(&empty, &taint(json!({"key": "a", "effect": "NoSchedule"}))), "two absent values are equal");
    }

    #[test]
    fn numbers_are_compared() {
        let cases = [
            ("Gt", "0", "1", true),
            ("Gt", "0", "0", false),
            ("Gt", "-1", "0", true),
            ("Lt", "0", "-5", true),
            ("Lt", "10", "9", true),
            ("Lt", "10", "10", false),
            ("Lt", "10", "nine", false),
            ("Gt", "", "1", false),
            ("Gt", "01", "5", false),
            ("Gt", "+1", "5", false),
            ("Gt", "1", "-0", false),
            ("Gt", "1", "99999999999999999999", false),
        ];
        for (operator, bound, actual, expected) in cases {
            let toleration = json!({"key": "k", "operator": operator, "value": bound});
            let toleration: Toleration = serde_json::from_value(toleration).unwrap();
            let taint = taint(json!({"key": "k", "value": actual, "effect": "NoSchedule"}));
            assert_eq!(tolerates(&toleration, &taint), expected, "{actual} {operator} {bound}");
        }
    }

    #[test]
    fn only_the_effects_asked_for_count() {
        let taints = [
            taint(json!({"key": "soft", "effect": "PreferNoSchedule"})),
            taint(json!({"key": "known", "effect": "NoSchedule"})),
            taint(json!({"key": "hard", "effect": "NoExecute"})),
        ];
        let tolerations: Vec<Toleration> =
            serde_json::from_value(json!([{"key": "known", "operator": "Exists"}])).unwrap();
        let found = |effects: &[&str]| untolerated(&taints, &tolerations, effects).map(|taint| taint.key.as_str());
        assert_eq!(found(&[NO_SCHEDULE, NO_EXECUTE]), Some("hard"));
        assert_eq!(found(&[PREFER_NO_SCHEDULE]), Some("soft"));
        assert_eq!(found(&[NO_SCHEDULE]), None);
    }
}
