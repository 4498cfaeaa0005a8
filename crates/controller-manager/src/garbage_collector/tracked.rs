//! Any object, reduced to what ownership needs.

use std::borrow::Cow;

use api_types::meta::{ObjectMeta, OwnerReference};
use kube::core::DynamicResourceScope;
use serde::{Deserialize, Deserializer};

use crate::discovery::DeletableResource;

/// The finalizer of an object whose dependents are to stay.
pub(super) const ORPHAN: &str = "orphan";
/// The finalizer of an object whose dependents are to go first.
pub(super) const FOREGROUND: &str = "foregroundDeletion";

/// Index: objects by their own uid.
pub(super) const BY_UID: &str = "uid";
/// Index: objects by the uids of their owners.
pub(super) const BY_OWNER: &str = "owner";

/// An object's identity, owners, finalizers and deletion; nothing else is kept.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct Tracked {
    #[serde(deserialize_with = "reduced")]
    pub metadata: ObjectMeta,
}

api_types::read_by_serde!(Tracked);

fn reduced<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ObjectMeta, D::Error> {
    let metadata = ObjectMeta::deserialize(deserializer)?;
    Ok(ObjectMeta {
        name: metadata.name,
        namespace: metadata.namespace,
        uid: metadata.uid,
        resource_version: metadata.resource_version,
        owner_references: metadata.owner_references,
        finalizers: metadata.finalizers,
        deletion_timestamp: metadata.deletion_timestamp,
        ..ObjectMeta::default()
    })
}

impl Tracked {
    pub(super) fn uid(&self) -> &str {
        self.metadata.uid.as_deref().unwrap_or_default()
    }

    pub(super) fn name(&self) -> &str {
        self.metadata.name.as_deref().unwrap_or_default()
    }

    /// Empty at cluster scope.
    pub(crate) fn namespace(&self) -> &str {
        self.metadata.namespace.as_deref().unwrap_or_default()
    }

    pub(super) fn owners(&self) -> &[OwnerReference] {
        self.metadata.owner_references.as_deref().unwrap_or_default()
    }

    pub(super) fn is_deleting(&self) -> bool {
        self.metadata.deletion_timestamp.is_some()
    }

    pub(super) fn has_finalizer(&self, finalizer: &str) -> bool {
        self.metadata.finalizers.iter().flatten().any(|present| present == finalizer)
    }

    /// Whether it is being deleted after its dependents.
    pub(super) fn waits_for_dependents(&self) -> bool {
        self.is_deleting() && self.has_finalizer(FOREGROUND)
    }
}

impl kube::Resource for Tracked {
    type DynamicType = DeletableResource;
    type Scope = DynamicResourceScope;

    fn kind(resource: &DeletableResource) -> Cow<'_, str> {
        Cow::Borrowed(&resource.kind)
    }

    fn group(resource: &DeletableResource) -> Cow<'_, str> {
        Cow::Borrowed(&resource.group)
    }

    fn version(resource: &DeletableResource) -> Cow<'_, str> {
        Cow::Borrowed(&resource.version)
    }

    fn plural(resource: &DeletableResource) -> Cow<'_, str> {
        Cow::Borrowed(&resource.plural)
    }

    fn metadata_api() -> bool {
        true
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}
