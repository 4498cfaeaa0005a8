//! A claim grows only when it is bound and its class lets it.

use api_types::{StatusError, core::PersistentVolumeClaim, quantity::Quantity, rows, storage::StorageClass};
use futures::future::BoxFuture;

use super::view::View;
use crate::registry::{
    Operation, Review,
    admission::{Handle, Plugin},
};

const CLASS_ANNOTATION: &str = "volume.beta.kubernetes.io/storage-class";

pub(super) struct PersistentVolumeClaimResize {
    classes: View<StorageClass>,
}

impl PersistentVolumeClaimResize {
    pub(super) fn new(registry: &Handle) -> Self {
        Self { classes: View::new(registry, &rows::STORAGE_CLASSES) }
    }

    async fn lets_grow(&self, class: &str) -> Result<bool, StatusError> {
        let class = if class.is_empty() { None } else { self.classes.get("", class).await? };
        Ok(class.is_some_and(|class| class.allow_volume_expansion == Some(true)))
    }
}

impl Plugin for PersistentVolumeClaimResize {
    fn concerns(&self, review: &Review<'_>) -> bool {
        review.door.leads_to(&rows::PERSISTENT_VOLUME_CLAIMS, Operation::Update)
    }

    fn validate<'a>(&'a self, review: &'a Review<'_>) -> BoxFuture<'a, Result<(), StatusError>> {
        Box::pin(async move {
            let new = review.expect::<PersistentVolumeClaim>("PersistentVolumeClaim")?;
            let Some(old) = review.old().and_then(|old| old.downcast_ref::<PersistentVolumeClaim>()) else {
                return Ok(());
            };
            if size(new) <= size(old) {
                return Ok(());
            }
            if old.status.as_ref().and_then(|status| status.phase.as_deref()) != Some("Bound") {
                return Err(review.forbidden("only bound persistent volume claims can be expanded"));
            }
            if class(new) == class(old) && self.lets_grow(class(new)).await? {
                return Ok(());
            }
            let why = "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize";
            Err(review.forbidden(why))
        })
    }
}

fn size(claim: &PersistentVolumeClaim) -> Quantity {
    let resources = claim.spec.as_ref().and_then(|spec| spec.resources.as_ref());
    let wire = resources.and_then(|resources| resources.requests.as_ref()?.get("storage"));
    wire.and_then(|wire| Quantity::try_from(wire).ok()).unwrap_or_default()
}

fn class(claim: &PersistentVolumeClaim) -> &str {
    let annotated = claim.metadata.annotations.as_ref().and_then(|all| all.get(CLASS_ANNOTATION));
    let named = claim.spec.as_ref().and_then(|spec| spec.storage_class_name.as_ref());
    annotated.or(named).map(String::as_str).unwrap_or_default()
}
