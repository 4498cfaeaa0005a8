//! A cluster of an API server, the controllers and a kubelet that only writes statuses.

use std::{ffi::OsString, fmt::Debug, sync::Arc, time::Duration};

use api_types::{
    apps::{ControllerRevision, DaemonSet, Deployment, ReplicaSet, StatefulSet},
    batch::{CronJob, Job},
    core::{
        ConfigMap, Endpoints, Event, Namespace, Node, PersistentVolume, PersistentVolumeClaim, Pod,
        ReplicationController, ResourceQuota, Secret, Service, ServiceAccount,
    },
    devices::ResourceClaim,
    discovery::EndpointSlice,
    jiff::Timestamp,
    meta::Time,
    policy::PodDisruptionBudget,
    rbac::ClusterRole,
};
use apiserver::testing::TestServer;
use component::{
    Daemon,
    informer::{Informers, ObjectKey, Store},
    queue::{Outcome, WorkQueue},
};
use controller_manager::{
    options::{Config, Flags, RETIRED},
    slim,
};
use kube::{
    Api, Client,
    api::{DeleteParams, Patch, PatchParams},
};
use serde_json::{Value, json};
use tokio::sync::Notify;

/// How long a condition may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// See the module. Everything ends when it is dropped.
pub struct Cluster {
    pub client: Client,
    daemon: Daemon,
    /// What the controllers run under, and what they are told.
    controllers: Daemon,
    config: Arc<Config>,
    pub informers: Informers,
    /// Something changed.
    changed: Arc<Notify>,
    server: TestServer,
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.daemon.shutdown.cancel();
        self.controllers.shutdown.cancel();
    }
}

macro_rules! watch {
    ($informers:expr, $changed:expr, $($kind:ty),+) => {$({
        let changed = Arc::clone(&$changed);
        $informers.of::<$kind>().on_event(move |_| changed.notify_one());
    })+};
}

impl Cluster {
    /// Starts everything; `flags` are the controller manager's.
    pub async fn start(flags: &str) -> Self {
        Self::start_beside(&[], flags).await
    }

    /// The same, with flags for the API server.
    pub async fn start_beside(server: &[&str], flags: &str) -> Self {
        let own = ["--enable-admission-plugins=StorageObjectInUseProtection"];
        let server = TestServer::start_with(&[&own, server].concat()).await;
        let (client, daemon) = (server.client(), Daemon::new());
        let informers = Informers::new();
        let changed = Arc::new(Notify::new());
        watch!(informers, changed, Deployment, ReplicaSet, ReplicationController, Pod, Event);
        watch!(informers, changed, ClusterRole, Endpoints, EndpointSlice, Namespace, Node, Secret, ServiceAccount);
        watch!(informers, changed, ConfigMap, Service, slim::CertificateSigningRequest);
        watch!(informers, changed, PersistentVolume, PersistentVolumeClaim, ResourceQuota, slim::ServiceCidr);
        watch!(informers, changed, ControllerRevision, DaemonSet, StatefulSet, Job, CronJob);
        watch!(informers, changed, PodDisruptionBudget, slim::Autoscaler, ResourceClaim);
        run_kubelet(&client, &informers, &daemon);
        informers.start(&client, &daemon);
        informers.synced().await;
        let words = std::iter::once("test").chain(flags.split_whitespace()).map(OsString::from);
        let flags: Flags = component::flags::parse(words, RETIRED).unwrap();
        let config = Arc::new(Config::new(flags).unwrap());
        let controllers = Daemon::new();
        controller_manager::start_controllers(client.clone(), Arc::clone(&config), &controllers).await;
        Self { client, daemon, controllers, config, informers, changed, server }
    }

    /// Ends the controllers, whatever they are at, and starts others.
    pub async fn restart_controllers(&mut self) {
        self.controllers.shutdown.cancel();
        self.controllers = Daemon::new();
        controller_manager::start_controllers(self.client.clone(), Arc::clone(&self.config), &self.controllers).await;
    }

