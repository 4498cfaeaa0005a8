use std::{io::Write, sync::Arc};

use api_types::{
    core::{Binding, ObjectReference},
    meta::ObjectMeta,
};
use axum::{Json, Router, extract::Path, extract::State, http::StatusCode};
use kube::{Client, api::PostParams};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tempfile::NamedTempFile;
use tokio::net::TcpListener;

use crate::harness::Cluster;

/// What an extender was asked, and what it does with the API server.
struct Extender {
    asked: Mutex<Vec<(String, Value)>>,
    client: Client,
}

impl Extender {
    /// Listens; where.
    async fn start(cluster: &Cluster) -> (Arc<Self>, String) {
        let own = Arc::new(Self { asked: Mutex::default(), client: cluster.client.clone() });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/x", listener.local_addr().unwrap());
        let router = Router::new().route("/x/{verb}", axum::routing::post(answer)).with_state(Arc::clone(&own));
        tokio::spawn(async { axum::serve(listener, router).await });
        (own, url)
    }

    /// The arguments with which a verb was asked first.
    fn asked(&self, verb: &str) -> Value {
        self.asked.lock().iter().find(|(asked, _)| asked == verb).unwrap().1.clone()
    }
}

async fn answer(
    State(own): State<Arc<Extender>>,
    Path(verb): Path<String>,
    Json(arguments): Json<Value>,
) -> (StatusCode, String) {
    own.asked.lock().push((verb.clone(), arguments.clone()));
    let answer = match verb.as_str() {
        "not-n0" => json!({"nodenames": ["n1", "n2"], "failedNodes": {"n0": "n0 is not mine"}, "error": ""}),
        "nobody" => {
            json!({"nodenames": null, "failedAndUnresolvableNodes": {"n0": "not today"}, "failedNodes": {"n1": "full"}})
        }
        "whole" => json!({"nodes": {"items": [arguments["nodes"]["items"][0]]}}),
        "prefer-n2" => json!([{"host": "n2", "score": 10}, {"host": "n1", "score": 0}]),
        "spare-n0" => {
            let mut victims = arguments["nodeNameToMetaVictims"].clone();
            victims.as_object_mut().unwrap().remove("n0");
            json!({"nodeNameToMetaVictims": victims})
        }
        "bind" => {
            let text = |field: &str| arguments[field].as_str().map(str::to_owned);
            let pods = kube::Api::<api_types::core::Pod>::namespaced(own.client.clone(), "default");
            let target = ObjectReference { name: text("node"), ..ObjectReference::default() };
            let name = text("podName");
            let metadata = ObjectMeta { name: name.clone(), uid: text("podUID"), ..ObjectMeta::default() };
            let binding = Binding { metadata, target };
            let bound =
                pods.create_subresource::<_, Value>("binding", &name.unwrap(), &PostParams::default(), &binding).await;
            json!({"error": bound.err().map(|error| error.to_string())})
        }
        "long" => return (StatusCode::OK, "[".repeat(1000)),
        _ => return (StatusCode::INTERNAL_SERVER_ERROR, String::new()),
    };
    (StatusCode::OK, answer.to_string())
}

/// Three nodes, of two CPUs each, and a scheduler with one extender.
async fn cluster(extender: impl FnOnce(&str) -> Value) -> (Cluster, Arc<Extender>, NamedTempFile) {
    let cluster = Cluster::start().await;
    for node in ["n0", "n1", "n2"] {
        cluster.node(node, "a", "2").await;
    }
    let (own, url) = Extender::start(&cluster).await;
    let config = json!({"apiVersion": "kubescheduler.config.k8s.io/v1", "kind": "KubeSchedulerConfiguration",
        "extenders": [extender(&url)]});
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(config.to_string().as_bytes()).unwrap();
    cluster.schedule(cluster.client.clone(), &[&format!("--config={}", file.path().display())]).await;
    (cluster, own, file)
}

