//! Quotas and limit ranges.

use http::Method;
use serde_json::{Value, json};

use crate::client::Api;

const PODS: &str = "/api/v1/namespaces/default/pods";
const QUOTAS: &str = "/api/v1/namespaces/default/resourcequotas";
const RANGES: &str = "/api/v1/namespaces/default/limitranges";
const MAPS: &str = "/api/v1/namespaces/default/configmaps";

fn pod(name: &str, resources: &Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": {"containers": [{"name": "c", "image": "i", "resources": resources}]}})
}

fn map(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}})
}

/// Makes a quota of which nothing is used, as the controller does.
async fn quota(api: &Api, name: &str, spec: &Value, used: &Value) {
    api.post(QUOTAS, &json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": name}, "spec": spec}))
        .await
        .ok();
    let status = json!({"status": {"hard": spec["hard"], "used": used}});
    api.merge(&format!("{QUOTAS}/{name}/status"), &status).await.ok();
}

async fn used(api: &Api, name: &str) -> Value {
    api.get(&format!("{QUOTAS}/{name}")).await.ok()["status"]["used"].clone()
}

#[tokio::test]
async fn a_quota_is_exact_however_many_ask_at_once() {
    let api = Api::start().await;
    let zero = json!({"count/configmaps": "0"});
    quota(&api, "q", &json!({"hard": {"count/configmaps": "10"}}), &zero).await;
    let names: Vec<String> = (0..50).map(|i| format!("m{i}")).collect();
    let creates = names.iter().map(|name| {
        let api = &api;
        async move { api.post(MAPS, &map(name)).await.code }
    });
    let codes = futures::future::join_all(creates).await;
    assert_eq!(codes.iter().filter(|code| **code == 201).count(), 10, "{codes:?}");
    assert_eq!(codes.iter().filter(|code| **code == 403).count(), 40, "{codes:?}");
    assert_eq!(used(&api, "q").await, json!({"count/configmaps": "10"}));
    let (code, reason, message) = api.post(MAPS, &map("more")).await.failure();
    assert_eq!((code, reason.as_str()), (403, "Forbidden"));
    assert_eq!(
        message,
        r#"configmaps "more" is forbidden: exceeded quota: q, requested: count/configmaps=1, used: count/configmaps=10, limited: count/configmaps=10"#
    );
}

#[tokio::test]
async fn two_servers_in_turn_and_a_controller_do_not_lose_what_is_used() {
    let api = Api::start().await;
    quota(&api, "q", &json!({"hard": {"pods": "9", "cpu": "2"}}), &json!({"pods": "0", "cpu": "0"})).await;
    api.post(PODS, &pod("a", &json!({"requests": {"cpu": "500m"}}))).await.ok();
    assert_eq!(used(&api, "q").await, json!({"pods": "1", "cpu": "500m"}));
    // Somebody else counts in between.
    api.merge(&format!("{QUOTAS}/q/status"), &json!({"status": {"used": {"pods": "3", "cpu": "1500m"}}})).await.ok();
    api.post(PODS, &pod("b", &json!({"requests": {"cpu": "500m"}}))).await.ok();
    assert_eq!(used(&api, "q").await, json!({"pods": "4", "cpu": "2"}));
    let refused = api.post(PODS, &pod("c", &json!({"requests": {"cpu": "1m"}}))).await.failure();
    assert_eq!(
        refused.2,
        r#"pods "c" is forbidden: exceeded quota: q, requested: cpu=1m, used: cpu=2, limited: cpu=2"#
    );
    let refused = api.post(PODS, &pod("c", &json!({}))).await.failure();
    assert_eq!(refused.2, r#"pods "c" is forbidden: failed quota: q: must specify cpu for: c"#);
}

#[tokio::test]
async fn what_is_only_tried_or_refused_is_not_charged() {
    let api = Api::start().await;
    quota(&api, "q", &json!({"hard": {"configmaps": "1"}}), &json!({"configmaps": "0"})).await;
    let tried = format!("{MAPS}?dryRun=All");
    for _ in 0..2 {
        api.post(&tried, &map("a")).await.ok();
    }
    assert_eq!(used(&api, "q").await, json!({"configmaps": "0"}));
    let invalid = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "B"}});
    assert_eq!(api.post(MAPS, &invalid).await.code, 422);
    assert_eq!(used(&api, "q").await, json!({"configmaps": "0"}));
    api.post(MAPS, &map("a")).await.ok();
    assert_eq!(api.post(MAPS, &map("a")).await.code, 409);
    assert_eq!(used(&api, "q").await, json!({"configmaps": "1"}));
    assert_eq!(api.post(&tried, &map("b")).await.code, 403);
}

#[tokio::test]
async fn a_change_is_charged_what_it_adds() {
    let api = Api::start().await;
    let zero = json!({"services": "0", "services.nodeports": "0"});
    quota(&api, "q", &json!({"hard": {"services": "5", "services.nodeports": "1"}}), &zero).await;
    let services = "/api/v1/namespaces/default/services";
    let service =
        json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"}, "spec": {"ports": [{"port": 1}]}});
    api.post(services, &service).await.ok();
    let ports = json!({"spec": {"type": "NodePort", "ports": [{"name": "a", "port": 1}, {"name": "b", "port": 2}]}});
    let refused = api.merge(&format!("{services}/s"), &ports).await.failure();
    assert!(
        refused.2.contains("exceeded quota: q, requested: services.nodeports=2, used: services.nodeports=0"),
        "{refused:?}"
    );
    api.merge(&format!("{services}/s"), &json!({"spec": {"type": "NodePort"}})).await.ok();
    assert_eq!(used(&api, "q").await, json!({"services": "1", "services.nodeports": "1"}));
    api.merge(&format!("{services}/s"), &json!({"spec": {"type": "ClusterIP"}})).await.ok();
    assert_eq!(used(&api, "q").await, json!({"services": "1", "services.nodeports": "0"}));
}

#[tokio::test]
async fn a_range_fills_in_and_refuses() {
    let api = Api::start().await;
    let range = json!({"apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": "l"}, "spec": {"limits": [
        {"type": "Container", "min": {"cpu": "50m"}, "max": {"cpu": "500m"}, "default": {"cpu": "400m"}, "defaultRequest": {"cpu": "100m"}},
    ]}});
    api.post(RANGES, &range).await.ok();
    let made = api.post(PODS, &pod("a", &json!({}))).await.ok();
    let expected = json!({"limits": {"cpu": "400m"}, "requests": {"cpu": "100m"}});
    assert_eq!(made["spec"]["containers"][0]["resources"], expected);
    assert_eq!(
        made["metadata"]["annotations"]["kubernetes.io/limit-ranger"],
        "LimitRanger plugin set: cpu request for container c; cpu limit for container c"
    );
    let refused =
        api.post(PODS, &pod("b", &json!({"requests": {"cpu": "10m"}, "limits": {"cpu": "1"}}))).await.failure();
    assert_eq!(
        refused,
        (
            403,
            "Forbidden".into(),
            r#"pods "b" is forbidden: [minimum cpu usage per Container is 50m, but request is 10m, maximum cpu usage per Container is 500m, but limit is 1]"#.into()
        )
    );
    // It is forgotten as soon as it is gone.
    api.delete(&format!("{RANGES}/l")).await.ok();
    api.raw(Method::POST, PODS, &[("content-type", "application/json")], pod("b", &json!({})).to_string().into_bytes())
        .await
        .ok();
}
