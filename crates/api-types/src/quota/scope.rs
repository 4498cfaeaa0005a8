//! Scopes: which objects a quota is about.

use std::collections::BTreeSet;

use crate::core::{ResourceQuota, ScopedResourceSelectorRequirement};

/// What scopes look at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Facts {
    /// Only a quota without scopes is about it.
    #[default]
    Unscoped,
    /// Of a pod.
    Pod {
        /// Whether it ends by itself.
        terminating: bool,
        /// Whether it asks for nothing.
        best_effort: bool,
        /// Whether its affinity looks at other namespaces.
        crosses_namespaces: bool,
        /// Its priority class; empty for none.
        priority_class: String,
    },
    /// Of a claim.
    Claim {
        /// The attributes classes that it has, wants or is getting.
        attributes: BTreeSet<String>,
    },
}

/// Everything that a quota's scopes demand.
#[must_use]
pub fn requirements(quota: &ResourceQuota) -> Vec<ScopedResourceSelectorRequirement> {
    let Some(spec) = &quota.spec else { return Vec::new() };
    let exists = |name: &String| ScopedResourceSelectorRequirement {
        scope_name: name.clone(),
        operator: "Exists".into(),
        values: None,
    };
    let named = spec.scopes.iter().flatten().map(exists);
    let selected = spec.scope_selector.iter().flat_map(|selector| selector.match_expressions.iter().flatten().cloned());
    named.chain(selected).collect()
}

impl Facts {
    /// Whether one requirement takes the object in.
    pub(super) fn meet(&self, requirement: &ScopedResourceSelectorRequirement) -> bool {
        match self {
            Self::Unscoped => false,
            Self::Claim { attributes } => {
                requirement.scope_name == "VolumeAttributesClass"
                    && match attributes.is_empty() {
                        true => selects(requirement, None),
                        false => attributes.iter().any(|name| selects(requirement, Some(name))),
                    }
            }
            Self::Pod { terminating, best_effort, crosses_namespaces, priority_class } => {
                match requirement.scope_name.as_str() {
                    "Terminating" => *terminating,
                    "NotTerminating" => !terminating,
                    "BestEffort" => *best_effort,
                    "NotBestEffort" => !best_effort,
                    "CrossNamespacePodAffinity" => *crosses_namespaces,
                    "PriorityClass" => {
                        selects(requirement, Some(priority_class.as_str()).filter(|name| !name.is_empty()))
                    }
                    _ => false,
                }
            }
        }
    }
}

/// As a label selector does with the label of the scope's name.
fn selects(requirement: &ScopedResourceSelectorRequirement, value: Option<&str>) -> bool {
    let listed = |value: &str| requirement.values.iter().flatten().any(|one| one == value);
    match requirement.operator.as_str() {
        "Exists" => value.is_some(),
        "DoesNotExist" => value.is_none(),
        "In" => value.is_some_and(listed),
        "NotIn" => !value.is_some_and(listed),
        _ => false,
    }
}
