//! Pods from the API server.

use api_types::core::{ConfigMap, Event, Namespace, Node, Pod, ServiceAccount};
use apiserver::testing::TestServer;
use component::Daemon;
use component::informer::ObjectKey;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::{Api, Client, ResourceExt};
use kubelet::runtime::docker::DockerRuntime;
use kubelet::runtime::fake::FakeRuntime;
use kubelet::runtime::{Runtime, RuntimePod};
use serde_json::{Value, json};

use crate::node::{IMAGE, Kubelet, Machine, NODE, Watcher, is_ready, phase, reason};
use crate::shared;

/// A node in a cluster.
pub struct Cluster<R = FakeRuntime> {
    pub client: Client,
    pub pods: Watcher<Pod>,
    pub nodes: Watcher<Node>,
    pub machine: Machine<R>,
    kubelet: Kubelet,
    server: TestServer,
    daemon: Daemon,
}

impl Cluster {
    pub async fn start() -> Self {
        Self::on(Machine::new(), &[]).await
    }
}

impl Cluster<DockerRuntime> {
    /// A node on real Docker, under a name of its own; `None` without Docker.
    pub async fn on_docker(flags: &[&str]) -> Option<Self> {
        let mut machine = Machine::on(shared::docker().await?);
        machine.node = format!("node-{}", std::process::id());
        Some(Self::on(machine, flags).await)
    }
}

impl<R: Runtime> Cluster<R> {
    /// A node on this machine, whose kubelet has these flags, too.
    pub async fn on(machine: Machine<R>, flags: &[&str]) -> Self {
        let cluster = Self::without_pod_cidr(machine, flags).await;
        cluster.give_pod_cidr().await;
        cluster
    }

    /// The same, for a node that needs no addresses for its pods.
    pub async fn without_pod_cidr(machine: Machine<R>, flags: &[&str]) -> Self {
        let server = TestServer::start().await;
        let url = format!("--api-servers={}", server.url());
        let words: Vec<String> = std::iter::once(url).chain(flags.iter().map(|flag| (*flag).to_owned())).collect();
        let kubelet = machine.start(&words).await;
        let (client, daemon) = (server.client(), Daemon::new());
        let (pods, nodes) = (Watcher::new(&client, &daemon), Watcher::new(&client, &daemon));
        Self { client, pods, nodes, machine, kubelet, server, daemon }
    }

    async fn give_pod_cidr(&self) {
        let name = self.machine.node.as_str();
        let key = ObjectKey::new("", name);
        self.nodes.until(&key, "the node to be registered", |node| node.is_some()).await;
        let patch = json!({"spec": {"podCIDR": "10.9.0.0/24", "podCIDRs": ["10.9.0.0/24"]}});
        let nodes: Api<Node> = Api::all(self.client.clone());
        nodes.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
        self.nodes.until(&key, "the node to be ready", |node| node.is_some_and(is_ready)).await;
    }

    /// Ends the kubelet; what runs goes on.
    pub async fn crash(&self) {
        self.kubelet.daemon.shutdown.cancel();
        self.kubelet.daemon.drain().await;
    }

    /// Starts another after [`Cluster::crash`].
    pub async fn start_kubelet(&self) -> Kubelet {
        self.start_kubelet_with(&[]).await
    }

    /// The same, with these flags, too.
    pub async fn start_kubelet_with(&self, flags: &[&str]) -> Kubelet {
        let mut words = vec![format!("--api-servers={}", self.server.url())];
        words.extend(flags.iter().map(|flag| (*flag).to_owned()));
        self.machine.start(&words).await
    }

    pub fn api(&self) -> Api<Pod> {
        Api::namespaced(self.client.clone(), "default")
    }

