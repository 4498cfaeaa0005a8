//! The heartbeat: a Lease in `kube-node-lease`, renewed by a task that does nothing else.

use std::sync::Arc;
use std::time::Duration;

use api_types::coordination::{Lease, LeaseSpec};
use api_types::core::Node;
use api_types::jiff::Timestamp;
use api_types::meta::{MicroTime, ObjectMeta, OwnerReference};
use component::{api::Api, backoff::Backoff};
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Client, ResourceExt};
use serde_json::json;
use tokio::sync::Notify;

const NAMESPACE: &str = "kube-node-lease";
/// Upstream's: the node is lost after 40 s, and a quarter of that passes between renewals.
const DURATION_SECONDS: i32 = 40;
const PERIOD: Duration = Duration::from_secs(10);

/// Renews this node's lease.
pub struct Heartbeat {
    /// How to reach the API server.
    pub client: Client,
    /// The node's name.
    pub node: String,
    /// Rung when the API server is there again after it was not.
    pub recovered: Arc<Notify>,
}

impl Heartbeat {
    /// For ever. A server that is away is tried again and again.
    pub async fn run(self) {
        let leases: Api<Lease> = Api::namespaced(self.client.clone(), NAMESPACE);
        let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(7));
        let mut failed = false;
        loop {
            match tokio::time::timeout(PERIOD, self.renew(&leases)).await {
                Ok(Ok(())) => {
                    if std::mem::take(&mut failed) {
                        self.recovered.notify_one();
                    }
                    backoff.reset();
                    tokio::time::sleep(PERIOD).await;
                    continue;
                }
                Ok(Err(error)) => tracing::info!("renewing the node's lease: {error}"),
                Err(_) => tracing::info!("renewing the node's lease: no answer in {PERIOD:?}"),
            }
            failed = true;
            tokio::time::sleep(backoff.next_delay()).await;
        }
    }

    async fn renew(&self, leases: &Api<Lease>) -> Result<(), kube::Error> {
        let now = MicroTime(Timestamp::now());
        let patch =
            json!({"spec": {"holderIdentity": self.node, "leaseDurationSeconds": DURATION_SECONDS, "renewTime": now}});
        match leases.patch(&self.node, &PatchParams::default(), &Patch::Merge(patch)).await {
            Err(kube::Error::Api(status)) if status.code == 404 => {
                let lease = self.lease(now, self.owner().await?);
                leases.create(&PostParams::default(), &lease).await.map(drop)
            }
            // As an earlier kubelet may have left it.
            Ok(lease) if lease.owner_references().is_empty() => {
                let patch = json!({"metadata": {"ownerReferences": [self.owner().await?]}});
                leases.patch(&self.node, &PatchParams::default(), &Patch::Merge(patch)).await.map(drop)
            }
            renewed => renewed.map(drop),
        }
    }

    /// The node, with which the lease goes. Without it there is no lease yet: it could never be told whose it is.
    async fn owner(&self) -> Result<OwnerReference, kube::Error> {
        let node = Api::<Node>::all(self.client.clone()).get(&self.node).await?;
        Ok(OwnerReference {
            api_version: "v1".to_owned(),
            kind: "Node".to_owned(),
            name: self.node.clone(),
            uid: node.uid().unwrap_or_default(),
            ..OwnerReference::default()
        })
    }

    fn lease(&self, now: MicroTime, owner: OwnerReference) -> Lease {
        Lease {
            metadata: ObjectMeta {
                name: Some(self.node.clone()),
                namespace: Some(NAMESPACE.to_owned()),
                owner_references: Some(vec![owner]),
                ..ObjectMeta::default()
            },
            spec: Some(LeaseSpec {
                holder_identity: Some(self.node.clone()),
                lease_duration_seconds: Some(DURATION_SECONDS),
                renew_time: Some(now),
                ..LeaseSpec::default()
            }),
        }
    }
}
