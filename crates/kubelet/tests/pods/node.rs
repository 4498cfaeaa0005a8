//! A kubelet to test with, and ways to wait for what it does.

use std::collections::HashMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use api_types::core::{Node, Pod};
use async_trait::async_trait;
use clap::Parser;
use component::Daemon;
use component::informer::{Informer, Item, ObjectKey, Scope};
use futures::StreamExt;
use ipnet::IpNet;
use kube::Client;
use kubelet::app::{Seams, start_with};
use kubelet::config::Config;
use kubelet::flags::Flags;
use kubelet::network::{HostPort, NetworkError, PodIps, PodNetwork};
use kubelet::runtime::fake::FakeRuntime;
use kubelet::runtime::{PodIdentity, Runtime, RuntimePod, SandboxId, SandboxStatus};
use parking_lot::Mutex;
use tokio::sync::Notify;

/// Longer than anything here takes.
pub const PATIENCE: Duration = Duration::from_secs(60);
pub const NODE: &str = "node1";
pub use crate::shared::IMAGE;

/// A network in memory: sandboxes get addresses in order.
#[derive(Default)]
pub struct FakeNetwork {
    given: Mutex<HashMap<SandboxId, IpAddr>>,
    cidrs: Mutex<Vec<IpNet>>,
}

#[async_trait]
impl PodNetwork for FakeNetwork {
    async fn set_pod_cidrs(&self, cidrs: &[IpNet]) -> Result<(), NetworkError> {
        *self.cidrs.lock() = cidrs.to_vec();
        Ok(())
    }

    async fn ready(&self) -> Result<(), NetworkError> {
        if self.cidrs.lock().is_empty() { Err(NetworkError::NoPodCidr) } else { Ok(()) }
    }

    async fn set_up(&self, _: &PodIdentity, sandbox: &SandboxStatus, _: &[HostPort]) -> Result<PodIps, NetworkError> {
        let mut given = self.given.lock();
        let next = u8::try_from(given.len() + 2).unwrap();
        Ok(vec![*given.entry(sandbox.id.clone()).or_insert(IpAddr::from([10, 9, 0, next]))])
    }

    async fn pod_ips(&self, sandbox: &SandboxStatus) -> Result<PodIps, NetworkError> {
        Ok(self.given.lock().get(&sandbox.id).copied().into_iter().collect())
    }

    async fn tear_down(&self, sandbox: &SandboxId) -> Result<(), NetworkError> {
        self.given.lock().remove(sandbox);
        Ok(())
    }

    async fn connected(&self) -> Vec<SandboxId> {
        self.given.lock().keys().cloned().collect()
    }
}

/// What outlives a kubelet: the runtime, the network, the disk.
pub struct Machine<R = FakeRuntime> {
    pub runtime: Arc<R>,
    pub network: Arc<dyn PodNetwork>,
    pub directory: tempfile::TempDir,
    /// Its name. Two kubelets of one name on one Docker take each other's containers for their own.
    pub node: String,
}

impl Machine {
    pub fn new() -> Self {
        let runtime = FakeRuntime::default();
        runtime.add_image(IMAGE);
        Self::on(runtime)
    }
}

