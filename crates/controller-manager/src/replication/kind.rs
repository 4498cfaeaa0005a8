//! What replica sets and replication controllers have in common.

use api_types::{
    apps::{ReplicaSet, ReplicaSetCondition, ReplicaSetStatus},
    core::{PodTemplateSpec, ReplicationController, ReplicationControllerCondition, ReplicationControllerStatus},
    k8s_openapi::NamespaceResourceScope,
    meta::Time,
    selector::label::{Error as SelectorError, Selector},
};
use component::informer::Item;
use serde_json::Value;

use super::status::{Counts, Failure};
use crate::write::status_patch;

/// An object that keeps a number of pods.
pub(super) trait Replicator: Item<DynamicType = (), Scope = NamespaceResourceScope> {
    /// Name of the controller in logs.
    const CONTROLLER: &'static str;
    /// Source of its events.
    const EVENT_SOURCE: &'static str;

    /// `spec.replicas`.
    fn replicas(&self) -> i32;
    /// `spec.minReadySeconds`.
    fn min_ready_seconds(&self) -> i32;
    /// `spec.template`.
    fn template(&self) -> Option<&PodTemplateSpec>;
    /// `spec.selector`.
    fn selector(&self) -> Result<Selector, SelectorError>;
    /// The `ReplicaFailure` condition of the status.
    fn failure(&self) -> Option<Failure>;
    /// The patch of the status that says this; `None` when it says so already.
    fn status_patch(&self, counts: &Counts, failure: Option<&Failure>) -> Option<Value>;
}

/// The name of the condition.
const REPLICA_FAILURE: &str = "ReplicaFailure";

fn nonzero(count: i32) -> Option<i32> {
    (count != 0).then_some(count)
}

impl Replicator for ReplicaSet {
    const CONTROLLER: &'static str = "replicaset";
    const EVENT_SOURCE: &'static str = "replicaset-controller";

    fn replicas(&self) -> i32 {
        self.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1)
    }

    fn min_ready_seconds(&self) -> i32 {
        self.spec.as_ref().and_then(|spec| spec.min_ready_seconds).unwrap_or(0)
    }

    fn template(&self) -> Option<&PodTemplateSpec> {
        self.spec.as_ref()?.template.as_ref()
    }

    fn selector(&self) -> Result<Selector, SelectorError> {
        Selector::from_label_selector(self.spec.as_ref().map(|spec| &spec.selector))
    }

    fn failure(&self) -> Option<Failure> {
        let condition = self.status.as_ref()?.conditions.as_ref()?.iter().find(|c| c.type_ == REPLICA_FAILURE)?;
        Some(Failure {
            reason: condition.reason.clone().unwrap_or_default(),
            message: condition.message.clone().unwrap_or_default(),
            since: condition.last_transition_time.clone(),
        })
    }

    fn status_patch(&self, counts: &Counts, failure: Option<&Failure>) -> Option<Value> {
        let old = self.status.clone().unwrap_or_default();
        let condition = |failure: &Failure| ReplicaSetCondition {
            type_: REPLICA_FAILURE.to_owned(),
            status: "True".to_owned(),
            reason: Some(failure.reason.clone()),
            message: Some(failure.message.clone()),
            last_transition_time: failure.since.clone().or_else(now),
        };
        let others = old.conditions.iter().flatten().filter(|c| c.type_ != REPLICA_FAILURE).cloned();
        let conditions: Vec<_> = others.chain(failure.map(condition)).collect();
        let new = ReplicaSetStatus {
            replicas: counts.replicas,
            fully_labeled_replicas: nonzero(counts.fully_labeled),
            ready_replicas: nonzero(counts.ready),
            available_replicas: nonzero(counts.available),
            terminating_replicas: Some(counts.terminating),
            observed_generation: self.metadata.generation,
            conditions: (!conditions.is_empty()).then_some(conditions),
        };
        (new != old || self.status.is_none()).then(|| status_patch(self.metadata.uid.as_deref(), &old, &new))
    }
}

impl Replicator for ReplicationController {
    const CONTROLLER: &'static str = "replicationcontroller";
    const EVENT_SOURCE: &'static str = "replication-controller";

    fn replicas(&self) -> i32 {
        self.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1)
    }

    fn min_ready_seconds(&self) -> i32 {
        self.spec.as_ref().and_then(|spec| spec.min_ready_seconds).unwrap_or(0)
    }

    fn template(&self) -> Option<&PodTemplateSpec> {
        self.spec.as_ref()?.template.as_ref()
    }

    fn selector(&self) -> Result<Selector, SelectorError> {
        let labels = self.spec.as_ref().and_then(|spec| spec.selector.as_ref());
        Ok(labels.filter(|labels| !labels.is_empty()).map_or_else(Selector::nothing, Selector::from_labels))
    }

    fn failure(&self) -> Option<Failure> {
        let condition = self.status.as_ref()?.conditions.as_ref()?.iter().find(|c| c.type_ == REPLICA_FAILURE)?;
        Some(Failure {
            reason: condition.reason.clone().unwrap_or_default(),
            message: condition.message.clone().unwrap_or_default(),
            since: condition.last_transition_time.clone(),
        })
    }

    fn status_patch(&self, counts: &Counts, failure: Option<&Failure>) -> Option<Value> {
        let old = self.status.clone().unwrap_or_default();
        let condition = |failure: &Failure| ReplicationControllerCondition {
            type_: REPLICA_FAILURE.to_owned(),
            status: "True".to_owned(),
            reason: Some(failure.reason.clone()),
            message: Some(failure.message.clone()),
            last_transition_time: failure.since.clone().or_else(now),
        };
        let others = old.conditions.iter().flatten().filter(|c| c.type_ != REPLICA_FAILURE).cloned();
        let conditions: Vec<_> = others.chain(failure.map(condition)).collect();
        let new = ReplicationControllerStatus {
            replicas: counts.replicas,
            fully_labeled_replicas: nonzero(counts.fully_labeled),
            ready_replicas: nonzero(counts.ready),
            available_replicas: nonzero(counts.available),
            observed_generation: self.metadata.generation,
            conditions: (!conditions.is_empty()).then_some(conditions),
        };
        (new != old || self.status.is_none()).then(|| status_patch(self.metadata.uid.as_deref(), &old, &new))
    }
}

fn now() -> Option<Time> {
    Some(Time(api_types::jiff::Timestamp::now()))
}
