//! Admission: every door that writes or connects passes it, under its own name.

use std::sync::Arc;

use api_types::{StatusError, core};
use apiserver::registry::{
    DryRun, Operation, Review,
    admission::{Handle, Plugin},
};
use futures::future::BoxFuture;
use http::Method;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::client::Api;

const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const PODS: &str = "/api/v1/namespaces/default/pods";
const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/default/deployments";
const APPLY: &str = "application/apply-patch+yaml";

fn map(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"k": "v"}})
}

fn pod(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": {"containers": [{"name": "c", "image": "i"}]}})
}

fn deployment() -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"},
        "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}},
    })
}

fn binding(pod: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Binding", "metadata": {"name": pod}, "target": {"kind": "Node", "name": "n1"}})
}

/// What the sides of a plugin have seen.
#[derive(Clone, Default)]
struct Recorder {
    admitted: Arc<Mutex<Vec<String>>>,
    validated: Arc<Mutex<Vec<String>>>,
}

/// operation group/version resource subresource kind namespace/name, what there is of object and old, dry run, options.
fn describe(review: &Review<'_>) -> String {
    let door = &review.door;
    let (group, version, kind) = door.kind();
    let resource = format!("{}/{}", door.row.plural, door.subresource);
    let json = |json: Option<&bytes::Bytes>| {
        let value = json.map_or(Value::Null, |json| serde_json::from_slice(json).unwrap());
        value["kind"].as_str().unwrap_or("-").to_owned()
    };
    format!(
        "{} {group}/{version} {} {kind} {}/{} new={} old={} {} {}{}",
        door.operation.as_str(),
        resource.trim_end_matches('/'),
        door.namespace(),
        door.target.name,
        json(review.json()),
        json(review.old_json()),
        review.options().map_or("-".to_owned(), |options| options["kind"].as_str().unwrap().to_owned()),
        review.user().name,
        if review.dry_run() == DryRun::All { " dry" } else { "" },
    )
}

impl Plugin for Recorder {
    fn concerns(&self, review: &Review<'_>) -> bool {
        review.user().name != "system:apiserver"
    }

    fn admit<'a>(&'a self, review: &'a mut Review<'_>) -> BoxFuture<'a, Result<(), StatusError>> {
        self.admitted.lock().push(describe(review));
        Box::pin(async { Ok(()) })
    }

    fn validate<'a>(&'a self, review: &'a Review<'_>) -> BoxFuture<'a, Result<(), StatusError>> {
        self.validated.lock().push(describe(review));
        Box::pin(async { Ok(()) })
    }
}