#[tokio::test]
async fn extenders_choose_and_bind() {
    let (cluster, own, _file) = cluster(|url| {
        json!({"urlPrefix": url, "filterVerb": "not-n0", "prioritizeVerb": "prefer-n2", "weight": 5, "bindVerb": "bind",
            "nodeCacheCapable": true})
    })
    .await;
    cluster.pod("p", json!({})).await;
    assert_eq!(cluster.until_placed("p").await, "n2");
    let asked = own.asked("not-n0");
    assert_eq!(asked["pod"]["spec"]["containers"][0]["image"], "i", "it is shown the whole pod");
    let mut names: Vec<&str> = asked["nodenames"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    names.sort_unstable();
    assert_eq!((names, &asked["nodes"]), (vec!["n0", "n1", "n2"], &Value::Null));
    assert_eq!((&own.asked("bind")["node"], &own.asked("bind")["podNamespace"]), (&json!("n2"), &json!("default")));
}

#[tokio::test]
async fn extenders_say_why_not() {
    let (cluster, _, _file) =
        cluster(|url| json!({"urlPrefix": url, "filterVerb": "nobody", "nodeCacheCapable": true})).await;
    cluster.pod("p", json!({})).await;
    cluster.until_rejected("p", "0/3 nodes are available: 1 full, 1 not today.").await;
}

#[tokio::test]
async fn extenders_that_do_not_know_nodes_are_shown_them() {
    let (cluster, own, _file) = cluster(|url| json!({"urlPrefix": url, "filterVerb": "whole"})).await;
    cluster.pod("p", json!({})).await;
    let placed = cluster.until_placed("p").await;
    let node = own.asked("whole")["nodes"]["items"][0].clone();
    assert_eq!((&node["metadata"]["name"], &node["status"]["allocatable"]["cpu"]), (&json!(placed), &json!("2")));
}

#[tokio::test]
async fn extenders_that_fail_are_waited_for_or_ignored() {
    for verb in ["broken", "long"] {
        let (cluster, _, _file) =
            cluster(|url| json!({"urlPrefix": url, "filterVerb": verb, "ignorable": true, "nodeCacheCapable": true}))
                .await;
        cluster.pod("p", json!({})).await;
        cluster.until_placed("p").await;
    }
    let (cluster, _, _file) =
        cluster(|url| json!({"urlPrefix": url, "filterVerb": "broken", "nodeCacheCapable": true})).await;
    cluster.pod("p", json!({})).await;
    cluster
        .until_pod("p", "could not be decided about", |pod| {
            let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
            conditions.iter().any(|condition| condition.reason.as_deref() == Some("SchedulerError"))
        })
        .await;
}

#[tokio::test]
async fn extenders_with_resources_of_their_own_see_who_wants_them() {
    let (cluster, own, _file) = cluster(|url| {
        let managed = json!([{"name": "example.com/device", "ignoredByScheduler": true}]);
        json!({"urlPrefix": url, "filterVerb": "not-n0", "nodeCacheCapable": true, "managedResources": managed})
    })
    .await;
    cluster.pod("other", json!({})).await;
    cluster.until_placed("other").await;
    assert!(own.asked.lock().is_empty());
    let resources = json!({"requests": {"example.com/device": "1"}, "limits": {"example.com/device": "1"}});
    cluster.pod("mine", json!({"containers": [{"name": "c", "image": "i", "resources": resources}]})).await;
    // No node has any, but that is not the scheduler's affair.
    assert_ne!(cluster.until_placed("mine").await, "n0");
}

#[tokio::test]
async fn extenders_have_their_say_about_who_goes() {
    let (cluster, own, _file) =
        cluster(|url| json!({"urlPrefix": url, "preemptVerb": "spare-n0", "nodeCacheCapable": true})).await;
    let asks = |priority: &str| {
        json!({"priorityClassName": priority,
            "containers": [{"name": "c", "image": "i", "resources": {"requests": {"cpu": "2"}}}]})
    };
    for (name, value) in [("low", 1), ("middle", 2), ("high", 3)] {
        let class = json!({"metadata": {"name": name}, "value": value});
        let class: api_types::scheduling::PriorityClass = serde_json::from_value(class).unwrap();
        kube::Api::all(cluster.client.clone()).create(&PostParams::default(), &class).await.unwrap();
    }
    let on = |node: &str, mut spec: Value| {
        spec["nodeSelector"] = json!({"kubernetes.io/hostname": node});
        spec
    };
    cluster.pod("cheap", on("n0", asks("low"))).await;
    cluster.pod("dear", on("n1", asks("middle"))).await;
    cluster.pod("dearest", on("n2", asks("high"))).await;
    for name in ["cheap", "dear", "dearest"] {
        cluster.until_placed(name).await;
    }
    cluster.pod("high", asks("high")).await;
    assert_eq!(cluster.until_placed("high").await, "n1");
    assert!(own.asked("spare-n0")["nodeNameToMetaVictims"]["n0"]["pods"][0]["uid"].is_string());
}
