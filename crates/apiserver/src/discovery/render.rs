//! Discovery's JSON documents from grouped rows.

use api_types::{Resource, Scope, Subresource};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::groups::{Group, Version};

/// `/api`. `server_address` is the `host:port` that clients without another hint should use.
#[must_use]
pub fn api_versions(core: Option<&Group<'_>>, server_address: &str) -> Value {
    let versions: Vec<_> = core.iter().flat_map(|group| &group.versions).map(|version| version.name).collect();
    json!({
        "kind": "APIVersions",
        "versions": versions,
        "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": server_address}],
    })
}

/// `/apis`: every group but core.
#[must_use]
pub fn api_group_list(groups: &[Group<'_>]) -> Value {
    let groups: Vec<_> = groups.iter().filter(|group| !group.name.is_empty()).map(api_group).collect();
    json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})
}

/// `/apis/<group>`, with its own kind and version, which the entries of `/apis` lack.
#[must_use]
pub fn api_group_document(group: &Group<'_>) -> Value {
    let mut document = json!({"kind": "APIGroup", "apiVersion": "v1"});
    if let (Value::Object(document), Value::Object(fields)) = (&mut document, api_group(group)) {
        document.extend(fields);
    }
    document
}

fn api_group(group: &Group<'_>) -> Value {
    let versions: Vec<_> = group
        .versions
        .iter()
        .map(|version| json!({"groupVersion": group.group_version(version.name), "version": version.name}))
        .collect();
    json!({"name": group.name, "preferredVersion": versions.first(), "versions": versions})
}

/// `/api/v1` or `/apis/<group>/<version>`.
#[must_use]
pub fn api_resource_list(group: &Group<'_>, version: &Version<'_>) -> Value {
    let resources: Vec<_> = version.rows.iter().flat_map(|row| api_resources(row)).collect();
    json!({
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": group.group_version(version.name),
        "resources": resources,
    })
}

/// A row and its subresources, as entries of an `APIResourceList`.
fn api_resources(row: &Resource) -> Vec<Value> {
    let main = json!({
        "name": row.plural,
        "singularName": row.singular,
        "namespaced": row.namespaced(),
        "kind": row.kind,
        "verbs": row.verbs,
        "storageVersionHash": storage_version_hash(row),
    });
    let mut entries = vec![with_names(main, row)];
    entries.extend(sorted(&row.subresources).into_iter().map(|sub| {
        let mut entry = json!({
            "name": format!("{}/{}", row.plural, sub.name),
            "singularName": "",
            "namespaced": row.namespaced(),
            "kind": sub.kind,
            "verbs": sub.verbs,
        });
        if (&sub.group, &sub.version) != (&row.group, &row.version) {
            entry["group"] = (*sub.group).into();
            entry["version"] = (*sub.version).into();
        }
        entry
    }));
    entries
}

/// `/api` or `/apis` as an `APIGroupDiscoveryList` of `apidiscovery.k8s.io/<version>`.
#[must_use]
pub fn aggregated<'a>(groups: impl Iterator<Item = &'a Group<'a>>, version: &str) -> Value {
    json!({
        "kind": "APIGroupDiscoveryList",
        "apiVersion": format!("apidiscovery.k8s.io/{version}"),
        "metadata": {},
        "items": groups.map(aggregated_group).collect::<Vec<_>>(),
    })
}

fn aggregated_group(group: &Group<'_>) -> Value {
    let versions: Vec<_> = group
        .versions
        .iter()
        .map(|version| {
            let resources: Vec<_> = version.rows.iter().map(|row| aggregated_resource(row)).collect();
            json!({"version": version.name, "resources": resources, "freshness": "Current"})
        })
        .collect();
    let metadata = if group.name.is_empty() { json!({}) } else { json!({"name": group.name}) };
    json!({"metadata": metadata, "versions": versions})
}

fn aggregated_resource(row: &Resource) -> Value {
    let scope = match row.scope {
        Scope::Namespaced => "Namespaced",
        Scope::Cluster => "Cluster",
    };
    let mut entry = with_names(
        json!({
            "resource": row.plural,
            "responseKind": {"group": row.group, "version": row.version, "kind": row.kind},
            "scope": scope,
            "singularResource": row.singular,
            "verbs": row.verbs,
        }),
        row,
    );
    if !row.subresources.is_empty() {
        let subresources: Vec<_> = sorted(&row.subresources)
            .into_iter()
            .map(|sub| {
                json!({
                    "subresource": sub.name,
                    "responseKind": {"group": sub.group, "version": sub.version, "kind": sub.kind},
                    "verbs": sub.verbs,
                })
            })
            .collect();
        entry["subresources"] = subresources.into();
    }
    entry
}

fn sorted(subresources: &[Subresource]) -> Vec<&Subresource> {
    let mut sorted: Vec<_> = subresources.iter().collect();
    sorted.sort_by(|a, b| a.name.cmp(&b.name));
    sorted
}

fn with_names(mut entry: Value, row: &Resource) -> Value {
    let mut names = Map::new();
    for (name, list) in [("shortNames", &row.short_names), ("categories", &row.categories)] {
        let list: Vec<&str> = list.iter().collect();
        if !list.is_empty() {
            names.insert(name.to_owned(), list.into());
        }
    }
    if let Value::Object(entry) = &mut entry {
        entry.extend(names);
    }
    entry
}

/// Upstream's hash of the group, version and kind in which a resource is stored.
fn storage_version_hash(row: &Resource) -> String {
    let kind = format!("{}/{}/{}", row.group, row.version, row.kind);
    STANDARD.encode(&Sha256::digest(kind)[..8])
}
