//! What is recorded of requests.

use std::{fs, path::Path, sync::Arc};

use axum::{Json, Router, http::StatusCode, routing::post};
use component::{Daemon, serve};
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::client::Api;

const POLICY: &str = r#"
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: RequestResponse
  resources: [{group: "", resources: [configmaps]}]
  omitManagedFields: true
- level: Metadata
  namespaces: [default]
- level: Metadata
  nonResourceURLs: [/version]
- level: None
"#;

async fn start(directory: &Path) -> Api {
    let (policy, log) = (directory.join("policy.yaml"), directory.join("audit.log"));
    fs::write(&policy, POLICY).unwrap();
    let policy = format!("--audit-policy-file={}", policy.display());
    Api::start_with(&[&policy, &format!("--audit-log-path={}", log.display())]).await
}

fn events(directory: &Path) -> Vec<Value> {
    let text = fs::read_to_string(directory.join("audit.log")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test]
async fn requests_are_recorded() {
    let directory = tempfile::tempdir().unwrap();
    let api = start(directory.path()).await;
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"k": "v"}});
    let headers = [
        ("content-type", "application/json"),
        ("user-agent", "test/1"),
        ("audit-id", "one"),
        ("impersonate-user", "ann"),
        ("x-forwarded-for", "192.0.2.7"),
    ];
    let maps = "/api/v1/namespaces/default/configmaps";
    api.raw(http::Method::POST, maps, &headers, map.to_string().into_bytes()).await;
    api.get("/api/v1/nodes").await;
    api.get("/api/v1/namespaces/default/pods/none?pretty=1").await;
    api.get(maps).await;
    let events = events(directory.path());
    assert_eq!(events.len(), 3, "nodes are not recorded: {events:?}");

    let created = &events[0];
    assert_eq!(created["kind"], "Event");
    assert_eq!(created["apiVersion"], "audit.k8s.io/v1");
    assert_eq!(created["level"], "RequestResponse");
    assert_eq!(created["auditID"], "one");
    assert_eq!(created["stage"], "ResponseComplete");
    assert_eq!(created["requestURI"], maps);
    assert_eq!(created["verb"], "create");
    assert_eq!(
        created["user"],
        json!({"username": "system:unsecured", "groups": ["system:masters", "system:authenticated"]})
    );
    assert_eq!(created["impersonatedUser"], json!({"username": "ann", "groups": ["system:authenticated"]}));
    assert_eq!(created["authenticationMetadata"]["impersonationConstraint"], "impersonate:user-info");
    assert_eq!(created["sourceIPs"], json!(["192.0.2.7", "127.0.0.1"]));
    assert_eq!(created["userAgent"], "test/1");
    let object = json!({"resource": "configmaps", "namespace": "default", "name": "a", "apiVersion": "v1"});
    assert_eq!(created["objectRef"], object);
    assert_eq!(created["responseStatus"], json!({"metadata": {}, "code": 201}));
    assert_eq!(created["requestObject"], map);
    assert_eq!(created["responseObject"]["data"], json!({"k": "v"}));
    assert_eq!(created["responseObject"]["metadata"]["managedFields"], Value::Null);
    assert_eq!(created["annotations"]["authorization.k8s.io/decision"], "allow");

    let missing = &events[1];
    assert_eq!(missing["level"], "Metadata");
    assert_eq!(missing["requestURI"], "/api/v1/namespaces/default/pods/none?pretty=1");
    let status = &missing["responseStatus"];
    assert_eq!((&status["code"], &status["reason"]), (&json!(404), &json!("NotFound")));
    assert_eq!(missing["responseObject"], Value::Null);

    let listed = &events[2];
    assert_eq!(listed["responseObject"]["kind"], "ConfigMapList");
    assert_eq!(listed["responseObject"]["items"][0]["metadata"]["managedFields"], Value::Null);
}

