//! Pods and their claims, against the real API server; the binder is this test.

use api_types::{
    core::{PersistentVolume, PersistentVolumeClaim},
    storage::StorageClass,
};
use component::informer::{Item, ObjectKey, Scope, Store};
use kube::{
    Api,
    api::{Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::harness::Cluster;

/// What is seen of a kind.
struct Seen<T: Item> {
    informer: component::informer::Informer<T>,
    changes: watch::Receiver<()>,
}

impl<T: Item<DynamicType = ()>> Seen<T> {
    fn of(cluster: &Cluster) -> Self {
        let informer = component::informer::Informer::<T>::new(&(), &Scope::default());
        let (sender, changes) = watch::channel(());
        // Nobody may be listening any more.
        informer.on_event(move |_| {
            let _ = sender.send(());
        });
        informer.start(cluster.client.clone(), &cluster.daemon);
        Self { informer, changes }
    }

    async fn until(&mut self, what: &str, done: impl Fn(&Store<T>) -> bool) {
        let wait = async {
            while !done(self.informer.store()) {
                self.changes.changed().await.unwrap();
            }
        };
        tokio::time::timeout(std::time::Duration::from_secs(60), wait).await.expect(what);
    }
}

impl Cluster {
    fn claims(&self) -> Api<PersistentVolumeClaim> {
        Api::namespaced(self.client.clone(), "default")
    }

    async fn class(&self, provisioner: &str, mode: &str) {
        let class = json!({"metadata": {"name": "c"}, "provisioner": provisioner, "volumeBindingMode": mode});
        let class: StorageClass = serde_json::from_value(class).unwrap();
        Api::<StorageClass>::all(self.client.clone()).create(&PostParams::default(), &class).await.unwrap();
    }

    async fn claim(&self, name: &str) {
        let spec = json!({
            "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}, "storageClassName": "c",
        });
        let claim = serde_json::from_value(json!({"metadata": {"name": name}, "spec": spec})).unwrap();
        self.claims().create(&PostParams::default(), &claim).await.unwrap();
    }

    /// A free volume of a node.
    async fn volume(&self, name: &str, node: &str) {
        let hostname = json!([{"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}]);
        let spec = json!({
            "accessModes": ["ReadWriteOnce"], "capacity": {"storage": "1Gi"}, "storageClassName": "c",
            "local": {"path": "/x"}, "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": hostname}]}},
        });
        let volume = serde_json::from_value(json!({"metadata": {"name": name}, "spec": spec})).unwrap();
        let volumes: Api<PersistentVolume> = Api::all(self.client.clone());
        volumes.create(&PostParams::default(), &volume).await.unwrap();
        let phase = Patch::Merge(json!({"status": {"phase": "Available"}}));
        volumes.patch_status(name, &PatchParams::default(), &phase).await.unwrap();
    }

    /// What the binder writes last.
    async fn bind(&self, claim: &str, volume: &str) {
        let annotations = json!({"pv.kubernetes.io/bind-completed": "yes"});
        let patch = json!({"metadata": {"annotations": annotations}, "spec": {"volumeName": volume}});
        self.claims().patch(claim, &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
    }
}

fn using(claim: &str) -> Value {
    json!({"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": claim}}]})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_is_bound_when_its_volume_is() {
    let cluster = Cluster::start().await;
    let mut volumes = Seen::<PersistentVolume>::of(&cluster);
    cluster.schedule(cluster.client.clone(), &[]).await;
    cluster.node("a", "z", "4").await;
    cluster.node("b", "z", "4").await;
    cluster.class("kubernetes.io/no-provisioner", "WaitForFirstConsumer").await;
    cluster.pod("early", using("data")).await;
    let missing = "0/2 nodes are available: persistentvolumeclaim \"data\" not found.";
    cluster.until_rejected("early", missing).await;
    cluster.claim("data").await;
    let nothing = "0/2 nodes are available: 2 node(s) didn't find available persistent volumes to bind.";
    cluster.until_rejected("early", nothing).await;
    cluster.volume("disk", "b").await;
    volumes
        .until("the volume to be set aside", |volumes| {
            let volume = volumes.get(&ObjectKey::new("", "disk"));
            let claim = volume.and_then(|volume| volume.spec.as_ref()?.claim_ref.as_ref()?.name.clone());
            claim.as_deref() == Some("data")
        })
        .await;
    cluster.bind("data", "disk").await;
    assert_eq!(cluster.until_placed("early").await, "b");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_volume_is_made_on_the_node_of_its_first_pod() {
    let cluster = Cluster::start().await;
    let mut claims = Seen::<PersistentVolumeClaim>::of(&cluster);
    cluster.schedule(cluster.client.clone(), &[]).await;
    cluster.node("a", "z", "1").await;
    cluster.class("example.com/p", "WaitForFirstConsumer").await;
    cluster.claim("data").await;
    cluster.pod("web", using("data")).await;
    let selected = |claims: &Store<PersistentVolumeClaim>| {
        let claim = claims.get(&ObjectKey::new("default", "data"));
        let annotations = claim.and_then(|claim| claim.metadata.annotations.clone()).unwrap_or_default();
        annotations.get("volume.kubernetes.io/selected-node").cloned()
    };
    claims.until("the node's choice", |claims| selected(claims).as_deref() == Some("a")).await;
    // Pods without volumes are not held up meanwhile.
    cluster.pod("other", json!({})).await;
    assert_eq!(cluster.until_placed("other").await, "a");
    // The provisioner has nothing there.
    let given_back = json!({"metadata": {"annotations": {"volume.kubernetes.io/selected-node": null}}});
    cluster.claims().patch("data", &PatchParams::default(), &Patch::Merge(given_back)).await.unwrap();
    claims.until("the end of that choice", |claims| selected(claims).is_none()).await;
    claims.until("another choice", |claims| selected(claims).is_some()).await;
    cluster.volume("made", "a").await;
    cluster.bind("data", "made").await;
    assert_eq!(cluster.until_placed("web").await, "a");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_that_binds_by_itself_is_waited_for() {
    let cluster = Cluster::start().await;
    cluster.schedule(cluster.client.clone(), &[]).await;
    cluster.node("a", "z", "4").await;
    cluster.class("example.com/p", "Immediate").await;
    cluster.claim("data").await;
    cluster.pod("web", using("data")).await;
    let immediate = "0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims.";
    cluster.until_rejected("web", immediate).await;
    cluster.volume("disk", "a").await;
    cluster.bind("data", "disk").await;
    assert_eq!(cluster.until_placed("web").await, "a");
}
