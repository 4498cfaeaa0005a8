//! `--policy-config-file`: what schedulers were told before there were plugins. Predicates and priorities become the
//! plugins that do the same.

use std::path::Path as File;

use api_types::yaml;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{ConfigError, Configuration, Document};
use crate::framework::PLUGINS;

/// Predicates, and the plugins that do the same.
const PREDICATES: &[(&str, &[&str])] = &[
    ("CheckNodeCondition", &["TaintToleration"]),
    ("CheckNodeDiskPressure", &["TaintToleration"]),
    ("CheckNodeMemoryPressure", &["TaintToleration"]),
    ("CheckNodePIDPressure", &["TaintToleration"]),
    ("CheckNodeUnschedulable", &["NodeUnschedulable"]),
    ("CheckVolumeBinding", &["VolumeBinding"]),
    ("EvenPodsSpread", &["PodTopologySpread"]),
    ("GeneralPredicates", &["NodeResourcesFit", "NodeName", "NodePorts", "NodeAffinity"]),
    ("HostName", &["NodeName"]),
    ("MatchInterPodAffinity", &["InterPodAffinity"]),
    ("MatchNodeSelector", &["NodeAffinity"]),
    ("MaxAzureDiskVolumeCount", &["NodeVolumeLimits"]),
    ("MaxCSIVolumeCountPred", &["NodeVolumeLimits"]),
    ("MaxCinderVolumeCount", &["NodeVolumeLimits"]),
    ("MaxEBSVolumeCount", &["NodeVolumeLimits"]),
    ("MaxGCEPDVolumeCount", &["NodeVolumeLimits"]),
    ("NoDiskConflict", &["VolumeRestrictions"]),
    ("NoVolumeZoneConflict", &["VolumeZone"]),
    ("PodFitsHostPorts", &["NodePorts"]),
    ("PodFitsPorts", &["NodePorts"]),
    ("PodFitsResources", &["NodeResourcesFit"]),
    ("PodToleratesNodeTaints", &["TaintToleration"]),
];

/// What was done whatever the file said.
const ALWAYS: &[&str] = &["NodeUnschedulable", "TaintToleration"];

/// Priorities, and the plugins that do the same; none where there is nothing to do any more.
const PRIORITIES: &[(&str, Option<&str>)] = &[
    ("BalancedResourceAllocation", Some("NodeResourcesBalancedAllocation")),
    ("EqualPriority", None),
    ("EvenPodsSpreadPriority", Some("PodTopologySpread")),
    ("ImageLocalityPriority", Some("ImageLocality")),
    ("InterPodAffinityPriority", Some("InterPodAffinity")),
    ("LeastRequestedPriority", Some("NodeResourcesFit")),
    ("MostRequestedPriority", Some("NodeResourcesFit")),
    ("NodeAffinityPriority", Some("NodeAffinity")),
    ("NodePreferAvoidPodsPriority", None),
    ("SelectorSpreadPriority", Some("PodTopologySpread")),
    ("ServiceSpreadingPriority", Some("PodTopologySpread")),
    ("TaintTolerationPriority", Some("TaintToleration")),
];

/// `Policy`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Policy {
    kind: Option<String>,
    predicates: Option<Vec<Named>>,
    priorities: Option<Vec<Named>>,
    extenders: Option<Vec<Map<String, Value>>>,
    hard_pod_affinity_symmetric_weight: Option<i64>,
}

/// A predicate or a priority.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Named {
    name: String,
    weight: i64,
    argument: Option<Value>,
}

/// Reads a policy for the pods of one scheduler; and what of it is not done any more.
///
/// # Errors
/// When it cannot be read, names what is not known, or asks for what plugins do not do.
pub fn load(path: &File, scheduler: &str) -> Result<(Configuration, Vec<String>), ConfigError> {
    let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
    parse(&text, scheduler)
}