#[tokio::test]
async fn every_door_is_reviewed() {
    let recorder = Recorder::default();
    let plugin = recorder.clone();
    let api = Api::start_admitting(&[], |_| Box::new(plugin)).await;
    let scale =
        json!({"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": {"name": "d"}, "spec": {"replicas": 2}});
    let eviction = json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "p"}});
    let tried = json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "p"}, "deleteOptions": {"dryRun": ["All"]}});
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "x"}});
    let lease = json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "l"}});
    let json = "application/json";
    let merge = "application/merge-patch+json";
    let path = |base: &str, rest: &str| format!("{base}/{rest}");
    let doors = [
        (
            Method::POST,
            MAPS.to_owned(),
            json,
            map("a"),
            "CREATE /v1 configmaps ConfigMap default/a new=ConfigMap old=- CreateOptions",
        ),
        (
            Method::POST,
            path(MAPS, "?dryRun=All").replace("/?", "?"),
            json,
            map("b"),
            "CREATE /v1 configmaps ConfigMap default/b new=ConfigMap old=- CreateOptions dry",
        ),
        (
            Method::PUT,
            path(MAPS, "a"),
            json,
            map("a"),
            "UPDATE /v1 configmaps ConfigMap default/a new=ConfigMap old=ConfigMap UpdateOptions",
        ),
        (
            Method::PATCH,
            path(MAPS, "a"),
            merge,
            json!({"data": {"k": "w"}}),
            "UPDATE /v1 configmaps ConfigMap default/a new=ConfigMap old=ConfigMap UpdateOptions",
        ),
        (
            Method::PATCH,
            path(MAPS, "a?fieldManager=m&force=true&dryRun=All"),
            APPLY,
            map("a"),
            "UPDATE /v1 configmaps ConfigMap default/a new=ConfigMap old=ConfigMap UpdateOptions dry",
        ),
        (
            Method::PATCH,
            path(MAPS, "c?fieldManager=m"),
            APPLY,
            map("c"),
            "CREATE /v1 configmaps ConfigMap default/c new=ConfigMap old=- CreateOptions",
        ),
        (
            Method::PUT,
            "/apis/coordination.k8s.io/v1/namespaces/default/leases/l".to_owned(),
            json,
            lease,
            "CREATE coordination.k8s.io/v1 leases Lease default/l new=Lease old=- CreateOptions",
        ),
        (
            Method::DELETE,
            path(MAPS, "a?dryRun=All"),
            json,
            Value::Null,
            "DELETE /v1 configmaps ConfigMap default/a new=- old=ConfigMap DeleteOptions dry",
        ),
        (
            Method::DELETE,
            path(MAPS, "a"),
            json,
            Value::Null,
            "DELETE /v1 configmaps ConfigMap default/a new=- old=ConfigMap DeleteOptions",
        ),
        (
            Method::DELETE,
            MAPS.to_owned(),
            json,
            Value::Null,
            "DELETE /v1 configmaps ConfigMap default/c new=- old=ConfigMap DeleteOptions",
        ),
        (
            Method::POST,
            "/api/v1/namespaces".to_owned(),
            json,
            namespace.clone(),
            "CREATE /v1 namespaces Namespace x/x new=Namespace old=- CreateOptions",
        ),
        (
            Method::PUT,
            "/api/v1/namespaces/x/finalize".to_owned(),
            json,
            namespace,
            "UPDATE /v1 namespaces/finalize Namespace x/x new=Namespace old=Namespace UpdateOptions",
        ),
        (
            Method::DELETE,
            "/api/v1/namespaces/x".to_owned(),
            json,
            Value::Null,
            "DELETE /v1 namespaces Namespace x/x new=- old=Namespace DeleteOptions",
        ),
        (
            Method::POST,
            DEPLOYMENTS.to_owned(),
            json,
            deployment(),
            "CREATE apps/v1 deployments Deployment default/d new=Deployment old=- CreateOptions",
        ),
        (
            Method::PATCH,
            path(DEPLOYMENTS, "d/status"),
            merge,
            json!({"status": {"replicas": 1}}),
            "UPDATE apps/v1 deployments/status Deployment default/d new=Deployment old=Deployment UpdateOptions",
        ),
        (
            Method::PUT,
            path(DEPLOYMENTS, "d/scale"),
            json,
            scale,
            "UPDATE autoscaling/v1 deployments/scale Scale default/d new=Scale old=Scale UpdateOptions",
        ),
        (
            Method::PATCH,
            path(DEPLOYMENTS, "d/scale?dryRun=All"),
            merge,
            json!({"spec": {"replicas": 3}}),
            "UPDATE autoscaling/v1 deployments/scale Scale default/d new=Scale old=Scale UpdateOptions dry",
        ),
        (Method::POST, PODS.to_owned(), json, pod("p"), "CREATE /v1 pods Pod default/p new=Pod old=- CreateOptions"),
        (Method::POST, PODS.to_owned(), json, pod("q"), "CREATE /v1 pods Pod default/q new=Pod old=- CreateOptions"),
        (
            Method::POST,
            path(PODS, "p/binding"),
            json,
            binding("p"),
            "CREATE /v1 pods/binding Binding default/p new=Binding old=- CreateOptions",
        ),
        (
            Method::POST,
            "/api/v1/namespaces/default/bindings".to_owned(),
            json,
            binding("q"),
            "CREATE /v1 bindings Binding default/q new=Binding old=- CreateOptions",
        ),
        (
            Method::POST,
            path(PODS, "p/eviction"),
            json,
            tried,
            "CREATE policy/v1 pods/eviction Eviction default/p new=Eviction old=- CreateOptions dry",
        ),
        (
            Method::POST,
            path(PODS, "p/eviction"),
            json,
            eviction,
            "CREATE policy/v1 pods/eviction Eviction default/p new=Eviction old=- CreateOptions",
        ),
        (
            Method::GET,
            path(PODS, "q/log?follow=true"),
            json,
            Value::Null,
            "CONNECT /v1 pods/log PodLogOptions default/q new=PodLogOptions old=- -",
        ),
        (
            Method::GET,
            path(PODS, "q/exec?command=sh"),
            json,
            Value::Null,
            "CONNECT /v1 pods/exec PodExecOptions default/q new=PodExecOptions old=- -",
        ),
        (
            Method::POST,
            path(PODS, "q/attach?stdin=true"),
            json,
            Value::Null,
            "CONNECT /v1 pods/attach PodAttachOptions default/q new=PodAttachOptions old=- -",
        ),
    ];
    for (method, path, media_type, body, expected) in doors {
        let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        let reply = api.raw(method.clone(), &path, &[("content-type", media_type)], body).await;
        let reply = String::from_utf8_lossy(&reply.bytes).into_owned();
        let (admitted, validated) = (recorder.admitted.lock().split_off(0), recorder.validated.lock().split_off(0));
        let expected = match expected.strip_suffix(" dry") {
            Some(expected) => format!("{expected} jane dry"),
            None => format!("{expected} jane"),
        };
        assert_eq!(admitted, [expected.as_str()], "{method} {path}: {reply}");
        assert_eq!(validated, admitted, "{method} {path}: {reply}");
    }
    api.get(&format!("{PODS}/q")).await.ok();
    api.get(&format!("{DEPLOYMENTS}/d/scale")).await.ok();
    assert!(recorder.admitted.lock().is_empty(), "reading is not reviewed");
    let mut generated = map("");
    generated["metadata"] = json!({"generateName": "made-"});
    let name = api.post(MAPS, &generated).await.ok()["metadata"]["name"].as_str().unwrap().to_owned();
    assert!(recorder.admitted.lock()[0].contains("default/ new"), "the name is not there yet");
    assert!(recorder.validated.lock()[0].contains(&format!("default/{name} new")));
}

