//! Whether somebody who has some rules has others, too: nobody gives away what they do not have.

use std::collections::{BTreeSet, HashMap};

use api_types::rbac::PolicyRule;

use super::rule::path_matches;

const ALL: &str = "*";
/// So many lines of rules are told.
const MOST_LINES: usize = 100;
/// So many bytes of rules are told: when they are more, the line that goes beyond is the last.
const MOST_TOLD: usize = 64 << 10;
/// So many bytes of rules are put into lines.
const MOST_COMPARED: usize = 4 << 20;

/// One verb with one resource (and name) or one path.
#[derive(Clone, Copy)]
pub struct Single<'a> {
    verb: &'a str,
    about: About<'a>,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum About<'a> {
    Resource { group: &'a str, resource: &'a str, name: Option<&'a str> },
    Path(&'a str),
}

/// What of `wanted` is not in `owned`, broken down as far as can be.
#[must_use]
pub fn missing<'a>(owned: &[&PolicyRule], wanted: &'a [PolicyRule]) -> Vec<Single<'a>> {
    let each = wanted.iter().flat_map(break_down);
    each.filter(|single| !owned.iter().any(|rule| covers(rule, single))).collect()
}

/// How many rules come of breaking these down.
#[must_use]
pub fn number_of_singles(rules: &[PolicyRule]) -> usize {
    let of = |rule: &PolicyRule| {
        let factors =
            [list(&rule.api_groups).len(), list(&rule.resources).len(), list(&rule.resource_names).len().max(1)];
        let about = factors.into_iter().fold(1, usize::saturating_mul);
        about.saturating_add(list(&rule.non_resource_urls).len()).saturating_mul(rule.verbs.len())
    };
    rules.iter().map(of).fold(0, usize::saturating_add)
}

/// What together says the same as a rule.
fn break_down(rule: &PolicyRule) -> impl Iterator<Item = Single<'_>> {
    let names: Vec<Option<&str>> = match list(&rule.resource_names) {
        [] => vec![None],
        names => names.iter().map(|name| Some(name.as_str())).collect(),
    };
    let places =
        list(&rule.api_groups).iter().flat_map(move |group| list(&rule.resources).iter().map(move |own| (group, own)));
    let of_resources = places.flat_map(move |(group, resource)| {
        let names = names.clone();
        rule.verbs.iter().flat_map(move |verb| {
            let names = names.clone().into_iter();
            names.map(move |name| Single { verb, about: About::Resource { group, resource, name } })
        })
    });
    let of_paths = list(&rule.non_resource_urls)
        .iter()
        .flat_map(move |path| rule.verbs.iter().map(move |verb| Single { verb, about: About::Path(path) }));
    of_resources.chain(of_paths)
}

/// Whether a rule says what a single one says.
fn covers(owned: &PolicyRule, single: &Single<'_>) -> bool {
    let names = list(&owned.resource_names);
    let has = |items: &[String], wanted: &str| items.iter().any(|item| item == ALL || item == wanted);
    has(&owned.verbs, single.verb)
        && match single.about {
            About::Resource { group, resource, name } => {
                has(list(&owned.api_groups), group)
                    && covers_resource(list(&owned.resources), resource)
                    && (names.is_empty() || name.is_some_and(|name| names.iter().any(|own| own == name)))
            }
            About::Path(path) => {
                let patterns = list(&owned.non_resource_urls);
                names.is_empty() && patterns.iter().any(|pattern| path_matches(pattern, path))
            }
        }
}

fn covers_resource(owned: &[String], resource: &str) -> bool {
    let subresource = resource.split_once('/').map(|(_, subresource)| subresource);
    let of_all = |own: &String| own.strip_prefix("*/").is_some_and(|own| Some(own) == subresource);
    owned.iter().any(|own| own == ALL || own == resource || of_all(own))
}

fn list(list: &Option<Vec<String>>) -> &[String] {
    list.as_deref().unwrap_or_default()
}

