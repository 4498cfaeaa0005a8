//! Daemon sets: a pod on every node that will have it.

mod backoff;
mod events;
mod nodes;
mod plan;
mod revision;
mod status;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use api_types::{
    apps::{ControllerRevision, DaemonSet},
    core,
    jiff::Timestamp,
    selector::label::Selector,
};
use component::{
    api::Api,
    informer::{Informer, ObjectKey},
    queue::{Outcome, WorkQueue},
    recorder::EventType,
};
use kube::api::Patch;

use self::{
    backoff::Failures,
    nodes::{Placement, Presence, Version, pod_for},
    plan::{NodeState, Observed, Plan, Update},
};
use crate::{
    batch::slow_start,
    context::Context,
    controllers::Run,
    expectations::{Expectations, Waiting},
    history,
    ownership::{Claims, OwnerError as Error, controller_reference, failed, object_reference},
    pod_control::{Deletion, PodControl},
    slim::{Node, Pod},
    write,
};

/// No more creations or deletions than this in one go; upstream's `BurstReplicas`.
const BURST: usize = 250;

/// The controller of daemon sets.
pub(crate) fn start(context: &Context) -> Option<Run> {
    let controller = Arc::new(Controller {
        sets: context.informer(),
        revisions: history::informer(context),
        pods: context.informer(),
        nodes: context.informer(),
        control: context.pod_control("daemonset-controller"),
        expectations: Arc::default(),
        failures: Failures::default(),
    });
    let queue = WorkQueue::new();
    events::subscribe(&controller, &queue);
    let daemon = context.daemon.clone();
    let workers = context.config.flags.concurrency.daemon_set;
    Some(Box::new(move || {
        queue.run(&daemon, "daemonset", workers, move |key| {
            let controller = Arc::clone(&controller);
            // Holds whole objects while it writes, so it is kept off the worker's stack.
            async move { write::settle_races(Box::pin(controller.reconcile(&key)).await) }
        });
    }))
}

struct Controller {
    sets: Informer<DaemonSet>,
    revisions: Informer<ControllerRevision>,
    pods: Informer<Pod>,
    nodes: Informer<Node>,
    control: PodControl,
    expectations: Arc<Expectations>,
    /// Nodes on which pods fail.
    failures: Failures,
}

impl Controller {
    async fn reconcile(&self, key: &ObjectKey) -> Result<Outcome, Error> {
        let Some(set) = self.sets.store().get(key) else { return Ok(Outcome::Done) };
        if set.metadata.deletion_timestamp.is_some() {
            return Ok(Outcome::Done);
        }
        let selector = Selector::from_label_selector(set.spec.as_ref().map(|spec| &spec.selector))?;
        if selector.is_everything() {
            let message = "This daemon set is selecting all pods. A non-empty selector is required.";
            self.control.recorder.record(&object_reference(&*set), EventType::Warning, "SelectingAll", message);
            return Ok(Outcome::Done);
        }
        let uid = set.metadata.uid.clone().unwrap_or_default();
        // Before the pods are read: what is ticked off afterwards is in the store already.
        let waiting = self.expectations.waiting(&uid);
        let Some(history) = self.revise(&set, &selector).await? else { return Ok(Outcome::Done) };
        let pods = self.claim(&set, &selector).await?;
        let observed = self.observe(&set, Version::of(&set, &history.hash), pods);
        let mut again = None;
        let mut done = Ok(());
        if waiting == Waiting::No {
            let mut plan = plan::plan(&observed);
            again = self.take_failed(&set, &mut plan);
            done = self.carry_out(&set, &observed, plan).await;
            self.forget_history(&set, &history, &observed).await?;
        }
        self.write_status(&set, &observed, waiting == Waiting::No).await?;
        done?;
        let next = status::next_available(&observed);
        let next = next.map(|at| Duration::try_from(at.duration_since(observed.now)).unwrap_or_default());
        let waiting = if let Waiting::For(rest) = waiting { Some(rest) } else { None };
        let soonest = [again, next, waiting].into_iter().flatten().min();
        Ok(soonest.map_or(Outcome::Done, Outcome::RequeueAfter))
    }

    /// The set's pods, after adopting and releasing.
    async fn claim(&self, set: &DaemonSet, selector: &Selector) -> Result<Vec<Arc<Pod>>, Error> {
        Ok(Claims::new(&self.control.client, set, selector).claim(&self.pods).await?)
    }

