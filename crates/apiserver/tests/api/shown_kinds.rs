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

fn workloads() -> Vec<Case> {
    let selector = json!({"matchLabels": {"a": "b"}});
    vec![
        Case {
            collection: "/apis/apps/v1/namespaces/default/daemonsets",
            object: json!({"kind": "DaemonSet", "spec": {"selector": selector, "template": template("Always")}}),
            columns: "Name,Desired,Current,Ready,Up-to-date,Available,Node Selector,Age,Containers+,Images+,Selector+",
            cells: json!(["x", 0, 0, 0, 0, 0, "<none>", "c", "i", "a=b"]),
        },
        Case {
            collection: "/apis/apps/v1/namespaces/default/statefulsets",
            object: json!({"kind": "StatefulSet", "spec": {"selector": selector, "template": template("Always")}}),
            columns: "Name,Ready,Age,Containers+,Images+",
            cells: json!(["x", "0/1", "c", "i"]),
        },
        Case {
            collection: "/apis/apps/v1/namespaces/default/controllerrevisions",
            object: json!({"kind": "ControllerRevision", "revision": 3, "data": {"a": 1}}),
            columns: "Name,Controller,Revision,Age",
            cells: json!(["x", "<none>", 3]),
        },
        Case {
            collection: "/apis/batch/v1/namespaces/default/cronjobs",
            object: json!({"kind": "CronJob", "spec": {
                "schedule": "@daily", "jobTemplate": {"spec": {"template": template("Never")}},
            }}),
            columns: "Name,Schedule,Timezone,Suspend,Active,Last Schedule,Age,Containers+,Images+,Selector+",
            cells: json!(["x", "@daily", "<none>", "False", 0, "<none>", "c", "i", "<none>"]),
        },
        Case {
            collection: "/apis/policy/v1/namespaces/default/poddisruptionbudgets",
            object: json!({"kind": "PodDisruptionBudget", "spec": {"minAvailable": "50%", "selector": selector}}),
            columns: "Name,Min Available,Max Unavailable,Allowed Disruptions,Age",
            cells: json!(["x", "50%", "N/A", 0]),
        },
    ]
}

fn csi() -> Vec<Case> {
    vec![
        Case {
            collection: "/apis/storage.k8s.io/v1/csidrivers",
            object: json!({"kind": "CSIDriver", "spec": {"tokenRequests": [{"audience": "a"}]}}),
            columns: "Name,AttachRequired,PodInfoOnMount,StorageCapacity,TokenRequests,RequiresRepublish,Modes,Age",
            cells: json!(["x", true, false, false, "a", false, "Persistent"]),
        },
        Case {
            collection: "/apis/storage.k8s.io/v1/csinodes",
            object: json!({"kind": "CSINode", "spec": {"drivers": [{"name": "d", "nodeID": "n"}]}}),
            columns: "Name,Drivers,Age",
            cells: json!(["x", 1]),
        },
        Case {
            collection: "/apis/storage.k8s.io/v1/namespaces/default/csistoragecapacities",
            object: json!({"kind": "CSIStorageCapacity", "storageClassName": "s", "capacity": "1024Mi"}),
            columns: "Name,StorageClassName,Capacity",
            cells: json!(["x", "s", "1Gi"]),
        },
        Case {
            collection: "/apis/storage.k8s.io/v1/volumeattachments",
            object: json!({"kind": "VolumeAttachment", "spec": {
                "attacher": "a", "nodeName": "n", "source": {"persistentVolumeName": "v"},
            }}),
            columns: "Name,Attacher,PV,Node,Attached,Age",
            cells: json!(["x", "a", "v", "n", false]),
        },
        Case {
            collection: "/apis/storage.k8s.io/v1/volumeattributesclasses",
            object: json!({"kind": "VolumeAttributesClass", "driverName": "d", "parameters": {"a": "b"}}),
            columns: "Name,DriverName,Age",
            cells: json!(["x", "d"]),
        },
    ]
}

