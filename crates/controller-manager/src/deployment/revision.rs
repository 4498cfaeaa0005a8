//! Which replica set is the new one, and the annotations that make the history.

use std::{collections::BTreeMap, sync::Arc};

use api_types::{
    apps::{Deployment, ReplicaSet, ReplicaSetSpec},
    meta::{LabelSelector, ObjectMeta},
};

use super::plan::{Count, Observed, Set, Strategy, on_wire};
use crate::{
    ownership::controller_reference,
    pod_template::{POD_TEMPLATE_HASH, same_template},
};

pub(super) const REVISION: &str = "deployment.kubernetes.io/revision";
const REVISION_HISTORY: &str = "deployment.kubernetes.io/revision-history";
const DESIRED_REPLICAS: &str = "deployment.kubernetes.io/desired-replicas";
const MAX_REPLICAS: &str = "deployment.kubernetes.io/max-replicas";
/// Longest revision history, in bytes; as upstream.
const HISTORY_LIMIT: usize = 2000;

/// Annotations of a deployment that its replica sets do not get.
const NOT_COPIED: &[&str] = &[
    "kubectl.kubernetes.io/last-applied-configuration",
    REVISION,
    REVISION_HISTORY,
    DESIRED_REPLICAS,
    MAX_REPLICAS,
    "deprecated.deployment.rollback.to",
];

/// A deployment's replica sets, sorted out.
#[derive(Clone, Debug, Default)]
pub(super) struct Sets {
    /// That of the current template; of several the oldest.
    pub new: Option<Arc<ReplicaSet>>,
    /// All others.
    pub old: Vec<Arc<ReplicaSet>>,
}

impl Sets {
    /// Finds the new one among the deployment's sets.
    pub(super) fn sort_out(deployment: &Deployment, mut sets: Vec<Arc<ReplicaSet>>) -> Self {
        sets.sort_by(|a, b| {
            let created = |set: &ReplicaSet| set.metadata.creation_timestamp.clone();
            created(a).cmp(&created(b)).then_with(|| a.metadata.name.cmp(&b.metadata.name))
        });
        let new = sets.iter().position(|set| has_template_of(set, deployment));
        let new = new.map(|index| sets.remove(index));
        Self { new, old: sets }
    }

    /// New and old.
    pub(super) fn all(&self) -> impl Iterator<Item = &Arc<ReplicaSet>> {
        self.new.iter().chain(&self.old)
    }

    /// The revision that a new template gets.
    pub(super) fn next_revision(&self) -> i64 {
        self.old.iter().map(|set| revision(&set.metadata)).max().unwrap_or(0) + 1
    }
}

/// Whether the set makes the pods that the deployment wants now.
pub(super) fn has_template_of(set: &ReplicaSet, deployment: &Deployment) -> bool {
    let template = set.spec.as_ref().and_then(|spec| spec.template.as_ref());
    template.zip(deployment.spec.as_ref()).is_some_and(|(a, spec)| same_template(a, &spec.template))
}

/// The revision annotation; 0 without.
pub(super) fn revision(metadata: &ObjectMeta) -> i64 {
    number(metadata, REVISION).unwrap_or(0)
}

fn number<T: std::str::FromStr>(metadata: &ObjectMeta, annotation: &str) -> Option<T> {
    metadata.annotations.as_ref()?.get(annotation)?.parse().ok()
}

/// `spec.replicas` of a deployment.
pub(super) fn replicas(deployment: &Deployment) -> i32 {
    deployment.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1)
}

/// What the rollout's arithmetic needs.
pub(super) fn observe(deployment: &Deployment, sets: &Sets) -> Observed {
    let strategy = deployment.spec.as_ref().and_then(|spec| spec.strategy.as_ref());
    let strategy = match strategy {
        Some(strategy) if strategy.type_.as_deref() == Some("Recreate") => Strategy::Recreate,
        strategy => {
            let rolling = strategy.and_then(|strategy| strategy.rolling_update.clone()).unwrap_or_default();
            Strategy::RollingUpdate { surge: rolling.max_surge, unavailable: rolling.max_unavailable }
        }
    };
    Observed {
        replicas: replicas(deployment).into(),
        strategy,
        status_replicas: deployment.status.as_ref().and_then(|status| status.replicas).unwrap_or(0).into(),
        new: sets.new.as_deref().map(set),
        old: sets.old.iter().map(|old| set(old)).collect(),
    }
}

