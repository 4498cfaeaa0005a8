//! Pods: a kubelet makes mirror pods, tells how its pods are, and removes them.

use api_types::{
    core::{Container, EnvFromSource, EnvVar, EphemeralContainer, Pod, PodSpec, PodStatus, Volume},
    meta::OwnerReference,
};

use super::{Checked, Written};
use crate::registry::Operation;

const MIRROR: &str = "kubernetes.io/config.mirror";

impl Written<'_> {
    pub(super) async fn pod(&self, subresource: &str) -> Checked {
        match subresource {
            "" => self.whole_pod().await,
            "status" => self.pod_status(),
            "eviction" => self.eviction().await,
            other => {
                self.refuse(&format!("unexpected pod subresource {other:?}, only 'status' and 'eviction' are allowed"))
            }
        }
    }

    async fn whole_pod(&self) -> Checked {
        let node = self.node;
        match self.review.door.operation {
            Operation::Create => self.new_pod(self.object()?).await,
            Operation::Delete => self.refuse_when(node_of(self.old::<Pod>()?) != node, || {
                format!("node {node:?} can only delete pods with spec.nodeName set to itself")
            }),
            other => self.refuse(&format!(
                "unexpected operation {:?}, node {node:?} can only create and delete mirror pods",
                other.as_str()
            )),
        }
    }

    async fn new_pod(&self, pod: &Pod) -> Checked {
        let node = self.node;
        let is_mirror = pod.metadata.annotations.as_ref().is_some_and(|own| own.contains_key(MIRROR));
        self.refuse_when(!is_mirror, || {
            format!("pod does not have {MIRROR:?} annotation, node {node:?} can only create mirror pods")
        })?;
        self.refuse_when(node_of(pod) != node, || {
            format!("node {node:?} can only create pods with spec.nodeName set to itself")
        })?;
        self.owner(pod.metadata.owner_references.as_deref().unwrap_or_default()).await?;
        let Some(spec) = &pod.spec else { return Ok(()) };
        let account = spec.service_account_name.as_ref().is_some_and(|account| !account.is_empty());
        self.no_reference(account, "a service account")?;
        self.no_reference(refers_to_secret(spec), "secrets")?;
        self.no_reference(refers_to_config_map(spec), "configmaps")?;
        let any = |test: fn(&Volume) -> bool| spec.volumes.iter().flatten().any(test);
        self.no_reference(any(projects_trust_bundle), "clustertrustbundles")?;
        // An ephemeral volume is a claim, too, which is made for the pod.
        let claims = any(|volume| volume.persistent_volume_claim.is_some() || volume.ephemeral.is_some());
        self.no_reference(claims, "persistentvolumeclaims")?;
        let devices = spec.resource_claims.as_ref().is_some_and(|claims| !claims.is_empty());
        self.no_reference(devices, "resourceclaims")
    }

    fn no_reference(&self, refers: bool, what: &str) -> Checked {
        self.refuse_when(refers, || format!("node {:?} can not create pods that reference {what}", self.node))
    }

    async fn owner(&self, owners: &[OwnerReference]) -> Checked {
        let node = self.node;
        let must = |what: &str| self.refuse(&format!("node {node:?} can only create pods with {what}"));
        let owner = match owners {
            [] => return must("an owner reference set to itself"),
            [owner] => owner,
            _ => return must("a single owner reference set to itself"),
        };
        if (&*owner.api_version, &*owner.kind, &*owner.name) != ("v1", "Node", node) {
            return must("an owner reference set to itself");
        }
        if owner.controller != Some(true) {
            return must("a controller owner reference set to itself");
        }
        self.refuse_when(owner.block_owner_deletion == Some(true), || {
            format!("node {node:?} must not set blockOwnerDeletion on an owner reference")
        })?;
        let uid = self.find_node().await?.metadata.uid.unwrap_or_default();
        self.refuse_when(owner.uid != uid, || format!("node {node} UID mismatch: expected {} got {uid}", owner.uid))
    }

    fn pod_status(&self) -> Checked {
        let (node, operation) = (self.node, self.review.door.operation);
        if operation != Operation::Update {
            return self.refuse(&format!("unexpected operation {:?}", operation.as_str()));
        }
        let (new, old) = (self.object::<Pod>()?, self.old::<Pod>()?);
        self.refuse_when(node_of(old) != node, || {
            format!("node {node:?} can only update pod status for pods with spec.nodeName set to itself")
        })?;
        let labels = |pod: &Pod| pod.metadata.labels.clone().unwrap_or_default();
        self.refuse_when(labels(new) != labels(old), || {
            format!("node {node:?} cannot update labels through pod status")
        })?;
        let claims = |pod: &Pod| {
            let of = |status: &PodStatus| status.resource_claim_statuses.clone();
            pod.status.as_ref().and_then(of).unwrap_or_default()
        };
        self.refuse_when(claims(new) != claims(old), || format!("node {node:?} cannot update resource claim statues"))?;
        let extended = |pod: &Pod| pod.status.as_ref().and_then(|s| s.extended_resource_claim_status.clone());
        self.refuse_when(extended(new) != extended(old), || {
            format!("node {node:?} cannot update extended resource claim statues")
        })
    }

    async fn eviction(&self) -> Checked {
        let operation = self.review.door.operation;
        if operation != Operation::Create {
            return self.refuse(&format!("unexpected operation {}", operation.as_str()));
        }
        let pod = self.find_pod(self.review.door.target.name).await?;
        self.refuse_when(node_of(&pod) != self.node, || {
            format!("node {} can only evict pods with spec.nodeName set to itself", self.node)
        })
    }
}

