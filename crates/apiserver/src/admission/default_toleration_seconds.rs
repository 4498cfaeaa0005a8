//! Pods stay for five minutes on a node that is not ready or cannot be reached, unless they say otherwise.

use api_types::{
    StatusError,
    core::{Pod, PodSpec, Toleration},
    rows,
};
use futures::future::BoxFuture;

use serde::Deserialize;
use serde_json::Value;

use super::Make;
use crate::registry::{Review, admission::Plugin};

const EFFECT: &str = "NoExecute";

/// How long, in seconds.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct DefaultTolerationSeconds {
    not_ready: i64,
    unreachable: i64,
}

/// Five minutes.
impl Default for DefaultTolerationSeconds {
    fn default() -> Self {
        Self { not_ready: 300, unreachable: 300 }
    }
}

/// The plugin as its flags have it.
pub(super) fn configured(configuration: Option<&Value>) -> Result<Make, String> {
    let plugin = configuration.map(DefaultTolerationSeconds::deserialize).transpose();
    let plugin = plugin.map_err(|error| error.to_string())?.unwrap_or_default();
    Ok(Box::new(move |_| Box::new(plugin)))
}

impl Plugin for DefaultTolerationSeconds {
    fn concerns(&self, review: &Review<'_>) -> bool {
        review.door.writes(&rows::PODS)
    }

    fn admit<'a>(&'a self, review: &'a mut Review<'_>) -> BoxFuture<'a, Result<(), StatusError>> {
        let result = review.expect_mut::<Pod>("Pod").map(|pod| {
            if let Some(spec) = &mut pod.spec {
                self.add_tolerations(spec);
            }
        });
        Box::pin(async move { Ok(result?) })
    }
}

impl DefaultTolerationSeconds {
    fn add_tolerations(&self, spec: &mut PodSpec) {
        let taints =
            [("node.kubernetes.io/not-ready", self.not_ready), ("node.kubernetes.io/unreachable", self.unreachable)];
        let present = spec.tolerations.as_deref().unwrap_or_default();
        let missing = taints.into_iter().filter(|(key, _)| !present.iter().any(|toleration| covers(toleration, key)));
        let added: Vec<_> = missing.map(|(key, seconds)| tolerate(key, seconds)).collect();
        if !added.is_empty() {
            spec.tolerations.get_or_insert_default().extend(added);
        }
    }
}

fn covers(toleration: &Toleration, taint: &str) -> bool {
    let key = toleration.key.as_deref().unwrap_or_default();
    let effect = toleration.effect.as_deref().unwrap_or_default();
    (key.is_empty() || key == taint) && (effect.is_empty() || effect == EFFECT)
}

fn tolerate(taint: &str, seconds: i64) -> Toleration {
    Toleration {
        key: Some(taint.into()),
        operator: Some("Exists".into()),
        effect: Some(EFFECT.into()),
        toleration_seconds: Some(seconds),
        ..Toleration::default()
    }
}
