//! Reading: versions and pages of lists, representations, layout and compression, methods and paths.

use std::io::Read;

use flate2::read::GzDecoder;
use http::Method;
use serde_json::{Value, json};

use crate::client::Api;

const MAPS: &str = "/api/v1/namespaces/default/configmaps";

fn map(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}})
}

async fn with_maps(names: &[&str]) -> Api {
    let api = Api::start().await;
    for name in names {
        api.post(MAPS, &map(name)).await.ok();
    }
    api
}

fn names(list: &Value) -> Vec<&str> {
    list["items"].as_array().unwrap().iter().map(|item| item["metadata"]["name"].as_str().unwrap()).collect()
}

fn version(object: &Value) -> &str {
    object["metadata"]["resourceVersion"].as_str().unwrap()
}

#[tokio::test]
async fn a_list_is_of_the_version_that_is_meant() {
    let api = with_maps(&["a", "b", "c"]).await;
    let then = api.get(MAPS).await.ok();
    let at = version(&then);
    api.post(MAPS, &map("d")).await.ok();
    for (query, expected) in [
        ("", vec!["a", "b", "c", "d"]),
        ("limit=2&resourceVersion=0", vec!["a", "b", "c", "d"]),
        (&format!("resourceVersion={at}&resourceVersionMatch=Exact"), vec!["a", "b", "c"]),
        (&format!("resourceVersion={at}&resourceVersionMatch=NotOlderThan"), vec!["a", "b", "c", "d"]),
        (&format!("resourceVersion={at}"), vec!["a", "b", "c", "d"]),
        (&format!("resourceVersion={at}&limit=10"), vec!["a", "b", "c"]),
        ("labelSelector=%zz", vec!["a", "b", "c", "d"]),
    ] {
        assert_eq!(names(&api.get(&format!("{MAPS}?{query}")).await.ok()), expected, "{query}");
    }
    let refused = api.get(&format!("{MAPS}?resourceVersion=abc")).await.failure();
    let why = "resourceVersion: Invalid value: \"abc\": strconv.ParseUint: parsing \"abc\": invalid syntax";
    assert_eq!(refused, (500, String::new(), why.to_owned()));
    assert_eq!(api.get(&format!("{MAPS}/a?resourceVersion=abc")).await.code, 500);
    assert_eq!(api.get(&format!("{MAPS}?watch=true&resourceVersion=abc")).await.code, 500);
    let future = api.get(&format!("{MAPS}?resourceVersion=1000000")).await.failure();
    assert_eq!((future.0, &*future.1), (504, "Timeout"));
}

#[tokio::test]
async fn pages_go_on_after_their_version_is_gone() {
    let api = with_maps(&["a", "b", "c"]).await;
    let first = api.get(&format!("{MAPS}?limit=1")).await.ok();
    assert_eq!((names(&first), first["metadata"]["remainingItemCount"].as_u64()), (vec!["a"], Some(2)));
    let token = first["metadata"]["continue"].as_str().unwrap();
    let both = api.get(&format!("{MAPS}?continue={token}&resourceVersion=5")).await.failure();
    assert_eq!((both.0, &*both.2), (400, "specifying resource version is not allowed when using continue"));
    let garbage = api.get(&format!("{MAPS}?continue=%25")).await.failure();
    let why = "invalid continue token: continue key is not valid: illegal base64 data at input byte 0";
    assert_eq!((garbage.0, &*garbage.2), (400, why));

    api.delete(&format!("{MAPS}/b")).await.ok();
    assert_eq!(names(&api.get(&format!("{MAPS}?limit=1&continue={token}")).await.ok()), ["b"]);
    // What is older than the store's history is gone once the cache has forgotten it, too.
    let api = api.restart().await;
    let store = api.server.registry().store();
    store.compact(store.current_revision().await.unwrap()).await.unwrap();
    let gone = api.get(&format!("{MAPS}?limit=1&continue={token}")).await;
    let (code, reason, message) = gone.failure();
    assert_eq!((code, &*reason), (410, "Expired"));
    assert!(message.contains("or use the continue token in this response"), "{message}");
    let status = gone.json();
    let fresh = status["metadata"]["continue"].as_str().unwrap();
    let rest = api.get(&format!("{MAPS}?continue={fresh}")).await.ok();
    assert_eq!(
        names(&rest),
        ["c", "kube-root-ca.crt"].into_iter().filter(|name| names(&rest).contains(name)).collect::<Vec<_>>()
    );
    assert!(names(&rest).contains(&"c"));
    let exact = api.get(&format!("{MAPS}?resourceVersion={}&resourceVersionMatch=Exact", version(&first))).await;
    assert_eq!(exact.failure().2, "The resourceVersion for the provided list is too old.");
}

