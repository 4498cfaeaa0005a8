//! Slim structs: only the fields that a daemon reads.

use std::collections::BTreeMap;

use api_types::meta::{ObjectMeta, OwnerReference, Time};
use serde::{Deserialize, Deserializer};

/// Reads metadata without what is long and seldom read: annotations, finalizers, managed fields. For a slim struct's field
/// `metadata`, by `#[serde(deserialize_with = "…")]`.
///
/// # Errors
/// When it is no metadata.
pub fn lean_metadata<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ObjectMeta, D::Error> {
    let lean = Lean::deserialize(deserializer)?;
    Ok(ObjectMeta {
        name: lean.name,
        namespace: lean.namespace,
        uid: lean.uid,
        resource_version: lean.resource_version,
        generation: lean.generation,
        creation_timestamp: lean.creation_timestamp,
        deletion_timestamp: lean.deletion_timestamp,
        labels: lean.labels,
        owner_references: lean.owner_references,
        ..ObjectMeta::default()
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Lean {
    name: Option<String>,
    namespace: Option<String>,
    uid: Option<String>,
    resource_version: Option<String>,
    generation: Option<i64>,
    creation_timestamp: Option<Time>,
    deletion_timestamp: Option<Time>,
    labels: Option<BTreeMap<String, String>>,
    owner_references: Option<Vec<OwnerReference>>,
}

/// Makes `$slim`, a struct with a field `metadata: ObjectMeta`, stand for `$full` on the wire:
/// implements [`kube::Resource`] and [`FromJson`](api_types::codec::FromJson) for it.
///
/// ```
/// use component::slim_resource;
///
/// #[derive(Clone, Debug, serde::Deserialize)]
/// struct Pod {
///     metadata: api_types::meta::ObjectMeta,
/// }
/// slim_resource!(Pod => api_types::core::Pod);
/// ```
#[macro_export]
macro_rules! slim_resource {
    ($slim:ty => $full:ty) => {
        ::api_types::read_by_serde!($slim);

        impl ::kube::Resource for $slim {
            type DynamicType = ();
            type Scope = <$full as ::kube::Resource>::Scope;

            fn kind(dt: &()) -> ::std::borrow::Cow<'_, str> {
                <$full as ::kube::Resource>::kind(dt)
            }
            fn group(dt: &()) -> ::std::borrow::Cow<'_, str> {
                <$full as ::kube::Resource>::group(dt)
            }
            fn version(dt: &()) -> ::std::borrow::Cow<'_, str> {
                <$full as ::kube::Resource>::version(dt)
            }
            fn plural(dt: &()) -> ::std::borrow::Cow<'_, str> {
                <$full as ::kube::Resource>::plural(dt)
            }
            fn meta(&self) -> &::api_types::meta::ObjectMeta {
                &self.metadata
            }
            fn meta_mut(&mut self) -> &mut ::api_types::meta::ObjectMeta {
                &mut self.metadata
            }
        }
    };
}
