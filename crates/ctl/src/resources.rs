//! From what people type (`po`, `deployments.apps`, `svc/web`) to resources, through discovery.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;

use crate::{
    api::Api,
    error::{Error, Result},
};

const ACCEPT_AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,\
    application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList";

/// A kind of resource, as discovery describes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResourceType {
    /// Empty for core.
    pub group: String,
    /// Version.
    pub version: String,
    /// Kind.
    pub kind: String,
    /// Path segment.
    pub plural: String,
    /// Singular name.
    pub singular: String,
    /// Such as `po`.
    pub short_names: Vec<String>,
    /// Such as `all`.
    pub categories: Vec<String>,
    /// Whether objects live in a namespace.
    pub namespaced: bool,
    /// Verbs.
    pub verbs: Vec<String>,
}

impl ResourceType {
    /// `v1` or `apps/v1`.
    #[must_use]
    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.clone() } else { format!("{}/{}", self.group, self.version) }
    }

    /// `pod` or `deployment.apps`: how kubectl names a kind before a slash.
    #[must_use]
    pub fn display_name(&self) -> String {
        let singular = if self.singular.is_empty() { self.kind.to_lowercase() } else { self.singular.clone() };
        if self.group.is_empty() { singular } else { format!("{singular}.{}", self.group) }
    }

    /// Path of the collection, in a namespace or across all.
    #[must_use]
    pub fn collection(&self, namespace: Option<&str>) -> String {
        let root = if self.group.is_empty() { "/api" } else { "/apis" };
        let scope = match namespace {
            Some(namespace) if self.namespaced => format!("/namespaces/{namespace}"),
            _ => String::new(),
        };
        format!("{root}/{}{scope}/{}", self.api_version(), self.plural)
    }

    fn answers_to(&self, name: &str) -> bool {
        let name = name.to_lowercase();
        let (name, rest) = name.split_once('.').map_or((name.as_str(), None), |(name, rest)| (name, Some(rest)));
        let named = name == self.plural
            || name == self.singular
            || name == self.kind.to_lowercase()
            || self.short_names.iter().any(|short| short == name);
        let qualified = rest.is_none_or(|rest| {
            rest == self.group || rest == self.version || rest == format!("{}.{}", self.version, self.group)
        });
        named && qualified
    }
}

/// Everything the server offers.
#[derive(Clone, Debug, Default)]
pub struct Catalog {
    types: Vec<Arc<ResourceType>>,
}

#[derive(Deserialize)]
struct GroupList {
    items: Vec<Group>,
}

#[derive(Deserialize)]
struct Group {
    metadata: Option<Named>,
    versions: Vec<Version>,
}

#[derive(Deserialize)]
struct Named {
    name: Option<String>,
}

#[derive(Deserialize)]
struct Version {
    version: String,
    #[serde(default)]
    resources: Vec<Discovered>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Discovered {
    resource: String,
    response_kind: Option<Kind>,
    scope: String,
    #[serde(default)]
    singular_resource: String,
    #[serde(default)]
    short_names: Vec<String>,
    #[serde(default)]
    categories: Vec<String>,
    #[serde(default)]
    verbs: Vec<String>,
}

#[derive(Deserialize)]
struct Kind {
    kind: String,
}

impl Catalog {
    /// Asks the server what it offers.
    ///
    /// # Errors
    /// When the server refuses, cannot be reached, or is older than aggregated discovery (1.27).
    pub async fn discover(api: &Api) -> Result<Self> {
        let mut types = Vec::new();
        for root in ["/api", "/apis"] {
            let document = api.get_as(root, ACCEPT_AGGREGATED).await?;
            types.extend(parse(document)?);
        }
        Ok(Self { types })
    }

    /// Every type, in the server's order.
    #[must_use]
    pub fn types(&self) -> &[Arc<ResourceType>] {
        &self.types
    }

    /// The type that people mean by `name`; the server's first choice when several match.
    ///
    /// # Errors
    /// kubectl's message when there is none.
    pub fn find(&self, name: &str) -> Result<Arc<ResourceType>> {
        let found = self.types.iter().find(|resource| resource.answers_to(name));
        found.cloned().ok_or_else(|| {
            Error::Unknown(match name.split_once('.') {
                Some((kind, group)) => format!("the server doesn't have a resource type {kind:?} in group {group:?}"),
                None => format!("the server doesn't have a resource type {name:?}"),
            })
        })
    }

    /// The type of an object in a manifest.
    ///
    /// # Errors
    /// kubectl's message when there is none.
    pub fn of_object(&self, object: &Value) -> Result<Arc<ResourceType>> {
        let text = |field: &str| object[field].as_str().unwrap_or_default();
        let (api_version, kind) = (text("apiVersion"), text("kind"));
        if kind.is_empty() || api_version.is_empty() {
            return Err(Error::usage("error validating data: [apiVersion not set, kind not set]"));
        }
        let found = self.types.iter().find(|resource| resource.kind == kind && resource.api_version() == api_version);
        found.cloned().ok_or_else(|| {
            Error::usage(format!(
                "no matches for kind {kind:?} in version {api_version:?}\nensure CRDs are installed first"
            ))
        })
    }

