//! What the API is told of a pod: pure, from what is seen. [`manager`] does the telling.

mod conditions;
mod containers;
pub mod manager;
mod patch;
mod phase;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::IpAddr;

use api_types::core::{HostIP, Pod, PodIP, PodStatus};
use api_types::jiff::Timestamp;
use api_types::meta::Time;
use api_types::pod::qos::QosClass;

use crate::pod::PodExt;
use crate::probes::ProbeResults;
use crate::runtime::{ContainerId, RuntimePod};
pub use phase::Phase;

/// Where a pod is in its life, as its worker sees it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// It should run.
    #[default]
    Running,
    /// Its containers are being stopped.
    Terminating,
    /// Nothing of it runs any more.
    Terminated,
}

/// A reason with its message, as conditions and waiting states have them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reason {
    /// CamelCase.
    pub reason: String,
    /// In words.
    pub message: String,
}

impl Reason {
    /// A reason from its parts.
    pub fn new(reason: &str, message: impl Into<String>) -> Self {
        Self { reason: reason.to_owned(), message: message.into() }
    }
}

/// A resize that is asked for and not in force.
#[derive(Debug, Clone, Copy, Default)]
pub struct Resizing<'a> {
    /// Why it is not granted: a reason and a message.
    pub pending: Option<(&'static str, &'a str)>,
    /// Generation of the spec whose resize was granted.
    pub granted: Option<i64>,
    /// Why what was granted is not in force.
    pub error: Option<&'a str>,
}

/// Everything that a status is made of.
pub struct Facts<'a> {
    /// The pod as it should be.
    pub pod: &'a Pod,
    /// The last status, in which times and finished containers are found again.
    pub previous: &'a PodStatus,
    /// What runs.
    pub runtime: &'a RuntimePod,
    /// The pod's addresses; the node's when it lives in its network.
    pub ips: &'a [IpAddr],
    /// The node's addresses.
    pub node_ips: &'a [IpAddr],
    /// What the probes say.
    pub probes: &'a ProbeResults,
    /// Why containers do not run.
    pub reasons: &'a BTreeMap<String, Reason>,
    /// Termination messages of containers that have ended.
    pub messages: &'a HashMap<ContainerId, String>,
    /// Containers that were stopped to be started again, whatever they ended with.
    pub replaced: &'a HashSet<ContainerId>,
    /// Where the pod is in its life.
    pub stage: Stage,
    /// Why the kubelet itself failed the pod.
    pub failure: Option<&'a Reason>,
    /// The resize that is under way.
    pub resizing: Resizing<'a>,
    /// The time.
    pub now: Timestamp,
}

impl Facts<'_> {
    /// The time as the API writes it.
    fn time(&self) -> Time {
        seconds(self.now)
    }
}

/// Whole seconds: that is what the API keeps.
fn seconds(at: Timestamp) -> Time {
    Time(Timestamp::from_second(at.as_second()).unwrap_or(at))
}

/// The pod's status.
#[must_use]
pub fn generate(facts: &Facts<'_>) -> PodStatus {
    let statuses = containers::all(facts);
    let computed = match facts.failure {
        Some(_) => Phase::Failed,
        None => phase::compute(facts.pod, &statuses, facts.stage),
    };
    let phase = Phase::parse(facts.previous.phase.as_deref()).advance(computed);
    let failure = facts.failure.cloned();
    let (reason, message) = match failure {
        Some(failure) => (Some(failure.reason), Some(failure.message)),
        None => (facts.previous.reason.clone(), facts.previous.message.clone()),
    };
    let host_ips: Vec<HostIP> = facts.node_ips.iter().map(|ip| HostIP { ip: ip.to_string() }).collect();
    let pod_ips: Vec<PodIP> = facts.ips.iter().map(|ip| PodIP { ip: ip.to_string() }).collect();
    PodStatus {
        phase: Some(phase.as_str().to_owned()),
        conditions: Some(conditions::all(facts, &statuses, phase)),
        reason,
        message,
        host_ip: host_ips.first().map(|host| host.ip.clone()),
        host_ips: some_list(host_ips),
        pod_ip: pod_ips.first().map(|pod| pod.ip.clone()),
        pod_ips: some_list(pod_ips),
        start_time: facts.previous.start_time.clone().or_else(|| Some(facts.time())),
        init_container_statuses: some_list(statuses.init),
        container_statuses: some_list(statuses.app),
        ephemeral_container_statuses: some_list(statuses.ephemeral),
        qos_class: Some(QosClass::of(facts.pod).as_str().to_owned()),
        observed_generation: facts.pod.metadata.generation,
        ..PodStatus::default()
    }
}

/// The status of a pod that this node will not run.
#[must_use]
pub fn rejected(pod: &Pod, why: &Reason, now: Timestamp) -> PodStatus {
    PodStatus {
        phase: Some(Phase::Failed.as_str().to_owned()),
        reason: Some(why.reason.clone()),
        message: Some(why.message.clone()),
        start_time: Some(seconds(now)),
        qos_class: Some(QosClass::of(pod).as_str().to_owned()),
        observed_generation: pod.metadata.generation,
        ..PodStatus::default()
    }
}

/// The phase that a status tells.
#[must_use]
pub fn phase_of(status: &PodStatus) -> Phase {
    Phase::parse(status.phase.as_deref())
}

/// Whether the pod as the API has it has come to its end.
#[must_use]
pub fn is_over(pod: &Pod) -> bool {
    Phase::parse(Some(pod.phase())).is_final()
}

fn some_list<T>(list: Vec<T>) -> Option<Vec<T>> {
    (!list.is_empty()).then_some(list)
}
