//! Claims that pods mount.

use api_types::core::{Event, Node, PersistentVolume, PersistentVolumeClaim};
use component::Daemon;
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use crate::api::{Cluster, running};
use crate::node::{NODE, Watcher, phase};

impl Cluster {
    fn claims(&self) -> Api<PersistentVolumeClaim> {
        Api::namespaced(self.client.clone(), "default")
    }

    /// A claim of this name; its uid.
    async fn claim(&self, name: &str) -> String {
        let spec = json!({"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}});
        let claim = serde_json::from_value(json!({"metadata": {"name": name}, "spec": spec})).unwrap();
        self.claims().create(&PostParams::default(), &claim).await.unwrap().metadata.uid.unwrap()
    }

    /// Makes the claim's volume as the provisioner does, with this source, and binds both.
    async fn bind(&self, claim: &str, uid: &str, source: Value) -> String {
        let name = format!("pvc-{uid}");
        let hostname = json!([{"key": "kubernetes.io/hostname", "operator": "In", "values": [NODE]}]);
        let mut spec = json!({
            "accessModes": ["ReadWriteOnce"], "capacity": {"storage": "1Gi"},
            "claimRef": {"kind": "PersistentVolumeClaim", "namespace": "default", "name": claim, "uid": uid},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": hostname}]}},
        });
        spec.as_object_mut().unwrap().extend(source.as_object().unwrap().clone());
        let annotations = json!({"pv.kubernetes.io/provisioned-by": "ferrokube.io/local-path"});
        let volume = json!({"metadata": {"name": name, "annotations": annotations}, "spec": spec});
        let volumes: Api<PersistentVolume> = Api::all(self.client.clone());
        volumes.create(&PostParams::default(), &serde_json::from_value(volume).unwrap()).await.unwrap();
        let (merge, status) = (json!({"spec": {"volumeName": name}}), json!({"status": {"phase": "Bound"}}));
        self.claims().patch(claim, &PatchParams::default(), &Patch::Merge(merge)).await.unwrap();
        self.claims().patch_status(claim, &PatchParams::default(), &Patch::Merge(status)).await.unwrap();
        name
    }
}

/// A pod that mounts a claim.
fn mounting(claim: &str) -> Value {
    let mut spec = running("sleep 1000");
    spec["containers"][0]["volumeMounts"] = json!([{"name": "data", "mountPath": "/data"}]);
    spec["volumes"] = json!([{"name": "data", "persistentVolumeClaim": {"claimName": claim}}]);
    spec
}

async fn until_told(events: &Watcher<Event>, client: &kube::Client, words: &str) {
    let api: Api<Event> = Api::namespaced(client.clone(), "default");
    loop {
        let list = api.list(&kube::api::ListParams::default()).await.unwrap();
        let told = |event: &Event| {
            event.reason.as_deref() == Some("FailedMount")
                && event.message.as_deref().is_some_and(|own| own.contains(words))
        };
        if list.items.iter().any(told) {
            return;
        }
        events.news().await;
    }
}

#[tokio::test]
async fn a_claim_is_waited_for_and_its_volume_outlives_pods() {
    let cluster = Cluster::start().await;
    let daemon = Daemon::new();
    let events: Watcher<Event> = Watcher::new(&cluster.client, &daemon);
    let node = Api::<Node>::all(cluster.client.clone()).get(NODE).await.unwrap();
    let directory = node.metadata.annotations.unwrap()["ferrokube.io/local-volumes"].clone();
    let key = cluster.create("web", mounting("data")).await;
    let missing = "error processing PVC default/data: failed to fetch PVC from API server: persistentvolumeclaims \"data\" not found";
    until_told(&events, &cluster.client, missing).await;
    let uid = cluster.claim("data").await;
    until_told(&events, &cluster.client, "error processing PVC default/data: PVC is not bound").await;
    let path = format!("{directory}/pvc-{uid}");
    let volume = cluster.bind("data", &uid, json!({"local": {"path": path}})).await;
    let runs = |pod: Option<&_>| pod.is_some_and(|pod| phase(pod) == "Running");
    let pod = cluster.pods.until(&key, "the pod to run", runs).await.unwrap();
    std::fs::write(format!("{path}/kept"), "").unwrap();
    let marker = format!("root/pods/{}/volumes/kubernetes.io~local-volume/{volume}", pod.metadata.uid.clone().unwrap());
    assert!(cluster.machine.directory.path().join(&marker).is_dir());
    cluster.api().delete("web", &DeleteParams::default()).await.unwrap();
    cluster.pods.until(&key, "the pod to be gone", |pod| pod.is_none()).await;
    // A pod that comes later finds what was left, also after the kubelet was another one meanwhile.
    cluster.crash().await;
    let second = cluster.start_kubelet().await;
    let key = cluster.create("again", mounting("data")).await;
    cluster.pods.until(&key, "the second pod to run", runs).await;
    assert!(std::path::Path::new(&format!("{path}/kept")).exists());
    assert!(!cluster.machine.directory.path().join(&marker).exists());
    second.stop().await;
    daemon.shutdown.cancel();
    cluster.stop().await;
}

#[tokio::test]
async fn a_volume_of_another_path_has_to_be_there() {
    let cluster = Cluster::start().await;
    let daemon = Daemon::new();
    let events: Watcher<Event> = Watcher::new(&cluster.client, &daemon);
    let uid = cluster.claim("data").await;
    let path = cluster.machine.directory.path().join("disk");
    cluster.bind("data", &uid, json!({"local": {"path": path}})).await;
    let key = cluster.create("web", mounting("data")).await;
    until_told(&events, &cluster.client, "MountVolume.SetUp failed for volume \"data\" : path ").await;
    std::fs::create_dir(&path).unwrap();
    let runs = |pod: Option<&_>| pod.is_some_and(|pod| phase(pod) == "Running");
    cluster.pods.until(&key, "the pod to run", runs).await;
    daemon.shutdown.cancel();
    cluster.stop().await;
}
