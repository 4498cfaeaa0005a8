//! Replica sets and replication controllers: as many pods as wanted, one implementation for both.

mod kind;
mod plan;
mod status;

use std::{sync::Arc, time::Duration};

use api_types::{apps::ReplicaSet, core::ReplicationController, jiff::Timestamp};
use component::{
    api::Api,
    informer::{Informer, ObjectKey},
    queue::{Outcome, WorkQueue},
};
use kube::Client;

use self::{kind::Replicator, plan::Scaling, status::Failure};
use crate::{
    batch::slow_start,
    context::Context,
    controllers::Run,
    expectations::{Expectations, Waiting},
    ownership::{self, ClaimError, Claims, controller_reference, object_reference},
    pod_control::{Deletion, PodControl},
    pod_events::Owners,
    pod_state,
    pod_template::pod_from_template,
    slim::{BY_CONTROLLER, Pod},
    write,
};

/// The controller of replica sets.
pub(crate) fn start_replica_sets(context: &Context) -> Option<Run> {
    Some(start::<ReplicaSet>(context, context.config.flags.concurrency.replica_set))
}

/// The controller of replication controllers.
pub(crate) fn start_replication_controllers(context: &Context) -> Option<Run> {
    Some(start::<ReplicationController>(context, context.config.flags.concurrency.replication_controller))
}

/// One of the two controllers.
struct Controller<K: Replicator> {
    client: Client,
    owners: Informer<K>,
    pods: Informer<Pod>,
    expectations: Arc<Expectations>,
    control: PodControl,
}

fn start<K: Replicator>(context: &Context, workers: usize) -> Run {
    let owners =
        context.informer::<K>().with_index(BY_CONTROLLER, |owner| vec![ownership::controller_index(owner.meta())]);
    let controller = Arc::new(Controller {
        client: context.client.clone(),
        owners,
        pods: context.informer(),
        expectations: Arc::default(),
        control: context.pod_control(K::EVENT_SOURCE),
    });
    let queue = WorkQueue::new();
    let owners = Owners {
        owners: controller.owners.clone(),
        pods: controller.pods.clone(),
        selector: |owner: &K| owner.selector().ok(),
        expectations: Arc::clone(&controller.expectations),
        together: Duration::ZERO,
    };
    owners.subscribe(&queue);
    let daemon = context.daemon.clone();
    Box::new(move || {
        queue.run(&daemon, K::CONTROLLER, workers, move |key| {
            let controller = Arc::clone(&controller);
            async move { write::settle_races(controller.reconcile(&key).await) }
        });
    })
}

