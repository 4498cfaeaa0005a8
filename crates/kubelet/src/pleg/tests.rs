//! The generator over the runtime in memory.

use super::*;
use crate::runtime::fake::{FakeRuntime, Reachability};
use crate::runtime::{ContainerConfig, ContainerId, PodIdentity, SandboxConfig};

struct Scene {
    runtime: FakeRuntime,
    changes: mpsc::Receiver<PodChanged>,
    _pleg: tokio_util::task::AbortOnDropHandle<()>,
}

impl Scene {
    fn start(runtime: &FakeRuntime) -> Self {
        let (sender, changes) = mpsc::channel(1);
        let pleg = Pleg::new(Arc::new(runtime.clone()));
        let task = tokio::spawn(pleg.run(sender));
        Self { runtime: runtime.clone(), changes, _pleg: tokio_util::task::AbortOnDropHandle::new(task) }
    }

    async fn changed(&mut self) -> String {
        self.changes.recv().await.unwrap().uid.0
    }
}

async fn pod(runtime: &FakeRuntime, uid: &str) -> ContainerId {
    runtime.add_image("image");
    let pod = PodIdentity { uid: uid.into(), namespace: "ns".into(), name: uid.into() };
    let config = SandboxConfig { pod, ..SandboxConfig::default() };
    let sandbox = runtime.run_sandbox(&config).await.unwrap();
    let container = ContainerConfig { name: "main".into(), image: "image".into(), ..ContainerConfig::default() };
    let id = runtime.create_container(&sandbox.id, &config, &container).await.unwrap();
    runtime.start_container(&id).await.unwrap();
    id
}

#[tokio::test(start_paused = true)]
async fn what_was_there_before_is_reported_first() {
    let runtime = FakeRuntime::default();
    pod(&runtime, "a").await;
    pod(&runtime, "b").await;
    let mut scene = Scene::start(&runtime);
    assert_eq!((scene.changed().await, scene.changed().await), ("a".into(), "b".into()));
}

#[tokio::test(start_paused = true)]
async fn each_change_of_a_pods_life_is_reported() {
    let runtime = FakeRuntime::default();
    let mut scene = Scene::start(&runtime);
    let id = pod(&runtime, "a").await;
    assert_eq!(scene.changed().await, "a");
    scene.runtime.exit(&id, 3);
    let ended = scene.changes.recv().await.unwrap();
    assert_eq!(ended.uid.as_str(), "a");
    assert!(!ended.look.pod.containers[0].state.is_running(), "{:?}", ended.look);
    runtime.remove_container(&id).await.unwrap();
    assert_eq!(scene.changed().await, "a");
}

#[tokio::test(start_paused = true)]
async fn what_happened_while_the_runtime_was_away_is_reported_when_it_is_back() {
    let runtime = FakeRuntime::default();
    let id = pod(&runtime, "a").await;
    pod(&runtime, "b").await;
    let mut scene = Scene::start(&runtime);
    assert_eq!((scene.changed().await, scene.changed().await), ("a".into(), "b".into()));
    runtime.set_reachable(Reachability::Down);
    runtime.exit(&id, 1);
    tokio::time::sleep(Duration::from_secs(60)).await;
    runtime.set_reachable(Reachability::Up);
    assert_eq!(scene.changed().await, "a");
    let nothing = tokio::time::timeout(Duration::from_secs(300), scene.changes.recv()).await;
    assert!(nothing.is_err(), "{nothing:?}");
}
