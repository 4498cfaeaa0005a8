//! Stopping containers: hook, signal, patience, force.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use api_types::core::{Container, Pod};
use component::recorder::EventType::{Normal, Warning};
use futures::FutureExt;
use futures::future::join_all;
use parking_lot::Mutex;

use super::hooks;
use super::worker::Worker;
use crate::events::Events;
use crate::plan::Kill;
use crate::pod::{PodExt, Role, grace};
use crate::runtime::{ContainerId, Runtime};

/// What a hook always leaves for the signal, as upstream.
const MINIMUM: Duration = Duration::from_secs(2);

/// Containers that have been told to stop: their event is out and their hook has begun.
#[derive(Debug, Default)]
pub(super) struct Begun(Mutex<HashSet<ContainerId>>);

impl Begun {
    /// Notes the beginning; whether it is the first.
    fn note(&self, id: &ContainerId) -> bool {
        self.0.lock().insert(id.clone())
    }
}

/// A container to stop.
#[derive(Debug, Clone)]
pub(super) struct Victim {
    id: ContainerId,
    name: String,
    role: Role,
    /// `None` when the pod's spec is not known.
    container: Option<Container>,
    /// For the event.
    message: String,
}

impl Victim {
    pub(super) fn new(pod: &Pod, container: &Container, id: &ContainerId, message: String) -> Self {
        let role = pod.container(&container.name).map_or(Role::App, |(role, _)| role);
        Self { id: id.clone(), name: container.name.clone(), role, container: Some(container.clone()), message }
    }
}

/// Stops containers of one pod.
#[derive(Clone)]
pub(super) struct Killer {
    runtime: Arc<dyn Runtime>,
    events: Events,
    pod: Arc<Pod>,
    address: Option<IpAddr>,
    begun: Arc<Begun>,
}

impl Worker {
    pub(super) fn killer(&self, pod: &Arc<Pod>) -> Killer {
        Killer {
            runtime: Arc::clone(&self.context.runtime),
            events: self.context.events.clone(),
            pod: Arc::clone(pod),
            address: self.ips.first().copied(),
            begun: Arc::clone(&self.begun),
        }
    }

    /// Everything that runs.
    pub(super) fn running(&self, pod: &Pod) -> Vec<Victim> {
        let running = self.runtime.containers.iter().filter(|container| container.state.is_running());
        running
            .map(|status| {
                let known = pod.container(&status.name);
                Victim {
                    id: status.id.clone(),
                    name: status.name.clone(),
                    role: known.as_ref().map_or(Role::App, |(role, _)| *role),
                    container: known.map(|(_, container)| container.into_owned()),
                    message: format!("Stopping container {}", status.name),
                }
            })
            .collect()
    }

    /// Stops the containers of a plan, each with the grace period that its reason gives.
    pub(super) async fn kill_some(&self, pod: &Arc<Pod>, kills: &[Kill]) {
        let killer = self.killer(pod);
        let stops = kills.iter().map(|kill| {
            let container = pod.container(&kill.name);
            let probe = kill.probe.zip(container.as_ref()).and_then(|(kind, (_, container))| kind.of(container));
            let grace = grace::of_container(pod, probe);
            let victim = Victim {
                id: kill.id.clone(),
                name: kill.name.clone(),
                role: container.as_ref().map_or(Role::App, |(role, _)| *role),
                container: container.map(|(_, container)| container.into_owned()),
                message: kill.message.clone(),
            };
            let killer = killer.clone();
            async move { killer.kill(&victim, grace).await }
        });
        join_all(stops).await;
    }
}

impl Killer {
    /// Stops containers: all at once, but sidecars after the others, the last one first. The hooks of all run at once.
    /// `since` is when the grace period began, if not now.
    pub(super) async fn kill_all(&self, victims: Vec<Victim>, grace: Duration, since: Option<Instant>) {
        let began = since.unwrap_or_else(Instant::now);
        let left = || grace.saturating_sub(began.elapsed());
        let (sidecars, others): (Vec<_>, Vec<_>) = victims.into_iter().partition(|victim| victim.role == Role::Sidecar);
        let hooks: HashMap<&str, _> =
            sidecars.iter().map(|victim| (victim.name.as_str(), self.begin(victim, grace).boxed().shared())).collect();
        let order: Vec<String> = self.pod.all_containers().iter().map(|(_, c)| c.name.clone()).collect();
        let mut last_first: Vec<&Victim> = sidecars.iter().collect();
        last_first.sort_by_key(|victim| std::cmp::Reverse(order.iter().position(|name| *name == victim.name)));
        let in_turn = async {
            join_all(others.iter().map(|victim| self.kill(victim, left()))).await;
            for victim in last_first {
                if let Some(hook) = hooks.get(victim.name.as_str()) {
                    hook.clone().await;
                }
                self.stop(victim, left().max(MINIMUM.min(grace))).await;
            }
        };
        tokio::join!(in_turn, join_all(hooks.values().cloned()));
    }

    async fn kill(&self, victim: &Victim, grace: Duration) {
        let began = Instant::now();
        self.begin(victim, grace).await;
        let mut left = grace.saturating_sub(began.elapsed());
        if began.elapsed() > Duration::from_secs(1) {
            left = left.max(MINIMUM);
        }
        self.stop(victim, left).await;
    }

    /// Says that the container ends, and lets it prepare, once.
    async fn begin(&self, victim: &Victim, grace: Duration) {
        if self.begun.note(&victim.id) {
            self.events.container(&self.pod, &victim.name, Normal, "Killing", &victim.message);
            self.pre_stop(victim, grace).await;
        }
    }

    async fn stop(&self, victim: &Victim, left: Duration) {
        if let Err(error) = self.runtime.stop_container(&victim.id, left).await {
            tracing::warn!(pod = %self.pod.described(), container = victim.name, "stopping: {error}");
        }
    }

    async fn pre_stop(&self, victim: &Victim, grace: Duration) {
        let Some(container) = &victim.container else { return };
        let hook = container.lifecycle.as_ref().and_then(|lifecycle| lifecycle.pre_stop.as_ref());
        let Some(hook) = hook.filter(|_| !grace.is_zero()) else { return };
        let run = hooks::run(self.runtime.as_ref(), hook, container, &victim.id, self.address);
        match tokio::time::timeout(grace, run).await {
            Ok(Ok(())) => {}
            Ok(Err(why)) => {
                let message = format!("PreStopHook failed: {why}");
                self.events.container(&self.pod, &victim.name, Warning, "FailedPreStopHook", &message);
            }
            Err(_) => tracing::info!(pod = %self.pod.described(), container = victim.name, "PreStop hook timed out"),
        }
    }
}