    pub async fn create(&self, name: &str, mut spec: Value) -> ObjectKey {
        spec["nodeName"] = json!(self.machine.node);
        if spec["terminationGracePeriodSeconds"].is_null() {
            spec["terminationGracePeriodSeconds"] = json!(1);
        }
        let pod = serde_json::from_value(json!({"metadata": {"name": name}, "spec": spec})).unwrap();
        self.api().create(&PostParams::default(), &pod).await.unwrap();
        ObjectKey::new("default", name)
    }

    /// Deletes a pod, and waits until it is gone.
    pub async fn delete(&self, name: &str) {
        self.api().delete(name, &DeleteParams::default()).await.unwrap();
        self.pods.until(&ObjectKey::new("default", name), "the pod to be gone", |pod| pod.is_none()).await;
    }

    pub async fn stop(self) {
        self.kubelet.stop().await;
        self.daemon.shutdown.cancel();
        self.server.stop().await;
    }
}

/// A pod with one container that runs this script.
pub fn running(script: &str) -> Value {
    json!({"containers": [{"name": "c", "image": IMAGE, "command": ["sh", "-c", script]}]})
}

#[tokio::test]
async fn a_pod_runs_is_told_of_and_goes() {
    let cluster = Cluster::start().await;
    let key = cluster.create("web", running("sleep 1000")).await;
    let pod = cluster.pods.until(&key, "the pod to run", |pod| pod.is_some_and(|pod| phase(pod) == "Running")).await;
    let status = pod.unwrap().status.clone().unwrap();
    assert_eq!(status.pod_ip.as_deref(), Some("10.9.0.2"));
    assert_eq!(status.host_ip.as_deref(), Some("127.0.0.1"));
    assert!(status.container_statuses.unwrap()[0].ready);
    let events: Watcher<Event> = Watcher::new(&cluster.client, &cluster.daemon);
    for expected in ["Pulled", "Created", "Started"] {
        wait_for_event(&cluster.client, &events, expected).await;
    }
    cluster.api().delete("web", &DeleteParams::default()).await.unwrap();
    cluster.pods.until(&key, "the pod to be gone", |pod| pod.is_none()).await;
    cluster.machine.until("nothing to be left", <[_]>::is_empty).await;
    cluster.stop().await;
}

/// Events have names that nobody knows beforehand.
async fn wait_for_event(client: &Client, events: &Watcher<Event>, wanted: &str) {
    let api: Api<Event> = Api::namespaced(client.clone(), "default");
    loop {
        let list = api.list(&kube::api::ListParams::default()).await.unwrap();
        if list.items.iter().any(|event| event.reason.as_deref() == Some(wanted)) {
            return;
        }
        events.news().await;
    }
}

#[tokio::test]
async fn pods_end_as_their_containers_do() {
    let cluster = Cluster::start().await;
    let once = |script: &str| {
        let mut spec = running(script);
        spec["restartPolicy"] = json!("Never");
        spec
    };
    for (name, spec, wanted_phase, wanted_reason) in [
        ("good", once("exit 0"), "Succeeded", "Completed"),
        ("bad", once("exit 3"), "Failed", "Error"),
        ("again", running("exit 1"), "Running", "CrashLoopBackOff"),
        ("impossible", once("/no/such/program"), "Failed", "ContainerCannotRun"),
        ("impossible-again", running("/no/such/program"), "Running", "CrashLoopBackOff"),
        (
            "nowhere",
            json!({"containers": [{"name": "c", "image": "no/such:v1", "imagePullPolicy": "Never"}]}),
            "Pending",
            "ErrImageNeverPull",
        ),
        (
            "unpullable",
            json!({"containers": [{"name": "c", "image": IMAGE, "imagePullPolicy": "Always"}]}),
            "Pending",
            "ImagePullBackOff",
        ),
    ] {
        let key = cluster.create(name, spec).await;
        let wanted = |pod: Option<&Pod>| {
            pod.is_some_and(|pod| (phase(pod), reason(pod).as_str()) == (wanted_phase, wanted_reason))
        };
        cluster.pods.until(&key, &format!("{name} to be {wanted_phase}, {wanted_reason}"), wanted).await;
    }
    cluster.stop().await;
}