/// Pods could not be created or deleted.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("invalid selector")]
    Selector(#[from] api_types::selector::label::Error),
    #[error(transparent)]
    Claim(#[from] ClaimError),
    #[error("{verb} pods")]
    Scale { verb: &'static str, source: kube::Error },
    #[error("writing the status")]
    Status(#[source] kube::Error),
}

impl<K: Replicator> Controller<K> {
    async fn reconcile(&self, key: &ObjectKey) -> Result<Outcome, Error> {
        let Some(owner) = self.owners.store().get(key) else { return Ok(Outcome::Done) };
        let uid = owner.meta().uid.clone().unwrap_or_default();
        // Before the pods are read: what is ticked off afterwards is in the store already.
        let waiting = self.expectations.waiting(&uid);
        let pods = self.claim(&owner).await?;
        let mut failure = owner.failure();
        let mut scaled = Ok(());
        if waiting == Waiting::No && owner.meta().deletion_timestamp.is_none() {
            scaled = self.scale(&owner, &pods).await;
            failure = after_scaling(failure, &scaled);
        }
        let next = self.write_status(&owner, &pods, failure.as_ref()).await?;
        scaled?;
        Ok(match (waiting, next) {
            (Waiting::For(rest), None) => Outcome::RequeueAfter(rest),
            (Waiting::For(rest), Some(next)) => Outcome::RequeueAfter(rest.min(next)),
            (Waiting::No, Some(next)) => Outcome::RequeueAfter(next),
            (Waiting::No, None) => Outcome::Done,
        })
    }

    /// The owner's pods, after adopting and releasing.
    async fn claim(&self, owner: &K) -> Result<Vec<Arc<Pod>>, Error> {
        let selector = owner.selector()?;
        let claims = Claims { may_adopt: &pod_state::is_active, ..Claims::new(&self.client, owner, &selector) };
        Ok(claims.claim(&self.pods).await?)
    }

    async fn scale(&self, owner: &K, pods: &[Arc<Pod>]) -> Result<(), Error> {
        let related = self.related(owner, pods);
        match plan::scaling(owner.replicas(), pods, &related, Timestamp::now()) {
            Scaling::Nothing => Ok(()),
            Scaling::Create(count) => self.create(owner, count).await,
            Scaling::Delete(pods) => self.delete(owner, &pods).await,
        }
    }

    /// The pods of all that share the owner's controller, such as those of a deployment.
    fn related(&self, owner: &K, own: &[Arc<Pod>]) -> Vec<Arc<Pod>> {
        let Some(controller) = ownership::controller_of(owner.meta()) else { return own.to_vec() };
        let siblings = self.owners.store().by_index(BY_CONTROLLER, &controller.uid);
        let uids = siblings.iter().filter_map(|sibling| sibling.meta().uid.as_deref());
        uids.flat_map(|uid| self.pods.store().by_index(BY_CONTROLLER, uid)).collect()
    }

    async fn create(&self, owner: &K, count: usize) -> Result<(), Error> {
        let Some(template) = owner.template() else { return Ok(()) };
        let reference = controller_reference(owner);
        let pod = pod_from_template(template, owner.meta().namespace.as_deref().unwrap_or_default(), &reference);
        let regarding = object_reference(owner);
        self.expectations.expect_creations(&reference.uid, count);
        let started = slow_start(count, async |_| self.control.create(&regarding, &pod).await.map(drop)).await;
        for _ in started.succeeded..count {
            self.expectations.creation_observed(&reference.uid);
        }
        match started.error {
            // Nothing more is wanted here.
            Some(error) if write::is_namespace_terminating(&error) => Ok(()),
            Some(source) => Err(Error::Scale { verb: "creating", source }),
            None => Ok(()),
        }
    }

    async fn delete(&self, owner: &K, pods: &[Arc<Pod>]) -> Result<(), Error> {
        let regarding = object_reference(owner);
        let uid = owner.meta().uid.as_deref().unwrap_or_default();
        self.expectations.expect_deletions(uid, pods.iter().map(|pod| pod.uid().to_owned()));
        let delete = async |pod: &Arc<Pod>| {
            let deleted = self.control.delete(&regarding, pod).await;
            if !matches!(deleted, Ok(Deletion::Begun)) {
                self.expectations.deletion_observed(uid, pod.uid());
            }
            deleted
        };
        let failed = futures::future::join_all(pods.iter().map(delete)).await.into_iter().find_map(Result::err);
        failed.map_or(Ok(()), |source| Err(Error::Scale { verb: "deleting", source }))
    }

    /// Writes the status if it changed; says in how long a pod will become available.
    async fn write_status(
        &self,
        owner: &K,
        pods: &[Arc<Pod>],
        failure: Option<&Failure>,
    ) -> Result<Option<Duration>, Error> {
        let labels = owner.template().and_then(|template| template.metadata.as_ref()?.labels.as_ref());
        let now = Timestamp::now();
        let (counts, next) = status::count(pods, labels, owner.min_ready_seconds(), now);
        if let Some(patch) = owner.status_patch(&counts, failure) {
            let namespace = owner.meta().namespace.clone().unwrap_or_default();
            let api: Api<K> = Api::namespaced(self.client.clone(), &namespace);
            let name = owner.meta().name.as_deref().unwrap_or_default();
            let patch = kube::api::Patch::Merge(patch);
            api.patch_status(name, &write::patch_params(), &patch).await.map_err(Error::Status)?;
        }
        Ok(next.map(|at| Duration::try_from(at.duration_since(now)).unwrap_or_default()))
    }
}

/// The failure to show after scaling: a new one does not replace one that is shown already.
fn after_scaling(shown: Option<Failure>, scaled: &Result<(), Error>) -> Option<Failure> {
    let Err(Error::Scale { verb, source }) = scaled else { return None };
    let reason = if *verb == "creating" { "FailedCreate" } else { "FailedDelete" };
    shown.or_else(|| Some(Failure { reason: reason.to_owned(), message: write::message(source), since: None }))
}