    /// The types of a comma-separated list; a category such as `all` stands for its members.
    ///
    /// # Errors
    /// When a name means nothing.
    pub fn find_all(&self, names: &str) -> Result<Vec<Arc<ResourceType>>> {
        let mut found = Vec::new();
        for name in names.split(',').filter(|name| !name.is_empty()) {
            let members = self.types.iter().filter(|resource| resource.categories.iter().any(|known| known == name));
            let members: Vec<_> = members.cloned().collect();
            if members.is_empty() {
                found.push(self.find(name)?);
            } else {
                found.extend(members);
            }
        }
        Ok(found)
    }

    /// What positional arguments name: `pods`, `pods a b`, `po,svc`, `pod/a svc/b`.
    ///
    /// # Errors
    /// When a type is unknown or forms are mixed.
    pub fn targets(&self, arguments: &[String]) -> Result<Vec<Target>> {
        let Some((first, names)) = arguments.split_first() else {
            return Err(Error::usage("You must specify the type of resource to get."));
        };
        if arguments.iter().any(|argument| argument.contains('/')) {
            return arguments.iter().map(|argument| self.slashed(argument)).collect();
        }
        let mut targets = Vec::new();
        for resource in self.find_all(first)? {
            if names.is_empty() {
                targets.push(Target { resource: Arc::clone(&resource), name: None });
            }
            targets
                .extend(names.iter().map(|name| Target { resource: Arc::clone(&resource), name: Some(name.clone()) }));
        }
        Ok(targets)
    }

    fn slashed(&self, argument: &str) -> Result<Target> {
        match argument.split_once('/') {
            Some((resource, name)) if !name.is_empty() && !name.contains('/') => {
                Ok(Target { resource: self.find(resource)?, name: Some(name.to_owned()) })
            }
            Some(_) => Err(Error::usage("arguments in resource/name form may not have more than one slash")),
            None => Err(Error::usage(
                "there is no need to specify a resource type as a separate argument when passing arguments in resource/name form",
            )),
        }
    }
}

/// A collection, or one object of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Type.
    pub resource: Arc<ResourceType>,
    /// Name; absent for the whole collection.
    pub name: Option<String>,
}

impl Target {
    /// Path of the object, or of the collection.
    #[must_use]
    pub fn path(&self, namespace: Option<&str>) -> String {
        let collection = self.resource.collection(namespace);
        match &self.name {
            Some(name) => format!("{collection}/{name}"),
            None => collection,
        }
    }

    /// `pod/a`.
    #[must_use]
    pub fn display(&self) -> String {
        format!("{}/{}", self.resource.display_name(), self.name.as_deref().unwrap_or_default())
    }
}

fn parse(document: Value) -> Result<Vec<Arc<ResourceType>>> {
    let list: GroupList = serde_json::from_value(document)
        .map_err(|error| Error::usage(format!("unable to retrieve the complete list of server APIs: {error}")))?;
    let mut types = Vec::new();
    for group in list.items {
        let name = group.metadata.and_then(|metadata| metadata.name).unwrap_or_default();
        for version in group.versions {
            for found in version.resources {
                types.push(Arc::new(ResourceType {
                    group: name.clone(),
                    version: version.version.clone(),
                    kind: found.response_kind.map(|kind| kind.kind).unwrap_or_default(),
                    plural: found.resource,
                    singular: found.singular_resource,
                    short_names: found.short_names,
                    categories: found.categories,
                    namespaced: found.scope == "Namespaced",
                    verbs: found.verbs,
                }));
            }
        }
    }
    Ok(types)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn catalog() -> Catalog {
        let row = |group: &str, kind: &str, plural: &str, short: &str| {
            Arc::new(ResourceType {
                group: group.into(),
                version: "v1".into(),
                kind: kind.into(),
                plural: plural.into(),
                singular: kind.to_lowercase(),
                short_names: vec![short.into()],
                categories: vec!["all".into()],
                namespaced: true,
                verbs: vec![],
            })
        };
        Catalog { types: vec![row("", "Pod", "pods", "po"), row("apps", "Deployment", "deployments", "deploy")] }
    }

    #[test]
    fn names_are_understood() {
        let catalog = catalog();
        for (name, kind) in
            [("po", "Pod"), ("Pod", "Pod"), ("deployments.apps", "Deployment"), ("deploy.v1.apps", "Deployment")]
        {
            assert_eq!(catalog.find(name).unwrap().kind, kind, "{name}");
        }
        assert_eq!(
            catalog.find("nothing").unwrap_err().to_string(),
            "the server doesn't have a resource type \"nothing\""
        );
    }

    #[test]
    fn arguments_are_understood() {
        let catalog = catalog();
        let show = |arguments: &[&str]| {
            let arguments: Vec<String> = arguments.iter().map(ToString::to_string).collect();
            let targets = catalog.targets(&arguments).map_err(|error| error.to_string())?;
            Ok::<_, String>(targets.iter().map(|target| target.path(Some("n"))).collect::<Vec<_>>())
        };
        assert_eq!(show(&["po"]).unwrap(), ["/api/v1/namespaces/n/pods"]);
        assert_eq!(show(&["po", "a", "b"]).unwrap(), ["/api/v1/namespaces/n/pods/a", "/api/v1/namespaces/n/pods/b"]);
        assert_eq!(show(&["po/a", "deploy/b"]).unwrap()[1], "/apis/apps/v1/namespaces/n/deployments/b");
        assert_eq!(show(&["all"]).unwrap().len(), 2);
        assert!(show(&["po/a", "b"]).is_err() && show(&[]).is_err() && show(&["po/a/b"]).is_err());
    }
}
