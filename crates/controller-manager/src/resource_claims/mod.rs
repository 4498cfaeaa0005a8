//! Claims to devices (DRA): made from templates for the pods that want them; users that are done are struck off, and
//! without users the devices are given back.

mod plan;

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::Arc,
};

use api_types::devices::{ResourceClaim, ResourceClaimConsumerReference, ResourceClaimTemplate};
use component::{
    api::Api,
    informer::{Event, Informer, ObjectKey},
    queue::{Outcome, WorkQueue},
    recorder::{EventType, Recorder},
};
use kube::{
    Client,
    api::{DeleteParams, Patch, Preconditions},
};
use parking_lot::Mutex;
use serde_json::json;

use self::plan::{FINALIZER, Steps};
use crate::{
    context::Context,
    controllers::Run,
    ownership::object_reference,
    slim::{Pod, ResourceClaimUse},
    step::{Error, failed},
    write,
};

/// Index: claims by the uid of the pod that they were made for.
const BY_OWNER: &str = "owner";
/// Users of a claim, at most.
const MAX_USERS: usize = 256;

struct Controller {
    client: Client,
    pods: Informer<Pod>,
    claims: Informer<ResourceClaim>,
    recorder: Recorder,
    /// Claims that were made and may not be shown yet: their names, by pod and what that calls them.
    made: Mutex<HashMap<String, HashMap<String, String>>>,
}

/// The controller of claims to devices.
pub(crate) fn start(context: &Context) -> Option<Run> {
    let owner =
        |claim: &ResourceClaim| plan::owner(&claim.metadata).map(|owner| owner.uid.clone()).into_iter().collect();
    let controller = Arc::new(Controller {
        client: context.client.clone(),
        pods: context.informer(),
        claims: context.informer().with_index(BY_OWNER, owner),
        recorder: context.recorder("resource_claim"),
        made: Mutex::default(),
    });
    let (claims, pods) = (WorkQueue::new(), WorkQueue::new());
    subscribe(&controller, &claims, &pods);
    let daemon = context.daemon.clone();
    let workers = context.config.flags.concurrency.resource_claim;
    Some(Box::new(move || {
        let this = Arc::clone(&controller);
        claims.run(&daemon, "resource_claim", workers, move |key| {
            let controller = Arc::clone(&this);
            async move { write::settle_races(controller.reconcile_claim(&key).await) }
        });
        pods.run(&daemon, "resource_claim_pods", workers, move |key| {
            let controller = Arc::clone(&controller);
            async move { write::settle_races(controller.reconcile_pod(&key).await) }
        });
    }))
}

fn subscribe(controller: &Arc<Controller>, claims: &Arc<WorkQueue<ObjectKey>>, pods: &Arc<WorkQueue<ObjectKey>>) {
    let (this, own_claims, pods) = (Arc::clone(controller), Arc::clone(claims), Arc::clone(pods));
    controller.pods.on_event(move |event| {
        let pod = event.object();
        if pod.spec.resource_claims.is_empty() {
            return;
        }
        let gone = matches!(event, Event::Deleted(_));
        if gone {
            this.made.lock().remove(pod.uid());
        }
        if gone || plan::is_done(pod) {
            let names = pod.resource_claims().map(|name| ObjectKey::new(pod.key().namespace, name));
            names.for_each(|key| own_claims.add(key));
            let made = this.claims.store().by_index(BY_OWNER, pod.uid());
            made.iter().for_each(|claim| own_claims.add(ObjectKey::of(&**claim)));
        } else {
            pods.add(pod.key());
        }
    });
    let (this, claims) = (Arc::clone(controller), Arc::clone(claims));
    controller.claims.on_event(move |event| match event {
        Event::Added(claim) | Event::Updated { new: claim, .. } => claims.add(ObjectKey::of(&**claim)),
        Event::Deleted(claim) => this.forget_made(claim),
    });
}

impl Controller {
    fn claims_in(&self, namespace: &str) -> Api<ResourceClaim> {
        Api::namespaced(self.client.clone(), namespace)
    }

