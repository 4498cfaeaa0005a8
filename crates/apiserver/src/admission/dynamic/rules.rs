//! Which requests a rule is about: operations, groups, versions, resources, names.

use api_types::admissionregistration::{NamedRuleWithOperations, RuleWithOperations};

/// Where objects are that a rule is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scope {
    Namespaced,
    Cluster,
    Both,
}

/// What a rule is held against.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked<'a> {
    pub operation: &'a str,
    pub group: &'a str,
    pub version: &'a str,
    pub resource: &'a str,
    pub subresource: &'a str,
    /// That of a namespace is itself.
    pub namespace: &'a str,
    pub name: &'a str,
}

/// Which requests it is about.
#[derive(Clone, Debug)]
pub(super) struct Rule {
    operations: Vec<String>,
    groups: Vec<String>,
    versions: Vec<String>,
    resources: Vec<String>,
    scope: Scope,
    /// Whichever, when there are none.
    names: Vec<String>,
}

/// Implements the conversion of a type with the same fields.
macro_rules! rule_of {
    ($kind:ty, |$own:ident| $names:expr) => {
        impl From<&$kind> for Rule {
            fn from($own: &$kind) -> Self {
                let list = |list: &Option<Vec<String>>| list.clone().unwrap_or_default();
                Self {
                    operations: list(&$own.operations),
                    groups: list(&$own.api_groups),
                    versions: list(&$own.api_versions),
                    resources: list(&$own.resources),
                    scope: scope($own.scope.as_deref()),
                    names: $names,
                }
            }
        }
    };
}

rule_of!(RuleWithOperations, |own| Vec::new());
rule_of!(NamedRuleWithOperations, |own| own.resource_names.clone().unwrap_or_default());

fn scope(text: Option<&str>) -> Scope {
    match text {
        Some("Namespaced") => Scope::Namespaced,
        Some("Cluster") => Scope::Cluster,
        _ => Scope::Both,
    }
}

impl Rule {
    /// Whether it is about a request.
    pub(super) fn matches(&self, asked: &Asked<'_>) -> bool {
        has(&self.operations, asked.operation)
            && has(&self.groups, asked.group)
            && has(&self.versions, asked.version)
            && self.in_scope(asked)
            && self.resources.iter().any(|own| is_resource(own, asked))
            && (self.names.is_empty() || self.names.iter().any(|name| name == asked.name))
    }

    fn in_scope(&self, asked: &Asked<'_>) -> bool {
        let namespace_itself = asked.group.is_empty() && asked.resource == "namespaces";
        match self.scope {
            Scope::Both => true,
            Scope::Namespaced => !namespace_itself && !asked.namespace.is_empty(),
            Scope::Cluster => namespace_itself || asked.namespace.is_empty(),
        }
    }
}

fn has(list: &[String], wanted: &str) -> bool {
    list.iter().any(|own| own == "*" || own == wanted)
}

/// `pods`, `pods/status`, `pods/*`, `*/scale`, `*`, `*/*`: without a slash, no subresource is meant.
fn is_resource(own: &str, asked: &Asked<'_>) -> bool {
    let (resource, subresource) = own.split_once('/').unwrap_or((own, ""));
    (resource == "*" || resource == asked.resource) && (subresource == "*" || subresource == asked.subresource)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// operations groups versions resources scope names, then requests: operation group/version resource namespace name,
    /// those that match and those that do not.
    const CASES: &str = "\
* * * * * - | CREATE /v1 pods n p; UPDATE apps/v1 deployments n d; DELETE /v1 nodes - n | CREATE /v1 pods/status n p
* * * */* * - | CREATE /v1 pods n p; CONNECT /v1 pods/exec n p |
CREATE,UPDATE '' v1 pods * - | CREATE /v1 pods n p; UPDATE /v1 pods n p | DELETE /v1 pods n p; CREATE apps/v1 pods n p; CREATE /v2 pods n p; UPDATE /v1 pods/status n p
* '' v1 pods/* * - | CREATE /v1 pods n p; UPDATE /v1 pods/status n p | CREATE /v1 nodes - p
* '' v1 pods/status * - | UPDATE /v1 pods/status n p | UPDATE /v1 pods n p; UPDATE /v1 pods/exec n p
* * * */scale * - | UPDATE apps/v1 deployments/scale n d | UPDATE apps/v1 deployments n d
* * * * Namespaced - | CREATE /v1 pods n p | CREATE /v1 nodes - n; CREATE /v1 namespaces x x
* * * * Cluster - | CREATE /v1 nodes - n; UPDATE /v1 namespaces x x | CREATE /v1 pods n p
* * * pods * a,b | CREATE /v1 pods n a; CREATE /v1 pods n b | CREATE /v1 pods n c
";

    fn asked(text: &str) -> Asked<'_> {
        let words: Vec<&str> = text.split_whitespace().map(|word| if word == "-" { "" } else { word }).collect();
        let (group, version) = words[1].split_once('/').unwrap();
        let (resource, subresource) = words[2].split_once('/').unwrap_or((words[2], ""));
        Asked { operation: words[0], group, version, resource, subresource, namespace: words[3], name: words[4] }
    }

    #[test]
    fn rules_are_about_requests() {
        for line in CASES.lines() {
            let parts: Vec<&str> = line.split('|').collect();
            let words: Vec<&str> = parts[0].split_whitespace().collect();
            let list = |text: &str| text.trim_matches('\'').split(',').map(str::to_owned).collect::<Vec<_>>();
            let names = if words[5] == "-" { Vec::new() } else { list(words[5]) };
            let rule: NamedRuleWithOperations = serde_json::from_value(json!({
                "operations": list(words[0]), "apiGroups": list(words[1]), "apiVersions": list(words[2]),
                "resources": list(words[3]), "scope": words[4], "resourceNames": names,
            }))
            .unwrap();
            let rule = Rule::from(&rule);
            for (requests, expected) in [(parts[1], true), (parts[2], false)] {
                for request in requests.split(';').map(str::trim).filter(|request| !request.is_empty()) {
                    assert_eq!(rule.matches(&asked(request)), expected, "{line}: {request}");
                }
            }
        }
    }
}
