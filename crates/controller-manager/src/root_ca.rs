//! The cluster's certificate authority, published in every namespace.

use std::sync::Arc;

use api_types::{
    core::{ConfigMap, Namespace},
    meta::ObjectMeta,
};
use component::{
    api::Api,
    informer::{Informer, ObjectKey, Scope},
    queue::{Outcome, WorkQueue},
};
use kube::Client;

use crate::{context::Context, controllers::Run, namespace, write};

const NAME: &str = "kube-root-ca.crt";
const DESCRIPTION: (&str, &str) = (
    "kubernetes.io/description",
    "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the \
     internal service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of Kubernetes \
     clusters.",
);

struct Controller {
    client: Client,
    namespaces: Informer<Namespace>,
    /// Only those of this name.
    config_maps: Informer<ConfigMap>,
    bundle: String,
}

/// The publisher; with `--root-ca-file` only.
pub(crate) fn start(context: &Context) -> Option<Run> {
    let bundle = context.config.root_ca.clone()?;
    let scope = Scope { field_selector: Some(format!("metadata.name={NAME}")), ..Scope::default() };
    let controller = Arc::new(Controller {
        client: context.client.clone(),
        namespaces: context.informer(),
        config_maps: Informer::new(&(), &scope),
        bundle,
    });
    let queue = WorkQueue::new();
    let keys = Arc::clone(&queue);
    controller.namespaces.on_event(move |event| keys.add(ObjectKey::of(&**event.object())));
    let keys = Arc::clone(&queue);
    controller.config_maps.on_event(move |event| {
        keys.add(ObjectKey::new("", event.object().metadata.namespace.clone().unwrap_or_default()));
    });
    controller.config_maps.start(context.client.clone(), &context.daemon);
    let daemon = context.daemon.clone();
    Some(Box::new(move || {
        queue.run(&daemon, "rootca", 1, move |key| {
            let controller = Arc::clone(&controller);
            async move { write::settle_races(controller.reconcile(&key).await) }
        });
    }))
}

/// The bundle could not be published.
#[derive(Debug, thiserror::Error)]
#[error("publishing the certificate authority")]
struct Error(#[source] kube::Error);

impl Controller {
    async fn reconcile(&self, key: &ObjectKey) -> Result<Outcome, Error> {
        self.config_maps.synced().await;
        if !self.namespaces.store().get(key).is_some_and(|namespace| namespace::is_active(&namespace)) {
            return Ok(Outcome::Done);
        }
        let current = self.config_maps.store().get(&ObjectKey::new(&key.name, NAME));
        let api: Api<ConfigMap> = Api::namespaced(self.client.clone(), &key.name);
        let Some(desired) = plan(current.as_deref(), &self.bundle) else { return Ok(Outcome::Done) };
        let result = match &current {
            None => api.create(&write::post_params(), &desired).await,
            Some(_) => api.replace(NAME, &write::post_params(), &desired).await,
        };
        match result {
            Err(error) if write::is_namespace_terminating(&error) => Ok(Outcome::Done),
            result => result.map(|_| Outcome::Done).map_err(Error),
        }
    }
}

/// The config map as it should be, when it differs.
fn plan(current: Option<&ConfigMap>, bundle: &str) -> Option<ConfigMap> {
    let mut desired = current.cloned().unwrap_or_else(|| ConfigMap {
        metadata: ObjectMeta { name: Some(NAME.to_owned()), ..ObjectMeta::default() },
        ..ConfigMap::default()
    });
    desired.data = Some([("ca.crt".to_owned(), bundle.to_owned())].into());
    let annotations = desired.metadata.annotations.get_or_insert_default();
    annotations.insert(DESCRIPTION.0.to_owned(), DESCRIPTION.1.to_owned());
    (current != Some(&desired)).then_some(desired)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bundle_is_restored() {
        let made = plan(None, "pem").unwrap();
        assert_eq!(made.data.as_ref().unwrap()["ca.crt"], "pem");
        assert!(plan(Some(&made), "pem").is_none());
        let broken = ConfigMap { data: None, ..made.clone() };
        assert_eq!(plan(Some(&broken), "pem"), Some(made));
    }
}
