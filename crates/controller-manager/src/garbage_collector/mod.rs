//! Garbage collection: objects go with their last owner.
//!
//! The graph is not built beside the informers but read from them: every resource has a
//! metadata-only informer with an index by owner. An object is looked at when it, its owner or its
//! dependent changes; what to do follows from the states of its owners ([`plan`]). Before anything is
//! deleted for want of an owner, the server itself has said that the owner is not there.

mod monitors;
mod plan;
pub(crate) mod tracked;
mod writes;

use std::{sync::Arc, time::Duration};

use api_types::meta::OwnerReference;
use component::{
    backoff::Backoff,
    queue::{Outcome, WorkQueue},
};
use kube::Client;

use self::{
    monitors::{Monitors, Node},
    plan::{Action, OwnerState, Propagation},
    tracked::{FOREGROUND, ORPHAN, Tracked},
};
use crate::step::{Error, failed};
use crate::{context::Context, controllers::Run, discovery::DeletableResource, write};

/// How soon an object is looked at again whose owner is of a kind that nobody knows.
const UNKNOWN_KIND: Duration = Duration::from_secs(30);

struct Collector {
    client: Client,
    monitors: Arc<Monitors>,
}

/// The garbage collector.
pub(crate) fn start(context: &Context) -> Option<Run> {
    let queue = WorkQueue::new();
    let monitors = Monitors::new(context.client.clone(), &context.daemon, Arc::clone(&queue));
    let collector = Arc::new(Collector { client: context.client.clone(), monitors: Arc::clone(&monitors) });
    let daemon = context.daemon.clone();
    let workers = context.config.flags.concurrency.garbage_collector;
    Some(Box::new(move || {
        let tasks = daemon.clone();
        daemon.spawn_until_shutdown(async move {
            refresh(&monitors).await;
            // Until all is listed every owner in a list that is still to come would seem absent.
            monitors.synced().await;
            queue.run(&tasks, "garbagecollector", workers, move |node| {
                let collector = Arc::clone(&collector);
                async move { write::settle_races(collector.reconcile(&node).await) }
            });
            loop {
                monitors.outdated().await;
                refresh(&monitors).await;
            }
        });
    }))
}

/// Discovers until it succeeds.
async fn refresh(monitors: &Arc<Monitors>) {
    let mut backoff = Backoff::reconnect();
    while let Err(error) = monitors.refresh().await {
        let delay = backoff.next_delay();
        tracing::info!(retry_in = ?delay, "discovering resources: {error}");
        tokio::time::sleep(delay).await;
    }
}

impl Collector {
    async fn reconcile(&self, node: &Node) -> Result<Outcome, Error> {
        let Some(object) = self.monitors.get(node) else { return Ok(Outcome::Done) };
        let dependents = self.monitors.dependents_with_resource(object.uid());
        let objects: Vec<Arc<Tracked>> = dependents.iter().map(|(_, dependent)| Arc::clone(dependent)).collect();
        let action = if object.is_deleting() {
            plan::as_owner(&object, &objects)
        } else {
            let mut states = Vec::with_capacity(object.owners().len());
            for owner in object.owners() {
                match self.owner_state(node, &object, owner).await? {
                    Some(state) => states.push(state),
                    None => return Ok(Outcome::RequeueAfter(UNKNOWN_KIND)),
                }
            }
            plan::as_dependent(&object, &states, &objects)
        };
        self.carry_out(&node.resource, &object, &dependents, action).await?;
        Ok(Outcome::Done)
    }

    /// What is known of an owner; `None` when its kind is not known.
    async fn owner_state(
        &self,
        node: &Node,
        object: &Tracked,
        owner: &OwnerReference,
    ) -> Result<Option<OwnerState>, Error> {
        if let Some((resource, found)) = self.monitors.find(&owner.uid) {
            let reachable = !resource.namespaced || found.namespace() == object.namespace();
            if resource.kind == owner.kind && found.name() == owner.name && reachable {
                return Ok(Some(state_of(&found)));
            }
        }
        if self.monitors.is_absent(&owner.uid) {
            return Ok(Some(OwnerState::Absent));
        }
        let Some(resource) = self.monitors.resource_of(&owner.api_version, &owner.kind) else {
            tracing::debug!(object = %node, kind = owner.kind, "an owner's kind is not known");
            self.monitors.mark_outdated();
            return Ok(None);
        };
        if resource.namespaced && !node.resource.namespaced {
            // Such a reference means nothing, so it proves nothing.
            return Ok(Some(OwnerState::Present));
        }
        let live = writes::get(&self.client, &resource, object.namespace(), &owner.name).await;
        let live = live.map_err(failed("asking for an owner"))?.filter(|live| live.uid() == owner.uid);
        Ok(Some(match live {
            Some(live) => state_of(&live),
            None => {
                self.monitors.remember_absent(&owner.uid);
                OwnerState::Absent
            }
        }))
    }

    async fn carry_out(
        &self,
        resource: &DeletableResource,
        object: &Tracked,
        dependents: &[(Arc<DeletableResource>, Arc<Tracked>)],
        action: Action,
    ) -> Result<(), Error> {
        match action {
            Action::Nothing => Ok(()),
            Action::VisitDependents => {
                self.monitors.queue_dependents(object.uid());
                Ok(())
            }
            Action::OrphanDependents => {
                for (resource, dependent) in dependents {
                    let this_one = [object.uid().to_owned()];
                    match writes::drop_owners(&self.client, resource, dependent, &this_one).await {
                        Err(error) if write::code(&error) != Some(404) => {
                            return Err(failed("releasing a dependent")(error));
                        }
                        _ => {}
                    }
                }
                self.remove_finalizer(resource, object, ORPHAN).await
            }
            Action::FinishForeground => self.remove_finalizer(resource, object, FOREGROUND).await,
            Action::DropOwners(uids) => {
                let dropped = writes::drop_owners(&self.client, resource, object, &uids).await;
                dropped.map_err(failed("dropping owners"))
            }
            Action::Delete(propagation) => self.delete(resource, object, propagation).await,
            Action::UnblockAndDelete => {
                let unblocked = writes::unblock_owners(&self.client, resource, object).await;
                // The new version comes back through the informer; the deletion needs only the uid.
                unblocked.map_err(failed("unblocking owners"))?;
                let loose = Tracked {
                    metadata: api_types::meta::ObjectMeta { resource_version: None, ..object.metadata.clone() },
                };
                self.delete(resource, &loose, Propagation::Foreground).await
            }
        }
    }

    async fn delete(
        &self,
        resource: &DeletableResource,
        object: &Tracked,
        propagation: Propagation,
    ) -> Result<(), Error> {
        tracing::debug!(
            resource = resource.group_resource(),
            namespace = object.namespace(),
            name = object.name(),
            ?propagation,
            "no owner is left, deleting"
        );
        match writes::delete(&self.client, resource, object, propagation).await {
            Err(error) if write::code(&error) == Some(404) => Ok(()),
            result => result.map_err(failed("deleting an object without owners")),
        }
    }

    async fn remove_finalizer(
        &self,
        resource: &DeletableResource,
        object: &Tracked,
        finalizer: &str,
    ) -> Result<(), Error> {
        match writes::remove_finalizer(&self.client, resource, object, finalizer).await {
            Err(error) if write::code(&error) == Some(404) => Ok(()),
            result => result.map_err(failed("removing a finalizer")),
        }
    }
}

fn state_of(owner: &Tracked) -> OwnerState {
    if owner.waits_for_dependents() { OwnerState::WaitsForDependents } else { OwnerState::Present }
}
