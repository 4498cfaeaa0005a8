//! Kinds that come, change and go while the server runs.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use api_types::{
    Dynamic, Object, Resource, StatusError, Subresource,
    apiextensions::JSONSchemaProps,
    custom::{Definition, DynamicKind, OtherVersions, Structure},
    object::{Column, SelectableField},
    resource::{Names, Ops, STATUS_VERBS, Text},
};
use apiserver::{
    catalogue::{Answer, ChangeError, Draft, Forward, Forwarded, Request, Route, SubRoute},
    handlers::OfPart,
    registry::{Conversion, DynamicStrategy, Part, Rest, StatusOwner, Storage, WatchSizes, conversion::Objects},
    serving::{Body, respond},
    storage::Prefix,
};
use component::CancellationToken;
use futures::future::BoxFuture;
use http::StatusCode;
use serde_json::{Value, json};

use crate::client::Api;

const V1: &str = "/apis/example.com/v1/namespaces/default/widgets";
const V2: &str = "/apis/example.com/v2/namespaces/default/widgets";
const APPLY: &str = "application/apply-patch+yaml";

/// `Widget` of this version, whose size is in this field of the spec.
fn widgets(version: &str, size: &str, description: &str) -> Resource {
    let row = kind(version, size, description, Vec::new()).row("widgets", "widget");
    Resource { short_names: Names::Owned(["wd".to_owned()].into()), ..row }
}

fn kind(version: &str, size: &str, description: &str, also_stored: Vec<(Text, Arc<Structure>)>) -> DynamicKind {
    let column = Column { name: "Size".into(), ..Column::integer("", "How large it is.") };
    let schema = json!({
        "type": "object",
        "description": description,
        "x-kubernetes-preserve-unknown-fields": true,
        "properties": {"spec": {
            "type": "object",
            "x-kubernetes-preserve-unknown-fields": true,
            "properties": {size: {"type": "integer", "description": "How large."}},
        }},
    });
    let color = SelectableField::text("spec.color");
    let schema: JSONSchemaProps = serde_json::from_value(schema).unwrap();
    DynamicKind::new(Definition {
        columns: vec![(column, format!("spec.{size}"))],
        selectable: vec![color],
        also_stored,
        other_versions: OtherVersions::Kept,
        ..Definition::new(format!("example.com/{version}"), "Widget", Arc::new(Structure::new(&schema)))
    })
}

/// A route of such a version; `storage` is what another version stores.
fn route(api: &Api, row: Resource, storage: Option<(Arc<Storage>, Arc<dyn Conversion>)>) -> Route {
    let status = Subresource {
        name: "status".into(),
        group: row.group.clone(),
        version: row.version.clone(),
        kind: row.kind.clone(),
        ..Subresource::new("", ("", "", ""), STATUS_VERBS)
    };
    let status = SubRoute { row: status, endpoint: Arc::new(OfPart(Part::Status)) };
    let store = api.server.registry().store().clone();
    Route::stored(row, vec![status], |row| {
        let (storage, conversion) = match storage {
            Some((storage, conversion)) => (storage, Some(conversion)),
            None => {
                let folder = Prefix::new("/registry/example.com/widgets");
                (Arc::new(Storage::new(store, folder, row.clone(), &[], None)), None)
            }
        };
        let strategy = Arc::new(DynamicStrategy { status: StatusOwner::Subresource, scale: None });
        Rest { row, strategy, storage, conversion, watched: WatchSizes::default() }
    })
}

fn put(api: &Api, route: Route) {
    api.server.served().change(|draft| draft.put(route)).unwrap();
}

fn remove(api: &Api, version: &str) {
    let removed = |served: &mut Draft| Ok::<_, ChangeError>(served.remove("example.com", version, "widgets"));
    assert!(api.server.served().change(removed).unwrap());
}

fn stored_by(api: &Api) -> Arc<Storage> {
    api.server.registry().find("example.com", "v1", "widgets").unwrap().storage.clone()
}

