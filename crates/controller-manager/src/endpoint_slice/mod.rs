//! Endpoint slices: the addresses of a service's pods, a hundred at a time.

mod plan;

use std::sync::Arc;

use api_types::{core::Service, discovery::EndpointSlice};
use component::{
    informer::{Event, Informer, ObjectKey},
    queue::{Outcome, WorkQueue},
};

use crate::{
    context::Context,
    controllers::Run,
    service_endpoints,
    slices::{self, Writer},
    slim::{Node, Pod},
    step::Error,
    write,
};

/// Index: this controller's slices by namespace and name of their service.
const BY_SERVICE: &str = "service";
const ZONE: &str = "topology.kubernetes.io/zone";

struct Controller {
    services: Informer<Service>,
    pods: Informer<Pod>,
    nodes: Informer<Node>,
    slices: Informer<EndpointSlice>,
    writer: Writer,
}

/// The controller of endpoint slices.
pub(crate) fn start(context: &Context) -> Option<Run> {
    let slices = context
        .informer::<EndpointSlice>()
        .with_index(BY_SERVICE, |slice| service_of(slice).map(|key| key.to_string()).into_iter().collect());
    let controller = Arc::new(Controller {
        services: context.informer(),
        pods: context.informer(),
        nodes: context.informer(),
        slices,
        writer: Writer::new(context.client.clone()),
    });
    let queue = WorkQueue::new();
    service_endpoints::subscribe(&controller.services, &controller.pods, &queue);
    subscribe(&controller, &queue);
    let daemon = context.daemon.clone();
    let workers = context.config.flags.concurrency.endpoint_slice;
    Some(Box::new(move || {
        queue.run(&daemon, "endpointslice", workers, move |key| {
            let controller = Arc::clone(&controller);
            async move { write::settle_races(controller.reconcile(&key).await) }
        });
    }))
}

fn subscribe(controller: &Controller, queue: &Arc<WorkQueue<ObjectKey>>) {
    let keys = Arc::clone(queue);
    controller.slices.on_event(move |event: &Event<EndpointSlice>| {
        if let Event::Updated { old, .. } = event
            && let Some(service) = service_of(old)
        {
            keys.add(service);
        }
        if let Some(service) = service_of(event.object()) {
            keys.add(service);
        }
    });
    let (services, keys) = (controller.services.clone(), Arc::clone(queue));
    controller.nodes.on_event(move |event| {
        let moved = match event {
            Event::Added(node) => node.label(ZONE).is_some(),
            Event::Updated { old, new } => old.label(ZONE) != new.label(ZONE),
            Event::Deleted(_) => false,
        };
        if moved {
            services.store().list().iter().for_each(|service| keys.add(ObjectKey::of(&**service)));
        }
    });
}

/// The service of a slice that is this controller's.
fn service_of(slice: &EndpointSlice) -> Option<ObjectKey> {
    slices::service_of(slice, plan::MANAGER)
}

impl Controller {
    async fn reconcile(&self, key: &ObjectKey) -> Result<Outcome, Error> {
        if let Some(wait) = self.writer.written.unseen(key, self.slices.store()) {
            return Ok(Outcome::RequeueAfter(wait));
        }
        // Without the service the garbage collector takes its slices.
        let Some(service) = self.services.store().get(key) else { return Ok(Outcome::Done) };
        let Some(selector) = service_endpoints::selector(&service) else { return Ok(Outcome::Done) };
        if service.metadata.deletion_timestamp.is_some() {
            return Ok(Outcome::Done);
        }
        let pods = self.pods.store().list_namespace(&key.namespace);
        let pods = service_endpoints::pods_of(&service, &selector, &pods);
        let existing = self.slices.store().by_index(BY_SERVICE, &key.to_string());
        let zone_of = |node: &str| self.nodes.store().get(&ObjectKey::new("", node))?.label(ZONE).map(str::to_owned);
        let actions = plan::plan(&service, &pods, &existing, &zone_of);
        self.writer.carry_out(key, actions).await?;
        Ok(Outcome::Done)
    }
}
