//! `create role` and `create clusterrole`.

use std::collections::BTreeMap;

use clap::Args;
use serde_json::{Value, json};

use super::{Generated, named};
use crate::{
    api::Api,
    commands::writing::{Creating, pair},
    error::{Error, Result},
    program::one_name,
    resources::Catalog,
};

const VERSION: &str = "rbac.authorization.k8s.io/v1";
const VERBS: [&str; 14] = [
    "*",
    "get",
    "delete",
    "list",
    "create",
    "update",
    "patch",
    "watch",
    "proxy",
    "deletecollection",
    "use",
    "bind",
    "escalate",
    "impersonate",
];
const URL_VERBS: [&str; 8] = ["*", "get", "post", "put", "delete", "patch", "head", "options"];

/// What a role allows.
#[derive(Args, Clone, Debug, Default)]
pub struct Rule {
    /// Verbs
    #[arg(long, value_delimiter = ',')]
    verb: Vec<String>,
    /// RESOURCE[.GROUP][/SUBRESOURCE]
    #[arg(long, value_delimiter = ',')]
    resource: Vec<String>,
    /// Names of objects; all when there is none
    #[arg(long)]
    resource_name: Vec<String>,
}

impl Rule {
    /// Verbs without repetition; all of them when `*` is one.
    fn verbs(&self) -> Vec<&str> {
        let mut verbs: Vec<&str> = Vec::new();
        for verb in &self.verb {
            if verb == "*" {
                return vec!["*"];
            }
            if !verbs.contains(&verb.as_str()) {
                verbs.push(verb);
            }
        }
        verbs
    }

    fn check_verbs(&self) -> Result<()> {
        for verb in self.verbs().into_iter().filter(|verb| !VERBS.contains(verb)) {
            eprintln!("Warning: '{verb}' is not a standard resource verb");
        }
        for resource in self.resource.iter().filter(|_| self.resource.len() > 1) {
            if resource == "*" {
                return Err(Error::usage("resource '*' cannot be combined with other resources"));
            }
        }
        Ok(())
    }

    /// One rule for each group.
    async fn rules(&self, api: &Api) -> Result<Vec<Value>> {
        let catalog = Catalog::discover(api).await?;
        let mut groups: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for text in &self.resource {
            let (group, resource) = find(&catalog, text)?;
            let known = groups.entry(group).or_default();
            if !known.contains(&resource) {
                known.push(resource);
            }
        }
        let rule = |(group, resources)| {
            let mut rule = json!({"apiGroups": [group], "resources": resources, "verbs": self.verbs()});
            if !self.resource_name.is_empty() {
                rule["resourceNames"] = json!(self.resource_name);
            }
            rule
        };
        Ok(groups.into_iter().map(rule).collect())
    }
}

/// Group and plural, with the subresource, of a resource as it is typed.
fn find(catalog: &Catalog, text: &str) -> Result<(String, String)> {
    if text == "*" {
        return Ok((String::new(), "*".to_owned()));
    }
    let (name, subresource) = match text.split_once('/') {
        Some((name, subresource)) => (name, Some(subresource)),
        None => (text, None),
    };
    let found = catalog.find(name)?;
    let plural = match subresource {
        Some(subresource) => format!("{}/{subresource}", found.plural),
        None => found.plural.clone(),
    };
    Ok((found.group.clone(), plural))
}

/// `create role`.
#[derive(Args, Clone, Debug)]
pub struct Role {
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    #[command(flatten)]
    rule: Rule,
    #[command(flatten)]
    creating: Creating,
}

impl Role {
    pub(super) async fn generate(&self, api: &Api) -> Result<Generated<'_>> {
        let name = one_name(&self.names, "create role")?;
        if self.rule.verb.is_empty() {
            return Err(Error::usage("at least one verb must be specified"));
        }
        if self.rule.resource.is_empty() {
            return Err(Error::usage("at least one resource must be specified"));
        }
        self.rule.check_verbs()?;
        let mut object = named(VERSION, "Role", name);
        object["rules"] = self.rule.rules(api).await?.into();
        Ok((object, &self.creating))
    }
}

/// `create clusterrole`.
#[derive(Args, Clone, Debug)]
pub struct ClusterRole {
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    #[command(flatten)]
    rule: Rule,
    /// Paths that are no resources
    #[arg(long, value_delimiter = ',')]
    non_resource_url: Vec<String>,
    /// The cluster roles of which this one is the sum: KEY=VALUE,… of labels
    #[arg(long, value_delimiter = ',')]
    aggregation_rule: Vec<String>,
    #[command(flatten)]
    creating: Creating,
}

impl ClusterRole {
    pub(super) async fn generate(&self, api: &Api) -> Result<Generated<'_>> {
        let mut object = named(VERSION, "ClusterRole", one_name(&self.names, "create clusterrole")?);
        if !self.aggregation_rule.is_empty() {
            object["aggregationRule"] = self.aggregation()?;
            return Ok((object, &self.creating));
        }
        self.check()?;
        let mut rules = if self.rule.resource.is_empty() { Vec::new() } else { self.rule.rules(api).await? };
        if !self.non_resource_url.is_empty() {
            rules.push(json!({"nonResourceURLs": self.non_resource_url, "verbs": self.rule.verbs()}));
        }
        object["rules"] = rules.into();
        Ok((object, &self.creating))
    }

    fn aggregation(&self) -> Result<Value> {
        let rule = &self.rule;
        let others = [&rule.verb, &rule.resource, &rule.resource_name, &self.non_resource_url];
        if others.iter().any(|list| !list.is_empty()) {
            return Err(Error::usage(
                "aggregation rule must be specified without nonResourceURLs, verbs, resources or resourceNames",
            ));
        }
        let mut labels = json!({});
        for text in &self.aggregation_rule {
            let (key, value) = pair(text)?;
            labels[key] = value.into();
        }
        Ok(json!({"clusterRoleSelectors": [{"matchLabels": labels}]}))
    }

    fn check(&self) -> Result<()> {
        if self.rule.verb.is_empty() {
            return Err(Error::usage("at least one verb must be specified"));
        }
        if self.rule.resource.is_empty() && self.non_resource_url.is_empty() {
            return Err(Error::usage("one of resource or nonResourceURL must be specified"));
        }
        if !self.rule.resource.is_empty() {
            self.rule.check_verbs()?;
        }
        if self.non_resource_url.is_empty() {
            return Ok(());
        }
        if let Some(verb) = self.rule.verbs().into_iter().find(|verb| !URL_VERBS.contains(verb)) {
            return Err(Error::usage(format!("invalid verb: '{verb}' for nonResourceURL")));
        }
        for url in &self.non_resource_url {
            let star = url.strip_suffix('*').unwrap_or(url);
            if url != "*" && !url.starts_with('/') {
                return Err(Error::usage("nonResourceURL should start with /"));
            }
            if star.contains('*') {
                return Err(Error::usage("nonResourceURL only supports wildcard matches when '*' is at the end"));
            }
        }
        Ok(())
    }
}
