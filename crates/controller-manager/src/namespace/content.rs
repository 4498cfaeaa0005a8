//! Deleting and counting what a namespace holds.

use api_types::meta::ObjectMeta;
use kube::Client;
use serde::Deserialize;

use super::plan::Found;
use crate::{
    discovery::{DeletableResource, discover},
    write,
};

const METADATA_LIST: &str = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json";

#[derive(Deserialize)]
struct List {
    items: Option<Vec<Item>>,
}

#[derive(Deserialize)]
struct Item {
    metadata: ObjectMeta,
}

/// Deletes everything in the namespace, pods first and the rest when they are gone, and says what
/// is left. What cannot be listed counts as a failure, never as empty.
pub(super) async fn delete_all(client: &Client, namespace: &str) -> Found {
    let mut found = Found::default();
    let discovered = match discover(client).await {
        Ok(discovered) => discovered,
        Err(error) => {
            found.discovery_failures.push(write::message(&error));
            return found;
        }
    };
    found
        .discovery_failures
        .extend(discovered.stale.iter().map(|group| format!("stale GroupVersion discovery: {group}")));
    let in_namespace = discovered.resources.into_iter().filter(|resource| resource.namespaced);
    let (pods, others): (Vec<_>, Vec<_>) = in_namespace.partition(|r| r.group.is_empty() && r.plural == "pods");
    for resources in [pods, others] {
        for resource in resources {
            if let Err(error) = delete_kind(client, namespace, &resource, &mut found).await {
                found.content_failures.push(format!("{}: {}", resource.group_resource(), write::message(&error)));
            }
        }
        if !found.remaining.is_empty() || !found.content_failures.is_empty() {
            break;
        }
    }
    found
}

async fn delete_kind(
    client: &Client,
    namespace: &str,
    resource: &DeletableResource,
    found: &mut Found,
) -> Result<(), kube::Error> {
    let path = resource.path(namespace);
    let before = list(client, &path).await?;
    if before.is_empty() {
        return Ok(());
    }
    if resource.delete_collection {
        delete(client, &path).await?;
    } else {
        for item in &before {
            delete(client, &format!("{path}/{}", item.metadata.name.as_deref().unwrap_or_default())).await?;
        }
    }
    let after = list(client, &path).await?;
    if !after.is_empty() {
        found.remaining.insert(resource.group_resource(), after.len());
    }
    for finalizer in after.iter().flat_map(|item| item.metadata.finalizers.iter().flatten()) {
        *found.finalizers.entry(finalizer.clone()).or_default() += 1;
    }
    Ok(())
}

async fn list(client: &Client, path: &str) -> Result<Vec<Item>, kube::Error> {
    let request = http::Request::get(path).header(http::header::ACCEPT, METADATA_LIST).body(Vec::new());
    let list: List = client.request(request.map_err(kube::Error::HttpError)?).await?;
    Ok(list.items.unwrap_or_default())
}

/// Dependents go on their own: everything in the namespace goes.
async fn delete(client: &Client, path: &str) -> Result<(), kube::Error> {
    let options = br#"{"kind":"DeleteOptions","apiVersion":"v1","propagationPolicy":"Background"}"#.to_vec();
    let request = http::Request::delete(path).header(http::header::CONTENT_TYPE, "application/json").body(options);
    match client.request::<serde_json::Value>(request.map_err(kube::Error::HttpError)?).await {
        Err(error) if write::code(&error) == Some(404) => Ok(()),
        result => result.map(drop),
    }
}
