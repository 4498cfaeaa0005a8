//! What is recorded of requests.

use std::{fs, path::Path};

use serde_json::{Value, json};

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
