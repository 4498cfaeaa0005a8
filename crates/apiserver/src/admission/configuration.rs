//! `--admission-control-config-file`: what plugins are told, each in this file or in one of its own.

use std::{collections::HashMap, path::Path};

use api_types::yaml;
use serde::Deserialize;
use serde_json::Value;

const KIND: &str = "AdmissionConfiguration";
const VERSIONS: [&str; 2] = ["apiserver.config.k8s.io/v1", "apiserver.k8s.io/v1alpha1"];

/// What each plugin is told.
#[derive(Clone, Debug, Default)]
pub struct Configurations(HashMap<String, Value>);

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct File {
    api_version: String,
    kind: String,
    #[serde(default)]
    plugins: Vec<OfPlugin>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct OfPlugin {
    name: String,
    #[serde(default)]
    path: String,
    configuration: Option<Value>,
}

impl Configurations {
    /// Reads the file, and those that it names; their paths are relative to it.
    ///
    /// # Errors
    /// When one of them cannot be read.
    pub fn read(path: &Path) -> Result<Self, String> {
        let file: File = parse(path, &read(path)?)?;
        if file.kind != KIND || !VERSIONS.contains(&file.api_version.as_str()) {
            let (version, kind) = (file.api_version, file.kind);
            return Err(format!("{}: no kind {kind:?} is registered for version {version:?}", path.display()));
        }
        let mut all = HashMap::new();
        for plugin in file.plugins {
            let configuration = match plugin.configuration {
                Some(configuration) => configuration,
                None if plugin.path.is_empty() => continue,
                None => {
                    let own = path.parent().unwrap_or(Path::new("")).join(&plugin.path);
                    parse(&own, &read(&own)?)?
                }
            };
            all.insert(plugin.name, configuration);
        }
        Ok(Self(all))
    }

    /// Tells a plugin what upstream has flags for.
    pub fn tell(&mut self, plugin: &str, configuration: Value) {
        self.0.insert(plugin.to_owned(), configuration);
    }

    /// What a plugin is told.
    #[must_use]
    pub(super) fn of(&self, plugin: &str) -> Option<&Value> {
        self.0.get(plugin)
    }
}

fn read(path: &Path) -> Result<String, String> {
    std::fs::read_to_string(path).map_err(|error| {
        format!("unable to read admission control configuration from {:?} [{error}]", path.display().to_string())
    })
}

fn parse<T: serde::de::DeserializeOwned>(path: &Path, text: &str) -> Result<T, String> {
    let tree = yaml::from_str(text).map_err(|error| format!("{}: {error}", path.display()))?;
    serde_json::from_value(tree).map_err(|error| format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn plugins_are_told_here_or_elsewhere() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("admission.yaml");
        let write = |name: &str, text: &str| std::fs::write(directory.path().join(name), text).unwrap();
        let head = "apiVersion: apiserver.config.k8s.io/v1\nkind: AdmissionConfiguration\nplugins:\n";
        write(
            "admission.yaml",
            &format!("{head}- name: A\n  path: a.yaml\n- name: B\n  configuration: {{b: 1}}\n- name: C\n"),
        );
        assert!(Configurations::read(&path).unwrap_err().contains("unable to read admission control configuration"));
        write("a.yaml", "a: 1\n");
        let told = Configurations::read(&path).unwrap();
        assert_eq!((told.of("A"), told.of("B"), told.of("C")), (Some(&json!({"a": 1})), Some(&json!({"b": 1})), None));
        write("admission.yaml", "apiVersion: v1\nkind: List\n");
        assert!(Configurations::read(&path).unwrap_err().contains("no kind"));
    }
}