/// The same of a text.
///
/// # Errors
/// See [`load`].
pub fn parse(text: &str, scheduler: &str) -> Result<(Configuration, Vec<String>), ConfigError> {
    let shape = |error: serde_json::Error| ConfigError::Shape(error.to_string());
    let policy: Policy = serde_json::from_value(yaml::from_str(text)?).map_err(shape)?;
    if policy.kind.as_deref() != Some("Policy") {
        return Err(ConfigError::Shape("kind is not \"Policy\"".to_owned()));
    }
    let mut warnings = Vec::new();
    let mut plugins = Map::new();
    if let Some(predicates) = &policy.predicates {
        plugins.insert("filter".to_owned(), only(filters(predicates, &mut warnings)?));
    }
    let mut strategy = None;
    if let Some(priorities) = &policy.priorities {
        plugins.insert("score".to_owned(), only(scores(priorities, &mut strategy, &mut warnings)?));
    }
    let mut arguments = Vec::new();
    if let Some(weight) = policy.hard_pod_affinity_symmetric_weight {
        arguments.push(json!({"name": "InterPodAffinity", "args": {"hardPodAffinityWeight": weight}}));
    }
    if let Some(strategy) = strategy {
        arguments.push(json!({"name": "NodeResourcesFit", "args": {"scoringStrategy": {"type": strategy}}}));
    }
    let extenders: Vec<Value> = policy.extenders.into_iter().flatten().map(extender).collect();
    let document = json!({"extenders": extenders, "profiles":
        [{"schedulerName": scheduler, "plugins": plugins, "pluginConfig": arguments}]});
    let document: Document = serde_json::from_value(document).map_err(shape)?;
    Ok((document.check()?, warnings))
}

fn only(plugins: Vec<Value>) -> Value {
    json!({"disabled": [{"name": "*"}], "enabled": plugins})
}

fn filters(predicates: &[Named], warnings: &mut Vec<String>) -> Result<Vec<Value>, ConfigError> {
    let mut enabled: Vec<&str> = ALWAYS.to_vec();
    for own in predicates {
        let known = PREDICATES.iter().find(|(name, _)| *name == own.name && own.argument.is_none());
        let Some((_, plugins)) = known else { return Err(unknown("predicate", own)) };
        for plugin in *plugins {
            if !PLUGINS.iter().any(|entry| entry.name == *plugin) {
                warnings.push(format!("predicate {}: there is no plugin {plugin}", own.name));
            } else if !enabled.contains(plugin) {
                enabled.push(plugin);
            }
        }
    }
    Ok(enabled.into_iter().map(|name| json!({"name": name})).collect())
}

fn scores(
    priorities: &[Named],
    strategy: &mut Option<&'static str>,
    warnings: &mut Vec<String>,
) -> Result<Vec<Value>, ConfigError> {
    // What several priorities have become counts as much as they did together.
    let mut enabled: Vec<(&str, i64)> = Vec::new();
    for own in priorities {
        let known = PRIORITIES.iter().find(|(name, _)| *name == own.name && own.argument.is_none());
        let Some((_, plugin)) = known else { return Err(unknown("priority", own)) };
        let Some(plugin) = plugin else {
            warnings.push(format!("priority {} makes no difference", own.name));
            continue;
        };
        if own.name == "MostRequestedPriority" {
            *strategy = Some("MostAllocated");
        }
        match enabled.iter_mut().find(|(name, _)| name == plugin) {
            Some((_, weight)) => *weight = weight.saturating_add(own.weight),
            None => enabled.push((plugin, own.weight)),
        }
    }
    Ok(enabled.into_iter().map(|(name, weight)| json!({"name": name, "weight": weight})).collect())
}

fn unknown(what: &str, own: &Named) -> ConfigError {
    let custom =
        if own.argument.is_some() { ", with an argument, is none that a plugin replaces" } else { " is not known" };
    ConfigError::Shape(format!("{what} {:?}{custom}", own.name))
}