/// The node of a pod; empty as long as it has none.
pub(super) fn node_of(pod: &Pod) -> &str {
    pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()).unwrap_or_default()
}

/// The environment of every container, of whatever sort.
fn environments(spec: &PodSpec) -> impl Iterator<Item = (&[EnvVar], &[EnvFromSource])> {
    let containers = spec.init_containers.iter().flatten().chain(&spec.containers);
    let ordinary = containers.map(|Container { env, env_from, .. }| (env, env_from));
    let ephemeral = spec.ephemeral_containers.iter().flatten();
    let ephemeral = ephemeral.map(|EphemeralContainer { env, env_from, .. }| (env, env_from));
    let lists = ordinary.chain(ephemeral);
    lists.map(|(env, from)| (env.as_deref().unwrap_or_default(), from.as_deref().unwrap_or_default()))
}

fn refers_to_secret(spec: &PodSpec) -> bool {
    let from_key = |variable: &EnvVar| variable.value_from.as_ref().is_some_and(|from| from.secret_key_ref.is_some());
    spec.image_pull_secrets.iter().flatten().next().is_some()
        || environments(spec)
            .any(|(env, from)| env.iter().any(from_key) || from.iter().any(|source| source.secret_ref.is_some()))
        || spec.volumes.iter().flatten().any(volume_has_secret)
}

fn volume_has_secret(volume: &Volume) -> bool {
    let projected = volume.projected.iter().flat_map(|projected| projected.sources.iter().flatten());
    volume.secret.is_some()
        || projected.into_iter().any(|source| source.secret.is_some())
        || volume.csi.as_ref().is_some_and(|source| source.node_publish_secret_ref.is_some())
        || volume.azure_file.is_some()
        || volume.cephfs.as_ref().is_some_and(|source| source.secret_ref.is_some())
        || volume.cinder.as_ref().is_some_and(|source| source.secret_ref.is_some())
        || volume.flex_volume.as_ref().is_some_and(|source| source.secret_ref.is_some())
        || volume.iscsi.as_ref().is_some_and(|source| source.secret_ref.is_some())
        || volume.rbd.as_ref().is_some_and(|source| source.secret_ref.is_some())
        || volume.scale_io.is_some()
        || volume.storageos.as_ref().is_some_and(|source| source.secret_ref.is_some())
}

fn refers_to_config_map(spec: &PodSpec) -> bool {
    let from_key =
        |variable: &EnvVar| variable.value_from.as_ref().is_some_and(|from| from.config_map_key_ref.is_some());
    let in_volume = |volume: &Volume| {
        let mut projected = volume.projected.iter().flat_map(|projected| projected.sources.iter().flatten());
        volume.config_map.is_some() || projected.any(|source| source.config_map.is_some())
    };
    environments(spec)
        .any(|(env, from)| env.iter().any(from_key) || from.iter().any(|source| source.config_map_ref.is_some()))
        || spec.volumes.iter().flatten().any(in_volume)
}

fn projects_trust_bundle(volume: &Volume) -> bool {
    let mut sources = volume.projected.iter().flat_map(|projected| projected.sources.iter().flatten());
    sources.any(|source| source.cluster_trust_bundle.is_some())
}
