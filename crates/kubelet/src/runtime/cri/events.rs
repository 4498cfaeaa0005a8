//! What happens to containers, for ever.
//!
//! Runtimes that tell (`GetContainerEvents`) are listened to. Of others the kubelet knows what it does itself, and learns
//! of the end of a process from the kernel; what else happens, which is nothing as a rule, is seen by looking at all pods
//! now and then.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use parking_lot::Mutex;
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use tokio::net::unix::pipe;
use tokio::sync::broadcast::{self, error::RecvError};
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;
use tonic::{Code, Status};

use super::client::Method;
use super::protocol::{ContainerEvent, ContainerEventType, Nothing};
use super::{
    ContainerId, EventKind, PodUid, Result, RuntimeError, RuntimeEvent, SandboxId, SandboxState, Shared, labels,
};
use crate::runtime::cgroup::belongs_to;

/// How long to wait before the second attempt to connect; doubled for each further one.
const FIRST_BACK_OFF: Duration = Duration::from_millis(100);
const LAST_BACK_OFF: Duration = Duration::from_secs(5);
/// How often all pods are looked at where the runtime does not tell, and how often where the kernel cannot be asked,
/// either: upstream's.
const RELIST: Duration = Duration::from_secs(10);
const RELIST_BLIND: Duration = Duration::from_secs(1);
/// A runtime learns of a process' end a moment after the kernel.
const FIRST_LOOK: Duration = Duration::from_millis(2);
const LAST_LOOK: Duration = Duration::from_secs(1);
/// Events that may wait for whoever listens.
const QUEUED: usize = 1024;

/// A sandbox or a container.
#[derive(Debug, Clone)]
pub(super) enum Id {
    Sandbox(SandboxId),
    Container(ContainerId),
}

impl Id {
    fn as_str(&self) -> &str {
        match self {
            Self::Sandbox(id) => id.as_str(),
            Self::Container(id) => id.as_str(),
        }
    }
}

/// Containers and sandboxes that have been started, and are not known to have ended.
pub(super) struct Lives {
    sender: broadcast::Sender<RuntimeEvent>,
    table: Mutex<HashMap<String, Life>>,
}

struct Life {
    pod: PodUid,
    end: End,
}

/// How its end will be known.
enum End {
    /// It has not been started.
    NotStarted,
    /// It has not been looked at since it was started.
    Unseen,
    /// The kernel tells.
    Watched { _task: AbortOnDropHandle<()> },
    /// By looking again.
    Unwatched,
}

impl Default for Lives {
    fn default() -> Self {
        Self { sender: broadcast::Sender::new(QUEUED), table: Mutex::default() }
    }
}

impl Lives {
    /// The kubelet has made this one, or made and started it.
    pub(super) fn tell(&self, kind: EventKind, pod: &PodUid, id: &str) {
        let end = if kind == EventKind::Started { End::Unseen } else { End::NotStarted };
        self.table.lock().insert(id.to_owned(), Life { pod: pod.clone(), end });
        self.send(kind, pod.clone(), id);
    }

    /// The kubelet has started this container.
    pub(super) fn started(&self, id: &str) {
        let pod = self.table.lock().get_mut(id).map(|life| {
            life.end = End::Unseen;
            life.pod.clone()
        });
        // Of what was made before the kubelet was restarted, the next look tells.
        match pod {
            Some(pod) => self.send(EventKind::Started, pod, id),
            None => self.look_again(),
        }
    }

    /// Its process is known to have ended. Told once, however many find it out.
    pub(super) fn ended(&self, id: &str) {
        let pod = {
            let mut table = self.table.lock();
            let life = table.get_mut(id).filter(|life| !matches!(life.end, End::NotStarted));
            life.map(|life| {
                life.end = End::NotStarted;
                life.pod.clone()
            })
        };
        if let Some(pod) = pod {
            self.send(EventKind::Died, pod, id);
        }
    }

    /// Its end will not be told.
    fn unwatched(&self, id: &str) {
        if let Some(life) = self.table.lock().get_mut(id) {
            life.end = End::Unwatched;
        }
        // Whoever waits, waits no longer than that from now on.
        self.look_again();
    }

    /// The kubelet has removed it.
    pub(super) fn removed(&self, id: &str) {
        self.ended(id);
        let known = self.table.lock().remove(id).map(|life| life.pod);
        match known {
            Some(pod) => self.send(EventKind::Removed, pod, id),
            None => self.look_again(),
        }
    }