#[tokio::test]
async fn a_watch_that_begins_with_everything_tells_the_end_of_it() {
    let api = with_maps(&["a"]).await;
    for query in ["", "&resourceVersion=0", "&sendInitialEvents=true&resourceVersionMatch=NotOlderThan"] {
        let mut watch = api.watch(&format!("{MAPS}?watch=true&allowWatchBookmarks=true{query}")).await;
        assert_eq!(watch.event().await.0, "ADDED");
        let end = watch.next().await.unwrap();
        assert_eq!(end["type"], "BOOKMARK", "{query}");
        assert_eq!(end["object"]["metadata"]["annotations"]["k8s.io/initial-events-end"], "true", "{query}");
    }
}

#[tokio::test]
async fn tables_and_bare_metadata_are_had_of_everything() {
    let api = with_maps(&["a"]).await;
    let table = "application/json;as=Table;v=v1beta1;g=meta.k8s.io";
    let bare = "application/json;as=PartialObjectMetadata;v=v1beta1;g=meta.k8s.io";
    let list = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io";
    let send = async |method: Method, path: &str, accept: &str, kind: &str, body: Value| {
        let headers = [("accept", accept), ("content-type", kind)];
        api.raw(method, path, &headers, body.to_string().into_bytes()).await
    };
    let created = send(Method::POST, MAPS, table, "application/json", map("b")).await.ok();
    assert_eq!((&created["kind"], &created["apiVersion"]), (&json!("Table"), &json!("meta.k8s.io/v1beta1")));
    assert_eq!(created["rows"][0]["object"]["metadata"]["name"], "b");
    assert_eq!(created["rows"][0]["object"]["apiVersion"], "meta.k8s.io/v1beta1");
    let patch = json!({"metadata": {"labels": {"x": "y"}}});
    let patched = send(Method::PATCH, &format!("{MAPS}/b"), bare, "application/merge-patch+json", patch).await.ok();
    assert_eq!(patched["kind"], "PartialObjectMetadata");
    assert_eq!(patched["metadata"]["labels"]["x"], "y");
    assert!(patched.get("data").is_none());
    let none = api.accept(&format!("{MAPS}?includeObject=None"), table).await.ok();
    assert_eq!(none["rows"][0]["object"], Value::Null);
    assert!(none["rows"][0].as_object().unwrap().contains_key("object"));
    let bad = api.accept(&format!("{MAPS}?includeObject=x"), table).await.failure();
    let why = "Unable to convert to Table as requested: includeObject: Invalid value: \"x\": must be 'Metadata', 'Object', 'None', or empty";
    assert_eq!((bad.0, &*bad.2), (400, why));
    for (path, accept, message) in [
        (MAPS, bare, "you requested PartialObjectMetadata, but the requested object is a list (*core.ConfigMapList)"),
        (
            &format!("{MAPS}/a"),
            list,
            "you requested PartialObjectMetadataList, but the requested object is not a list (*core.ConfigMap)",
        ),
        (
            MAPS,
            "application/*",
            "406: Not Acceptable\n\nAvailable representations: application/json, application/yaml, application/vnd.kubernetes.protobuf",
        ),
        (
            MAPS,
            "application/cbor",
            "406: Not Acceptable\n\nAvailable representations: application/json, application/yaml, application/vnd.kubernetes.protobuf",
        ),
        ("/version", "application/cbor", "406: Not Acceptable\n\nAvailable representations: application/json"),
    ] {
        let refused = api.accept(path, accept).await.failure();
        assert_eq!(refused, (406, "NotAcceptable".to_owned(), message.to_owned()), "{accept}");
    }
    assert_eq!(api.accept(&format!("{MAPS}?watch=true"), "application/yaml").await.code, 406);
    let cbor = api.raw(Method::POST, MAPS, &[("content-type", "application/cbor")], vec![0xa0]).await.failure();
    assert_eq!((cbor.0, &*cbor.1), (415, "UnsupportedMediaType"));
    let error = api.accept(&format!("{MAPS}/none"), "application/yaml").await;
    assert_eq!(error.headers["content-type"], "application/yaml");
    assert!(String::from_utf8(error.bytes).unwrap().contains("reason: NotFound"));
}