    async fn reconcile_pod(&self, key: &ObjectKey) -> Result<Outcome, Error> {
        let Some(pod) = self.pods.store().get(key).filter(|pod| !plan::is_done(pod)) else { return Ok(Outcome::Done) };
        let mut statuses = Vec::new();
        if pod.metadata.deletion_timestamp.is_none() {
            for (own, template) in plan::missing(&pod) {
                match self.provide(&pod, own, template).await {
                    Ok(name) => statuses.push(json!({"name": own.name, "resourceClaimName": name})),
                    Err(error) => {
                        let message = format!("PodResourceClaim {}: {}", own.name, error.told());
                        let pod = object_reference(&*pod);
                        self.recorder.record(&pod, EventType::Warning, "FailedResourceClaimCreation", message);
                        return Err(error);
                    }
                }
            }
        }
        if !statuses.is_empty() {
            self.write_statuses(&pod, &statuses).await?;
        }
        self.reserve_all(&pod).await?;
        Ok(Outcome::Done)
    }

    /// The name of the claim for a pod's use, which is made if there is none.
    async fn provide(&self, pod: &Pod, own: &ResourceClaimUse, template: &str) -> Result<String, Error> {
        let made = self.made.lock().get(pod.uid()).and_then(|made| made.get(&own.name).cloned());
        let known = self.claims.store().by_index(BY_OWNER, pod.uid());
        let known = known.iter().find(|claim| plan::is_made_for(claim, pod, own));
        if let Some(name) = made.or_else(|| known?.metadata.name.clone()) {
            return Ok(name);
        }
        let ObjectKey { namespace, .. } = pod.key();
        let templates: Api<ResourceClaimTemplate> = Api::namespaced(self.client.clone(), &namespace);
        let template = templates.get(template).await.map_err(failed("reading a resource claim template"))?;
        let claim = plan::claim_of(pod, own, template);
        let created = self.claims_in(&namespace).create(&write::post_params(), &claim).await;
        let name = created.map_err(failed("creating a resource claim"))?.metadata.name.unwrap_or_default();
        self.note_made(pod, own, &name);
        Ok(name)
    }

    fn note_made(&self, pod: &Pod, own: &ResourceClaimUse, name: &str) {
        let mut made = self.made.lock();
        made.entry(pod.uid().to_owned()).or_default().insert(own.name.clone(), name.to_owned());
        // A pod that went in the meantime is not told of again.
        if self.pods.store().get(&pod.key()).is_none_or(|live| live.uid() != pod.uid())
            && let Entry::Occupied(entry) = made.entry(pod.uid().to_owned())
        {
            entry.remove();
        }
    }

    fn forget_made(&self, claim: &ResourceClaim) {
        let Some(owner) = plan::owner(&claim.metadata) else { return };
        if let Some(made) = self.made.lock().get_mut(&owner.uid) {
            made.retain(|_, name| Some(&**name) != claim.metadata.name.as_deref());
        }
    }

