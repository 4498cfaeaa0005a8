//! `ValidatingAdmissionWebhook`: webhooks that may refuse, all asked at once.

use std::{sync::Arc, time::Instant};

use api_types::{StatusError, admissionregistration::ValidatingWebhookConfiguration, rows};
use futures::future::{BoxFuture, join_all};

use super::{
    Asked,
    answer::Side,
    call::Failed,
    hook::{Configuration, Hook},
    in_order,
};
use crate::{
    admission::dynamic::{Asking, Followed, Namespaces, Version, Versions, is_exempt},
    registry::{
        Review,
        admission::{Handle, Plugin},
        following::Mirrored,
    },
};

/// Asks webhooks whether something may be stored.
pub(in crate::admission) struct ValidatingWebhooks {
    handle: Handle,
    hooks: Followed<Configuration>,
    asked: Asked,
}

impl ValidatingWebhooks {
    pub(in crate::admission) fn new(handle: &Handle) -> Self {
        let own = handle.clone();
        let read = move |name: &str, json: &[u8], before: Option<&Configuration>| {
            Configuration::read::<ValidatingWebhookConfiguration>(&own, name, json, before)
        };
        let hooks = Followed::new(handle, &rows::VALIDATING_WEBHOOK_CONFIGURATIONS, Box::new(read));
        Self { handle: handle.clone(), hooks, asked: Asked { namespaces: Namespaces::new(handle) } }
    }

    async fn ask_all(&self, review: &Review<'_>) -> Result<(), StatusError> {
        let all = self.hooks.all(review).await?;
        let registry = self.handle.registry()?;
        let asking = Arc::new(Asking::of(review.user()));
        let mut versions = Versions::default();
        let mut matched = Vec::new();
        for (index, hook) in in_order(&all) {
            if let Some(version) = self.asked.matched(hook, review, &registry, &asking, &mut versions).await? {
                matched.push((index, hook, version));
            }
        }
        let answers = join_all(matched.iter().map(|(index, hook, version)| ask(hook, *index, review, version))).await;
        answers.into_iter().collect()
    }
}

impl Plugin for ValidatingWebhooks {
    fn mirrored(&self) -> Vec<Mirrored> {
        vec![self.hooks.mirrored()]
    }

    fn concerns(&self, review: &Review<'_>) -> bool {
        !is_exempt(review) && !self.hooks.is_empty()
    }

    fn validate<'a>(&'a self, review: &'a Review<'_>) -> BoxFuture<'a, Result<(), StatusError>> {
        Box::pin(self.ask_all(review))
    }
}

async fn ask(hook: &Hook, index: usize, review: &Review<'_>, version: &Version) -> Result<(), StatusError> {
    let begun = Instant::now();
    match hook.ask(review, version, Side::Validating).await {
        Ok(_) => Ok(()),
        Err(Failed::Refused(error)) => Err(error),
        Err(Failed::Calling(why)) => match hook.failure(&why, begun.elapsed()) {
            Some(error) => Err(error),
            None => {
                let key = format!("failed-open.validating.webhook.admission.k8s.io/round_0_index_{index}");
                review.annotate(&key, &hook.name);
                Ok(())
            }
        },
    }
}
