//! The task that looks at the node and acts.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use api_types::core::Pod;
use api_types::quantity::Quantity;
use component::recorder::EventType::Warning;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior};

use super::observe::observe;
use super::rank::{Candidate, may_go, rank};
use super::tracker::Tracker;
use super::{Amount, EVICTED, Eviction, Observations, Pressures, Settings, Signal, Threshold};
use crate::pod::{PodExt, grace, qos};
use crate::runtime::{RuntimePod, pause};
use crate::status::{self, Reason};
use crate::volumes::PodDirectory;
use crate::workers::Workers;

/// How often the node is looked at, as upstream.
const PERIOD: Duration = Duration::from_secs(10);
/// How long the runtime may take to say where it keeps its files.
const PATIENCE: Duration = Duration::from_secs(5);
/// Seconds that a pod has which goes for a hard threshold.
const HARD_GRACE: u32 = 1;

/// Looks at the node.
pub struct Manager {
    workers: Workers,
    settings: Settings,
    tracker: Tracker,
    pressures: watch::Sender<Pressures>,
}

impl Manager {
    /// One that has not looked yet; what it sees it tells through `pressures`.
    #[must_use]
    pub fn new(workers: Workers, settings: Settings, pressures: watch::Sender<Pressures>) -> Self {
        let tracker = Tracker::new(settings.thresholds.clone(), settings.transition);
        Self { workers, settings, tracker, pressures }
    }

    /// For ever; at once without thresholds.
    pub async fn run(mut self) {
        if self.settings.thresholds.is_empty() {
            return;
        }
        let mut ticks = tokio::time::interval(PERIOD);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let seen = self.observe().await;
            let step = self.tracker.step(&seen, Instant::now());
            self.pressures.send_if_modified(|known| {
                let changed = *known != step.pressures;
                known.clone_from(&step.pressures);
                changed
            });
            if let Some((threshold, amount)) = step.urgent {
                self.relieve(threshold, amount).await;
            }
        }
    }

    async fn observe(&self) -> Observations {
        let context = self.workers.context();
        // A runtime that hangs must not keep the node from seeing that it runs short.
        let info = tokio::time::timeout(PATIENCE, context.runtime.info()).await;
        let images =
            info.ok().and_then(Result::ok).map(|info| PathBuf::from(info.root_dir)).filter(|path| path.is_absolute());
        let (root, memory) = (context.root.clone(), u64::try_from(context.node.memory).unwrap_or(0));
        let look = move || observe(&root, images.as_deref(), memory);
        tokio::task::spawn_blocking(look).await.unwrap_or_default()
    }

    async fn relieve(&self, threshold: Threshold, amount: Amount) {
        let resource = threshold.signal.resource();
        let events = &self.workers.context().events;
        events.node(Warning, "EvictionThresholdMet", &format!("Attempting to reclaim {resource}"));
        let on_disk = threshold.signal.pressure() == super::Pressure::Disk;
        if on_disk && self.remove_images().await {
            let again = self.observe().await.get(&threshold.signal).copied();
            if again.is_some_and(|amount| !threshold.is_met(amount)) {
                return;
            }
        }
        let mut candidates = self.candidates(threshold.signal).await;
        rank(&mut candidates, threshold.signal);
        let Some(first) = candidates.first() else {
            tracing::warn!(resource, "the node runs short, and there is no pod that could go");
            return;
        };
        let grace = match threshold.grace {
            None => HARD_GRACE,
            Some(_) => self.settings.max_grace.min(grace::of_deletion(&first.pod)),
        };
        let message = message(threshold, amount, first);
        events.pod(&first.pod, Warning, EVICTED, &message);
        let uid = first.pod.uid();
        self.workers.context().evictions.add(uid.clone(), Eviction { reason: Reason::new(EVICTED, message), grace });
        self.workers.nudge(&uid);
    }

    /// Removes images that no container of any pod was made from. Docker keeps those that others use.
    async fn remove_images(&self) -> bool {
        let runtime = &self.workers.context().runtime;
        let (Ok(images), Ok(pods)) = (runtime.list_images().await, runtime.list_pods().await) else { return false };
        let used: HashSet<&str> =
            pods.iter().flat_map(|pod| &pod.containers).map(|container| container.image_id.as_str()).collect();
        let mut removed = false;
        for image in images.iter().filter(|image| !used.contains(image.id.as_str())) {
            for tag in image.tags.iter().filter(|tag| tag.as_str() != pause::IMAGE) {
                match runtime.remove_image(tag).await {
                    Ok(()) => removed = true,
                    Err(error) => tracing::debug!(tag, "removing an image: {error}"),
                }
            }
        }
        removed
    }

    /// Pods that could go, with what they use.
    async fn candidates(&self, signal: Signal) -> Vec<Candidate> {
        let context = self.workers.context();
        let running = context.runtime.list_pods().await.unwrap_or_default();
        let mut candidates = Vec::new();
        for pod in self.workers.pods() {
            let told = context.statuses.get(&pod.uid());
            let over = told.is_some_and(|status| status::phase_of(&status).is_final()) || status::is_over(&pod);
            if over || pod.deletion_timestamp().is_some() || !may_go(&pod) {
                continue;
            }
            let pod = context.allocations.applied(&pod);
            let found = running.iter().find(|found| found.identity.uid == pod.uid());
            candidates.push(self.measure(pod, found, signal).await);
        }
        candidates
    }

    async fn measure(&self, pod: Arc<Pod>, found: Option<&RuntimePod>, signal: Signal) -> Candidate {
        let mut candidate = Candidate { pod, memory: Vec::new(), disk: 0, processes: 0 };
        let context = self.workers.context();
        match signal {
            Signal::Memory => {
                let containers = found.into_iter().flat_map(|found| &found.containers);
                for container in containers.filter(|container| container.state.is_running()) {
                    if let Ok(stats) = context.runtime.stats(&container.id).await {
                        candidate.memory.push((container.name.clone(), stats.memory_working_set));
                    }
                }
            }
            Signal::Pid => {
                let containers = found.into_iter().flat_map(|found| &found.containers);
                let ids: Vec<String> = containers.map(|container| container.id.0.clone()).collect();
                candidate.processes = tokio::task::spawn_blocking(move || processes(&ids)).await.unwrap_or(0);
            }
            _ => {
                let directory = PodDirectory::new(&context.root, &candidate.pod.uid());
                candidate.disk = tokio::task::spawn_blocking(move || directory.used()).await.unwrap_or(0);
            }
        }
        candidate
    }
}