fn widget(name: &str, size: u32) -> Value {
    json!({"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": name}, "spec": {"size": size}})
}

/// Other requests, until the token is cancelled; tells how many there were.
fn others(server: String, stop: CancellationToken) -> tokio::task::JoinHandle<usize> {
    tokio::spawn(async move {
        let client: hyper_util::client::legacy::Client<_, http_body_util::Full<bytes::Bytes>> =
            hyper_util::client::legacy::Client::builder(hyper_util::rt::TokioExecutor::new()).build_http();
        let mut done = 0;
        while !stop.is_cancelled() {
            for path in ["/api/v1/namespaces/default", "/api/v1/services", "/apis", "/api/v1/namespaces/kube-system"] {
                let answer = client.get(format!("{server}{path}").parse().unwrap()).await.unwrap();
                assert_eq!(answer.status(), 200, "{path}");
            }
            done += 1;
        }
        done
    })
}

/// Turns `size` of version 1 into `width` of version 2 and back, after asking somebody else.
struct Renamed {
    stored: &'static str,
    served: &'static str,
    calls: AtomicUsize,
    objects: AtomicUsize,
}

impl Renamed {
    fn new(stored: &'static str, served: &'static str) -> Self {
        Self { stored, served, calls: AtomicUsize::new(0), objects: AtomicUsize::new(0) }
    }

    async fn convert(&self, objects: Objects, version: &str) -> Result<Objects, StatusError> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        self.objects.fetch_add(objects.len(), Ordering::SeqCst);
        tokio::task::yield_now().await;
        let (from, to) = if version == "v1" { ("width", "size") } else { ("size", "width") };
        let convert = |object: Box<dyn Object>| -> Result<Box<dyn Object>, StatusError> {
            let mut widget = object.expect_ref::<Dynamic>("Widget")?.clone();
            widget.api_version = format!("example.com/{version}");
            if let Some(Value::Object(spec)) = widget.fields.get_mut("spec")
                && let Some(size) = spec.remove(from)
            {
                spec.insert(to.to_owned(), size);
            }
            Ok(Box::new(widget))
        };
        objects.into_iter().map(convert).collect()
    }
}

impl Conversion for Renamed {
    fn to_stored(&self, objects: Objects) -> BoxFuture<'_, Result<Objects, StatusError>> {
        Box::pin(self.convert(objects, self.stored))
    }

    fn to_served(&self, objects: Objects) -> BoxFuture<'_, Result<Objects, StatusError>> {
        Box::pin(self.convert(objects, self.served))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kind_comes_changes_and_goes_while_other_requests_run() {
    let api = Api::start().await;
    let stop = CancellationToken::new();
    let others = others(api.server.url(), stop.clone());
    assert_eq!(api.get(V1).await.code, 404);

    put(&api, route(&api, widgets("v1", "size", "A thing."), None));
    is_told_of(&api, "v1", "A thing.").await;
    is_read_written_and_watched(&api).await;
    is_applied(&api).await;

    let old = api.watch(&format!("{V1}?watch=1&resourceVersion=0")).await;
    has_a_second_version(&api).await;
    changes(&api, old).await;

    let mut watch = api.watch(&format!("{V2}?watch=1")).await;
    remove(&api, "v2");
    remove(&api, "v1");
    while watch.next().await.is_some() {}
    assert_eq!(api.get(V1).await.code, 404);
    assert_eq!(api.get("/apis/example.com").await.code, 404);
    assert!(
        !api.get("/openapi/v2").await.ok()["definitions"].as_object().unwrap().contains_key("com.example.v1.Widget")
    );
    stop.cancel();
    assert!(others.await.unwrap() > 0);
}

