//! What must not be missing while the server runs: what somebody removes or changes comes back, as soon as the watch
//! caches tell of it.

use std::{collections::HashSet, sync::Arc, time::Duration};

use api_types::{Object, StatusError, flow_schemas, priority_levels};
use component::Daemon;
use tokio::sync::Notify;

use super::{NAMESPACES, ensure_namespaces, flow_control};
use crate::registry::{
    Registry,
    following::{Mirror, Mirrored, follow},
};

const FLOW_CONTROL: &str = "flowcontrol.apiserver.k8s.io";
/// At least so long between two looks: who undoes again and again what is put right keeps the server no busier.
const PAUSE: Duration = Duration::from_secs(1);

/// Keeps the namespaces, flow schemas and priority levels that every cluster has, as long as the daemon runs.
pub async fn keep(registry: &Arc<Registry>, daemon: &Daemon) {
    let told = Arc::new(Notify::new());
    let mirrored = |resource, names| Mirrored::new(resource, Arc::new(Nudge { names, told: told.clone() }));
    let all = vec![
        mirrored(("", "v1", "namespaces"), NAMESPACES.iter().map(|name| (*name).to_owned()).collect()),
        mirrored((FLOW_CONTROL, "v1", "flowschemas"), names(&flow_schemas())),
        mirrored((FLOW_CONTROL, "v1", "prioritylevelconfigurations"), names(&priority_levels())),
    ];
    // What comes of it is told by the mirrors.
    let _synced = follow(all, registry, daemon);
    loop {
        told.notified().await;
        if let Err(error) = ensure(registry).await {
            tracing::warn!("what every cluster has cannot be put right: {error}");
            told.notify_one();
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn ensure(registry: &Registry) -> Result<(), StatusError> {
    ensure_namespaces(registry).await?;
    flow_control::ensure(registry).await
}

fn names<T: Object>(objects: &[T]) -> HashSet<String> {
    objects.iter().filter_map(|object| object.meta().name.clone()).collect()
}

/// Tells when something happens to an object that matters.
struct Nudge {
    names: HashSet<String>,
    told: Arc<Notify>,
}

impl Nudge {
    fn tell(&self, name: &str) {
        if self.names.contains(name) {
            self.told.notify_one();
        }
    }
}

impl Mirror for Nudge {
    fn put(&self, _: &str, name: &str, _: &[u8]) {
        self.tell(name);
    }

    fn remove(&self, _: &str, name: &str) {
        self.tell(name);
    }
}
