//! Service accounts: every namespace has one named `default`.

use std::sync::Arc;

use api_types::{
    core::{Namespace, ServiceAccount},
    meta::ObjectMeta,
};
use component::{
    api::Api,
    informer::{Event, Informer, ObjectKey},
    queue::{Outcome, WorkQueue},
};
use kube::Client;

use crate::{context::Context, controllers::Run, namespace, write};

const DEFAULT: &str = "default";

struct Controller {
    client: Client,
    namespaces: Informer<Namespace>,
    accounts: Informer<ServiceAccount>,
}

/// The controller of default service accounts.
pub(crate) fn start(context: &Context) -> Option<Run> {
    let controller = Arc::new(Controller {
        client: context.client.clone(),
        namespaces: context.informer(),
        accounts: context.informer(),
    });
    let queue = WorkQueue::new();
    let keys = Arc::clone(&queue);
    controller.namespaces.on_event(move |event| keys.add(ObjectKey::of(&**event.object())));
    let keys = Arc::clone(&queue);
    controller.accounts.on_event(move |event: &Event<ServiceAccount>| {
        if let Event::Deleted(account) = event {
            keys.add(ObjectKey::new("", account.metadata.namespace.clone().unwrap_or_default()));
        }
    });
    let daemon = context.daemon.clone();
    let workers = context.config.flags.concurrency.service_account;
    Some(Box::new(move || {
        queue.run(&daemon, "serviceaccount", workers, move |key| {
            let controller = Arc::clone(&controller);
            async move { write::settle_races(controller.reconcile(&key).await) }
        });
    }))
}

/// The account could not be made.
#[derive(Debug, thiserror::Error)]
#[error("creating the default service account")]
struct Error(#[source] kube::Error);

impl Controller {
    async fn reconcile(&self, key: &ObjectKey) -> Result<Outcome, Error> {
        let active = self.namespaces.store().get(key).is_some_and(|namespace| namespace::is_active(&namespace));
        if !active || self.accounts.store().get(&ObjectKey::new(&key.name, DEFAULT)).is_some() {
            return Ok(Outcome::Done);
        }
        let metadata = ObjectMeta { name: Some(DEFAULT.to_owned()), ..ObjectMeta::default() };
        let account = ServiceAccount { metadata, ..ServiceAccount::default() };
        let accounts: Api<ServiceAccount> = Api::namespaced(self.client.clone(), &key.name);
        match accounts.create(&write::post_params(), &account).await {
            Err(error) if write::is_race(&error) || write::is_namespace_terminating(&error) => Ok(Outcome::Done),
            result => result.map(|_| Outcome::Done).map_err(Error),
        }
    }
}
