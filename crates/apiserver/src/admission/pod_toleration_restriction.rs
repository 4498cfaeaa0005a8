//! A namespace says what its pods tolerate besides what they say, and what they may tolerate at most, in annotations; or
//! else a file says it for all.

use api_types::{
    StatusError,
    core::{Namespace, Pod, Toleration},
    pod::qos::QosClass,
    rows,
};
use futures::future::BoxFuture;
use serde::Deserialize;
use serde_json::Value;

use super::{
    Make,
    tolerations::{covers, merge},
    view::View,
};
use crate::registry::{
    Review,
    admission::{Handle, Plugin},
};

const DEFAULTS: &str = "scheduler.alpha.kubernetes.io/defaultTolerations";
const ALLOWED: &str = "scheduler.alpha.kubernetes.io/tolerationsWhitelist";
const GROUP: &str = "podtolerationrestriction.admission.k8s.io/";

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct File {
    api_version: String,
    #[serde(rename = "kind")]
    _kind: String,
    default: Vec<Toleration>,
    whitelist: Vec<Toleration>,
}

pub(super) struct PodTolerationRestriction {
    namespaces: View<Namespace>,
    defaults: Vec<Toleration>,
    allowed: Vec<Toleration>,
}

/// The plugin as its configuration has it.
pub(super) fn configured(configuration: Option<&Value>) -> Result<Make, String> {
    let file = configuration.map(File::deserialize).transpose().map_err(|error| error.to_string())?;
    if let Some(version) = file.as_ref().map(|file| &file.api_version).filter(|version| !version.starts_with(GROUP)) {
        return Err(format!("no kind is registered for version {version:?}"));
    }
    let File { default, whitelist, .. } = file.unwrap_or_default();
    Ok(Box::new(|registry: Handle| {
        let namespaces = View::new(&registry, &rows::NAMESPACES);
        Box::new(PodTolerationRestriction { namespaces, defaults: default, allowed: whitelist })
    }))
}

impl PodTolerationRestriction {
    /// What a namespace says in an annotation, if it does.
    async fn said(&self, review: &Review<'_>, annotation: &str) -> Result<Option<Vec<Toleration>>, StatusError> {
        let name = review.door.target.namespace;
        let namespace = self.namespaces.get("", name).await?;
        let Some(namespace) = namespace else {
            return Err(StatusError::not_found((&rows::NAMESPACES).into(), name));
        };
        let text = namespace.metadata.annotations.as_ref().and_then(|all| all.get(annotation));
        let read = |text: &String| serde_json::from_str(text).map_err(|error| review.forbidden(&error.to_string()));
        text.filter(|text| !text.is_empty()).map(read).transpose()
    }
}

impl Plugin for PodTolerationRestriction {
    fn concerns(&self, review: &Review<'_>) -> bool {
        review.door.writes(&rows::PODS)
    }

    fn admit<'a>(&'a self, review: &'a mut Review<'_>) -> BoxFuture<'a, Result<(), StatusError>> {
        Box::pin(async move {
            if review.old().is_some() {
                return Ok(());
            }
            let defaults = self.said(review, DEFAULTS).await?.unwrap_or_else(|| self.defaults.clone());
            let pod = review.expect_mut::<Pod>("Pod")?;
            let merged = with_defaults(pod, &defaults);
            merged.map_err(|why| review.forbidden(&why))
        })
    }

    fn validate<'a>(&'a self, review: &'a Review<'_>) -> BoxFuture<'a, Result<(), StatusError>> {
        Box::pin(async move {
            let pod = review.expect::<Pod>("Pod")?;
            let own = pod.spec.as_ref().and_then(|spec| spec.tolerations.as_deref()).unwrap_or_default();
            let (allowed, whose) = match self.said(review, ALLOWED).await? {
                Some(allowed) => (allowed, "namespace"),
                None => (self.allowed.clone(), "cluster"),
            };
            if allowed.is_empty() || own.iter().all(|one| allowed.iter().any(|wide| covers(wide, one))) {
                return Ok(());
            }
            let merged = "pod tolerations (possibly merged with namespace default tolerations)";
            Err(review.forbidden(&format!("{merged} conflict with its {whose} whitelist")))
        })
    }
}

/// Adds what all have, and what those have who ask for resources: they stay where memory is short.
fn with_defaults(pod: &mut Pod, defaults: &[Toleration]) -> Result<(), String> {
    let pressed = QosClass::of(pod) != QosClass::BestEffort;
    let spec = pod.spec.get_or_insert_default();
    let mut tolerations = spec.tolerations.take().unwrap_or_default();
    if !defaults.is_empty() {
        tolerations = merge(defaults, &tolerations)?;
    }
    if pressed {
        tolerations = merge(&tolerations, &[under_pressure()])?;
    }
    spec.tolerations = Some(tolerations).filter(|tolerations| !tolerations.is_empty());
    Ok(())
}

fn under_pressure() -> Toleration {
    Toleration {
        key: Some("node.kubernetes.io/memory-pressure".into()),
        operator: Some("Exists".into()),
        effect: Some("NoSchedule".into()),
        ..Toleration::default()
    }
}
