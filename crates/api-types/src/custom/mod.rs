//! Kinds that come at run time: what their schemas say of objects, as Kubernetes reads structural schemas.
//!
//! A schema becomes a tree of [`Node`]s, once per version. Everything that happens to an object is a walk along that tree
//! beside the object's own: fields that the schema does not have are dropped ([`prune`]), defaults are filled in
//! ([`default`]), values are checked ([`validate`]), elements of sets and maps are compared ([`lists`]).

mod default;
mod embedded;
mod formats;
mod json_path;
mod kind;
mod lists;
mod node;
mod pattern;
mod prune;
pub(crate) mod rules;
mod validate;

pub use json_path::JsonPath;
pub use kind::{Definition, DynamicKind, OtherVersions, ScalePaths, Structure};
pub use node::Node;

pub use crate::kinds::custom_resource_definition::Approval;

/// Holds a definition until its objects are gone.
pub const FINALIZER: &str = "customresourcecleanup.apiextensions.k8s.io";

#[cfg(test)]
mod tests;
