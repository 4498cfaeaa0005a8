//! Whether somebody who has some rules has others, too: nobody gives away what they do not have.

use std::collections::BTreeSet;

use api_types::rbac::PolicyRule;

use super::rule::path_matches;

const ALL: &str = "*";

/// What of `wanted` is not in `owned`, broken down as far as can be.
#[must_use]
pub fn missing(owned: &[&PolicyRule], wanted: &[PolicyRule]) -> Vec<PolicyRule> {
    let each = wanted.iter().flat_map(break_down);
    each.filter(|single| !owned.iter().any(|rule| covers(rule, single))).collect()
}

/// Rules about one verb with one resource (and name) or one path, which together say the same.
fn break_down(rule: &PolicyRule) -> Vec<PolicyRule> {
    let one = |text: &String| Some(vec![text.clone()]);
    let names: Vec<Option<&String>> = match list(&rule.resource_names) {
        [] => vec![None],
        names => names.iter().map(Some).collect(),
    };
    let mut single = Vec::new();
    for group in list(&rule.api_groups) {
        for resource in list(&rule.resources) {
            for verb in &rule.verbs {
                single.extend(names.iter().map(|name| PolicyRule {
                    verbs: vec![verb.clone()],
                    api_groups: one(group),
                    resources: one(resource),
                    resource_names: name.and_then(one),
                    non_resource_urls: None,
                }));
            }
        }
    }
    for path in list(&rule.non_resource_urls) {
        single.extend(rule.verbs.iter().map(|verb| PolicyRule {
            verbs: vec![verb.clone()],
            non_resource_urls: one(path),
            ..PolicyRule::default()
        }));
    }
    single
}

/// Whether a rule says what a single one says.
fn covers(owned: &PolicyRule, single: &PolicyRule) -> bool {
    let names = list(&owned.resource_names);
    all(&owned.verbs, &single.verbs)
        && all(list(&owned.api_groups), list(&single.api_groups))
        && list(&single.resources).iter().all(|resource| covers_resource(list(&owned.resources), resource))
        && list(&single.non_resource_urls)
            .iter()
            .all(|path| list(&owned.non_resource_urls).iter().any(|pattern| path_matches(pattern, path)))
        && (names.is_empty() || (single.resource_names.is_some() && all_of(names, list(&single.resource_names))))
}

fn covers_resource(owned: &[String], resource: &str) -> bool {
    let subresource = resource.split_once('/').map(|(_, subresource)| subresource);
    let of_all = |own: &String| own.strip_prefix("*/").is_some_and(|own| Some(own) == subresource);
    owned.iter().any(|own| own == ALL || own == resource || of_all(own))
}

fn all(owned: &[String], wanted: &[String]) -> bool {
    owned.iter().any(|own| own == ALL) || all_of(owned, wanted)
}

fn all_of(owned: &[String], wanted: &[String]) -> bool {
    wanted.iter().all(|item| owned.contains(item))
}

fn list(list: &Option<Vec<String>>) -> &[String] {
    list.as_deref().unwrap_or_default()
}

/// Single rules as upstream's messages tell them: those that differ in their verb only are one line.
#[must_use]
pub fn describe(single: &[PolicyRule]) -> String {
    let mut compact: Vec<PolicyRule> = Vec::new();
    for rule in single {
        let about = |other: &&mut PolicyRule| {
            let same =
                |rule: &PolicyRule| (rule.api_groups.clone(), rule.resources.clone(), rule.resource_names.clone());
            rule.resources.is_some() && same(other) == same(rule)
        };
        match compact.iter_mut().find(about) {
            Some(known) => known.verbs.extend(rule.verbs.iter().cloned()),
            None => compact.push(rule.clone()),
        }
    }
    let lines: BTreeSet<String> = compact.iter().map(describe_one).collect();
    lines.into_iter().collect::<Vec<_>>().join("\n")
}

fn describe_one(rule: &PolicyRule) -> String {
    let parts = [
        ("APIGroups", list(&rule.api_groups)),
        ("Resources", list(&rule.resources)),
        ("NonResourceURLs", list(&rule.non_resource_urls)),
        ("ResourceNames", list(&rule.resource_names)),
        ("Verbs", &rule.verbs),
    ];
    let filled = parts.into_iter().filter(|(_, items)| !items.is_empty());
    let parts: Vec<String> = filled.map(|(name, items)| format!("{name}:{}", quoted(items))).collect();
    format!("{{{}}}", parts.join(", "))
}

/// A list as Go's `%q` writes it.
#[must_use]
pub fn quoted(items: &[String]) -> String {
    let items: Vec<String> = items.iter().map(|item| format!("{item:?}")).collect();
    format!("[{}]", items.join(" "))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn rules(value: Value) -> Vec<PolicyRule> {
        serde_json::from_value(value).unwrap()
    }

    fn lacks(owned: Value, wanted: Value) -> String {
        let owned = rules(owned);
        describe(&missing(&owned.iter().collect::<Vec<_>>(), &rules(wanted)))
    }

    #[test]
    fn what_is_had_is_not_missing() {
        let pods = |verbs: &[&str]| json!([{"verbs": verbs, "apiGroups": [""], "resources": ["pods", "pods/status"]}]);
        let everything = json!([{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]},
            {"verbs": ["*"], "nonResourceURLs": ["*"]}]);
        assert_eq!(lacks(everything.clone(), pods(&["get", "*"])), "");
        assert_eq!(lacks(everything.clone(), everything.clone()), "");
        assert_eq!(lacks(pods(&["get"]), pods(&["get"])), "");
        assert_eq!(
            lacks(pods(&["get"]), pods(&["get", "list", "watch"])),
            "{APIGroups:[\"\"], Resources:[\"pods\"], Verbs:[\"list\" \"watch\"]}\n\
             {APIGroups:[\"\"], Resources:[\"pods/status\"], Verbs:[\"list\" \"watch\"]}"
        );
        let status = json!([{"verbs": ["get"], "apiGroups": [""], "resources": ["*/status"]}]);
        assert_eq!(lacks(status, pods(&["get"])), r#"{APIGroups:[""], Resources:["pods"], Verbs:["get"]}"#);
    }

    #[test]
    fn a_name_is_less_than_all_names() {
        let pods = json!([{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}]);
        let named = json!([{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"], "resourceNames": ["a", "b"]}]);
        let other = json!([{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"], "resourceNames": ["b", "c"]}]);
        assert_eq!(lacks(pods.clone(), named.clone()), "");
        assert_eq!(lacks(named.clone(), pods), r#"{APIGroups:[""], Resources:["pods"], Verbs:["get"]}"#);
        assert_eq!(lacks(named, other), r#"{APIGroups:[""], Resources:["pods"], ResourceNames:["c"], Verbs:["get"]}"#);
    }

    #[test]
    fn paths_are_covered_by_patterns() {
        let paths = |paths: &[&str]| json!([{"verbs": ["get"], "nonResourceURLs": paths}]);
        assert_eq!(lacks(paths(&["/healthz/*"]), paths(&["/healthz/ping", "/healthz/*"])), "");
        assert_eq!(
            lacks(paths(&["/healthz/ping"]), paths(&["/healthz/*"])),
            r#"{NonResourceURLs:["/healthz/*"], Verbs:["get"]}"#
        );
    }
}
