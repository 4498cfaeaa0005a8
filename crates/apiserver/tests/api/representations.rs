//! Tables and metadata.

use serde_json::json;

use crate::client::Api;

const PODS: &str = "/api/v1/namespaces/default/pods";
const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";

async fn with_pod() -> Api {
    let api = Api::start().await;
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
    api.post(PODS, &pod).await.ok();
    api
}

#[tokio::test]
async fn tables_have_columns_and_rows() {
    let api = with_pod().await;
    for path in [PODS.to_owned(), format!("{PODS}/p")] {
        let table = api.accept(&path, TABLE).await.ok();
        assert_eq!((table["kind"].as_str(), table["apiVersion"].as_str()), (Some("Table"), Some("meta.k8s.io/v1")));
        let columns: Vec<_> =
            table["columnDefinitions"].as_array().unwrap().iter().map(|c| c["name"].as_str().unwrap()).collect();
        assert_eq!(columns[..5], ["Name", "Ready", "Status", "Restarts", "Age"]);
        assert_eq!(table["rows"][0]["cells"].as_array().unwrap()[..3], [json!("p"), json!("0/1"), json!("Pending")]);
        assert_eq!(table["rows"][0]["object"]["kind"], "PartialObjectMetadata");
        assert!(!table["metadata"]["resourceVersion"].is_null());
    }
    let bare = api.accept(&format!("{PODS}?includeObject=None"), TABLE).await.ok();
    assert!(bare["rows"][0]["object"].is_null());
    let full = api.accept(&format!("{PODS}?includeObject=Object"), TABLE).await.ok();
    assert_eq!(full["rows"][0]["object"]["spec"]["containers"][0]["name"], "c");
}

#[tokio::test]
async fn metadata_alone_can_be_had() {
    let api = with_pod().await;
    let list = api.accept(PODS, "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1").await.ok();
    assert_eq!(list["kind"], "PartialObjectMetadataList");
    assert_eq!(list["items"][0]["metadata"]["name"], "p");
    assert!(list["items"][0]["spec"].is_null());
    let one =
        api.accept(&format!("{PODS}/p"), "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1").await.ok();
    assert_eq!(one["kind"], "PartialObjectMetadata");
}