    /// Restarts the controllers again and again, after a few changes each, until the objects of a type are as they
    /// should be; when that takes long, they are then left alone.
    pub async fn until_despite_restarts<T>(&mut self, what: &str, done: impl Fn(&Store<T>) -> bool)
    where
        T: component::informer::Item<DynamicType = ()>,
    {
        for restart in 1_usize..12 {
            for _ in 0..restart * 7 % 5 + 1 {
                if done(self.informers.of::<T>().store()) {
                    return;
                }
                // The last change may have come before this was asked.
                let _ = tokio::time::timeout(Duration::from_secs(1), self.changed.notified()).await;
            }
            self.restart_controllers().await;
        }
        self.until(what, done).await;
    }

    /// Where the API server listens for TLS.
    pub fn secure_url(&self) -> String {
        self.server.secure_url()
    }

    /// Waits until the objects of a type are as they should be.
    pub async fn until<T>(&self, what: &str, done: impl Fn(&Store<T>) -> bool)
    where
        T: component::informer::Item<DynamicType = ()>,
    {
        let informer = self.informers.of::<T>();
        let wait = async {
            while !done(informer.store()) {
                self.changed.notified().await;
            }
        };
        if tokio::time::timeout(PATIENCE, wait).await.is_err() {
            panic!("{what} did not happen: {:#?}", informer.store().list());
        }
    }

    /// Creates an object in `default`, or at cluster scope.
    pub async fn create<T>(&self, object: Value) -> T
    where
        T: kube::Resource<DynamicType = ()> + Clone + Debug + serde::Serialize + serde::de::DeserializeOwned,
    {
        let object: T = serde_json::from_value(object).unwrap();
        let namespace = object.meta().namespace.clone();
        let path = T::url_path(&(), namespace.as_deref());
        let body = serde_json::to_vec(&object).unwrap();
        let request = http::Request::post(path).header("content-type", "application/json").body(body).unwrap();
        self.client.request(request).await.unwrap()
    }

    pub fn api<T>(&self) -> Api<T>
    where
        T: kube::Resource<DynamicType = (), Scope = api_types::k8s_openapi::NamespaceResourceScope>,
    {
        Api::namespaced(self.client.clone(), "default")
    }

    /// A deployment of three pods with the label `app: web`.
    pub async fn create_deployment(&self, strategy: Value) -> Deployment {
        self.create(json!({
            "metadata": {"name": "web", "namespace": "default"},
            "spec": {
                "replicas": 3,
                "selector": {"matchLabels": {"app": "web"}},
                "strategy": strategy,
                "template": template("v1"),
            },
        }))
        .await
    }

    pub async fn patch_deployment(&self, patch: Value) {
        let patch = Patch::Merge(patch);
        self.api::<Deployment>().patch("web", &PatchParams::default(), &patch).await.unwrap();
    }

    /// Waits until the deployment has this many pods, all of the newest template and available.
    pub async fn until_rolled_out(&self, replicas: i32, image: &str) {
        self.until::<Deployment>("the rollout", |deployments| {
            deployments
                .get(&key("web"))
                .and_then(|deployment| deployment.status.clone().zip(deployment.metadata.generation))
                .is_some_and(|(status, generation)| {
                    status.observed_generation == Some(generation)
                        && status.replicas == Some(replicas)
                        && status.updated_replicas == Some(replicas)
                        && status.available_replicas == Some(replicas)
                })
        })
        .await;
        self.until::<Pod>("the pods of the template", |pods| {
            let images = pods
                .list()
                .iter()
                .map(|pod| pod.spec.as_ref().unwrap().containers[0].image.clone().unwrap())
                .collect::<Vec<_>>();
            images.len() == usize::try_from(replicas).unwrap() && images.iter().all(|name| name == image)
        })
        .await;
    }

