//! The pods as the kubelet's own API shows them.

use std::sync::Arc;

use api_types::core::Pod;
use component::informer::ObjectKey;

use crate::pod::PodExt;
use crate::server::{PodDirectory, PodEntry};
use crate::workers::Workers;

/// Looks pods up among the workers.
pub struct Directory {
    workers: Workers,
}

impl Directory {
    /// A directory of the workers' pods.
    #[must_use]
    pub fn new(workers: Workers) -> Self {
        Self { workers }
    }

    fn with_status(&self, pod: &Arc<Pod>) -> Arc<Pod> {
        match self.workers.context().statuses.get(&pod.uid()) {
            Some(status) => {
                let mut shown = Pod::clone(pod);
                shown.status = Some((*status).clone());
                Arc::new(shown)
            }
            None => Arc::clone(pod),
        }
    }
}

impl PodDirectory for Directory {
    fn pods(&self) -> Vec<Arc<Pod>> {
        self.workers.pods().iter().map(|pod| self.with_status(pod)).collect()
    }

    fn pod(&self, namespace: &str, name: &str) -> Option<PodEntry> {
        let key = ObjectKey::new(namespace, name);
        let pods = self.workers.pods();
        // A pod that is stopping may share its name with its successor.
        let found = pods.iter().filter(|pod| pod.key() == key).min_by_key(|pod| pod.deletion_timestamp().is_some())?;
        Some(PodEntry { pod: self.with_status(found), runtime_uid: found.uid() })
    }
}
