//! Pods that name no service account run as `default`.

use api_types::{Object, StatusError, core};
use futures::future::BoxFuture;

use super::{Attributes, Plugin};

pub(super) struct ServiceAccount;

/// Set on mirror pods by the kubelet; those have no service account.
const MIRROR: &str = "kubernetes.io/config.mirror";

impl Plugin for ServiceAccount {
    fn name(&self) -> &'static str {
        "ServiceAccount"
    }

    fn admit<'a>(
        &'a self,
        attributes: &'a Attributes<'a>,
        object: &'a mut dyn Object,
    ) -> BoxFuture<'a, Result<(), StatusError>> {
        if attributes.creates_pod()
            && let Some(pod) = object.downcast_mut::<core::Pod>()
        {
            default_account(pod);
        }
        Box::pin(async { Ok(()) })
    }
}

fn default_account(pod: &mut core::Pod) {
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
