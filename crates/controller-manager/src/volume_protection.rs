//! Volumes and claims go when nobody uses them any more: a claim when no pod on a node does, a volume when it is not
//! bound. Until then a finalizer keeps them.

use std::{fmt::Debug, sync::Arc};

use api_types::core::{PersistentVolume, PersistentVolumeClaim};
use component::{
    api::Api,
    informer::{Event, Informer, Item, ObjectKey},
    queue::{Outcome, WorkQueue},
};
use kube::{Client, Resource, api::Patch};
use serde_json::{Value, json};

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

/// What is protected, and by what.
struct Protection<T: Item> {
    objects: Informer<T>,
    finalizer: &'static str,
    is_used: Box<dyn Fn(&T) -> bool + Send + Sync>,
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
    let is_bound =
        |volume: &PersistentVolume| volume.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Bound");
    let protection = Protection {
        objects: context.informer(),
        finalizer: OF_VOLUMES,
        is_used: Box::new(is_bound),
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
            let api = (self.api)(self.client.clone(), &key.namespace);
            let written = api.patch(&key.name, &write::patch_params(), &Patch::Merge(patch)).await;
            written.map_err(failed("changing the finalizer"))?;
        }
        Ok(Outcome::Done)
    }
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
