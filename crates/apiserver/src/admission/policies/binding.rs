//! How a policy is applied.

use api_types::admissionregistration::{
    MatchResources, MutatingAdmissionPolicyBinding, ParamRef, ValidatingAdmissionPolicyBinding,
};

use crate::admission::dynamic::Criteria;

/// A binding of a policy.
pub(super) struct Binding {
    pub(super) name: String,
    pub(super) policy: String,
    /// To which requests it applies the policy, besides what the policy says itself.
    pub(super) criteria: Option<Result<Criteria, String>>,
    pub(super) params: Option<ParamRef>,
    /// `Deny`, `Warn`, `Audit`
    pub(super) actions: Vec<String>,
}

impl Binding {
    pub(super) fn validating(name: &str, json: &[u8], _: Option<&Self>) -> Option<Self> {
        let own: ValidatingAdmissionPolicyBinding = serde_json::from_slice(json).ok()?;
        let spec = own.spec;
        Some(Self {
            name: name.to_owned(),
            policy: spec.policy_name,
            criteria: spec.match_resources.as_ref().map(criteria),
            params: spec.param_ref,
            actions: spec.validation_actions,
        })
    }

    pub(super) fn mutating(name: &str, json: &[u8], _: Option<&Self>) -> Option<Self> {
        let own: MutatingAdmissionPolicyBinding = serde_json::from_slice(json).ok()?;
        let spec = own.spec?;
        Some(Self {
            name: name.to_owned(),
            policy: spec.policy_name.unwrap_or_default(),
            criteria: spec.match_resources.as_ref().map(criteria),
            params: spec.param_ref,
            actions: Vec::new(),
        })
    }
}

fn criteria(own: &MatchResources) -> Result<Criteria, String> {
    Criteria::of_policy(own).map_err(|error| error.to_string())
}
