//! Pods that name no service account run as `default`.

use api_types::{StatusError, core::Pod, rows};
use futures::future::BoxFuture;

use crate::registry::{Operation, Review, admission::Plugin};

pub(super) struct ServiceAccount;

/// Set on mirror pods by the kubelet; those have no service account.
const MIRROR: &str = "kubernetes.io/config.mirror";

impl Plugin for ServiceAccount {
    /// Upstream's plugin changes pods only when they are created, too.
    fn concerns(&self, review: &Review<'_>) -> bool {
        let door = &review.door;
        door.operation == Operation::Create && door.subresource.is_empty() && door.row.is(&rows::PODS)
    }

    fn admit<'a>(&'a self, review: &'a mut Review<'_>) -> BoxFuture<'a, Result<(), StatusError>> {
        let result = review.expect_mut("Pod").map(default_account);
        Box::pin(async move { Ok(result?) })
    }
}

fn default_account(pod: &mut Pod) {
    if pod.metadata.annotations.as_ref().is_some_and(|annotations| annotations.contains_key(MIRROR)) {
        return;
    }
    let Some(spec) = &mut pod.spec else { return };
    let named = spec.service_account_name.take().or_else(|| spec.service_account.take());
    let name = named.filter(|name| !name.is_empty()).unwrap_or_else(|| "default".into());
    // The deprecated field always has the same value.
    spec.service_account = Some(name.clone());
    spec.service_account_name = Some(name);
}
