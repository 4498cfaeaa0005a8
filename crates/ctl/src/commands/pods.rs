//! Finding the pod that logs and exec mean: `NAME`, `pod/NAME`, `deployment/NAME`…

use std::time::Duration;

use api_types::{codec::FromJson, core::Pod, meta::LabelSelector};
use futures::{AsyncBufReadExt, TryStreamExt};
use serde_json::Value;

use crate::{
    api::Api,
    error::{Error, Result},
    manifests::FileFlags,
    resources::{Catalog, Target},
};

/// The pod that `argument` names; for a workload, its first pod, running ones first.
///
/// # Errors
/// When there is none.
pub async fn find(api: &Api, argument: &str) -> Result<Pod> {
    let Some((kind, name)) = argument.split_once('/') else {
        return get(api, argument).await;
    };
    let catalog = Catalog::discover(api).await?;
    let target = Target { resource: catalog.find(kind)?, name: Some(name.to_owned()) };
    if target.resource.kind == "Pod" {
        return get(api, name).await;
    }
    let object = api.get(&target.path(Some(&api.namespace))).await?;
    let selector = selector(&object)
        .ok_or_else(|| Error::usage(format!("cannot get the pods of {}: it has no selector", target.display())))?;
    select(api, &selector)
        .await?
        .into_iter()
        .next()
        .ok_or_else(|| Error::usage(format!("no pods found for {}: selector {selector}", target.display())))
}

/// As [`find`], of a workload that has no pod yet waits for one.
///
/// # Errors
/// When there is none in time.
pub async fn find_within(api: &Api, argument: &str, timeout: Duration) -> Result<Pod> {
    let waiting = async {
        loop {
            match find(api, argument).await {
                Err(Error::Usage(words)) if words.starts_with("no pods found") => first_pod(api).await?,
                result => return result,
            }
        }
    };
    match tokio::time::timeout(timeout, waiting).await {
        Ok(result) => result,
        Err(_) => Err(Error::usage("timed out waiting for the condition")),
    }
}

/// Every pod of a workload, or the one that is named.
///
/// # Errors
/// When there is none.
pub async fn find_every(api: &Api, argument: &str) -> Result<Vec<Pod>> {
    let Some((kind, name)) = argument.split_once('/') else { return Ok(vec![get(api, argument).await?]) };
    let target = Target { resource: Catalog::discover(api).await?.find(kind)?, name: Some(name.to_owned()) };
    if target.resource.kind == "Pod" {
        return Ok(vec![get(api, name).await?]);
    }
    let object = api.get(&target.path(Some(&api.namespace))).await?;
    let selector = selector(&object)
        .ok_or_else(|| Error::usage(format!("cannot get the logs from {}: it has no selector", target.display())))?;
    select(api, &selector).await
}

/// The names of all containers: those that run first, then those that run today.
#[must_use]
pub fn all_containers(pod: &Pod) -> Vec<String> {
    let spec = pod.spec.clone().unwrap_or_default();
    let plain = spec.init_containers.iter().flatten().chain(&spec.containers).map(|container| container.name.clone());
    plain.chain(spec.ephemeral_containers.iter().flatten().map(|container| container.name.clone())).collect()
}

/// Returns when something happened to a pod of the namespace.
async fn first_pod(api: &Api) -> Result<()> {
    let url = format!("/api/v1/namespaces/{}/pods?watch=true", api.namespace);
    let mut lines = api.stream(&url, "application/json").await?.lines();
    lines.try_next().await.map_err(|error| Error::Unreachable(error.to_string()))?;
    Ok(())
}

/// `TYPE/NAME` of the one object in a file.
///
/// # Errors
/// When the file has another number of objects.
pub fn named_in(files: &FileFlags) -> Result<String> {
    let objects = files.objects()?;
    let [object] = objects.as_slice() else { return Err(Error::usage("expected one object in the file")) };
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    Ok(format!("{}/{}", text(&object["kind"]), text(&object["metadata"]["name"])))
}

