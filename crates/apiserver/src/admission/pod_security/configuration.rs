//! What the plugin is told: which standards hold where a namespace says nothing, and who is exempt.

use std::collections::HashSet;

use serde::Deserialize;
use serde_json::Value;

use super::policy::{PREFIX, Policy};

const KIND: &str = "PodSecurityConfiguration";
const GROUP: &str = "pod-security.admission.config.k8s.io/";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct File {
    api_version: String,
    kind: String,
    #[serde(default)]
    defaults: Defaults,
    #[serde(default)]
    exemptions: Exemptions,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "kebab-case", default, deny_unknown_fields)]
struct Defaults {
    enforce: Option<String>,
    enforce_version: Option<String>,
    audit: Option<String>,
    audit_version: Option<String>,
    warn: Option<String>,
    warn_version: Option<String>,
}

/// Whose pods are not looked at.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub(super) struct Exemptions {
    /// Those that these users make.
    pub usernames: HashSet<String>,
    /// Those in these namespaces.
    pub namespaces: HashSet<String>,
    /// Those of these runtime classes.
    pub runtime_classes: HashSet<String>,
}

/// What the plugin is told.
#[derive(Clone, Debug)]
pub(super) struct Configuration {
    pub defaults: Policy,
    pub exemptions: Exemptions,
}

impl Configuration {
    /// Reads it; everything goes when there is none.
    pub(super) fn read(configuration: Option<&Value>) -> Result<Self, String> {
        let Some(configuration) = configuration else {
            return Ok(Self { defaults: Policy::PRIVILEGED, exemptions: Exemptions::default() });
        };
        let File { api_version, kind, defaults, exemptions } =
            File::deserialize(configuration).map_err(|error| error.to_string())?;
        if kind != KIND || !api_version.starts_with(GROUP) {
            return Err(format!("no kind {kind:?} is registered for version {api_version:?}"));
        }
        Ok(Self { defaults: defaults.policy()?, exemptions })
    }
}

impl Defaults {
    /// As labels would say it; but nobody is warned unless it says so.
    fn policy(&self) -> Result<Policy, String> {
        let said = |key: &str| -> Option<&str> {
            let field = match key.strip_prefix(PREFIX)? {
                "enforce" => &self.enforce,
                "enforce-version" => &self.enforce_version,
                "audit" => &self.audit,
                "audit-version" => &self.audit_version,
                "warn" => return Some(self.warn.as_deref().unwrap_or("privileged")),
                "warn-version" => &self.warn_version,
                _ => return None,
            };
            field.as_deref().filter(|text| !text.is_empty())
        };
        let (policy, errors) = Policy::of(said, &Policy::PRIVILEGED);
        let told: Vec<String> = errors
            .iter()
            .map(|error| error.to_string().replace(&format!("metadata.labels[{PREFIX}"), "defaults["))
            .collect();
        if told.is_empty() { Ok(policy) } else { Err(told.join(", ")) }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn defaults_and_exemptions_are_read() {
        let file = |defaults: Value| {
            json!({"apiVersion": "pod-security.admission.config.k8s.io/v1", "kind": KIND, "defaults": defaults,
                "exemptions": {"usernames": ["u"], "namespaces": ["n"], "runtimeClasses": []}})
        };
        let read =
            Configuration::read(Some(&file(json!({"enforce": "baseline", "enforce-version": "v1.30"})))).unwrap();
        assert_eq!(read.defaults.enforce.to_string(), "baseline:v1.30");
        assert_eq!(read.defaults.warn.to_string(), "privileged:latest");
        assert!(read.exemptions.namespaces.contains("n") && read.exemptions.usernames.contains("u"));
        let wrong = Configuration::read(Some(&file(json!({"audit": "x"})))).unwrap_err();
        assert_eq!(wrong, r#"defaults[audit]: Invalid value: "x": must be one of privileged, baseline, restricted"#);
        assert!(Configuration::read(Some(&json!({"apiVersion": "v1", "kind": "Pod"}))).is_err());
        assert!(Configuration::read(None).unwrap().defaults.is_privileged());
    }
}
