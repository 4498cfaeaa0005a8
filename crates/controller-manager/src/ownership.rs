//! Controller references: who manages an object, and how it comes to be managed or let go.

use std::{fmt::Debug, sync::Arc};

use api_types::{
    codec::FromJson,
    core::ObjectReference,
    k8s_openapi::NamespaceResourceScope,
    meta::{ObjectMeta, OwnerReference},
    selector::label::Selector,
};
use component::{
    api::Api,
    informer::{Informer, Item},
};
use kube::{
    Client, Resource,
    api::{Patch, PatchParams},
};
use serde_json::json;

use crate::{
    slim::{BY_CONTROLLER, orphans_of},
    step,
};

/// The reference of the one owner that manages the object.
#[must_use]
pub fn controller_of(metadata: &ObjectMeta) -> Option<&OwnerReference> {
    metadata.owner_references.iter().flatten().find(|owner| owner.controller == Some(true))
}

/// The uid of the object's controller, or the namespace's orphans; see [`crate::slim::BY_CONTROLLER`].
#[must_use]
pub fn controller_index(metadata: &ObjectMeta) -> String {
    controller_of(metadata)
        .map_or_else(|| orphans_of(metadata.namespace.as_deref().unwrap_or_default()), |owner| owner.uid.clone())
}

/// A reference that makes `owner` the controller.
#[must_use]
pub fn controller_reference<K: Resource<DynamicType = ()>>(owner: &K) -> OwnerReference {
    OwnerReference {
        api_version: K::api_version(&()).into_owned(),
        kind: K::kind(&()).into_owned(),
        name: owner.meta().name.clone().unwrap_or_default(),
        uid: owner.meta().uid.clone().unwrap_or_default(),
        controller: Some(true),
        block_owner_deletion: Some(true),
    }
}

/// A reference for events and endpoints.
#[must_use]
pub fn object_reference<K: Resource<DynamicType = ()>>(object: &K) -> ObjectReference {
    let metadata = object.meta();
    ObjectReference {
        api_version: Some(K::api_version(&()).into_owned()),
        kind: Some(K::kind(&()).into_owned()),
        namespace: metadata.namespace.clone(),
        name: metadata.name.clone(),
        uid: metadata.uid.clone(),
        resource_version: metadata.resource_version.clone(),
        ..ObjectReference::default()
    }
}

/// Who claims objects.
#[derive(Clone, Copy, Debug)]
pub struct Claimant<'a> {
    /// Its uid.
    pub uid: &'a str,
    /// What it selects.
    pub selector: &'a Selector,
    /// It is being deleted, so it neither adopts nor releases.
    pub deleting: bool,
}

/// What a claimant does with an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// It is the claimant's already.
    Keep,
    /// Nobody's, and selected: make it the claimant's.
    Adopt,
    /// The claimant's, but not selected any more: let it go.
    Release,
    /// Not the claimant's affair.
    Ignore,
}

impl Claimant<'_> {
    /// What to do with the object that has this metadata.
    #[must_use]
    pub fn claim(&self, metadata: &ObjectMeta) -> Claim {
        let selected = self.selector.matches(&metadata.labels);
        match controller_of(metadata) {
            Some(owner) if owner.uid != self.uid => Claim::Ignore,
            Some(_) if selected => Claim::Keep,
            Some(_) if self.deleting => Claim::Ignore,
            Some(_) => Claim::Release,
            None if selected && !self.deleting && metadata.deletion_timestamp.is_none() => Claim::Adopt,
            None => Claim::Ignore,
        }
    }
}

/// Why an adoption did not happen.
#[derive(Debug, thiserror::Error)]
pub enum AdoptError {
    /// The live owner is another one, or going away.
    #[error("{kind} {name} is being deleted or was replaced; it adopts nothing")]
    OwnerGone {
        /// The owner's kind.
        kind: String,
        /// The owner's name.
        name: String,
    },
    /// The owner cannot be read, or the object not be patched.
    #[error("adopting for {name}: {source}")]
    Api {
        /// The owner's name.
        name: String,
        /// Why.
        source: kube::Error,
    },
}

