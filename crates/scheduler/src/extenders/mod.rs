//! Programs elsewhere that have their say about pods, asked over HTTP: which nodes do, which are better, who goes, and that
//! a pod is bound. They are asked one after another, each within its time.

mod client;
mod decision;
mod wire;

use std::{collections::BTreeMap, sync::Arc};

use api_types::core;
use component::informer::{Informer, Informers, ObjectKey};

use self::client::Endpoint;
pub use self::{client::ExtenderError, decision::Undecided};
use crate::{
    cache::{NodeInfo, Snapshot},
    config::extenders::ExtenderDocument,
    framework::{Candidate, EXTENDER, Failure, Finality, MAX_SCORE, Rejection, Victims},
    model::Pod,
};

/// The best score of an extender.
const BEST: i64 = 10;

/// An extender.
#[derive(Debug)]
pub struct Extender {
    endpoint: Endpoint,
    settings: ExtenderDocument,
}

/// The extenders, in the order of the configuration, and the whole objects that they want to see.
#[derive(Debug, Default)]
pub struct Extenders {
    all: Vec<Extender>,
    pods: Option<Informer<core::Pod>>,
    nodes: Option<Informer<core::Node>>,
}

impl Extenders {
    /// Extenders as they are configured.
    ///
    /// # Errors
    /// When the certificates of one cannot be used.
    pub async fn new(documents: Vec<ExtenderDocument>) -> Result<Self, ExtenderError> {
        let mut all = Vec::with_capacity(documents.len());
        for settings in documents {
            all.push(Extender { endpoint: Endpoint::new(&settings).await?, settings });
        }
        Ok(Self { all, pods: None, nodes: None })
    }

