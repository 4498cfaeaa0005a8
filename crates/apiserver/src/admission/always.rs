//! Plugins that do not ask: one refuses everything, one has every image asked for anew.

use std::collections::HashSet;

use api_types::{
    StatusError,
    core::{Pod, PodSpec},
    field::{FieldError, Path},
    rows,
};
use futures::future::BoxFuture;

use super::errors::aggregate;
use crate::{
    registry::own::loopback_user,
    registry::{Review, admission::Plugin},
};

const ALWAYS: &str = "Always";

/// Refuses everything but what the server needs to start.
pub(super) struct AlwaysDeny;

impl Plugin for AlwaysDeny {
    fn concerns(&self, review: &Review<'_>) -> bool {
        review.user().name != loopback_user().name
    }

    fn validate<'a>(&'a self, review: &'a Review<'_>) -> BoxFuture<'a, Result<(), StatusError>> {
        let refusal = review.forbidden("admission control is denying all modifications");
        Box::pin(async move { Err(refusal) })
    }
}

/// Who may not pull an image may not use one that somebody else has pulled.
pub(super) struct AlwaysPullImages;

impl Plugin for AlwaysPullImages {
    fn concerns(&self, review: &Review<'_>) -> bool {
        review.door.writes(&rows::PODS)
    }

    fn admit<'a>(&'a self, review: &'a mut Review<'_>) -> BoxFuture<'a, Result<(), StatusError>> {
        let old = review.old().and_then(|old| old.downcast_ref::<Pod>());
        let result = review.expect_mut::<Pod>("Pod").map(|pod| {
            if !has_same_images(pod, old) {
                policies(pod.spec.get_or_insert_default()).for_each(|policy| *policy = Some(ALWAYS.into()));
            }
        });
        Box::pin(async move { Ok(result?) })
    }

    fn validate<'a>(&'a self, review: &'a Review<'_>) -> BoxFuture<'a, Result<(), StatusError>> {
        Box::pin(async move {
            let pod = review.expect::<Pod>("Pod")?;
            let old = review.old().and_then(|old| old.downcast_ref::<Pod>());
            let Some(spec) = pod.spec.as_ref().filter(|_| !has_same_images(pod, old)) else { return Ok(()) };
            let faults: Vec<String> = faults(spec).iter().map(ToString::to_string).collect();
            if faults.is_empty() { Ok(()) } else { Err(review.forbidden(&aggregate(&faults))) }
        })
    }
}

fn policies(spec: &mut PodSpec) -> impl Iterator<Item = &mut Option<String>> {
    let init = spec.init_containers.iter_mut().flatten().map(|own| &mut own.image_pull_policy);
    let ephemeral = spec.ephemeral_containers.iter_mut().flatten().map(|own| &mut own.image_pull_policy);
    let volumes = spec.volumes.iter_mut().flatten().filter_map(|volume| volume.image.as_mut());
    let own = spec.containers.iter_mut().map(|own| &mut own.image_pull_policy);
    init.chain(own).chain(ephemeral).chain(volumes.map(|image| &mut image.pull_policy))
}

fn faults(spec: &PodSpec) -> Vec<FieldError> {
    let path = Path::new("spec");
    let wrong = |path: Path, policy: &Option<String>| {
        (policy.as_deref() != Some(ALWAYS)).then(|| {
            let policy = policy.clone().unwrap_or_default();
            FieldError::not_supported(&path.child("imagePullPolicy"), policy.as_str(), &[ALWAYS])
        })
    };
    let init = spec.init_containers.iter().flatten().enumerate();
    let init = init.filter_map(|(i, own)| wrong(path.child("initContainers").index(i), &own.image_pull_policy));
    let own = spec.containers.iter().enumerate();
    let own = own.filter_map(|(i, own)| wrong(path.child("containers").index(i), &own.image_pull_policy));
    let ephemeral = spec.ephemeral_containers.iter().flatten().enumerate();
    let ephemeral =
        ephemeral.filter_map(|(i, own)| wrong(path.child("ephemeralContainers").index(i), &own.image_pull_policy));
    init.chain(own).chain(ephemeral).collect()
}

/// Whether an update brings no image that was not there.
fn has_same_images(new: &Pod, old: Option<&Pod>) -> bool {
    let images = |pod: &Pod| -> Vec<String> {
        let Some(spec) = &pod.spec else { return Vec::new() };
        let own = spec.containers.iter().chain(spec.init_containers.iter().flatten()).map(|own| own.image.clone());
        let ephemeral = spec.ephemeral_containers.iter().flatten().map(|own| own.image.clone());
        own.chain(ephemeral).flatten().collect()
    };
    old.is_some_and(|old| {
        let before: HashSet<String> = images(old).into_iter().collect();
        images(new).iter().all(|image| before.contains(image))
    })
}