impl<R: Runtime> Machine<R> {
    /// A machine with this runtime.
    pub fn on(runtime: R) -> Self {
        component::daemon::install_crypto_provider();
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join("manifests")).unwrap();
        Self { runtime: Arc::new(runtime), network: Arc::new(FakeNetwork::default()), directory, node: NODE.to_owned() }
    }

    pub fn manifest(&self, name: &str) -> PathBuf {
        self.directory.path().join("manifests").join(name)
    }

    /// Starts a kubelet on this machine.
    pub async fn start(&self, flags: &[String]) -> Kubelet {
        let path = |name: &str| self.directory.path().join(name).display().to_string();
        let mut words: Vec<String> =
            ["kubelet", "--address=127.0.0.1", "--port=0", "--healthz-port=0"].map(str::to_owned).to_vec();
        words.push(format!("--hostname-override={}", self.node));
        words.push("--node-ip=127.0.0.1".to_owned());
        // Whatever the machine that tests run on is short of.
        if !flags.iter().any(|flag| flag.starts_with("--eviction-hard")) {
            words.push("--eviction-hard=".to_owned());
        }
        words.push(format!("--root-dir={}", path("root")));
        words.push(format!("--pod-logs-dir={}", path("log/pods")));
        words.push(format!("--cert-dir={}", path("pki")));
        words.push(format!("--pod-manifest-path={}", path("manifests")));
        words.extend(flags.iter().cloned());
        let config = Config::new(Flags::parse_from(words)).unwrap();
        let daemon = Daemon::new();
        let seams = Seams { runtime: Arc::clone(&self.runtime) as _, network: Arc::clone(&self.network) };
        let address = start_with(daemon.clone(), config, seams).await.unwrap().address;
        Kubelet { daemon, address }
    }

    /// Waits until the runtime's pods are as wanted.
    pub async fn until(&self, what: &str, wanted: impl Fn(&[RuntimePod]) -> bool) {
        let waiting = async {
            let mut events = self.runtime.events();
            loop {
                if wanted(&self.runtime.list_pods().await.unwrap()) {
                    return;
                }
                events.next().await;
            }
        };
        let pods = || async { self.runtime.list_pods().await };
        if tokio::time::timeout(PATIENCE, waiting).await.is_err() {
            panic!("waiting for {what}: {:#?}", pods().await);
        }
    }
}

impl<R> Drop for Machine<R> {
    /// Volumes in memory would keep the directory from being removed.
    fn drop(&mut self) {
        let table = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        let points = table.lines().rev().filter_map(|line| line.split(' ').nth(1));
        for point in points.filter(|point| std::path::Path::new(point).starts_with(self.directory.path())) {
            let _ = nix::mount::umount2(point, nix::mount::MntFlags::MNT_DETACH);
        }
    }
}

/// A running kubelet.
pub struct Kubelet {
    pub daemon: Daemon,
    /// Where its API is.
    pub address: std::net::SocketAddr,
}

impl Kubelet {
    pub async fn stop(self) {
        self.daemon.shutdown.cancel();
        self.daemon.drain().await;
    }
}

impl Drop for Kubelet {
    fn drop(&mut self) {
        self.daemon.shutdown.cancel();
    }
}

/// Waits for objects of one kind.
pub struct Watcher<T: Item> {
    informer: Informer<T>,
    bell: Arc<Notify>,
}

impl<T: Item<DynamicType = ()>> Watcher<T> {
    pub fn new(client: &Client, daemon: &Daemon) -> Self {
        let informer = Informer::<T>::new(&(), &Scope::default());
        let bell = Arc::new(Notify::new());
        let rung = Arc::clone(&bell);
        informer.on_event(move |_| rung.notify_one());
        informer.start(client.clone(), daemon);
        Self { informer, bell }
    }

    /// What there is.
    pub fn list(&self) -> Vec<Arc<T>> {
        self.informer.store().list()
    }

    /// Waits for the next change of anything.
    pub async fn news(&self) {
        tokio::time::timeout(PATIENCE, self.bell.notified()).await.expect("something happens");
    }

    /// Waits until the object is as wanted; `None` is absent.
    pub async fn until(&self, key: &ObjectKey, what: &str, wanted: impl Fn(Option<&T>) -> bool) -> Option<Arc<T>> {
        let waiting = async {
            self.informer.synced().await;
            loop {
                let found = self.informer.store().get(key);
                if wanted(found.as_deref()) {
                    return found;
                }
                self.bell.notified().await;
            }
        };
        match tokio::time::timeout(PATIENCE, waiting).await {
            Ok(found) => found,
            Err(_) => panic!("waiting for {what}: {:#?}", self.informer.store().get(key)),
        }
    }
}

/// The reason why a container waits, or how it ended.
pub fn reason(pod: &Pod) -> String {
    let status = pod.status.as_ref().and_then(|status| status.container_statuses.as_ref());
    let state =
        status.and_then(|statuses| statuses.first()).and_then(|status| status.state.clone()).unwrap_or_default();
    let waiting = state.waiting.and_then(|waiting| waiting.reason);
    waiting.or(state.terminated.and_then(|terminated| terminated.reason)).unwrap_or_default()
}

pub fn phase(pod: &Pod) -> &str {
    pod.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or_default()
}

/// Whether the node says that it is ready.
pub fn is_ready(node: &Node) -> bool {
    let conditions = node.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}
