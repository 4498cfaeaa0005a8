//! What nobody may have unless a quota says how much: `limitedResources` of the plugin's configuration.

use std::{collections::BTreeSet, sync::Arc};

use api_types::{
    Resource,
    core::{ResourceQuota, ScopedResourceSelectorRequirement},
    jiff::Timestamp,
    quota,
};
use serde::Deserialize;
use serde_json::Value;

use super::account::Asked;

const KIND: &str = "ResourceQuotaConfiguration";
const LEGACY: &str = "Configuration";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Configuration {
    #[serde(default, rename = "apiVersion")]
    _api_version: String,
    #[serde(default)]
    kind: String,
    #[serde(default)]
    limited_resources: Vec<Limited>,
}

/// A resource that is limited.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Limited {
    #[serde(default)]
    api_group: String,
    resource: String,
    /// Names of amounts that contain one of these.
    #[serde(default)]
    match_contains: Vec<String>,
    /// Objects that one of these takes in.
    #[serde(default)]
    match_scopes: Vec<ScopedResourceSelectorRequirement>,
}

impl Limited {
    pub(super) fn is_about(&self, row: &Resource) -> bool {
        self.api_group == row.group && self.resource == row.plural
    }
}

/// Reads the configuration.
pub(super) fn read(configuration: &Value) -> Result<Vec<Limited>, String> {
    let configuration = Configuration::deserialize(configuration).map_err(|error| error.to_string())?;
    match configuration.kind.as_str() {
        KIND | LEGACY => Ok(configuration.limited_resources),
        other => Err(format!("no kind {other:?} is registered for quotas")),
    }
}

/// Sees that there is a quota for everything that is limited.
///
/// # Errors
/// What there is no quota for, in upstream's words.
pub(super) fn check<'a>(
    limited: impl Iterator<Item = &'a Limited>,
    quotas: &[Arc<ResourceQuota>],
    asked: &Asked,
) -> Result<(), String> {
    let limited: Vec<&Limited> = limited.collect();
    if limited.is_empty() {
        return Ok(());
    }
    let usage = asked.new.usage(Timestamp::now());
    let matches = |name: &&String| limited.iter().any(|one| one.match_contains.iter().any(|part| name.contains(part)));
    let covered: BTreeSet<&str> = quotas.iter().flat_map(|quota| covered(quota, asked)).collect();
    let names = usage.keys().filter(matches).map(String::as_str).filter(|name| !covered.contains(name));
    let uncovered: Vec<&str> = names.collect();
    if !uncovered.is_empty() {
        return Err(format!("insufficient quota to consume: {}", uncovered.join(",")));
    }
    let scopes: BTreeSet<String> = quotas.iter().flat_map(|quota| met_scopes(quota, asked)).collect();
    let limiting = limited.iter().flat_map(|one| &one.match_scopes).filter(|scope| asked.new.meets(scope));
    let uncovered: Vec<String> = limiting.filter(|scope| !scopes.contains(&scope.scope_name)).map(shown).collect();
    if uncovered.is_empty() {
        return Ok(());
    }
    Err(format!("insufficient quota to match these scopes: [{}]", uncovered.join(" ")))
}

/// The names that a quota has a limit for, if it is about the object.
fn covered<'q>(quota: &'q ResourceQuota, asked: &Asked) -> BTreeSet<&'q str> {
    let hard = quota.status.as_ref().and_then(|status| status.hard.as_ref());
    if !asked.new.is_in_scope(quota) {
        return BTreeSet::new();
    }
    asked.counted.named(hard.into_iter().flatten().map(|(name, _)| name))
}

fn met_scopes(quota: &ResourceQuota, asked: &Asked) -> impl Iterator<Item = String> {
    quota::scopes(quota).into_iter().filter(|scope| asked.new.meets(scope)).map(|scope| scope.scope_name)
}

fn shown(scope: &ScopedResourceSelectorRequirement) -> String {
    let values = scope.values.as_deref().unwrap_or_default().join(" ");
    format!("{{{} {} [{values}]}}", scope.scope_name, scope.operator)
}

#[cfg(test)]
mod tests {
    use api_types::{
        core::Pod,
        quota::{Counted, Subject},
        rows,
    };
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_limited_needs_a_quota() {
        let configuration = json!({"apiVersion": "apiserver.config.k8s.io/v1", "kind": KIND, "limitedResources": [
            {"resource": "pods", "matchContains": ["gpu"]},
            {"resource": "pods", "matchScopes": [{"scopeName": "PriorityClass", "operator": "In", "values": ["high"]}]},
        ]});
        let limited = read(&configuration).unwrap();
        assert!(limited[0].is_about(&rows::PODS) && !limited[0].is_about(&rows::SERVICES));
        let asked = |spec: Value| {
            let pod: Pod = serde_json::from_value(json!({"metadata": {"name": "p"}, "spec": spec})).unwrap();
            Asked { counted: Counted::Pods, new: Subject::of_pod(&pod), old: None }
        };
        let quota = |spec: Value| -> Arc<ResourceQuota> {
            let hard = json!({"requests.example.com/gpu": "1", "pods": "1"});
            Arc::new(serde_json::from_value(json!({"metadata": {}, "spec": spec, "status": {"hard": hard}})).unwrap())
        };
        let plain = json!({"containers": [{"name": "c"}]});
        let gpu = json!({"containers": [{"name": "c", "resources": {"requests": {"example.com/gpu": "1"}}}]});
        let high = json!({"containers": [{"name": "c"}], "priorityClassName": "high"});
        let of_high =
            json!({"scopeSelector": {"matchExpressions": [{"scopeName": "PriorityClass", "operator": "Exists"}]}});
        let check = |spec: &Value, quotas: &[Arc<ResourceQuota>]| {
            check(limited.iter(), quotas, &asked(spec.clone())).err().unwrap_or_default()
        };
        assert_eq!(check(&plain, &[]), "");
        assert_eq!(check(&gpu, &[]), "insufficient quota to consume: requests.example.com/gpu");
        assert_eq!(check(&gpu, &[quota(json!({}))]), "");
        assert_eq!(
            check(&high, &[quota(json!({}))]),
            "insufficient quota to match these scopes: [{PriorityClass In [high]}]"
        );
        assert_eq!(check(&high, &[quota(of_high)]), "");
        assert!(read(&json!({"kind": "Pod"})).is_err());
    }
}
