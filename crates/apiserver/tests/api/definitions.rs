//! Custom resources, from the definition to the last object.

use serde_json::{Value, json};

use crate::client::{Api, Lines};

pub const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
const WIDGETS: &str = "/apis/example.com/v1/namespaces/default/widgets";
const APPLY: &str = "application/apply-patch+yaml";

/// A definition of widgets with these versions.
fn widgets(versions: Value) -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "widgets.example.com"},
        "spec": {
            "group": "example.com", "scope": "Namespaced", "versions": versions,
            "names": {"plural": "widgets", "kind": "Widget", "shortNames": ["wd"], "categories": ["all"]},
        },
    })
}

/// A version that is served and stored.
fn version(name: &str, spec: Value) -> Value {
    json!({
        "name": name, "served": true, "storage": true,
        "subresources": {"status": {}, "scale": {
            "specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas",
            "labelSelectorPath": ".status.selector",
        }},
        "additionalPrinterColumns": [
            {"name": "Size", "type": "integer", "jsonPath": ".spec.size", "description": "How large."},
            {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
        ],
        "selectableFields": [{"jsonPath": ".spec.color"}],
        "schema": {"openAPIV3Schema": {
            "type": "object", "description": "A thing.",
            "properties": {
                "spec": {"type": "object", "properties": spec},
                "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
            },
        }},
    })
}

fn fields() -> Value {
    json!({
        "size": {"type": "integer", "minimum": 1, "description": "How large."},
        "color": {"type": "string", "default": "blue"},
        "replicas": {"type": "integer"},
        "ports": {
            "type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["port"],
            "items": {"type": "object", "required": ["port"], "properties": {
                "port": {"type": "integer"}, "name": {"type": "string"},
            }},
        },
    })
}

fn widget(name: &str, spec: Value) -> Value {
    json!({"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": name}, "spec": spec})
}

/// Waits until a watched definition says so.
async fn until(watch: &mut Lines, name: &str, condition: &str, status: &str) -> Value {
    loop {
        let object = watch.next().await.expect("the watch goes on")["object"].clone();
        let conditions = object["status"]["conditions"].as_array().cloned().unwrap_or_default();
        let said = |own: &Value| own["type"] == condition && own["status"] == status;
        if object["metadata"]["name"] == name && conditions.iter().any(said) {
            return object;
        }
    }
}

/// Writes a definition, and waits until it is established.
pub async fn define(api: &Api, definition: &Value) -> Value {
    let name = definition["metadata"]["name"].as_str().unwrap();
    let mut watch = api.watch(&format!("{DEFINITIONS}?watch=1&fieldSelector=metadata.name%3D{name}")).await;
    api.post(DEFINITIONS, definition).await.ok();
    until(&mut watch, name, "Established", "True").await
}

/// Changes a definition, and waits until `path` answers as wanted. Watches of what changes end.
async fn redefine(api: &Api, change: &Value, mut watch: Lines) {
    api.merge(&format!("{DEFINITIONS}/widgets.example.com"), change).await.ok();
    while watch.next().await.is_some() {}
}

