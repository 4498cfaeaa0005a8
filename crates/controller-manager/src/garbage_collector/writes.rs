//! Requests about objects of any resource.

use api_types::meta::OwnerReference;
use http::{Method, header};
use kube::Client;
use serde_json::{Value, json};

use super::{plan::Propagation, tracked::Tracked};
use crate::{discovery::DeletableResource, write};

const METADATA: &str = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json";

/// The object as the server has it now.
pub(super) async fn get(
    client: &Client,
    resource: &DeletableResource,
    namespace: &str,
    name: &str,
) -> Result<Option<Tracked>, kube::Error> {
    let namespace = if resource.namespaced { namespace } else { "" };
    let path = format!("{}/{name}", resource.path(namespace));
    let request = http::Request::get(path).header(header::ACCEPT, METADATA).body(Vec::new());
    match client.request(request.map_err(kube::Error::HttpError)?).await {
        Ok(object) => Ok(Some(object)),
        Err(error) if write::code(&error) == Some(404) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Deletes exactly this object, in this version when it has one: should it get an owner meanwhile
/// it stays.
pub(super) async fn delete(
    client: &Client,
    resource: &DeletableResource,
    object: &Tracked,
    propagation: Propagation,
) -> Result<(), kube::Error> {
    let options = json!({
        "apiVersion": "v1",
        "kind": "DeleteOptions",
        "propagationPolicy": propagation.as_str(),
        "preconditions": {"uid": object.metadata.uid, "resourceVersion": object.metadata.resource_version},
    });
    send(client, Method::DELETE, resource, object, "application/json", &options).await
}

/// Takes the references with these uids off.
pub(super) async fn drop_owners(
    client: &Client,
    resource: &DeletableResource,
    object: &Tracked,
    uids: &[String],
) -> Result<(), kube::Error> {
    let rest: Vec<&OwnerReference> = object.owners().iter().filter(|owner| !uids.contains(&owner.uid)).collect();
    patch(client, resource, object, &json!({"ownerReferences": rest})).await
}

/// Stops holding all owners.
pub(super) async fn unblock_owners(
    client: &Client,
    resource: &DeletableResource,
    object: &Tracked,
) -> Result<(), kube::Error> {
    let loose = |owner: &OwnerReference| OwnerReference { block_owner_deletion: Some(false), ..owner.clone() };
    let owners: Vec<OwnerReference> = object.owners().iter().map(loose).collect();
    patch(client, resource, object, &json!({"ownerReferences": owners})).await
}

/// Takes a finalizer off.
pub(super) async fn remove_finalizer(
    client: &Client,
    resource: &DeletableResource,
    object: &Tracked,
    finalizer: &str,
) -> Result<(), kube::Error> {
    let present = object.metadata.finalizers.iter().flatten();
    let rest: Vec<&String> = present.filter(|present| *present != finalizer).collect();
    patch(client, resource, object, &json!({"finalizers": rest})).await
}

/// Lists are replaced as a whole, so the version must be the one that was read.
async fn patch(
    client: &Client,
    resource: &DeletableResource,
    object: &Tracked,
    metadata: &Value,
) -> Result<(), kube::Error> {
    let mut metadata = metadata.clone();
    metadata["uid"] = json!(object.metadata.uid);
    metadata["resourceVersion"] = json!(object.metadata.resource_version);
    let body = json!({"metadata": metadata});
    send(client, Method::PATCH, resource, object, "application/merge-patch+json", &body).await
}

async fn send(
    client: &Client,
    method: Method,
    resource: &DeletableResource,
    object: &Tracked,
    content_type: &str,
    body: &Value,
) -> Result<(), kube::Error> {
    let path = format!("{}/{}", resource.path(object.namespace()), object.name());
    let request = http::Request::builder()
        .method(method)
        .uri(path)
        .header(header::CONTENT_TYPE, content_type)
        .header(header::ACCEPT, METADATA)
        .body(serde_json::to_vec(body).map_err(kube::Error::SerdeError)?);
    client.request::<Value>(request.map_err(kube::Error::HttpError)?).await.map(drop)
}
