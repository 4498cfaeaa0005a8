//! Every pod runs as a service account, which has to be there, and has its token mounted. Pods that mirror static ones
//! have none.

mod mount;
mod secrets;

use std::time::Duration;

use api_types::{
    Object, StatusError,
    core::{Pod, ServiceAccount as Account},
    pod::references,
    rows,
};
use futures::future::BoxFuture;
use rand::Rng;

use crate::registry::{
    Operation, Review, Target,
    admission::{Handle, Plugin},
};

pub(super) struct ServiceAccount {
    pub registry: Handle,
}

/// Set on mirror pods by the kubelet.
const MIRROR: &str = "kubernetes.io/config.mirror";
const DEFAULT: &str = "default";
/// A new namespace has its default account soon: so often it is looked for.
const ATTEMPTS: usize = 10;
const EPHEMERAL: &str = "ephemeralcontainers";

impl Plugin for ServiceAccount {
    /// A pod is changed only when it is created. Containers that are added later are looked at.
    fn concerns(&self, review: &Review<'_>) -> bool {
        let door = &review.door;
        let concerned =
            matches!((door.operation, door.subresource), (Operation::Create, "") | (Operation::Update, EPHEMERAL));
        concerned && door.row.is(&rows::PODS)
    }

    fn admit<'a>(&'a self, review: &'a mut Review<'_>) -> BoxFuture<'a, Result<(), StatusError>> {
        Box::pin(async move {
            let created = review.door.operation == Operation::Create;
            let pod = review.expect_mut::<Pod>("Pod")?;
            // What the kubelet compares with the static pod must stay what it was.
            if !created || is_mirror(pod) {
                return Ok(());
            }
            let name = default_account(pod);
            let account = self.look_up(review, &name).await?;
            complete(review.expect_mut::<Pod>("Pod")?, account_of(&*account)?);
            Ok(())
        })
    }

    fn validate<'a>(&'a self, review: &'a Review<'_>) -> BoxFuture<'a, Result<(), StatusError>> {
        Box::pin(async move {
            let pod = review.expect::<Pod>("Pod")?;
            if is_mirror(pod) {
                return mirror_fault(pod).map_or(Ok(()), |why| Err(review.forbidden(why)));
            }
            let name = account_name(pod);
            if name.is_empty() {
                let named = pod.metadata.name.as_deref().unwrap_or_default();
                let namespace = review.door.target.namespace;
                return Err(review.forbidden(&format!("no service account specified for pod {namespace}/{named}")));
            }
            let account = self.look_up(review, name).await?;
            let fault = secrets::forbidden(pod, account_of(&*account)?, review.door.subresource == EPHEMERAL);
            fault.map_or(Ok(()), |why| Err(review.forbidden(&why)))
        })
    }
}

fn account_of(object: &dyn Object) -> Result<&Account, StatusError> {
    Ok(object.expect_ref("ServiceAccount")?)
}

impl ServiceAccount {
    async fn look_up(&self, review: &Review<'_>, name: &str) -> Result<Box<dyn Object>, StatusError> {
        let namespace = review.door.target.namespace;
        self.find(Target { namespace, name }).await.map_err(|error| {
            let missing = format!("serviceaccount {name:?} not found");
            let why = if error.reason() == "NotFound" { missing } else { error.to_string() };
            review.forbidden(&format!("error looking up service account {namespace}/{name}: {why}"))
        })
    }

    async fn find(&self, target: Target<'_>) -> Result<Box<dyn Object>, StatusError> {
        let attempts = if target.name == DEFAULT { ATTEMPTS } else { 1 };
        let pause = Duration::from_millis(rand::rng().random_range(100..200));
        let mut attempt = 1;
        loop {
            let registry = self.registry.registry()?;
            match registry.get_object(&*registry.core("serviceaccounts")?, target).await {
                Err(error) if error.reason() == "NotFound" && attempt < attempts => attempt += 1,
                result => return result,
            }
            tokio::time::sleep(pause).await;
        }
    }
}

fn is_mirror(pod: &Pod) -> bool {
    pod.metadata.annotations.as_ref().is_some_and(|annotations| annotations.contains_key(MIRROR))
}

fn account_name(pod: &Pod) -> &str {
    let spec = pod.spec.as_ref();
    spec.and_then(|spec| spec.service_account_name.as_deref()).unwrap_or_default()
}

/// Names the account, if the pod does not. The deprecated field always has the same value.
fn default_account(pod: &mut Pod) -> String {
    let spec = pod.spec.get_or_insert_default();
    let named = spec.service_account_name.take().filter(|name| !name.is_empty());
    let name = named.unwrap_or_else(|| DEFAULT.to_owned());
    spec.service_account = Some(name.clone());
    spec.service_account_name = Some(name.clone());
    name
}

/// What a pod has of its account.
fn complete(pod: &mut Pod, account: &Account) {
    let Some(spec) = &mut pod.spec else { return };
    let wanted = spec.automount_service_account_token.or(account.automount_service_account_token);
    if wanted.unwrap_or(true) {
        mount::token(spec);
    }
    let own = spec.image_pull_secrets.as_ref().is_some_and(|secrets| !secrets.is_empty());
    if !own && let Some(secrets) = account.image_pull_secrets.as_ref().filter(|secrets| !secrets.is_empty()) {
        spec.image_pull_secrets = Some(secrets.clone());
    }
}

/// A static pod must not get at what is in the API: whoever writes manifests on a node need not have a right to it.
fn mirror_fault(pod: &Pod) -> Option<&'static str> {
    let spec = pod.spec.as_ref()?;
    if !account_name(pod).is_empty() {
        return Some("a mirror pod may not reference service accounts");
    }
    if !references::secrets(spec).is_empty() {
        return Some("a mirror pod may not reference secrets");
    }
    let projected = spec.volumes.iter().flatten().filter_map(|volume| volume.projected.as_ref());
    let mut sources = projected.flat_map(|projected| projected.sources.iter().flatten());
    let token = sources.any(|source| source.service_account_token.is_some());
    token.then_some("a mirror pod may not use ServiceAccountToken volume projections")
}