#[tokio::test]
async fn answers_are_laid_out_for_people_and_compressed_for_programs() {
    let api = with_maps(&["a"]).await;
    let pretty = |reply: &crate::client::Reply| reply.bytes.starts_with(b"{\n  \"");
    let get = async |path: &str, headers: &[(&str, &str)]| api.raw(Method::GET, path, headers, Vec::new()).await;
    for (path, headers, expected) in [
        (&*format!("{MAPS}/a"), &[][..], false),
        (&format!("{MAPS}/a?pretty=true"), &[], true),
        (&format!("{MAPS}/a"), &[("user-agent", "curl/8.0")], true),
        (&format!("{MAPS}/a?pretty=0"), &[("user-agent", "curl/8.0")], false),
        (&format!("{MAPS}/a"), &[("accept", "application/json;pretty=1")], true),
        ("/apis/apps/v1", &[("user-agent", "Wget/1")], true),
        ("/version", &[], true),
        (&format!("{MAPS}/none"), &[("user-agent", "Mozilla/5.0")], true),
    ] {
        let reply = get(path, headers).await;
        assert_eq!(pretty(&reply), expected, "{path} {headers:?} {}", String::from_utf8_lossy(&reply.bytes));
        reply.json();
    }
    let gzip = [("accept-encoding", "gzip")];
    assert!(!get(MAPS, &gzip).await.headers.contains_key("content-encoding"), "it is short");
    for number in 0..5 {
        let mut large = map(&format!("large-{number}"));
        large["data"] = json!({"k": "v".repeat(50_000)});
        api.post(MAPS, &large).await.ok();
    }
    let plain = api.get(MAPS).await.ok();
    let reply = get(MAPS, &gzip).await;
    assert_eq!(reply.headers["content-encoding"], "gzip");
    assert!(reply.bytes.len() < 50_000);
    let mut text = String::new();
    GzDecoder::new(&*reply.bytes).read_to_string(&mut text).unwrap();
    let list: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(list["items"], plain["items"]);
    let mut large = get(&format!("{MAPS}?pretty=1"), &gzip).await;
    text.clear();
    GzDecoder::new(&*std::mem::take(&mut large.bytes)).read_to_string(&mut text).unwrap();
    assert!(text.starts_with("{\n  \"kind\": \"ConfigMapList\""), "{}", &text[..40]);
}

#[tokio::test]
async fn methods_and_paths_are_upstreams() {
    let api = with_maps(&["a"]).await;
    let (get, head, post, put) = (Method::GET, Method::HEAD, Method::POST, Method::PUT);
    let cases = [
        (&head, MAPS, 405),
        (&head, "/api/v1/namespaces/default/configmaps/a", 405),
        (&head, "/apis/apps/v1", 405),
        (&put, "/apis/apps/v1", 405),
        (&post, "/api", 405),
        (&post, "/version", 405),
        (&post, "/healthz", 200),
        (&post, "/apis", 200),
        (&post, "/", 200),
        (&get, "/api/v1/namespaces/default/configmaps/a/", 200),
        (&get, "/api/v1/namespaces/default/configmaps/", 200),
        (&get, "//api/v1/nodes", 404),
        (&get, "/metrics/nope", 404),
        (&get, "/healthz/ping", 200),
        (&get, "/healthz/nope", 404),
        (&get, "/livez/etcd", 200),
        (&get, "/readyz/shutdown", 200),
        (&get, "/livez/shutdown", 404),
    ];
    for (method, path, code) in cases {
        assert_eq!(api.raw(method.clone(), path, &[], Vec::new()).await.code, code, "{method} {path}");
    }
    let missing = (404, "NotFound".to_owned(), "the server could not find the requested resource".to_owned());
    for path in ["/api/v1/namespaces/default/configmaps/a/nope", "/api/v1/nopes", "/apis/apps/v1/namespaces/x/nopes/a"]
    {
        assert_eq!(api.get(path).await.failure(), missing, "{path}");
    }
    for path in ["/apis/example.com/v1/nopes", "/nope"] {
        assert_eq!(api.get(path).await.bytes, b"404 page not found\n", "{path}");
    }
    for (name, why) in
        [("%2E%2E", "may not be '..'"), ("a%2Fb", "may not contain '/'"), ("a%25b", "may not contain '%'")]
    {
        let refused = api.get(&format!("{MAPS}/{name}")).await.failure();
        assert_eq!(refused.0, 400);
        assert!(refused.2.starts_with("Name parameter invalid: ") && refused.2.ends_with(why), "{}", refused.2);
    }
    let late = api.get(&format!("{MAPS}?timeout=x")).await.failure();
    let why = "invalid timeout specified in the request URL - time: invalid duration \"x\"";
    assert_eq!((late.0, &*late.2), (400, why));
    assert_eq!(api.get(&format!("{MAPS}?timeout=10s")).await.code, 200);
}

#[tokio::test]
async fn health_is_told_check_by_check() {
    let api = Api::start().await;
    let text = async |path: &str| String::from_utf8(api.get(path).await.bytes).unwrap();
    assert_eq!(text("/readyz").await, "ok");
    let all = text("/readyz?verbose").await;
    assert!(all.starts_with("[+]ping ok\n[+]log ok\n[+]etcd ok\n[+]etcd-readiness ok\n"), "{all}");
    assert!(all.ends_with("[+]shutdown ok\nreadyz check passed\n"), "{all}");
    let some = text("/livez?verbose&exclude=etcd&exclude=nope").await;
    assert!(some.contains("[+]etcd excluded: ok\n"), "{some}");
    let warning = "warn: some health checks cannot be excluded: no matches for \"nope\"\nlivez check passed\n";
    assert!(some.ends_with(warning), "{some}");
    let version = api.get("/version").await.ok();
    let facts = ["major", "minor", "emulationMinor", "minCompatibilityMinor", "gitVersion"]
        .map(|name| version[name].as_str().unwrap());
    assert_eq!(facts, ["1", "36", "36", "35", "v1.36.2"]);
}
