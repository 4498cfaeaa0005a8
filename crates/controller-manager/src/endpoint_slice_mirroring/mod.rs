//! Mirrors: slices of the endpoints that somebody wrote by hand for a service without a selector.

mod plan;

use std::sync::Arc;

use api_types::{
    core::{Endpoints, Service},
    discovery::EndpointSlice,
};
use component::{
    informer::{Event, Informer, ObjectKey},
    queue::{Outcome, WorkQueue},
    recorder::{EventType, Recorder},
};

use self::plan::{Plan, is_to_be_mirrored};
use crate::{
    context::Context,
    controllers::Run,
    ownership::object_reference,
    slices::{self, Action, Writer},
    step::Error,
    write,
};

/// Index: mirrors by namespace and name of their service.
const BY_SERVICE: &str = "mirrored-service";

struct Controller {
    services: Informer<Service>,
    endpoints: Informer<Endpoints>,
    slices: Informer<EndpointSlice>,
    writer: Writer,
    recorder: Recorder,
    /// `--mirroring-max-endpoints-per-subset`.
    max_endpoints: usize,
}

/// The controller of mirrors.
pub(crate) fn start(context: &Context) -> Option<Run> {
    let slices = context
        .informer::<EndpointSlice>()
        .with_index(BY_SERVICE, |slice| service_of(slice).map(|key| key.to_string()).into_iter().collect());
    let controller = Arc::new(Controller {
        services: context.informer(),
        endpoints: context.informer(),
        slices,
        writer: Writer::new(context.client.clone()),
        recorder: context.recorder("endpoint-slice-mirroring-controller"),
        max_endpoints: context.config.flags.mirroring_max_endpoints_per_subset.into(),
    });
    let queue = WorkQueue::new();
    subscribe(&controller, &queue);
    let daemon = context.daemon.clone();
    let workers = context.config.flags.concurrency.endpoint_slice_mirroring;
    Some(Box::new(move || {
        queue.run(&daemon, "endpoint_slice_mirroring", workers, move |key| {
            let controller = Arc::clone(&controller);
            async move { write::settle_races(controller.reconcile(&key).await) }
        });
    }))
}

fn subscribe(controller: &Controller, queue: &Arc<WorkQueue<ObjectKey>>) {
    let keys = Arc::clone(queue);
    controller.endpoints.on_event(move |event| {
        let before = if let Event::Updated { old, .. } = event { old } else { event.object() };
        if is_to_be_mirrored(event.object()) || is_to_be_mirrored(before) {
            keys.add(ObjectKey::of(&**event.object()));
        }
    });
    let keys = Arc::clone(queue);
    controller.services.on_event(move |event| {
        let before = if let Event::Updated { old, .. } = event { old } else { event.object() };
        if !(has_selector(event.object()) && has_selector(before)) {
            keys.add(ObjectKey::of(&**event.object()));
        }
    });
    // Also those whose endpoints went while nobody was looking.
    let keys = Arc::clone(queue);
    controller.slices.on_event(move |event| {
        let before = if let Event::Updated { old, .. } = event { service_of(old) } else { None };
        before.into_iter().chain(service_of(event.object())).for_each(|service| keys.add(service));
    });
}

/// The service of a slice that is this controller's.
fn service_of(slice: &EndpointSlice) -> Option<ObjectKey> {
    slices::service_of(slice, plan::MANAGER)
}

fn has_selector(service: &Service) -> bool {
    service.spec.as_ref().and_then(|spec| spec.selector.as_ref()).is_some_and(|selector| !selector.is_empty())
}

impl Controller {
    async fn reconcile(&self, key: &ObjectKey) -> Result<Outcome, Error> {
        if let Some(wait) = self.writer.written.unseen(key, self.slices.store()) {
            return Ok(Outcome::RequeueAfter(wait));
        }
        let existing = self.slices.store().by_index(BY_SERVICE, &key.to_string());
        let actions = match self.mirrored(key) {
            Some(endpoints) => {
                let plan = plan::plan(&endpoints, &existing, self.max_endpoints);
                self.tell(&endpoints, &plan);
                plan.actions
            }
            None => existing.into_iter().map(Action::Delete).collect(),
        };
        self.writer.carry_out(key, actions).await?;
        Ok(Outcome::Done)
    }

    /// The endpoints, if they are to be mirrored.
    fn mirrored(&self, key: &ObjectKey) -> Option<Arc<Endpoints>> {
        self.services.store().get(key).filter(|service| !has_selector(service))?;
        self.endpoints.store().get(key).filter(|endpoints| is_to_be_mirrored(endpoints))
    }

    /// Tells of addresses that are left out.
    fn tell(&self, endpoints: &Endpoints, plan: &Plan) {
        let warn = |reason, message| {
            self.recorder.record(&object_reference(endpoints), EventType::Warning, reason, message);
        };
        if plan.invalid > 0 {
            let message = format!("Skipped {} invalid IP addresses when mirroring to EndpointSlices", plan.invalid);
            warn("InvalidIPAddress", message);
        }
        if plan.skipped > plan.invalid {
            let message = format!(
                "A max of {} addresses can be mirrored to EndpointSlices per Endpoints subset. {} addresses were skipped",
                self.max_endpoints, plan.skipped
            );
            warn("TooManyAddressesToMirror", message);
        }
    }
}