/// How many processes are in the cgroups of these containers.
fn processes(ids: &[String]) -> u64 {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let cgroups = entries.filter_map(|entry| std::fs::read_to_string(entry.path().join("cgroup")).ok());
    let own = cgroups.filter(|text| ids.iter().any(|id| !id.is_empty() && text.contains(id.as_str())));
    u64::try_from(own.count()).unwrap_or(u64::MAX)
}

/// Upstream's words.
pub(super) fn message(threshold: Threshold, amount: Amount, candidate: &Candidate) -> String {
    let signal = threshold.signal;
    let shown = |value: u64| match signal {
        Signal::Memory | Signal::NodeDisk | Signal::ImageDisk => bytes(value),
        _ => value.to_string(),
    };
    let resource = signal.resource();
    let mut text = format!(
        "The node was low on resource: {resource}. Threshold quantity: {}, available: {}. ",
        shown(threshold.least(amount.capacity)),
        shown(amount.available)
    );
    for (name, used) in &candidate.memory {
        let known = candidate.pod.container(name);
        let requested = known.and_then(|(_, container)| qos::request(&container, resource));
        let requested = requested.map_or(0, |amount| u64::try_from(amount.value()).unwrap_or(0));
        if *used > requested {
            text.push_str(&format!(
                "Container {name} was using {}, request is {}, has larger consumption of {resource}. ",
                bytes(*used),
                bytes(requested)
            ));
        }
    }
    text
}

/// Whole KiB, as upstream's messages.
fn bytes(value: u64) -> String {
    Quantity::from_bytes(i64::try_from(value / 1024 * 1024).unwrap_or(i64::MAX)).to_string()
}
