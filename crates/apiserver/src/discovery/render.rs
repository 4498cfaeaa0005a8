//! Discovery's JSON documents from grouped rows, their fields in the order in which upstream writes them.

use api_types::{Resource, Scope, Subresource, meta::APIResource, rows};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::{
    foreign::{Foreign, Freshness},
    groups::{Group, Version},
};

/// `/api`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ApiVersions<'a> {
    kind: &'static str,
    versions: Vec<&'a str>,
    #[serde(rename = "serverAddressByClientCIDRs")]
    server_addresses: [ServerAddress<'a>; 1],
}

#[derive(Serialize)]
struct ServerAddress<'a> {
    #[serde(rename = "clientCIDR")]
    clients: &'static str,
    #[serde(rename = "serverAddress")]
    server: &'a str,
}

/// `/api`. `server_address` is the `host:port` that clients without another hint should use.
#[must_use]
pub fn api_versions<'a>(core: Option<&Group<'a>>, server_address: &'a str) -> ApiVersions<'a> {
    ApiVersions {
        kind: "APIVersions",
        versions: core.iter().flat_map(|group| &group.versions).map(|version| version.name).collect(),
        server_addresses: [ServerAddress { clients: "0.0.0.0/0", server: server_address }],
    }
}

/// `/apis`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ApiGroupList<'a> {
    kind: &'static str,
    api_version: &'static str,
    groups: Vec<ApiGroup<'a>>,
}

/// A group: `/apis/<group>`, and without kind and version an entry of `/apis`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ApiGroup<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    api_version: Option<&'static str>,
    name: &'a str,
    versions: Vec<GroupVersion<'a>>,
    preferred_version: Option<GroupVersion<'a>>,
}

#[derive(Clone, Serialize)]
#[serde(rename_all = "camelCase")]
struct GroupVersion<'a> {
    group_version: String,
    version: &'a str,
}

/// `/apis`: every group but core.
#[must_use]
pub fn api_group_list<'a>(groups: &[Group<'a>]) -> ApiGroupList<'a> {
    let groups = groups.iter().filter(|group| !group.name.is_empty()).map(api_group).collect();
    ApiGroupList { kind: "APIGroupList", api_version: "v1", groups }
}

/// `/apis/<group>`, with its own kind and version, which the entries of `/apis` lack.
#[must_use]
pub fn api_group_document<'a>(group: &Group<'a>) -> ApiGroup<'a> {
    ApiGroup { kind: Some("APIGroup"), api_version: Some("v1"), ..api_group(group) }
}

fn api_group<'a>(group: &Group<'a>) -> ApiGroup<'a> {
    let version = |version: &Version<'a>| GroupVersion {
        group_version: group.group_version(version.name),
        version: version.name,
    };
    let versions: Vec<_> = group.versions.iter().map(version).collect();
    let preferred_version = versions.first().cloned();
    ApiGroup { kind: None, api_version: None, name: group.name, versions, preferred_version }
}

/// `/api/v1` or `/apis/<group>/<version>`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ApiResourceList<'a> {
    kind: &'static str,
    /// The oldest of these lists has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    api_version: Option<&'static str>,
    group_version: String,
    resources: Vec<ApiResource<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ApiResource<'a> {
    name: String,
    singular_name: &'a str,
    namespaced: bool,
    #[serde(skip_serializing_if = "str::is_empty")]
    group: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    version: &'a str,
    kind: &'a str,
    verbs: Vec<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    short_names: Vec<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    categories: Vec<&'a str>,
    #[serde(skip_serializing_if = "String::is_empty")]
    storage_version_hash: String,
}

/// The resources of one version.
#[must_use]
pub fn api_resource_list<'a>(group: &Group<'a>, version: &Version<'a>) -> ApiResourceList<'a> {
    ApiResourceList {
        kind: "APIResourceList",
        api_version: (!group.name.is_empty()).then_some("v1"),
        group_version: group.group_version(version.name),
        resources: version.rows.iter().flat_map(|row| api_resources(row)).collect(),
    }
}

/// A row and its subresources, as entries of an `APIResourceList`.
fn api_resources(row: &Resource) -> Vec<ApiResource<'_>> {
    let mut entries = vec![ApiResource {
        name: row.plural.to_string(),
        singular_name: &row.singular,
        namespaced: row.namespaced(),
        group: "",
        version: "",
        kind: &row.kind,
        verbs: row.verbs.to_vec(),
        short_names: row.short_names.iter().collect(),
        categories: row.categories.iter().collect(),
        storage_version_hash: storage_version_hash(row),
    }];
    entries.extend(sorted(&row.subresources).into_iter().map(|sub| {
        let (group, version) = foreign(row, sub);
        ApiResource {
            name: format!("{}/{}", row.plural, sub.name),
            singular_name: "",
            namespaced: row.namespaced(),
            group,
            version,
            kind: &sub.kind,
            verbs: sub.verbs.to_vec(),
            short_names: Vec::new(),
            categories: Vec::new(),
            storage_version_hash: String::new(),
        }
    }));
    entries
}

/// Group and version of what a subresource reads and writes, empty where they are the resource's own.
fn foreign<'a>(row: &Resource, sub: &'a Subresource) -> (&'a str, &'a str) {
    if (&sub.group, &sub.version) == (&row.group, &row.version) { ("", "") } else { (&sub.group, &sub.version) }
}

/// `/api` or `/apis` as an `APIGroupDiscoveryList` of `apidiscovery.k8s.io/v2`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Aggregated<'a> {
    kind: &'static str,
    api_version: &'static str,
    metadata: Metadata<'a>,
    items: Vec<AggregatedGroup<'a>>,
}

