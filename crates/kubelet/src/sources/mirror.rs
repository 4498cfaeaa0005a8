//! Mirror pods: how static pods show in the API.

use std::sync::Arc;
use std::time::Duration;

use api_types::core::Pod;
use api_types::meta::OwnerReference;
use component::informer::{Informer, ObjectKey};
use component::queue::{Outcome, WorkQueue};
use component::{
    Daemon,
    api::{Api, is_moot},
};
use kube::Client;
use kube::api::{DeleteParams, PostParams, Preconditions};

use crate::pod::{PodExt, annotations};
use crate::workers::Workers;

/// How soon a server that does not answer, or that lacks the node or the namespace yet, is tried again.
const RETRY: Duration = Duration::from_secs(3);

/// What to do about a static pod and its mirror.
#[derive(Debug, PartialEq, Eq)]
enum Action {
    /// They agree.
    Nothing,
    /// The API does not have it.
    Create,
    /// The API has one that is stale, or not wanted any more.
    Delete {
        /// Which one exactly.
        uid: String,
    },
}

fn plan(wanted: Option<&Pod>, mirror: Option<&Pod>) -> Action {
    match (wanted, mirror) {
        (None, None) => Action::Nothing,
        (Some(_), None) => Action::Create,
        (Some(pod), Some(mirror)) => {
            let same = mirror.annotation(annotations::CONFIG_MIRROR) == Some(pod.uid().as_str());
            let stays = mirror.deletion_timestamp().is_none();
            if same && stays { Action::Nothing } else { delete(mirror) }
        }
        (None, Some(mirror)) => delete(mirror),
    }
}

fn delete(mirror: &Pod) -> Action {
    Action::Delete { uid: mirror.uid().0 }
}

/// Keeps mirror pods in step.
pub struct Mirrors {
    queue: Arc<WorkQueue<ObjectKey>>,
}

struct Driver {
    client: Client,
    node: String,
    api_pods: Informer<Pod>,
    workers: Workers,
}

impl Mirrors {
    /// Starts the task.
    #[must_use]
    pub fn run(client: Client, node: &str, api_pods: Informer<Pod>, workers: Workers, daemon: &Daemon) -> Self {
        let queue = WorkQueue::new();
        let driver = Arc::new(Driver { client, node: node.to_owned(), api_pods, workers });
        queue.run(daemon, "mirror-pods", 1, move |key| {
            let driver = Arc::clone(&driver);
            async move { driver.reconcile(key).await }
        });
        Self { queue }
    }

    /// The static pod of this name or its mirror has changed.
    pub fn touch(&self, key: ObjectKey) {
        self.queue.add(key);
    }
}

impl Driver {
    async fn reconcile(&self, key: ObjectKey) -> Result<Outcome, kube::Error> {
        self.api_pods.synced().await;
        let wanted = self.workers.static_pod(&key);
        let mirror = self.api_pods.store().get(&key).filter(|pod| pod.is_mirror());
        let api: Api<Pod> = Api::namespaced(self.client.clone(), &key.namespace);
        let done = match (plan(wanted.as_deref(), mirror.as_deref()), wanted) {
            (Action::Create, Some(pod)) => match self.mirror_of(&pod).await {
                Ok(mirror) => api.create(&PostParams::default(), &mirror).await.map(drop),
                Err(error) => Err(error),
            },
            (Action::Delete { uid }, _) => {
                let preconditions = Preconditions { uid: Some(uid), resource_version: None };
                let parameters = DeleteParams {
                    grace_period_seconds: Some(0),
                    preconditions: Some(preconditions),
                    ..DeleteParams::default()
                };
                match api.delete(&key.name, &parameters).await {
                    // That one has gone, of which the informer is about to hear.
                    Err(kube::Error::Api(refusal)) if is_moot(&refusal) => Ok(()),
                    result => result,
                }
            }
            _ => Ok(()),
        };
        match done {
            Ok(()) => Ok(Outcome::Done),
            // Also of a name that another pod has: on another node it goes without this kubelet's notice.
            Err(kube::Error::Api(refusal)) if refusal.code != 404 => Err(kube::Error::Api(refusal)),
            Err(error) => {
                tracing::debug!(pod = %key, retry_in = ?RETRY, "mirror pod: {error}");
                Ok(Outcome::RequeueAfter(RETRY))
            }
        }
    }

    async fn mirror_of(&self, pod: &Pod) -> Result<Pod, kube::Error> {
        let node = Api::<api_types::core::Node>::all(self.client.clone()).get(&self.node).await?;
        let mut mirror = pod.clone();
        let hash = pod.uid().0;
        mirror.metadata.uid = None;
        mirror.metadata.annotations.get_or_insert_default().insert(annotations::CONFIG_MIRROR.to_owned(), hash);
        mirror.metadata.owner_references = Some(vec![OwnerReference {
            api_version: "v1".to_owned(),
            kind: "Node".to_owned(),
            name: self.node.clone(),
            uid: node.metadata.uid.unwrap_or_default(),
            controller: Some(true),
            block_owner_deletion: None,
        }]);
        Ok(mirror)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn mirrors_are_planned() {
        let pod: Pod = serde_json::from_value(json!({"metadata": {"uid": "h1"}})).unwrap();
        let mirror = |hash: &str, deleting: bool| -> Pod {
            let mut mirror = json!({"metadata": {"uid": "api", "annotations": {annotations::CONFIG_MIRROR: hash}}});
            if deleting {
                mirror["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
            }
            serde_json::from_value(mirror).unwrap()
        };
        let delete = || Action::Delete { uid: "api".into() };
        let cases = [
            (None, None, Action::Nothing),
            (Some(&pod), None, Action::Create),
            (Some(&pod), Some(mirror("h1", false)), Action::Nothing),
            (Some(&pod), Some(mirror("h0", false)), delete()),
            (Some(&pod), Some(mirror("h1", true)), delete()),
            (None, Some(mirror("h1", false)), delete()),
        ];
        for (wanted, mirror, expected) in cases {
            assert_eq!(plan(wanted, mirror.as_ref()), expected);
        }
    }
}
