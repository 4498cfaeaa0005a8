//! Whether a rule allows what is asked.

use api_types::rbac::PolicyRule;
use component::auth::{Attributes, ResourceAttributes, Target};

/// Stands for every verb, group, resource or path.
const ALL: &str = "*";

/// Whether a rule allows this.
#[must_use]
pub fn allows(rule: &PolicyRule, attributes: &Attributes<'_>) -> bool {
    has(&rule.verbs, &attributes.verb)
        && match &attributes.target {
            Target::Path(path) => list(&rule.non_resource_urls).iter().any(|pattern| path_matches(pattern, path)),
            Target::Resource(place) => resource(rule, place),
        }
}

fn resource(rule: &PolicyRule, place: &ResourceAttributes<'_>) -> bool {
    let names = list(&rule.resource_names);
    has(list(&rule.api_groups), &place.group)
        && list(&rule.resources).iter().any(|pattern| resource_matches(pattern, place))
        && (names.is_empty() || names.iter().any(|name| *name == place.name))
}

/// `pods`, `pods/status`, `*/status` or `*`.
fn resource_matches(pattern: &str, place: &ResourceAttributes<'_>) -> bool {
    if pattern == ALL {
        return true;
    }
    match pattern.split_once('/') {
        Some((resource, subresource)) if !place.subresource.is_empty() => {
            subresource == place.subresource && (resource == ALL || resource == place.resource)
        }
        // A resource in a question may have a slash in it, when somebody else asks for it.
        _ => place.subresource.is_empty() && pattern == place.resource,
    }
}

/// `/healthz`, `/healthz/*` or `*`.
pub(super) fn path_matches(pattern: &str, path: &str) -> bool {
    pattern == path || (pattern.ends_with('*') && path.starts_with(pattern.trim_end_matches('*')))
}

fn has(list: &[String], item: &str) -> bool {
    list.iter().any(|own| own == ALL || own == item)
}

fn list(list: &Option<Vec<String>>) -> &[String] {
    list.as_deref().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use component::auth::User;

    use super::*;

    /// verbs groups resources names (or verbs paths), then what is asked: verb group resource name (or verb path).
    const CASES: &str = "\
get core pods - -> get core pods p: yes
get core pods - -> list core pods -: no
get core pods - -> get core pods/status p: no
get core pods/status - -> get core pods/status p: yes
get core pods/status - -> get core pods p: no
get core */status - -> get core pods/status p: yes
get core */status - -> get core pods p: no
get core */status - -> get core status p: no
get core * - -> get core pods/status p: yes
* * * - -> use example.com things/part t: yes
get apps pods - -> get core pods p: no
get core,apps pods - -> get core pods p: yes
get core pods a,b -> get core pods b: yes
get core pods a,b -> get core pods c: no
get core pods a,b -> get core pods -: no
get core pods - -> get /pods: no
get /healthz -> get /healthz: yes
get /healthz -> get /healthz/ping: no
get /healthz/* -> get /healthz/ping: yes
get /healthz/* -> get /healthz: no
get * -> get /anything: yes
get * -> post /anything: no
get * -> get core pods p: no
";

    fn words(text: &str) -> Option<Vec<String>> {
        let word = |word: &str| if word == "core" { String::new() } else { word.to_owned() };
        (text != "-").then(|| text.split(',').map(word).collect())
    }

    fn rule(text: &str) -> PolicyRule {
        match text.split(' ').collect::<Vec<_>>()[..] {
            [verbs, paths] => {
                PolicyRule { verbs: words(verbs).unwrap(), non_resource_urls: words(paths), ..PolicyRule::default() }
            }
            [verbs, groups, resources, names] => PolicyRule {
                verbs: words(verbs).unwrap(),
                api_groups: words(groups),
                resources: words(resources),
                resource_names: words(names),
                ..PolicyRule::default()
            },
            _ => panic!("{text}"),
        }
    }

    fn target(words: &[&str]) -> Target<'static> {
        let [group, resource, name] = words else { return Target::Path(words[0].to_owned().into()) };
        let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
        let or_empty = |word: &str| if matches!(word, "core" | "-") { String::new() } else { word.to_owned() };
        Target::Resource(ResourceAttributes {
            group: or_empty(group).into(),
            resource: resource.to_owned().into(),
            subresource: subresource.to_owned().into(),
            name: or_empty(name).into(),
            ..ResourceAttributes::default()
        })
    }

    #[test]
    fn rules_match_as_upstreams_do() {
        let user = User::anonymous();
        for line in CASES.lines() {
            let (given, expected) = line.rsplit_once(": ").unwrap();
            let (granted, asked) = given.split_once(" -> ").unwrap();
            let asked: Vec<&str> = asked.split(' ').collect();
            let asked = Attributes { user: &user, verb: asked[0].into(), target: target(&asked[1..]) };
            assert_eq!(allows(&rule(granted), &asked), expected == "yes", "{line}");
        }
    }
}