#[tokio::test]
async fn a_pod_that_never_restarts_gets_its_new_image() {
    let cluster = Cluster::start().await;
    cluster.machine.runtime.add_image("other:v2");
    let mut spec = running("sleep 1000");
    spec["restartPolicy"] = json!("Never");
    let key = cluster.create("web", spec).await;
    let runs = |image: &'static str| {
        move |pod: Option<&Pod>| {
            let status = pod.and_then(|pod| pod.status.as_ref()?.container_statuses.as_ref()?.first().cloned());
            status.is_some_and(|status| status.ready && status.image == image)
        }
    };
    cluster.pods.until(&key, "the pod to run", runs(IMAGE)).await;
    let change = Patch::Strategic(json!({"spec": {"containers": [{"name": "c", "image": "other:v2"}]}}));
    cluster.api().patch("web", &PatchParams::default(), &change).await.unwrap();
    let pod = cluster.pods.until(&key, "the new image to run", runs("other:v2")).await.unwrap();
    assert_eq!(phase(&pod), "Running");
    cluster.stop().await;
}

#[tokio::test]
async fn an_end_is_told_with_its_message() {
    let cluster = Cluster::start().await;
    for number in 0..20 {
        let mut spec = running("echo why; exit 1");
        spec["restartPolicy"] = json!("Never");
        spec["containers"][0]["terminationMessagePolicy"] = json!("FallbackToLogsOnError");
        let key = cluster.create(&format!("p{number}"), spec).await;
        let ended = |pod: Option<&Pod>| pod.is_some_and(|pod| reason(pod) == "Error");
        let pod = cluster.pods.until(&key, "the container to end", ended).await.unwrap();
        let status = pod.status.as_ref().unwrap().container_statuses.as_ref().unwrap()[0].clone();
        assert_eq!(status.state.unwrap().terminated.unwrap().message.as_deref(), Some("why\n"), "p{number}");
    }
    cluster.stop().await;
}

#[tokio::test]
async fn a_pod_waits_for_its_config_map() {
    let cluster = Cluster::start().await;
    let mut spec = running("sleep 1000");
    spec["containers"][0]["env"] = json!([{"name": "K", "valueFrom": {"configMapKeyRef": {"name": "cm", "key": "k"}}}]);
    let key = cluster.create("web", spec).await;
    let waits = |pod: Option<&Pod>| pod.is_some_and(|pod| reason(pod) == "CreateContainerConfigError");
    cluster.pods.until(&key, "the pod to miss its config map", waits).await;
    let maps: Api<ConfigMap> = Api::namespaced(cluster.client.clone(), "default");
    let map = serde_json::from_value(json!({"metadata": {"name": "cm"}, "data": {"k": "v"}})).unwrap();
    maps.create(&PostParams::default(), &map).await.unwrap();
    cluster.pods.until(&key, "the pod to run", |pod| pod.is_some_and(|pod| phase(pod) == "Running")).await;
    cluster.stop().await;
}

/// Waits for an event about a volume that says all of this.
async fn wait_for_complaint(cluster: &Cluster, events: &Watcher<Event>, words: &[&str]) {
    let api: Api<Event> = Api::namespaced(cluster.client.clone(), "default");
    let wanted = |event: &Event| {
        let message = event.message.as_deref().unwrap_or_default();
        event.reason.as_deref() == Some("FailedMount") && words.iter().all(|words| message.contains(words))
    };
    while !api.list(&kube::api::ListParams::default()).await.unwrap().items.iter().any(wanted) {
        events.news().await;
    }
}

