//! The rows, grouped and ordered as discovery shows them.

use std::{cmp::Reverse, collections::BTreeMap};

use api_types::Resource;

/// Groups in the order in which upstream prefers them (the group priorities of its API services);
/// clients resolve short names in this order. Groups that are not named follow alphabetically.
const PREFERRED: &[&str] = &[
    "",
    "apiregistration.k8s.io",
    "apps",
    "events.k8s.io",
    "authentication.k8s.io",
    "authorization.k8s.io",
    "autoscaling",
    "batch",
    "certificates.k8s.io",
    "networking.k8s.io",
    "policy",
    "rbac.authorization.k8s.io",
    "storage.k8s.io",
    "admissionregistration.k8s.io",
    "apiextensions.k8s.io",
    "scheduling.k8s.io",
    "coordination.k8s.io",
    "node.k8s.io",
    "discovery.k8s.io",
    "resource.k8s.io",
    "flowcontrol.apiserver.k8s.io",
];

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
        let preference = PREFERRED.iter().position(|name| *name == row.group).unwrap_or(PREFERRED.len());
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