    fn observe<'a>(&self, set: &DaemonSet, version: Version<'a>, pods: Vec<Arc<Pod>>) -> Observed<'a> {
        let placement = Placement::of(set);
        let there = |node: Arc<Node>| {
            let state = NodeState { presence: placement.on(&node), exists: true, pods: Vec::new() };
            (node.name().to_owned(), state)
        };
        let mut nodes: BTreeMap<String, NodeState> = self.nodes.store().list().into_iter().map(there).collect();
        for pod in pods.into_iter().filter(|pod| !plan::is_over(pod) && !pod.target_node().is_empty()) {
            let gone = || NodeState { presence: Presence::Unwanted, exists: false, pods: Vec::new() };
            nodes.entry(pod.target_node().to_owned()).or_insert_with(gone).pods.push(pod);
        }
        let desired = nodes.values().filter(|node| node.presence == Presence::Wanted).count();
        let spec = set.spec.as_ref();
        Observed {
            nodes,
            version,
            update: Update::of(spec.and_then(|spec| spec.update_strategy.as_ref()), desired),
            min_ready_seconds: spec.and_then(|spec| spec.min_ready_seconds).unwrap_or(0),
            now: Timestamp::now(),
        }
    }

    /// Moves the failed pods that may go to those that go; says when the next of the others may.
    fn take_failed(&self, set: &DaemonSet, plan: &mut Plan) -> Option<Duration> {
        let uid = set.metadata.uid.as_deref().unwrap_or_default();
        let regarding = object_reference(set);
        let record = |kind, reason, message: String| self.control.recorder.record(&regarding, kind, reason, message);
        for pod in plan.succeeded.drain(..) {
            let (node, key) = (pod.target_node(), pod.key());
            let message = format!("Found succeeded daemon pod {key} on node {node}, will try to delete it");
            record(EventType::Normal, "SucceededDaemonPod", message);
            plan.delete.push(pod);
        }
        let mut next: Option<Duration> = None;
        for (node, pod) in std::mem::take(&mut plan.failed) {
            match self.failures.wait(uid, set.metadata.generation, &node) {
                Duration::ZERO => {
                    let message = format!("Found failed daemon pod {} on node {node}, will try to kill it", pod.key());
                    record(EventType::Warning, "FailedDaemonPod", message);
                    plan.delete.push(pod);
                }
                wait => next = Some(next.map_or(wait, |next| next.min(wait))),
            }
        }
        next
    }

    async fn carry_out(&self, set: &DaemonSet, observed: &Observed<'_>, mut plan: Plan) -> Result<(), Error> {
        plan.create.truncate(BURST);
        plan.delete.truncate(BURST);
        if plan.is_empty() {
            return Ok(());
        }
        let uid = set.metadata.uid.as_deref().unwrap_or_default();
        let deletions = plan.delete.iter().map(|pod| pod.uid().to_owned());
        self.expectations.expect(uid, plan.create.len(), deletions);
        let created = self.create(set, observed.version, &plan.create).await;
        let deleted = self.delete(set, &plan.delete).await;
        created.and(deleted)
    }

    async fn create(&self, set: &DaemonSet, version: Version<'_>, nodes: &[String]) -> Result<(), Error> {
        let Some(template) = set.spec.as_ref().map(|spec| &spec.template) else { return Ok(()) };
        let (owner, regarding) = (controller_reference(set), object_reference(set));
        let namespace = set.metadata.namespace.as_deref().unwrap_or_default();
        let started = slow_start(nodes.len(), async |index: usize| {
            let pod: core::Pod = pod_for(template, namespace, &owner, version, &nodes[index]);
            self.control.create(&regarding, &pod).await.map(drop)
        })
        .await;
        for _ in started.succeeded..nodes.len() {
            self.expectations.creation_observed(&owner.uid);
        }
        match started.error {
            // Nothing more is wanted here.
            Some(error) if write::is_namespace_terminating(&error) => Ok(()),
            Some(error) => Err(failed("creating pods")(error)),
            None => Ok(()),
        }
    }

    async fn delete(&self, set: &DaemonSet, pods: &[Arc<Pod>]) -> Result<(), Error> {
        let regarding = object_reference(set);
        let uid = set.metadata.uid.as_deref().unwrap_or_default();
        let delete = async |pod: &Arc<Pod>| {
            let deleted = self.control.delete(&regarding, pod).await;
            if !matches!(deleted, Ok(Deletion::Begun)) {
                self.expectations.deletion_observed(uid, pod.uid());
            }
            deleted
        };
        let error = futures::future::join_all(pods.iter().map(delete)).await.into_iter().find_map(Result::err);
        error.map_or(Ok(()), |error| Err(failed("deleting pods")(error)))
    }

    /// Writes the status if it changed. The generation is seen when the set was `managed`.
    async fn write_status(&self, set: &DaemonSet, observed: &Observed<'_>, managed: bool) -> Result<(), Error> {
        let mut status = status::count(set, observed);
        let old = set.status.clone().unwrap_or_default();
        if !managed {
            status.observed_generation = old.observed_generation;
        }
        if status != old || set.status.is_none() {
            let patch = Patch::Merge(write::status_patch(set.metadata.uid.as_deref(), &old, &status));
            let name = set.metadata.name.as_deref().unwrap_or_default();
            let written = self.api(set).patch_status(name, &write::patch_params(), &patch).await;
            written.map_err(failed("writing the status"))?;
        }
        Ok(())
    }

    fn api(&self, set: &DaemonSet) -> Api<DaemonSet> {
        Api::namespaced(self.control.client.clone(), set.metadata.namespace.as_deref().unwrap_or_default())
    }
}
