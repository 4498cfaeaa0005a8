//! Volumes and claims go when nobody uses them any more: a claim when no pod on a node does, a volume when it is not
//! bound. Until then a finalizer keeps them.

use std::{fmt::Debug, future::ready, sync::Arc};

use api_types::{codec::FromJson, core::PersistentVolumeClaim};
use component::{
    api::Api,
    informer::{Event, Informer, Item, ObjectKey},
    queue::{Outcome, WorkQueue},
    volumes::Volume,
};
use futures::future::BoxFuture;
use kube::{
    Client, Resource,
    api::{ListParams, Patch},
    core::Request,
};
use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};

use crate::{
    context::Context,
    controllers::Run,
    slim::{BY_CLAIM, Pod},
    step::{Error, failed},
    write,
};

const OF_CLAIMS: &str = "kubernetes.io/pvc-protection";
const OF_VOLUMES: &str = "kubernetes.io/pv-protection";
const WORKERS: usize = 2;

/// Asks the API server, before it is too late: what is used and its users are two watches, of which one may lag behind.
type IsUsedNow<T> = fn(Client, Arc<T>) -> BoxFuture<'static, Result<bool, kube::Error>>;

/// What is protected, and by what.
struct Protection<T: Item> {
    objects: Informer<T>,
    finalizer: &'static str,
    is_used: Box<dyn Fn(&T) -> bool + Send + Sync>,
    is_used_now: IsUsedNow<T>,
    api: fn(Client, &str) -> Api<T>,
    client: Client,
}

/// The controller that protects claims.
pub(crate) fn start_for_claims(context: &Context) -> Option<Run> {
    let pods: Informer<Pod> = context.informer();
    let users = pods.clone();
    let is_used = move |claim: &PersistentVolumeClaim| {
        !users.store().by_index(BY_CLAIM, &ObjectKey::of(claim).to_string()).is_empty()
    };
    let protection = Protection {
        objects: context.informer(),
        finalizer: OF_CLAIMS,
        is_used: Box::new(is_used),
        is_used_now: |client, claim| Box::pin(is_used_by_pods(client, claim)),
        api: |client, namespace| Api::namespaced(client, namespace),
        client: context.client.clone(),
    };
    let (queue, run) = protection.start(context, "pvc_protection");
    pods.on_event(move |event: &Event<Pod>| {
        let before = match event {
            Event::Updated { old, .. } | Event::Deleted(old) => old,
            Event::Added(_) => return,
        };
        for claim in before.claims() {
            queue.add(ObjectKey::new(before.key().namespace, claim));
        }
    });
    Some(run)
}

/// The controller that protects volumes.
pub(crate) fn start_for_volumes(context: &Context) -> Option<Run> {
    let is_bound = |volume: &Volume| volume.status.phase == "Bound";
    let protection = Protection {
        objects: context.informer(),
        finalizer: OF_VOLUMES,
        is_used: Box::new(is_bound),
        // Whether a volume is bound stands in itself, and the patch insists on its version.
        is_used_now: |_, _| Box::pin(ready(Ok(false))),
        api: |client, _| Api::all(client),
        client: context.client.clone(),
    };
    Some(protection.start(context, "pv_protection").1)
}

impl<T: Item + Resource<DynamicType = ()> + Debug> Protection<T> {
    fn start(self, context: &Context, name: &'static str) -> (Arc<WorkQueue<ObjectKey>>, Run) {
        let (this, queue) = (Arc::new(self), WorkQueue::new());
        let keys = Arc::clone(&queue);
        this.objects.on_event(move |event| {
            if !matches!(event, Event::Deleted(_)) {
                keys.add(ObjectKey::of(&**event.object()));
            }
        });
        let (daemon, running) = (context.daemon.clone(), Arc::clone(&queue));
        let run: Run = Box::new(move || {
            running.run(&daemon, name, WORKERS, move |key| {
                let this = Arc::clone(&this);
                async move { write::settle_races(this.reconcile(&key).await) }
            });
        });
        (queue, run)
    }

    async fn reconcile(&self, key: &ObjectKey) -> Result<Outcome, Error> {
        let Some(object) = self.objects.store().get(key) else { return Ok(Outcome::Done) };
        if let Some(patch) = plan(&*object, self.finalizer, &self.is_used) {
            let goes = object.meta().deletion_timestamp.is_some();
            let asked = || (self.is_used_now)(self.client.clone(), Arc::clone(&object));
            if goes && asked().await.map_err(failed("looking for users"))? {
                // Its end will be told of.
                return Ok(Outcome::Done);
            }
            let api = (self.api)(self.client.clone(), &key.namespace);
            let written = api.patch(&key.name, &write::patch_params(), &Patch::Merge(patch)).await;
            written.map_err(failed("changing the finalizer"))?;
        }
        Ok(Outcome::Done)
    }
}

/// Whether a pod of the claim's namespace uses it, as the API server has it now. A pod that cannot be read may.
async fn is_used_by_pods(client: Client, claim: Arc<PersistentVolumeClaim>) -> Result<bool, kube::Error> {
    #[derive(Deserialize)]
    struct Pods {
        items: Option<Vec<Box<RawValue>>>,
    }
    let ObjectKey { namespace, name } = ObjectKey::of(&*claim);
    let pods = Request::new(Pod::url_path(&(), Some(&namespace))).list(&ListParams::default());
    let text = client.request_text(pods.map_err(kube::Error::BuildRequest)?).await?;
    let pods: Pods = serde_json::from_str(&text).map_err(kube::Error::SerdeError)?;
    let uses = |pod: Box<RawValue>| {
        Pod::from_json(pod.get().as_bytes()).map_or(true, |pod| pod.claims().any(|claim| claim == name))
    };
    Ok(pods.items.into_iter().flatten().any(uses))
}

/// How an object's finalizers have to change: one that is not going gets ours, and who is not used loses it.
fn plan<T: Resource<DynamicType = ()>>(object: &T, finalizer: &str, is_used: impl Fn(&T) -> bool) -> Option<Value> {
    let meta = object.meta();
    let mut finalizers = meta.finalizers.clone().unwrap_or_default();
    let has = finalizers.iter().any(|own| own == finalizer);
    match meta.deletion_timestamp {
        None if !has => finalizers.push(finalizer.to_owned()),
        Some(_) if has && !is_used(object) => finalizers.retain(|own| own != finalizer),
        _ => return None,
    }
    Some(json!({"metadata": {"uid": meta.uid, "resourceVersion": meta.resource_version, "finalizers": finalizers}}))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_used_stays() {
        let claim = |going: bool, finalizers: Value| -> PersistentVolumeClaim {
            let deleted = going.then_some("2026-01-01T00:00:00Z");
            let metadata = json!({"name": "c", "deletionTimestamp": deleted, "finalizers": finalizers});
            serde_json::from_value(json!({"metadata": metadata})).unwrap()
        };
        let planned = |claim: &PersistentVolumeClaim, used: bool| {
            plan(claim, OF_CLAIMS, |_| used).map(|patch| patch["metadata"]["finalizers"].clone())
        };
        assert_eq!(planned(&claim(false, json!(null)), false), Some(json!([OF_CLAIMS])));
        assert_eq!(planned(&claim(false, json!([OF_CLAIMS])), false), None);
        assert_eq!(planned(&claim(true, json!(["x", OF_CLAIMS])), true), None);
        assert_eq!(planned(&claim(true, json!(["x", OF_CLAIMS])), false), Some(json!(["x"])));
        assert_eq!(planned(&claim(true, json!(["x"])), false), None);
    }
}