    /// What is not there any more is forgotten.
    pub(super) fn retain(&self, is_there: impl Fn(&str) -> bool) {
        self.table.lock().retain(|id, _| is_there(id));
    }

    fn send(&self, kind: EventKind, pod: PodUid, id: &str) {
        // Whoever comes later looks at everything first.
        let _ = self.sender.send(RuntimeEvent { kind, pod: Some(pod), container: Some(id.into()) });
    }

    fn look_again(&self) {
        let _ = self.sender.send(RECONNECTED);
    }

    fn relist(&self) -> Duration {
        let blind = self.table.lock().values().any(|life| matches!(life.end, End::Unwatched));
        if blind { RELIST_BLIND } else { RELIST }
    }
}

const RECONNECTED: RuntimeEvent = RuntimeEvent { kind: EventKind::Reconnected, pod: None, container: None };

impl Shared {
    /// This was seen to run, as this process, or not to run.
    pub(super) fn note(self: &Arc<Self>, pod: &PodUid, id: Id, pid: Option<u32>, runs: bool) {
        if !runs {
            return self.lives.ended(id.as_str());
        }
        let (own, id) = (id.clone(), id.as_str());
        let mut table = self.lives.table.lock();
        if table.get(id).is_some_and(|life| matches!(life.end, End::Watched { .. } | End::Unwatched)) {
            return;
        }
        let process = pid.and_then(|pid| open(pid, id));
        let waiting = await_end(Arc::downgrade(self), process, own);
        let end = End::Watched { _task: AbortOnDropHandle::new(tokio::spawn(waiting)) };
        table.insert(id.to_owned(), Life { pod: pod.clone(), end });
    }
}

impl Shared {
    /// Whether it runs, as far as the runtime knows.
    async fn runs(self: &Arc<Self>, id: &Id) -> Result<bool> {
        let runs = match id {
            Id::Sandbox(id) => self.sandbox(id).await.map(|sandbox| sandbox.state == SandboxState::Ready),
            Id::Container(id) => self.container(id).await.map(|container| container.state.is_running()),
        };
        match runs {
            Err(RuntimeError::NotFound(_)) => Ok(false),
            runs => runs,
        }
    }
}

/// A process of a container, held: whatever gets its number later is another.
fn open(pid: u32, id: &str) -> Option<pipe::Receiver> {
    let process = pidfd_open(Pid::from_raw(i32::try_from(pid).ok()?)?, PidfdFlags::NONBLOCK).ok()?;
    if !belongs_to(pid, id) {
        return None;
    }
    // It is waited for like a pipe.
    pipe::Receiver::from_owned_fd_unchecked(process).ok()
}

/// Waits until a process has ended and the runtime knows. One that cannot be held has often just ended; else it is one
/// that the kernel cannot be asked about from here.
async fn await_end(shared: Weak<Shared>, process: Option<pipe::Receiver>, id: Id) {
    let held = process.is_some();
    if let Some(process) = process {
        // A descriptor that cannot be waited for is looked at below.
        let _ = process.readable().await;
    }
    let mut look = FIRST_LOOK;
    loop {
        let Some(shared) = shared.upgrade() else { return };
        shared.cache.forget(id.as_str());
        if let Ok(false) = shared.runs(&id).await {
            return shared.lives.ended(id.as_str());
        }
        if !held && look == LAST_LOOK {
            return shared.lives.unwatched(id.as_str());
        }
        drop(shared);
        tokio::time::sleep(look).await;
        look = (look * 2).min(LAST_LOOK);
    }
}

type Told = BoxStream<'static, Result<ContainerEvent, Status>>;

/// Where events come from.
enum Source {
    /// From nowhere: the runtime does not answer.
    Away,
    /// From the runtime. The kubelet's own are kept for the case that it does not know how to tell.
    Runtime(Told, broadcast::Receiver<RuntimeEvent>),
    /// From the kubelet, which looks at all pods at this time.
    Own(broadcast::Receiver<RuntimeEvent>, Instant),
}

struct Follower {
    shared: Arc<Shared>,
    source: Source,
    /// How long to wait before the next attempt to connect.
    back_off: Duration,
}

