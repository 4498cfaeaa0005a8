//! Which volumes a pod's claims have. They are read when they are needed, since a node may not watch them; what was found
//! stays, since a claim that is bound keeps its volume.

use std::collections::BTreeMap;
use std::sync::Arc;

use api_types::core::{Node, PersistentVolumeClaim, Pod, Volume};
use api_types::pod::node_affinity::NodeView;
use component::api::Api;
use component::informer::Informer;
use component::volumes::{self, Volume as PersistentVolume, ephemeral_claim_name, is_made_for};
use kube::Client;

use super::local::LocalVolumes;
use crate::pod::PodExt;

/// Why a claim gives a pod no volume, in upstream's words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClaimError {
    /// It has none that the pod may use.
    #[error("error processing PVC {namespace}/{claim}: {why}")]
    Unusable {
        /// The pod's namespace.
        namespace: String,
        /// The claim's name.
        claim: String,
        /// What is wrong.
        why: String,
    },
    /// The volume is not on this node.
    #[error("no matching NodeSelectorTerms")]
    Elsewhere {
        /// The volume's name.
        volume: String,
    },
}

/// What the volumes of a pod that are claims are set up from.
#[derive(Debug, Clone, Default)]
pub struct Claimed {
    /// The volume of each, by the name that the pod has for it; or why there is none.
    pub volumes: BTreeMap<String, Result<Arc<PersistentVolume>, ClaimError>>,
    /// This node's own volumes.
    pub local: Arc<LocalVolumes>,
}

/// Where claims and volumes are looked up.
pub struct ClaimSource {
    /// The API server; `None` without one.
    pub client: Option<Client>,
    /// This node in the API.
    pub node: Option<Informer<Node>>,
}

/// Whether a pod has begun to run. It then keeps what it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begun {
    /// It has containers.
    Yes,
    /// It has none yet.
    No,
}

/// A volume of a pod that is a claim.
struct Wanted<'a> {
    volume: &'a str,
    claim: String,
    /// Made for this pod alone.
    is_own: bool,
}

impl<'a> Wanted<'a> {
    fn of(pod: &Pod, volume: &'a Volume) -> Option<Self> {
        let name = volume.name.as_str();
        if volume.ephemeral.is_some() {
            let claim = ephemeral_claim_name(&pod.key().name, name);
            return Some(Self { volume: name, claim, is_own: true });
        }
        let source = volume.persistent_volume_claim.as_ref()?;
        Some(Self { volume: name, claim: source.claim_name.clone(), is_own: false })
    }
}

impl ClaimSource {
    /// Looks up what is not known yet of a pod's claims.
    pub async fn follow(&self, pod: &Pod, begun: Begun, known: &mut Claimed) {
        let volumes = pod.pod_spec().volumes.iter().flatten();
        for wanted in volumes.filter_map(|volume| Wanted::of(pod, volume)) {
            if let Some(Ok(_)) = known.volumes.get(wanted.volume) {
                continue;
            }
            let found = self.find(pod, &wanted, begun).await;
            known.volumes.insert(wanted.volume.to_owned(), found);
        }
    }

    async fn find(&self, pod: &Pod, wanted: &Wanted<'_>, begun: Begun) -> Result<Arc<PersistentVolume>, ClaimError> {
        let namespace = pod.key().namespace;
        let unusable = |why| ClaimError::Unusable { namespace: namespace.clone(), claim: wanted.claim.clone(), why };
        let Some(client) = &self.client else { return Err(unusable("there is no API server".to_owned())) };
        let claims: Api<PersistentVolumeClaim> = Api::namespaced(client.clone(), &namespace);
        let claim = claims.get(&wanted.claim).await;
        let claim =
            claim.map_err(|error| unusable(format!("failed to fetch PVC from API server: {}", message(&error))))?;
        check_claim(pod, wanted, &claim, begun).map_err(unusable)?;
        let name = volumes::volume_name(&claim);
        let all: Api<PersistentVolume> = Api::all(client.clone());
        let volume = all.get(name).await;
        let volume = volume
            .map_err(|error| unusable(format!("failed to fetch PV {name} from API server: {}", message(&error))))?;
        check_volume(&claim, &volume).map_err(unusable)?;
        if self.is_elsewhere(&volume) {
            return Err(ClaimError::Elsewhere { volume: name.to_owned() });
        }
        Ok(Arc::new(volume))
    }

    /// Whether a volume says that it is on other nodes.
    fn is_elsewhere(&self, volume: &PersistentVolume) -> bool {
        let Some(node) = self.node.as_ref().and_then(|node| node.store().list().into_iter().next()) else {
            return false;
        };
        let none = BTreeMap::new();
        let (name, labels) = (node.metadata.name.as_deref().unwrap_or_default(), node.metadata.labels.as_ref());
        !volume.is_on(NodeView { name, labels: labels.unwrap_or(&none) })
    }
}

