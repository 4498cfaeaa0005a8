//! `/metrics`: upstream's names and labels, and nothing that a client makes up.

use std::collections::BTreeSet;

use http::Method;
use serde_json::json;
use tokio::time::{Duration, Instant, sleep};

use crate::client::Api;

async fn metrics(api: &Api) -> String {
    let reply = api.get("/metrics").await;
    assert_eq!(reply.headers["content-type"], "text/plain; version=0.0.4; charset=utf-8");
    String::from_utf8(reply.bytes).unwrap()
}

/// The value of a sample whose labels hold these, whatever others there are; 0 when there is none.
fn value(metrics: &str, name: &str, labels: &[(&str, &str)]) -> f64 {
    let fits = |line: &&str| {
        let Some((sample, _)) = line.rsplit_once(' ') else { return false };
        let (found, found_labels) = sample.split_once('{').unwrap_or((sample, ""));
        found == name && labels.iter().all(|(label, value)| found_labels.contains(&format!("{label}=\"{value}\"")))
    };
    metrics.lines().filter(fits).filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok()).sum()
}

/// Waits until a sample has a value: an answer is counted when it has been sent.
async fn becomes(api: &Api, name: &str, labels: &[(&str, &str)], wanted: f64) {
    let until = Instant::now() + Duration::from_secs(30);
    loop {
        let metrics = metrics(api).await;
        let found = value(&metrics, name, labels);
        if found == wanted {
            return;
        }
        assert!(Instant::now() < until, "{name} {labels:?} is {found}, not {wanted}: {metrics}");
        sleep(Duration::from_millis(20)).await;
    }
}

const MAPS: &str = "/api/v1/namespaces/default/configmaps";

#[tokio::test]
async fn requests_are_counted_by_what_they_are_about() {
    let api = Api::start().await;
    let map = |name: &str| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}});
    api.post(MAPS, &map("a")).await.ok();
    api.post(&format!("{MAPS}?dryRun=All"), &map("b")).await.ok();
    assert_eq!(api.post(&format!("{MAPS}?dryRun=Some"), &map("b")).await.code, 422);
    api.get(&format!("{MAPS}/a")).await.ok();
    api.get(MAPS).await.ok();
    api.get("/api/v1/configmaps").await.ok();
    api.patch(&format!("{MAPS}/a?fieldManager=m"), "application/apply-patch+yaml", &map("a")).await.ok();
    api.merge(&format!("{MAPS}/a"), &json!({"data": {"k": "v"}})).await.ok();
    assert_eq!(api.get(&format!("{MAPS}/nope")).await.code, 404);
    api.delete(&format!("{MAPS}/a")).await.ok();
    api.delete(MAPS).await.ok();
    let maps = |verb, scope, code| {
        [("verb", verb), ("resource", "configmaps"), ("version", "v1"), ("scope", scope), ("code", code)]
    };
    let total = "apiserver_request_total";
    for (verb, scope, code, count) in [
        ("POST", "resource", "201", 2.0),
        ("POST", "resource", "422", 1.0),
        ("GET", "resource", "200", 1.0),
        ("GET", "resource", "404", 1.0),
        ("LIST", "namespace", "200", 1.0),
        ("LIST", "cluster", "200", 1.0),
        ("APPLY", "resource", "200", 1.0),
        ("PATCH", "resource", "200", 1.0),
        ("DELETE", "resource", "200", 1.0),
        ("DELETE", "namespace", "200", 1.0),
    ] {
        becomes(&api, total, &maps(verb, scope, code), count).await;
    }
    let told = metrics(&api).await;
    for (dry_run, count) in [("", 1.0), ("All", 1.0), ("invalid", 1.0)] {
        let labels = [("verb", "POST"), ("resource", "configmaps"), ("dry_run", dry_run)];
        assert_eq!(value(&told, total, &labels), count, "{dry_run}");
    }
    let posts = [("verb", "POST"), ("resource", "configmaps"), ("component", "apiserver")];
    assert_eq!(value(&told, "apiserver_request_duration_seconds_count", &posts), 3.0);
    assert_eq!(value(&told, "apiserver_request_sli_duration_seconds_count", &posts), 1.0, "only tried");
    let lists = [("verb", "LIST"), ("resource", "configmaps"), ("scope", "namespace")];
    assert_eq!(value(&told, "apiserver_response_sizes_count", &lists), 1.0);
    assert!(value(&told, "apiserver_response_sizes_sum", &lists) > 50.0);
    for bound in ["0.005", "1", "60", "+Inf"] {
        assert!(told.contains(&format!("apiserver_request_duration_seconds_bucket{{le=\"{bound}\"")), "{bound}");
    }
    let created = [("operation", "create"), ("group", ""), ("resource", "configmaps")];
    // The server keeps some of its own, too.
    assert!(value(&told, "etcd_request_duration_seconds_count", &created) >= 1.0);
    assert!(value(&told, "etcd_requests_total", &created) >= 1.0);
    assert_eq!(value(&told, "etcd_request_errors_total", &[]), 0.0);
    assert!(value(&told, "apiserver_cache_list_total", &[("resource", "configmaps"), ("index", "")]) >= 2.0);
    let step = [("type", "validate"), ("operation", "CREATE"), ("rejected", "false")];
    assert!(value(&told, "apiserver_admission_step_admission_duration_seconds_count", &step) >= 2.0);
    let plugin = [("name", "NamespaceLifecycle"), ("type", "admit"), ("operation", "CREATE")];
    assert!(value(&told, "apiserver_admission_controller_admission_duration_seconds_count", &plugin) >= 2.0);
    assert_eq!(value(&told, "apiserver_current_inflight_requests", &[("request_kind", "readOnly")]), 1.0, "this");
    assert_eq!(value(&told, "apiserver_current_inflight_requests", &[("request_kind", "mutating")]), 0.0);
}

