//! What plugins look up besides nodes and pods: the labels of namespaces, what services and controllers select, and
//! which pods disruption budgets protect.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use api_types::selector::label::{Requirement, Selector};
use component::informer::{Event, Informers, Item, ObjectKey};
use parking_lot::RwLock;

use crate::{
    cache::Kin,
    devices::Devices,
    model::{Namespace, Pod, PodDisruptionBudget, ReplicaSet, ReplicationController, Service},
    storage::Storage,
};

/// See the module. Kept current by informers; reading it is cheap.
#[derive(Debug, Default)]
pub struct Directory {
    state: RwLock<State>,
    /// Volumes and claims.
    storage: Arc<Storage>,
    /// Devices and claims to them.
    devices: Arc<Devices>,
}

type Labels = BTreeMap<String, String>;

#[derive(Debug, Default)]
struct State {
    /// Labels of namespaces.
    namespaces: HashMap<String, Labels>,
    /// Selectors of services: namespace, name.
    services: HashMap<String, BTreeMap<String, Labels>>,
    /// Selectors of controllers by kind.
    controllers: HashMap<(&'static str, ObjectKey), Selector>,
    /// Disruption budgets: namespace, name.
    budgets: HashMap<String, BTreeMap<String, Budget>>,
}

/// A disruption budget.
#[derive(Debug)]
pub struct Budget {
    /// The pods that it protects.
    selector: Selector,
    /// How many of them may go.
    pub allowed: i32,
    /// Pods whose going has been counted already, by name.
    pub disrupted: BTreeSet<String>,
}

/// A kind that the directory holds.
trait Listed: Item<DynamicType = ()> {
    fn list(&self, key: ObjectKey, state: &mut State);
    fn unlist(key: &ObjectKey, state: &mut State);
}

impl Listed for Namespace {
    fn list(&self, key: ObjectKey, state: &mut State) {
        state.namespaces.insert(key.name, self.metadata.labels.clone().unwrap_or_default());
    }

    fn unlist(key: &ObjectKey, state: &mut State) {
        state.namespaces.remove(&key.name);
    }
}

impl Listed for Service {
    fn list(&self, key: ObjectKey, state: &mut State) {
        if self.spec.selector.is_empty() {
            return Self::unlist(&key, state);
        }
        state.services.entry(key.namespace).or_default().insert(key.name, self.spec.selector.clone());
    }

    fn unlist(key: &ObjectKey, state: &mut State) {
        if let Some(services) = state.services.get_mut(&key.namespace) {
            services.remove(&key.name);
            if services.is_empty() {
                state.services.remove(&key.namespace);
            }
        }
    }
}

impl Listed for ReplicationController {
    fn list(&self, key: ObjectKey, state: &mut State) {
        state.controllers.insert(("ReplicationController", key), Selector::from_labels(&self.spec.selector));
    }

    fn unlist(key: &ObjectKey, state: &mut State) {
        state.controllers.remove(&("ReplicationController", key.clone()));
    }
}

impl Listed for ReplicaSet {
    fn list(&self, key: ObjectKey, state: &mut State) {
        match Selector::from_label_selector(self.spec.selector.as_ref()) {
            Ok(selector) => drop(state.controllers.insert(("ReplicaSet", key), selector)),
            Err(_) => Self::unlist(&key, state),
        }
    }

    fn unlist(key: &ObjectKey, state: &mut State) {
        state.controllers.remove(&("ReplicaSet", key.clone()));
    }
}

impl Listed for PodDisruptionBudget {
    fn list(&self, key: ObjectKey, state: &mut State) {
        let selector = Selector::from_label_selector(self.spec.selector.as_ref());
        // One that selects everything is taken to protect nothing, as upstream.
        let Some(selector) = selector.ok().filter(|selector| !selector.is_everything()) else {
            return Self::unlist(&key, state);
        };
        let disrupted = self.status.disrupted_pods.keys().cloned().collect();
        let budget = Budget { selector, allowed: self.status.disruptions_allowed, disrupted };
        state.budgets.entry(key.namespace).or_default().insert(key.name, budget);
    }

    fn unlist(key: &ObjectKey, state: &mut State) {
        if let Some(budgets) = state.budgets.get_mut(&key.namespace) {
            budgets.remove(&key.name);
            if budgets.is_empty() {
                state.budgets.remove(&key.namespace);
            }
        }
    }
}

impl Directory {
    /// Keeps the directory in step with the API server.
    pub fn follow(self: &Arc<Self>, informers: &Informers) {
        self.follow_kind::<Namespace>(informers);
        self.follow_kind::<Service>(informers);
        self.follow_kind::<ReplicationController>(informers);
        self.follow_kind::<ReplicaSet>(informers);
        self.follow_kind::<PodDisruptionBudget>(informers);
    }

    fn follow_kind<T: Listed>(self: &Arc<Self>, informers: &Informers) {
        let directory = Arc::clone(self);
        informers.of::<T>().on_event(move |event| directory.note(event));
    }

    fn note<T: Listed>(&self, event: &Event<T>) {
        let key = ObjectKey::of(&**event.object());
        let mut state = self.state.write();
        match event {
            Event::Added(object) | Event::Updated { new: object, .. } => object.list(key, &mut state),
            Event::Deleted(_) => T::unlist(&key, &mut state),
        }
    }