/// Whether the pod may use the claim.
fn check_claim(pod: &Pod, wanted: &Wanted<'_>, claim: &PersistentVolumeClaim, begun: Begun) -> Result<(), String> {
    let key = pod.key();
    if wanted.is_own && !is_made_for(claim, &pod.uid().0) {
        let (namespace, name) = (key.namespace, key.name);
        return Err(format!(
            "PVC {namespace}/{} was not created for pod {namespace}/{name} (pod is not owner)",
            wanted.claim
        ));
    }
    // Who goes is not taken up again. A pod that runs has it in use, and it stays until the pod is gone.
    if claim.metadata.deletion_timestamp.is_some() && begun == Begun::No {
        return Err("PVC is being deleted".to_owned());
    }
    if volumes::phase(claim) != "Bound" {
        return Err("PVC is not bound".to_owned());
    }
    if volumes::volume_name(claim).is_empty() {
        return Err("PVC has empty pvc.Spec.VolumeName".to_owned());
    }
    let containers = pod.all_containers();
    let mounted = |(_, container): &(_, &api_types::core::Container)| {
        container.volume_mounts.iter().flatten().any(|mount| mount.name == wanted.volume)
    };
    match volumes::volume_mode(claim) {
        "Block" if containers.iter().any(mounted) => {
            Err(format!("volume {} has volumeMode Block, but is specified in volumeMounts", wanted.volume))
        }
        "Block" => Err("block volumes are not supported by this node".to_owned()),
        _ if !containers.iter().any(mounted) => {
            Err(format!("volume {} has volumeMode Filesystem, but is specified in volumeDevices", wanted.volume))
        }
        _ => Ok(()),
    }
}

/// Whether the volume is the claim's, too.
fn check_volume(claim: &PersistentVolumeClaim, volume: &PersistentVolume) -> Result<(), String> {
    let name = volume.name();
    let Some(reference) = &volume.spec.claim_ref else {
        return Err(format!(
            "found PV object {name} but it has a nil pv.Spec.ClaimRef indicating it is not yet bound to the claim"
        ));
    };
    let uid = claim.metadata.uid.as_deref().unwrap_or_default();
    let found = reference.uid.as_deref().unwrap_or_default();
    if found == uid {
        return Ok(());
    }
    Err(format!("found PV object {name} but its pv.Spec.ClaimRef.UID {found} does not point to claim.UID {uid}"))
}

/// What the server said, or why nobody was reached.
fn message(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => status.message.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::testing::pod;

    fn claim(patch: &Value) -> PersistentVolumeClaim {
        let mut claim = json!({
            "metadata": {"name": "c", "namespace": "ns", "uid": "claim"},
            "spec": {"volumeName": "v"}, "status": {"phase": "Bound"},
        });
        for (part, changes) in patch.as_object().unwrap() {
            claim[part].as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        }
        serde_json::from_value(claim).unwrap()
    }

    #[test]
    fn a_claim_that_gives_no_volume_says_why() {
        let volume = json!({"name": "data", "persistentVolumeClaim": {"claimName": "c"}});
        let own = json!({"name": "data", "ephemeral": {"volumeClaimTemplate": {"spec": {}}}});
        let with = |volume: &Value, uses: Value| {
            let mut container = json!({"name": "a"});
            container.as_object_mut().unwrap().extend(uses.as_object().unwrap().clone());
            pod(json!({"volumes": [volume], "containers": [container]}))
        };
        let mounts = json!({"volumeMounts": [{"name": "data", "mountPath": "/d"}]});
        let devices = json!({"volumeDevices": [{"name": "data", "devicePath": "/d"}]});
        let said = |pod: &Pod, claim: &PersistentVolumeClaim, begun| {
            let wanted = Wanted::of(pod, &pod.pod_spec().volumes.as_ref().unwrap()[0]).unwrap();
            check_claim(pod, &wanted, claim, begun).err().unwrap_or_default()
        };
        let mounting = with(&volume, mounts.clone());
        let going = json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}});
        let cases = [
            (json!({}), ""),
            (going.clone(), "PVC is being deleted"),
            (json!({"status": {"phase": "Pending"}}), "PVC is not bound"),
            (json!({"spec": {"volumeName": ""}}), "PVC has empty pvc.Spec.VolumeName"),
            (
                json!({"spec": {"volumeMode": "Block"}}),
                "volume data has volumeMode Block, but is specified in volumeMounts",
            ),
        ];
        for (patch, expected) in cases {
            assert_eq!(said(&mounting, &claim(&patch), Begun::No), expected, "{patch}");
        }
        assert_eq!(said(&mounting, &claim(&going), Begun::Yes), "");
        let filesystem = "volume data has volumeMode Filesystem, but is specified in volumeDevices";
        assert_eq!(said(&with(&volume, devices), &claim(&json!({})), Begun::No), filesystem);
        let own = with(&own, mounts);
        let owned = |uid: &str| {
            json!({"metadata": {"ownerReferences": [
                {"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": uid, "controller": true},
            ]}})
        };
        assert_eq!(said(&own, &claim(&owned("u")), Begun::No), "");
        let stranger = "PVC ns/p-data was not created for pod ns/p (pod is not owner)";
        assert_eq!(said(&own, &claim(&owned("another")), Begun::No), stranger);
    }

    #[test]
    fn a_volume_names_its_claim() {
        let volume = |reference: Value| -> PersistentVolume {
            serde_json::from_value(json!({"metadata": {"name": "v"}, "spec": {"claimRef": reference}})).unwrap()
        };
        let said = |reference| check_volume(&claim(&json!({})), &volume(reference)).err().unwrap_or_default();
        assert_eq!(said(json!({"uid": "claim"})), "");
        let nobody = "found PV object v but it has a nil pv.Spec.ClaimRef indicating it is not yet bound to the claim";
        assert_eq!(said(json!(null)), nobody);
        let other = "found PV object v but its pv.Spec.ClaimRef.UID other does not point to claim.UID claim";
        assert_eq!(said(json!({"uid": "other"})), other);
    }
}
