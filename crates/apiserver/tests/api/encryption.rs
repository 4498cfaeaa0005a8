//! Encryption at rest, as clients see it: not at all.

use std::{fs, path::Path, time::Duration};

use serde_json::json;

use crate::client::Api;

const SECRETS: &str = "/api/v1/namespaces/default/secrets";

fn write(path: &Path, keys: &[(&str, &str)]) {
    let keys: Vec<_> = keys.iter().map(|(name, secret)| json!({"name": name, "secret": secret})).collect();
    let providers = json!([{"aescbc": {"keys": keys}}, {"identity": {}}]);
    let config = json!({
        "apiVersion": "apiserver.config.k8s.io/v1", "kind": "EncryptionConfiguration",
        "resources": [{"resources": ["secrets"], "providers": providers}],
    });
    fs::write(path, config.to_string()).unwrap();
}

#[tokio::test]
async fn a_write_that_changes_nothing_encrypts_with_the_newest_key() {
    let (one, two) = (("one", "AAECAwQFBgcICQoLDA0ODw=="), ("two", "DwECAwQFBgcICQoLDA0ODw=="));
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("keys.yaml");
    write(&path, &[one]);
    let config = format!("--encryption-provider-config={}", path.display());
    let api = Api::start_with(&[&config, "--encryption-provider-config-automatic-reload"]).await;
    let secret = json!({"metadata": {"name": "s"}, "stringData": {"k": "v"}});
    let created = api.post(SECRETS, &secret).await.ok();
    let version = async |answer: &serde_json::Value| answer["metadata"]["resourceVersion"].as_str().unwrap().to_owned();
    let before = version(&created).await;
    let put = async || version(&api.put(&format!("{SECRETS}/s"), &created_without_version(&created)).await.ok()).await;
    assert_eq!(put().await, before, "nothing has changed");
    write(&path, &[two, one]);
    let mut after = put().await;
    while after == before {
        tokio::time::sleep(Duration::from_millis(20)).await;
        after = put().await;
    }
    assert_eq!(put().await, after, "once is enough");
    let read = api.get(&format!("{SECRETS}/s")).await.ok();
    assert_eq!(read["data"], json!({"k": "dg=="}));
}

/// The object, whatever its version.
fn created_without_version(created: &serde_json::Value) -> serde_json::Value {
    let mut object = created.clone();
    object["metadata"].as_object_mut().unwrap().remove("resourceVersion");
    object
}
