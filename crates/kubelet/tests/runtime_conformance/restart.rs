//! Docker going away and coming back, with a daemon of the test's own.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use futures::StreamExt;
use futures::stream::BoxStream;
use kubelet::runtime::docker::{DockerConfig, DockerRuntime};
use kubelet::runtime::{
    ContainerState, EventKind, PodIdentity, Runtime, RuntimeError, RuntimeEvent, SandboxConfig, SandboxState,
};

use super::harness::{self, IMAGE, PATIENCE, container};

/// A daemon that is killed with the test.
struct Daemon(Child);

impl Daemon {
    fn start(dir: &Path) -> Self {
        let at = |name: &str| dir.join(name).display().to_string();
        let child = Command::new("dockerd")
            .args(["--bridge=none", "--iptables=false", "--storage-driver=vfs", "-l", "error"])
            .args(["-H", &format!("unix://{}", at("docker.sock")), "--data-root", &at("data")])
            .args(["--exec-root", &at("exec"), "-p", &at("pid")])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        Self(child.unwrap())
    }

    /// SIGTERM, so that it stops its containers and its containerd.
    fn stop(mut self) {
        let pid = nix::unistd::Pid::from_raw(i32::try_from(self.0.id()).unwrap());
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
        self.0.wait().unwrap();
    }
}

async fn until(events: &mut BoxStream<'static, RuntimeEvent>, kind: EventKind) {
    let seen = async { while events.next().await.unwrap().kind != kind {} };
    tokio::time::timeout(PATIENCE, seen).await.unwrap_or_else(|_| panic!("no {kind:?} event"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn docker_may_come_late_go_and_come_back() {
    if harness::docker().await.is_none() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let endpoint = format!("unix://{}", dir.path().join("docker.sock").display());
    let runtime = DockerRuntime::new(DockerConfig { endpoint, ..DockerConfig::default() });
    let mut events = runtime.events();
    assert!(matches!(runtime.list_pods().await.unwrap_err(), RuntimeError::Unreachable(_)));

    let daemon = Daemon::start(dir.path());
    until(&mut events, EventKind::Reconnected).await;
    runtime.import_image(IMAGE, harness::busybox(), &[]).await.unwrap();
    let pod = PodIdentity { uid: "late".into(), namespace: "ns".into(), name: "late".into() };
    let config = SandboxConfig { pod: pod.clone(), ..SandboxConfig::default() };
    let sandbox = runtime.run_sandbox(&config).await.unwrap();
    let main = container("main", &["sleep", "3600"]);
    let id = runtime.create_container(&sandbox.id, &config, &main).await.unwrap();
    runtime.start_container(&id).await.unwrap();
    until(&mut events, EventKind::Started).await;

    daemon.stop();
    let error = runtime.exec_sync(&id, &["true".to_owned()], Duration::from_secs(5)).await.unwrap_err();
    assert!(matches!(error, RuntimeError::Unreachable(_)), "{error}");
    assert!(matches!(runtime.list_pods().await.unwrap_err(), RuntimeError::Unreachable(_)));

    let daemon = Daemon::start(dir.path());
    until(&mut events, EventKind::Reconnected).await;
    let pods = runtime.list_pods().await.unwrap();
    assert_eq!((pods.len(), &pods[0].identity), (1, &pod));
    assert_eq!(pods[0].sandboxes[0].state, SandboxState::NotReady);
    assert!(matches!(pods[0].containers[0].state, ContainerState::Exited(_)));
    runtime.remove_container(&id).await.unwrap();
    runtime.remove_sandbox(&sandbox.id).await.unwrap();
    daemon.stop();
}