#[tokio::test]
async fn a_pod_says_which_volume_it_waits_for() {
    let cluster = Cluster::start().await;
    let events: Watcher<Event> = Watcher::new(&cluster.client, &cluster.daemon);
    let token = json!({"sources": [{"serviceAccountToken": {"path": "t"}}]});
    let cases = [
        ("tape", json!({"nfs": {"server": "s", "path": "/"}}), ["volume \"v\"", "no volume plugin matched"]),
        ("map", json!({"configMap": {"name": "no"}}), ["MountVolume.SetUp failed", "configmap \"no\" not found"]),
        ("token", json!({"projected": token}), ["MountVolume.SetUp failed", "failed to fetch token"]),
    ];
    for (name, mut volume, words) in cases {
        let mut spec = running("sleep 1000");
        volume["name"] = json!("v");
        spec["volumes"] = json!([volume, {"name": "unused", "secret": {"secretName": "no"}}]);
        spec["serviceAccountName"] = json!("absent");
        spec["containers"][0]["volumeMounts"] = json!([{"name": "v", "mountPath": "/v"}]);
        let key = cluster.create(name, spec).await;
        wait_for_complaint(&cluster, &events, &words).await;
        let told = |pod: Option<&Pod>| {
            let status = pod.and_then(|pod| pod.status.as_ref()?.container_statuses.as_ref()?.first());
            let waiting = status.and_then(|status| status.state.as_ref()?.waiting.as_ref());
            waiting.is_some_and(|waiting| {
                let message = waiting.message.as_deref().unwrap_or_default();
                waiting.reason.as_deref() == Some("ContainerCreating")
                    && words.iter().all(|words| message.contains(words))
            })
        };
        cluster.pods.until(&key, "the status to say so", told).await;
    }
    let accounts: Api<ServiceAccount> = Api::namespaced(cluster.client.clone(), "default");
    let account = serde_json::from_value(json!({"metadata": {"name": "absent"}})).unwrap();
    accounts.create(&PostParams::default(), &account).await.unwrap();
    let maps: Api<ConfigMap> = Api::namespaced(cluster.client.clone(), "default");
    let map = serde_json::from_value(json!({"metadata": {"name": "no"}, "data": {"k": "v"}})).unwrap();
    maps.create(&PostParams::default(), &map).await.unwrap();
    for name in ["map", "token"] {
        let key = ObjectKey::new("default", name);
        cluster.pods.until(&key, "the pod to run", |pod| pod.is_some_and(|pod| phase(pod) == "Running")).await;
    }
    cluster.stop().await;
}

#[tokio::test]
async fn a_container_that_fails_its_liveness_probe_is_restarted() {
    let cluster = Cluster::start().await;
    let mut spec = running("sleep 1000");
    spec["containers"][0]["livenessProbe"] =
        json!({"exec": {"command": ["true"]}, "periodSeconds": 1, "failureThreshold": 1});
    let key = cluster.create("web", spec).await;
    cluster.pods.until(&key, "the pod to run", |pod| pod.is_some_and(|pod| phase(pod) == "Running")).await;
    cluster.machine.runtime.set_exec_exit_code("c", 1);
    let restarts =
        |pod: &Pod| pod.status.as_ref()?.container_statuses.as_ref()?.first().map(|status| status.restart_count);
    let restarted = |pod: Option<&Pod>| pod.and_then(restarts).is_some_and(|count| count >= 1);
    cluster.pods.until(&key, "a restart", restarted).await;
    cluster.stop().await;
}

