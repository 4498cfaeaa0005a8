//! When a job has succeeded before all of its indexes have.

use api_types::batch::{SuccessPolicy, SuccessPolicyRule};

use super::indexes::Indexes;

/// Says which rule is met, if one is.
pub(super) fn met(policy: &SuccessPolicy, completions: i32, succeeded: &Indexes) -> Option<String> {
    let number = policy.rules.iter().position(|rule| is_met(rule, completions, succeeded))?;
    Some(format!("Matched rules at index {number}"))
}

fn is_met(rule: &SuccessPolicyRule, completions: i32, succeeded: &Indexes) -> bool {
    let enough =
        |count: usize| rule.succeeded_count.is_some_and(|wanted| usize::try_from(wanted).unwrap_or(0) <= count);
    match &rule.succeeded_indexes {
        _ if succeeded.is_empty() => false,
        None => enough(succeeded.len()),
        Some(text) => {
            let wanted = Indexes::parse(text, completions);
            let count = wanted.in_common(succeeded);
            !wanted.is_empty() && (count == wanted.len() || enough(count))
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn some_indexes_or_so_many_are_enough() {
        let rule =
            |indexes: Option<&str>, count: Option<i32>| json!({"succeededIndexes": indexes, "succeededCount": count});
        let cases = [
            (json!([rule(None, Some(2))]), "1,3", Some(0)),
            (json!([rule(None, Some(2))]), "1", None),
            (json!([rule(Some("0-2"), None)]), "0-2,4", Some(0)),
            (json!([rule(Some("0-2"), None)]), "0,2,4", None),
            (json!([rule(Some("0-2"), Some(1))]), "2-4", Some(0)),
            (json!([rule(Some("0-2"), Some(1))]), "3,4", None),
            (json!([rule(Some("0"), None), rule(Some("1"), None)]), "1", Some(1)),
            (json!([rule(Some("nonsense"), None)]), "1", None),
            (json!([rule(Some("0"), None)]), "", None),
        ];
        for (rules, succeeded, expected) in cases {
            let policy = serde_json::from_value(json!({"rules": rules})).unwrap();
            let message = met(&policy, 5, &Indexes::parse(succeeded, 5));
            assert_eq!(
                message,
                expected.map(|number: usize| format!("Matched rules at index {number}")),
                "{rules} {succeeded}"
            );
        }
    }
}