/// Replaces whole objects, as a webhook does.
struct Replacer;

impl Plugin for Replacer {
    fn concerns(&self, review: &Review<'_>) -> bool {
        let door = &review.door;
        door.target.name.starts_with('r') || door.subresource == "scale"
    }

    fn admit<'a>(&'a self, review: &'a mut Review<'_>) -> BoxFuture<'a, Result<(), StatusError>> {
        Box::pin(async move {
            let Some(json) = review.json() else { return Ok(()) };
            let mut object: Value = serde_json::from_slice(json).unwrap();
            match object["kind"].as_str().unwrap() {
                "ConfigMap" => object["data"] = json!({"replaced": "yes"}),
                "Pod" => object["spec"]["containers"] = json!([{"name": "other", "image": "o"}]),
                "Binding" => object["target"]["name"] = "n2".into(),
                "Scale" => object["spec"]["replicas"] = 7.into(),
                _ => {}
            }
            review.replace(&serde_json::to_vec(&object).unwrap())
        })
    }
}

#[tokio::test]
async fn objects_can_be_replaced() {
    let api = Api::start_admitting(&[], |_| Box::new(Replacer)).await;
    assert_eq!(api.post(MAPS, &map("r")).await.ok()["data"], json!({"replaced": "yes"}));
    let path = format!("{MAPS}/r");
    assert_eq!(api.merge(&path, &json!({"data": {"k": "w"}})).await.ok()["data"], json!({"replaced": "yes"}));
    // What came in another's place is defaulted and validated as if it had been sent.
    let created = api.post(PODS, &pod("r")).await.ok();
    assert_eq!(created["spec"]["containers"][0]["imagePullPolicy"], "Always");
    api.post(&format!("{PODS}/r/binding"), &binding("r")).await.ok();
    assert_eq!(api.get(&format!("{PODS}/r")).await.ok()["spec"]["nodeName"], "n2");
    api.post(DEPLOYMENTS, &deployment()).await.ok();
    let scaled = api.merge(&format!("{DEPLOYMENTS}/d/scale"), &json!({"spec": {"replicas": 2}})).await.ok();
    assert_eq!(scaled["spec"]["replicas"], 7);
    assert_eq!(api.get(&format!("{DEPLOYMENTS}/d")).await.ok()["spec"]["replicas"], 7);
}

/// Lets nobody connect, and nobody write what is called `no`; asks the registry first.
struct Refuser(Handle);

impl Plugin for Refuser {
    fn concerns(&self, review: &Review<'_>) -> bool {
        review.door.operation == Operation::Connect || review.door.target.name == "no"
    }

    fn validate<'a>(&'a self, review: &'a Review<'_>) -> BoxFuture<'a, Result<(), StatusError>> {
        Box::pin(async move {
            let registry = self.0.registry()?;
            let rule = registry.core("configmaps")?;
            let target = apiserver::registry::Target { namespace: "default", name: "rule" };
            let rule = registry.get_object(&rule, target).await?;
            let rule = rule.downcast_ref::<core::ConfigMap>().and_then(|map| map.data.as_ref()?.get("k"));
            Err(review.forbidden(rule.map_or("there is no rule", String::as_str)))
        })
    }
}

#[tokio::test]
async fn doors_can_be_closed() {
    let api = Api::start_admitting(&[], |handle| Box::new(Refuser(handle))).await;
    api.post(MAPS, &map("rule")).await.ok();
    api.post(PODS, &pod("p")).await.ok();
    for path in ["p/exec?command=sh", "p/attach", "p/log"] {
        let refused = api.get(&format!("{PODS}/{path}")).await.failure();
        let expected = (403, "Forbidden".to_owned(), "pods \"p\" is forbidden: v".to_owned());
        assert_eq!(refused, expected, "{path}");
    }
    let refused = api.post(MAPS, &map("no")).await.failure();
    assert_eq!(refused.2, "configmaps \"no\" is forbidden: v");
    api.post(PODS, &pod("no")).await;
    assert_eq!(api.get(&format!("{PODS}/no")).await.code, 404);
}