/// Discovery lists it, and OpenAPI explains it.
async fn is_told_of(api: &Api, version: &str, description: &str) {
    let list = api.get(&format!("/apis/example.com/{version}")).await.ok();
    assert_eq!(
        (&list["resources"][0]["name"], &list["resources"][0]["shortNames"][0]),
        (&json!("widgets"), &json!("wd"))
    );
    assert_eq!(list["resources"][1]["name"], "widgets/status");
    let groups = api.get("/apis").await.ok();
    assert!(groups["groups"].as_array().unwrap().iter().any(|group| group["name"] == "example.com"));
    let index = api.get("/openapi/v3").await.ok();
    let url = index["paths"][format!("apis/example.com/{version}")]["serverRelativeURL"].as_str().unwrap().to_owned();
    let v3 = api.get(&url).await.ok();
    let name = format!("com.example.{version}.Widget");
    let schema = &v3["components"]["schemas"][&name];
    assert_eq!(schema["description"], description);
    assert_eq!(schema["x-kubernetes-group-version-kind"][0]["kind"], "Widget");
    let reference = "#/components/schemas/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";
    assert_eq!(schema["properties"]["metadata"]["allOf"][0]["$ref"], reference);
    let path = format!("/apis/example.com/{version}/namespaces/{{namespace}}/widgets/{{name}}");
    assert_eq!(v3["paths"][&path]["patch"]["x-kubernetes-group-version-kind"]["kind"], "Widget");
    assert_eq!(api.get("/openapi/v2").await.ok()["definitions"][&name]["description"], description);
}

async fn is_read_written_and_watched(api: &Api) {
    let mut watch = api.watch(&format!("{V1}?watch=1")).await;
    let made = api.post(V1, &widget("a", 1)).await.ok();
    assert_eq!((&made["metadata"]["generation"], &made["spec"]["size"]), (&json!(1), &json!(1)));
    assert_eq!(watch.event().await, ("ADDED".to_owned(), "a".to_owned()));
    let one = format!("{V1}/a");
    assert_eq!(api.get(&one).await.ok(), made);

    let merged = api.merge(&one, &json!({"spec": {"color": "red"}, "status": {"ready": true}})).await.ok();
    assert_eq!((&merged["metadata"]["generation"], &merged["status"]), (&json!(2), &Value::Null));
    assert_eq!(watch.event().await, ("MODIFIED".to_owned(), "a".to_owned()));
    let replace = json!([{"op": "replace", "path": "/spec/size", "value": 2}]);
    api.patch(&one, "application/json-patch+json", &replace).await.ok();
    let status =
        api.merge(&format!("{one}/status"), &json!({"spec": {"size": 9}, "status": {"ready": true}})).await.ok();
    assert_eq!((&status["spec"]["size"], &status["status"]["ready"]), (&json!(2), &json!(true)));
    assert_eq!(status["metadata"]["generation"], 3);
    let mut put = status.clone();
    put["spec"]["size"] = json!(3);
    assert_eq!(api.put(&one, &put).await.ok()["spec"]["size"], 3);
    assert_eq!(api.put(&one, &put).await.failure().1, "Conflict");

    assert_eq!(api.post(V1, &widget("b", 5)).await.code, 201);
    let red = api.get(&format!("{V1}?fieldSelector=spec.color%3Dred")).await.ok();
    assert_eq!((red["items"].as_array().unwrap().len(), &red["items"][0]["metadata"]["name"]), (1, &json!("a")));
    let table = api.accept(V1, "application/json;as=Table;v=v1;g=meta.k8s.io").await.ok();
    assert_eq!(table["columnDefinitions"][1]["name"], "Size");
    assert_eq!(table["rows"][1]["cells"][1], 5);
    assert_eq!(api.post(V1, &json!({"kind": "Gadget"})).await.failure().1, "BadRequest");
}

