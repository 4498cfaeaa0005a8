//! Typed access to one collection of objects: as `kube::Api`, but objects are read and written by [`FromJson`] and
//! [`ToJson`], whose code for each kind is compiled once, in `api_types`.

use std::{fmt::Debug, marker::PhantomData};

use api_types::codec::{FromJson, ToJson};
use kube::{
    Client, Error, Resource, Result,
    api::{DeleteParams, GetParams, Patch, PatchParams, PostParams},
    core::{NamespaceResourceScope, Request, Status},
};
use serde::Serialize;

/// The objects of one kind, of one namespace or of all.
pub struct Api<K> {
    client: Client,
    requests: Request,
    kind: PhantomData<fn() -> K>,
}

impl<K> Clone for Api<K> {
    fn clone(&self) -> Self {
        Self { client: self.client.clone(), requests: self.requests.clone(), kind: PhantomData }
    }
}

impl<K> Debug for Api<K> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Api({})", self.requests.url_path)
    }
}

impl<K: Resource<DynamicType = ()>> Api<K> {
    /// All objects, or those at cluster scope.
    #[must_use]
    pub fn all(client: Client) -> Self {
        Self { client, requests: Request::new(K::url_path(&(), None)), kind: PhantomData }
    }

    /// The objects of a namespace.
    #[must_use]
    pub fn namespaced(client: Client, namespace: &str) -> Self
    where
        K: Resource<Scope = NamespaceResourceScope>,
    {
        Self { client, requests: Request::new(K::url_path(&(), Some(namespace))), kind: PhantomData }
    }
}

impl<K: FromJson> Api<K> {
    /// The object of this name.
    ///
    /// # Errors
    /// The server's refusal, 404 among them, or that it cannot be reached.
    pub async fn get(&self, name: &str) -> Result<K> {
        self.send(self.requests.get(name, &GetParams::default())).await
    }

    /// The object of this name, if there is one.
    ///
    /// # Errors
    /// As [`Api::get`], but for 404.
    pub async fn get_opt(&self, name: &str) -> Result<Option<K>> {
        match self.get(name).await {
            Err(Error::Api(status)) if status.is_not_found() => Ok(None),
            result => result.map(Some),
        }
    }

    /// Creates an object; returns it as it is stored.
    ///
    /// # Errors
    /// As [`Api::get`].
    pub async fn create(&self, parameters: &PostParams, object: &K) -> Result<K>
    where
        K: ToJson,
    {
        self.send(self.requests.create(parameters, object.to_json())).await
    }

    /// Replaces an object; returns it as it is stored.
    ///
    /// # Errors
    /// As [`Api::get`].
    pub async fn replace(&self, name: &str, parameters: &PostParams, object: &K) -> Result<K>
    where
        K: ToJson,
    {
        self.send(self.requests.replace(name, parameters, object.to_json())).await
    }

    /// Changes an object in part; returns it as it is stored.
    ///
    /// # Errors
    /// As [`Api::get`].
    pub async fn patch<P: Serialize>(&self, name: &str, parameters: &PatchParams, patch: &Patch<P>) -> Result<K> {
        self.send(self.requests.patch(name, parameters, patch)).await
    }

    /// Changes an object's status in part; returns the object as it is stored.
    ///
    /// # Errors
    /// As [`Api::get`].
    pub async fn patch_status<P: Serialize>(
        &self,
        name: &str,
        parameters: &PatchParams,
        patch: &Patch<P>,
    ) -> Result<K> {
        self.send(self.requests.patch_subresource("status", name, parameters, patch)).await
    }

    /// Creates a subresource of an object, such as a pod's binding.
    ///
    /// # Errors
    /// As [`Api::get`].
    pub async fn create_subresource<S: ToJson>(
        &self,
        subresource: &str,
        name: &str,
        parameters: &PostParams,
        object: &S,
    ) -> Result<()> {
        let request = self.requests.create_subresource(subresource, name, parameters, object.to_json());
        answer(&self.client, request).await.map(drop)
    }

    /// Deletes an object, or begins to.
    ///
    /// # Errors
    /// As [`Api::get`].
    pub async fn delete(&self, name: &str, parameters: &DeleteParams) -> Result<()> {
        answer(&self.client, self.requests.delete(name, parameters)).await.map(drop)
    }

    async fn send(&self, request: Built) -> Result<K> {
        let json = answer(&self.client, request).await?;
        K::from_json(json.as_bytes()).map_err(Error::SerdeError)
    }
}

/// Whether a write that names an object's uid was refused because there is no such object: it is gone, or another has its
/// name by now. Of the latter a patch is told as of a field that may not change.
#[must_use]
pub fn is_moot(refusal: &Status) -> bool {
    let causes = || refusal.details.iter().flat_map(|details| &details.causes);
    matches!(refusal.code, 404 | 409) || refusal.code == 422 && causes().any(|cause| cause.field == "metadata.uid")
}

/// A request, or why it makes no sense.
type Built = std::result::Result<http::Request<Vec<u8>>, kube::core::request::Error>;

async fn answer(client: &Client, request: Built) -> Result<String> {
    client.request_text(request.map_err(Error::BuildRequest)?).await
}
