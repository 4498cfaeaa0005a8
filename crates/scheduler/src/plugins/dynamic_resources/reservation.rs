//! Devices that are given to a pod's claims, until that is written.

use std::sync::Arc;

use api_types::{
    devices::{AllocationResult, ResourceClaim, ResourceClaimConsumerReference},
    meta::ObjectMeta,
};
use component::{api::Api, informer::ObjectKey};
use kube::{
    Client,
    api::{Patch, PatchParams},
};
use serde_json::json;

use super::{IN_USE, MAX_USERS, claims::Claim};
use crate::{
    devices::{Devices, device_ids},
    framework::{Rejection, Reservation, Waiting},
    model::Pod,
};

/// The name that managed fields carry.
const FIELD_MANAGER: &str = "kube-scheduler";
/// Keeps a claim as long as it has devices.
const FINALIZER: &str = "resource.kubernetes.io/delete-protection";
/// How often a claim is written anew when somebody else was faster.
const TRIES: usize = 5;

/// See the module.
pub(super) struct Promised {
    devices: Arc<Devices>,
    claims: Vec<Claim>,
    /// Those that were promised something.
    given: Vec<ObjectKey>,
    user: ResourceClaimConsumerReference,
}

impl Promised {
    /// Promises claims what they are given; `None` when somebody else was promised some of it.
    pub(super) fn new(devices: Arc<Devices>, pod: &Pod, claims: Vec<Claim>) -> Option<Self> {
        let has = |claim: &Claim| claim.object.status.as_ref().is_some_and(|status| status.allocation.is_some());
        let new = claims.iter().filter(|claim| !has(claim));
        let given: Vec<(ObjectKey, Arc<AllocationResult>)> =
            new.filter_map(|claim| Some((claim.key.clone(), claim.allocation.clone()?))).collect();
        if !devices.promise(&given) {
            return None;
        }
        let user = ResourceClaimConsumerReference {
            api_group: None,
            resource: "pods".to_owned(),
            name: pod.metadata.name.clone().unwrap_or_default(),
            uid: pod.uid().to_owned(),
        };
        Some(Self { devices, claims, given: given.into_iter().map(|(key, _)| key).collect(), user })
    }

    async fn write(&self, client: &Client) -> Result<(), Rejection> {
        for claim in &self.claims {
            let mut tries = 0;
            loop {
                tries += 1;
                match self.write_claim(client, claim).await {
                    Err(Failure::Write(kube::Error::Api(status))) if status.code == 409 && tries < TRIES => {}
                    Err(Failure::Write(error)) => {
                        return Err(Rejection::not_now(format!("binding resource claim {}: {error}", claim.key)));
                    }
                    Err(Failure::Moot(why)) => return Err(Rejection::not_now(why)),
                    Ok(()) => break,
                }
            }
        }
        Ok(())
    }

    /// Writes what a claim has, and that the pod uses it, on condition that it is as it was read.
    async fn write_claim(&self, client: &Client, claim: &Claim) -> Result<(), Failure> {
        let claims: Api<ResourceClaim> = Api::namespaced(client.clone(), &claim.key.namespace);
        let parameters = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
        let name = &claim.key.name;
        let live = claims.get_opt(name).await?.filter(|live| live.metadata.uid == claim.object.metadata.uid);
        let mut live = live.ok_or_else(|| Failure::Moot(format!("resourceclaim {name:?} not found")))?;
        let Some(allocation) = claim.allocation.as_deref() else { return Ok(()) };
        let written = live.status.as_ref().and_then(|status| status.allocation.as_ref());
        if written.is_some_and(|written| !device_ids(written).eq(device_ids(allocation))) {
            return Err(Failure::Moot(format!("resourceclaim {name:?} got other devices")));
        }
        if written.is_none() && !is_protected(&live.metadata) {
            let others = live.metadata.finalizers.iter().flatten().map(String::as_str);
            let finalizers: Vec<&str> = others.chain([FINALIZER]).collect();
            let patch =
                json!({"metadata": {"resourceVersion": live.metadata.resource_version, "finalizers": finalizers}});
            live = claims.patch(name, &parameters, &Patch::Merge(patch)).await?;
        }
        let status = live.status.get_or_insert_default();
        let users = status.reserved_for.get_or_insert_default();
        let uses = users.iter().any(|user| user.uid == self.user.uid);
        if uses && status.allocation.is_some() {
            return Ok(());
        }
        if !uses && users.len() >= MAX_USERS {
            return Err(Failure::Moot(IN_USE.to_owned()));
        }
        if !uses {
            users.push(self.user.clone());
        }
        status.allocation.get_or_insert_with(|| allocation.clone());
        let patch = json!({
            "metadata": {"uid": live.metadata.uid, "resourceVersion": live.metadata.resource_version},
            "status": {"allocation": status.allocation, "reservedFor": status.reserved_for},
        });
        // Nobody is to be given the same before the informer shows it.
        self.devices.written(claims.patch_status(name, &parameters, &Patch::Merge(patch)).await?);
        Ok(())
    }
}

fn is_protected(metadata: &ObjectMeta) -> bool {
    metadata.finalizers.iter().flatten().any(|own| own == FINALIZER)
}

/// Why a claim was not written.
enum Failure {
    /// The server did not do it.
    Write(kube::Error),
    /// It is not to be done any more.
    Moot(String),
}

impl From<kube::Error> for Failure {
    fn from(error: kube::Error) -> Self {
        Self::Write(error)
    }
}

impl Reservation for Promised {
    fn pre_bind(&self) -> Waiting<'_> {
        Box::pin(async {
            match self.devices.client() {
                Some(client) => self.write(client).await,
                None => Ok(()),
            }
        })
    }

    // That the pod uses its claims stays written: it is tried again, and when it goes, they are free.
    fn release(&self) {}
}

impl Drop for Promised {
    fn drop(&mut self) {
        self.devices.forget(&self.given);
    }
}
