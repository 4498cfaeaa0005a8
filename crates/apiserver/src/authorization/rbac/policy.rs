//! The roles and bindings that every cluster has, read from the table beside this file.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::LazyLock,
};

use api_types::{
    meta::{LabelSelector, ObjectMeta},
    rbac::{AggregationRule, ClusterRole, ClusterRoleBinding, PolicyRule, Role, RoleBinding, RoleRef, Subject},
};

const TABLE: &str = include_str!("policy.txt");
const GROUP: &str = "rbac.authorization.k8s.io";

/// Who finds this to be `false` on an object leaves it alone.
pub const AUTO_UPDATE: &str = "rbac.authorization.kubernetes.io/autoupdate";

const READ: [&str; 3] = ["get", "list", "watch"];
const WRITE: [&str; 5] = ["create", "delete", "deletecollection", "patch", "update"];

/// The objects that every cluster has.
#[derive(Debug, Default)]
pub struct Policy {
    /// Of the cluster.
    pub cluster_roles: Vec<ClusterRole>,
    /// Of the cluster.
    pub cluster_role_bindings: Vec<ClusterRoleBinding>,
    /// Of some namespaces.
    pub roles: Vec<Role>,
    /// Of some namespaces.
    pub role_bindings: Vec<RoleBinding>,
}

/// The objects that every cluster has.
#[must_use]
pub fn policy() -> &'static Policy {
    static POLICY: LazyLock<Policy> = LazyLock::new(|| parse(TABLE));
    &POLICY
}

/// The rules of a default cluster role; none for another.
#[must_use]
pub fn rules(name: &str) -> &'static [PolicyRule] {
    let role = policy().cluster_roles.iter().find(|role| role.metadata.name.as_deref() == Some(name));
    role.and_then(|role| role.rules.as_deref()).unwrap_or_default()
}

fn parse(table: &str) -> Policy {
    let mut policy = Policy::default();
    let lines = logical_lines(table);
    for block in lines.chunk_by(|_, next| next.starts_with(' ')) {
        if let [head, body @ ..] = block {
            policy.add(head, body);
        }
    }
    policy
}

/// The lines without comments, each with those that go on with it.
fn logical_lines(table: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for line in table.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        match (line.strip_prefix("    "), lines.last_mut()) {
            (Some(rest), Some(last)) => last.push_str(rest),
            _ => lines.push(line.to_owned()),
        }
    }
    lines
}

/// What a line below a role says.
enum Line {
    Rule(PolicyRule),
    /// Name, if it is not the role's, and subjects.
    Binding(Option<String>, Vec<Subject>),
}

impl Policy {
    fn add(&mut self, head: &str, body: &[String]) {
        let (mut rules, mut bindings) = (Vec::new(), Vec::new());
        for line in body.iter().filter_map(|line| parse_line(line)) {
            match line {
                Line::Rule(rule) => rules.push(rule),
                Line::Binding(name, subjects) => bindings.push((name, subjects)),
            }
        }
        let rules = some(rules);
        match *head.split(' ').collect::<Vec<_>>() {
            ["clusterrole", name, ref marks @ ..] => {
                let (labels, aggregation_rule) = aggregation(marks);
                self.cluster_roles.push(ClusterRole { metadata: metadata("", name, labels), aggregation_rule, rules });
                let bound = bindings.into_iter().map(|(own, subjects)| ClusterRoleBinding {
                    metadata: metadata("", own.as_deref().unwrap_or(name), Vec::new()),
                    role_ref: role_ref("ClusterRole", name),
                    subjects: some(subjects),
                });
                self.cluster_role_bindings.extend(bound);
            }
            ["role", namespace, name] => {
                self.roles.push(Role { metadata: metadata(namespace, name, Vec::new()), rules });
                let bound = bindings.into_iter().map(|(own, subjects)| RoleBinding {
                    metadata: metadata(namespace, own.as_deref().unwrap_or(name), Vec::new()),
                    role_ref: role_ref("Role", name),
                    subjects: some(subjects),
                });
                self.role_bindings.extend(bound);
            }
            _ => {}
        }
    }
}

fn some<T>(list: Vec<T>) -> Option<Vec<T>> {
    Some(list).filter(|list| !list.is_empty())
}

fn role_ref(kind: &str, name: &str) -> RoleRef {
    RoleRef { api_group: Some(GROUP.to_owned()), kind: kind.to_owned(), name: name.to_owned() }
}

fn aggregation_label(to: &str) -> (String, String) {
    (format!("{GROUP}/aggregate-to-{to}"), "true".to_owned())
}

/// The labels of a cluster role, and which roles it gathers.
fn aggregation(marks: &[&str]) -> (Vec<(String, String)>, Option<AggregationRule>) {
    let labels = marks.iter().filter_map(|mark| mark.strip_prefix('+')).map(aggregation_label).collect();
    let gathers = marks.iter().skip_while(|mark| **mark != "gathers").nth(1);
    let rule = gathers.map(|to| {
        let match_labels = Some(BTreeMap::from([aggregation_label(to)]));
        let selector = LabelSelector { match_labels, ..LabelSelector::default() };
        AggregationRule { cluster_role_selectors: Some(vec![selector]) }
    });
    (labels, rule)
}

