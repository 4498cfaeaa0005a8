//! Endpoint slices: the addresses of a service's pods, a hundred at a time.

mod plan;

use std::sync::Arc;

use api_types::{core::Service, discovery::EndpointSlice};
use component::{
    api::Api,
    informer::{Event, Informer, ObjectKey},
    queue::{Outcome, WorkQueue},
};
use kube::{
    Client,
    api::{DeleteParams, Preconditions},
};

use self::plan::Action;
use crate::{
    context::Context,
    controllers::Run,
    service_endpoints,
    slim::{Node, Pod},
    step::{Error, failed},
    write,
    written::Written,
};

/// Index: this controller's slices by namespace and name of their service.
const BY_SERVICE: &str = "service";
const ZONE: &str = "topology.kubernetes.io/zone";

struct Controller {
    client: Client,
    services: Informer<Service>,
    pods: Informer<Pod>,
    nodes: Informer<Node>,
    slices: Informer<EndpointSlice>,
    written: Written,
}

/// The controller of endpoint slices.
pub(crate) fn start(context: &Context) -> Option<Run> {
    let slices = context
        .informer::<EndpointSlice>()
        .with_index(BY_SERVICE, |slice| service_of(slice).map(|key| key.to_string()).into_iter().collect());
    let controller = Arc::new(Controller {
        client: context.client.clone(),
        services: context.informer(),
        pods: context.informer(),
        nodes: context.informer(),
        slices,
        written: Written::default(),
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
    let labels = slice.metadata.labels.as_ref()?;
    let ours = labels.get(plan::MANAGED_BY).is_some_and(|manager| manager == plan::MANAGER);
    let name = labels.get(plan::SERVICE_NAME).filter(|_| ours)?;
    Some(ObjectKey::new(slice.metadata.namespace.clone().unwrap_or_default(), name.clone()))
}

impl Controller {
    async fn reconcile(&self, key: &ObjectKey) -> Result<Outcome, Error> {
        if let Some(wait) = self.written.unseen(key, self.slices.store()) {
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
        for action in actions {
            self.carry_out(key, action).await?;
        }
        Ok(Outcome::Done)
    }

    async fn carry_out(&self, owner: &ObjectKey, action: Action) -> Result<(), Error> {
        let api: Api<EndpointSlice> = Api::namespaced(self.client.clone(), &owner.namespace);
        let (operation, result) = match action {
            Action::Create(slice) => ("creating an endpoint slice", api.create(&write::post_params(), &slice).await),
            Action::Update(slice) => {
                let name = slice.metadata.name.as_deref().unwrap_or_default();
                ("updating an endpoint slice", api.replace(name, &write::post_params(), &slice).await)
            }
            Action::Delete(slice) => return self.delete(owner, &api, &slice).await,
        };
        match result {
            Ok(slice) => {
                self.written.stored(owner, &slice);
                Ok(())
            }
            Err(error) if write::is_namespace_terminating(&error) => Ok(()),
            Err(error) => Err(failed(operation)(error)),
        }
    }

    async fn delete(&self, owner: &ObjectKey, api: &Api<EndpointSlice>, slice: &EndpointSlice) -> Result<(), Error> {
        let this_one = Preconditions { uid: slice.metadata.uid.clone(), resource_version: None };
        let parameters = DeleteParams { preconditions: Some(this_one), ..DeleteParams::default() };
        match api.delete(slice.metadata.name.as_deref().unwrap_or_default(), &parameters).await {
            Err(error) if !write::is_race(&error) => Err(failed("deleting an endpoint slice")(error)),
            _ => {
                self.written.deleted(owner, slice);
                Ok(())
            }
        }
    }
}
