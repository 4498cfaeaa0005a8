//! What is served, grouped and ordered as discovery shows it.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, HashMap},
};

use api_types::Resource;

use super::Foreign;

/// Upstream's priorities of the groups that are built in.
const PREFERRED: &[(&str, i32)] = &[
    ("", 18_000),
    ("apps", 17_800),
    ("events.k8s.io", 17_750),
    ("authentication.k8s.io", 17_700),
    ("authorization.k8s.io", 17_600),
    ("autoscaling", 17_500),
    ("batch", 17_400),
    ("certificates.k8s.io", 17_300),
    ("networking.k8s.io", 17_200),
    ("policy", 17_100),
    ("rbac.authorization.k8s.io", 17_000),
    ("storage.k8s.io", 16_800),
    ("admissionregistration.k8s.io", 16_700),
    ("apiextensions.k8s.io", 16_700),
    ("scheduling.k8s.io", 16_600),
    ("coordination.k8s.io", 16_500),
    ("node.k8s.io", 16_300),
    ("discovery.k8s.io", 16_200),
    ("resource.k8s.io", 16_200),
    ("flowcontrol.apiserver.k8s.io", 16_100),
];

/// Priorities of versions that are others than most.
const VERSIONS: &[(&str, &str, i32)] = &[
    ("", "v1", 1),
    ("autoscaling", "v2", 30),
    ("flowcontrol.apiserver.k8s.io", "v1", 21),
    ("resource.k8s.io", "v1", 20),
];
const USUAL_VERSION: i32 = 15;
/// The group of API services has none of its own, and comes before all others.
const AGGREGATOR: &str = "apiregistration.k8s.io";
const FIRST: i32 = 20_001;

/// How much a version of a group is preferred to others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Priority {
    /// That of the group is the largest of its versions'; clients resolve short names in this order.
    pub group: i32,
    /// That among the versions of the group.
    pub version: i32,
}

impl Priority {
    /// That of custom resources, and of whatever nobody has said anything about.
    pub const USUAL: Self = Self { group: 1000, version: 100 };

    /// Upstream's for a version of a built-in group.
    #[must_use]
    pub fn built_in(group: &str, version: &str) -> Option<Self> {
        let (_, minimum) = PREFERRED.iter().find(|(name, _)| *name == group)?;
        let own = VERSIONS.iter().find(|(name, own, _)| *name == group && *own == version);
        Some(Self { group: *minimum, version: own.map_or(USUAL_VERSION, |(_, _, priority)| *priority) })
    }
}

/// What API services say of priorities, where that is not the usual.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Priorities(HashMap<(String, String), Priority>);

impl Priorities {
    /// Takes over what an API service says of a version; `None` where there is none.
    pub fn set(&mut self, group: &str, version: &str, priority: Option<Priority>) {
        let usual = Priority::built_in(group, version).unwrap_or(Priority::USUAL);
        let key = (group.to_owned(), version.to_owned());
        match priority.filter(|priority| *priority != usual) {
            Some(priority) => drop(self.0.insert(key, priority)),
            None => drop(self.0.remove(&key)),
        }
    }

    fn of(&self, group: &str, version: &str) -> Priority {
        if group == AGGREGATOR {
            return Priority { group: FIRST, version: USUAL_VERSION };
        }
        let told = self.0.get(&(group.to_owned(), version.to_owned())).copied();
        told.or_else(|| Priority::built_in(group, version)).unwrap_or(Priority::USUAL)
    }
}

/// An API group with its versions, the preferred one first.
#[derive(Debug)]
pub struct Group<'a> {
    /// Empty for core.
    pub name: &'a str,
    /// Each version with its rows sorted by plural name.
    pub versions: Vec<Version<'a>>,
}

/// One version of a group.
#[derive(Debug)]
pub struct Version<'a> {
    /// Such as `v1`.
    pub name: &'a str,
    /// Its resources, where this server has them.
    pub rows: Vec<&'a Resource>,
    /// What another server tells of it, where that answers for it.
    pub foreign: Option<&'a Foreign>,
}

impl Group<'_> {
    /// `v1` or `apps/v1`.
    #[must_use]
    pub fn group_version(&self, version: &str) -> String {
        if self.name.is_empty() { version.to_owned() } else { format!("{}/{version}", self.name) }
    }
}

