//! `ValidatingAdmissionPolicy`: policies that may refuse.

use std::{collections::BTreeMap, sync::Arc};

use api_types::{StatusError, meta, rows};
use futures::future::BoxFuture;
use serde_json::{Value, json};

use super::{
    Invocation, Policies, Seen, applies,
    binding::Binding,
    policy::Policy,
    validation::{Judgement, Objection, Validations},
};
use crate::{
    admission::dynamic::{Asking, Followed, Namespaces, Versions, is_exempt},
    registry::{
        Registry, Review,
        admission::{Handle, Plugin},
        following::Mirrored,
    },
};

const FAILURES: &str = "validation.policy.admission.k8s.io/validation_failure";
/// The longest value that is noted, in bytes; upstream's.
const ANNOTATION_MAX: usize = 10 << 10;

/// Has policies judge what would be stored.
pub(in crate::admission) struct ValidatingPolicies(Policies<Validations>);

/// Who refuses, and why.
struct Denial {
    policy: String,
    binding: Option<String>,
    message: String,
    reason: Option<String>,
}

/// What all policies together have to say.
#[derive(Default)]
struct Verdict {
    denials: Vec<Denial>,
    /// For the reader of the audit log, by policy and key.
    annotations: BTreeMap<String, Vec<String>>,
    /// What was objected to and is to be noted.
    failures: Vec<Value>,
}

impl ValidatingPolicies {
    pub(in crate::admission) fn new(handle: &Handle) -> Self {
        Self(Policies {
            handle: handle.clone(),
            policies: Followed::new(handle, &rows::VALIDATING_ADMISSION_POLICIES, Box::new(Policy::validating)),
            bindings: Followed::new(handle, &rows::VALIDATING_ADMISSION_POLICY_BINDINGS, Box::new(Binding::validating)),
            namespaces: Namespaces::new(handle),
        })
    }

    async fn judge(&self, review: &Review<'_>) -> Result<(), StatusError> {
        let registry = self.0.handle.registry()?;
        let applicable = self.0.applicable(review, &registry).await?;
        let mut verdict = Verdict::default();
        for wrong in applicable.misconfigured.iter().filter(|wrong| wrong.policy.shared.fails_closed) {
            verdict.denials.push(Denial {
                policy: wrong.policy.name.clone(),
                binding: wrong.binding.as_ref().map(|binding| binding.name.clone()),
                message: wrong.message(),
                reason: None,
            });
        }
        if !applicable.invocations.is_empty() {
            let namespace = self.0.namespaces.shown(review).await?;
            let mut versions = Versions::default();
            let asking = Arc::new(Asking::of(review.user()));
            for invocation in &applicable.invocations {
                let version = versions.of(review, &invocation.matched, &registry).await?;
                let seen = Seen::new(review, &version, &namespace);
                let judgement = evaluate(invocation, &seen, &asking, &registry).await;
                verdict.take(invocation, judgement, review);
            }
        }
        verdict.publish(review)
    }
}

impl Plugin for ValidatingPolicies {
    fn mirrored(&self) -> Vec<Mirrored> {
        self.0.mirrored()
    }

    fn concerns(&self, review: &Review<'_>) -> bool {
        !is_exempt(review) && !self.0.is_empty()
    }

    fn validate<'a>(&'a self, review: &'a Review<'_>) -> BoxFuture<'a, Result<(), StatusError>> {
        Box::pin(self.judge(review))
    }
}

async fn evaluate(
    invocation: &Invocation<Validations>,
    seen: &Seen<'_>,
    asking: &Arc<Asking>,
    registry: &Registry,
) -> Judgement {
    let Invocation { policy, param, .. } = invocation;
    let scope = seen.scope(&policy.shared, param, asking, registry);
    match applies(&policy.shared, &scope).await {
        Ok(true) => policy.body.judge(&scope).await,
        Ok(false) => Judgement::default(),
        Err(message) => {
            let objections = vec![Objection { index: 0, message, reason: None }];
            Judgement { objections, ..Judgement::default() }
        }
    }
}

impl Verdict {
    fn take(&mut self, invocation: &Invocation<Validations>, judgement: Judgement, review: &Review<'_>) {
        let Invocation { policy, binding, .. } = invocation;
        let denial = |message: &str, reason: Option<&String>| Denial {
            policy: policy.name.clone(),
            binding: Some(binding.name.clone()),
            message: message.to_owned(),
            reason: reason.cloned(),
        };
        // What could not be evaluated counts only where that is a failure.
        let counts = |objection: &&Objection| objection.reason.is_some() || policy.shared.fails_closed;
        for objection in judgement.objections.iter().filter(counts) {
            for action in &binding.actions {
                match action.as_str() {
                    "Deny" => self.denials.push(denial(&objection.message, objection.reason.as_ref())),
                    "Warn" => review.warn(format!(
                        "Validation failed for ValidatingAdmissionPolicy '{}' with binding '{}': {}",
                        policy.name, binding.name, objection.message
                    )),
                    "Audit" => self.failures.push(json!({
                        "message": objection.message, "policy": policy.name, "binding": binding.name,
                        "expressionIndex": objection.index, "validationActions": binding.actions,
                    })),
                    _ => {}
                }
            }
        }
        for (key, mut value) in judgement.annotations {
            value.truncate(value.floor_char_boundary(ANNOTATION_MAX));
            let values = self.annotations.entry(format!("{}/{key}", policy.name)).or_default();
            if !values.contains(&value) {
                values.push(value);
            }
        }
        if policy.shared.fails_closed {
            self.denials.extend(judgement.unnoted.iter().map(|why| denial(why, None)));
        }
    }

    fn publish(self, review: &Review<'_>) -> Result<(), StatusError> {
        for (key, values) in &self.annotations {
            review.annotate(key, &values.join(", "));
        }
        if !self.failures.is_empty() {
            review.annotate(FAILURES, &Value::from(self.failures).to_string());
        }
        match self.denials.into_iter().next() {
            Some(denial) => Err(denial.status(review)),
            None => Ok(()),
        }
    }
}

impl Denial {
    fn status(self, review: &Review<'_>) -> StatusError {
        let Self { policy, binding, message, reason } = self;
        let by = binding.map(|binding| format!(" with binding '{binding}'")).unwrap_or_default();
        let message = format!("ValidatingAdmissionPolicy '{policy}'{by} denied request: {message}");
        let reason = reason.unwrap_or_else(|| "Invalid".to_owned());
        let mut status = review.forbidden(&message).status().clone();
        status.code = Some(match reason.as_str() {
            "Unauthorized" => 401,
            "Forbidden" => 403,
            "RequestEntityTooLarge" => 413,
            _ => 422,
        });
        status.reason = Some(reason);
        let cause = meta::StatusCause { message: Some(message), ..meta::StatusCause::default() };
        status.details.get_or_insert_default().causes.get_or_insert_default().push(cause);
        status.into()
    }
}