    /// Holds whole objects, if anybody is to be shown them.
    pub fn follow(&mut self, informers: &Informers) {
        if !self.all.is_empty() {
            self.pods = Some(informers.of());
        }
        if self.all.iter().any(|own| !own.settings.node_cache_capable) {
            self.nodes = Some(informers.of());
        }
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    fn pod(&self, pod: &Pod) -> Result<Arc<core::Pod>, ExtenderError> {
        let known = self.pods.as_ref().and_then(|pods| pods.store().get(&ObjectKey::of(pod)));
        let known = known.filter(|known| known.metadata.uid == pod.metadata.uid);
        known.ok_or_else(|| ExtenderError::Unknown(ObjectKey::of(pod).to_string()))
    }

    fn interested<'e>(&'e self, pod: &'e core::Pod) -> impl Iterator<Item = &'e Extender> {
        self.all.iter().filter(|own| own.is_interested(pod))
    }

    /// Leaves the nodes on which all extenders agree; notes why others do not do.
    ///
    /// # Errors
    /// When one that may not be ignored fails.
    pub async fn filter<'a>(
        &self,
        candidate: Candidate<'a>,
        mut nodes: Vec<&'a NodeInfo>,
        snapshot: &'a Snapshot,
        failure: &mut Failure,
    ) -> Result<Vec<&'a NodeInfo>, ExtenderError> {
        let pod = self.pod(candidate.pod)?;
        for own in self.interested(&pod).filter(|own| own.settings.filter_verb.is_some()) {
            if nodes.is_empty() {
                break;
            }
            let verb = own.settings.filter_verb.as_deref().unwrap_or_default();
            let arguments = self.arguments(own, &pod, &nodes);
            let answer: Result<wire::FilterResult, _> = own.endpoint.ask(verb, &arguments).await;
            let answer = match answer.and_then(|answer| answer.checked(own.endpoint.name())) {
                Ok(answer) => answer,
                Err(error) if own.settings.ignorable => {
                    tracing::warn!("an extender that may be ignored: {error}");
                    continue;
                }
                Err(error) => return Err(error),
            };
            let (failed, never) = (answer.failed_nodes, answer.failed_and_unresolvable_nodes);
            for (names, finality) in [(&failed, Finality::NotNow), (&never, Finality::NeverHere)] {
                for (name, why) in names {
                    let Some((position, _)) = snapshot.position(name) else { continue };
                    let reasons = vec![why.clone().into()];
                    failure.note(EXTENDER, Rejection { reasons, finality }, position);
                }
            }
            let left = if own.settings.node_cache_capable { answer.node_names } else { answer.nodes };
            nodes.retain(|node| left.contains(node.name()));
        }
        Ok(nodes)
    }

    /// Adds what extenders think of the nodes. One that fails says nothing.
    pub async fn prioritize(&self, candidate: Candidate<'_>, nodes: &[&NodeInfo], totals: &mut [i64]) {
        let Ok(pod) = self.pod(candidate.pod) else { return };
        for own in self.interested(&pod) {
            let Some(verb) = own.settings.prioritize_verb.as_deref() else { continue };
            let arguments = self.arguments(own, &pod, nodes);
            let scores: wire::HostPriorities = match own.endpoint.ask(verb, &arguments).await {
                Ok(scores) => scores,
                Err(error) => {
                    tracing::warn!("an extender's opinion is not to be had: {error}");
                    continue;
                }
            };
            for (total, node) in totals.iter_mut().zip(nodes) {
                let score = scores.of(node.name()).clamp(0, BEST);
                *total =
                    total.saturating_add(score.saturating_mul(own.settings.weight).saturating_mul(MAX_SCORE / BEST));
            }
        }
    }

    /// Leaves the nodes on which extenders that look at it agree that pods go.
    ///
    /// # Errors
    /// When one that may not be ignored fails.
    pub async fn preempt(
        &self,
        candidate: Candidate<'_>,
        mut victims: Vec<Victims>,
    ) -> Result<Vec<Victims>, ExtenderError> {
        let pod = self.pod(candidate.pod)?;
        for own in self.interested(&pod) {
            let Some(verb) = own.settings.preempt_verb.as_deref().filter(|_| !victims.is_empty()) else { continue };
            let arguments = self.preemption(own, &pod, &victims);
            let answer: wire::PreemptionResult = match own.endpoint.ask(verb, &arguments).await {
                Ok(answer) => answer,
                Err(error) if own.settings.ignorable => {
                    tracing::warn!("an extender that may be ignored: {error}");
                    continue;
                }
                Err(error) => return Err(error),
            };
            victims = answer.left(victims);
        }
        Ok(victims)
    }

    /// Lets the extender bind the pod that does that; `None` when there is none.
    pub async fn bind(&self, pod: &Pod, node: &str) -> Option<Result<(), ExtenderError>> {
        let whole = self.pod(pod).ok()?;
        let binds = |own: &&Extender| own.settings.bind_verb.is_some();
        for own in self.interested(&whole).filter(binds) {
            let verb = own.settings.bind_verb.as_deref().unwrap_or_default();
            let answer: Result<wire::BindingResult, _> = own.endpoint.ask(verb, &wire::Binding::new(pod, node)).await;
            match answer.and_then(|answer| answer.checked(own.endpoint.name())) {
                Err(error) if own.settings.ignorable => tracing::warn!("an extender that may be ignored: {error}"),
                result => return Some(result),
            }
        }
        None
    }

    fn arguments<'e>(&self, own: &Extender, pod: &'e core::Pod, nodes: &[&'e NodeInfo]) -> wire::Arguments<'e> {
        let names: Vec<&str> = nodes.iter().map(|node| node.name()).collect();
        if own.settings.node_cache_capable {
            return wire::Arguments::new(pod, None, Some(names));
        }
        let whole = |name: &str| self.nodes.as_ref()?.store().get(&ObjectKey::new("", name));
        wire::Arguments::new(pod, Some(names.into_iter().filter_map(whole).collect()), None)
    }

    fn preemption(&self, own: &Extender, pod: &core::Pod, victims: &[Victims]) -> serde_json::Value {
        let whole = |key: ObjectKey| self.pods.as_ref()?.store().get(&key);
        wire::preemption(pod, victims, own.settings.node_cache_capable, whole)
    }
}

impl Extender {
    fn is_interested(&self, pod: &core::Pod) -> bool {
        let managed = &self.settings.managed_resources;
        if managed.is_empty() {
            return true;
        }
        let spec = pod.spec.as_ref();
        let containers =
            spec.into_iter().flat_map(|spec| spec.containers.iter().chain(spec.init_containers.iter().flatten()));
        let resources = containers.filter_map(|container| container.resources.as_ref());
        let mut amounts = resources.flat_map(|own| [&own.requests, &own.limits]).flatten();
        let has = |amounts: &BTreeMap<String, _>| managed.iter().any(|resource| amounts.contains_key(&resource.name));
        amounts.any(has)
    }
}
