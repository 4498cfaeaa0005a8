//! Probes: a task for each, results by container, and a nudge to the pod's worker whenever one changes.

mod check;
mod grpc;
pub mod http;
mod task;

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;

use api_types::core::{Container, Pod, Probe};
use api_types::jiff::Timestamp;
use parking_lot::Mutex;
use tokio_util::task::AbortOnDropHandle;

use crate::events::Events;
use crate::pod::{PodExt, Role};
use crate::runtime::{ContainerId, ContainerState, Runtime, RuntimePod};
use crate::workers::Nudge;

/// Which of a container's probes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ProbeKind {
    /// Until it succeeds, the others wait.
    Startup,
    /// When it fails, the container is restarted.
    Liveness,
    /// When it fails, the pod gets no traffic.
    Readiness,
}

impl ProbeKind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Startup, Self::Liveness, Self::Readiness];

    /// As events name it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Startup => "Startup",
            Self::Liveness => "Liveness",
            Self::Readiness => "Readiness",
        }
    }

    /// The container's probe of this kind.
    #[must_use]
    pub fn of(self, container: &Container) -> Option<&Probe> {
        match self {
            Self::Startup => container.startup_probe.as_ref(),
            Self::Liveness => container.liveness_probe.as_ref(),
            Self::Readiness => container.readiness_probe.as_ref(),
        }
    }
}

/// What a probe has found, its thresholds applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Well.
    Success,
    /// Not well.
    Failure,
}

/// The verdicts about a pod's containers. A probe that has not decided yet has none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProbeResults(HashMap<(ContainerId, ProbeKind), Verdict>);

impl ProbeResults {
    /// What is known.
    #[must_use]
    pub fn get(&self, container: &ContainerId, kind: ProbeKind) -> Option<Verdict> {
        self.0.get(&(container.clone(), kind)).copied()
    }

    /// Notes a verdict; says whether it is news.
    pub fn set(&mut self, container: &ContainerId, kind: ProbeKind, verdict: Verdict) -> bool {
        self.0.insert((container.clone(), kind), verdict) != Some(verdict)
    }
}

/// What probes need of the kubelet.
#[derive(Clone)]
pub struct ProbeContext {
    /// For exec probes.
    pub runtime: Arc<dyn Runtime>,
    /// Where failures are told.
    pub events: Events,
}

/// One pod's probes.
pub struct ProbeSet {
    context: ProbeContext,
    results: Arc<Mutex<ProbeResults>>,
    tasks: HashMap<(ContainerId, ProbeKind), AbortOnDropHandle<()>>,
    nudge: Nudge,
}

/// One probe of one running container.
#[derive(Clone)]
struct Target {
    pod: Arc<Pod>,
    id: ContainerId,
    kind: ProbeKind,
    container: Container,
    probe: Probe,
    address: Option<IpAddr>,
    started_at: Timestamp,
}

impl ProbeSet {
    /// No probes yet; `nudge` is told of every new verdict.
    #[must_use]
    pub fn new(context: ProbeContext, nudge: Nudge) -> Self {
        Self { context, results: Arc::default(), tasks: HashMap::new(), nudge }
    }

    /// The verdicts as they are now.
    #[must_use]
    pub fn results(&self) -> ProbeResults {
        self.results.lock().clone()
    }

    /// Starts and ends tasks, so that exactly the probes run that should.
    pub fn reconcile(&mut self, pod: &Arc<Pod>, runtime: &RuntimePod, address: Option<IpAddr>) {
        let wanted = wanted(pod, runtime, address, &self.results.lock());
        let keys: HashSet<_> = wanted.iter().map(|target| (target.id.clone(), target.kind)).collect();
        self.tasks.retain(|key, _| keys.contains(key));
        self.results.lock().0.retain(|(id, _), _| runtime.containers.iter().any(|container| container.id == *id));
        for target in wanted {
            let key = (target.id.clone(), target.kind);
            let (context, results, nudge) = (self.context.clone(), Arc::clone(&self.results), self.nudge.clone());
            self.tasks
                .entry(key)
                .or_insert_with(|| AbortOnDropHandle::new(tokio::spawn(task::run(context, target, results, nudge))));
        }
    }

    /// Ends liveness and startup probes, which must not disturb a pod that is stopping. Readiness goes on, so that
    /// traffic follows what the pod says.
    pub fn only_readiness(&mut self) {
        self.tasks.retain(|(_, kind), _| *kind == ProbeKind::Readiness);
    }
}

/// The probes that should run: a container's startup probe alone until it has succeeded.
fn wanted(pod: &Arc<Pod>, runtime: &RuntimePod, address: Option<IpAddr>, results: &ProbeResults) -> Vec<Target> {
    let mut targets = Vec::new();
    for (role, container) in pod.all_containers() {
        let Some(status) = runtime.latest(&container.name).filter(|_| role != Role::Init) else { continue };
        let ContainerState::Running { started_at, .. } = status.state else { continue };
        let starting =
            container.startup_probe.is_some() && results.get(&status.id, ProbeKind::Startup) != Some(Verdict::Success);
        for kind in ProbeKind::ALL {
            let Some(probe) = kind.of(container) else { continue };
            if (kind == ProbeKind::Startup) == starting {
                targets.push(Target {
                    pod: Arc::clone(pod),
                    id: status.id.clone(),
                    kind,
                    container: container.clone(),
                    probe: probe.clone(),
                    address,
                    started_at,
                });
            }
        }
    }
    targets
}
