//! Lists: selectors, pages, versions.

use serde_json::{Value, json};

use crate::client::Api;

const MAPS: &str = "/api/v1/namespaces/default/configmaps";

async fn with_maps(count: usize) -> Api {
    let api = Api::start().await;
    for i in 0..count {
        let parity = if i % 2 == 0 { "even" } else { "odd" };
        let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": format!("m{i}"), "labels": {"parity": parity}}});
        api.post(MAPS, &map).await.ok();
    }
    api
}

fn names(list: &Value) -> Vec<String> {
    list["items"].as_array().unwrap().iter().map(|item| item["metadata"]["name"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn selectors_choose() {
    let api = with_maps(4).await;
    let cases: [(&str, &[&str]); 6] = [
        ("", &["m0", "m1", "m2", "m3"]),
        ("?labelSelector=parity%3Deven", &["m0", "m2"]),
        ("?labelSelector=parity+notin+(even)", &["m1", "m3"]),
        ("?fieldSelector=metadata.name%3Dm1", &["m1"]),
        ("?fieldSelector=metadata.name!%3Dm1,metadata.namespace%3Ddefault", &["m0", "m2", "m3"]),
        ("?labelSelector=!parity", &[]),
    ];
    for (query, expected) in cases {
        let list = api.get(&format!("{MAPS}{query}")).await.ok();
        assert_eq!(list["kind"], "ConfigMapList");
        assert_eq!(names(&list), expected, "{query}");
    }
    let everywhere = api.get("/api/v1/configmaps").await.ok();
    assert_eq!(names(&everywhere).len(), 4);
}

#[tokio::test]
async fn pages_are_of_one_moment() {
    let api = with_maps(5).await;
    let first = api.get(&format!("{MAPS}?limit=2")).await.ok();
    assert_eq!(
        (names(&first), first["metadata"]["remainingItemCount"].as_u64()),
        (vec!["m0".into(), "m1".into()], Some(3))
    );
    api.delete(&format!("{MAPS}/m3")).await.ok();
    let token = first["metadata"]["continue"].as_str().unwrap();
    let rest = api.get(&format!("{MAPS}?limit=10&continue={token}")).await.ok();
    assert_eq!(names(&rest), ["m2", "m3", "m4"]);
    assert_eq!(rest["metadata"]["resourceVersion"], first["metadata"]["resourceVersion"]);
    assert!(rest["metadata"]["continue"].is_null());
    assert_eq!(api.get(&format!("{MAPS}?continue=rubbish")).await.code, 400);
}

#[tokio::test]
async fn versions_are_honoured() {
    let api = with_maps(2).await;
    let before = api.get(MAPS).await.ok()["metadata"]["resourceVersion"].as_str().unwrap().to_owned();
    api.delete(&format!("{MAPS}/m0")).await.ok();
    let query = |text: &str| format!("{MAPS}?{text}");
    let exact = api.get(&query(&format!("resourceVersion={before}&resourceVersionMatch=Exact"))).await.ok();
    assert_eq!(names(&exact), ["m0", "m1"]);
    let newer = api.get(&query(&format!("resourceVersion={before}&resourceVersionMatch=NotOlderThan"))).await.ok();
    assert!(newer["metadata"]["resourceVersion"].as_str().unwrap().parse::<u64>().unwrap() >= before.parse().unwrap());
    for (text, words) in [
        ("resourceVersionMatch=Exact", "resourceVersionMatch is forbidden unless resourceVersion is provided"),
        ("resourceVersionMatch=Exact&resourceVersion=0", "forbidden for resourceVersion \"0\""),
        ("resourceVersionMatch=x&resourceVersion=1", "Unsupported value: \"x\""),
    ] {
        let (code, _, message) = api.get(&query(text)).await.failure();
        assert!(code == 422 && message.contains(words), "{message}");
    }
    let future = api.get(&query("resourceVersion=999999")).await.failure();
    assert_eq!(future.0, 504);
    assert!(future.2.contains("Too large resource version: 999999"), "{}", future.2);
}

#[tokio::test]
async fn collections_are_deleted_by_selector() {
    let api = with_maps(4).await;
    let deleted = api.delete(&format!("{MAPS}?labelSelector=parity%3Deven")).await.ok();
    assert_eq!(names(&deleted), ["m0", "m2"]);
    assert_eq!(names(&api.get(MAPS).await.ok()), ["m1", "m3"]);
}

#[tokio::test]
async fn items_do_not_say_again_what_the_list_says() {
    let api = Api::start().await;
    let event = json!({
        "metadata": {"name": "e", "namespace": "default"}, "eventTime": "2024-01-02T03:04:05.000000Z", "action": "a",
        "reason": "r", "reportingController": "example.com/c", "reportingInstance": "i", "type": "Normal",
        "regarding": {"kind": "Pod", "namespace": "default", "name": "p"},
    });
    api.post("/apis/events.k8s.io/v1/namespaces/default/events", &event).await.ok();
    for path in ["/api/v1/namespaces", "/apis/events.k8s.io/v1/namespaces/default/events"] {
        let list = api.get(path).await.ok();
        let items = list["items"].as_array().unwrap();
        assert!(!items.is_empty());
        for item in items {
            assert!(item.get("kind").is_none() && item.get("apiVersion").is_none(), "{item}");
            assert!(item["metadata"]["resourceVersion"].is_string() && item["metadata"]["name"].is_string(), "{item}");
        }
    }
}
