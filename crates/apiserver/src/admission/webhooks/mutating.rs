//! `MutatingAdmissionWebhook`: webhooks that may change what is to be stored, one after the other.

use std::{sync::Arc, time::Instant};

use api_types::{StatusError, admissionregistration::MutatingWebhookConfiguration, rows};
use futures::future::BoxFuture;
use serde_json::json;

use super::{
    Asked,
    answer::{Answer, Side},
    call::Failed,
    hook::{Configuration, Hook},
    in_order,
};
use crate::{
    admission::dynamic::{Asking, Followed, Namespaces, Version, Versions, is_exempt},
    patch::Patch,
    registry::{
        Registry, Review,
        admission::{Handle, Memory, Plugin},
        following::Mirrored,
    },
};

/// The name under which it remembers.
const NAME: &str = "MutatingAdmissionWebhook";
const MUTATED: &str = "mutation.webhook.admission.k8s.io/";
const PATCHED: &str = "patch.webhook.admission.k8s.io/";

/// Asks webhooks, and changes the object as they say.
pub(in crate::admission) struct MutatingWebhooks {
    handle: Handle,
    hooks: Followed<Configuration>,
    asked: Asked,
}

impl MutatingWebhooks {
    pub(in crate::admission) fn new(handle: &Handle) -> Self {
        let own = handle.clone();
        let read = move |name: &str, json: &[u8], before: Option<&Configuration>| {
            Configuration::read::<MutatingWebhookConfiguration>(&own, name, json, before)
        };
        let hooks = Followed::new(handle, &rows::MUTATING_WEBHOOK_CONFIGURATIONS, Box::new(read));
        Self { handle: handle.clone(), hooks, asked: Asked { namespaces: Namespaces::new(handle) } }
    }

    async fn ask_all(&self, review: &mut Review<'_>, memory: &mut Memory) -> Result<(), StatusError> {
        let all = self.hooks.all(review).await?;
        let registry = self.handle.registry()?;
        let asking = Arc::new(Asking::of(review.user()));
        let mut versions = Versions::default();
        for (index, hook) in in_order(&all) {
            let matched = self.asked.matched(hook, review, &registry, &asking, &mut versions).await?;
            let Some(version) = matched else { continue };
            if review.rounds.is_again() && !memory.is_due(&hook.id) {
                continue;
            }
            let changed = Turn { hook, index, version, registry: &registry }.take(review).await;
            if matches!(changed, Ok(true)) {
                memory.changed();
                review.rounds.want_again();
                versions.forget();
            }
            if hook.reinvoked {
                memory.asked(hook.id.clone());
            }
            changed?;
        }
        Ok(())
    }
}

impl Plugin for MutatingWebhooks {
    fn mirrored(&self) -> Vec<Mirrored> {
        vec![self.hooks.mirrored()]
    }

    fn concerns(&self, review: &Review<'_>) -> bool {
        !is_exempt(review) && !self.hooks.is_empty()
    }

    fn admit<'a>(&'a self, review: &'a mut Review<'_>) -> BoxFuture<'a, Result<(), StatusError>> {
        Box::pin(async move {
            let mut memory = review.rounds.take(NAME);
            if review.rounds.is_again() {
                memory.compare(review.json());
            }
            let asked = self.ask_all(review, &mut memory).await;
            memory.done(review.json().cloned());
            review.rounds.keep(NAME, memory);
            asked
        })
    }
}

/// One webhook is asked once.
struct Turn<'t> {
    hook: &'t Hook,
    /// Which of all it is.
    index: usize,
    version: Arc<Version>,
    registry: &'t Registry,
}

impl Turn<'_> {
    /// Tells whether the object was changed.
    async fn take(&self, review: &mut Review<'_>) -> Result<bool, StatusError> {
        let Self { hook, index, .. } = self;
        let place = format!("round_{}_index_{index}", u8::from(review.rounds.is_again()));
        let begun = Instant::now();
        let changed = match hook.ask(review, &self.version, Side::Mutating).await {
            Ok(answer) => self.apply(review, &answer, &place).await,
            Err(Failed::Refused(error)) => Err(error),
            Err(Failed::Calling(why)) => match hook.failure(&why, begun.elapsed()) {
                Some(error) => Err(error),
                None => {
                    review.annotate(&format!("failed-open.{MUTATED}{place}"), &hook.name);
                    Ok(false)
                }
            },
        };
        let mutated = matches!(changed, Ok(true));
        let noted = json!({"configuration": hook.configuration, "webhook": hook.name, "mutated": mutated});
        review.annotate(&format!("{MUTATED}{place}"), &noted.to_string());
        changed
    }

    async fn apply(&self, review: &mut Review<'_>, answer: &Answer, place: &str) -> Result<bool, StatusError> {
        let hook = self.hook;
        if answer.patch.is_empty() {
            return Ok(false);
        }
        let patch = match Patch::json(&answer.patch) {
            Ok(patch) => patch,
            Err(error) => {
                let why = format!(
                    "failed calling webhook {:?}: received undecodable patch in webhook response: {error}",
                    hook.name
                );
                return hook.failure(&why, std::time::Duration::ZERO).map_or(Ok(false), Err);
            }
        };
        if matches!(&patch, Patch::Json(operations) if operations.is_empty()) {
            return Ok(false);
        }
        if review.get().is_none() {
            return Err(StatusError::internal(format!(
                "admission webhook {:?} attempted to modify the object, which is not supported for this operation",
                hook.name
            )));
        }
        let before = review.json().cloned();
        let schema = self.version.schema(review.door.row);
        let patched = patch.apply(self.version.tree().clone(), schema).map_err(StatusError::internal)?;
        self.version.replace(review, self.registry, patched.to_string().as_bytes()).await?;
        if review.notes_objects() {
            let operations: serde_json::Value = serde_json::from_slice(&answer.patch).unwrap_or_default();
            let noted = json!({
                "configuration": hook.configuration, "webhook": hook.name, "patch": operations, "patchType": "JSONPatch",
            });
            review.annotate(&format!("{PATCHED}{place}"), &noted.to_string());
        }
        Ok(review.json() != before.as_ref())
    }
}
