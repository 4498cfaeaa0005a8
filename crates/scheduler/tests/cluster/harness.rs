//! An API server, its nodes and pods, and a client whose requests can be bent.

use std::{sync::Arc, time::Duration};

use api_types::core::{Event, Node, Pod};
use apiserver::testing::TestServer;
use component::{
    Daemon,
    informer::{Informers, Item, ObjectKey, Store},
    serve::health::Health,
};
use kube::{
    Api, Client,
    api::{DeleteParams, PostParams},
    client::{Body, ClientBuilder},
};
use scheduler::{app, metrics::Metrics};
use serde_json::{Value, json};
use tokio::sync::Notify;
use tower::util::MapRequestLayer;

/// How long a condition may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// See the module. Everything ends when it is dropped.
pub struct Cluster {
    pub client: Client,
    pub daemon: Daemon,
    informers: Informers,
    changed: Arc<Notify>,
    server: TestServer,
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.daemon.shutdown.cancel();
    }
}

impl Cluster {
    pub async fn start() -> Self {
        // Nobody looks at the conditions of nodes here, so that they would stay tainted as not ready.
        let server = TestServer::start_with(&["--disable-admission-plugins=TaintNodesByCondition"]).await;
        let (client, daemon, informers) = (server.client(), Daemon::new(), Informers::new());
        let changed = Arc::new(Notify::new());
        let notify = Arc::clone(&changed);
        informers.of::<Pod>().on_event(move |_| notify.notify_one());
        let notify = Arc::clone(&changed);
        informers.of::<Event>().on_event(move |_| notify.notify_one());
        informers.start(&client, &daemon);
        informers.synced().await;
        Self { client, daemon, informers, changed, server }
    }

    /// A client whose requests pass through `bend`.
    pub fn bent(&self, bend: impl Fn(http::Request<Body>) -> http::Request<Body> + Clone + Send + 'static) -> Client {
        let config = kube::Config::new(self.server.url().parse().unwrap());
        ClientBuilder::try_from(config).unwrap().with_layer(&MapRequestLayer::new(bend)).build()
    }

    /// Starts a scheduler with these flags.
    pub async fn schedule(&self, client: Client, flags: &[&str]) {
        let flags = std::iter::once(&"test").chain(flags).map(Into::into);
        let flags: app::Flags = component::flags::parse(flags, app::RETIRED).unwrap();
        let config = app::Config::new(&flags).unwrap();
        app::run(config, client, Metrics::new(&Health::new()), &self.daemon).await.unwrap();
    }

    pub fn pods(&self) -> Api<Pod> {
        Api::namespaced(self.client.clone(), "default")
    }

    /// A node in a zone with room for CPUs.
    pub async fn node(&self, name: &str, zone: &str, cpu: &str) {
        let node = json!({
            "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name, "zone": zone}},
            "status": {"allocatable": {"cpu": cpu, "memory": "8Gi", "pods": "110"}},
        });
        let node: Node = serde_json::from_value(node).unwrap();
        Api::<Node>::all(self.client.clone()).create(&PostParams::default(), &node).await.unwrap();
    }

    /// A pod with the label `app: web`.
    pub async fn pod(&self, name: &str, spec: Value) -> Pod {
        let mut pod = json!({"metadata": {"name": name, "labels": {"app": "web"}},
            "spec": {"containers": [{"name": "c", "image": "i"}], "terminationGracePeriodSeconds": 0}});
        for (field, value) in spec.as_object().unwrap() {
            pod["spec"][field] = value.clone();
        }
        let pod: Pod = serde_json::from_value(pod).unwrap();
        self.pods().create(&PostParams::default(), &pod).await.unwrap()
    }

    pub async fn delete(&self, name: &str) {
        let now = DeleteParams { grace_period_seconds: Some(0), ..DeleteParams::default() };
        self.pods().delete(name, &now).await.unwrap();
    }

    async fn until<T: Item<DynamicType = ()>>(&self, what: &str, done: impl Fn(&Store<T>) -> bool) {
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

    /// Waits until a pod is on a node; which.
    pub async fn until_placed(&self, name: &str) -> String {
        let node = |store: &Store<Pod>| {
            let pod = store.get(&ObjectKey::new("default", name))?;
            pod.spec.as_ref()?.node_name.clone()
        };
        self.until::<Pod>(&format!("{name}'s placement"), |pods| node(pods).is_some()).await;
        node(self.informers.of::<Pod>().store()).unwrap()
    }

    /// Waits until a pod is as it shall be.
    pub async fn until_pod(&self, name: &str, what: &str, is: impl Fn(&Pod) -> bool) {
        let key = ObjectKey::new("default", name);
        self.until::<Pod>(&format!("{name}: {what}"), |pods| pods.get(&key).is_some_and(|pod| is(&pod))).await;
    }

    /// Waits until a pod says why it is on no node: in words that begin so.
    pub async fn until_rejected(&self, name: &str, message: &str) {
        self.until::<Pod>(&format!("{name}'s rejection with {message:?}"), |pods| {
            let pod = pods.get(&ObjectKey::new("default", name));
            let conditions = pod.and_then(|pod| pod.status.as_ref()?.conditions.clone()).unwrap_or_default();
            conditions.iter().any(|condition| {
                condition.type_ == "PodScheduled"
                    && condition.status == "False"
                    && condition.reason.as_deref() == Some("Unschedulable")
                    && condition.message.as_ref().is_some_and(|said| said.starts_with(message))
            })
        })
        .await;
    }

    /// Waits for an event.
    pub async fn until_event(&self, reason: &str, about: &str) {
        self.until::<Event>(reason, |events| {
            let is_it = |event: &Event| {
                event.reason.as_deref() == Some(reason) && event.involved_object.name.as_deref() == Some(about)
            };
            events.list().iter().any(|event| is_it(event))
        })
        .await;
    }
}
