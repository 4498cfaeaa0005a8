//! `MutatingAdmissionPolicy`: policies that change what is to be stored, one after the other.

use std::sync::Arc;

use api_types::{StatusError, meta, rows};
use futures::future::BoxFuture;
use serde_json::Value;

use super::{
    Invocation, Policies, Seen, applies,
    binding::Binding,
    mutation::{Mutation, Mutations},
    policy::Policy,
};
use crate::{
    admission::dynamic::{Asking, Followed, Namespaces, Versions, is_exempt},
    registry::{
        Registry, Review,
        admission::{Handle, Memory, Plugin},
        following::Mirrored,
    },
};

/// The name under which it remembers.
const NAME: &str = "MutatingAdmissionPolicy";

/// Changes objects as policies say.
pub(in crate::admission) struct MutatingPolicies(Policies<Mutations>);

/// What is wrong with policies that are not to fail.
#[derive(Default)]
struct Failures(Vec<(String, Option<&'static str>)>);

impl MutatingPolicies {
    pub(in crate::admission) fn new(handle: &Handle) -> Self {
        Self(Policies {
            handle: handle.clone(),
            policies: Followed::new(handle, &rows::MUTATING_ADMISSION_POLICIES, Box::new(Policy::mutating)),
            bindings: Followed::new(handle, &rows::MUTATING_ADMISSION_POLICY_BINDINGS, Box::new(Binding::mutating)),
            namespaces: Namespaces::new(handle),
        })
    }

    async fn change(&self, review: &mut Review<'_>, memory: &mut Memory) -> Result<(), StatusError> {
        let registry = self.0.handle.registry()?;
        let applicable = self.0.applicable(review, &registry).await?;
        let mut failures = Failures::default();
        for wrong in applicable.misconfigured.iter().filter(|wrong| wrong.policy.shared.fails_closed) {
            let binding = wrong.binding.as_ref().map(|binding| binding.name.as_str());
            failures.add(&wrong.policy.name, binding, &wrong.message(), None);
        }
        if !applicable.invocations.is_empty() {
            let namespace = self.0.namespaces.shown(review).await?;
            let asking = Arc::new(Asking::of(review.user()));
            for invocation in &applicable.invocations {
                let turn = Turn { invocation, namespace: &namespace, asking: &asking, registry: &registry };
                turn.take(review, memory, &mut failures).await?;
            }
        }
        failures.status(review)
    }
}

impl Plugin for MutatingPolicies {
    fn mirrored(&self) -> Vec<Mirrored> {
        self.0.mirrored()
    }

    fn concerns(&self, review: &Review<'_>) -> bool {
        !is_exempt(review) && review.get().is_some() && !self.0.is_empty()
    }

    fn admit<'a>(&'a self, review: &'a mut Review<'_>) -> BoxFuture<'a, Result<(), StatusError>> {
        Box::pin(async move {
            let mut memory = review.rounds.take(NAME);
            if review.rounds.is_again() {
                memory.compare(review.json());
            }
            let changed = self.change(review, &mut memory).await;
            memory.done(review.json().cloned());
            review.rounds.keep(NAME, memory);
            changed
        })
    }
}

/// One policy is applied once, with one parameter.
struct Turn<'t> {
    invocation: &'t Invocation<Mutations>,
    namespace: &'t Value,
    asking: &'t Arc<Asking>,
    registry: &'t Registry,
}

impl Turn<'_> {
    async fn take(
        &self,
        review: &mut Review<'_>,
        memory: &mut Memory,
        failures: &mut Failures,
    ) -> Result<(), StatusError> {
        let Invocation { policy, binding, param, .. } = self.invocation;
        let id = format!("{}/{}/{}", policy.name, binding.name, param.name);
        match self.applies(review).await? {
            Ok(true) => {}
            Ok(false) => return Ok(()),
            Err(why) => {
                self.fail(&why, failures);
                return Ok(());
            }
        }
        if review.rounds.is_again() && !memory.is_due(&id) {
            return Ok(());
        }
        let before = review.json().cloned();
        for mutation in &policy.body.all {
            if let Err(why) = self.mutate(mutation, review).await? {
                self.fail(&why, failures);
            }
        }
        if review.json() != before.as_ref() {
            memory.changed();
            review.rounds.want_again();
        }
        if policy.body.reinvoked {
            memory.asked(id);
        }
        Ok(())
    }

    async fn applies(&self, review: &Review<'_>) -> Result<Result<bool, String>, StatusError> {
        let Invocation { policy, matched, param, .. } = self.invocation;
        if policy.shared.conditions.is_empty() {
            return Ok(Ok(true));
        }
        let version = Versions::default().of(review, matched, self.registry).await?;
        let seen = Seen::new(review, &version, self.namespace);
        let scope = seen.scope(&policy.shared, param, self.asking, self.registry);
        Ok(applies(&policy.shared, &scope).await)
    }

    /// What the policy is at fault for, if it is.
    async fn mutate(&self, mutation: &Mutation, review: &mut Review<'_>) -> Result<Result<(), String>, StatusError> {
        let Invocation { policy, matched, param, .. } = self.invocation;
        let version = Versions::default().of(review, matched, self.registry).await?;
        let seen = Seen::new(review, &version, self.namespace);
        let changed = {
            let scope = seen.scope(&policy.shared, param, self.asking, self.registry);
            mutation.change(&scope, &version, review.door.row).await
        };
        match changed {
            Ok(None) => Ok(Ok(())),
            Ok(Some(json)) => {
                version.replace(review, self.registry, json.to_string().as_bytes()).await?;
                Ok(Ok(()))
            }
            Err(why) => Ok(Err(why)),
        }
    }

    fn fail(&self, why: &str, failures: &mut Failures) {
        let Invocation { policy, binding, .. } = self.invocation;
        if policy.shared.fails_closed {
            failures.add(&policy.name, Some(&binding.name), why, Some("Invalid"));
        }
    }
}

impl Failures {
    fn add(&mut self, policy: &str, binding: Option<&str>, why: &str, reason: Option<&'static str>) {
        let by = match binding {
            Some(binding) => format!("policy '{policy}' with binding '{binding}'"),
            None => format!("policy {policy:?}"),
        };
        self.0.push((format!("{by} denied request: {why}"), reason));
    }

    /// The first is told, and all are causes.
    fn status(self, review: &Review<'_>) -> Result<(), StatusError> {
        let Some((message, reason)) = self.0.first() else { return Ok(()) };
        let mut status = review.forbidden("admission request denied by policy").status().clone();
        status.message = Some(message.clone());
        if let Some(reason) = reason {
            status.reason = Some((*reason).to_owned());
        }
        let cause =
            |(message, _): (String, _)| meta::StatusCause { message: Some(message), ..meta::StatusCause::default() };
        status.details.get_or_insert_default().causes.get_or_insert_default().extend(self.0.into_iter().map(cause));
        Err(status.into())
    }
}
