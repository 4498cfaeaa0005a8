//! What the pod holds of the node, and how it comes to hold something else.

use std::sync::Arc;

use api_types::core::{Container, Pod};
use component::recorder::EventType::{self, Normal, Warning};
use serde_json::{Map, Value, json};

use super::worker::Worker;
use super::{Desired, Intent};
use crate::allocation::{self, Allocation, Refusal};
use crate::plan::Resize;
use crate::pod::{PodExt, Role};
use crate::status::{self, Resizing};

/// The resize that the pod's worker is about.
#[derive(Debug, Default)]
pub(super) struct ResizeState {
    /// What the pod holds, once that is known.
    held: Option<Allocation>,
    /// Why what the spec asks for is not carried out.
    refusal: Option<Refusal>,
    /// Generation of the spec whose resize was granted and is not in force yet.
    granted: Option<i64>,
    /// What keeps it from being in force.
    error: Option<String>,
}

impl ResizeState {
    /// For the status.
    pub(super) fn told(&self) -> Resizing<'_> {
        Resizing {
            pending: self.refusal.as_ref().map(|refusal| (refusal.reason(), refusal.message())),
            granted: self.granted,
            error: self.error.as_deref(),
        }
    }
}

impl Worker {
    /// The pod with what it holds. A resize that its spec asks for is granted first, if it fits.
    pub(super) async fn allocate(&mut self, desired: &Desired) -> Arc<Pod> {
        let wanted = &desired.pod;
        let runs = desired.intent == Intent::Run && !status::is_over(wanted);
        let held = match self.resize.held.take() {
            Some(held) => held,
            None => self.first_allocation(wanted, runs).await,
        };
        let allocated = held.apply(wanted);
        self.resize.held = Some(held);
        if Arc::ptr_eq(&allocated, wanted) {
            self.resize.refusal = None;
        }
        if !runs {
            return allocated;
        }
        if Arc::ptr_eq(&allocated, wanted) {
            self.context.allocations.hold(wanted);
            return allocated;
        }
        match self.context.allocations.resize(wanted, &self.context.node.allocatable) {
            Ok(()) => {
                self.grant(wanted).await;
                Arc::clone(wanted)
            }
            Err(refusal) => {
                self.context.allocations.hold_back(&allocated);
                self.refuse(wanted, refusal);
                allocated
            }
        }
    }

    /// What an earlier kubelet noted, or what the spec asks for.
    async fn first_allocation(&self, wanted: &Pod, runs: bool) -> Allocation {
        let path = self.directory.allocation();
        let read = tokio::task::spawn_blocking(move || allocation::read(&path)).await;
        match read.map_err(std::io::Error::other).and_then(|read| read) {
            Ok(Some(held)) => return held,
            Ok(None) => {}
            Err(error) => tracing::warn!(pod = %wanted.described(), "reading what the pod holds: {error}"),
        }
        let held = Allocation::of(wanted);
        if runs {
            self.note_allocation(wanted, &held).await;
        }
        held
    }

    async fn note_allocation(&self, pod: &Pod, held: &Allocation) {
        let (directory, held) = (self.directory.clone(), held.clone());
        let write = move || directory.make_own().and_then(|()| allocation::write(&directory.allocation(), &held));
        let written = tokio::task::spawn_blocking(write).await.map_err(std::io::Error::other);
        if let Err(error) = written.and_then(|written| written) {
            tracing::warn!(pod = %pod.described(), "noting what the pod holds: {error}");
        }
    }

    async fn grant(&mut self, wanted: &Pod) {
        let held = Allocation::of(wanted);
        self.note_allocation(wanted, &held).await;
        self.resize = ResizeState { held: Some(held), granted: wanted.metadata.generation, ..ResizeState::default() };
        self.tell_resize(wanted, Normal, "ResizeStarted", "Pod resize started", None);
        self.workers.nudge_deferred();
    }

