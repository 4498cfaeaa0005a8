//! Which jobs an event concerns, and which pods have nobody any more who would count them.

use std::{sync::Arc, time::Duration};

use api_types::{batch::Job, selector::label::Selector};
use component::{
    informer::{Event, ObjectKey},
    queue::WorkQueue,
};

use super::{Controller, TRACKING, verdict::is_finished};
use crate::{
    ownership::controller_of,
    pod_events::{Owners, own_reference, owner_key},
    slim::{BY_CONTROLLER, Pod},
};

/// Changes of pods wait for others for so long; as upstream.
const TOGETHER: Duration = Duration::from_secs(1);

/// Queues jobs when they or their pods change, and pods whose job will not count them.
pub(super) fn subscribe(
    controller: &Arc<Controller>,
    jobs: &Arc<WorkQueue<ObjectKey>>,
    orphans: &Arc<WorkQueue<ObjectKey>>,
) {
    let (this, keys) = (Arc::clone(controller), Arc::clone(orphans));
    controller.jobs.on_event(move |event| this.on_job(event, &keys));
    let owners = Owners {
        owners: controller.jobs.clone(),
        pods: controller.pods.clone(),
        selector: |job| Selector::from_label_selector(job.spec.as_ref()?.selector.as_ref()).ok(),
        expectations: Arc::clone(&controller.expectations),
        together: TOGETHER,
    };
    owners.subscribe(jobs);
    let (this, keys) = (Arc::clone(controller), Arc::clone(orphans));
    controller.pods.on_event(move |event| {
        if let Event::Added(pod) | Event::Updated { new: pod, .. } = event
            && this.is_orphan(pod)
        {
            keys.add(pod.key());
        }
    });
}

impl Controller {
    fn on_job(&self, event: &Event<Job>, orphans: &WorkQueue<ObjectKey>) {
        let job = event.object();
        let uid = job.metadata.uid.as_deref().unwrap_or_default();
        let gone = matches!(event, Event::Deleted(_));
        if gone {
            self.memory.forget(uid);
        }
        if gone || is_finished(job) {
            let left =
                self.pods.store().by_index(BY_CONTROLLER, uid).into_iter().filter(|pod| pod.has_finalizer(TRACKING));
            left.for_each(|pod| orphans.add(pod.key()));
        }
    }

    /// Whether the pod is a job's and no job will count it: the job is over or gone, or has let it go.
    pub(super) fn is_orphan(&self, pod: &Pod) -> bool {
        if !pod.has_finalizer(TRACKING) {
            return false;
        }
        match controller_of(&pod.metadata) {
            None => true,
            Some(_) => own_reference::<Job>(&pod.metadata).is_some_and(|owner| {
                let job = self.jobs.store().get(&owner_key(&pod.metadata, owner));
                let own = job.filter(|job| job.metadata.uid.as_deref() == Some(owner.uid.as_str()));
                own.is_none_or(|job| is_finished(&job))
            }),
        }
    }
}
