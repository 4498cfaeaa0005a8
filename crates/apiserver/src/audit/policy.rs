//! `--audit-policy-file`: the first rule that fits decides.

use std::{path::Path, sync::Arc};

use component::auth::{Attributes, ResourceAttributes, Target};
use serde::Deserialize;

use super::{Extent, Level, Policy, Stage};

/// The rules of a file.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PolicyFile {
    kind: String,
    api_version: String,
    #[serde(default, rename = "metadata")]
    _metadata: serde_json::Value,
    #[serde(default)]
    rules: Vec<Rule>,
    #[serde(default)]
    omit_stages: Vec<Stage>,
    #[serde(default)]
    omit_managed_fields: bool,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Rule {
    level: Level,
    #[serde(default)]
    users: Vec<String>,
    #[serde(default)]
    user_groups: Vec<String>,
    #[serde(default)]
    verbs: Vec<String>,
    #[serde(default)]
    resources: Vec<GroupResources>,
    #[serde(default)]
    namespaces: Vec<String>,
    #[serde(default, rename = "nonResourceURLs")]
    paths: Vec<String>,
    #[serde(default)]
    omit_stages: Vec<Stage>,
    omit_managed_fields: Option<bool>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct GroupResources {
    group: String,
    resources: Vec<String>,
    resource_names: Vec<String>,
}

/// Why a policy cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// The file cannot be read.
    #[error("failed to read file path {path:?}: {source}")]
    Read {
        /// The file.
        path: std::path::PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// It is no YAML.
    #[error("failed decoding: {0}")]
    Yaml(#[from] api_types::yaml::Error),
    /// It is no policy.
    #[error("failed decoding: {0}")]
    Shape(#[from] serde_json::Error),
    /// It is something else.
    #[error("unknown group version field {0} in policy")]
    Kind(String),
    /// It has no rules.
    #[error("loaded illegal policy with 0 rules")]
    Empty,
    /// A rule speaks of resources and of paths.
    #[error("rules[{0}].nonResourceURLs: rules cannot apply to both regular resources and non-resource URLs")]
    Both(usize),
}

impl PolicyFile {
    /// Reads a file.
    ///
    /// # Errors
    /// When it cannot be read or is no policy.
    pub fn read(path: &Path) -> Result<Arc<Self>, PolicyError> {
        let text =
            std::fs::read_to_string(path).map_err(|source| PolicyError::Read { path: path.to_owned(), source })?;
        Self::parse(&text)
    }

    fn parse(text: &str) -> Result<Arc<Self>, PolicyError> {
        let file: Self = serde_json::from_value(api_types::yaml::from_str(text)?)?;
        if file.api_version != "audit.k8s.io/v1" || file.kind != "Policy" {
            return Err(PolicyError::Kind(format!("{}, {}", file.api_version, file.kind)));
        }
        if file.rules.is_empty() {
            return Err(PolicyError::Empty);
        }
        let both = |rule: &Rule| !rule.paths.is_empty() && (!rule.resources.is_empty() || !rule.namespaces.is_empty());
        match file.rules.iter().position(both) {
            Some(index) => Err(PolicyError::Both(index)),
            None => Ok(Arc::new(file)),
        }
    }
}

impl Policy for PolicyFile {
    fn extent(&self, attributes: &Attributes<'_>) -> Extent {
        let Some(rule) = self.rules.iter().find(|rule| rule.fits(attributes)) else { return Extent::default() };
        Extent {
            level: rule.level,
            omit_stages: self.omit_stages.iter().chain(&rule.omit_stages).copied().collect(),
            omit_managed_fields: rule.omit_managed_fields.unwrap_or(self.omit_managed_fields),
        }
    }
}

impl Rule {
    fn fits(&self, attributes: &Attributes<'_>) -> bool {
        let any = |listed: &[String], fits: &dyn Fn(&String) -> bool| listed.is_empty() || listed.iter().any(fits);
        any(&self.users, &|name| *name == attributes.user.name)
            && any(&self.user_groups, &|group| attributes.user.is_in(group))
            && any(&self.verbs, &|verb| *verb == attributes.verb)
            && self.fits_target(&attributes.target)
    }

    fn fits_target(&self, target: &Target<'_>) -> bool {
        let of_resources = !self.namespaces.is_empty() || !self.resources.is_empty();
        match target {
            Target::Path(path) => {
                !of_resources && (self.paths.is_empty() || self.paths.iter().any(|p| fits_path(p, path)))
            }
            Target::Resource(_) if !of_resources => self.paths.is_empty(),
            Target::Resource(place) => {
                (self.namespaces.is_empty() || self.namespaces.iter().any(|namespace| *namespace == place.namespace))
                    && (self.resources.is_empty() || self.resources.iter().any(|resources| resources.fit(place)))
            }
        }
    }
}

fn fits_path(pattern: &str, path: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(start) => path.starts_with(start.trim_end_matches('*')),
        None => pattern == path,
    }
}

impl GroupResources {
    fn fit(&self, place: &ResourceAttributes<'_>) -> bool {
        let named = self.resource_names.is_empty() || self.resource_names.iter().any(|name| *name == place.name);
        let fits = |pattern: &String| match (pattern.split_once('/'), &*place.subresource) {
            (None, _) if pattern == "*" => true,
            (None, "") => *pattern == place.resource,
            (Some((resource, "*")), _) => resource == place.resource,
            (Some(("*", wanted)), subresource) => wanted == subresource,
            (Some((resource, wanted)), subresource) => resource == place.resource && wanted == subresource,
            (None, _) => false,
        };
        self.group == place.group && (self.resources.is_empty() || (named && self.resources.iter().any(fits)))
    }
}

#[cfg(test)]
mod tests {
    use component::auth::User;

    use super::*;

    const POLICY: &str = r#"
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
omitManagedFields: true
rules:
- level: None
  users: [quiet]
- level: None
  userGroups: [system:nodes]
  verbs: [get, list]
- level: RequestResponse
  resources:
  - group: ""
    resources: [configmaps]
    resourceNames: [leader]
- level: Request
  resources:
  - resources: [pods/*, "*/scale"]
  - group: apps
  namespaces: [x]
  omitStages: [ResponseStarted]
  omitManagedFields: false
- level: None
  nonResourceURLs: ["/healthz*", /version]
- level: Metadata
"#;

    #[test]
    fn the_first_rule_that_fits_decides() {
        let policy = PolicyFile::parse(POLICY).unwrap();
        let level = |name: &str, groups: &[&str], verb: &str, what: &str| {
            let user =
                User { name: name.into(), groups: groups.iter().map(|g| (*g).into()).collect(), ..User::default() };
            let parts: Vec<&str> = what.split(' ').collect();
            let target = match parts.as_slice() {
                [group, resource, subresource, namespace, name] => Target::Resource(ResourceAttributes {
                    group: group.trim_matches('-').into(),
                    resource: (*resource).into(),
                    subresource: subresource.trim_matches('-').into(),
                    namespace: namespace.trim_matches('-').into(),
                    name: name.trim_matches('-').into(),
                    ..ResourceAttributes::default()
                }),
                _ => Target::Path(what.into()),
            };
            policy.extent(&Attributes { user: &user, verb: verb.into(), target }).level
        };
        assert_eq!(level("quiet", &[], "get", "- pods - x a"), Level::None);
        assert_eq!(level("n", &["system:nodes"], "get", "- pods - x a"), Level::None);
        assert_eq!(level("n", &["system:nodes"], "update", "- pods status x a"), Level::Request);
        assert_eq!(level("ann", &[], "get", "- configmaps - y leader"), Level::RequestResponse);
        assert_eq!(level("ann", &[], "get", "- configmaps - y other"), Level::Metadata);
        assert_eq!(level("ann", &[], "get", "- pods - x a"), Level::Request);
        assert_eq!(level("ann", &[], "get", "- pods log y a"), Level::Metadata, "another namespace");
        assert_eq!(level("ann", &[], "get", "- replicationcontrollers scale x a"), Level::Request);
        assert_eq!(level("ann", &[], "get", "apps deployments scale x a"), Level::Request);
        assert_eq!(level("ann", &[], "get", "/healthz/ping"), Level::None);
        assert_eq!(level("ann", &[], "get", "/version"), Level::None);
        assert_eq!(level("ann", &[], "get", "/versions"), Level::Metadata);
        let user = User::anonymous();
        let path = Attributes { user: &user, verb: "get".into(), target: Target::Path("/x".into()) };
        let extent = policy.extent(&path);
        assert!(extent.omit_managed_fields);
        assert_eq!(extent.omit_stages, [Stage::RequestReceived]);
    }

    #[test]
    fn what_is_no_policy_is_refused() {
        let error = |text: &str| PolicyFile::parse(text).unwrap_err().to_string();
        let head = "apiVersion: audit.k8s.io/v1\nkind: Policy\n";
        assert_eq!(error(head), "loaded illegal policy with 0 rules");
        assert!(error("apiVersion: v1\nkind: Policy\nrules: [{level: None}]").contains("unknown group version"));
        assert!(error(&format!("{head}rules: [{{level: Everything}}]")).contains("Everything"));
        assert!(error(&format!("{head}rules: [{{levle: None}}]")).contains("levle"));
        let both = format!("{head}rules: [{{level: None, namespaces: [x], nonResourceURLs: [/x]}}]");
        assert!(error(&both).starts_with("rules[0].nonResourceURLs"));
    }
}