    /// Volumes and claims.
    #[must_use]
    pub fn storage(&self) -> &Arc<Storage> {
        &self.storage
    }

    /// Devices and claims to them.
    #[must_use]
    pub fn devices(&self) -> &Arc<Devices> {
        &self.devices
    }

    /// Whether a namespace's labels match; one that is not known yet has none.
    #[must_use]
    pub fn namespace_matches(&self, namespace: &str, selector: &Selector) -> bool {
        static NONE: Labels = Labels::new();
        // Mostly there is no selector, and then the lock is left alone.
        if selector.is_everything() || *selector == Selector::nothing() {
            return selector.is_everything();
        }
        selector.matches(self.state.read().namespaces.get(namespace).unwrap_or(&NONE))
    }

    /// Calls back with each budget that protects a pod, and its name.
    pub fn budgets_of(&self, pod: &Kin, mut found: impl FnMut(&str, &Budget)) {
        // No budget protects pods without labels, as upstream.
        if pod.labels.is_empty() {
            return;
        }
        let state = self.state.read();
        let budgets = state.budgets.get(&*pod.namespace).into_iter().flatten();
        for (name, budget) in budgets.filter(|(_, budget)| budget.selector.matches(&pod.labels)) {
            found(name, budget);
        }
    }

    /// What the services and the controller of a pod select together; `None` when it has none.
    #[must_use]
    pub fn selector_of(&self, pod: &Pod) -> Option<Selector> {
        let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
        let labels = pod.metadata.labels.as_ref();
        let state = self.state.read();
        let mut requirements: Vec<Requirement> = Vec::new();
        for selector in state.services.get(namespace).into_iter().flat_map(BTreeMap::values) {
            let selector = Selector::from_labels(selector);
            if labels.is_some_and(|labels| selector.matches(labels)) {
                requirements.extend(selector.requirements().iter().cloned());
            }
        }
        requirements.extend(state.controller_of(pod, namespace).into_iter().flatten().cloned());
        (!requirements.is_empty()).then(|| Selector::all(requirements))
    }
}

impl State {
    fn controller_of(&self, pod: &Pod, namespace: &str) -> Option<&[Requirement]> {
        let owner = pod.metadata.owner_references.iter().flatten().find(|owner| owner.controller == Some(true))?;
        let kind = match (owner.api_version.as_str(), owner.kind.as_str()) {
            ("v1", "ReplicationController") => "ReplicationController",
            ("apps/v1", "ReplicaSet") => "ReplicaSet",
            _ => return None,
        };
        let key = ObjectKey::new(namespace, owner.name.as_str());
        self.controllers.get(&(kind, key)).map(Selector::requirements)
    }
}

#[cfg(test)]
impl Directory {
    /// Notes an object, as an informer would.
    pub(crate) fn add_budget(&self, budget: PodDisruptionBudget) {
        self.note(&Event::Added(Arc::new(budget)));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn added<T: Listed + serde::de::DeserializeOwned>(directory: &Directory, object: Value) {
        directory.note(&Event::Added(Arc::new(serde_json::from_value::<T>(object).unwrap())));
    }

    fn selector_of(directory: &Directory, metadata: Value) -> Option<String> {
        let pod: Pod = serde_json::from_value(json!({"metadata": metadata})).unwrap();
        let selector = directory.selector_of(&pod)?;
        Some(selector.requirements().iter().map(ToString::to_string).collect::<Vec<_>>().join(","))
    }

    #[test]
    fn services_and_controllers_tell_which_pods_belong_together() {
        let directory = Directory::default();
        let metadata = |name: &str| json!({"name": name, "namespace": "ns"});
        added::<Service>(&directory, json!({"metadata": metadata("web"), "spec": {"selector": {"app": "web"}}}));
        added::<Service>(&directory, json!({"metadata": metadata("db"), "spec": {"selector": {"app": "db"}}}));
        added::<Service>(&directory, json!({"metadata": metadata("none"), "spec": {}}));
        let selector = json!({"matchLabels": {"hash": "1"}});
        added::<ReplicaSet>(&directory, json!({"metadata": metadata("web-1"), "spec": {"selector": selector}}));
        let owner =
            json!([{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-1", "uid": "u", "controller": true}]);
        let labels = json!({"app": "web", "hash": "1"});
        let pod = json!({"namespace": "ns", "labels": labels, "ownerReferences": owner});
        assert_eq!(selector_of(&directory, pod).as_deref(), Some("app=web,hash=1"));
        assert_eq!(selector_of(&directory, json!({"namespace": "other", "labels": labels})), None);
        assert_eq!(selector_of(&directory, json!({"namespace": "ns"})), None);
    }

    #[test]
    fn namespaces_are_selected_by_their_labels() {
        let directory = Directory::default();
        added::<Namespace>(&directory, json!({"metadata": {"name": "a", "labels": {"team": "x"}}}));
        let selector: Selector = "team=x".parse().unwrap();
        assert!(directory.namespace_matches("a", &selector) && !directory.namespace_matches("b", &selector));
        assert!(directory.namespace_matches("b", &Selector::everything()));
        assert!(!directory.namespace_matches("a", &Selector::nothing()));
    }
}