/// Whether a container has a terminal.
#[must_use]
pub fn has_terminal(pod: &Pod, container: &str) -> bool {
    let spec = pod.spec.clone().unwrap_or_default();
    let plain = spec.containers.iter().chain(spec.init_containers.iter().flatten());
    let plain = plain.map(|known| (known.name.as_str(), known.tty));
    let ephemeral = spec.ephemeral_containers.iter().flatten().map(|known| (known.name.as_str(), known.tty));
    plain.chain(ephemeral).any(|(name, tty)| name == container && tty == Some(true))
}

async fn get(api: &Api, name: &str) -> Result<Pod> {
    parse(&api.get(&format!("/api/v1/namespaces/{}/pods/{name}", api.namespace)).await?)
}

/// The pods that a label selector selects, running ones first.
///
/// # Errors
/// When the server refuses.
pub async fn select(api: &Api, selector: &str) -> Result<Vec<Pod>> {
    let query = super::query(&[("labelSelector", Some(selector))]);
    let mut list = api.get(&format!("/api/v1/namespaces/{}/pods?{query}", api.namespace)).await?;
    let Value::Array(items) = list["items"].take() else { return Ok(Vec::new()) };
    let mut pods = items.iter().map(parse).collect::<Result<Vec<_>>>()?;
    let running = |pod: &Pod| pod.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Running");
    pods.sort_by_key(|pod| !running(pod));
    Ok(pods)
}

fn parse(object: &Value) -> Result<Pod> {
    Pod::from_tree(object).map_err(|error| Error::usage(format!("the server sent no pod: {error}")))
}

/// The label selector of a workload or a service, as text.
#[must_use]
pub fn selector(object: &Value) -> Option<String> {
    let selector = &object["spec"]["selector"];
    if object["kind"] == "Service" || object["kind"] == "ReplicationController" {
        let pairs = selector.as_object()?.iter();
        return Some(
            pairs
                .map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()))
                .collect::<Vec<_>>()
                .join(","),
        );
    }
    let selector = LabelSelector::from_tree(selector).ok()?;
    let parsed = api_types::selector::label::Selector::from_label_selector(Some(&selector)).ok()?;
    Some(parsed.to_string())
}

/// The container that a command means: the one named, the default one by annotation, the only or
/// first one.
///
/// # Errors
/// When the pod has no such container.
pub fn container(pod: &Pod, named: Option<&str>) -> Result<String> {
    let spec = pod.spec.clone().unwrap_or_default();
    let name = pod.metadata.name.clone().unwrap_or_default();
    let init = spec.init_containers.iter().flatten();
    let ephemeral = spec.ephemeral_containers.iter().flatten().map(|container| container.name.as_str());
    let known = spec.containers.iter().chain(init).map(|container| container.name.as_str());
    let known: Vec<&str> = known.chain(ephemeral).collect();
    if let Some(named) = named {
        return match known.contains(&named) {
            true => Ok(named.to_owned()),
            false => Err(Error::usage(format!(
                "container {named} is not valid for pod {name} out of: {}",
                described(&spec).join(", ")
            ))),
        };
    }
    let annotation =
        pod.metadata.annotations.as_ref().and_then(|all| all.get("kubectl.kubernetes.io/default-container")).cloned();
    if let Some(default) = annotation.filter(|default| known.contains(&default.as_str())) {
        return Ok(default);
    }
    let first = spec.containers.first().ok_or_else(|| Error::usage(format!("pod {name} has no containers")))?;
    if known.len() > 1 {
        eprintln!("Defaulted container {:?} out of: {}", first.name, described(&spec).join(", "));
    }
    Ok(first.name.clone())
}

/// The containers' names, with what they are when that is something else.
fn described(spec: &api_types::core::PodSpec) -> Vec<String> {
    let plain = spec.containers.iter().map(|container| container.name.clone());
    let ephemeral = spec.ephemeral_containers.iter().flatten().map(|container| format!("{} (ephem)", container.name));
    let init = spec.init_containers.iter().flatten().map(|container| format!("{} (init)", container.name));
    plain.chain(ephemeral).chain(init).collect()
}
