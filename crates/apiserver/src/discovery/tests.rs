//! Documents over two real kinds.

use api_types::{Resource, Subresource, resource::STATUS_VERBS, rows};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde_json::{Value, json};

use super::{Contents, Discovery, Foreign, Freshness, Priorities};

const SCALE: Subresource = Subresource::new("scale", ("autoscaling", "v1", "Scale"), STATUS_VERBS);
const STATUS: Subresource = Subresource::new("status", ("apps", "v1", "Deployment"), STATUS_VERBS);

fn discovery() -> Discovery {
    let rows = [Resource { subresources: vec![STATUS, SCALE], ..rows::DEPLOYMENTS.clone() }, rows::PODS.clone()];
    let contents = Contents { rows: rows.iter().collect(), foreign: Vec::new(), priorities: &Priorities::default() };
    Discovery::new(&contents, "10.0.0.1:6443")
}

fn get(path: &str, accept: &str) -> (String, Value) {
    let headers = HeaderMap::from_iter([(header::ACCEPT, HeaderValue::from_str(accept).unwrap())]);
    let reply = discovery().serve(path, &headers).unwrap();
    (reply.document.content_type.to_owned(), serde_json::from_slice(&reply.document.body).unwrap())
}

#[test]
fn core_version_lists_resources() {
    let (_, list) = get("/api/v1", "*/*");
    assert_eq!(
        list,
        json!({"kind": "APIResourceList", "groupVersion": "v1", "resources": [{
            "name": "pods", "singularName": "pod", "namespaced": true, "kind": "Pod",
            "verbs": ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"],
            "shortNames": ["po"], "categories": ["all"], "storageVersionHash": "xPOwRZ+Yhw8=",
        }]})
    );
}

#[test]
fn scale_names_its_foreign_group() {
    let (_, list) = get("/apis/apps/v1", "");
    assert_eq!(
        list["resources"][1],
        json!({"name": "deployments/scale", "singularName": "", "namespaced": true, "group": "autoscaling",
               "version": "v1", "kind": "Scale", "verbs": ["get", "patch", "update"]})
    );
    assert_eq!(list["resources"][2].get("group"), None);
}

#[test]
fn groups() {
    let version = json!({"groupVersion": "apps/v1", "version": "v1"});
    let group = json!({"name": "apps", "versions": [version], "preferredVersion": version});
    assert_eq!(get("/apis", "application/json").1["groups"], json!([group]));
    assert_eq!(get("/apis/apps/", "").1["kind"], "APIGroup");
    assert_eq!(get("/api", "").1["versions"], json!(["v1"]));
}

#[test]
fn aggregated_is_negotiated() {
    let v2 = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
    let v2beta1 = "application/json;as=APIGroupDiscoveryList;v=v2beta1;g=apidiscovery.k8s.io";
    let (content_type, list) = get("/apis", &format!("application/cbor, {v2}, {v2beta1}, application/json"));
    assert_eq!(content_type, v2);
    assert_eq!(list["items"][0]["metadata"]["name"], "apps");
    assert_eq!(list["items"][0]["versions"][0]["resources"][0]["subresources"][0]["responseKind"]["kind"], "Scale");
    assert_eq!(get("/api", v2beta1).1["kind"], "APIVersions", "the version of old is not made any more");
    let resource = &list["items"][0]["versions"][0]["resources"][0];
    assert_eq!(resource["responseKind"], json!({"group": "", "version": "", "kind": "Deployment"}));
    assert_eq!(
        resource["subresources"][0]["responseKind"],
        json!({"group": "autoscaling", "version": "v1", "kind": "Scale"})
    );
    assert_eq!(get("/api", "application/json").1["kind"], "APIVersions");
    assert_eq!(get("/api/v1", v2).1["kind"], "APIResourceList");
}

#[test]
fn known_etag_is_not_sent_again() {
    let discovery = discovery();
    let first = discovery.serve("/apis", &HeaderMap::new()).unwrap();
    assert_eq!(first.status, StatusCode::OK);
    let headers = HeaderMap::from_iter([(header::IF_NONE_MATCH, first.document.etag)]);
    assert_eq!(discovery.serve("/apis", &headers).unwrap().status, StatusCode::NOT_MODIFIED);
}

#[test]
fn fields_are_in_upstreams_order() {
    let reply = discovery().serve("/api/v1", &HeaderMap::new()).unwrap();
    let text = String::from_utf8(reply.document.body.to_vec()).unwrap();
    let (_, text) = text.split_once("\"resources\"").unwrap();
    let names =
        ["name", "singularName", "namespaced", "kind", "verbs", "shortNames", "categories", "storageVersionHash"];
    let places: Vec<_> = names.iter().map(|name| text.find(&format!("\"{name}\":")).unwrap()).collect();
    assert!(places.is_sorted(), "{text}");
}

#[test]
fn other_servers_resources_are_told_of_with_their_subresources() {
    let list = json!({"kind": "APIResourceList", "groupVersion": "wardle.example.com/v1", "resources": [
        {"name": "flunders/status", "singularName": "", "namespaced": true, "kind": "Flunder", "verbs": ["get"]},
        {"name": "flunders", "singularName": "flunder", "namespaced": true, "kind": "Flunder", "verbs": ["list"],
         "shortNames": ["fl"]},
        {"name": "fischers/scale", "singularName": "", "namespaced": false, "group": "autoscaling", "version": "v1",
         "kind": "Scale", "verbs": []},
    ]});
    let bytes = serde_json::to_vec(&list).unwrap();
    assert!(Foreign::read(&bytes, "other/v1").unwrap_err().contains("wardle.example.com/v1"));
    assert!(Foreign::read(b"{}", "other/v1").is_err());
    let foreign = Foreign::read(&bytes, "wardle.example.com/v1").unwrap();
    assert_eq!((foreign.freshness, foreign.stale().freshness), (Freshness::Current, Freshness::Stale));
    let contents = Contents {
        rows: Vec::new(),
        foreign: vec![("wardle.example.com", "v1", &foreign)],
        priorities: &Priorities::default(),
    };
    let discovery = Discovery::new(&contents, "10.0.0.1:6443");
    let accept = HeaderValue::from_static("application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList");
    let reply = discovery.serve("/apis", &HeaderMap::from_iter([(header::ACCEPT, accept)])).unwrap();
    let told: Value = serde_json::from_slice(&reply.document.body).unwrap();
    let kind = |group: &str, version: &str, kind: &str| json!({"group": group, "version": version, "kind": kind});
    assert_eq!(
        told["items"][0]["versions"],
        json!([{"version": "v1", "freshness": "Current", "resources": [
            {"resource": "flunders", "responseKind": kind("", "", "Flunder"), "scope": "Namespaced",
             "singularResource": "flunder", "verbs": ["list"], "shortNames": ["fl"], "subresources": [
                {"subresource": "status", "responseKind": kind("", "", "Flunder"), "verbs": ["get"]}]},
            {"resource": "fischers", "responseKind": kind("", "", ""), "scope": "Cluster", "singularResource": "",
             "verbs": [], "subresources": [
                {"subresource": "scale", "responseKind": kind("autoscaling", "v1", "Scale"), "verbs": []}]},
        ]}])
    );
    assert!(discovery.knows("/apis/wardle.example.com") && !discovery.knows("/apis/wardle.example.com/v1"));
}
