//! Other servers are asked about requests: `MutatingAdmissionWebhook` and `ValidatingAdmissionWebhook`.

mod answer;
mod call;
mod hook;
mod mutating;
mod validating;

pub(super) use mutating::MutatingWebhooks;
pub(super) use validating::ValidatingWebhooks;

use std::sync::Arc;

use api_types::StatusError;

use self::hook::{Configuration, Hook};
use super::dynamic::{All, Asking, Composition, Held, Namespaces, Scope, Version, Versions, Visible};
use crate::registry::{Registry, Review};

/// What both kinds know.
struct Asked {
    namespaces: Namespaces,
}

/// All hooks in their order, each with its place: by the names of configurations, then as these have them.
fn in_order(all: &All<Configuration>) -> impl Iterator<Item = (usize, &Arc<Hook>)> {
    all.values().flat_map(|configuration| &configuration.hooks).enumerate()
}

impl Asked {
    /// In which version a hook is to be asked about a request, if it is.
    ///
    /// # Errors
    /// When that cannot be told, and the hook says that this is a failure.
    async fn matched(
        &self,
        hook: &Hook,
        review: &Review<'_>,
        registry: &Registry,
        asking: &Arc<Asking>,
        versions: &mut Versions,
    ) -> Result<Option<Arc<Version>>, StatusError> {
        let criteria = hook.criteria.as_ref().map_err(StatusError::internal)?;
        let Some(matched) = criteria.matches(review, &self.namespaces, registry).await? else { return Ok(None) };
        let version = versions.of(review, &matched, registry).await?;
        if hook.conditions.is_empty() {
            return Ok(Some(version));
        }
        match hold(hook, review, &version, registry, asking).await {
            Held::Yes => Ok(Some(version)),
            Held::Unknown(why) if hook.fails_closed => Err(review.forbidden(&why)),
            Held::No | Held::Unknown(_) => Ok(None),
        }
    }
}

async fn hold(hook: &Hook, review: &Review<'_>, version: &Version, registry: &Registry, asking: &Arc<Asking>) -> Held {
    let visible = Visible {
        object: version.tree(),
        old: version.old_tree(),
        request: version.request(review),
        namespace: &serde_json::Value::Null,
        params: None,
    };
    let none = Composition::default();
    let scope = Scope::new(visible, &none, asking, &**registry.authorizer());
    hook.conditions.hold(&scope).await
}