async fn is_applied(api: &Api) {
    let applied = |size: u32| json!({"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "c"}, "spec": {"size": size}});
    let path = |manager: &str| format!("{V1}/c?fieldManager={manager}");
    assert_eq!(api.patch(&path("one"), APPLY, &applied(1)).await.code, 201);
    assert_eq!(api.patch(&path("one"), APPLY, &applied(2)).await.ok()["spec"]["size"], 2);
    let (code, _, message) = api.patch(&path("two"), APPLY, &applied(3)).await.failure();
    assert_eq!((code, message.contains(".spec.size")), (409, true), "{message}");
}

async fn has_a_second_version(api: &Api) {
    let conversion = Arc::new(Renamed::new("v1", "v2"));
    put(api, route(api, widgets("v2", "width", "A thing."), Some((stored_by(api), conversion.clone()))));
    is_told_of(api, "v2", "A thing.").await;
    assert_eq!(api.get("/apis/example.com").await.ok()["preferredVersion"]["version"], "v2");

    let list = api.get(V2).await.ok();
    let widths: Vec<_> = list["items"].as_array().unwrap().iter().map(|item| item["spec"]["width"].clone()).collect();
    assert_eq!((&list["apiVersion"], widths), (&json!("example.com/v2"), vec![json!(3), json!(5), json!(2)]));
    let counted = (conversion.calls.load(Ordering::SeqCst), conversion.objects.load(Ordering::SeqCst));
    assert_eq!(counted, (1, 3), "a list is converted at once");

    let mut watch = api
        .watch(&format!("{V2}?watch=1&resourceVersion={}", list["metadata"]["resourceVersion"].as_str().unwrap()))
        .await;
    let new =
        json!({"apiVersion": "example.com/v2", "kind": "Widget", "metadata": {"name": "d"}, "spec": {"width": 7}});
    let tried = api.post(&format!("{V2}?dryRun=All"), &new).await.ok();
    assert_eq!((&tried["apiVersion"], &tried["spec"]), (&json!("example.com/v2"), &json!({"width": 7})));
    let made = api.post(V2, &new).await.ok();
    assert_eq!((&made["apiVersion"], &made["spec"]), (&json!("example.com/v2"), &json!({"width": 7})));
    assert_eq!(api.get(&format!("{V1}/d")).await.ok()["spec"], json!({"size": 7}));
    let event = watch.next().await.unwrap();
    assert_eq!((&event["type"], &event["object"]["spec"]["width"]), (&json!("ADDED"), &json!(7)));
    api.merge(&format!("{V2}/d"), &json!({"spec": {"width": 8}})).await.ok();
    assert_eq!(watch.next().await.unwrap()["object"]["spec"]["width"], 8);
    let table = api.accept(&format!("{V2}/d"), "application/json;as=Table;v=v1;g=meta.k8s.io").await.ok();
    assert_eq!(table["rows"][0]["cells"][1], 8);
    api.delete(&format!("{V2}/d")).await.ok();
    assert_eq!(watch.next().await.unwrap()["type"], "DELETED");
}

/// What was watched before ends, so that clients look again, and what was stored is still there.
async fn changes(api: &Api, mut watch: crate::client::Lines) {
    put(api, route(api, widgets("v1", "size", "A better thing."), None));
    while watch.next().await.is_some() {}
    is_told_of(api, "v1", "A better thing.").await;
    assert_eq!(api.get(V1).await.ok()["items"].as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn another_version_becomes_the_one_to_store() {
    let api = Api::start().await;
    put(&api, route(&api, widgets("v1", "size", ""), None));
    api.post(V1, &widget("a", 1)).await.ok();

    let old = stored_by(&api);
    let before = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    let before: JSONSchemaProps = serde_json::from_value(before).unwrap();
    let before = vec![("example.com/v1".into(), Arc::new(Structure::new(&before)))];
    let ops = Ops::Owned(Arc::new(kind("v2", "width", "", before)));
    let row = Arc::new(Resource { ops, ..widgets("v2", "width", "") });
    let (store, folder) = (api.server.registry().store().clone(), old.cache.prefix().clone());
    let storage = Arc::new(Storage::new(store.clone(), folder, row.clone(), &[], None));
    let changed = api.server.served().change(|draft| {
        for (version, size) in [("v1", "size"), ("v2", "width")] {
            let conversion = Arc::new(Renamed::new("v2", version));
            draft.put(route(&api, widgets(version, size, ""), Some((storage.clone(), conversion))))?;
        }
        Ok::<_, ChangeError>(())
    });
    changed.unwrap();

    assert_eq!(api.get(&format!("{V2}/a")).await.ok()["spec"], json!({"width": 1}));
    api.post(V1, &widget("b", 2)).await.ok();
    let stored = store.get(&storage.key("default", "b")).await.unwrap();
    let stored: Value = serde_json::from_slice(&stored.value).unwrap();
    assert_eq!((&stored["apiVersion"], &stored["spec"]), (&json!("example.com/v2"), &json!({"width": 2})));
    for (path, field) in [(V1, "size"), (V2, "width")] {
        let list = api.get(path).await.ok();
        let sizes: Vec<_> = list["items"].as_array().unwrap().iter().map(|item| item["spec"][field].clone()).collect();
        assert_eq!(sizes, [1, 2], "{path}");
    }
}

/// Loses what it is given.
struct Lossy;

impl Conversion for Lossy {
    fn to_stored(&self, objects: Objects) -> BoxFuture<'_, Result<Objects, StatusError>> {
        Box::pin(std::future::ready(Ok(objects)))
    }

    fn to_served(&self, _: Objects) -> BoxFuture<'_, Result<Objects, StatusError>> {
        Box::pin(std::future::ready(Ok(Vec::new())))
    }
}

#[tokio::test]
async fn a_faulty_kind_is_an_error_and_not_silence() {
    let api = Api::start().await;
    put(&api, route(&api, widgets("v1", "size", ""), None));
    api.post(V1, &widget("a", 1)).await.ok();
    put(&api, route(&api, widgets("v2", "size", ""), Some((stored_by(&api), Arc::new(Lossy)))));
    for path in [V2.to_owned(), format!("{V2}/a")] {
        let (code, _, message) = api.get(&path).await.failure();
        assert_eq!((code, message.contains("conversion returned 0 objects, expected 1")), (500, true), "{message}");
    }
    // The strategy is another kind's.
    let row = Resource { ops: api_types::rows::PODS.ops.clone(), ..widgets("v1", "size", "") };
    put(&api, route(&api, row, None));
    let pod = json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
    let (code, _, message) = api.post(V1, &pod).await.failure();
    assert_eq!(
        (code, message.contains("an object of another kind was taken for a custom resource")),
        (500, true),
        "{message}"
    );
}

/// Tells what it was asked for.
struct Echo;

impl Forwarded for Echo {
    fn forward(&self, request: Request) -> BoxFuture<'_, Answer> {
        Box::pin(async move { Ok(respond::text(StatusCode::OK, Body::from(request.info.path))) })
    }
}

#[tokio::test]
async fn another_server_answers_for_a_group_version() {
    let api = Api::start().await;
    let forward =
        Forward { group: "example.com".into(), version: "v1".into(), server: Arc::new(Echo), foreign: Arc::default() };
    let change = |change: &dyn Fn(&mut Draft)| {
        let changed: Result<(), ChangeError> = api.server.served().change(|draft| {
            change(draft);
            Ok(())
        });
        changed.unwrap();
    };
    change(&|draft| draft.forward(forward.clone()));
    for path in ["/apis/example.com/v1", V1, &format!("{V1}/a/anything/b")] {
        let reply = api.get(path).await;
        assert_eq!((reply.code, String::from_utf8_lossy(&reply.bytes).as_ref()), (200, path));
    }
    assert_eq!(api.get("/apis/example.com").await.ok()["preferredVersion"]["version"], "v1");
    put(&api, route(&api, widgets("v1", "size", ""), None));
    assert_eq!(String::from_utf8_lossy(&api.get(V1).await.bytes), V1, "it has precedence");
    change(&|draft| draft.take_back("example.com", "v1"));
    assert_eq!(api.get(V1).await.ok()["kind"], "WidgetList");
}