/// An extender as it is written now: times were nanoseconds, and Go's decoder did not mind the case.
fn extender(mut own: Map<String, Value>) -> Value {
    if let Some(https) = own.remove("enableHttps") {
        own.insert("enableHTTPS".to_owned(), https);
    }
    if let Some(nanoseconds) = own.get("httpTimeout").and_then(Value::as_u64) {
        own.insert("httpTimeout".to_owned(), json!(format!("{}ms", nanoseconds / 1_000_000)));
    }
    if let Some(Value::Object(tls)) = own.remove("tlsConfig") {
        const FIELDS: &[&str] =
            &["insecure", "serverName", "certFile", "keyFile", "caFile", "certData", "keyData", "caData"];
        let now = |name: String| {
            FIELDS.iter().find(|field| field.eq_ignore_ascii_case(&name)).map_or(name, |field| (*field).into())
        };
        let tls: Map<String, Value> = tls.into_iter().map(|(name, value)| (now(name), value)).collect();
        own.insert("tlsConfig".to_owned(), tls.into());
    }
    own.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(text: &str) -> (Vec<String>, Vec<String>) {
        let (configuration, warnings) = parse(text, "mine").unwrap();
        let rows = configuration.profiles["mine"].rows.iter().filter(|row| row.filters || row.weight != 0);
        let row = |row: &crate::framework::Row| {
            format!("{}{}*{}", if row.filters { "" } else { "-" }, row.plugin.name(), row.weight)
        };
        (rows.map(row).collect(), warnings)
    }

    #[test]
    fn predicates_and_priorities_become_plugins() {
        let (rows, warnings) = rows(
            r#"{"kind": "Policy", "apiVersion": "v1",
            "predicates": [{"name": "PodFitsPorts"}, {"name": "PodFitsResources"}],
            "priorities": [{"name": "SelectorSpreadPriority", "weight": 1}, {"name": "ServiceSpreadingPriority", "weight": 2},
                {"name": "MostRequestedPriority", "weight": 5}, {"name": "EqualPriority", "weight": 1}]}"#,
        );
        let expected =
            ["NodeUnschedulable*0", "TaintToleration*0", "NodePorts*0", "NodeResourcesFit*5", "-PodTopologySpread*3"];
        assert_eq!(rows, expected);
        assert_eq!(warnings, ["priority EqualPriority makes no difference"]);
    }

    #[test]
    fn what_is_not_said_is_as_always() {
        let (configuration, _) = parse("{kind: Policy, hardPodAffinitySymmetricWeight: 10}", "mine").unwrap();
        assert_eq!(configuration.profiles["mine"].rows.len(), PLUGINS.len());
    }

    #[test]
    fn extenders_are_written_anew() {
        let text = "{kind: Policy, extenders: [{urlPrefix: 'https://127.0.0.1:1/x', filterVerb: filter, enableHttps: true, \
                    httpTimeout: 2000000000, tlsConfig: {CAFile: /ca, Insecure: false}}]}";
        let (configuration, _) = parse(text, "mine").unwrap();
        let own = &configuration.extenders[0];
        assert_eq!((own.http_timeout().as_secs(), own.enable_https), (2, true));
        assert_eq!(own.tls_config.as_ref().unwrap().ca_file.as_deref(), Some("/ca"));
    }

    #[test]
    fn what_is_not_known_is_refused() {
        let refused = |text: &str| parse(text, "mine").unwrap_err().to_string();
        assert!(refused("{kind: Pod}").contains("kind is not"));
        assert!(refused("{kind: Policy, predicates: [{name: Mine}]}").contains("predicate \"Mine\" is not known"));
        let custom = "{kind: Policy, priorities: [{name: EqualPriority, weight: 1, argument: {labelPreference: {}}}]}";
        assert!(refused(custom).contains("is none that a plugin replaces"));
    }
}
