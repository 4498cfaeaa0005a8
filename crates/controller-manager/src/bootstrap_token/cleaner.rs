//! Tokens whose time is up are deleted.

use std::sync::Arc;

use api_types::{core::Secret, jiff::Timestamp};
use component::{
    api::Api,
    informer::{Informer, ObjectKey},
    queue::{Outcome, WorkQueue},
};
use kube::{
    Client,
    api::{DeleteParams, Preconditions},
};

use super::token::{Life, life};
use crate::{context::Context, controllers::Run, write};

struct Controller {
    client: Client,
    secrets: Informer<Secret>,
}

/// The cleaner of tokens.
pub(crate) fn start(context: &Context) -> Option<Run> {
    let controller = Arc::new(Controller { client: context.client.clone(), secrets: super::secrets() });
    let queue = WorkQueue::new();
    let keys = Arc::clone(&queue);
    controller.secrets.on_event(move |event| keys.add(ObjectKey::of(&**event.object())));
    controller.secrets.start(context.client.clone(), &context.daemon);
    let daemon = context.daemon.clone();
    Some(Box::new(move || {
        queue.run(&daemon, "tokencleaner", 1, move |key| {
            let controller = Arc::clone(&controller);
            async move { write::settle_races(controller.reconcile(&key).await) }
        });
    }))
}

impl Controller {
    async fn reconcile(&self, key: &ObjectKey) -> kube::Result<Outcome> {
        let Some(secret) = self.secrets.store().get(key) else { return Ok(Outcome::Done) };
        match life(&secret, Timestamp::now()) {
            Life::Unlimited => Ok(Outcome::Done),
            Life::Left(left) => Ok(Outcome::RequeueAfter(left)),
            Life::Over => {
                let metadata = &secret.metadata;
                // One that was made to live longer meanwhile stays.
                let this_one =
                    Preconditions { uid: metadata.uid.clone(), resource_version: metadata.resource_version.clone() };
                let parameters = DeleteParams { preconditions: Some(this_one), ..DeleteParams::default() };
                let secrets: Api<Secret> = Api::namespaced(self.client.clone(), &key.namespace);
                secrets.delete(&key.name, &parameters).await?;
                Ok(Outcome::Done)
            }
        }
    }
}
