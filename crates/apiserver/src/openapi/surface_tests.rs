//! What is served, against upstream's documents: every path, operation, parameter and schema of a stable version, and
//! what discovery tells of it.

use std::collections::{BTreeMap, BTreeSet};

use http::{HeaderMap, HeaderValue, header};
use serde_json::{Value, json};

use super::tests::{get, openapi, reference, references, upstream};
use crate::discovery::{Contents, Discovery, Priorities};

/// What upstream serves and we do not, each with a name of its own: resources, subresources, other paths. What is no
/// longer absent has to go from here.
const ABSENT: &[&str] = &["/logs/", "/logs/{logpath}"];

/// Operations by path and method, each with what a client can rely on.
type Operations = BTreeMap<(String, String), Value>;

/// Whether a path belongs to a stable version, or to a group that has one, or to nothing.
fn stable(path: &str, paths: &serde_json::Map<String, Value>) -> bool {
    match path.trim_matches('/').split('/').collect::<Vec<_>>()[..] {
        ["apis", _, version, ..] => is_stable(version),
        ["apis", group] => {
            let prefix = format!("/apis/{group}/");
            let mut versions = paths.keys().filter_map(|path| path.strip_prefix(&prefix)?.strip_suffix('/'));
            versions.any(|version| !version.contains('/') && is_stable(version))
        }
        _ => true,
    }
}

fn is_stable(version: &str) -> bool {
    version.len() > 1 && version[1..].bytes().all(|byte| byte.is_ascii_digit())
}

fn operations(document: &Value) -> Operations {
    let shared = &document["parameters"];
    let resolved = |parameter: &Value| match parameter["$ref"].as_str() {
        Some(target) => shared[target.trim_start_matches("#/parameters/")].clone(),
        None => parameter.clone(),
    };
    let told = |parameter: &Value| {
        let parameter = resolved(parameter);
        let of = parameter["type"].as_str().or(parameter["schema"]["$ref"].as_str()).unwrap_or("anything").to_owned();
        let required = if parameter["required"] == true { " required" } else { "" };
        let (place, name) = (parameter["in"].as_str().unwrap(), parameter["name"].as_str().unwrap());
        format!("{place} {name}: {of}{required}")
    };
    let mut operations = Operations::new();
    let paths = document["paths"].as_object().unwrap();
    for (path, methods) in paths.iter().filter(|(path, _)| stable(path, paths)) {
        let methods = methods.as_object().unwrap();
        let common = methods.get("parameters").and_then(Value::as_array).into_iter().flatten();
        for (method, operation) in methods.iter().filter(|(method, _)| *method != "parameters") {
            let own = operation["parameters"].as_array().into_iter().flatten();
            let parameters: BTreeSet<String> = common.clone().chain(own).map(told).collect();
            let responses = operation["responses"].as_object().into_iter().flatten();
            let responses: BTreeMap<_, _> = responses.map(|(code, response)| (code, &response["schema"])).collect();
            let told = json!({
                "operationId": operation["operationId"],
                "action": operation["x-kubernetes-action"],
                "kind": operation["x-kubernetes-group-version-kind"],
                "tags": operation["tags"],
                "parameters": parameters,
                "responses": responses,
            });
            operations.insert((path.clone(), method.clone()), told);
        }
    }
    operations
}

/// What a path is about: `pods`, `deployments.apps/scale`, or the path itself.
fn subject(path: &str) -> String {
    let segments: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    let (group, rest) = match segments[..] {
        ["api", _, ref rest @ ..] => (None, rest),
        ["apis", group, _, ref rest @ ..] => (Some(group), rest),
        _ => return path.to_owned(),
    };
    let rest = if rest.first() == Some(&"watch") { &rest[1..] } else { rest };
    let rest = if rest.len() > 2 && rest[..2] == ["namespaces", "{namespace}"] { &rest[2..] } else { rest };
    let group = group.map(|group| format!(".{group}")).unwrap_or_default();
    match *rest {
        [""] => path.to_owned(),
        [resource, _, subresource, ..] => format!("{resource}{group}/{subresource}"),
        [resource, ..] => format!("{resource}{group}"),
        [] => path.to_owned(),
    }
}

fn is_absent(subject: &str) -> bool {
    ABSENT.contains(&subject)
}

/// One line for each thing that differs.
fn differences(path: &str, ours: &Value, theirs: &Value, into: &mut Vec<String>) {
    match (ours, theirs) {
        (Value::Object(a), Value::Object(b)) => {
            for key in a.keys().chain(b.keys().filter(|key| !a.contains_key(*key))) {
                differences(&format!("{path} {key}"), &ours[key], &theirs[key], into);
            }
        }
        (Value::Array(a), Value::Array(b)) if a.iter().chain(b).all(Value::is_string) => {
            into.extend(a.iter().filter(|item| !b.contains(item)).map(|item| format!("{path}: ours only: {item}")));
            into.extend(b.iter().filter(|item| !a.contains(item)).map(|item| format!("{path}: not ours: {item}")));
        }
        _ if ours != theirs => into.push(format!("{path}: {ours}, not {theirs}")),
        _ => {}
    }
}

