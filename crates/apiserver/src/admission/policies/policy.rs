//! Policies, compiled.

use api_types::{
    admissionregistration::{
        MatchCondition, MatchResources, MutatingAdmissionPolicy, ParamKind, ValidatingAdmissionPolicy, Variable,
    },
    expressions::{Admission, Optional},
};

use super::{
    mutation::{Mutation, Mutations},
    validation::Validations,
};
use crate::{
    admission::dynamic::{Composition, Conditions, Criteria},
    registry::Registry,
};

/// A policy; `B` is what it does.
pub(super) struct Policy<B> {
    pub(super) name: String,
    pub(super) shared: Shared,
    pub(super) body: B,
}

/// What policies of both kinds have.
pub(super) struct Shared {
    pub(super) criteria: Result<Criteria, String>,
    /// Whether a request is refused when something cannot be evaluated.
    pub(super) fails_closed: bool,
    pub(super) params: Option<ParamKind>,
    pub(super) conditions: Conditions,
    pub(super) composition: Composition,
}

/// The fields of which [`Shared`] is made.
struct Fields<'a> {
    constraints: Option<&'a MatchResources>,
    failure_policy: Option<&'a str>,
    params: Option<&'a ParamKind>,
    conditions: &'a [MatchCondition],
    variables: &'a [Variable],
}

/// The view of a spec with these fields.
macro_rules! fields {
    ($spec:expr) => {
        Fields {
            constraints: $spec.match_constraints.as_ref(),
            failure_policy: $spec.failure_policy.as_deref(),
            params: $spec.param_kind.as_ref(),
            conditions: $spec.match_conditions.as_deref().unwrap_or_default(),
            variables: $spec.variables.as_deref().unwrap_or_default(),
        }
    };
}

impl Policy<Validations> {
    pub(super) fn validating(name: &str, json: &[u8], _: Option<&Self>) -> Option<Self> {
        let own: ValidatingAdmissionPolicy = serde_json::from_slice(json).ok()?;
        let spec = own.spec?;
        let (shared, admission) = Shared::compile(&fields!(spec), &[]);
        let body = Validations::compile(&spec, &shared.composition, &admission);
        Some(Self { name: name.to_owned(), shared, body })
    }
}

impl Policy<Mutations> {
    pub(super) fn mutating(name: &str, json: &[u8], _: Option<&Self>) -> Option<Self> {
        let own: MutatingAdmissionPolicy = serde_json::from_slice(json).ok()?;
        let spec = own.spec?;
        let (shared, admission) = Shared::compile(&fields!(spec), &[Optional::Patches]);
        let reinvoked = spec.reinvocation_policy.as_deref() == Some("IfNeeded");
        let mutations = spec.mutations.as_deref().unwrap_or_default();
        let compile = |own| Mutation::compile(own, &shared.composition, &admission);
        let body = Mutations { all: mutations.iter().map(compile).collect(), reinvoked };
        Some(Self { name: name.to_owned(), shared, body })
    }
}

impl Shared {
    /// And what further expressions may speak of.
    fn compile(own: &Fields<'_>, also: &[Optional]) -> (Self, Admission) {
        let mut optional = vec![Optional::Authorizer];
        optional.extend(own.params.map(|_| Optional::Params));
        let conditions = Conditions::compile(own.conditions, &Admission::new(&optional));
        optional.extend(also);
        let mut admission = Admission::new(&optional);
        let mut composition = Composition::default();
        for variable in own.variables {
            let program = admission.declare(&variable.name, &variable.expression);
            composition.add(&variable.name, &variable.expression, program);
        }
        let criteria = match own.constraints {
            Some(constraints) => Criteria::of_policy(constraints).map_err(|error| error.to_string()),
            None => Err("matchConstraints: Required value".to_owned()),
        };
        let shared = Self {
            criteria,
            fails_closed: own.failure_policy != Some("Ignore"),
            params: own.params.cloned(),
            conditions,
            composition,
        };
        (shared, admission)
    }

    /// Sees that there is such a thing as its parameters.
    ///
    /// # Errors
    /// When there is not.
    pub(super) fn check_params(&self, registry: &Registry) -> Result<(), String> {
        let Some(kind) = &self.params else { return Ok(()) };
        let (group, version, name) = kind_of(kind);
        match registry.of_kind(group, version, name) {
            Some(_) => Ok(()),
            None => Err(format!("failed to find resource referenced by paramKind: '{group}/{version}, Kind={name}'")),
        }
    }
}

/// Group, version and kind.
pub(super) fn kind_of(kind: &ParamKind) -> (&str, &str, &str) {
    let api_version = kind.api_version.as_deref().unwrap_or_default();
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    (group, version, kind.kind.as_deref().unwrap_or_default())
}