/// See [`super::Runtime::events`].
pub(super) fn stream(shared: Arc<Shared>) -> BoxStream<'static, RuntimeEvent> {
    let follower = Follower { shared, source: Source::Away, back_off: Duration::ZERO };
    stream::unfold(follower, |mut follower| async move {
        let event = follower.next().await;
        Some((event, follower))
    })
    .boxed()
}

impl Follower {
    async fn next(&mut self) -> RuntimeEvent {
        loop {
            let event = match &mut self.source {
                Source::Away => self.connect().await,
                Source::Runtime(told, _) => {
                    let told = told.next().await;
                    self.take(told)
                }
                Source::Own(own, relist) => {
                    let relist = *relist;
                    tokio::select! {
                        event = own.recv() => self.take_own(event),
                        () = tokio::time::sleep_until(relist) => self.look_again().await,
                    }
                }
            };
            if let Some(event) = event {
                return event;
            }
        }
    }

    fn take(&mut self, told: Option<Result<ContainerEvent, Status>>) -> Option<RuntimeEvent> {
        match told {
            Some(Ok(event)) => {
                self.shared.cache.forget(&event.container_id);
                Some(translate(event))
            }
            Some(Err(status)) if status.code() == Code::Unimplemented => {
                if let Source::Runtime(_, own) = std::mem::replace(&mut self.source, Source::Away) {
                    self.source = Source::Own(own, Instant::now() + self.shared.lives.relist());
                }
                None
            }
            Some(Err(status)) => self.lost(&status),
            None => self.lost(&"the stream ended"),
        }
    }

    fn take_own(&mut self, event: Result<RuntimeEvent, RecvError>) -> Option<RuntimeEvent> {
        match event {
            Ok(event) => {
                let next = Instant::now() + self.shared.lives.relist();
                if let Source::Own(_, relist) = &mut self.source {
                    *relist = next.min(*relist);
                }
                Some(event)
            }
            Err(RecvError::Lagged(_)) => Some(RECONNECTED),
            Err(RecvError::Closed) => self.lost(&"the stream ended"),
        }
    }

    async fn look_again(&mut self) -> Option<RuntimeEvent> {
        match self.shared.version().await {
            Ok(_) => {
                if let Source::Own(_, relist) = &mut self.source {
                    *relist = Instant::now() + self.shared.lives.relist();
                }
                Some(RECONNECTED)
            }
            Err(error) => self.lost(&error),
        }
    }

    fn lost(&mut self, why: &dyn std::fmt::Display) -> Option<RuntimeEvent> {
        tracing::warn!("the container runtime's events are lost: {why}");
        self.source = Source::Away;
        self.back_off = FIRST_BACK_OFF;
        None
    }

    /// `None` if the runtime is not there; the next call waits longer.
    async fn connect(&mut self) -> Option<RuntimeEvent> {
        tokio::time::sleep(self.back_off).await;
        self.back_off = (self.back_off * 2).clamp(FIRST_BACK_OFF, LAST_BACK_OFF);
        let own = self.shared.lives.sender.subscribe();
        if let Err(error) = self.shared.version().await {
            tracing::debug!("the container runtime's events: {error}");
            return None;
        }
        let client = self.shared.client.clone();
        // Some runtimes begin their answer with the first event, so that it is not waited for here.
        let opened = async move { client.listen(Method::EVENTS, Nothing {}).await };
        let told = stream::once(opened).try_flatten().boxed();
        self.source = Source::Runtime(told, own);
        Some(RECONNECTED)
    }
}

/// An event of which it is not clear whose it is makes everything be looked at.
fn translate(event: ContainerEvent) -> RuntimeEvent {
    let kind = match event.kind() {
        ContainerEventType::Created => EventKind::Created,
        ContainerEventType::Started => EventKind::Started,
        ContainerEventType::Stopped => EventKind::Died,
        ContainerEventType::Deleted => EventKind::Removed,
    };
    let sandbox = event.pod_sandbox_status.map(|sandbox| sandbox.labels);
    let containers = event.containers_statuses.into_iter().map(|container| container.labels);
    match sandbox.into_iter().chain(containers).find_map(|labels| labels::pod(&labels)) {
        Some(pod) => RuntimeEvent { kind, pod: Some(pod.uid), container: Some(event.container_id.into()) },
        None => RECONNECTED,
    }
}

#[cfg(test)]
#[path = "events_tests.rs"]
mod tests;