#[tokio::test]
async fn static_pods_have_mirrors() {
    let cluster = Cluster::start().await;
    let manifest = json!({"kind": "Pod", "metadata": {"name": "st"}, "spec": running("sleep 1000")});
    std::fs::write(cluster.machine.manifest("st.json"), manifest.to_string()).unwrap();
    let key = ObjectKey::new("default", format!("st-{NODE}"));
    let runs = |pod: Option<&Pod>| pod.is_some_and(|pod| phase(pod) == "Running");
    let mirror = cluster.pods.until(&key, "the mirror to run", runs).await.unwrap();
    let parameters = DeleteParams { grace_period_seconds: Some(0), ..DeleteParams::default() };
    cluster.api().delete(&key.name, &parameters).await.unwrap();
    let another = |pod: Option<&Pod>| runs(pod) && pod.is_some_and(|pod| pod.metadata.uid != mirror.metadata.uid);
    cluster.pods.until(&key, "another mirror to run", another).await;
    let starts = cluster.machine.runtime.calls();
    assert_eq!(starts.iter().filter(|call| call.starts_with("start_container")).count(), 1, "{starts:?}");
    std::fs::remove_file(cluster.machine.manifest("st.json")).unwrap();
    cluster.pods.until(&key, "the mirror to be gone", |pod| pod.is_none()).await;
    cluster.stop().await;
}

#[tokio::test]
async fn a_mirror_waits_until_its_name_is_free() {
    let cluster = Cluster::start().await;
    let key = ObjectKey::new("default", format!("st-{NODE}"));
    let mut elsewhere = json!({"metadata": {"name": key.name}, "spec": running("sleep 1000")});
    elsewhere["spec"]["nodeName"] = "elsewhere".into();
    let elsewhere: Pod = serde_json::from_value(elsewhere).unwrap();
    cluster.api().create(&PostParams::default(), &elsewhere).await.unwrap();
    let manifest = json!({"kind": "Pod", "metadata": {"name": "st"}, "spec": running("sleep 1000")});
    std::fs::write(cluster.machine.manifest("st.json"), manifest.to_string()).unwrap();
    let runs = |pods: &[RuntimePod]| pods.iter().flat_map(|pod| &pod.containers).any(|one| one.state.is_running());
    cluster.machine.until("the static pod to run", runs).await;
    let parameters = DeleteParams { grace_period_seconds: Some(0), ..DeleteParams::default() };
    cluster.api().delete(&key.name, &parameters).await.unwrap();
    let is_shown = |pod: Option<&Pod>| pod.is_some_and(|pod| phase(pod) == "Running");
    cluster.pods.until(&key, "the mirror to run", is_shown).await;
    cluster.stop().await;
}

#[tokio::test]
async fn a_pod_deleted_while_the_kubelet_is_down_is_stopped() {
    let cluster = Cluster::start().await;
    let key = cluster.create("web", running("sleep 1000")).await;
    cluster.pods.until(&key, "the pod to run", |pod| pod.is_some_and(|pod| phase(pod) == "Running")).await;
    cluster.crash().await;
    let parameters = DeleteParams { grace_period_seconds: Some(0), ..DeleteParams::default() };
    cluster.api().delete("web", &parameters).await.unwrap();
    cluster.pods.until(&key, "the pod to be gone", |pod| pod.is_none()).await;
    assert_eq!(cluster.machine.runtime.list_pods().await.unwrap().len(), 1);
    let second = cluster.start_kubelet().await;
    cluster.machine.until("nothing to be left", <[_]>::is_empty).await;
    second.stop().await;
    cluster.stop().await;
}

#[tokio::test]
async fn a_pod_that_does_not_fit_is_refused() {
    let cluster = Cluster::start().await;
    let mut spec = running("sleep 1000");
    spec["containers"][0]["resources"] = json!({"requests": {"cpu": "1000"}});
    let key = cluster.create("big", spec).await;
    let pod =
        cluster.pods.until(&key, "the pod to be refused", |pod| pod.is_some_and(|pod| phase(pod) == "Failed")).await;
    assert_eq!(pod.unwrap().status.as_ref().unwrap().reason.as_deref(), Some("OutOfcpu"));
    cluster.api().delete("big", &DeleteParams::default()).await.unwrap();
    cluster.pods.until(&key, "the pod to be gone", |pod| pod.is_none()).await;
    cluster.stop().await;
}