#[tokio::test(flavor = "multi_thread")]
async fn a_definition_is_served() {
    let api = Api::start().await;
    let established = define(&api, &widgets(json!([version("v1", fields())]))).await;
    let status = &established["status"];
    assert_eq!(status["acceptedNames"]["listKind"], "WidgetList");
    let conditions: Vec<_> = status["conditions"].as_array().unwrap().iter().map(|own| own["type"].clone()).collect();
    assert_eq!(conditions, ["NamesAccepted", "Established"]);

    let list = api.get("/apis/example.com/v1").await.ok();
    let own = &list["resources"][0];
    assert_eq!(
        (&own["name"], &own["singularName"], &own["shortNames"]),
        (&json!("widgets"), &json!("widget"), &json!(["wd"]))
    );
    assert!(own["storageVersionHash"].is_string());
    let subresources: Vec<_> =
        list["resources"].as_array().unwrap()[1..].iter().map(|own| own["name"].clone()).collect();
    assert_eq!(subresources, ["widgets/scale", "widgets/status"]);
    let aggregated = "application/json;v=v2;g=apidiscovery.k8s.io;as=APIGroupDiscoveryList";
    let groups = api.accept("/apis", aggregated).await.ok();
    assert!(groups["items"].as_array().unwrap().iter().any(|group| group["metadata"]["name"] == "example.com"));
    let v2 = api.get("/openapi/v2").await.ok();
    assert_eq!(v2["definitions"]["com.example.v1.Widget"]["description"], "A thing.");

    let made = api.post(WIDGETS, &widget("a", json!({"size": 3, "nonsense": 1}))).await;
    assert_eq!(made.headers["warning"], r#"299 - "unknown field \"spec.nonsense\"""#);
    let made = made.ok();
    assert_eq!((&made["spec"], &made["metadata"]["generation"]), (&json!({"size": 3, "color": "blue"}), &json!(1)));
    let (code, _, message) =
        api.post(&format!("{WIDGETS}?fieldValidation=Strict"), &widget("b", json!({"x": 1}))).await.failure();
    let words =
        r#"Widget in version "v1" cannot be handled as a Widget: strict decoding error: unknown field "spec.x""#;
    assert_eq!((code, message.as_str()), (400, words));
    let (code, _, message) = api.post(WIDGETS, &widget("b", json!({"size": 0}))).await.failure();
    let words = r#"Widget.example.com "b" is invalid: spec.size: Invalid value: 0: spec.size in body should be greater than or equal to 1"#;
    assert_eq!((code, message.as_str()), (422, words));
    let v3 = api.get("/openapi/v3/apis/example.com/v1").await.ok();
    let patch = &v3["paths"]["/apis/example.com/v1/namespaces/{namespace}/widgets/{name}"]["patch"];
    let taken: Vec<&String> = patch["requestBody"]["content"].as_object().unwrap().keys().collect();
    assert_eq!(taken, ["application/apply-patch+yaml", "application/json-patch+json", "application/merge-patch+json"]);
    let strategic = api.patch(&format!("{WIDGETS}/a"), "application/strategic-merge-patch+json", &json!({})).await;
    assert_eq!(strategic.code, 415);

    let table = api.accept(WIDGETS, "application/json;as=Table;v=v1;g=meta.k8s.io").await.ok();
    let names: Vec<_> = table["columnDefinitions"].as_array().unwrap().iter().map(|own| own["name"].clone()).collect();
    assert_eq!((names, &table["rows"][0]["cells"][1]), (vec![json!("Name"), json!("Size"), json!("Age")], &json!(3)));
    let blue = api.get(&format!("{WIDGETS}?fieldSelector=spec.color%3Dblue")).await.ok();
    assert_eq!(blue["items"].as_array().unwrap().len(), 1);
    scales(&api).await;
    applies(&api).await;
}

async fn scales(api: &Api) {
    let scale = format!("{WIDGETS}/a/scale");
    api.merge(&format!("{WIDGETS}/a/status"), &json!({"status": {"replicas": 1, "selector": "a=b"}})).await.ok();
    api.merge(&format!("{WIDGETS}/a"), &json!({"spec": {"replicas": 2}})).await.ok();
    let read = api.get(&scale).await.ok();
    assert_eq!((&read["spec"], &read["status"]), (&json!({"replicas": 2}), &json!({"replicas": 1, "selector": "a=b"})));
    let written = api.merge(&scale, &json!({"spec": {"replicas": 5}})).await.ok();
    assert_eq!(written["spec"]["replicas"], 5);
    assert_eq!(api.get(&format!("{WIDGETS}/a")).await.ok()["spec"]["replicas"], 5);
}

async fn applies(api: &Api) {
    let apply = async |manager: &str, ports: Value| {
        let path = format!("{WIDGETS}/applied?fieldManager={manager}");
        api.patch(&path, APPLY, &widget("applied", json!({"ports": ports}))).await
    };
    assert_eq!(apply("one", json!([{"port": 1, "name": "x"}])).await.code, 201);
    let both = apply("two", json!([{"port": 2}])).await.ok();
    assert_eq!(both["spec"]["ports"], json!([{"port": 1, "name": "x"}, {"port": 2}]));
    let (code, _, message) = apply("two", json!([{"port": 1, "name": "y"}])).await.failure();
    assert_eq!((code, message.contains(".spec.ports[port=1].name")), (409, true), "{message}");
    let path = format!("{WIDGETS}/applied?fieldManager=one");
    let (_, _, message) = api.patch(&path, APPLY, &widget("applied", json!({"nonsense": 1}))).await.failure();
    let words = "failed to create typed patch object (/applied; example.com/v1, Kind=Widget): .spec.nonsense: field not declared in schema";
    assert_eq!(message, words);
}

#[tokio::test]
async fn what_came_before_definitions_names_them() {
    let api = Api::start().await;
    let (code, _, message) = api.get("/apis/extensions/v1beta1/thirdpartyresources").await.failure();
    assert_eq!((code, message.contains("CustomResourceDefinition of apiextensions.k8s.io/v1")), (410, true));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_stored_is_served_after_a_restart_and_follows_the_schema() {
    let api = Api::start().await;
    define(&api, &widgets(json!([version("v1", fields())]))).await;
    api.post(WIDGETS, &widget("a", json!({"size": 3}))).await.ok();
    let api = api.restart().await;
    assert_eq!(api.get(&format!("{WIDGETS}/a")).await.ok()["spec"], json!({"size": 3, "color": "blue"}));

    let changed = version("v1", json!({"size": {"type": "integer"}, "shape": {"type": "string", "default": "round"}}));
    let changed = json!({"spec": {"versions": [Value::Object(changed.as_object().unwrap().clone().into_iter().filter(|(name, _)| name != "selectableFields").collect())]}});
    redefine(&api, &changed, api.watch(&format!("{WIDGETS}?watch=1")).await).await;
    let expected = json!({"size": 3, "shape": "round"});
    assert_eq!(api.get(&format!("{WIDGETS}/a")).await.ok()["spec"], expected);
    assert_eq!(api.get(WIDGETS).await.ok()["items"][0]["spec"], expected);
    let merged = api.merge(&format!("{WIDGETS}/a"), &json!({"spec": {"size": 4}})).await.ok();
    assert_eq!(merged["spec"], json!({"size": 4, "shape": "round"}));
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_differ_by_their_names() {
    let api = Api::start().await;
    let mut second = version("v2", fields());
    second["storage"] = json!(false);
    second["deprecated"] = json!(true);
    define(&api, &widgets(json!([version("v1", fields()), second.clone()]))).await;
    let other = WIDGETS.replace("v1", "v2");
    api.post(WIDGETS, &widget("a", json!({"size": 3}))).await.ok();
    let read = api.get(&format!("{other}/a")).await;
    assert_eq!(read.headers["warning"], r#"299 - "example.com/v2 Widget is deprecated""#);
    assert_eq!(read.ok()["apiVersion"], "example.com/v2");

    // The other version becomes the one to store.
    let mut first = version("v1", fields());
    first["storage"] = json!(false);
    second["storage"] = json!(true);
    let change = json!({"spec": {"versions": [first, second]}});
    redefine(&api, &change, api.watch(&format!("{WIDGETS}?watch=1")).await).await;
    for (path, version) in [(WIDGETS, "example.com/v1"), (&*other, "example.com/v2")] {
        let list = api.get(path).await.ok();
        assert_eq!((&list["items"][0]["apiVersion"], &list["items"][0]["spec"]["size"]), (&json!(version), &json!(3)));
        assert_eq!(
            api.merge(&format!("{path}/a"), &json!({"metadata": {"labels": {"x": version.replace('/', "-")}}}))
                .await
                .ok()["apiVersion"],
            version
        );
    }
    let definition = api.get(&format!("{DEFINITIONS}/widgets.example.com")).await.ok();
    assert_eq!(definition["status"]["storedVersions"], json!(["v1", "v2"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_definition_takes_its_objects_along() {
    let api = Api::start().await;
    define(&api, &widgets(json!([version("v1", fields())]))).await;
    let mut held = widget("held", json!({}));
    held["metadata"]["finalizers"] = json!(["example.com/hold"]);
    api.post(WIDGETS, &held).await.ok();
    api.post(WIDGETS, &widget("a", json!({}))).await.ok();
    let mut watch = api.watch(&format!("{DEFINITIONS}?watch=1")).await;
    let mut objects = api.watch(&format!("{WIDGETS}?watch=1&resourceVersion=0")).await;
    api.delete(&format!("{DEFINITIONS}/widgets.example.com")).await.ok();
    until(&mut watch, "widgets.example.com", "Terminating", "True").await;
    while objects.next().await.is_some() {}
    assert_eq!(api.post(WIDGETS, &widget("late", json!({}))).await.code, 405);
    // What holds it lets go.
    api.merge(&format!("{WIDGETS}/held"), &json!({"metadata": {"finalizers": null}})).await;
    while watch.next().await.unwrap()["type"] != "DELETED" {}
    assert_eq!(api.get(&format!("{DEFINITIONS}/widgets.example.com")).await.code, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_is_given_once() {
    let api = Api::start().await;
    define(&api, &widgets(json!([version("v1", fields())]))).await;
    let mut rival = widgets(json!([version("v1", fields())]));
    rival["metadata"]["name"] = json!("gadgets.example.com");
    rival["spec"]["names"] = json!({"plural": "gadgets", "kind": "Widget"});
    let mut watch = api.watch(&format!("{DEFINITIONS}?watch=1")).await;
    api.post(DEFINITIONS, &rival).await.ok();
    let told = until(&mut watch, "gadgets.example.com", "NamesAccepted", "False").await;
    let condition = &told["status"]["conditions"][0];
    assert_eq!(
        (&condition["reason"], &condition["message"]),
        (&json!("ListKindConflict"), &json!("\"WidgetList\" is already in use"))
    );
    api.delete(&format!("{DEFINITIONS}/widgets.example.com")).await.ok();
    until(&mut watch, "gadgets.example.com", "Established", "True").await;
}
