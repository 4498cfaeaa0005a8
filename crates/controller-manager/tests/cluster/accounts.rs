//! Service accounts and their tokens.

use api_types::core::{Secret, ServiceAccount};
use kube::api::{Api, DeleteParams, PostParams};
use serde_json::json;

use crate::harness::{Cluster, key};

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_asks_for_a_token_gets_one() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("key.pem");
    std::fs::write(&path, rcgen::KeyPair::generate().unwrap().serialize_pem()).unwrap();
    let root_ca = directory.path().join("ca.crt");
    std::fs::write(&root_ca, "pem").unwrap();
    let (path, root_ca) = (path.display(), root_ca.display());
    let flags = format!("--service-account-private-key-file={path} --root-ca-file={root_ca}");
    let cluster = Cluster::start_beside(&[&format!("--service-account-key-file={path}")], &flags).await;
    let secrets: Api<Secret> = Api::namespaced(cluster.client.clone(), "default");
    let accounts: Api<ServiceAccount> = Api::namespaced(cluster.client.clone(), "default");
    let secret = json!({
        "metadata": {"name": "s", "annotations": {"kubernetes.io/service-account.name": "default"}},
        "type": "kubernetes.io/service-account-token",
    });
    let secret = serde_json::from_value(secret).unwrap();
    cluster.until::<ServiceAccount>("the account", |accounts| accounts.get(&key("default")).is_some()).await;
    secrets.create(&PostParams::default(), &secret).await.unwrap();
    let token = |secret: &Secret| Some(secret.data.as_ref()?.get("token")?.0.clone());
    cluster.until::<Secret>("a token", |secrets| secrets.get(&key("s")).and_then(|s| token(&s)).is_some()).await;
    let filled = secrets.get("s").await.unwrap();
    let data = filled.data.as_ref().unwrap();
    assert_eq!(data["namespace"].0, b"default");
    assert_eq!(data["ca.crt"].0, b"pem");
    // The API server believes it.
    let token = String::from_utf8(token(&filled).unwrap()).unwrap();
    let review = json!({"spec": {"token": token}}).to_string().into_bytes();
    let request = http::Request::post("/apis/authentication.k8s.io/v1/tokenreviews")
        .header("content-type", "application/json")
        .body(review)
        .unwrap();
    let review: serde_json::Value = cluster.client.request(request).await.unwrap();
    assert_eq!(review["status"]["user"]["username"], "system:serviceaccount:default:default", "{review}");
    accounts.delete("default", &DeleteParams::default()).await.unwrap();
    cluster.until::<Secret>("it to go with its account", |secrets| secrets.get(&key("s")).is_none()).await;
}