#[tokio::test]
async fn what_lasts_is_counted_while_it_does() {
    let api = Api::start().await;
    let labels = [("verb", "WATCH"), ("resource", "configmaps"), ("scope", "namespace")];
    let mut watch = api.watch(&format!("{MAPS}?watch=true")).await;
    becomes(&api, "apiserver_longrunning_requests", &labels, 1.0).await;
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}});
    api.post(MAPS, &map).await.ok();
    assert_eq!(watch.event().await, ("ADDED".into(), "a".into()));
    let events = [("group", ""), ("version", "v1"), ("resource", "configmaps")];
    becomes(&api, "apiserver_watch_events_total", &events, 1.0).await;
    becomes(&api, "apiserver_watch_events_sizes_count", &events, 1.0).await;
    drop(watch);
    becomes(&api, "apiserver_longrunning_requests", &labels, 0.0).await;
    becomes(&api, "apiserver_request_total", &labels, 1.0).await;
}

#[tokio::test]
async fn what_is_stored_is_told() {
    let api = Api::start().await;
    for name in ["a", "b"] {
        let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}});
        api.post(MAPS, &map).await.ok();
    }
    let before = api.get(MAPS).await.ok()["items"].as_array().unwrap().len() as f64;
    becomes(&api, "apiserver_storage_objects", &[("resource", "configmaps")], before).await;
    becomes(&api, "apiserver_resource_objects", &[("group", ""), ("resource", "configmaps")], before).await;
    api.get("/apis/apps/v1/deployments").await.ok();
    let told = metrics(&api).await;
    assert!(told.contains("apiserver_storage_objects{resource=\"deployments.apps\"} 0"), "{told}");
    assert!(value(&told, "apiserver_storage_size_bytes", &[("storage_cluster_id", "etcd-0")]) > 4096.0);
    assert_eq!(value(&told, "apiserver_watch_cache_initializations_total", &[("resource", "configmaps")]), 1.0);
}

#[tokio::test]
async fn clients_make_up_no_labels() {
    let api = Api::start().await;
    // Everything has been asked once, so that only what is made up can be new.
    let asked = ["/api/v1/pods/x/y", "/apis/made/v1/up", "/made/up", "/healthz/up", "/api/v1/namespaces/a/pods/b/up"];
    for path in asked {
        api.raw(Method::GET, path, &[], Vec::new()).await;
        api.raw(Method::from_bytes(b"MADE").unwrap(), path, &[("user-agent", "made")], Vec::new()).await;
    }
    let labels = |told: &str| -> BTreeSet<String> {
        let of_requests = told.lines().filter(|line| line.starts_with("apiserver_request") || line.contains("authent"));
        of_requests.filter_map(|line| Some(line.rsplit_once(' ')?.0.to_owned())).collect()
    };
    metrics(&api).await;
    let before = labels(&metrics(&api).await);
    for n in 0..20 {
        for path in asked {
            let path = path.replace("up", &format!("up{n}")).replace("/y", &format!("/y{n}")).replace("made", "made2");
            api.raw(Method::GET, &path, &[], Vec::new()).await;
            api.raw(Method::from_bytes(format!("MADE{n}").as_bytes()).unwrap(), &path, &[], Vec::new()).await;
        }
    }
    let after = labels(&metrics(&api).await);
    let new: Vec<_> = after.difference(&before).collect();
    assert!(new.is_empty(), "{new:#?}");
    assert!(before.iter().any(|sample| sample.contains("verb=\"other\"")));
}

#[tokio::test]
async fn who_comes_and_what_is_decided_is_counted() {
    let api = Api::start().await;
    api.get(MAPS).await.ok();
    let refused = api.raw(Method::GET, MAPS, &[("authorization", "Bearer no")], Vec::new()).await;
    let told = metrics(&api).await;
    if refused.code == 401 {
        let failures = value(&told, "authentication_attempts", &[("result", "failure")]);
        assert!(failures + value(&told, "authentication_attempts", &[("result", "error")]) >= 1.0, "{told}");
    }
    assert!(value(&told, "authentication_attempts", &[("result", "success")]) >= 2.0);
    assert!(value(&told, "authenticated_user_requests", &[("username", "other")]) >= 2.0);
    assert!(value(&told, "authorization_attempts_total", &[("result", "allowed")]) >= 2.0);
    for name in ["kubernetes_build_info", "process_cpu_seconds_total", "process_resident_memory_bytes"] {
        assert!(told.lines().any(|line| line.starts_with(name)), "{name}");
    }
    assert!(told.contains("# TYPE apiserver_tls_handshake_errors_total counter"));
}
