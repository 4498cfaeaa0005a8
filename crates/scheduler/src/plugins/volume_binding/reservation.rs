//! Volumes that are promised to a pod, until they are bound.

use std::{sync::Arc, time::Duration};

use api_types::core::PersistentVolumeClaim;
use component::{
    api::Api,
    informer::ObjectKey,
    volumes::{SELECTED_NODE, Volume, annotation, is_fully_bound, set_aside},
};
use kube::{
    Client,
    api::{Patch, PatchParams},
};
use serde_json::json;

use super::place::{Place, keys};
use crate::{
    framework::{Rejection, Reservation, Waiting},
    storage::Storage,
};

/// The name that managed fields carry.
const FIELD_MANAGER: &str = "kube-scheduler";

/// See the module.
pub(super) struct Promised {
    storage: Arc<Storage>,
    place: Place,
    node: Arc<str>,
    patience: Duration,
    volumes: Vec<Arc<str>>,
    claims: Vec<ObjectKey>,
}

impl Promised {
    /// Promises what the place has; `None` when somebody else was promised some of it.
    pub(super) fn new(storage: Arc<Storage>, place: Place, node: Arc<str>, patience: Duration) -> Option<Self> {
        let volumes: Vec<Arc<str>> = place.taken.iter().map(|(volume, _)| volume.name().into()).collect();
        let claims = keys(&place.made);
        let given = storage.promise(&volumes, &claims, &node);
        given.then_some(Self { storage, place, node, patience, volumes, claims })
    }

    /// Writes what is promised: whose a volume is, and where one is to be made.
    async fn write(&self, client: &Client) -> Result<(), kube::Error> {
        let parameters = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
        let volumes: Api<Volume> = Api::all(client.clone());
        for (volume, claim) in &self.place.taken {
            if let Some(patch) = set_aside(volume, claim) {
                volumes.patch(volume.name(), &parameters, &Patch::Merge(patch)).await?;
            }
        }
        for claim in &self.place.made {
            if annotation(&claim.metadata, SELECTED_NODE) == Some(&*self.node) {
                continue;
            }
            let key = ObjectKey::of(&**claim);
            let claims: Api<PersistentVolumeClaim> = Api::namespaced(client.clone(), &key.namespace);
            let metadata = json!({
                "uid": claim.metadata.uid, "resourceVersion": claim.metadata.resource_version,
                "annotations": {SELECTED_NODE: &*self.node},
            });
            claims.patch(&key.name, &parameters, &Patch::Merge(json!({"metadata": metadata}))).await?;
        }
        Ok(())
    }

    /// Waits until every claim has its volume.
    async fn bound(&self) -> Result<(), Rejection> {
        let mut changes = self.storage.changes();
        // What was just written may not be shown yet: only then does it mean something that it is not there.
        let mut shown = vec![false; self.place.made.len()];
        loop {
            changes.mark_unchanged();
            if self.are_bound(&mut shown)? {
                return Ok(());
            }
            // The storage lives as long as the scheduler.
            let _ = changes.changed().await;
        }
    }

    fn are_bound(&self, shown: &mut [bool]) -> Result<bool, Rejection> {
        let mut all = true;
        for (_, claim) in &self.place.taken {
            all &= is_fully_bound(&*self.live(claim)?);
        }
        for (claim, shown) in self.place.made.iter().zip(shown) {
            let live = self.live(claim)?;
            let bound = is_fully_bound(&live);
            let chosen = annotation(&live.metadata, SELECTED_NODE) == Some(&*self.node);
            if *shown && !chosen && !bound {
                let name = live.metadata.name.as_deref().unwrap_or_default();
                return Err(Rejection::not_now(format!(
                    "binding volumes: selectedNode annotation reset for PVC {name:?}"
                )));
            }
            *shown |= chosen;
            all &= bound;
        }
        Ok(all)
    }

    /// A claim as it is now.
    fn live(&self, claim: &PersistentVolumeClaim) -> Result<Arc<PersistentVolumeClaim>, Rejection> {
        let live = self.storage.claim(&ObjectKey::of(claim)).filter(|live| live.metadata.uid == claim.metadata.uid);
        let name = claim.metadata.name.as_deref().unwrap_or_default();
        live.ok_or_else(|| Rejection::not_now(format!("binding volumes: persistentvolumeclaim {name:?} not found")))
    }
}

impl Reservation for Promised {
    fn pre_bind(&self) -> Waiting<'_> {
        Box::pin(async {
            if let Some(client) = self.storage.client() {
                let written = self.write(client).await;
                written.map_err(|error| Rejection::not_now(format!("binding volumes: {error}")))?;
            }
            let bound = tokio::time::timeout(self.patience, self.bound()).await;
            bound.unwrap_or_else(|_| Err(Rejection::not_now("binding volumes: context deadline exceeded")))
        })
    }

    fn release(&self) {}
}

impl Drop for Promised {
    fn drop(&mut self) {
        // What is written is shown by now, or whoever reads what is not written refuses.
        self.storage.forget(&self.volumes, &self.claims);
    }
}
