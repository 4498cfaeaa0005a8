//! Stateful sets: pods that keep their names and their claims.

mod claims;
mod events;
mod identity;
mod plan;
mod revision;
mod status;

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use api_types::{
    apps::{ControllerRevision, StatefulSet},
    core::{self, PersistentVolumeClaim, PodTemplateSpec},
    jiff::Timestamp,
    selector::label::Selector,
};
use component::{
    api::Api,
    informer::{Informer, ObjectKey},
    queue::{Outcome, WorkQueue},
    recorder::{EventType, Recorder},
};
use kube::{Client, api::Patch};
use serde_json::json;

use self::{
    claims::Place,
    identity::{Ordinal, POD_INDEX, POD_NAME},
    plan::{Action, Member, Observed, Order, Update, Which},
    revision::History,
    status::Revisions,
};
use crate::{
    batch::slow_start,
    context::Context,
    controllers::Run,
    expectations::{Expectations, Waiting},
    history,
    ownership::{ClaimError, Claims, object_reference},
    pod_control::this_one,
    slim::Pod,
    step, write,
};

/// The controller of stateful sets.
pub(crate) fn start(context: &Context) -> Option<Run> {
    let controller = Arc::new(Controller {
        client: context.client.clone(),
        sets: context.informer(),
        revisions: history::informer(context),
        pods: context.informer(),
        claims: context.informer(),
        recorder: context.recorder("statefulset-controller"),
        expectations: Arc::default(),
    });
    let queue = WorkQueue::new();
    events::subscribe(&controller, &queue);
    let daemon = context.daemon.clone();
    let workers = context.config.flags.concurrency.stateful_set;
    Some(Box::new(move || {
        queue.run(&daemon, "statefulset", workers, move |key| {
            let controller = Arc::clone(&controller);
            // Holds whole objects while it writes, so it is kept off the worker's stack.
            async move { write::settle_races(Box::pin(controller.reconcile(&key)).await) }
        });
    }))
}

struct Controller {
    client: Client,
    sets: Informer<StatefulSet>,
    revisions: Informer<ControllerRevision>,
    pods: Informer<Pod>,
    claims: Informer<PersistentVolumeClaim>,
    recorder: Recorder,
    expectations: Arc<Expectations>,
}

