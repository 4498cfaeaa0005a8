//! Policies in CEL: `ValidatingAdmissionPolicy` and `MutatingAdmissionPolicy`.

mod binding;
mod mutating;
mod mutation;
mod params;
mod policy;
mod type_check;
mod validating;
mod validation;

pub(super) use mutating::MutatingPolicies;
pub use type_check::warnings;
pub(super) use validating::ValidatingPolicies;

use std::{collections::HashMap, sync::Arc};

use api_types::StatusError;
use serde_json::Value;

use self::{
    binding::Binding,
    policy::{Policy, Shared},
};
use super::dynamic::{All, Asking, Followed, Held, Matched, Namespaces, Scope, Version, Visible};
use crate::registry::{Registry, Review, admission::Handle, following::Mirrored};

/// The policies and bindings of one kind, and what else is known of requests.
struct Policies<B> {
    handle: Handle,
    policies: Followed<Policy<B>>,
    bindings: Followed<Binding>,
    namespaces: Namespaces,
}

/// A policy that applies to a request by a binding, with one parameter.
struct Invocation<B> {
    policy: Arc<Policy<B>>,
    binding: Arc<Binding>,
    matched: Arc<Matched>,
    /// Null where there is none.
    param: Param,
}

/// A parameter, and what it is called.
#[derive(Clone, Default)]
struct Param {
    name: String,
    value: Arc<Value>,
}

/// Why a policy cannot be asked about a request to which it applies.
struct Misconfigured<B> {
    policy: Arc<Policy<B>>,
    binding: Option<Arc<Binding>>,
    why: String,
}

/// What applies to a request.
struct Applicable<B> {
    invocations: Vec<Invocation<B>>,
    misconfigured: Vec<Misconfigured<B>>,
}

impl<B: Send + Sync + 'static> Policies<B> {
    fn mirrored(&self) -> Vec<Mirrored> {
        vec![self.policies.mirrored(), self.bindings.mirrored()]
    }

    /// Whether there is nothing to ask about anything.
    fn is_empty(&self) -> bool {
        self.policies.is_empty() || self.bindings.is_empty()
    }

    /// What applies to a request, in the order of names.
    ///
    /// # Errors
    /// When it is not known in time what policies there are.
    async fn applicable(&self, review: &Review<'_>, registry: &Registry) -> Result<Applicable<B>, StatusError> {
        let (policies, bindings) = (self.policies.all(review).await?, self.bindings.all(review).await?);
        let bound = by_policy(&bindings);
        let mut applicable = Applicable { invocations: Vec::new(), misconfigured: Vec::new() };
        for policy in policies.values() {
            let Some(bindings) = bound.get(policy.name.as_str()) else { continue };
            match self.matched(policy, review, registry).await {
                Ok(None) => {}
                Ok(Some(matched)) => {
                    let matched = Arc::new(matched);
                    for binding in bindings {
                        self.apply(policy, binding, &matched, review, registry, &mut applicable).await;
                    }
                }
                Err(why) => {
                    let policy = policy.clone();
                    applicable.misconfigured.push(Misconfigured { policy, binding: None, why });
                }
            }
        }
        Ok(applicable)
    }

    async fn matched(
        &self,
        policy: &Policy<B>,
        review: &Review<'_>,
        registry: &Registry,
    ) -> Result<Option<Matched>, String> {
        let criteria = policy.shared.criteria.as_ref().map_err(Clone::clone)?;
        let matched = criteria.matches(review, &self.namespaces, registry).await.map_err(|error| error.to_string())?;
        if matched.is_some() {
            policy.shared.check_params(registry)?;
        }
        Ok(matched)
    }

    async fn apply(
        &self,
        policy: &Arc<Policy<B>>,
        binding: &Arc<Binding>,
        matched: &Arc<Matched>,
        review: &Review<'_>,
        registry: &Registry,
        applicable: &mut Applicable<B>,
    ) {
        match self.params(&policy.shared, binding, review, registry).await {
            Ok(params) => applicable.invocations.extend(params.into_iter().map(|param| Invocation {
                policy: policy.clone(),
                binding: binding.clone(),
                matched: matched.clone(),
                param,
            })),
            Err(why) => {
                let (policy, binding) = (policy.clone(), Some(binding.clone()));
                applicable.misconfigured.push(Misconfigured { policy, binding, why });
            }
        }
    }

    /// The parameters with which a binding has a policy applied; none when it does not apply.
    async fn params(
        &self,
        shared: &Shared,
        binding: &Binding,
        review: &Review<'_>,
        registry: &Registry,
    ) -> Result<Vec<Param>, String> {
        if let Some(criteria) = &binding.criteria {
            let criteria = criteria.as_ref().map_err(Clone::clone)?;
            let matched = criteria.matches(review, &self.namespaces, registry).await;
            if matched.map_err(|error| error.to_string())?.is_none() {
                return Ok(Vec::new());
            }
        }
        params::collect(shared.params.as_ref(), binding.params.as_ref(), review.door.namespace(), registry).await
    }
}

fn by_policy(bindings: &All<Binding>) -> HashMap<&str, Vec<&Arc<Binding>>> {
    let mut bound: HashMap<&str, Vec<&Arc<Binding>>> = HashMap::new();
    for binding in bindings.values() {
        bound.entry(binding.policy.as_str()).or_default().push(binding);
    }
    bound
}

impl<B> Misconfigured<B> {
    fn message(&self) -> String {
        let what = if self.binding.is_some() { "binding" } else { "policy" };
        format!("failed to configure {what}: {}", self.why)
    }
}

/// What the expressions of an invocation see, but for its parameter.
struct Seen<'a> {
    version: &'a Version,
    request: &'a Value,
    namespace: &'a Value,
}

impl<'a> Seen<'a> {
    fn new(review: &Review<'_>, version: &'a Version, namespace: &'a Value) -> Self {
        Self { version, request: version.request(review), namespace }
    }

    /// With a parameter, whose absence is null where the policy knows parameters.
    fn scope(&self, shared: &'a Shared, param: &'a Param, asking: &Arc<Asking>, registry: &'a Registry) -> Scope<'a> {
        let visible = Visible {
            object: self.version.tree(),
            old: self.version.old_tree(),
            request: self.request,
            namespace: self.namespace,
            params: shared.params.is_some().then_some(&*param.value),
        };
        Scope::new(visible, &shared.composition, asking, &**registry.authorizer())
    }
}

/// Whether the conditions of a policy hold.
///
/// # Errors
/// What is wrong with them.
async fn applies(shared: &Shared, scope: &Scope<'_>) -> Result<bool, String> {
    match shared.conditions.hold(scope).await {
        Held::Yes => Ok(true),
        Held::No => Ok(false),
        Held::Unknown(_) if !shared.fails_closed => Ok(false),
        Held::Unknown(why) => Err(why),
    }
}
