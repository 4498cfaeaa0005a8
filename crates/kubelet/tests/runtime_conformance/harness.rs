//! What a case is given: a runtime, an image with `sh`, `echo`, `cat` and `sleep`, and a pod of its own.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures::{FutureExt, StreamExt};
use kubelet::runtime::cri::CriRuntime;
use kubelet::runtime::docker::DockerRuntime;
use kubelet::runtime::fake::FakeRuntime;
use kubelet::runtime::{
    ContainerConfig, ContainerId, ContainerState, ContainerStatus, PodIdentity, Runtime, SandboxConfig, SandboxId,
};

use crate::containerd::Containerd;
use crate::docker;
pub use crate::docker::{IMAGE, busybox};

/// Longer than anything here takes.
pub const PATIENCE: Duration = Duration::from_secs(60);

type Connect = Box<dyn Fn() -> Arc<dyn Runtime> + Send + Sync>;

pub struct Harness {
    pub runtime: Arc<dyn Runtime>,
    /// Another client of the same containers, as after a restart of the kubelet.
    pub reconnect: Connect,
    pub sandbox: SandboxConfig,
    /// A daemon of the test's own.
    _daemon: Option<Containerd>,
}

pub async fn fake() -> Harness {
    let runtime = FakeRuntime::default();
    runtime.add_image(IMAGE);
    let other = runtime.clone();
    harness(Arc::new(runtime), Box::new(move || Arc::new(other.clone())), None)
}

pub async fn docker() -> Option<Harness> {
    let runtime = docker::docker().await?;
    Some(harness(Arc::new(runtime), Box::new(|| Arc::new(DockerRuntime::new(docker::config()))), None))
}

pub async fn containerd() -> Option<Harness> {
    let daemon = Containerd::start(IMAGE, busybox()).await?;
    let config = daemon.config();
    let connect: Connect = Box::new(move || Arc::new(CriRuntime::new(config.clone()).unwrap()));
    Some(harness(connect(), connect, Some(daemon)))
}

/// A client of a daemon of the test's own.
pub fn on(runtime: Arc<dyn Runtime>, daemon: Containerd) -> Harness {
    let other = Arc::clone(&runtime);
    harness(runtime, Box::new(move || Arc::clone(&other)), Some(daemon))
}

fn harness(runtime: Arc<dyn Runtime>, reconnect: Connect, daemon: Option<Containerd>) -> Harness {
    let uid = uuid::Uuid::new_v4().to_string();
    let pod = PodIdentity { name: format!("pod-{}", &uid[..8]), namespace: "conformance".into(), uid: uid.into() };
    let sandbox = SandboxConfig { hostname: pod.name.clone(), pod, ..SandboxConfig::default() };
    Harness { runtime, reconnect, sandbox, _daemon: daemon }
}

pub type Case<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// Runs one case, within [`PATIENCE`], and removes what it made, also if it fails.
pub async fn run(harness: Harness, case: impl for<'a> Fn(&'a Harness) -> Case<'a>) {
    let outcome = AssertUnwindSafe(tokio::time::timeout(PATIENCE, case(&harness))).catch_unwind().await;
    let left = harness.runtime.pod(&harness.sandbox.pod.uid).await.unwrap();
    for container in left.containers {
        harness.runtime.remove_container(&container.id).await.unwrap();
    }
    for sandbox in left.sandboxes {
        harness.runtime.remove_sandbox(&sandbox.id).await.unwrap();
    }
    match outcome {
        Ok(in_time) => in_time.expect("the case takes too long"),
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

impl Harness {
    /// A sandbox, started.
    pub async fn sandbox(&self) -> SandboxId {
        self.runtime.run_sandbox(&self.sandbox).await.unwrap().id
    }

    /// A container that runs `command`, created.
    pub async fn created(&self, sandbox: &SandboxId, name: &str, command: &[&str]) -> ContainerId {
        let config = container(name, command);
        self.runtime.create_container(sandbox, &self.sandbox, &config).await.unwrap()
    }

    /// A container that runs `command`, started.
    pub async fn started(&self, sandbox: &SandboxId, name: &str, command: &[&str]) -> ContainerId {
        let id = self.created(sandbox, name, command).await;
        self.runtime.start_container(&id).await.unwrap();
        id
    }

    /// The container's status, once it has ended.
    pub async fn ended(&self, id: &ContainerId) -> ContainerStatus {
        let mut events = self.runtime.events();
        while events.next().await.is_some() {
            let status = self.runtime.container_status(id).await.unwrap();
            if matches!(status.state, ContainerState::Exited(_)) {
                return status;
            }
        }
        panic!("the events ended");
    }
}

/// A container's configuration.
pub fn container(name: &str, command: &[&str]) -> ContainerConfig {
    ContainerConfig {
        name: name.into(),
        image: IMAGE.into(),
        image_name: IMAGE.into(),
        command: words(command),
        hash: "5eed".into(),
        termination_message_path: "/dev/termination-log".into(),
        termination_message_policy: "File".into(),
        ..ContainerConfig::default()
    }
}

pub fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}