/// Checks on the server, not in a cache, that `owner` may still adopt.
async fn recheck_owner<K>(owners: &Api<K>, owner: &OwnerReference) -> Result<(), AdoptError>
where
    K: Resource + FromJson,
{
    let live = owners
        .get_opt(&owner.name)
        .await
        .map_err(|source| AdoptError::Api { name: owner.name.clone(), source })?
        .filter(|live| live.meta().uid.as_ref() == Some(&owner.uid) && live.meta().deletion_timestamp.is_none());
    match live {
        Some(_) => Ok(()),
        None => Err(AdoptError::OwnerGone { kind: owner.kind.clone(), name: owner.name.clone() }),
    }
}

/// Objects could not be claimed.
#[derive(Debug, thiserror::Error)]
pub enum ClaimError {
    /// One could not be adopted.
    #[error(transparent)]
    Adopt(#[from] AdoptError),
    /// One could not be released.
    #[error("releasing {name}")]
    Release {
        /// Its name.
        name: String,
        /// Why.
        source: kube::Error,
    },
}

/// What an owner keeps could not be brought to where it wants it.
#[derive(Debug, thiserror::Error)]
pub enum OwnerError {
    /// Its selector is none.
    #[error("invalid selector")]
    Selector(#[from] api_types::selector::label::Error),
    /// Something could not be claimed.
    #[error(transparent)]
    Claim(#[from] ClaimError),
    /// The server refused something.
    #[error(transparent)]
    Step(#[from] step::Error),
}

/// Names the step that an error comes from; for `map_err`.
pub fn failed(operation: &'static str) -> impl FnOnce(kube::Error) -> OwnerError {
    move |error| step::failed(operation)(error).into()
}

/// How an owner claims objects of type `T` in its namespace.
pub struct Claims<'a, K, T> {
    /// Of the API server.
    pub client: &'a Client,
    /// Who claims.
    pub owner: &'a K,
    /// What it selects.
    pub selector: &'a Selector,
    /// What can be the owner's at all.
    pub belongs: &'a (dyn Fn(&T) -> bool + Sync),
    /// What it may adopt.
    pub may_adopt: &'a (dyn Fn(&T) -> bool + Sync),
    /// What is adopted gets this finalizer.
    pub finalizer: Option<&'static str>,
}

impl<'a, K, T> Claims<'a, K, T>
where
    K: Item<DynamicType = (), Scope = NamespaceResourceScope>,
    T: Item<DynamicType = (), Scope = NamespaceResourceScope>,
{
    /// Everything that is selected may be adopted.
    pub const fn new(client: &'a Client, owner: &'a K, selector: &'a Selector) -> Self {
        Self { client, owner, selector, belongs: &|_| true, may_adopt: &|_| true, finalizer: None }
    }

    /// Those of the cache that are the owner's, after adopting and releasing; the cache has the index
    /// [`BY_CONTROLLER`]. Before the first is adopted the server is asked whether the owner still may.
    ///
    /// # Errors
    /// When the server cannot be asked, or refuses.
    pub async fn claim(&self, objects: &Informer<T>) -> Result<Vec<Arc<T>>, ClaimError> {
        let namespace = self.owner.meta().namespace.clone().unwrap_or_default();
        let mut candidates =
            objects.store().by_index(BY_CONTROLLER, self.owner.meta().uid.as_deref().unwrap_or_default());
        candidates.extend(objects.store().by_index(BY_CONTROLLER, &orphans_of(&namespace)));
        let reference = controller_reference(self.owner);
        let api: Api<T> = Api::namespaced(self.client.clone(), &namespace);
        let mut checked = false;
        let mut claimed = Vec::with_capacity(candidates.len());
        for object in candidates {
            match self.decide(&object) {
                Claim::Keep => claimed.push(object),
                Claim::Release => {
                    let name = object.meta().name.clone().unwrap_or_default();
                    let released = release(&api, object.meta(), &reference.uid).await;
                    released.map_err(|source| ClaimError::Release { name, source })?;
                }
                Claim::Adopt => {
                    if !checked {
                        let owners = Api::<K>::namespaced(self.client.clone(), &namespace);
                        recheck_owner(&owners, &reference).await?;
                        checked = true;
                    }
                    adopt(&api, object.meta(), &reference, self.finalizer).await?;
                    claimed.push(object);
                }
                Claim::Ignore => {}
            }
        }
        Ok(claimed)
    }

    fn decide(&self, object: &T) -> Claim {
        let uid = self.owner.meta().uid.as_deref().unwrap_or_default();
        let deleting = self.owner.meta().deletion_timestamp.is_some();
        let claim = Claimant { uid, selector: self.selector, deleting }.claim(object.meta());
        match claim {
            Claim::Keep if !(self.belongs)(object) => {
                if deleting {
                    Claim::Ignore
                } else {
                    Claim::Release
                }
            }
            Claim::Adopt if !(self.belongs)(object) || !(self.may_adopt)(object) => Claim::Ignore,
            claim => claim,
        }
    }
}

async fn adopt<K>(
    objects: &Api<K>,
    object: &ObjectMeta,
    owner: &OwnerReference,
    finalizer: Option<&str>,
) -> Result<(), AdoptError>
where
    K: Resource + FromJson,
{
    let mut patch = json!({"metadata": {"uid": object.uid, "ownerReferences": [owner]}});
    if let Some(finalizer) = finalizer {
        patch["metadata"]["finalizers"] = json!([finalizer]);
    }
    patch_references(objects, object, &patch)
        .await
        .map_err(|source| AdoptError::Api { name: owner.name.clone(), source })
}

/// Takes the reference to `owner_uid` off the object. An object that is gone, or another one by
/// now, needs no release.
async fn release<K>(objects: &Api<K>, object: &ObjectMeta, owner_uid: &str) -> Result<(), kube::Error>
where
    K: Resource + FromJson,
{
    let references = json!([{"$patch": "delete", "uid": owner_uid}]);
    let patch = json!({"metadata": {"uid": object.uid, "ownerReferences": references}});
    match patch_references(objects, object, &patch).await {
        Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409 | 422) => Ok(()),
        result => result,
    }
}

async fn patch_references<K>(
    objects: &Api<K>,
    object: &ObjectMeta,
    patch: &serde_json::Value,
) -> Result<(), kube::Error>
where
    K: Resource + FromJson,
{
    let name = object.name.as_deref().unwrap_or_default();
    objects.patch(name, &PatchParams::default(), &Patch::Strategic(patch)).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metadata(labels: &[(&str, &str)], controller: Option<&str>) -> ObjectMeta {
        let owner = |uid: &str| OwnerReference { uid: uid.into(), controller: Some(true), ..OwnerReference::default() };
        ObjectMeta {
            labels: Some(labels.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect()),
            owner_references: controller.map(|uid| vec![owner(uid)]),
            ..ObjectMeta::default()
        }
    }

    #[test]
    fn objects_are_claimed_by_reference_and_selector() {
        let web = [("app", "web")];
        let cases = [
            (metadata(&web, Some("me")), false, Claim::Keep),
            (metadata(&[], Some("me")), false, Claim::Release),
            (metadata(&[], Some("me")), true, Claim::Ignore),
            (metadata(&web, Some("me")), true, Claim::Keep),
            (metadata(&web, Some("other")), false, Claim::Ignore),
            (metadata(&web, None), false, Claim::Adopt),
            (metadata(&web, None), true, Claim::Ignore),
            (metadata(&[], None), false, Claim::Ignore),
        ];
        let selector: Selector = "app=web".parse().unwrap();
        for (metadata, deleting, expected) in cases {
            let claimant = Claimant { uid: "me", selector: &selector, deleting };
            assert_eq!(claimant.claim(&metadata), expected, "{metadata:?} deleting={deleting}");
        }
    }
}