/// Single rules as upstream's messages tell them: those that differ in their verb only are one line. When they are very
/// many, some.
#[must_use]
pub fn describe(single: &[Single<'_>]) -> String {
    let mut compact: Vec<(About<'_>, Vec<&str>)> = Vec::new();
    let mut places: HashMap<About<'_>, usize> = HashMap::new();
    let mut bytes = 0;
    let compared = single.iter().take_while(|single| {
        let before = bytes;
        bytes += single.bytes();
        before < MOST_COMPARED
    });
    let mut left = single.len();
    for Single { verb, about } in compared {
        left -= 1;
        match places.get(about) {
            Some(place) => compact[*place].1.push(verb),
            None => {
                if matches!(about, About::Resource { .. }) {
                    places.insert(*about, compact.len());
                }
                compact.push((*about, vec![verb]));
            }
        }
    }
    let (mut lines, mut told) = (BTreeSet::new(), 0);
    for (about, verbs) in compact {
        if lines.len() >= MOST_LINES || told >= MOST_TOLD {
            left += verbs.len();
            continue;
        }
        let line = describe_one(about, &verbs);
        told += line.len();
        lines.insert(line);
    }
    let more = (left > 0).then(|| format!("and {left} more"));
    lines.into_iter().chain(more).collect::<Vec<_>>().join("\n")
}

fn describe_one(about: About<'_>, verbs: &[&str]) -> String {
    let verbs = quoted(verbs);
    match about {
        About::Resource { group, resource, name } => {
            let names = name.map(|name| format!(", ResourceNames:{}", quoted(&[name]))).unwrap_or_default();
            format!("{{APIGroups:[{group:?}], Resources:[{resource:?}]{names}, Verbs:{verbs}}}")
        }
        About::Path(path) => format!("{{NonResourceURLs:[{path:?}], Verbs:{verbs}}}"),
    }
}

impl Single<'_> {
    fn bytes(&self) -> usize {
        let about = match self.about {
            About::Resource { group, resource, name } => group.len() + resource.len() + name.unwrap_or_default().len(),
            About::Path(path) => path.len(),
        };
        self.verb.len() + about
    }
}

impl From<Single<'_>> for PolicyRule {
    fn from(single: Single<'_>) -> Self {
        let one = |text: &str| Some(vec![text.to_owned()]);
        let verbs = vec![single.verb.to_owned()];
        match single.about {
            About::Resource { group, resource, name } => Self {
                verbs,
                api_groups: one(group),
                resources: one(resource),
                resource_names: name.and_then(one),
                non_resource_urls: None,
            },
            About::Path(path) => Self { verbs, non_resource_urls: one(path), ..Self::default() },
        }
    }
}

/// A list as Go's `%q` writes it.
#[must_use]
pub fn quoted<T: std::fmt::Debug>(items: &[T]) -> String {
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

    #[test]
    fn some_of_very_many_are_told() {
        let many: Vec<String> = (0..200).map(|i| format!("r{i}")).collect();
        let wanted = rules(json!([{"verbs": many, "apiGroups": many, "resources": ["pods", "nodes"]}]));
        assert_eq!(number_of_singles(&wanted), 80_000);
        let told = describe(&missing(&[], &wanted));
        assert!(told.len() < 200_000 && told.lines().count() <= MOST_LINES + 1, "{} bytes", told.len());
        assert!(told.lines().last().unwrap().ends_with(" more"), "{told}");
        let long = "x".repeat(1 << 20);
        let wanted = rules(json!([{"verbs": [long], "apiGroups": many, "resources": many}]));
        assert!(describe(&missing(&[], &wanted)).len() < 2 << 20, "one long word is not told forty thousand times");
    }

    #[test]
    fn single_rules_are_counted_before_they_are_made() {
        let count = |value: Value| number_of_singles(&rules(value));
        let mixed = json!([
            {"verbs": ["get", "list"], "apiGroups": [""], "resources": ["pods", "nodes"], "resourceNames": ["a", "b", "c"]},
            {"verbs": ["get"], "nonResourceURLs": ["/a", "/b"]},
            {"verbs": [], "apiGroups": [""], "resources": ["pods"]},
        ]);
        assert_eq!(count(mixed.clone()), 14);
        assert_eq!(missing(&[], &rules(mixed)).len(), 14);
        let many = vec!["x"; 1000];
        let product = json!([{"verbs": many, "apiGroups": many, "resources": many, "resourceNames": many}]);
        assert_eq!(count(product), 1_000_000_000_000);
    }
}