fn set(set: &ReplicaSet) -> Set {
    Set {
        name: set.metadata.name.clone().unwrap_or_default(),
        created: set.metadata.creation_timestamp.as_ref().map(|time| time.0),
        replicas: set.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1).into(),
        available: set.status.as_ref().and_then(|status| status.available_replicas).unwrap_or(0).into(),
        desired: number::<i32>(&set.metadata, DESIRED_REPLICAS).map(Count::from),
        max: number::<i32>(&set.metadata, MAX_REPLICAS).map(Count::from),
    }
}

/// The annotations that say for which size of the deployment a set was scaled.
pub(super) fn size_annotations(observed: &Observed) -> BTreeMap<String, String> {
    let max = on_wire(observed.replicas + observed.max_surge());
    BTreeMap::from([
        (DESIRED_REPLICAS.to_owned(), observed.replicas.to_string()),
        (MAX_REPLICAS.to_owned(), max.to_string()),
    ])
}

/// The annotations that the new set should have and does not: the deployment's own, and a revision
/// that is the highest. A revision that it had before goes to its history.
pub(super) fn missing_annotations(
    deployment: &Deployment,
    current: Option<&BTreeMap<String, String>>,
    next_revision: i64,
) -> BTreeMap<String, String> {
    let own = deployment.metadata.annotations.iter().flatten();
    let mut wanted: BTreeMap<String, String> =
        own.filter(|(key, _)| !NOT_COPIED.contains(&key.as_str())).map(|(k, v)| (k.clone(), v.clone())).collect();
    let get = |key: &str| current.and_then(|annotations| annotations.get(key));
    let old_revision = get(REVISION);
    let old_number: i64 = old_revision.and_then(|revision| revision.parse().ok()).unwrap_or(0);
    if old_number < next_revision {
        wanted.insert(REVISION.to_owned(), next_revision.to_string());
        if let Some(old_revision) = old_revision {
            wanted.insert(REVISION_HISTORY.to_owned(), history(get(REVISION_HISTORY), old_revision));
        }
    }
    wanted.retain(|key, value| get(key) != Some(value));
    wanted
}

/// Appends a revision, dropping the oldest when it gets too long.
fn history(current: Option<&String>, revision: &str) -> String {
    let mut revisions: Vec<&str> = current.map_or("", String::as_str).split(',').filter(|r| !r.is_empty()).collect();
    revisions.push(revision);
    let mut length: usize = revisions.iter().map(|revision| revision.len() + 1).sum();
    while length > HISTORY_LIMIT && revisions.len() > 1 {
        length -= revisions.remove(0).len() + 1;
    }
    revisions.join(",")
}

/// The replica set for the deployment's current template.
pub(super) fn new_replica_set(deployment: &Deployment, sets: &Sets, hash: &str) -> ReplicaSet {
    let spec = deployment.spec.clone().unwrap_or_default();
    let observed = observe(deployment, sets);
    let with_hash = |labels: Option<BTreeMap<String, String>>| {
        let mut labels = labels.unwrap_or_default();
        labels.insert(POD_TEMPLATE_HASH.to_owned(), hash.to_owned());
        Some(labels)
    };
    let mut template = spec.template;
    let template_metadata = template.metadata.get_or_insert_default();
    template_metadata.labels = with_hash(template_metadata.labels.take());
    let mut annotations = missing_annotations(deployment, None, sets.next_revision());
    annotations.extend(size_annotations(&observed));
    let metadata = ObjectMeta {
        name: Some(format!("{}-{hash}", deployment.metadata.name.as_deref().unwrap_or_default())),
        namespace: deployment.metadata.namespace.clone(),
        labels: template_metadata.labels.clone(),
        annotations: Some(annotations),
        owner_references: Some(vec![controller_reference(deployment)]),
        ..ObjectMeta::default()
    };
    let selector = LabelSelector { match_labels: with_hash(spec.selector.match_labels), ..spec.selector };
    let spec = ReplicaSetSpec {
        replicas: Some(on_wire(observed.new_replicas(0))),
        min_ready_seconds: spec.min_ready_seconds,
        selector,
        template: Some(template),
    };
    ReplicaSet { metadata, spec: Some(spec), status: None }
}

