//! What pods ask of their sandboxes, and the order in which their containers end, on real Docker.

use api_types::core::{Event, Pod};
use kube::Api;
use kube::api::{ListParams, PostParams};
use serde_json::{Value, json};

use crate::api::{Cluster, running};
use crate::node::{IMAGE, Watcher, phase};

/// A pod that succeeds if the script does.
fn trial(script: &str) -> Value {
    let mut spec = running(script);
    spec["restartPolicy"] = json!("Never");
    spec
}

fn with(mut spec: Value, more: Value) -> Value {
    let (Value::Object(spec_fields), Value::Object(more)) = (&mut spec, more) else { unreachable!() };
    spec_fields.extend(more);
    spec
}

#[tokio::test]
async fn a_pod_gets_the_sandbox_that_it_asks_for() {
    let Some(cluster) = Cluster::on_docker(&["--allowed-unsafe-sysctls=kernel.msg*"]).await else { return };
    for (name, handler) in [("usual", "runc"), ("strange", "no-such-runtime")] {
        let class = json!({"apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": {"name": name}, "handler": handler});
        let classes: Api<api_types::k8s_openapi::api::node::v1::RuntimeClass> = Api::all(cluster.client.clone());
        classes.create(&PostParams::default(), &serde_json::from_value(class).unwrap()).await.unwrap();
    }
    let sysctl = |name: &str, value: &str| json!({"securityContext": {"sysctls": [{"name": name, "value": value}]}});
    let cases = [
        ("override", with(trial("[ $(hostname) = o.x ]"), json!({"hostnameOverride": "o.x"})), "Succeeded", None),
        (
            "safe",
            with(trial("[ $(cat /proc/sys/kernel/shm_rmid_forced) = 1 ]"), sysctl("kernel.shm_rmid_forced", "1")),
            "Succeeded",
            None,
        ),
        (
            "allowed",
            with(trial("[ $(cat /proc/sys/kernel/msgmax) = 8193 ]"), sysctl("kernel.msgmax", "8193")),
            "Succeeded",
            None,
        ),
        ("forbidden", with(trial("true"), sysctl("kernel.sem", "1 2 3 4")), "Failed", Some("SysctlForbidden")),
        (
            "strict",
            with(trial("true"), json!({"securityContext": {"supplementalGroupsPolicy": "Strict"}})),
            "Failed",
            Some("SupplementalGroupsPolicyNotSupported"),
        ),
        (
            "shared",
            with(trial("[ $(cat /proc/1/comm) = pause ]"), json!({"shareProcessNamespace": true})),
            "Succeeded",
            None,
        ),
        ("apart", trial("[ $(cat /proc/1/comm) = sh ]"), "Succeeded", None),
        ("class", with(trial("true"), json!({"runtimeClassName": "usual"})), "Succeeded", None),
    ];
    for (name, spec, wanted, reason) in cases {
        let key = cluster.create(name, spec).await;
        let ended = |pod: Option<&Pod>| pod.is_some_and(|pod| matches!(phase(pod), "Succeeded" | "Failed"));
        let pod = cluster.pods.until(&key, &format!("{name} to end"), ended).await.unwrap();
        let told = pod.status.as_ref().unwrap().reason.as_deref();
        assert_eq!((phase(&pod), told), (wanted, reason), "{name}");
        cluster.delete(name).await;
    }
    let events: Watcher<Event> = Watcher::new(&cluster.client, &component::Daemon::new());
    let api: Api<Event> = Api::namespaced(cluster.client.clone(), "default");
    // What Docker cannot do is told.
    for (name, asked, words) in [
        ("strange", json!({"runtimeClassName": "strange"}), "no-such-runtime"),
        ("users", json!({"hostUsers": false}), "runtime does not support user namespaces"),
    ] {
        cluster.create(name, with(trial("true"), asked)).await;
        let told = |event: &Event| {
            let message = event.message.as_deref().unwrap_or_default();
            event.reason.as_deref() == Some("FailedCreatePodSandBox") && message.contains(words)
        };
        while !api.list(&ListParams::default()).await.unwrap().items.iter().any(told) {
            events.news().await;
        }
        cluster.delete(name).await;
    }
    cluster.stop().await;
}

#[tokio::test]
async fn collectors_find_the_logs() {
    let Some(cluster) = Cluster::on_docker(&[]).await else { return };
    let key = cluster.create("web", running("echo found; sleep 1000")).await;
    let pod = cluster.pods.until(&key, "the pod to run", |pod| pod.is_some_and(|pod| phase(pod) == "Running")).await;
    let uid = pod.unwrap().metadata.uid.clone().unwrap();
    let logs = cluster.machine.directory.path().join("log");
    let of_pod = std::fs::read_link(logs.join(format!("pods/default_web_{uid}/c/0.log"))).unwrap();
    assert!(of_pod.is_absolute() && of_pod.to_string_lossy().ends_with("-json.log"), "{of_pod:?}");
    let names = || std::fs::read_dir(logs.join("containers")).unwrap().map(|entry| entry.unwrap().file_name());
    assert!(names().all(|name| name.to_string_lossy().starts_with("web_default_c-")) && names().count() == 1);
    cluster.delete("web").await;
    assert_eq!(names().count(), 0);
    assert!(!logs.join(format!("pods/default_web_{uid}")).exists());
    cluster.stop().await;
}

#[tokio::test]
async fn sidecars_end_last_and_prepare_at_once() {
    let Some(cluster) = Cluster::on_docker(&[]).await else { return };
    let log = cluster.machine.directory.path().join("log");
    std::fs::create_dir(&log).unwrap();
    let ends_with = |name: &str, before: &str| {
        let script = format!("trap '{before} echo {name} >>/log/order; exit 0' TERM; while true; do sleep 0.1; done");
        json!({"name": name, "image": IMAGE, "command": ["sh", "-c", script],
            "volumeMounts": [{"name": "log", "mountPath": "/log"}]})
    };
    let sidecar = |name: &str| with(ends_with(name, ""), json!({"restartPolicy": "Always"}));
    let mut first = sidecar("first");
    first["lifecycle"] = json!({"preStop": {"exec": {"command": ["sh", "-c", "echo hook >>/log/order"]}}});
    let spec = json!({
        "terminationGracePeriodSeconds": 30,
        "initContainers": [first, sidecar("second")],
        "containers": [ends_with("app", "sleep 2;")],
        "volumes": [{"name": "log", "hostPath": {"path": log}}],
    });
    let key = cluster.create("web", spec).await;
    cluster.pods.until(&key, "the pod to run", |pod| pod.is_some_and(|pod| phase(pod) == "Running")).await;
    cluster.delete("web").await;
    let order = std::fs::read_to_string(log.join("order")).unwrap();
    assert_eq!(order.split_whitespace().collect::<Vec<_>>(), ["hook", "app", "second", "first"]);
    cluster.stop().await;
}
