//! Pods stay for five minutes on a node that is not ready or cannot be reached, unless they say otherwise.

use api_types::{Object, StatusError, core};
use futures::future::BoxFuture;

use super::{Attributes, Plugin};

pub(super) struct DefaultTolerationSeconds;

const TAINTS: [&str; 2] = ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"];
const EFFECT: &str = "NoExecute";
/// Upstream's `--default-not-ready-toleration-seconds`.
const SECONDS: i64 = 300;

impl Plugin for DefaultTolerationSeconds {
    fn name(&self) -> &'static str {
        "DefaultTolerationSeconds"
    }

    fn admit<'a>(
        &'a self,
        attributes: &'a Attributes<'a>,
        object: &'a mut dyn Object,
    ) -> BoxFuture<'a, Result<(), StatusError>> {
        if attributes.creates_pod()
            && let Some(spec) = object.downcast_mut::<core::Pod>().and_then(|pod| pod.spec.as_mut())
        {
            add_tolerations(spec);
        }
        Box::pin(async { Ok(()) })
    }
}

fn add_tolerations(spec: &mut core::PodSpec) {
    let present = spec.tolerations.clone().unwrap_or_default();
    let missing = TAINTS.into_iter().filter(|taint| !present.iter().any(|toleration| covers(toleration, taint)));
    let added: Vec<_> = missing.map(tolerate).collect();
    if !added.is_empty() {
        spec.tolerations.get_or_insert_default().extend(added);
    }
}

fn covers(toleration: &core::Toleration, taint: &str) -> bool {
    let key = toleration.key.as_deref().unwrap_or_default();
    let effect = toleration.effect.as_deref().unwrap_or_default();
    (key.is_empty() || key == taint) && (effect.is_empty() || effect == EFFECT)
}

fn tolerate(taint: &str) -> core::Toleration {
    core::Toleration {
        key: Some(taint.into()),
        operator: Some("Exists".into()),
        effect: Some(EFFECT.into()),
        toleration_seconds: Some(SECONDS),
        ..core::Toleration::default()
    }
}