    async fn write_statuses(&self, pod: &Pod, statuses: &[serde_json::Value]) -> Result<(), Error> {
        let ObjectKey { namespace, name } = pod.key();
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), &namespace);
        let patch = json!({"metadata": {"uid": pod.uid()}, "status": {"resourceClaimStatuses": statuses}});
        let written = pods.patch_status(&name, &write::patch_params(), &Patch::Strategic(patch)).await;
        written.map(drop).map_err(failed("telling a pod of its resource claims"))
    }

    /// A pod that nobody scheduled uses claims that have devices all the same.
    async fn reserve_all(&self, pod: &Pod) -> Result<(), Error> {
        if pod.node_name().is_empty() {
            return Ok(());
        }
        let ObjectKey { namespace, name } = pod.key();
        for claim in pod.resource_claims() {
            let Some(claim) = self.claims.store().get(&ObjectKey::new(namespace.clone(), claim)) else { continue };
            let users = plan::users(&claim);
            let uses = users.iter().any(|user| user.uid == pod.uid());
            if uses || users.len() >= MAX_USERS || !plan::is_allocated(&claim) {
                continue;
            }
            let mut users = users.to_vec();
            users.push(ResourceClaimConsumerReference {
                api_group: None,
                resource: "pods".to_owned(),
                name: name.clone(),
                uid: pod.uid().to_owned(),
            });
            self.patch_status(&claim, json!({"reservedFor": users})).await?;
        }
        Ok(())
    }

    async fn patch_status(&self, claim: &ResourceClaim, status: serde_json::Value) -> Result<ResourceClaim, Error> {
        let ObjectKey { namespace, name } = ObjectKey::of(claim);
        let patch = write::as_read(&claim.metadata, json!({"metadata": {}, "status": status}));
        let claims = self.claims_in(&namespace);
        let written = claims.patch_status(&name, &write::patch_params(), &Patch::Merge(patch)).await;
        written.map_err(failed("writing a resource claim's users"))
    }

    async fn reconcile_claim(&self, key: &ObjectKey) -> Result<Outcome, Error> {
        let Some(claim) = self.claims.store().get(key) else { return Ok(Outcome::Done) };
        let mut left = Vec::new();
        for user in plan::users(&claim) {
            if !self.is_done_with(key, user).await? {
                left.push(user.clone());
            }
        }
        let is_over = match plan::owner(&claim.metadata) {
            Some(owner) => self.is_over(&key.namespace, &owner.name, &owner.uid).await?,
            None => false,
        };
        self.carry_out(&claim, plan::steps(&claim, left, is_over)).await?;
        Ok(Outcome::Done)
    }

    async fn is_done_with(&self, claim: &ObjectKey, user: &ResourceClaimConsumerReference) -> Result<bool, Error> {
        // Others look after themselves.
        if user.api_group.as_deref().is_some_and(|group| !group.is_empty()) || user.resource != "pods" {
            return Ok(false);
        }
        self.is_over(&claim.namespace, &user.name, &user.uid).await
    }

    /// Whether a pod is done or gone. One that is not shown may be too new.
    async fn is_over(&self, namespace: &str, name: &str, uid: &str) -> Result<bool, Error> {
        if let Some(pod) = self.pods.store().get(&ObjectKey::new(namespace, name)).filter(|pod| pod.uid() == uid) {
            return Ok(plan::is_done(&pod));
        }
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), namespace);
        let live = pods.get_opt(name).await.map_err(failed("reading a pod that uses a resource claim"))?;
        Ok(live.filter(|pod| pod.uid() == uid).is_none_or(|pod| plan::is_done(&pod)))
    }

    async fn carry_out(&self, claim: &ResourceClaim, steps: Steps) -> Result<(), Error> {
        let ObjectKey { namespace, name } = ObjectKey::of(claim);
        let claims = self.claims_in(&namespace);
        let mut newest = claim.clone();
        if steps.keep.is_some() || steps.deallocate {
            let mut status = serde_json::Map::new();
            if let Some(keep) = &steps.keep {
                status.insert("reservedFor".to_owned(), json!(keep));
            }
            if steps.deallocate {
                status.insert("allocation".to_owned(), serde_json::Value::Null);
            }
            newest = self.patch_status(claim, status.into()).await?;
        }
        if steps.release {
            let others: Vec<&String> =
                newest.metadata.finalizers.iter().flatten().filter(|own| *own != FINALIZER).collect();
            let patch = write::as_read(&newest.metadata, json!({"metadata": {"finalizers": others}}));
            let released = claims.patch(&name, &write::patch_params(), &Patch::Merge(patch)).await;
            released.map_err(failed("releasing a resource claim"))?;
        }
        if steps.delete {
            let only = Preconditions { uid: claim.metadata.uid.clone(), resource_version: None };
            let parameters = DeleteParams { preconditions: Some(only), ..DeleteParams::default() };
            claims.delete(&name, &parameters).await.map_err(failed("deleting a resource claim"))?;
        }
        Ok(())
    }
}