/// What discovery tells of.
#[derive(Clone, Debug)]
pub struct Contents<'a> {
    /// What this server has.
    pub rows: Vec<&'a Resource>,
    /// Group, version and resources of other servers.
    pub foreign: Vec<(&'a str, &'a str, &'a Foreign)>,
    /// In which order.
    pub priorities: &'a Priorities,
}

/// Groups and sorts: what is preferred first, and what is preferred equally by name, versions by maturity.
#[must_use]
pub fn group<'a>(contents: &Contents<'a>) -> Vec<Group<'a>> {
    let mut groups: BTreeMap<&str, BTreeMap<&str, Version<'a>>> = BTreeMap::new();
    let mut version = |group: &'a str, name: &'a str, row: Option<&'a Resource>, foreign: Option<&'a Foreign>| {
        let empty = || Version { name, rows: Vec::new(), foreign: None };
        let version = groups.entry(group).or_default().entry(name).or_insert_with(empty);
        version.rows.extend(row);
        version.foreign = foreign;
    };
    contents.rows.iter().for_each(|row| version(&row.group, &row.version, Some(row), None));
    contents.foreign.iter().for_each(|(group, name, foreign)| version(group, name, None, Some(foreign)));
    let mut sorted: Vec<_> = groups.into_iter().map(|(name, versions)| sorted(name, versions, contents)).collect();
    sorted.sort_by_key(|(priority, group)| (Reverse(*priority), group.name));
    sorted.into_iter().map(|(_, group)| group).collect()
}

fn sorted<'a>(name: &'a str, versions: BTreeMap<&'a str, Version<'a>>, contents: &Contents<'a>) -> (i32, Group<'a>) {
    let priority = |version: &Version<'_>| contents.priorities.of(name, version.name);
    let mut versions: Vec<Version<'a>> = versions.into_values().collect();
    versions
        .sort_by_key(|version| (Reverse(priority(version).version), Reverse(stability(version.name)), version.name));
    versions.iter_mut().for_each(|version| version.rows.sort_by(|a, b| a.plural.cmp(&b.plural)));
    let highest = versions.iter().map(|version| priority(version).group).max().unwrap_or_default();
    (highest, Group { name, versions })
}

/// Sorts `v2` above `v1` above `v2beta1` above `v1alpha3` above what is no Kubernetes version.
fn stability(version: &str) -> (u8, u32, u32) {
    let number = |digits: &str| digits.parse::<u32>().ok();
    let parse = || {
        let rest = version.strip_prefix('v')?;
        let (level, split) =
            [(2, "beta"), (1, "alpha")].iter().find_map(|(level, word)| Some((*level, rest.split_once(word)?))).unzip();
        match split {
            Some((major, minor)) => Some((level?, number(major)?, number(minor)?)),
            None => Some((3, number(rest)?, 0)),
        }
    };
    parse().unwrap_or((0, 0, 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_sort_by_stability_then_number() {
        let mut versions = ["v1alpha1", "v1", "foo", "v2beta1", "v2", "v11alpha2", "v1beta3", "v10"];
        versions.sort_by_key(|version| std::cmp::Reverse(stability(version)));
        assert_eq!(versions, ["v10", "v2", "v1", "v2beta1", "v1beta3", "v11alpha2", "v1alpha1", "foo"]);
    }

    #[test]
    fn api_services_say_what_is_preferred() {
        let mut priorities = Priorities::default();
        priorities.set("b.example.com", "v1", Some(Priority { group: 2000, version: 10 }));
        priorities.set("b.example.com", "v2", Some(Priority { group: 1500, version: 5 }));
        priorities.set("c.example.com", "v1", Some(Priority::USUAL));
        let foreign = Foreign::default();
        let all = [("c.example.com", "v1"), ("a.example.com", "v1"), ("b.example.com", "v2"), ("b.example.com", "v1")];
        let foreign = all.map(|(group, version)| (group, version, &foreign));
        let contents =
            Contents { rows: vec![&api_types::rows::PODS], foreign: foreign.into(), priorities: &priorities };
        let shown: Vec<String> = group(&contents)
            .iter()
            .flat_map(|group| group.versions.iter().map(|version| group.group_version(version.name)))
            .collect();
        assert_eq!(shown, ["v1", "b.example.com/v1", "b.example.com/v2", "a.example.com/v1", "c.example.com/v1"]);
        priorities.set("b.example.com", "v1", None);
        priorities.set("b.example.com", "v2", None);
        assert_eq!(priorities, Priorities::default());
    }
}
