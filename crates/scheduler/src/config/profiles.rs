//! Profiles: which of the plugins are on, how much they count, and what they are told.

use std::collections::BTreeMap;

use api_types::field::{FieldError, Path};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{arguments::Arguments, percentage};
use crate::framework::{Entry, PLUGINS, Profile, Profiles, Row};

/// The name of the profile for pods that do not choose.
const DEFAULT_NAME: &str = "default-scheduler";
/// What upstream's plugins of these names do is always done: the queue's order, gates, and binding.
const BUILT_IN: &[&str] = &["PrioritySort", "SchedulingGates", "DefaultBinder"];
/// Upstream's plugins that are not there: they can be turned off, but not on.
const ABSENT: &[&str] = &["GangScheduling"];

/// `profiles[]`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct ProfileDocument {
    scheduler_name: Option<String>,
    percentage_of_nodes_to_score: Option<i32>,
    plugins: BTreeMap<String, PluginSet>,
    plugin_config: Vec<PluginConfig>,
}

/// What is turned on and off at one extension point.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct PluginSet {
    enabled: Vec<PluginName>,
    disabled: Vec<PluginName>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PluginName {
    name: String,
    weight: Option<i64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PluginConfig {
    name: String,
    #[serde(default)]
    args: Value,
}

/// Upstream's extension points.
const POINTS: &[&str] = &[
    "multiPoint",
    "preEnqueue",
    "queueSort",
    "preFilter",
    "filter",
    "postFilter",
    "preScore",
    "score",
    "reserve",
    "permit",
    "preBind",
    "bind",
    "postBind",
];

/// What a phase of a plugin is called upstream: where one of these turns it off, the phase is off.
const FILTER: &[&str] = &["preFilter", "filter"];
const SCORE: &[&str] = &["preScore", "score"];
const RESCUE: &[&str] = &["postFilter"];
const RESERVE: &[&str] = &["reserve", "permit", "preBind"];

/// Every plugin with its default weight, for one scheduler name.
#[must_use]
pub fn default_profiles(name: &str) -> Profiles {
    let document = ProfileDocument { scheduler_name: Some(name.to_owned()), ..ProfileDocument::default() };
    profiles(vec![document], None, &mut Vec::new())
}

/// Lets extended resources fit everywhere: they are an extender's affair.
pub(super) fn ignore(documents: &mut Vec<ProfileDocument>, resources: &[&str]) {
    if documents.is_empty() {
        documents.push(ProfileDocument::default());
    }
    for document in documents {
        let config = &mut document.plugin_config;
        if !config.iter().any(|own| own.name == "NodeResourcesFit") {
            config.push(PluginConfig { name: "NodeResourcesFit".to_owned(), args: Value::Null });
        }
        for own in config.iter_mut().filter(|own| own.name == "NodeResourcesFit") {
            if own.args.is_null() {
                own.args = json!({});
            }
            let ignored = own.args.as_object_mut().map(|args| args.entry("ignoredResources").or_insert(json!([])));
            if let Some(Value::Array(ignored)) = ignored {
                ignored.extend(resources.iter().map(|name| json!(name)));
            }
        }
    }
}

/// Makes profiles of what is written; without any, there is the default one.
pub fn profiles(
    mut documents: Vec<ProfileDocument>,
    percentage: Option<usize>,
    errors: &mut Vec<FieldError>,
) -> Profiles {
    if documents.is_empty() {
        documents.push(ProfileDocument::default());
    }
    let several = documents.len() > 1;
    let mut profiles = Profiles::new();
    for (i, document) in documents.into_iter().enumerate() {
        let path = Path::new("profiles").index(i);
        let name = match document.scheduler_name.as_deref().filter(|name| !name.is_empty()) {
            Some(name) => name.to_owned(),
            None if several => {
                errors.push(FieldError::required(&path.child("schedulerName"), ""));
                continue;
            }
            None => DEFAULT_NAME.to_owned(),
        };
        let profile = document.profile(&path, percentage, errors);
        if profiles.contains_key(&name) {
            errors.push(FieldError::duplicate(&path.child("schedulerName"), name.as_str()));
        }
        profiles.insert(name, profile);
    }
    profiles
}

impl ProfileDocument {
    fn profile(&self, path: &Path, percentage_for_all: Option<usize>, errors: &mut Vec<FieldError>) -> Profile {
        self.check_names(path, errors);
        let own = percentage(path, self.percentage_of_nodes_to_score, errors);
        let rows = self.order().into_iter().filter_map(|entry| self.row(entry, path, errors)).collect();
        Profile { rows, percentage: if self.percentage_of_nodes_to_score.is_some() { own } else { percentage_for_all } }
    }

    fn check_names(&self, path: &Path, errors: &mut Vec<FieldError>) {
        let plugins = path.child("plugins");
        for (point, set) in &self.plugins {
            if !POINTS.contains(&point.as_str()) {
                errors.push(FieldError::not_supported(&plugins, point.as_str(), POINTS));
            }
            for (i, plugin) in set.enabled.iter().enumerate() {
                let path = plugins.child(point).child("enabled").index(i);
                errors.extend(cannot_be_on(&path, &plugin.name));
                if plugin.weight.is_some_and(|weight| !(0..=i64::from(i32::MAX)).contains(&weight)) {
                    errors.push(FieldError::invalid(&path.child("weight"), plugin.weight, "must not be negative"));
                }
            }
        }
        let mut seen = Vec::new();
        for (i, config) in self.plugin_config.iter().enumerate() {
            let path = path.child("pluginConfig").index(i);
            if seen.contains(&&config.name) {
                errors.push(FieldError::duplicate(&path, config.name.as_str()));
            }
            seen.push(&config.name);
        }
    }

    /// The plugins that are on somewhere: the default ones in the table's order, as far as they stay on, then those that
    /// were turned off and on again, in the order in which they are named.
    fn order(&self) -> Vec<&'static Entry> {
        let named = |name: &str| PLUGINS.iter().find(|entry| entry.name == name);
        let defaults = PLUGINS.iter().filter(|entry| !self.is_disabled("multiPoint", entry.name));
        let mut order: Vec<&'static Entry> = defaults.collect();
        let points = POINTS.iter().filter_map(|point| self.plugins.get(*point));
        for entry in points.flat_map(|set| &set.enabled).filter_map(|plugin| named(&plugin.name)) {
            if !order.iter().any(|own| own.name == entry.name) {
                order.push(entry);
            }
        }
        order
    }

    fn row(&self, entry: &'static Entry, path: &Path, errors: &mut Vec<FieldError>) -> Option<Row> {
        let found = self.plugin_config.iter().enumerate().find(|(_, config)| config.name == entry.name);
        let path = found.map_or_else(Path::default, |(i, _)| path.child("pluginConfig").index(i).child("args"));
        let arguments = Arguments::new(entry.name, found.map(|(_, config)| &config.args), path);
        let plugin = (entry.build)(&arguments).map_err(|wrong| errors.extend(wrong)).ok()?;
        let weight = if self.is_on(SCORE, entry.name) { self.weight(entry) } else { 0 };
        let is_on = |phase: &[&str]| self.is_on(phase, entry.name);
        let (filters, rescues, reserves) = (is_on(FILTER), is_on(RESCUE), is_on(RESERVE));
        Some(Row { plugin, filters, rescues, weight, reserves })
    }

    fn is_named(&self, point: &str, name: &str) -> bool {
        self.plugins.get(point).is_some_and(|set| set.enabled.iter().any(|plugin| plugin.name == name))
    }

    fn is_disabled(&self, point: &str, name: &str) -> bool {
        let off = |plugin: &PluginName| plugin.name == name || plugin.name == "*";
        self.plugins.get(point).is_some_and(|set| set.disabled.iter().any(off))
    }

    /// Turned off, and not on again.
    fn is_off(&self, point: &str, name: &str) -> bool {
        self.is_disabled(point, name) && !self.is_named(point, name)
    }

    /// What is said of the phase itself goes before what is said of the plugin as a whole.
    fn is_on(&self, phase: &[&str], name: &str) -> bool {
        let off = phase.iter().any(|point| self.is_off(point, name));
        let on = phase.iter().any(|point| self.is_named(point, name));
        !off && (on || !self.is_off("multiPoint", name))
    }

    fn weight(&self, entry: &Entry) -> i64 {
        let given = ["score", "multiPoint"].iter().filter_map(|point| self.plugins.get(*point));
        let mut weights = given.filter_map(|set| set.enabled.iter().find(|plugin| plugin.name == entry.name)?.weight);
        let given = weights.next().filter(|weight| *weight != 0);
        // Upstream: a plugin that is named without a weight counts once.
        let named = self.is_named("score", entry.name) || self.is_named("multiPoint", entry.name);
        given.unwrap_or(if named && entry.weight != 0 { 1 } else { entry.weight })
    }
}

fn cannot_be_on(path: &Path, name: &str) -> Option<FieldError> {
    if BUILT_IN.contains(&name) || PLUGINS.iter().any(|entry| entry.name == name) {
        return None;
    }
    let detail = if ABSENT.contains(&name) { "the plugin is not supported" } else { "there is no such plugin" };
    Some(FieldError::invalid(&path.child("name"), name, detail))
}
