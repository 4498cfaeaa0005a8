//! Pods stay for five minutes on a node that is not ready or cannot be reached, unless they say otherwise.

use api_types::{
    StatusError,
    core::{Pod, PodSpec, Toleration},
    rows,
};
use futures::future::BoxFuture;

use crate::registry::{Operation, Review, admission::Plugin};

pub(super) struct DefaultTolerationSeconds;

const TAINTS: [&str; 2] = ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"];
const EFFECT: &str = "NoExecute";
/// Upstream's `--default-not-ready-toleration-seconds`.
const SECONDS: i64 = 300;

impl Plugin for DefaultTolerationSeconds {
    fn concerns(&self, review: &Review<'_>) -> bool {
        let door = &review.door;
        let written = matches!(door.operation, Operation::Create | Operation::Update);
        written && door.subresource.is_empty() && door.row.is(&rows::PODS)
    }

    fn admit<'a>(&'a self, review: &'a mut Review<'_>) -> BoxFuture<'a, Result<(), StatusError>> {
        let result = review.expect_mut::<Pod>("Pod").map(|pod| {
            if let Some(spec) = &mut pod.spec {
                add_tolerations(spec);
            }
        });
        Box::pin(async move { Ok(result?) })
    }
}

fn add_tolerations(spec: &mut PodSpec) {
    let present = spec.tolerations.as_deref().unwrap_or_default();
    let missing = TAINTS.into_iter().filter(|taint| !present.iter().any(|toleration| covers(toleration, taint)));
    let added: Vec<_> = missing.map(tolerate).collect();
    if !added.is_empty() {
        spec.tolerations.get_or_insert_default().extend(added);
    }
}

fn covers(toleration: &Toleration, taint: &str) -> bool {
    let key = toleration.key.as_deref().unwrap_or_default();
    let effect = toleration.effect.as_deref().unwrap_or_default();
    (key.is_empty() || key == taint) && (effect.is_empty() || effect == EFFECT)
}

fn tolerate(taint: &str) -> Toleration {
    Toleration {
        key: Some(taint.into()),
        operator: Some("Exists".into()),
        effect: Some(EFFECT.into()),
        toleration_seconds: Some(SECONDS),
        ..Toleration::default()
    }
}