#[tokio::test]
async fn the_node_is_described() {
    let cluster = Cluster::start().await;
    let node = cluster.nodes.until(&ObjectKey::new("", NODE), "the node", |node| node.is_some()).await.unwrap();
    let labels = node.metadata.labels.as_ref().unwrap();
    assert_eq!(labels.get("kubernetes.io/hostname").map(String::as_str), Some(NODE));
    let status = node.status.as_ref().unwrap();
    assert!(status.capacity.as_ref().unwrap().contains_key("cpu"));
    assert!(status.addresses.iter().flatten().any(|address| address.type_ == "InternalIP"));
    let namespaces: Api<Namespace> = Api::all(cluster.client.clone());
    namespaces.get("kube-node-lease").await.unwrap();
    let leases: Watcher<api_types::coordination::Lease> = Watcher::new(&cluster.client, &cluster.daemon);
    let key = ObjectKey::new("kube-node-lease", NODE);
    let lease = leases.until(&key, "the lease", |lease| lease.is_some()).await.unwrap();
    let owners = lease.metadata.owner_references.as_deref().unwrap();
    assert_eq!((owners[0].kind.as_str(), Some(&owners[0].uid)), ("Node", node.metadata.uid.as_ref()));
    cluster.crash().await;
    let api: Api<api_types::coordination::Lease> = Api::namespaced(cluster.client.clone(), "kube-node-lease");
    let orphaned = Patch::Merge(json!({"metadata": {"ownerReferences": null}}));
    api.patch(NODE, &PatchParams::default(), &orphaned).await.unwrap();
    let _kubelet = cluster.start_kubelet().await;
    let owned =
        |lease: Option<&api_types::coordination::Lease>| lease.is_some_and(|l| !l.owner_references().is_empty());
    leases.until(&key, "the lease to be the node's again", owned).await;
    cluster.stop().await;
}

/// What makes a pod go that could take its time for ever.
#[derive(Debug, Clone, Copy)]
enum Hurry {
    ItsProcessEnds,
    ItsGraceIsCut,
    ItIsForced,
}

#[tokio::test]
async fn a_pod_that_could_take_its_time_for_ever_goes() {
    let cluster = Cluster::start().await;
    for hurry in [Hurry::ItsProcessEnds, Hurry::ItsGraceIsCut, Hurry::ItIsForced] {
        // The shell hears nothing; a forced deletion is not waited for here, so that one may.
        let script = if matches!(hurry, Hurry::ItIsForced) { "sleep 1000" } else { "trap; sleep 1000" };
        let mut spec = running(script);
        spec["terminationGracePeriodSeconds"] = json!(i64::MAX);
        // A process that ends before the kubelet has heard of the deletion must not be started again.
        spec["restartPolicy"] = json!("Never");
        let key = cluster.create("web", spec).await;
        cluster.pods.until(&key, "the pod to run", |pod| pod.is_some_and(|pod| phase(pod) == "Running")).await;
        let delete = async |grace: Option<u32>| {
            let parameters = DeleteParams { grace_period_seconds: grace, ..DeleteParams::default() };
            cluster.api().delete("web", &parameters).await.unwrap();
        };
        match hurry {
            Hurry::ItsProcessEnds => {
                delete(None).await;
                let pod = cluster.machine.runtime.list_pods().await.unwrap().remove(0);
                cluster.machine.runtime.exit(&pod.containers[0].id, 0);
            }
            Hurry::ItsGraceIsCut => {
                delete(None).await;
                delete(Some(1)).await;
            }
            Hurry::ItIsForced => delete(Some(0)).await,
        }
        cluster.pods.until(&key, &format!("the pod to be gone: {hurry:?}"), |pod| pod.is_none()).await;
        cluster.machine.until("nothing to be left", <[_]>::is_empty).await;
    }
    let left = cluster.api().list(&kube::api::ListParams::default()).await.unwrap();
    assert!(left.items.is_empty(), "the namespace is empty");
    cluster.stop().await;
}
