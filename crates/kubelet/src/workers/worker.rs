//! The task of one pod.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use api_types::core::{Pod, PodStatus};
use api_types::jiff::Timestamp;
use component::backoff::Backoff;
use tokio::sync::watch;
use tokio::time::Instant;

use super::kill::Begun;
use super::resize::ResizeState;
use super::{Context, Desired, Intent, Nudge, Retired, Workers};
use crate::objects::PodObjects;
use crate::plan::BackOffs;
use crate::pleg::Look;
use crate::pod::PodExt;
use crate::probes::ProbeSet;
use crate::runtime::{ContainerId, PodUid, RuntimeError, RuntimePod, SandboxConfig};
use crate::status::manager::on_server;
use crate::status::{self, Facts, Reason, Stage};
use crate::volumes::{Claimed, PodDirectory, SetUpVolumes};

/// Delays after something failed that no event will announce to be mended.
const FIRST_RETRY: Duration = Duration::from_secs(1);
const LAST_RETRY: Duration = Duration::from_secs(20);

/// What a worker does after a step.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Wait for news.
    Wait,
    /// Wait for news, but not longer than this.
    WaitAtMost(Duration),
    /// The pod is gone.
    Done,
}

pub(super) struct Worker {
    pub(super) workers: Workers,
    pub(super) context: Arc<Context>,
    pub(super) uid: PodUid,
    pub(super) nudge: Nudge,
    pub(super) mailbox: watch::Receiver<Desired>,
    pub(super) directory: PodDirectory,
    /// What ran when it was last looked at.
    pub(super) runtime: RuntimePod,
    /// When the worker last looked at it, or finished changing something of it: an earlier look is no news.
    pub(super) caught_up: Instant,
    /// The configuration of the present sandbox, as containers in it need it.
    pub(super) sandbox: Option<SandboxConfig>,
    /// Addresses, while there is a sandbox.
    pub(super) ips: Vec<IpAddr>,
    /// Watches on what the pod refers to.
    pub(super) objects: PodObjects,
    /// The volumes that the pod's claims have.
    pub(super) claimed: Claimed,
    /// The volumes that are there.
    pub(super) volumes: SetUpVolumes,
    /// The probes.
    pub(super) probes: ProbeSet,
    /// Restart delays.
    pub(super) back_offs: BackOffs,
    /// Until when each container waits, as far as an event has told.
    pub(super) told_back_offs: HashMap<String, Timestamp>,
    /// Why containers do not run.
    pub(super) reasons: BTreeMap<String, Reason>,
    /// What containers left when they ended.
    pub(super) messages: HashMap<ContainerId, String>,
    /// Containers whose stopping has begun.
    pub(super) begun: Arc<Begun>,
    /// Why the kubelet failed the pod.
    pub(super) failure: Option<Reason>,
    /// Seconds that containers have of a pod that goes for the node's sake.
    pub(super) evicted: Option<u32>,
    /// What the pod holds of the node.
    pub(super) resize: ResizeState,
    /// Containers that were stopped to be started again, whatever they end with.
    pub(super) replaced: HashSet<ContainerId>,
    /// Where the pod is in its life.
    pub(super) stage: Stage,
    /// The status that was told last.
    pub(super) status: Option<PodStatus>,
    /// Between attempts at what keeps failing.
    pub(super) retry: Backoff,
    /// When volumes of running containers that could not be brought up to date are tried again.
    pub(super) stale_volumes: Option<Duration>,
    pub(super) volume_retry: Backoff,
}

impl Worker {
    pub(super) fn new(workers: Workers, uid: PodUid, nudge: Nudge, mailbox: watch::Receiver<Desired>) -> Self {
        let context = Arc::clone(&workers.context);
        Self {
            directory: PodDirectory::new(&context.root, &uid),
            objects: PodObjects::new(Arc::clone(&context.objects)),
            probes: ProbeSet::new(context.probes(), nudge.clone()),
            back_offs: BackOffs::starting_with(context.first_back_off),
            runtime: RuntimePod::default(),
            caught_up: Instant::now(),
            sandbox: None,
            ips: Vec::new(),
            claimed: Claimed { local: Arc::clone(&context.local_volumes), ..Claimed::default() },
            volumes: SetUpVolumes::new(),
            told_back_offs: HashMap::new(),
            reasons: BTreeMap::new(),
            messages: HashMap::new(),
            begun: Arc::default(),
            failure: None,
            evicted: None,
            resize: ResizeState::default(),
            replaced: HashSet::new(),
            stage: Stage::Running,
            status: None,
            retry: Backoff::new(FIRST_RETRY, LAST_RETRY),
            stale_volumes: None,
            volume_retry: Backoff::new(FIRST_RETRY, LAST_RETRY),
            workers,
            context,
            uid,
            nudge,
            mailbox,
        }
    }

