//! What is sent to extenders and what they answer, under upstream's names.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use api_types::core;
use component::informer::ObjectKey;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::client::ExtenderError;
use crate::{framework::Victims, model::Pod};

/// To filter or to rate nodes.
#[derive(Serialize)]
pub(super) struct Arguments<'a> {
    pod: &'a core::Pod,
    #[serde(skip_serializing_if = "Option::is_none")]
    nodes: Option<NodeList>,
    #[serde(rename = "nodenames", skip_serializing_if = "Option::is_none")]
    node_names: Option<Vec<&'a str>>,
}

/// Whole nodes.
#[derive(Serialize)]
struct NodeList {
    metadata: Value,
    items: Vec<Arc<core::Node>>,
}

impl<'a> Arguments<'a> {
    pub(super) fn new(
        pod: &'a core::Pod,
        nodes: Option<Vec<Arc<core::Node>>>,
        node_names: Option<Vec<&'a str>>,
    ) -> Self {
        Self { pod, nodes: nodes.map(|items| NodeList { metadata: json!({}), items }), node_names }
    }
}

/// Nodes that do, and why others do not.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct FilterResult {
    #[serde(deserialize_with = "names")]
    pub(super) nodes: BTreeSet<String>,
    #[serde(rename = "nodenames", alias = "nodeNames", deserialize_with = "or_default")]
    pub(super) node_names: BTreeSet<String>,
    #[serde(deserialize_with = "or_default")]
    pub(super) failed_nodes: BTreeMap<String, String>,
    #[serde(deserialize_with = "or_default")]
    pub(super) failed_and_unresolvable_nodes: BTreeMap<String, String>,
    error: Option<String>,
}

/// Go writes what is empty as `null`.
fn or_default<'de, D: serde::Deserializer<'de>, T: Deserialize<'de> + Default>(deserializer: D) -> Result<T, D::Error> {
    Option::<T>::deserialize(deserializer).map(Option::unwrap_or_default)
}

/// The names in a list of nodes.
fn names<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<BTreeSet<String>, D::Error> {
    #[derive(Deserialize)]
    struct List {
        items: Option<Vec<Item>>,
    }
    #[derive(Deserialize)]
    struct Item {
        metadata: Meta,
    }
    #[derive(Deserialize)]
    struct Meta {
        name: String,
    }
    let list = Option::<List>::deserialize(deserializer)?;
    Ok(list.and_then(|list| list.items).into_iter().flatten().map(|node| node.metadata.name).collect())
}

impl FilterResult {
    pub(super) fn checked(self, who: &str) -> Result<Self, ExtenderError> {
        refused(who, self.error.as_ref()).map_or(Ok(self), Err)
    }
}

fn refused(who: &str, error: Option<&String>) -> Option<ExtenderError> {
    let error = error.filter(|error| !error.is_empty())?;
    Some(ExtenderError::Failed(who.to_owned(), error.clone()))
}

/// Scores, by node.
#[derive(Debug, Default, Deserialize)]
pub(super) struct HostPriorities(Vec<HostPriority>);

#[derive(Debug, Deserialize)]
struct HostPriority {
    #[serde(alias = "Host")]
    host: String,
    #[serde(alias = "Score")]
    score: i64,
}

impl HostPriorities {
    pub(super) fn of(&self, node: &str) -> i64 {
        self.0.iter().find(|own| own.host == node).map_or(0, |own| own.score)
    }
}

/// To bind a pod.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Binding<'a> {
    pod_name: &'a str,
    pod_namespace: &'a str,
    #[serde(rename = "podUID")]
    pod_uid: &'a str,
    node: &'a str,
}

impl<'a> Binding<'a> {
    pub(super) fn new(pod: &'a Pod, node: &'a str) -> Self {
        Self {
            pod_name: pod.metadata.name.as_deref().unwrap_or_default(),
            pod_namespace: pod.metadata.namespace.as_deref().unwrap_or_default(),
            pod_uid: pod.uid(),
            node,
        }
    }
}

/// What came of a binding.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct BindingResult {
    error: Option<String>,
}

impl BindingResult {
    pub(super) fn checked(self, who: &str) -> Result<(), ExtenderError> {
        refused(who, self.error.as_ref()).map_or(Ok(()), Err)
    }
}

/// Who would go where: whole pods, or their uids for an extender that knows the pods.
pub(super) fn preemption(
    pod: &core::Pod,
    victims: &[Victims],
    knows_pods: bool,
    whole: impl Fn(ObjectKey) -> Option<Arc<core::Pod>>,
) -> Value {
    let of_node = |own: &Victims| {
        let pods: Vec<Value> = if knows_pods {
            own.pods.iter().map(|pod| json!({"uid": pod.uid()})).collect()
        } else {
            let keys = own.pods.iter().map(|pod| ObjectKey::new(&*pod.kin.namespace, &*pod.identity.name));
            keys.filter_map(&whole).map(|pod| json!(&*pod)).collect()
        };
        (own.node.to_string(), json!({"pods": pods, "numPDBViolations": own.violations}))
    };
    let by_node: serde_json::Map<String, Value> = victims.iter().map(of_node).collect();
    let field = if knows_pods { "nodeNameToMetaVictims" } else { "nodeNameToVictims" };
    json!({"pod": pod, field: by_node})
}

/// Who may go where.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct PreemptionResult {
    #[serde(deserialize_with = "or_default")]
    node_name_to_meta_victims: BTreeMap<String, MetaVictims>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct MetaVictims {
    #[serde(deserialize_with = "or_default")]
    pods: Vec<MetaPod>,
    #[serde(rename = "numPDBViolations")]
    violations: i64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct MetaPod {
    uid: String,
}

impl PreemptionResult {
    /// Nodes and pods that the answer names, among those that were asked about.
    pub(super) fn left(&self, asked: Vec<Victims>) -> Vec<Victims> {
        let left = asked.into_iter().filter_map(|mut own| {
            let named = self.node_name_to_meta_victims.get(&*own.node)?;
            own.pods.retain(|pod| named.pods.iter().any(|named| named.uid == pod.uid()));
            own.violations = usize::try_from(named.violations).unwrap_or(0);
            // Without victims there is nothing to be won there.
            (!own.pods.is_empty()).then_some(own)
        });
        left.collect()
    }
}