    /// Changes an object of `default`.
    pub async fn patch<T>(&self, name: &str, patch: Value)
    where
        T: kube::Resource<DynamicType = (), Scope = api_types::k8s_openapi::NamespaceResourceScope>
            + Clone
            + Debug
            + serde::de::DeserializeOwned,
    {
        self.api::<T>().patch(name, &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
    }

    /// Changes the status of a pod of `default`.
    pub async fn patch_pod_status(&self, name: &str, status: Value) {
        let patch = Patch::Strategic(json!({"status": status}));
        self.api::<Pod>().patch_status(name, &PatchParams::default(), &patch).await.unwrap();
    }

    /// Waits for an event.
    pub async fn until_event(&self, reason: &str, message: impl Fn(&str) -> bool) {
        self.until::<Event>(reason, |events| {
            let is_it = |event: &Event| {
                event.reason.as_deref() == Some(reason) && event.message.as_deref().is_some_and(&message)
            };
            events.list().iter().any(|event| is_it(event))
        })
        .await;
    }
}

/// A name in `default`.
pub fn key(name: &str) -> ObjectKey {
    ObjectKey::new("default", name)
}

/// A pod template with the label `app: web`.
pub fn template(image: &str) -> Value {
    json!({
        "metadata": {"labels": {"app": "web"}},
        "spec": {
            "terminationGracePeriodSeconds": 5,
            "containers": [{"name": "web", "image": image, "ports": [{"name": "http", "containerPort": 8080}]}],
        },
    })
}

/// The status of a pod that has ended: with this code, or with 1 `sometimes`. It says that it was long ago, so that
/// nothing waits.
fn ended(container: &str, exits: &str, number: u32) -> Value {
    let code = match exits {
        "sometimes" => u32::from(number.is_multiple_of(4)),
        code => code.parse().unwrap(),
    };
    let terminated = json!({"exitCode": code, "finishedAt": "2001-01-01T00:00:00Z"});
    let container = json!({
        "name": container, "image": "", "imageID": "", "ready": false, "restartCount": 0,
        "state": {"terminated": terminated},
    });
    let phase = if code == 0 { "Succeeded" } else { "Failed" };
    json!({"status": {"phase": phase, "containerStatuses": [container]}})
}

/// What becomes of a pod that is new.
fn next_status(pod: &Pod) -> Value {
    let number = u32::from_str_radix(&pod.metadata.uid.as_ref().unwrap()[..6], 16).unwrap();
    let container = &pod.spec.as_ref().unwrap().containers[0];
    if let Some(exits) = container.image.as_deref().unwrap().strip_prefix("exits:") {
        return ended(&container.name, exits, number);
    }
    // The address only has to differ from pod to pod.
    let ip = std::net::Ipv4Addr::from(0x0a00_0000 | number).to_string();
    let now = Time(Timestamp::now());
    json!({"status": {
        "phase": "Running", "podIP": ip, "podIPs": [{"ip": ip}], "startTime": now,
        "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": now}],
    }})
}

/// Every pod that is not being deleted runs and is ready at once, or ends if its image is `exits:…`; one that is being
/// deleted ends.
fn run_kubelet(client: &Client, informers: &Informers, daemon: &Daemon) {
    let pods = informers.of::<Pod>();
    let queue: Arc<WorkQueue<ObjectKey>> = WorkQueue::new();
    let keys = Arc::clone(&queue);
    pods.on_event(move |event| keys.add(ObjectKey::of(&**event.object())));
    let client = client.clone();
    queue.run(daemon, "kubelet", 4, move |key| {
        let (pods, client) = (pods.clone(), client.clone());
        async move {
            let Some(pod) = pods.store().get(&key) else { return Ok::<_, kube::Error>(Outcome::Done) };
            let api: Api<Pod> = Api::namespaced(client, &key.namespace);
            let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
            let written = if pod.metadata.deletion_timestamp.is_some() {
                let now = DeleteParams { grace_period_seconds: Some(0), ..DeleteParams::default() };
                api.delete(&key.name, &now).await.map(drop)
            } else if phase == Some("Pending") {
                let status = Patch::Strategic(next_status(&pod));
                api.patch_status(&key.name, &PatchParams::default(), &status).await.map(drop)
            } else {
                Ok(())
            };
            match written {
                // Anything else is tried again.
                Err(kube::Error::Api(status)) if status.code == 404 => {}
                written => written?,
            }
            Ok(Outcome::Done)
        }
    });
}
