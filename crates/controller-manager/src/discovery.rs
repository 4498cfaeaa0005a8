//! What resources the API server has.

use kube::{Client, core::discovery::v2::APIGroupDiscoveryList};

/// A resource whose objects can be deleted one by one.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct DeletableResource {
    /// Empty for core.
    pub group: String,
    /// Such as `v1`.
    pub version: String,
    /// Such as `Pod`.
    pub kind: String,
    /// Such as `pods`.
    pub plural: String,
    /// Whether its objects live in namespaces.
    pub namespaced: bool,
    /// Whether a namespace can be emptied of it with one request.
    pub delete_collection: bool,
    /// Whether it can be listed and watched.
    pub watchable: bool,
}

impl DeletableResource {
    /// `v1` or `apps/v1`.
    pub(crate) fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.clone() } else { format!("{}/{}", self.group, self.version) }
    }

    /// `pods` or `deployments.apps`.
    pub(crate) fn group_resource(&self) -> String {
        if self.group.is_empty() { self.plural.clone() } else { format!("{}.{}", self.plural, self.group) }
    }

    /// The path of the collection in a namespace; of the whole cluster when that is empty.
    pub(crate) fn path(&self, namespace: &str) -> String {
        let root = if self.group.is_empty() { "/api".to_owned() } else { format!("/apis/{}", self.group) };
        if namespace.is_empty() {
            format!("{root}/{}/{}", self.version, self.plural)
        } else {
            format!("{root}/{}/namespaces/{namespace}/{}", self.version, self.plural)
        }
    }
}

/// What was found, and which groups could not be asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Discovered {
    /// Every resource that can be deleted, in its group's preferred version.
    pub resources: Vec<DeletableResource>,
    /// Group versions whose server did not answer: their resources may be missing.
    pub stale: Vec<String>,
}

/// Asks the server what can be deleted.
pub(crate) async fn discover(client: &Client) -> Result<Discovered, kube::Error> {
    let core = client.list_core_api_versions_aggregated().await?;
    let groups = client.list_api_groups_aggregated().await?;
    let mut discovered = Discovered::default();
    collect(core, &mut discovered);
    collect(groups, &mut discovered);
    Ok(discovered)
}

/// Of each group the first version that has a resource counts: the server lists the preferred
/// version first.
fn collect(list: APIGroupDiscoveryList, discovered: &mut Discovered) {
    for group in list.items {
        let name = group.metadata.and_then(|metadata| metadata.name).unwrap_or_default();
        for version in group.versions {
            let version_name = version.version.unwrap_or_default();
            if version.freshness.as_deref() == Some("Stale") {
                discovered.stale.push(format!("{name}/{version_name}"));
            }
            for resource in version.resources {
                let plural = resource.resource.unwrap_or_default();
                let has = |verb: &str| resource.verbs.iter().any(|known| known == verb);
                let known = discovered.resources.iter().any(|r| r.group == name && r.plural == plural);
                if known || !has("delete") {
                    continue;
                }
                let watchable = has("list") && has("watch");
                let delete_collection = has("deletecollection");
                let kind = resource.response_kind.and_then(|kind| kind.kind).unwrap_or_default();
                let namespaced = resource.scope.as_deref() == Some("Namespaced");
                let (group, version) = (name.clone(), version_name.clone());
                discovered.resources.push(DeletableResource {
                    group,
                    version,
                    kind,
                    plural,
                    namespaced,
                    delete_collection,
                    watchable,
                });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn resources_are_taken_once_in_the_preferred_version() {
        let resource = |plural: &str, kind: &str, verbs: &[&str]| json!({"resource": plural, "responseKind": {"kind": kind}, "scope": "Namespaced", "verbs": verbs});
        let all = ["delete", "deletecollection", "list", "watch"];
        let list = json!({"items": [
            {"metadata": {"name": "apps"}, "versions": [
                {"version": "v2", "resources": [resource("sets", "Set", &all), resource("scales", "Scale", &["get"])]},
                {"version": "v1", "freshness": "Stale", "resources": [resource("sets", "Set", &all), resource("olds", "Old", &["delete"])]},
            ]},
        ]});
        let mut discovered = Discovered::default();
        collect(serde_json::from_value(list).unwrap(), &mut discovered);
        let paths: Vec<_> = discovered.resources.iter().map(|resource| resource.path("n")).collect();
        assert_eq!(paths, ["/apis/apps/v2/namespaces/n/sets", "/apis/apps/v1/namespaces/n/olds"]);
        assert!(discovered.resources[0].watchable && !discovered.resources[1].watchable);
        assert_eq!(discovered.resources[0].group_resource(), "sets.apps");
        assert_eq!(discovered.stale, ["apps/v1"]);
    }
}
