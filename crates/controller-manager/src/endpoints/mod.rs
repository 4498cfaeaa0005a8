//! Endpoints: the addresses of a service's pods in one object.

mod plan;

use std::sync::Arc;

use api_types::core::{Endpoints, Service};
use component::{
    api::Api,
    informer::{Event, Informer, ObjectKey},
    queue::{Outcome, WorkQueue},
};
use kube::{Client, api::DeleteParams};

use crate::{
    context::Context,
    controllers::Run,
    service_endpoints,
    slim::Pod,
    step::{Error, failed},
    write,
};

struct Controller {
    client: Client,
    services: Informer<Service>,
    pods: Informer<Pod>,
    endpoints: Informer<Endpoints>,
}

/// The controller of endpoints.
pub(crate) fn start(context: &Context) -> Option<Run> {
    let controller = Arc::new(Controller {
        client: context.client.clone(),
        services: context.informer(),
        pods: context.informer(),
        endpoints: context.informer(),
    });
    let queue = WorkQueue::new();
    service_endpoints::subscribe(&controller.services, &controller.pods, &queue);
    let keys = Arc::clone(&queue);
    // Also for endpoints whose service went while nobody was looking.
    controller.endpoints.on_event(move |event: &Event<Endpoints>| keys.add(ObjectKey::of(&**event.object())));
    let daemon = context.daemon.clone();
    let workers = context.config.flags.concurrency.endpoints;
    Some(Box::new(move || {
        queue.run(&daemon, "endpoints", workers, move |key| {
            let controller = Arc::clone(&controller);
            async move { write::settle_races(controller.reconcile(&key).await) }
        });
    }))
}

impl Controller {
    async fn reconcile(&self, key: &ObjectKey) -> Result<Outcome, Error> {
        let current = self.endpoints.store().get(key);
        let Some(service) = self.services.store().get(key) else { return self.remove(current.as_deref()).await };
        let Some(selector) = service_endpoints::selector(&service) else { return Ok(Outcome::Done) };
        let pods = self.pods.store().list_namespace(&key.namespace);
        let pods = service_endpoints::pods_of(&service, &selector, &pods);
        if let Some(desired) = plan::plan(&service, &pods, current.as_deref()) {
            self.write(&desired).await?;
        }
        Ok(Outcome::Done)
    }

    async fn write(&self, desired: &Endpoints) -> Result<(), Error> {
        let api = self.api(desired);
        let parameters = write::post_params();
        let (operation, result) = match desired.metadata.resource_version {
            None => ("creating endpoints", api.create(&parameters, desired).await),
            Some(_) => {
                let name = desired.metadata.name.as_deref().unwrap_or_default();
                ("updating endpoints", api.replace(name, &parameters, desired).await)
            }
        };
        match result {
            Err(error) if write::is_namespace_terminating(&error) => Ok(()),
            result => result.map(drop).map_err(failed(operation)),
        }
    }

    /// The service is gone. Endpoints that somebody else made are left to whoever did.
    async fn remove(&self, current: Option<&Endpoints>) -> Result<Outcome, Error> {
        let Some(endpoints) = current.filter(|endpoints| plan::is_managed(endpoints)) else { return Ok(Outcome::Done) };
        let name = endpoints.metadata.name.as_deref().unwrap_or_default();
        match self.api(endpoints).delete(name, &DeleteParams::default()).await {
            Err(error) if !write::is_race(&error) => Err(failed("deleting endpoints")(error)),
            _ => Ok(Outcome::Done),
        }
    }

    fn api(&self, endpoints: &Endpoints) -> Api<Endpoints> {
        Api::namespaced(self.client.clone(), endpoints.metadata.namespace.as_deref().unwrap_or_default())
    }
}
