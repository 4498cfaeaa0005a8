//! Who asks for a device tolerates the taint that keeps its nodes for those who do.

use std::collections::BTreeSet;

use api_types::{
    StatusError,
    core::{Pod, Toleration},
    rows,
};
use futures::future::BoxFuture;

use crate::registry::{Review, admission::Plugin};

const EFFECT: &str = "NoSchedule";

pub(super) struct ExtendedResourceToleration;

impl Plugin for ExtendedResourceToleration {
    fn concerns(&self, review: &Review<'_>) -> bool {
        review.door.writes(&rows::PODS)
    }

    fn admit<'a>(&'a self, review: &'a mut Review<'_>) -> BoxFuture<'a, Result<(), StatusError>> {
        let result = review.expect_mut::<Pod>("Pod").map(tolerate);
        Box::pin(async move { Ok(result?) })
    }
}

fn tolerate(pod: &mut Pod) {
    let Some(spec) = &mut pod.spec else { return };
    let containers = spec.containers.iter().chain(spec.init_containers.iter().flatten());
    let requests = containers.filter_map(|container| container.resources.as_ref()?.requests.as_ref()).flatten();
    let extended: BTreeSet<String> = requests.map(|(name, _)| name).filter(|name| is_extended(name)).cloned().collect();
    for name in extended {
        let wanted = Toleration {
            key: Some(name),
            operator: Some("Exists".into()),
            effect: Some(EFFECT.into()),
            ..Toleration::default()
        };
        let own = spec.tolerations.get_or_insert_default();
        if !own.contains(&wanted) {
            own.push(wanted);
        }
    }
}

/// Whether a cluster has brought a resource itself.
fn is_extended(name: &str) -> bool {
    name.contains('/') && !name.contains("kubernetes.io/") && !name.starts_with("requests.")
}