#[tokio::test]
async fn watches_are_recorded_when_they_begin() {
    let directory = tempfile::tempdir().unwrap();
    let api = start(directory.path()).await;
    let mut watch = api.watch("/api/v1/namespaces/default/pods?watch=1&timeoutSeconds=1").await;
    let stages = || events(directory.path()).iter().map(|event| event["stage"].clone()).collect::<Vec<_>>();
    assert_eq!(stages(), ["ResponseStarted"]);
    while watch.next().await.is_some() {}
    drop(watch);
    tokio::time::timeout(std::time::Duration::from_secs(10), async {
        while stages() != ["ResponseStarted", "ResponseComplete"] {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn strangers_are_recorded() {
    let directory = tempfile::tempdir().unwrap();
    let api = start(directory.path()).await;
    assert_eq!(crate::tls::stranger(&api, "/version", &[("authorization", "Bearer x")]).await.0, 401);
    let events = events(directory.path());
    assert_eq!(events[0]["stage"], "ResponseStarted");
    assert_eq!(events[0]["user"], json!({}));
    let status = json!({"metadata": {}, "message": "Authentication failed, attempted: bearer", "code": 401});
    assert_eq!(events[0]["responseStatus"], status);
}

/// A server that takes events, on a port of its own.
struct Webhook {
    kubeconfig: String,
    events: watch::Receiver<Vec<Value>>,
    daemon: Daemon,
}

impl Drop for Webhook {
    fn drop(&mut self) {
        self.daemon.shutdown.cancel();
    }
}

impl Webhook {
    /// It answers `failures` times that it cannot.
    async fn start(directory: &Path, failures: usize) -> Self {
        let (sender, events) = watch::channel(Vec::new());
        let (sender, left) = (Arc::new(sender), Arc::new(std::sync::atomic::AtomicUsize::new(failures)));
        let take = move |Json(list): Json<Value>| async move {
            let order = std::sync::atomic::Ordering::SeqCst;
            if left.fetch_update(order, order, |left| left.checked_sub(1)).is_ok() {
                return StatusCode::SERVICE_UNAVAILABLE;
            }
            assert_eq!((&list["kind"], &list["apiVersion"]), (&json!("EventList"), &json!("audit.k8s.io/v1")));
            sender.send_modify(|events: &mut Vec<Value>| events.extend(list["items"].as_array().unwrap().clone()));
            StatusCode::OK
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let kubeconfig = kubeconfig(directory, &format!("http://{}/events", listener.local_addr().unwrap()));
        let daemon = Daemon::new();
        serve::spawn(listener, None, Router::new().route("/events", post(take)), &daemon);
        Self { kubeconfig, events, daemon }
    }

    /// Waits until so many events are there.
    async fn events(&mut self, count: usize) -> Vec<Value> {
        let there = self.events.wait_for(|events| events.len() >= count);
        tokio::time::timeout(std::time::Duration::from_secs(60), there).await.unwrap().unwrap().clone()
    }
}

fn kubeconfig(directory: &Path, server: &str) -> String {
    let kubeconfig = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "c",
        "clusters": [{"name": "c", "cluster": {"server": server}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "c"}}],
        "users": [{"name": "c", "user": {}}],
    });
    let path = directory.join("kubeconfig");
    fs::write(&path, kubeconfig.to_string()).unwrap();
    path.display().to_string()
}

/// A policy that records everything about config maps.
fn of_config_maps(directory: &Path) -> String {
    let path = directory.join("policy.yaml");
    let policy = r#"
apiVersion: audit.k8s.io/v1
kind: Policy
rules:
- level: RequestResponse
  resources: [{group: "", resources: [configmaps]}]
- level: None
"#;
    fs::write(&path, policy).unwrap();
    format!("--audit-policy-file={}", path.display())
}

async fn start_of_config_maps(directory: &Path, flags: &[&str]) -> Api {
    let policy = of_config_maps(directory);
    let flags: Vec<&str> = [policy.as_str()].into_iter().chain(flags.iter().copied()).collect();
    Api::start_with(&flags).await
}

const MAPS: &str = "/api/v1/namespaces/default/configmaps";

fn map(name: &str, value: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"k": value}})
}

/// A line of `/metrics`.
async fn metric(api: &Api, line: &str) -> bool {
    let metrics = api.raw(http::Method::GET, "/metrics", &[], Vec::new()).await.bytes;
    let metrics = String::from_utf8(metrics).unwrap();
    let there = metrics.lines().any(|told| told == line);
    if !there {
        eprintln!("{}", metrics.lines().filter(|line| line.contains("audit")).collect::<Vec<_>>().join("\n"));
    }
    there
}