fn metadata(namespace: &str, name: &str, labels: Vec<(String, String)>) -> ObjectMeta {
    let own = ("kubernetes.io/bootstrapping".to_owned(), "rbac-defaults".to_owned());
    ObjectMeta {
        name: Some(name.to_owned()),
        namespace: Some(namespace.to_owned()).filter(|namespace| !namespace.is_empty()),
        annotations: Some(BTreeMap::from([(AUTO_UPDATE.to_owned(), "true".to_owned())])),
        labels: Some(labels.into_iter().chain([own]).collect()),
        ..ObjectMeta::default()
    }
}

fn parse_line(line: &str) -> Option<Line> {
    let words: Vec<&str> = line.split_whitespace().collect();
    match *words {
        ["to", ref subjects @ ..] => Some(Line::Binding(None, subjects.iter().filter_map(|s| subject(s)).collect())),
        ["as", name, "to", ref subjects @ ..] => {
            Some(Line::Binding(Some(name.to_owned()), subjects.iter().filter_map(|s| subject(s)).collect()))
        }
        [verbs, paths] => {
            let rule =
                PolicyRule { verbs: self::verbs(verbs), non_resource_urls: list(paths), ..PolicyRule::default() };
            Some(Line::Rule(rule))
        }
        [verbs, groups, resources, ref names @ ..] => Some(Line::Rule(PolicyRule {
            verbs: self::verbs(verbs),
            api_groups: list(groups),
            resources: list(resources),
            resource_names: names.first().and_then(|names| list(names)),
            non_resource_urls: None,
        })),
        _ => None,
    }
}

fn verbs(words: &str) -> Vec<String> {
    let mut all = BTreeSet::new();
    for word in words.split(',') {
        match word {
            "READ" => all.extend(READ),
            "WRITE" => all.extend(WRITE),
            verb => {
                all.insert(verb);
            }
        }
    }
    all.into_iter().map(str::to_owned).collect()
}

fn list(words: &str) -> Option<Vec<String>> {
    let word = |word: &str| if word == "core" { String::new() } else { word.to_owned() };
    Some(words.split(',').map(word).collect())
}

fn subject(word: &str) -> Option<Subject> {
    let (kind, name) = word.split_once(':')?;
    let (kind, group, namespace, name) = match kind {
        "user" => ("User", Some(GROUP), None, name),
        "group" => ("Group", Some(GROUP), None, name),
        _ => {
            let (namespace, name) = name.split_once('/')?;
            ("ServiceAccount", None, Some(namespace), name)
        }
    };
    Some(Subject {
        kind: kind.to_owned(),
        name: name.to_owned(),
        namespace: namespace.map(str::to_owned),
        api_group: group.map(str::to_owned),
    })
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use serde::de::DeserializeOwned;

    use super::*;

    /// The folder of upstream's documents; `None` where it is not at hand.
    fn reference() -> Option<PathBuf> {
        let beside = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/reference");
        let named = std::env::var_os("FERROKUBE_REFERENCE").map(PathBuf::from);
        let demanded = named.is_some();
        let path = named.unwrap_or(beside).join("rbac");
        if path.is_dir() {
            return Some(path);
        }
        assert!(!demanded, "FERROKUBE_REFERENCE has no rbac");
        eprintln!("SKIPPED: no {}; FERROKUBE_REFERENCE can name its folder", path.display());
        None
    }

    fn read<T: DeserializeOwned>(folder: &std::path::Path, files: &[&str]) -> Vec<T> {
        let items = files.iter().flat_map(|file| {
            let text = std::fs::read_to_string(folder.join(file)).unwrap();
            api_types::yaml::from_str(&text).unwrap()["items"].as_array().unwrap().clone()
        });
        items.map(|item| serde_json::from_value(item).unwrap()).collect()
    }

    #[test]
    fn the_table_says_what_upstream_says() {
        let Some(folder) = reference() else { return };
        let Policy { cluster_roles, cluster_role_bindings, roles, role_bindings } = policy();
        // That of upstream's metrics server, which is no part of the API server there.
        let mut cluster_roles = cluster_roles.clone();
        cluster_roles.retain(|role| role.metadata.name.as_deref() != Some("system:aggregated-metrics-reader"));
        assert_eq!(cluster_roles, read::<ClusterRole>(&folder, &["cluster-roles.yaml", "controller-roles.yaml"]));
        let expected: Vec<ClusterRoleBinding> =
            read(&folder, &["cluster-role-bindings.yaml", "controller-role-bindings.yaml"]);
        assert_eq!(by_name(cluster_role_bindings), by_name(&expected));
        assert_eq!(roles, &read(&folder, &["namespace-roles.yaml"]));
        let expected: Vec<RoleBinding> = read(&folder, &["namespace-role-bindings.yaml"]);
        assert_eq!(role_bindings.len(), expected.len());
        assert!(expected.iter().all(|binding| role_bindings.contains(binding)));
    }

    fn by_name(bindings: &[ClusterRoleBinding]) -> BTreeMap<Option<&String>, &ClusterRoleBinding> {
        bindings.iter().map(|binding| (binding.metadata.name.as_ref(), binding)).collect()
    }

    #[test]
    fn every_line_is_understood() {
        let lines = logical_lines(TABLE);
        assert!(lines.iter().filter(|line| line.starts_with(' ')).all(|line| parse_line(line).is_some()));
        let heads = lines.iter().filter(|line| !line.starts_with(' ')).count();
        assert_eq!(heads, policy().cluster_roles.len() + policy().roles.len());
        assert!(!rules("system:node").is_empty());
    }
}
