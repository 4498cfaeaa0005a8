//! Every kind of a table: it can be made, read, shown, changed and deleted.

use serde_json::{Value, json};

use crate::client::Api;

const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io";

/// A kind as its users see it.
struct Case {
    /// Where its objects are.
    collection: &'static str,
    /// One of them, without what is common to all.
    object: Value,
    /// Its columns: name, and a mark for those that are only shown when asked for.
    columns: &'static str,
    /// Its cells; ages are left out.
    cells: Value,
}

fn core() -> Vec<Case> {
    vec![
        Case {
            collection: "/api/v1/namespaces/default/limitranges",
            object: json!({"kind": "LimitRange", "spec": {"limits": [{"type": "Container", "max": {"cpu": "2"}}]}}),
            columns: "Name,Created At",
            cells: json!(["x"]),
        },
        Case {
            collection: "/api/v1/namespaces/default/resourcequotas",
            object: json!({"kind": "ResourceQuota", "spec": {"hard": {"pods": "4"}}}),
            columns: "Name,Request,Limit,Age",
            cells: json!(["x", "", ""]),
        },
        Case {
            collection: "/api/v1/persistentvolumes",
            object: json!({"kind": "PersistentVolume", "spec": {
                "accessModes": ["ReadWriteOnce", "ReadOnlyMany"], "capacity": {"storage": "1024Mi"}, "hostPath": {"path": "/a"},
            }}),
            columns: "Name,Capacity,Access Modes,Reclaim Policy,Status,Claim,StorageClass,VolumeAttributesClass,Reason,Age,VolumeMode+",
            cells: json!(["x", "1Gi", "RWO,ROX", "Retain", "Pending", "", "", "<unset>", "", "Filesystem"]),
        },
        Case {
            collection: "/api/v1/namespaces/default/persistentvolumeclaims",
            object: json!({"kind": "PersistentVolumeClaim", "spec": {
                "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}, "storageClassName": "s",
            }}),
            columns: "Name,Status,Volume,Capacity,Access Modes,StorageClass,VolumeAttributesClass,Age,VolumeMode+",
            cells: json!(["x", "Pending", "", "", "", "s", "<unset>", "Filesystem"]),
        },
        Case {
            collection: "/api/v1/namespaces/default/podtemplates",
            object: json!({"kind": "PodTemplate", "template": template("Always")}),
            columns: "Name,Containers,Images,Pod Labels",
            cells: json!(["x", "c", "i", "a=b"]),
        },
    ]
}

fn classes() -> Vec<Case> {
    vec![
        Case {
            collection: "/apis/storage.k8s.io/v1/storageclasses",
            object: json!({"kind": "StorageClass", "provisioner": "example.com/p"}),
            columns: "Name,Provisioner,ReclaimPolicy,VolumeBindingMode,AllowVolumeExpansion,Age",
            cells: json!(["x", "example.com/p", "Delete", "Immediate", false]),
        },
        Case {
            collection: "/apis/scheduling.k8s.io/v1/priorityclasses",
            object: json!({"kind": "PriorityClass", "value": 5}),
            columns: "Name,Value,Global-Default,Age,PreemptionPolicy",
            cells: json!(["x", 5, false, "PreemptLowerPriority"]),
        },
        Case {
            collection: "/apis/node.k8s.io/v1/runtimeclasses",
            object: json!({"kind": "RuntimeClass", "handler": "runc"}),
            columns: "Name,Handler,Age",
            cells: json!(["x", "runc"]),
        },
    ]
}

fn template(restart_policy: &str) -> Value {
    json!({
        "metadata": {"labels": {"a": "b"}},
        "spec": {"restartPolicy": restart_policy, "containers": [{"name": "c", "image": "i"}]},
    })
}

#[tokio::test]
async fn objects_of_every_kind_live() {
    let api = Api::start().await;
    for case in core().into_iter().chain(classes()) {
        case.check(&api).await;
    }
}

impl Case {
    async fn check(&self, api: &Api) {
        let mut object = self.object.clone();
        let segments: Vec<&str> = self.collection.split('/').collect();
        let version = if segments[1] == "api" { "v1".to_owned() } else { segments[2..4].join("/") };
        object["apiVersion"] = version.into();
        object["metadata"]["name"] = "x".into();
        let created = api.post(self.collection, &object).await.ok();
        let path = format!("{}/x", self.collection);
        assert_eq!(api.get(&path).await.ok(), created, "{path}");
        self.check_row(api, &path).await;

        let mut changed = created.clone();
        changed["metadata"]["labels"]["l"] = "1".into();
        let updated = api.put(&path, &changed).await.ok();
        assert_eq!(updated["metadata"]["labels"]["l"], "1", "{path}");
        let patched = api.merge(&path, &json!({"metadata": {"annotations": {"a": "1"}}})).await.ok();
        assert_eq!(patched["metadata"]["annotations"]["a"], "1", "{path}");
        assert_eq!(patched["spec"], created["spec"], "{path}");
        api.delete(&path).await.ok();
        assert_eq!(api.get(&path).await.code, 404, "{path}");
    }

    async fn check_row(&self, api: &Api, path: &str) {
        let table = api.accept(path, TABLE).await.ok();
        let column = |column: &Value| {
            let mark = if column["priority"] == 0 { "" } else { "+" };
            format!("{}{mark}", column["name"].as_str().unwrap())
        };
        let definitions = table["columnDefinitions"].as_array().unwrap();
        let columns: Vec<String> = definitions.iter().map(column).collect();
        assert_eq!(columns.join(","), self.columns, "{path}");
        let cells = table["rows"][0]["cells"].as_array().unwrap();
        let lasting = definitions
            .iter()
            .zip(cells)
            .filter(|(column, _)| !matches!(column["name"].as_str(), Some("Age" | "Created At")));
        let cells: Vec<Value> = lasting.map(|(_, cell)| cell.clone()).collect();
        assert_eq!(Value::from(cells), self.cells, "{path}");
    }
}

#[tokio::test]
async fn the_systems_priority_classes_are_there_and_stay() {
    let api = Api::start().await;
    let path = "/apis/scheduling.k8s.io/v1/priorityclasses/system-node-critical";
    let class = api.get(path).await.ok();
    assert_eq!((&class["value"], &class["preemptionPolicy"]), (&json!(2_000_001_000), &json!("PreemptLowerPriority")));
    let refused = api.delete(path).await.failure();
    let words = "priorityclasses.scheduling.k8s.io \"system-node-critical\" is forbidden: this is a system priority class and cannot be deleted";
    assert_eq!((refused.0, refused.2.as_str()), (403, words));
}

#[tokio::test]
async fn statuses_have_their_own_door() {
    let api = Api::start().await;
    let quotas = "/api/v1/namespaces/default/resourcequotas";
    let quota = json!({
        "apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "q"},
        "spec": {"hard": {"pods": "4"}}, "status": {"used": {"pods": "1"}},
    });
    let created = api.post(quotas, &quota).await.ok();
    assert_eq!((&created["status"], &created["metadata"]["generation"]), (&json!({}), &Value::Null));
    let path = format!("{quotas}/q/status");
    let counted = api.merge(&path, &json!({"status": {"used": {"pods": "2"}}, "spec": {"hard": {}}})).await.ok();
    assert_eq!((&counted["status"]["used"]["pods"], &counted["spec"]["hard"]["pods"]), (&json!("2"), &json!("4")));
    let wrong = api.merge(&path, &json!({"status": {"used": {"pods": "1.5"}}})).await.failure();
    assert!(wrong.2.contains("status.used[pods]: Invalid value: \"1500m\": must be an integer"), "{}", wrong.2);
}