#[tokio::test]
async fn a_webhook_is_sent_events_until_it_takes_them() {
    let directory = tempfile::tempdir().unwrap();
    let mut webhook = Webhook::start(directory.path(), 2).await;
    let file = format!("--audit-webhook-config-file={}", webhook.kubeconfig);
    let flags = [&file, "--audit-webhook-initial-backoff=1ms", "--audit-webhook-batch-max-wait=1ms"];
    let api = start_of_config_maps(directory.path(), &flags).await;
    for number in 0..5 {
        assert_eq!(api.post(MAPS, &map(&format!("m{number}"), "v")).await.code, 201);
    }
    let events = webhook.events(10).await;
    assert_eq!(events.len(), 10, "none twice");
    let of = |name: &str| {
        let mut of: Vec<&Value> =
            events.iter().filter(|event| event["requestObject"]["metadata"]["name"] == name).collect();
        of.retain(|event| event["stage"] == "ResponseComplete");
        of
    };
    for number in 0..5 {
        let name = format!("m{number}");
        let of = of(&name);
        assert_eq!(of.len(), 1, "{name}");
        assert_eq!(of[0]["responseObject"]["metadata"]["name"], json!(name));
        assert_eq!(of[0]["kind"], Value::Null, "the kind of a list's items goes without saying");
    }
    assert!(metric(&api, r#"apiserver_audit_event_total 10"#).await);
    assert!(metric(&api, r#"apiserver_audit_level_total{level="RequestResponse"} 5"#).await);
}

#[tokio::test]
async fn requests_wait_for_a_blocking_webhook() {
    let directory = tempfile::tempdir().unwrap();
    let webhook = Webhook::start(directory.path(), 1).await;
    let file = format!("--audit-webhook-config-file={}", webhook.kubeconfig);
    let flags = [&file, "--audit-webhook-initial-backoff=1ms", "--audit-webhook-mode=blocking-strict"];
    let api = start_of_config_maps(directory.path(), &flags).await;
    assert_eq!(api.post(MAPS, &map("a", "v")).await.code, 201);
    let stages = |events: &[Value]| events.iter().map(|event| event["stage"].clone()).collect::<Vec<_>>();
    assert_eq!(stages(&webhook.events.borrow()), ["RequestReceived", "ResponseComplete"]);
    assert_eq!(api.get(MAPS).await.ok()["items"].as_array().map(Vec::len), Some(1), "a streamed answer ends, too");
    assert_eq!(webhook.events.borrow().len(), 4);
}

#[tokio::test]
async fn who_goes_away_takes_no_event_along() {
    let directory = tempfile::tempdir().unwrap();
    let mut webhook = Webhook::start(directory.path(), 3).await;
    let policy = directory.path().join("policy.yaml");
    let rule = r#"{level: Metadata, verbs: [create], resources: [{group: "", resources: [configmaps]}]}"#;
    let text = format!("{{apiVersion: audit.k8s.io/v1, kind: Policy, omitStages: [RequestReceived], rules: [{rule}]}}");
    fs::write(&policy, text).unwrap();
    let flags = [
        format!("--audit-policy-file={}", policy.display()),
        format!("--audit-webhook-config-file={}", webhook.kubeconfig),
        "--audit-webhook-initial-backoff=100ms".to_owned(),
        "--audit-webhook-mode=blocking".to_owned(),
    ];
    let api = Api::start_with(&flags.each_ref().map(String::as_str)).await;
    let mut maps = api.watch(&format!("{MAPS}?watch=1&fieldSelector=metadata.name%3Da")).await;
    let map = map("a", "v");
    tokio::select! {
        // The webhook does not take the event yet.
        _ = api.post(MAPS, &map) => {}
        event = maps.event() => assert_eq!(event, ("ADDED".to_owned(), "a".to_owned())),
    }
    assert_eq!(webhook.events(1).await[0]["stage"], "ResponseComplete");
}

#[tokio::test]
async fn what_cannot_be_recorded_is_refused_where_that_is_wanted() {
    for (mode, code) in [("blocking-strict", 500), ("blocking", 201), ("batch", 201)] {
        let directory = tempfile::tempdir().unwrap();
        let nobody = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let file = format!("--audit-webhook-config-file={}", kubeconfig(directory.path(), &format!("http://{nobody}")));
        let mode = format!("--audit-webhook-mode={mode}");
        let flags = [&file, &mode, "--audit-webhook-initial-backoff=1ms", "--audit-webhook-batch-max-wait=1ms"];
        let api = start_of_config_maps(directory.path(), &flags).await;
        let reply = api.post(&format!("{MAPS}?x=1"), &map("a", "v")).await;
        assert_eq!(reply.code, code, "{mode}");
        let rejected = u8::from(code == 500);
        assert!(metric(&api, &format!("apiserver_audit_requests_rejected_total {rejected}")).await, "{mode}");
        let lost = if rejected == 1 { 1 } else { 2 };
        let lost = format!("apiserver_audit_error_total{{plugin=\"webhook\"}} {lost}");
        while !metric(&api, &lost).await {
            assert_eq!(mode, "--audit-webhook-mode=batch", "who waits knows");
            tokio::task::yield_now().await;
        }
        if rejected == 1 {
            let text = String::from_utf8(reply.bytes).unwrap();
            assert_eq!(text, format!("Internal Server Error: \"{MAPS}?x=1\": failed to store audit event\n"));
            assert_eq!(api.get("/api/v1/namespaces/default").await.code, 200, "of that nothing is recorded");
        }
    }
}

#[tokio::test]
async fn what_waits_is_bounded() {
    let directory = tempfile::tempdir().unwrap();
    // Connections are accepted by the kernel, and nobody answers.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = format!("http://{}", silent.local_addr().unwrap());
    let file = format!("--audit-webhook-config-file={}", kubeconfig(directory.path(), &server));
    let flags = [&file, "--audit-webhook-batch-buffer-size=3", "--audit-webhook-batch-max-size=1"];
    let api = start_of_config_maps(directory.path(), &flags).await;
    for number in 0..40 {
        assert_eq!(api.post(MAPS, &map(&format!("m{number}"), "v")).await.code, 201);
    }
    let metrics = String::from_utf8(api.raw(http::Method::GET, "/metrics", &[], Vec::new()).await.bytes).unwrap();
    let lost = metrics.lines().find_map(|line| line.strip_prefix("apiserver_audit_error_total{plugin=\"webhook\"} "));
    let lost: usize = lost.expect("some are lost").parse().unwrap();
    // 16 batches at most are being sent, one is about to be, and three wait.
    assert!(lost >= 80 - 16 - 1 - 3, "{lost}");
}

#[tokio::test]
async fn large_events_lose_their_objects() {
    let directory = tempfile::tempdir().unwrap();
    let log = format!("--audit-log-path={}", directory.path().join("audit.log").display());
    let flags = [&log, "--audit-log-truncate-enabled", "--audit-log-truncate-max-event-size=4000"];
    let api = start_of_config_maps(directory.path(), &flags).await;
    api.post(MAPS, &map("small", "v")).await;
    api.post(MAPS, &map("large", &"v".repeat(4000))).await;
    let events = events(directory.path());
    let complete: Vec<&Value> = events.iter().filter(|event| event["stage"] == "ResponseComplete").collect();
    assert_eq!(complete[0]["requestObject"]["metadata"]["name"], "small");
    assert_eq!(complete[0]["annotations"]["audit.k8s.io/truncated"], Value::Null);
    assert_eq!(complete[1]["requestObject"], Value::Null);
    assert_eq!(complete[1]["objectRef"]["name"], "large");
    assert_eq!(complete[1]["annotations"]["audit.k8s.io/truncated"], "true");
}

#[tokio::test]
async fn a_large_log_is_set_aside_and_old_ones_are_removed() {
    let directory = tempfile::tempdir().unwrap();
    let logs = directory.path().join("logs");
    let log = format!("--audit-log-path={}", logs.join("audit.log").display());
    let flags = [&log, "--audit-log-maxsize=1", "--audit-log-maxbackup=1", "--audit-log-compress"];
    let api = start_of_config_maps(directory.path(), &flags).await;
    let value = "v".repeat(400_000);
    for number in 0..5 {
        // An event has the map twice.
        assert_eq!(api.post(MAPS, &map(&format!("m{number}"), &value)).await.code, 201);
    }
    let names = || {
        let names = fs::read_dir(&logs).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.collect();
        names.sort_unstable();
        names
    };
    let settled = |names: &[String]| names.len() == 2 && names[0].ends_with(".log.gz") && names[1] == "audit.log";
    tokio::time::timeout(std::time::Duration::from_secs(60), async {
        while !settled(&names()) {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap_or_else(|_| panic!("{:?}", names()));
}

#[tokio::test]
async fn what_waits_is_written_at_the_end() {
    let directory = tempfile::tempdir().unwrap();
    let log = format!("--audit-log-path={}", directory.path().join("audit.log").display());
    let flags = [
        &log,
        "--audit-log-mode=batch",
        "--audit-log-batch-max-size=1000",
        "--audit-log-batch-max-wait=1h",
        "--audit-log-format=legacy",
    ];
    let api = start_of_config_maps(directory.path(), &flags).await;
    let headers = [("content-type", "application/json"), ("audit-id", "one"), ("user-agent", "t/1")];
    api.raw(http::Method::POST, MAPS, &headers, map("a", "v").to_string().into_bytes()).await;
    assert_eq!(fs::read_to_string(directory.path().join("audit.log")).unwrap(), "");
    let Api { server, .. } = api;
    server.stop().await;
    let text = fs::read_to_string(directory.path().join("audit.log")).unwrap();
    let lines: Vec<&str> = text.lines().map(|line| line.split_once("Z ").unwrap().1).collect();
    let line = |stage: &str, response: &str| {
        let user = r#"user="system:unsecured" groups="\"system:masters\",\"system:authenticated\"""#;
        let rest = r#"as="<self>" asgroups="<lookup>" user-agent="t/1" namespace="default""#;
        format!(
            r#"AUDIT: id="one" stage="{stage}" ip="127.0.0.1" method="create" {user} {rest} uri="{MAPS}" response="{response}""#
        )
    };
    assert_eq!(lines, [line("RequestReceived", "<deferred>"), line("ResponseComplete", "201")]);
}
