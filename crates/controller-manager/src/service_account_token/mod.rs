//! Tokens that do not end, for who asks for one by making a secret of their type: the secret is filled in, and goes when
//! its account goes.

mod plan;

use std::sync::Arc;

use api_types::core::{Secret, ServiceAccount};
use component::{
    api::Api,
    informer::{Informer, ObjectKey, Scope},
    jwt::SigningKey,
    queue::{Outcome, WorkQueue},
};
use kube::{
    Client,
    api::{DeleteParams, Preconditions},
};

use self::plan::{Action, Material, account_of, plan, without_reference};
use crate::{context::Context, controllers::Run, write};

/// The type of such secrets.
const TYPE: &str = "kubernetes.io/service-account-token";
/// Secrets by account, as `namespace/name`.
const BY_ACCOUNT: &str = "account";

struct Controller {
    client: Client,
    accounts: Informer<ServiceAccount>,
    /// Only those of the type.
    secrets: Informer<Secret>,
    key: Arc<SigningKey>,
    root_ca: Option<String>,
}

/// The controller; with `--service-account-private-key-file` only.
pub(crate) fn start(context: &Context) -> Option<Run> {
    let key = context.config.service_account_key.clone()?;
    let scope = Scope { field_selector: Some(format!("type={TYPE}")), ..Scope::default() };
    let controller = Arc::new(Controller {
        client: context.client.clone(),
        accounts: context.informer(),
        secrets: Informer::new(&(), &scope).with_index(BY_ACCOUNT, |secret: &Secret| {
            let namespace = secret.metadata.namespace.as_deref().unwrap_or_default();
            account_of(secret).map(|account| format!("{namespace}/{}", account.name)).into_iter().collect()
        }),
        key,
        root_ca: context.config.root_ca.clone(),
    });
    let queue = WorkQueue::new();
    let keys = Arc::clone(&queue);
    controller.secrets.on_event(move |event| keys.add(ObjectKey::of(&**event.object())));
    let (keys, secrets) = (Arc::clone(&queue), controller.secrets.clone());
    controller.accounts.on_event(move |event| {
        let account = ObjectKey::of(&**event.object());
        let of_account = secrets.store().by_index(BY_ACCOUNT, &format!("{}/{}", account.namespace, account.name));
        of_account.iter().for_each(|secret| keys.add(ObjectKey::of(&**secret)));
    });
    controller.secrets.start(context.client.clone(), &context.daemon);
    let daemon = context.daemon.clone();
    let workers = context.config.flags.concurrency.service_account;
    Some(Box::new(move || {
        queue.run(&daemon, "serviceaccount-token", workers, move |key| {
            let controller = Arc::clone(&controller);
            async move { write::settle_races(controller.reconcile(&key).await) }
        });
    }))
}

impl Controller {
    async fn reconcile(&self, key: &ObjectKey) -> anyhow::Result<Outcome> {
        self.secrets.synced().await;
        let Some(secret) = self.secrets.store().get(key) else { return self.forget(key).await };
        let account = match account_of(&secret) {
            Some(named) => self.account(&ObjectKey::new(&key.namespace, named.name)).await?,
            None => None,
        };
        let material = Material { key: &self.key, root_ca: self.root_ca.as_deref().unwrap_or_default() };
        let secrets: Api<Secret> = Api::namespaced(self.client.clone(), &key.namespace);
        match plan(&secret, account.as_deref(), &material)? {
            Action::Nothing => {}
            Action::Fill(filled) => drop(secrets.replace(&key.name, &write::post_params(), &filled).await?),
            Action::Delete => {
                let this_one = Preconditions { uid: secret.metadata.uid.clone(), resource_version: None };
                let parameters = DeleteParams { preconditions: Some(this_one), ..DeleteParams::default() };
                secrets.delete(&key.name, &parameters).await?;
            }
        }
        Ok(Outcome::Done)
    }

    /// The account; the server is asked before it is taken to be gone.
    async fn account(&self, key: &ObjectKey) -> anyhow::Result<Option<Arc<ServiceAccount>>> {
        if let Some(account) = self.accounts.store().get(key) {
            return Ok(Some(account));
        }
        let accounts: Api<ServiceAccount> = Api::namespaced(self.client.clone(), &key.namespace);
        Ok(accounts.get_opt(&key.name).await?.map(Arc::new))
    }

    /// A secret that is gone is not named by its account any more.
    async fn forget(&self, key: &ObjectKey) -> anyhow::Result<Outcome> {
        let accounts: Api<ServiceAccount> = Api::namespaced(self.client.clone(), &key.namespace);
        for account in self.accounts.store().list_namespace(&key.namespace) {
            if let Some(changed) = without_reference(&account, &key.name) {
                let name = account.metadata.name.as_deref().unwrap_or_default();
                accounts.replace(name, &write::post_params(), &changed).await?;
            }
        }
        Ok(Outcome::Done)
    }
}