#[tokio::test]
async fn a_manifest_that_created_a_pod_can_be_sent_again() {
    // Without the service account's plugin: it changes pods only when they are created, here as upstream.
    let api = Api::start().await;
    let created = api.post(PODS, &pod("p")).await.ok();
    let path = format!("{PODS}/p");
    assert_eq!(api.put(&path, &pod("p")).await.ok()["spec"], created["spec"]);
    let mut changed = pod("p");
    changed["spec"]["priority"] = 1.into();
    assert_eq!(api.put(&path, &changed).await.failure().0, 422);
    let mut changed = pod("p");
    changed["spec"]["tolerations"] = json!([{"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 10}]);
    let patient = api.put(&path, &changed).await.ok()["spec"]["tolerations"].clone();
    assert_eq!(
        (patient[0]["tolerationSeconds"].as_i64(), patient[1]["tolerationSeconds"].as_i64()),
        (Some(10), Some(300))
    );
}

#[tokio::test]
async fn what_a_class_decides_is_not_asked_for() {
    let api = Api::start().await;
    for (field, value, why) in [
        (
            "priority",
            json!(5),
            "the integer value of priority (5) must not be provided in pod spec; priority admission controller computed 0 from the given PriorityClass name",
        ),
        (
            "preemptionPolicy",
            json!("Never"),
            "the string value of PreemptionPolicy (Never) must not be provided in pod spec; priority admission controller computed PreemptLowerPriority from the given PriorityClass name",
        ),
        ("priorityClassName", json!("none"), "no PriorityClass with name none was found"),
    ] {
        let mut pod = pod("p");
        pod["spec"][field] = value;
        let refused = api.post(PODS, &pod).await.failure();
        assert_eq!((refused.0, refused.2), (403, format!("pods \"p\" is forbidden: {why}")));
    }
}

#[tokio::test]
async fn nothing_is_created_where_a_namespace_goes() {
    let api = Api::start().await;
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "x"}});
    api.post("/api/v1/namespaces", &namespace).await.ok();
    api.post("/api/v1/namespaces/x/pods", &pod("p")).await.ok();
    api.delete("/api/v1/namespaces/x").await.ok();
    let eviction = json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "p"}});
    for (path, body) in [
        ("configmaps", map("a")),
        ("pods/p/binding", binding("p")),
        ("bindings", binding("p")),
        ("pods/p/eviction", eviction),
    ] {
        let refused = api.post(&format!("/api/v1/namespaces/x/{path}"), &body).await.json();
        assert_eq!(refused["code"], 403, "{path}");
        assert_eq!(refused["details"]["causes"][0]["reason"], "NamespaceTerminating", "{path}");
    }
    let labelled = api.merge("/api/v1/namespaces/x/pods/p", &json!({"metadata": {"labels": {"a": "b"}}})).await;
    assert_eq!(labelled.code, 200, "what is there can be changed");
    let lease = json!({"metadata": {"name": "l"}});
    let nowhere = api.put("/apis/coordination.k8s.io/v1/namespaces/none/leases/l", &lease).await.failure();
    assert_eq!(nowhere.2, "namespaces \"none\" not found");
}

/// Holds up whatever is called `slow` until the gate opens.
struct Gate {
    arrived: watch::Sender<bool>,
    open: watch::Receiver<bool>,
}

impl Plugin for Gate {
    fn concerns(&self, review: &Review<'_>) -> bool {
        review.door.target.name == "slow"
    }

    fn validate<'a>(&'a self, _review: &'a Review<'_>) -> BoxFuture<'a, Result<(), StatusError>> {
        self.arrived.send_replace(true);
        let mut open = self.open.clone();
        Box::pin(async move {
            open.wait_for(|open| *open).await.map_err(StatusError::internal)?;
            Ok(())
        })
    }
}

#[tokio::test]
async fn a_write_keeps_its_place_when_its_client_goes() {
    let (arrived, mut has_arrived) = watch::channel(false);
    let (opener, open) = watch::channel(false);
    let flags = ["--max-mutating-requests-inflight=1"];
    let api = Api::start_admitting(&flags, |_| Box::new(Gate { arrived, open })).await;
    {
        let slow = map("slow");
        let mut slow = std::pin::pin!(api.post(MAPS, &slow));
        tokio::select! {
            reply = &mut slow => panic!("it was not held up: {reply:?}"),
            arrived = has_arrived.wait_for(|arrived| *arrived) => drop(arrived.unwrap()),
        }
    }
    // The client has gone; the write has not.
    for attempt in 0..50 {
        assert_eq!(api.post(MAPS, &map("next")).await.code, 429, "attempt {attempt}");
    }
    opener.send_replace(true);
    while api.post(MAPS, &map("next")).await.code == 429 {}
    assert_eq!(api.get(&format!("{MAPS}/slow")).await.code, 200);
}
