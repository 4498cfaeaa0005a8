//! As whom pods run.

use serde_json::{Value, json};

use crate::client::Api;

const ACCOUNTS: &str = "/api/v1/namespaces/default/serviceaccounts";
const PODS: &str = "/api/v1/namespaces/default/pods";

async fn start() -> Api {
    Api::start_with(&["--enable-admission-plugins=ServiceAccount"]).await
}

fn pod(name: &str, spec: Value) -> Value {
    let mut spec = spec;
    spec["containers"] = json!([{"name": "c", "image": "i"}]);
    json!({"metadata": {"name": name}, "spec": spec})
}

fn account(name: &str) -> Value {
    json!({"metadata": {"name": name}, "imagePullSecrets": [{"name": "pull"}]})
}

#[tokio::test]
async fn a_pod_runs_as_the_default_account() {
    let api = start().await;
    api.post(ACCOUNTS, &account("default")).await.ok();
    let created = api.post(PODS, &pod("p", json!({}))).await.ok();
    let spec = &created["spec"];
    assert_eq!((&spec["serviceAccountName"], &spec["serviceAccount"]), (&json!("default"), &json!("default")));
    assert_eq!(spec["imagePullSecrets"], json!([{"name": "pull"}]));
    let volume = &spec["volumes"][0];
    let name = volume["name"].as_str().unwrap();
    assert!(name.starts_with("kube-api-access-"), "{name}");
    assert_eq!(volume["projected"]["sources"][0]["serviceAccountToken"]["expirationSeconds"], 3607);
    let mount = json!({"name": name, "readOnly": true, "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"});
    assert_eq!(spec["containers"][0]["volumeMounts"], json!([mount]));
    let own = api.post(PODS, &pod("q", json!({"imagePullSecrets": [{"name": "own"}]}))).await.ok();
    assert_eq!(own["spec"]["imagePullSecrets"], json!([{"name": "own"}]));
}

#[tokio::test]
async fn a_token_is_mounted_where_it_is_wanted() {
    let api = start().await;
    for (name, automount) in [("usual", Value::Null), ("quiet", json!(false)), ("loud", json!(true))] {
        let mut account = account(name);
        account["automountServiceAccountToken"] = automount;
        api.post(ACCOUNTS, &account).await.ok();
    }
    let cases = [
        ("usual", Value::Null, true),
        ("usual", json!(false), false),
        ("quiet", Value::Null, false),
        ("quiet", json!(true), true),
        ("loud", json!(false), false),
    ];
    for (index, (account, wish, mounted)) in cases.into_iter().enumerate() {
        let spec = json!({"serviceAccountName": account, "automountServiceAccountToken": wish});
        let created = api.post(PODS, &pod(&format!("p{index}"), spec)).await.ok();
        assert_eq!(created["spec"]["volumes"].is_array(), mounted, "{account}, {wish}");
    }
}

#[tokio::test]
async fn an_account_has_to_be_there() {
    let api = start().await;
    let missing = api.post(PODS, &pod("p", json!({"serviceAccount": "none"}))).await.failure();
    assert_eq!(missing.0, 403);
    assert_eq!(
        missing.2,
        "pods \"p\" is forbidden: error looking up service account default/none: serviceaccount \"none\" not found"
    );
}

#[tokio::test]
async fn a_new_namespace_soon_has_its_account() {
    let api = start().await;
    // The account is made while the pod waits for it.
    let (made, accounts) = (pod("p", json!({})), account("default"));
    let (pod, account) = tokio::join!(api.post(PODS, &made), api.post(ACCOUNTS, &accounts));
    account.ok();
    assert_eq!(pod.code, 201);
}

#[tokio::test]
async fn a_mirror_pod_has_no_account() {
    let api = start().await;
    let cases = [
        (json!({}), None),
        (json!({"serviceAccountName": "x"}), Some("a mirror pod may not reference service accounts")),
        (
            json!({"volumes": [{"name": "v", "secret": {"secretName": "s"}}]}),
            Some("a mirror pod may not reference secrets"),
        ),
        (
            json!({"volumes": [{"name": "v", "projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}}]}),
            Some("a mirror pod may not use ServiceAccountToken volume projections"),
        ),
    ];
    for (index, (spec, why)) in cases.into_iter().enumerate() {
        let mut mirror = pod(&format!("p{index}"), spec);
        mirror["metadata"]["annotations"] = json!({"kubernetes.io/config.mirror": "x"});
        let answer = api.post(PODS, &mirror).await;
        match why {
            None => assert_eq!(answer.ok()["spec"]["serviceAccountName"], Value::Null),
            Some(why) => {
                let (code, _, message) = answer.failure();
                assert_eq!((code, message), (403, format!("pods \"p{index}\" is forbidden: {why}")));
            }
        }
    }
}
