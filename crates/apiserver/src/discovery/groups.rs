//! The rows, grouped and ordered as discovery shows them.

use std::{cmp::Reverse, collections::BTreeMap};

use api_types::Resource;

/// Groups in the order in which upstream prefers them, each with the priority of its API services; clients resolve short
/// names in this order. Groups that are not named follow alphabetically.
const PREFERRED: &[(&str, i32)] = &[
    ("", 18_000),
    // The API server's own aggregator is asked before all others but the core, and has no API service.
    ("apiregistration.k8s.io", 0),
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

/// How upstream's API services prefer a version of a built-in group: the group's priority, and that of the version
/// among those of its group.
#[must_use]
pub fn priorities(group: &str, version: &str) -> Option<(i32, i32)> {
    let (_, minimum) = PREFERRED.iter().find(|(name, _)| *name == group)?;
    let own = VERSIONS.iter().find(|(name, own, _)| *name == group && *own == version);
    Some((*minimum, own.map_or(USUAL_VERSION, |(_, _, priority)| *priority)))
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
    /// Its resources.
    pub rows: Vec<&'a Resource>,
}

impl Group<'_> {
    /// `v1` or `apps/v1`.
    #[must_use]
    pub fn group_version(&self, version: &str) -> String {
        if self.name.is_empty() { version.to_owned() } else { format!("{}/{version}", self.name) }
    }
}

/// Groups and sorts the rows.
#[must_use]
pub fn group<'a>(rows: impl IntoIterator<Item = &'a Resource>) -> Vec<Group<'a>> {
    let mut groups: BTreeMap<_, BTreeMap<_, Vec<&Resource>>> = BTreeMap::new();
    for row in rows {
        let preference = PREFERRED.iter().position(|(name, _)| *name == row.group).unwrap_or(PREFERRED.len());
        let versions = groups.entry((preference, &*row.group)).or_default();
        versions.entry((Reverse(stability(&row.version)), &*row.version)).or_default().push(row);
    }
    groups
        .into_iter()
        .map(|((_, name), versions)| Group { name, versions: versions.into_iter().map(version).collect() })
        .collect()
}

fn version<'a, K>(((_, name), mut rows): ((K, &'a str), Vec<&'a Resource>)) -> Version<'a> {
    rows.sort_by(|a, b| a.plural.cmp(&b.plural));
    Version { name, rows }
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
    use super::stability;

    #[test]
    fn versions_sort_by_stability_then_number() {
        let mut versions = ["v1alpha1", "v1", "foo", "v2beta1", "v2", "v11alpha2", "v1beta3", "v10"];
        versions.sort_by_key(|version| std::cmp::Reverse(stability(version)));
        assert_eq!(versions, ["v10", "v2", "v1", "v2beta1", "v1beta3", "v11alpha2", "v1alpha1", "foo"]);
    }
}