#[derive(Default, Serialize)]
struct Metadata<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    name: &'a str,
}

#[derive(Serialize)]
struct AggregatedGroup<'a> {
    metadata: Metadata<'a>,
    versions: Vec<AggregatedVersion<'a>>,
}

#[derive(Serialize)]
struct AggregatedVersion<'a> {
    version: &'a str,
    resources: Vec<AggregatedResource<'a>>,
    freshness: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct AggregatedResource<'a> {
    resource: &'a str,
    response_kind: ResponseKind<'a>,
    scope: &'static str,
    singular_resource: &'a str,
    verbs: Vec<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    short_names: Vec<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    categories: Vec<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    subresources: Vec<AggregatedSubresource<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct AggregatedSubresource<'a> {
    subresource: &'a str,
    response_kind: ResponseKind<'a>,
    verbs: Vec<&'a str>,
}

/// What is answered; group and version are empty where they are those of the list.
#[derive(Serialize)]
struct ResponseKind<'a> {
    group: &'a str,
    version: &'a str,
    kind: &'a str,
}

/// Everything about some groups in one document.
#[must_use]
pub fn aggregated<'a>(groups: impl Iterator<Item = &'a Group<'a>>) -> Aggregated<'a> {
    Aggregated {
        kind: "APIGroupDiscoveryList",
        api_version: "apidiscovery.k8s.io/v2",
        metadata: Metadata::default(),
        items: groups.map(aggregated_group).collect(),
    }
}

fn aggregated_group<'a>(group: &'a Group<'a>) -> AggregatedGroup<'a> {
    let version = |version: &'a Version<'a>| AggregatedVersion {
        version: version.name,
        resources: match version.foreign {
            Some(foreign) => foreign_resources(foreign),
            None => version.rows.iter().map(|row| aggregated_resource(row)).collect(),
        },
        freshness: version.foreign.map_or(Freshness::Current, |foreign| foreign.freshness).as_str(),
    };
    AggregatedGroup { metadata: Metadata { name: group.name }, versions: group.versions.iter().map(version).collect() }
}

fn aggregated_resource(row: &Resource) -> AggregatedResource<'_> {
    let subresource = |sub| {
        let sub: &Subresource = sub;
        let (group, version) = foreign(row, sub);
        AggregatedSubresource {
            subresource: &sub.name,
            response_kind: ResponseKind { group, version, kind: &sub.kind },
            verbs: sub.verbs.to_vec(),
        }
    };
    AggregatedResource {
        resource: &row.plural,
        response_kind: ResponseKind { group: "", version: "", kind: &row.kind },
        scope: match row.scope {
            Scope::Namespaced => "Namespaced",
            Scope::Cluster => "Cluster",
        },
        singular_resource: &row.singular,
        verbs: row.verbs.to_vec(),
        short_names: row.short_names.iter().collect(),
        categories: row.categories.iter().collect(),
        subresources: sorted(&row.subresources).into_iter().map(subresource).collect(),
    }
}

/// Another server's resources, each with its subresources.
fn foreign_resources(foreign: &Foreign) -> Vec<AggregatedResource<'_>> {
    let mut resources: Vec<AggregatedResource<'_>> = Vec::new();
    for told in &foreign.resources {
        let (name, sub) = told.name.split_once('/').map_or((told.name.as_str(), None), |(name, sub)| (name, Some(sub)));
        let place = resources.iter().position(|resource| resource.resource == name);
        let place = place.unwrap_or_else(|| {
            resources.push(foreign_resource(name, told));
            resources.len() - 1
        });
        let resource = &mut resources[place];
        match sub {
            None => {
                *resource = AggregatedResource {
                    subresources: std::mem::take(&mut resource.subresources),
                    response_kind: response_kind(told),
                    verbs: told.verbs.iter().map(String::as_str).collect(),
                    ..foreign_resource(name, told)
                }
            }
            Some(subresource) => resource.subresources.push(AggregatedSubresource {
                subresource,
                response_kind: response_kind(told),
                verbs: told.verbs.iter().map(String::as_str).collect(),
            }),
        }
    }
    resources
}

/// A resource of which only a subresource is known so far.
fn foreign_resource<'a>(name: &'a str, told: &'a APIResource) -> AggregatedResource<'a> {
    let texts = |texts: &'a Option<Vec<String>>| texts.iter().flatten().map(String::as_str).collect();
    AggregatedResource {
        resource: name,
        response_kind: ResponseKind { group: "", version: "", kind: "" },
        scope: if told.namespaced { "Namespaced" } else { "Cluster" },
        singular_resource: &told.singular_name,
        verbs: Vec::new(),
        short_names: texts(&told.short_names),
        categories: texts(&told.categories),
        subresources: Vec::new(),
    }
}

fn response_kind(told: &APIResource) -> ResponseKind<'_> {
    ResponseKind {
        group: told.group.as_deref().unwrap_or_default(),
        version: told.version.as_deref().unwrap_or_default(),
        kind: &told.kind,
    }
}

fn sorted(subresources: &[Subresource]) -> Vec<&Subresource> {
    let mut sorted: Vec<_> = subresources.iter().collect();
    sorted.sort_by(|a, b| a.name.cmp(&b.name));
    sorted
}

/// Upstream's hash of the group, version and kind in which a resource is stored; empty for what is not.
fn storage_version_hash(row: &Resource) -> String {
    // Both kinds of events are stored as one.
    let group = if row.is(&rows::EVENTS) { "" } else { &*row.group };
    let version = row.ops.storage_version().unwrap_or(&row.version);
    let kind = format!("{group}/{version}/{}", row.kind);
    STANDARD.encode(&Sha256::digest(kind)[..8])
}
