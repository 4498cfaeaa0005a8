//! Volumes and claims are not gone before those who use them: a finalizer sees to that, which controllers take away.

use api_types::{Object, StatusError, core::PersistentVolume, core::PersistentVolumeClaim, rows};
use futures::future::BoxFuture;

use crate::registry::{Review, admission::Plugin};

const CLAIM: &str = "kubernetes.io/pvc-protection";
const VOLUME: &str = "kubernetes.io/pv-protection";

pub(super) struct StorageObjectInUseProtection;

impl Plugin for StorageObjectInUseProtection {
    fn concerns(&self, review: &Review<'_>) -> bool {
        review.door.creates(&rows::PERSISTENT_VOLUME_CLAIMS) || review.door.creates(&rows::PERSISTENT_VOLUMES)
    }

    fn admit<'a>(&'a self, review: &'a mut Review<'_>) -> BoxFuture<'a, Result<(), StatusError>> {
        let result = if review.door.row.is(&rows::PERSISTENT_VOLUMES) {
            review.expect_mut::<PersistentVolume>("PersistentVolume").map(|volume| protect(volume, VOLUME))
        } else {
            review.expect_mut::<PersistentVolumeClaim>("PersistentVolumeClaim").map(|claim| protect(claim, CLAIM))
        };
        Box::pin(async move { Ok(result?) })
    }
}

fn protect(object: &mut dyn Object, finalizer: &str) {
    let finalizers = object.meta_mut().finalizers.get_or_insert_default();
    if !finalizers.iter().any(|own| own == finalizer) {
        finalizers.push(finalizer.to_owned());
    }
}