/// Old sets beyond the history limit that nothing depends on, oldest revisions first.
pub(super) fn superfluous(deployment: &Deployment, old: &[Arc<ReplicaSet>]) -> Vec<Arc<ReplicaSet>> {
    let limit = deployment.spec.as_ref().and_then(|spec| spec.revision_history_limit);
    let Some(limit) = limit.and_then(|limit| usize::try_from(limit).ok()) else { return Vec::new() };
    let mut sets: Vec<_> = old.iter().filter(|set| set.metadata.deletion_timestamp.is_none()).cloned().collect();
    let excess = sets.len().saturating_sub(limit);
    sets.sort_by_key(|set| (revision(&set.metadata), set.metadata.creation_timestamp.clone()));
    sets.truncate(excess);
    sets.retain(|set| {
        let specified = set.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
        let status = set.status.as_ref();
        let observed = status.and_then(|status| status.observed_generation) >= set.metadata.generation;
        specified == 0 && status.is_none_or(|status| status.replicas == 0) && observed
    });
    sets
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn deployment(image: &str) -> Deployment {
        serde_json::from_value(json!({
            "metadata": {"name": "web", "namespace": "n", "uid": "d", "annotations": {
                "team": "a", "kubectl.kubernetes.io/last-applied-configuration": "{}", REVISION: "7",
            }},
            "spec": {
                "replicas": 4,
                "revisionHistoryLimit": 1,
                "selector": {"matchLabels": {"app": "web"}},
                "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": 0}},
                "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": image}]}},
            },
        }))
        .unwrap()
    }

    fn set(name: &str, image: &str, replicas: i32, revision: &str) -> Arc<ReplicaSet> {
        let set: Value = json!({
            "metadata": {"name": name, "annotations": {REVISION: revision}, "creationTimestamp": format!("2024-01-01T00:00:{revision:0>2}Z")},
            "spec": {"replicas": replicas, "selector": {}, "template": {
                "metadata": {"labels": {"app": "web", POD_TEMPLATE_HASH: name}}, "spec": {"containers": [{"name": "c", "image": image}]},
            }},
            "status": {"replicas": replicas},
        });
        Arc::new(serde_json::from_value(set).unwrap())
    }

    #[test]
    fn the_new_set_has_the_current_template() {
        let sets = vec![set("a", "v1", 0, "1"), set("b", "v2", 2, "2"), set("c", "v2", 1, "3")];
        let sorted = Sets::sort_out(&deployment("v2"), sets);
        assert_eq!(sorted.new.as_ref().unwrap().metadata.name.as_deref(), Some("b"));
        assert_eq!(sorted.old.len(), 2);
        assert_eq!(sorted.next_revision(), 4);
    }

    #[test]
    fn a_set_is_made_from_the_deployment() {
        let sets = Sets { new: None, old: vec![set("a", "v1", 4, "1")] };
        let made = serde_json::to_value(new_replica_set(&deployment("v2"), &sets, "xyz")).unwrap();
        assert_eq!(made["metadata"]["name"], "web-xyz");
        let annotations = json!({"team": "a", REVISION: "2", DESIRED_REPLICAS: "4", MAX_REPLICAS: "5"});
        assert_eq!(made["metadata"]["annotations"], annotations);
        assert_eq!(made["spec"]["replicas"], 1);
        let labels = json!({"app": "web", POD_TEMPLATE_HASH: "xyz"});
        for pointer in ["/metadata/labels", "/spec/selector/matchLabels", "/spec/template/metadata/labels"] {
            assert_eq!(made.pointer(pointer), Some(&labels), "{pointer}");
        }
    }

    #[test]
    fn a_revision_that_returns_remembers_the_old_one() {
        let current = BTreeMap::from([(REVISION.to_owned(), "1".to_owned()), ("team".to_owned(), "a".to_owned())]);
        let missing = missing_annotations(&deployment("v1"), Some(&current), 3);
        let expected = [(REVISION.to_owned(), "3".to_owned()), (REVISION_HISTORY.to_owned(), "1".to_owned())];
        assert_eq!(missing, BTreeMap::from(expected));
        let settled = BTreeMap::from([(REVISION.to_owned(), "3".to_owned()), ("team".to_owned(), "a".to_owned())]);
        assert!(missing_annotations(&deployment("v1"), Some(&settled), 3).is_empty());
    }

    #[test]
    fn old_sets_without_pods_are_superfluous() {
        let old = [set("a", "v1", 0, "1"), set("b", "v2", 1, "2"), set("c", "v3", 0, "3"), set("d", "v4", 0, "10")];
        let names: Vec<_> = superfluous(&deployment("v5"), &old).iter().map(|s| s.metadata.name.clone()).collect();
        assert_eq!(names, [Some("a".to_owned()), Some("c".to_owned())]);
    }
}