    /// Lives as long as the pod.
    pub(super) async fn run(mut self) {
        loop {
            let mut desired = self.mailbox.borrow_and_update().clone();
            desired.pod = self.allocate(&desired).await;
            let next = match desired.intent {
                Intent::Run => Box::pin(self.sync(&desired.pod)).await,
                Intent::Terminate { .. } | Intent::Remove { .. } => Box::pin(self.terminate(&desired)).await,
            };
            match next {
                Next::Wait => self.news().await,
                Next::WaitAtMost(time) => {
                    // Either way it is time to look again.
                    let _ = tokio::time::timeout(time, self.news()).await;
                }
                Next::Done if self.workers.retire(&self.uid, &self.mailbox) == Retired::Done => return,
                Next::Done => {}
            }
        }
    }

    async fn news(&mut self) {
        // The worker holds a sender itself, in its nudge.
        let _ = self.mailbox.changed().await;
    }

    /// Whether the pod should still run.
    pub(super) fn should_run(&self) -> bool {
        self.mailbox.borrow().intent == Intent::Run
    }

    /// Runs something long that a pod that has to stop need not wait for.
    pub(super) async fn while_running<T>(
        mailbox: &watch::Receiver<Desired>,
        work: impl Future<Output = T>,
    ) -> Option<T> {
        let mut mailbox = mailbox.clone();
        tokio::select! {
            result = work => Some(result),
            _ = mailbox.wait_for(|desired| desired.intent != Intent::Run) => None,
        }
    }

    /// Takes in what runs: what was last seen, if nothing has been done since or it is what is known anyway, or what a
    /// look of its own shows.
    pub(super) async fn catch_up(&mut self, pod: &Pod) -> Result<(), RuntimeError> {
        let look = self.mailbox.borrow().look.clone();
        let usable = |look: &Look| look.at > self.caught_up || *look.pod == self.runtime;
        let Some(look) = look.filter(usable) else { return self.observe(pod).await };
        self.caught_up = self.caught_up.max(look.at);
        self.take_in(pod, RuntimePod::clone(&look.pod)).await;
        Ok(())
    }

    /// Looks at what runs.
    pub(super) async fn observe(&mut self, pod: &Pod) -> Result<(), RuntimeError> {
        let began = Instant::now();
        let runtime = self.context.runtime.pod(&self.uid).await?;
        self.caught_up = began;
        self.take_in(pod, runtime).await;
        Ok(())
    }

    async fn take_in(&mut self, pod: &Pod, runtime: RuntimePod) {
        self.runtime = runtime;
        self.replaced.retain(|id| self.runtime.containers.iter().any(|container| container.id == *id));
        self.after_change(pod).await;
    }

    /// Brings everything that depends on what runs up to date.
    pub(super) async fn after_change(&mut self, pod: &Pod) {
        self.read_messages().await;
        match self.runtime.ready_sandbox() {
            None => self.ips.clear(),
            Some(_) if pod.host_network() => self.ips.clone_from(&self.context.node.ips),
            Some(sandbox) if self.ips.is_empty() => match self.context.network.pod_ips(sandbox).await {
                Ok(ips) => self.ips = ips,
                Err(error) => tracing::warn!(pod = %self.uid, "reading the pod's addresses: {error}"),
            },
            Some(_) => {}
        }
    }

    /// Tells the API what has become of the pod, if that is news.
    pub(super) fn publish(&mut self, pod: &Pod) {
        let no_status = PodStatus::default();
        let previous = self.status.as_ref().or(pod.status.as_ref()).unwrap_or(&no_status);
        let status = status::generate(&Facts {
            pod,
            previous,
            runtime: &self.runtime,
            ips: &self.ips,
            node_ips: &self.context.node.ips,
            probes: &self.probes.results(),
            reasons: &self.reasons,
            messages: &self.messages,
            replaced: &self.replaced,
            stage: self.stage,
            failure: self.failure.as_ref(),
            resizing: self.resize.told(),
            now: Timestamp::now(),
        });
        if self.status.as_ref() == Some(&status) {
            return;
        }
        self.status = Some(status.clone());
        let server = self.context.api_pods.as_ref().and_then(|pods| on_server(pods.store(), pod));
        self.context.statuses.set(pod, status, server.as_deref());
    }

    /// Waits before the next attempt.
    pub(super) fn later(&mut self) -> Next {
        Next::WaitAtMost(self.retry.next_delay())
    }
}