    fn refuse(&mut self, wanted: &Pod, refusal: Refusal) {
        if self.resize.refusal.as_ref() != Some(&refusal) {
            let reason = refusal.reason();
            let what = format!("Pod resize {reason}");
            self.tell_resize(wanted, Warning, &format!("Resize{reason}"), &what, Some(refusal.message()));
        }
        self.resize.refusal = Some(refusal);
    }

    /// Gives a running container what it holds now. What went wrong has been told.
    pub(super) async fn resize_container(&mut self, pod: &Arc<Pod>, resize: &Resize) -> Result<(), ()> {
        let done = match self.shrinks_below_use(resize).await {
            Some(why) => Err(why),
            None => self.update_container(resize).await,
        };
        match done {
            Ok(()) => {
                self.resize.error = None;
                Ok(())
            }
            Err(why) => {
                if self.resize.error.as_ref() != Some(&why) {
                    self.tell_resize(pod, Warning, "ResizeError", "Pod resize error", Some(&why));
                }
                self.resize.error = Some(why);
                Err(())
            }
        }
    }

    async fn update_container(&mut self, resize: &Resize) -> Result<(), String> {
        let updated = self.context.runtime.update_container(&resize.id, &resize.resources).await;
        updated.map_err(|error| error.to_string())?;
        let status = self.context.runtime.container_status(&resize.id).await.map_err(|error| error.to_string())?;
        if let Some(known) = self.runtime.containers.iter_mut().find(|known| known.id == resize.id) {
            *known = status;
        }
        Ok(())
    }

    /// A limit below what is in use would end the container.
    async fn shrinks_below_use(&self, resize: &Resize) -> Option<String> {
        let known = self.runtime.containers.iter().find(|known| known.id == resize.id)?;
        let actual = known.resources.as_ref()?.memory_limit;
        let wanted = resize.resources.memory_limit;
        if wanted == 0 || (actual > 0 && wanted >= actual) {
            return None;
        }
        let used = self.context.runtime.stats(&resize.id).await.ok()?.memory_working_set;
        (u64::try_from(wanted).unwrap_or(0) <= used).then(|| {
            format!(
                "attempting to set container {:?} memory limit ({wanted}) below current usage ({used})",
                resize.name
            )
        })
    }

    /// Everything that the pod holds is in force.
    pub(super) fn resize_is_done(&mut self, pod: &Pod) {
        self.resize.error = None;
        if self.resize.granted.take().is_some() {
            self.tell_resize(pod, Normal, "ResizeCompleted", "Pod resize completed", None);
        }
    }

    fn tell_resize(&self, pod: &Pod, event_type: EventType, reason: &str, what: &str, error: Option<&str>) {
        let message = format!("{what}: {}", summary(pod, error));
        self.context.events.pod(pod, event_type, reason, &message);
    }
}

/// What a resize is about, as upstream's events tell it.
fn summary(pod: &Pod, error: Option<&str>) -> Value {
    let of = |container: &Container| {
        let resources = container.resources.as_ref();
        let lists = [
            ("limits", resources.and_then(|resources| resources.limits.as_ref())),
            ("requests", resources.and_then(|resources| resources.requests.as_ref())),
        ];
        let named: Map<String, Value> =
            lists.into_iter().filter_map(|(name, list)| Some((name.to_owned(), json!(list?)))).collect();
        json!({"name": container.name, "resources": named})
    };
    let containers = pod.all_containers();
    let list = |wanted: Role| -> Vec<Value> {
        containers.iter().filter(|(role, _)| *role == wanted).map(|(_, container)| of(container)).collect()
    };
    let mut summary = json!({"containers": list(Role::App), "generation": pod.metadata.generation});
    let sidecars = list(Role::Sidecar);
    if !sidecars.is_empty() {
        summary["initContainers"] = sidecars.into();
    }
    if let Some(error) = error {
        summary["error"] = error.into();
    }
    summary
}
