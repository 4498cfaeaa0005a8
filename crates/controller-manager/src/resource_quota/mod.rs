//! Resource quotas: what is used of them, counted from what there is. The API server charges what is created; this
//! controller gives back what is gone.

mod counted;
mod monitors;
mod plan;

use std::{sync::Arc, time::Duration};

use api_types::{core::ResourceQuota, jiff::Timestamp, quota::Amounts};
use component::{
    api::Api,
    informer::{Event, Informer, ObjectKey},
    queue::{Outcome, WorkQueue},
};
use kube::{Client, api::Patch};
use serde_json::json;

use self::monitors::Monitors;
use crate::{
    context::Context,
    controllers::Run,
    step::{Error, failed},
    write,
};

/// So long an object may be on its way that has been charged and is not yet seen here.
const ON_ITS_WAY: Duration = Duration::from_millis(100);
/// What was written is looked at again this much later: something may have been created while it was counted.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

struct Controller {
    client: Client,
    quotas: Informer<ResourceQuota>,
    monitors: Monitors,
    period: Duration,
}

/// The controller of quotas' usage.
pub(crate) fn start(context: &Context) -> Option<Run> {
    let queue = WorkQueue::new();
    let quotas: Informer<ResourceQuota> = context.informer();
    let (all, keys) = (quotas.clone(), Arc::clone(&queue));
    let notify = move |namespace: &str| {
        for quota in all.store().list_namespace(namespace) {
            keys.add(ObjectKey::of(&*quota));
        }
    };
    let controller = Arc::new(Controller {
        client: context.client.clone(),
        monitors: Monitors::new(context.client.clone(), &context.daemon, Arc::new(notify)),
        quotas,
        period: context.config.flags.resource_quota_sync_period,
    });
    let keys = Arc::clone(&queue);
    controller.quotas.on_event(move |event| match event {
        // The API server itself changes what is used.
        Event::Updated { old, new } if !plan::is_new_to_count(old, new) => {}
        Event::Deleted(_) => {}
        event => keys.add(ObjectKey::of(&**event.object())),
    });
    let daemon = context.daemon.clone();
    let workers = context.config.flags.concurrency.resource_quota;
    Some(Box::new(move || {
        queue.run(&daemon, "resource_quota", workers, move |key| {
            let controller = Arc::clone(&controller);
            async move { write::settle_races(controller.reconcile(&key).await) }
        });
    }))
}

impl Controller {
    async fn reconcile(&self, key: &ObjectKey) -> Result<Outcome, Error> {
        let Some(quota) = self.quotas.store().get(key) else { return Ok(Outcome::Done) };
        let counted = self.monitors.of(&quota).await.map_err(failed("finding what there is to count"))?;
        let count = || -> Amounts { plan::used(&quota, &counted.subjects(&key.namespace), Timestamp::now()) };
        let mut used = count();
        if plan::is_as_it_should_be(&quota, &used) {
            return Ok(Outcome::RequeueAfter(self.period));
        }
        if plan::gives_back(&quota, &used) {
            // What has been charged is here soon; what is charged meanwhile changes the quota, and this write fails.
            tokio::time::sleep(ON_ITS_WAY).await;
            used = count();
        }
        let metadata = json!({"uid": quota.metadata.uid, "resourceVersion": quota.metadata.resource_version});
        let patch = json!({"metadata": metadata, "status": plan::status(&quota, &used)});
        let quotas: Api<ResourceQuota> = Api::namespaced(self.client.clone(), &key.namespace);
        let written = quotas.patch_status(&key.name, &write::patch_params(), &Patch::Merge(patch)).await;
        written.map_err(failed("writing what is used"))?;
        Ok(Outcome::RequeueAfter(LOOK_AGAIN.min(self.period)))
    }
}
