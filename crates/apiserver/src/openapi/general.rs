//! Paths that belong to no resource: what discovery serves, the server's version, and what verifies tokens.

use std::{collections::BTreeSet, sync::Arc};

use api_types::Resource;
use serde_json::{Map, Value, json};

use super::{
    dialect::Dialect,
    paths::{capitalized, lowercased, operation_group},
};

/// A path that can be read.
pub struct General {
    /// With a slash at its end.
    pub path: String,
    operation_id: String,
    tag: String,
    /// The definition of what is answered; none for text.
    answer: Option<&'static str>,
}

impl General {
    fn new(path: &str, operation_id: &str, tag: &str, answer: Option<&'static str>) -> Self {
        Self { path: path.to_owned(), operation_id: operation_id.to_owned(), tag: tag.to_owned(), answer }
    }

    /// The document of version 3 that tells of it.
    pub fn document(&self) -> &str {
        self.path.trim_matches('/')
    }

    /// The operations of the path.
    pub fn operations(&self, dialect: Dialect) -> Value {
        let responses = dialect.responses(self.answer, &[("200", "OK")]);
        json!({"get": {"tags": [self.tag], "operationId": self.operation_id, "responses": responses}})
    }
}

const GROUP: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.APIGroup";
const GROUP_LIST: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.APIGroupList";
const RESOURCE_LIST: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.APIResourceList";
const VERSIONS: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.APIVersions";
const VERSION: &str = "io.k8s.apimachinery.pkg.version.Info";
const ISSUER: &str = "getServiceAccountIssuerOpenID";

/// Every such path of a server with these rows.
pub fn paths(rows: &[Arc<Resource>]) -> Vec<General> {
    let mut paths = vec![
        General::new("/.well-known/openid-configuration/", &format!("{ISSUER}Configuration"), "WellKnown", None),
        General::new("/api/", "getCoreAPIVersions", "core", Some(VERSIONS)),
        General::new("/apis/", "getAPIVersions", "apis", Some(GROUP_LIST)),
        General::new("/openid/v1/jwks/", &format!("{ISSUER}Keyset"), "openid", None),
        General::new("/version/", "getCodeVersion", "version", Some(VERSION)),
    ];
    let groups: BTreeSet<&str> = rows.iter().map(|row| &*row.group).filter(|group| !group.is_empty()).collect();
    paths.extend(groups.into_iter().map(|group| {
        let name = operation_group(group);
        let id = format!("get{name}APIGroup");
        General::new(&format!("/apis/{group}/"), &id, &lowercased(&name), Some(GROUP))
    }));
    let versions: BTreeSet<(&str, &str)> = rows.iter().map(|row| (&*row.group, &*row.version)).collect();
    paths.extend(versions.into_iter().map(|(group, version)| {
        let path = if group.is_empty() { format!("/api/{version}/") } else { format!("/apis/{group}/{version}/") };
        let name = operation_group(group);
        let id = format!("get{name}{}APIResources", capitalized(version));
        General::new(&path, &id, &format!("{}_{version}", lowercased(&name)), Some(RESOURCE_LIST))
    }));
    paths
}

/// The paths with their operations.
pub fn operations(paths: &[General], dialect: Dialect) -> Map<String, Value> {
    paths.iter().map(|general| (general.path.clone(), general.operations(dialect))).collect()
}