fn autoscalers() -> Vec<Case> {
    let target = json!({"kind": "Deployment", "name": "d", "apiVersion": "apps/v1"});
    let columns = "Name,Reference,Targets,MinPods,MaxPods,Replicas,Age";
    let cells = json!(["x", "Deployment/d", "cpu: <unknown>/80%", "1", 3, 0]);
    let spec = json!({"maxReplicas": 3, "scaleTargetRef": target});
    let object = json!({"kind": "HorizontalPodAutoscaler", "spec": spec});
    let (new, old) = (
        "/apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers",
        "/apis/autoscaling/v1/namespaces/default/horizontalpodautoscalers",
    );
    let case = |collection| Case { collection, object: object.clone(), columns, cells: cells.clone() };
    vec![case(new), case(old)]
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
    for case in core().into_iter().chain(classes()).chain(workloads()).chain(autoscalers()).chain(csi()) {
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

#[tokio::test]
async fn a_job_selects_its_own_pods() {
    let api = Api::start().await;
    let jobs = "/apis/batch/v1/namespaces/default/jobs";
    let job = json!({
        "apiVersion": "batch/v1", "kind": "Job", "metadata": {"generateName": "j-"}, "spec": {"template": template("Never")},
    });
    let created = api.post(jobs, &job).await.ok();
    let (uid, name) = (&created["metadata"]["uid"], created["metadata"]["name"].as_str().unwrap());
    let selector = json!({"matchLabels": {"batch.kubernetes.io/controller-uid": uid}});
    assert_eq!(created["spec"]["selector"], selector);
    let labels = json!({
        "a": "b", "controller-uid": uid, "job-name": name,
        "batch.kubernetes.io/controller-uid": uid, "batch.kubernetes.io/job-name": name,
    });
    assert_eq!(created["spec"]["template"]["metadata"]["labels"], labels);
    assert_eq!(created["metadata"]["labels"], json!({"a": "b"}));
    let path = format!("{jobs}/{name}");
    api.merge(&path, &json!({"spec": {"parallelism": 3, "suspend": true}})).await.ok();
    let refused = api.merge(&path, &json!({"spec": {"completions": 3}})).await.failure();
    assert!(refused.2.ends_with("spec.completions: Invalid value: 3: field is immutable"), "{}", refused.2);
    let status = json!({"status": {"succeeded": 1, "startTime": "2026-01-01T00:00:00Z"}});
    api.merge(&format!("{path}/status"), &status).await.ok();
    let deleted = api.delete(&format!("{path}?dryRun=All")).await;
    let warning = deleted.headers["warning"].to_str().unwrap();
    assert!(warning.contains("child pods are preserved by default when jobs are deleted"), "{warning}");
    let deleted = api.delete(&format!("{path}?dryRun=All&propagationPolicy=Background")).await;
    assert!(deleted.headers.get("warning").is_none());
    let found = api.get(&format!("{jobs}?fieldSelector=status.successful%3D1")).await.ok();
    assert_eq!(found["items"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn an_autoscaler_is_the_same_in_both_versions() {
    let api = Api::start().await;
    let path = |version: &str| format!("/apis/autoscaling/{version}/namespaces/default/horizontalpodautoscalers");
    let object = json!({
        "apiVersion": "autoscaling/v1", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "h"},
        "spec": {
            "maxReplicas": 3, "targetCPUUtilizationPercentage": 50,
            "scaleTargetRef": {"kind": "Deployment", "name": "d", "apiVersion": "apps/v1"},
        },
    });
    api.post(&path("v1"), &object).await.ok();
    let new = api.get(&format!("{}/h", path("v2"))).await.ok();
    let cpu = json!({"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}}});
    assert_eq!(new["spec"]["metrics"], json!([cpu]));
    let memory = json!({"type": "Resource", "resource": {"name": "memory", "target": {"type": "AverageValue", "averageValue": "1Gi"}}});
    api.merge(&format!("{}/h", path("v2")), &json!({"spec": {"metrics": [memory, cpu]}})).await.ok();
    let status = json!({"status": {"desiredReplicas": 2, "conditions": [{"type": "AbleToScale", "status": "True"}]}});
    api.merge(&format!("{}/h/status", path("v2")), &status).await.ok();
    // A client of the old version that knows nothing of all this changes something else.
    api.merge(&format!("{}/h", path("v1")), &json!({"spec": {"maxReplicas": 5}})).await.ok();
    let new = api.get(&format!("{}/h", path("v2"))).await.ok();
    assert_eq!((&new["spec"]["maxReplicas"], &new["spec"]["metrics"]), (&json!(5), &json!([memory, cpu])));
    assert_eq!(new["status"]["conditions"][0]["type"], "AbleToScale");
    assert!(new["metadata"]["annotations"].is_null(), "{new}");
}

#[tokio::test]
async fn a_changed_template_of_a_daemon_set_is_counted() {
    let api = Api::start().await;
    let sets = "/apis/apps/v1/namespaces/default/daemonsets";
    let set = json!({
        "apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": "d"},
        "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": template("Always")},
    });
    let generations = |set: &Value| {
        let old = set["metadata"]["annotations"]["deprecated.daemonset.template.generation"].clone();
        (set["metadata"]["generation"].clone(), old)
    };
    assert_eq!(generations(&api.post(sets, &set).await.ok()), (json!(1), json!("1")));
    let path = format!("{sets}/d");
    let later = api.merge(&path, &json!({"spec": {"minReadySeconds": 1}})).await.ok();
    assert_eq!(generations(&later), (json!(2), json!("1")));
    let template = json!({"spec": {"template": {"metadata": {"labels": {"c": "d"}}}}});
    assert_eq!(generations(&api.merge(&path, &template).await.ok()), (json!(3), json!("2")));
}
