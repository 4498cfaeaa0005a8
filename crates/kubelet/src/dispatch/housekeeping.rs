//! What no pod owns: containers, directories, addresses.
//!
//! Looking is the work of a task of its own, one look at a time, because a runtime that hangs must not hold up the
//! loop. What is found is judged by the loop, which alone knows what the sources have.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;

use api_types::core::Pod;
use api_types::meta::ObjectMeta;
use tokio::sync::{Notify, mpsc};

use crate::pod::PodExt;
use crate::runtime::{ContainerId, PodUid, Result, RuntimeError, RuntimePod, SandboxId};
use crate::volumes::pods_on_disk;
use crate::workers::{Context, NODE_LABEL};

/// What is on the node, wanted or not.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Pods of which the runtime has something.
    pods: Vec<RuntimePod>,
    /// Pods that have a directory.
    directories: Vec<PodUid>,
}

/// Looks when it is asked to.
pub(super) struct Housekeeper {
    asked: Arc<Notify>,
    found: mpsc::Receiver<Found>,
}

impl Housekeeper {
    /// Starts the task; it ends with the daemon.
    pub(super) fn start(context: &Arc<Context>) -> Self {
        let asked = Arc::new(Notify::new());
        let (sender, found) = mpsc::channel(1);
        context.daemon.spawn_until_shutdown(run(Arc::clone(context), Arc::clone(&asked), sender));
        Self { asked, found }
    }

    /// Asks for a look that begins after this. Asking again before it has begun asks for nothing more.
    pub(super) fn look(&self) {
        self.asked.notify_one();
    }

    /// What the next look finds. Cancel-safe.
    pub(super) async fn found(&mut self) -> Found {
        match self.found.recv().await {
            Some(found) => found,
            // The daemon is shutting down.
            None => std::future::pending().await,
        }
    }
}

async fn run(context: Arc<Context>, asked: Arc<Notify>, sender: mpsc::Sender<Found>) {
    loop {
        asked.notified().await;
        match look(&context).await {
            Ok(found) => {
                if sender.send(found).await.is_err() {
                    return;
                }
            }
            Err(error) => tracing::warn!("looking for what no pod owns: {error}"),
        }
    }
}

async fn look(context: &Context) -> Result<Found> {
    // Before the sandboxes are listed: one that is connected later is not taken for one that has gone.
    let connected = context.network.connected().await;
    let pods = context.runtime.list_pods().await?;
    let live: HashSet<&SandboxId> = pods.iter().flat_map(|pod| &pod.sandboxes).map(|sandbox| &sandbox.id).collect();
    for sandbox in connected.iter().filter(|sandbox| !live.contains(sandbox)) {
        // What cannot be read is not listed, but it is there.
        let asked = context.runtime.container_status(&ContainerId::from(sandbox.as_str())).await;
        if !matches!(asked, Err(RuntimeError::NotFound(_))) {
            continue;
        }
        if let Err(error) = context.network.tear_down(sandbox).await {
            tracing::warn!(%sandbox, "taking back the network of a sandbox that is gone: {error}");
        }
    }
    let root: PathBuf = context.root.clone();
    let directories = tokio::task::spawn_blocking(move || pods_on_disk(&root)).await.unwrap_or_default();
    Ok(Found { pods, directories })
}

impl Found {
    /// Pods that this node's kubelet made and that are not `wanted`. One whose uid cannot be a directory's name is
    /// nobody's: what is known of it comes from labels, which anybody can write.
    pub(super) fn orphans(self, node: &str, wanted: impl Fn(&PodUid) -> bool) -> Vec<Pod> {
        let own = self.pods.iter().filter(|pod| is_own(pod, node));
        let of_containers = own.map(|pod| orphan(&pod.identity.uid, Some(pod)));
        let of_directories = self.directories.iter().map(|uid| orphan(uid, None));
        let mut seen = HashSet::new();
        let unwanted = |pod: &Pod| pod.uid().is_sound() && !wanted(&pod.uid()) && seen.insert(pod.uid());
        of_containers.chain(of_directories).filter(unwanted).collect()
    }
}

/// Whether this node's kubelet made some of it: another's may share the runtime.
fn is_own(pod: &RuntimePod, node: &str) -> bool {
    let sandboxes = pod.sandboxes.iter().map(|sandbox| &sandbox.labels);
    let mut labels = sandboxes.chain(pod.containers.iter().map(|container| &container.labels));
    labels.any(|labels| labels.get(NODE_LABEL).is_some_and(|name| name == node))
}

/// A pod of which only containers or files are known.
fn orphan(uid: &PodUid, found: Option<&RuntimePod>) -> Pod {
    let identity = found.map(|pod| pod.identity.clone()).unwrap_or_default();
    Pod {
        metadata: ObjectMeta {
            uid: Some(uid.0.clone()),
            name: Some(identity.name),
            namespace: Some(identity.namespace),
            ..ObjectMeta::default()
        },
        ..Pod::default()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::runtime::fake::FakeRuntime;
    use crate::runtime::{PodIdentity, Runtime, SandboxConfig};

    async fn run_sandbox(runtime: &FakeRuntime, uid: &str, node: &str) {
        let pod = PodIdentity { uid: uid.into(), ..PodIdentity::default() };
        let labels = BTreeMap::from([(NODE_LABEL.to_owned(), node.to_owned())]);
        runtime.run_sandbox(&SandboxConfig { pod, labels, ..SandboxConfig::default() }).await.unwrap();
    }

    #[tokio::test]
    async fn only_what_is_ours_sound_and_unwanted_is_an_orphan() {
        let runtime = FakeRuntime::default();
        let pods = [("lost", "n"), ("wanted", "n"), ("theirs", "other"), ("", "n"), ("../../etc", "n"), ("..", "n")];
        for (uid, node) in pods {
            run_sandbox(&runtime, uid, node).await;
        }
        let directories = ["lost", "wanted", "files"].map(PodUid::from).to_vec();
        let found = Found { pods: runtime.list_pods().await.unwrap(), directories };
        let orphans = found.orphans("n", |uid| uid.as_str() == "wanted");
        let uids: Vec<String> = orphans.iter().map(|pod| pod.uid().0).collect();
        assert_eq!(uids, ["lost", "files"]);
    }
}
