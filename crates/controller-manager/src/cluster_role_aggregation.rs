//! Cluster roles that gather the rules of others, by label.

use std::{collections::BTreeMap, sync::Arc};

use api_types::{
    rbac::{ClusterRole, PolicyRule},
    selector::label::Selector,
};
use component::{
    api::Api,
    informer::{Informer, ObjectKey},
    queue::{Outcome, WorkQueue},
};
use kube::{
    Client,
    api::{Patch, PatchParams},
};
use serde_json::{Value, json};

use crate::{context::Context, controllers::Run, write};

/// The owner of gathered rules.
const FIELD_MANAGER: &str = "clusterrole-aggregation-controller";

struct Controller {
    client: Client,
    roles: Informer<ClusterRole>,
}

/// The controller of cluster roles that gather others.
pub(crate) fn start(context: &Context) -> Option<Run> {
    let controller = Arc::new(Controller { client: context.client.clone(), roles: context.informer() });
    let queue = WorkQueue::new();
    let (keys, roles) = (Arc::clone(&queue), controller.roles.clone());
    // Whatever changes may be gathered by any of them; there are few.
    controller.roles.on_event(move |_| {
        for role in roles.store().list().iter().filter(|role| role.aggregation_rule.is_some()) {
            keys.add(ObjectKey::of(&**role));
        }
    });
    let daemon = context.daemon.clone();
    Some(Box::new(move || {
        queue.run(&daemon, "clusterrole-aggregation", 1, move |key| {
            let controller = Arc::clone(&controller);
            async move { write::settle_races(controller.reconcile(&key).await) }
        });
    }))
}

/// The rules could not be written, or not be found out.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("aggregating cluster roles")]
    Write(#[from] kube::Error),
    #[error("the aggregation rule: {0}")]
    Selector(String),
}

impl Controller {
    async fn reconcile(&self, key: &ObjectKey) -> Result<Outcome, Error> {
        let Some(role) = self.roles.store().get(key) else { return Ok(Outcome::Done) };
        let Some(rules) = plan(&role, &self.roles.store().list()).map_err(Error::Selector)? else {
            return Ok(Outcome::Done);
        };
        let parameters = PatchParams::apply(FIELD_MANAGER).force();
        let roles: Api<ClusterRole> = Api::all(self.client.clone());
        roles.patch(&key.name, &parameters, &Patch::Apply(configuration(&key.name, &rules))).await?;
        Ok(Outcome::Done)
    }
}

fn configuration(name: &str, rules: &[PolicyRule]) -> Value {
    let mut role = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": name},
    });
    if !rules.is_empty() {
        role["rules"] = json!(rules);
    }
    role
}

/// The rules that a role is to have, when it has others: those of each selection in the order of names, each once.
///
/// # Errors
/// When a selector makes no sense.
fn plan(role: &ClusterRole, all: &[Arc<ClusterRole>]) -> Result<Option<Vec<PolicyRule>>, String> {
    let Some(aggregation) = &role.aggregation_rule else { return Ok(None) };
    let mut rules: Vec<PolicyRule> = Vec::new();
    for selector in aggregation.cluster_role_selectors.iter().flatten() {
        let selector = Selector::from_label_selector(Some(selector)).map_err(|error| error.to_string())?;
        let none = BTreeMap::new();
        let gathered = all.iter().filter(|other| {
            other.metadata.name != role.metadata.name
                && selector.matches(other.metadata.labels.as_ref().unwrap_or(&none))
        });
        let by_name: BTreeMap<_, _> = gathered.map(|other| (&other.metadata.name, other)).collect();
        for rule in by_name.values().flat_map(|other| other.rules.iter().flatten()) {
            if !rules.contains(rule) {
                rules.push(rule.clone());
            }
        }
    }
    let same = rules.as_slice() == role.rules.as_deref().unwrap_or_default();
    Ok((!same).then_some(rules))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn role(value: Value) -> Arc<ClusterRole> {
        Arc::new(serde_json::from_value(value).unwrap())
    }

    fn part(name: &str, label: &str, resources: &[&str]) -> Arc<ClusterRole> {
        let rules: Vec<Value> = resources
            .iter()
            .map(|resource| json!({"verbs": ["get"], "apiGroups": [""], "resources": [resource]}))
            .collect();
        role(json!({"metadata": {"name": name, "labels": {label: "true"}}, "rules": rules}))
    }

    fn gathers(rules: &Value) -> Arc<ClusterRole> {
        let selectors = json!([{"matchLabels": {"a": "true"}}, {"matchLabels": {"b": "true"}}]);
        role(json!({"metadata": {"name": "all", "labels": {"a": "true"}},
            "aggregationRule": {"clusterRoleSelectors": selectors}, "rules": rules}))
    }

    #[test]
    fn rules_are_gathered_in_order_and_once() {
        let own = json!([{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}]);
        let whole = gathers(&own);
        let parts = [
            part("z", "a", &["pods", "nodes"]),
            part("y", "a", &["secrets", "pods"]),
            part("x", "b", &["pods", "events"]),
            part("w", "c", &["leases"]),
            whole.clone(),
        ];
        let rules = plan(&whole, &parts).unwrap().unwrap();
        let resources: Vec<&str> = rules.iter().map(|rule| rule.resources.as_ref().unwrap()[0].as_str()).collect();
        assert_eq!(resources, ["secrets", "pods", "nodes", "events"]);
        assert_eq!(plan(&gathers(&json!(rules)), &parts), Ok(None), "nothing is written twice");
        assert_eq!(plan(&gathers(&own), &[]), Ok(Some(Vec::new())), "rules of its own are not kept");
        assert_eq!(plan(&gathers(&Value::Null), &[]), Ok(None));
        assert_eq!(plan(&parts[0], &parts), Ok(None));
    }
}