#[test]
fn paths_and_operations_are_upstreams() {
    let Some((_, document)) = upstream() else { return };
    let (ours, theirs) = (operations(&get(&openapi(), "/openapi/v2")), operations(&document));
    let mut lines = Vec::new();
    let mut absent = BTreeSet::new();
    for key in ours.keys().chain(theirs.keys().filter(|key| !ours.contains_key(*key))) {
        let (path, method) = key;
        match (ours.get(key), theirs.get(key)) {
            (Some(ours), Some(theirs)) => differences(&format!("{method} {path}"), ours, theirs, &mut lines),
            (Some(_), None) => lines.push(format!("{method} {path}: ours only")),
            _ if is_absent(&subject(path)) => drop(absent.insert(subject(path))),
            _ => lines.push(format!("{method} {path}: not ours")),
        }
    }
    assert!(lines.is_empty(), "{}", lines.join("\n"));
    assert!(absent.iter().eq(ABSENT), "no longer absent: {:?}", ABSENT.iter().filter(|name| !absent.contains(**name)));
}

/// The definitions that stable operations refer to, and what these refer to.
fn definitions(document: &Value) -> BTreeSet<&str> {
    let paths = document["paths"].as_object().unwrap();
    let used = paths.iter().filter(|(path, _)| stable(path, paths) && !is_absent(&subject(path)));
    let mut next: Vec<&str> = used.flat_map(|(_, path)| references(path)).collect();
    let mut found = BTreeSet::new();
    while let Some(target) = next.pop() {
        if found.insert(target) {
            next.extend(document.pointer(&target[1..]).map(references).unwrap_or_default());
        }
    }
    found.into_iter().filter(|target| target.starts_with("#/definitions/")).collect()
}

#[test]
fn the_same_schemas_are_told() {
    let Some((_, document)) = upstream() else { return };
    let own = get(&openapi(), "/openapi/v2");
    let (ours, theirs) = (definitions(&own), definitions(&document));
    let differing: Vec<_> = ours.symmetric_difference(&theirs).collect();
    assert!(differing.is_empty(), "{differing:#?}");
}

/// The stable versions of groups in order, each with its resources and their subresources by name.
fn discovered(list: &Value) -> Vec<(String, BTreeMap<String, Value>)> {
    let versions = list["items"].as_array().unwrap().iter().flat_map(|group| {
        let name = group["metadata"]["name"].as_str().unwrap();
        group["versions"].as_array().unwrap().iter().map(move |version| (name, version))
    });
    let versions = versions.filter(|(_, version)| is_stable(version["version"].as_str().unwrap()));
    let told = versions.map(|(group, version)| {
        let mut resources = BTreeMap::new();
        for resource in version["resources"].as_array().unwrap() {
            let name = format!("{}.{group}", resource["resource"].as_str().unwrap());
            let mut resource = resource.clone();
            let subresources = resource.as_object_mut().unwrap().remove("subresources").unwrap_or_default();
            for sub in subresources.as_array().into_iter().flatten() {
                resources.insert(format!("{name}/{}", sub["subresource"].as_str().unwrap()), sub.clone());
            }
            resources.insert(name, resource);
        }
        resources.retain(|name, _| !is_absent(name));
        (format!("{group}/{}", version["version"].as_str().unwrap()), resources)
    });
    told.collect()
}

#[test]
fn discovery_tells_what_upstreams_does() {
    let Some(theirs) = reference("discovery/aggregated_v2.json") else { return };
    let theirs = discovered(&serde_json::from_slice(&theirs).unwrap());
    let rows = crate::resources::rows();
    let accept = HeaderValue::from_static("application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList");
    let headers = HeaderMap::from_iter([(header::ACCEPT, accept)]);
    let priorities = Priorities::default();
    let contents =
        Contents { rows: rows.iter().map(|row| &**row).collect(), foreign: Vec::new(), priorities: &priorities };
    let discovery = Discovery::new(&contents, "10.0.0.1:6443");
    let reply = discovery.serve("/apis", &headers).unwrap();
    let ours = discovered(&serde_json::from_slice(&reply.document.body).unwrap());
    let names = |versions: &[(String, _)]| versions.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
    assert_eq!(names(&ours), names(&theirs));
    let mut lines = Vec::new();
    for ((name, ours), (_, theirs)) in ours.iter().zip(&theirs) {
        differences(name, &json!(ours), &json!(theirs), &mut lines);
    }
    assert!(lines.is_empty(), "{}", lines.join("\n"));
}