/// A set could not be brought where it belongs.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("invalid selector")]
    Selector(#[from] api_types::selector::label::Error),
    #[error(transparent)]
    Claim(#[from] ClaimError),
    #[error("no name for a revision is free, of {0} that were tried")]
    Collisions(usize),
    /// Without a source: to try again at once would not help.
    #[error("there is a pod or claim already: {0}")]
    Taken(String),
    #[error("revision {0} holds no template")]
    Template(String),
    #[error(transparent)]
    Step(#[from] step::Error),
}

fn failed(operation: &'static str) -> impl FnOnce(kube::Error) -> Error {
    move |error| step::failed(operation)(error).into()
}

/// What one pass over a set works with.
struct Pass {
    set: Arc<StatefulSet>,
    history: History,
    observed: Observed,
}

impl Controller {
    async fn reconcile(&self, key: &ObjectKey) -> Result<Outcome, Error> {
        let Some(set) = self.sets.store().get(key) else { return Ok(Outcome::Done) };
        let selector = Selector::from_label_selector(set.spec.as_ref().map(|spec| &spec.selector))?;
        let uid = set.metadata.uid.clone().unwrap_or_default();
        // Before the pods are read: what is ticked off afterwards is in the store already.
        let waiting = self.expectations.waiting(&uid);
        let history = self.revise(&set, &selector).await?;
        let pods = self.claim(&set, &selector).await?;
        let observed = self.observe(&set, &history, pods);
        let pass = Pass { set, history, observed };
        let mut done = Ok(());
        if waiting == Waiting::No && pass.set.metadata.deletion_timestamp.is_none() {
            done = self.carry_out(&pass, pass.observed.plan()).await;
        }
        let next = self.write_status(&pass).await?;
        self.forget_history(&pass.set, &pass.history, &pass.observed).await?;
        done?;
        let waiting = if let Waiting::For(rest) = waiting { Some(rest) } else { None };
        Ok([next, waiting].into_iter().flatten().min().map_or(Outcome::Done, Outcome::RequeueAfter))
    }

    /// The set's pods, after adopting and releasing. Only pods with a name of the set's can be its.
    async fn claim(&self, set: &StatefulSet, selector: &Selector) -> Result<Vec<Arc<Pod>>, Error> {
        let belongs = |pod: &Pod| identity::ordinal(set, pod).is_some();
        let claims = Claims { belongs: &belongs, ..Claims::new(&self.client, set, selector) };
        Ok(claims.claim(&self.pods).await?)
    }

    fn observe(&self, set: &StatefulSet, history: &History, pods: Vec<Arc<Pod>>) -> Observed {
        let spec = set.spec.as_ref();
        let replicas = usize::try_from(spec.and_then(|spec| spec.replicas).unwrap_or(1)).unwrap_or(0);
        let policy = spec.and_then(|spec| spec.pod_management_policy.as_deref());
        let mut observed = Observed {
            start: spec.and_then(|spec| spec.ordinals.as_ref()?.start).unwrap_or(0),
            replicas,
            order: if policy == Some("Parallel") { Order::AllAtOnce } else { Order::OneByOne },
            update: Update::of(spec.and_then(|spec| spec.update_strategy.as_ref()), replicas),
            update_revision: revision::name(&history.update).to_owned(),
            min_ready_seconds: spec.and_then(|spec| spec.min_ready_seconds).unwrap_or(0),
            now: Timestamp::now(),
            members: Vec::with_capacity(pods.len()),
            blocked: BTreeSet::new(),
        };
        for pod in pods {
            let Some(ordinal) = identity::ordinal(set, &pod) else { continue };
            let place = if observed.keeps(ordinal) { Place::Kept } else { Place::Condemned };
            let claims = self.claims_of(set, ordinal);
            let owned = |claim: &Arc<PersistentVolumeClaim>| claims::owners(set, &pod, place, claim).is_none();
            let member = Member {
                ordinal,
                labelled: identity::is_labelled(&pod, ordinal),
                has_claims: claims.len() == claims::templates(set).count(),
                claims_owned: claims.iter().all(owned),
                pod,
            };
            observed.members.push(member);
        }
        if claims::templates(set).next().is_some() {
            observed.blocked = self.blocked(set, &observed);
        }
        observed
    }

    /// Ordinals without a pod whose claims are about to go.
    fn blocked(&self, set: &StatefulSet, observed: &Observed) -> BTreeSet<Ordinal> {
        let missing = observed.slots().into_iter().filter(|(_, member)| member.is_none()).map(|(ordinal, _)| ordinal);
        let is_blocked = |ordinal: &Ordinal| {
            let pod = identity::pod_name(set, *ordinal);
            self.claims_of(set, *ordinal).iter().any(|claim| claims::is_stale(claim, &pod))
        };
        missing.filter(is_blocked).collect()
    }

    /// Those claims of a pod that are there.
    fn claims_of(&self, set: &StatefulSet, ordinal: Ordinal) -> Vec<Arc<PersistentVolumeClaim>> {
        let namespace = set.metadata.namespace.as_deref().unwrap_or_default();
        let keys = claims::templates(set).map(|own| ObjectKey::new(namespace, claims::claim_name(set, own, ordinal)));
        keys.filter_map(|key| self.claims.store().get(&key)).collect()
    }

    /// Creates and mends, and when that has succeeded, deletes.
    async fn carry_out(&self, pass: &Pass, actions: Vec<Action>) -> Result<(), Error> {
        if actions.is_empty() {
            return Ok(());
        }
        let uid = pass.set.metadata.uid.as_deref().unwrap_or_default();
        let (deletions, others): (Vec<_>, Vec<_>) =
            actions.into_iter().partition(|action| matches!(action, Action::Delete(_)));
        let creations = others.iter().filter(|action| matches!(action, Action::Create(..))).count();
        let going = deletions.iter().chain(&others).filter_map(|action| match action {
            Action::Delete(pod) | Action::Replace(pod) => Some(pod.uid().to_owned()),
            _ => None,
        });
        self.expectations.expect(uid, creations, going);
        let templates = Templates::of(&pass.history)?;
        let begun =
            slow_start(others.len(), async |index: usize| self.act(pass, &templates, &others[index]).await).await;
        if let Some(error) = begun.error {
            // What was created is seen, or counted away when it expires; the plan is made anew.
            self.expectations.forget(uid);
            return Err(error);
        }
        let deleted = deletions.iter().map(|action| self.act(pass, &templates, action));
        futures::future::join_all(deleted).await.into_iter().collect()
    }

    async fn act(&self, pass: &Pass, templates: &Templates, action: &Action) -> Result<(), Error> {
        match action {
            Action::Create(ordinal, which) => {
                let (template, revision) = templates.of_revision(*which);
                let pod = identity::pod_for(&pass.set, template, revision, *ordinal);
                self.create(&pass.set, &pod, *ordinal).await
            }
            Action::MendClaims(member) => {
                let name = member.pod.metadata.name.as_deref().unwrap_or_default();
                self.create_claims(&pass.set, name, member.ordinal).await
            }
            Action::MendLabels(member) => self.label(&pass.set, member).await,
            Action::MendOwners(member) => self.own_claims(pass, member).await,
            Action::Replace(pod) | Action::Delete(pod) => self.delete(&pass.set, pod).await,
        }
    }

    async fn create(&self, set: &StatefulSet, pod: &core::Pod, ordinal: Ordinal) -> Result<(), Error> {
        let name = pod.metadata.name.as_deref().unwrap_or_default();
        self.create_claims(set, name, ordinal).await?;
        let api: Api<core::Pod> = self.api(set);
        match api.create(&write::post_params(), pod).await {
            // The cache lacks it, or it is somebody else's.
            Err(error) if write::code(&error) == Some(409) => Err(Error::Taken(name.to_owned())),
            Err(error) if write::is_namespace_terminating(&error) => Err(failed("creating a pod")(error)),
            result => self.record(set, "create", name, result.map(drop)).map_err(failed("creating a pod")),
        }
    }

    /// Creates the claims that a pod lacks.
    async fn create_claims(&self, set: &StatefulSet, pod: &str, ordinal: Ordinal) -> Result<(), Error> {
        let api: Api<PersistentVolumeClaim> = self.api(set);
        for claim in claims::claims(set, ordinal) {
            if self.claims.store().get(&ObjectKey::of(&claim)).is_some() {
                continue;
            }
            let name = claim.metadata.name.as_deref().unwrap_or_default();
            let regarding = object_reference(set);
            match api.create(&write::post_params(), &claim).await {
                Ok(_) => {
                    let set = identity::name(set);
                    let message = format!("create Claim {name} Pod {pod} in StatefulSet {set} success");
                    self.recorder.record(&regarding, EventType::Normal, "SuccessfulCreate", message);
                }
                // The cache lacks it.
                Err(error) if write::code(&error) == Some(409) => {}
                Err(error) => {
                    let (set, why) = (identity::name(set), write::message(&error));
                    let message = format!("create Claim {name} for Pod {pod} in StatefulSet {set} failed error: {why}");
                    self.recorder.record(&regarding, EventType::Warning, "FailedCreate", message);
                    return Err(failed("creating a claim")(error));
                }
            }
        }
        Ok(())
    }

    /// Writes into a pod's labels who it is.
    async fn label(&self, set: &StatefulSet, member: &Member) -> Result<(), Error> {
        let name = member.pod.metadata.name.as_deref().unwrap_or_default();
        let labels: HashMap<&str, String> =
            HashMap::from([(POD_NAME, name.to_owned()), (POD_INDEX, member.ordinal.to_string())]);
        let patch = Patch::Merge(json!({"metadata": {"uid": member.pod.metadata.uid, "labels": labels}}));
        let patched = self.api::<Pod>(set).patch(name, &write::patch_params(), &patch).await;
        self.record(set, "update", name, patched.map(drop)).map_err(failed("labelling a pod"))
    }

    /// Gives a pod's claims the owners that the retention policy wants.
    async fn own_claims(&self, pass: &Pass, member: &Member) -> Result<(), Error> {
        let place = if pass.observed.keeps(member.ordinal) { Place::Kept } else { Place::Condemned };
        let api: Api<PersistentVolumeClaim> = self.api(&pass.set);
        for claim in self.claims_of(&pass.set, member.ordinal) {
            let Some(owners) = claims::owners(&pass.set, &member.pod, place, &claim) else { continue };
            let metadata = json!({
                "uid": claim.metadata.uid, "resourceVersion": claim.metadata.resource_version, "ownerReferences": owners,
            });
            let name = claim.metadata.name.as_deref().unwrap_or_default();
            let patch = Patch::Merge(json!({"metadata": metadata}));
            let patched = api.patch(name, &write::patch_params(), &patch).await;
            patched.map_err(failed("changing the owners of a claim"))?;
        }
        Ok(())
    }

    async fn delete(&self, set: &StatefulSet, pod: &Pod) -> Result<(), Error> {
        let name = pod.metadata.name.as_deref().unwrap_or_default();
        let deleted = self.api::<Pod>(set).delete(name, &this_one(pod)).await;
        if deleted.is_err() {
            self.expectations.deletion_observed(set.metadata.uid.as_deref().unwrap_or_default(), pod.uid());
        }
        match deleted {
            Err(error) if write::is_race(&error) => Ok(()),
            result => self.record(set, "delete", name, result).map_err(failed("deleting a pod")),
        }
    }

    /// Tells with an event what became of a pod.
    fn record(
        &self,
        set: &StatefulSet,
        verb: &str,
        pod: &str,
        result: Result<(), kube::Error>,
    ) -> Result<(), kube::Error> {
        let (name, regarding) = (identity::name(set), object_reference(set));
        let title = verb[..1].to_uppercase() + &verb[1..];
        match &result {
            Ok(()) => {
                let message = format!("{verb} Pod {pod} in StatefulSet {name} successful");
                self.recorder.record(&regarding, EventType::Normal, &format!("Successful{title}"), message);
            }
            Err(error) => {
                let why = write::message(error);
                let message = format!("{verb} Pod {pod} in StatefulSet {name} failed error: {why}");
                self.recorder.record(&regarding, EventType::Warning, &format!("Failed{title}"), message);
            }
        }
        result
    }

    /// Writes the status if it changed; says in how long a pod will become available.
    async fn write_status(&self, pass: &Pass) -> Result<Option<Duration>, Error> {
        let set = &pass.set;
        let revisions = Revisions {
            current: revision::name(&pass.history.current),
            update: revision::name(&pass.history.update),
            collisions: pass.history.collisions,
        };
        let (status, next) = status::count(set, &pass.observed, revisions);
        let old = set.status.clone().unwrap_or_default();
        if status != old || set.status.is_none() {
            let patch = Patch::Merge(write::status_patch(set.metadata.uid.as_deref(), &old, &status));
            let api: Api<StatefulSet> = self.api(set);
            let written = api.patch_status(identity::name(set), &write::patch_params(), &patch).await;
            written.map_err(failed("writing the status"))?;
        }
        Ok(next.map(|at| Duration::try_from(at.duration_since(pass.observed.now)).unwrap_or_default()))
    }

    /// The objects of a kind beside the set.
    fn api<K>(&self, set: &StatefulSet) -> Api<K>
    where
        K: kube::Resource<DynamicType = (), Scope = api_types::k8s_openapi::NamespaceResourceScope>,
    {
        Api::namespaced(self.client.clone(), set.metadata.namespace.as_deref().unwrap_or_default())
    }
}

/// The templates of both revisions, with the revisions' names.
struct Templates {
    current: (PodTemplateSpec, String),
    update: (PodTemplateSpec, String),
}

impl Templates {
    fn of(history: &History) -> Result<Self, Error> {
        let of = |revision: &ControllerRevision| {
            let name = revision::name(revision).to_owned();
            let template = history::template(revision).ok_or_else(|| Error::Template(name.clone()))?;
            Ok::<_, Error>((template, name))
        };
        Ok(Self { current: of(&history.current)?, update: of(&history.update)? })
    }

    const fn of_revision(&self, which: Which) -> (&PodTemplateSpec, &str) {
        let (template, name) = match which {
            Which::Current => &self.current,
            Which::Update => &self.update,
        };
        (template, name.as_str())
    }
}
