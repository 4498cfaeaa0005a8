//! The fields of volumes and classes that are read.

use std::collections::BTreeMap;

use api_types::{
    core::{HostPathVolumeSource, LocalVolumeSource, NFSVolumeSource, NodeAffinity, NodeSelector, ObjectReference},
    meta::ObjectMeta,
    pod::node_affinity::{NodeView, Required},
    quantity::{Quantity, Wire},
};
use serde::{Deserialize, Deserializer};

use super::{BETA_CLASS, DEFAULT_CLASS, FILESYSTEM, STORAGE, annotation};
use crate::slim_resource;

/// A persistent volume.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Volume {
    /// Metadata.
    pub metadata: ObjectMeta,
    /// What it is.
    pub spec: VolumeSpec,
    /// What became of it.
    pub status: VolumeStatus,
}
slim_resource!(Volume => api_types::core::PersistentVolume);

/// What a volume is.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct VolumeSpec {
    /// How much it holds.
    pub capacity: BTreeMap<String, Wire>,
    /// How it may be used.
    pub access_modes: Vec<String>,
    /// Whose it is.
    pub claim_ref: Option<Box<ObjectReference>>,
    /// What becomes of it after that: `Retain`, `Delete`, `Recycle`.
    pub persistent_volume_reclaim_policy: String,
    /// Its class.
    pub storage_class_name: Option<String>,
    /// `Filesystem` or `Block`.
    pub volume_mode: Option<String>,
    /// The class of its attributes.
    pub volume_attributes_class_name: Option<String>,
    /// How it is mounted.
    pub mount_options: Vec<String>,
    /// The nodes that have it.
    #[serde(deserialize_with = "required_nodes")]
    pub node_affinity: Option<Box<NodeAffinity>>,
    /// A directory or device of a node.
    pub local: Option<Box<LocalVolumeSource>>,
    /// A path of whatever node.
    pub host_path: Option<Box<HostPathVolumeSource>>,
    /// A directory of a file server.
    pub nfs: Option<Box<NFSVolumeSource>>,
    /// A volume of a CSI driver.
    pub csi: Option<Box<Csi>>,
}

/// A volume of a CSI driver.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Csi {
    /// The driver.
    pub driver: String,
    /// What the driver calls the volume.
    pub volume_handle: String,
}

/// What became of a volume.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct VolumeStatus {
    /// `Pending`, `Available`, `Bound`, `Released`, `Failed`.
    pub phase: String,
}

/// Volumes have required nodes only.
fn required_nodes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Box<NodeAffinity>>, D::Error> {
    #[derive(Deserialize)]
    struct Affinity {
        required: Option<NodeSelector>,
    }
    let affinity = Option::<Affinity>::deserialize(deserializer)?;
    let required = affinity.and_then(|affinity| affinity.required);
    Ok(required.map(|required| {
        let required = Some(required);
        Box::new(NodeAffinity {
            required_during_scheduling_ignored_during_execution: required,
            ..NodeAffinity::default()
        })
    }))
}

impl Volume {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.metadata.name.as_deref().unwrap_or_default()
    }

    /// Its class; empty when it has none.
    #[must_use]
    pub fn class(&self) -> &str {
        let field = || self.spec.storage_class_name.as_deref();
        annotation(&self.metadata, BETA_CLASS).or_else(field).unwrap_or_default()
    }

    /// `Filesystem` or `Block`.
    #[must_use]
    pub fn mode(&self) -> &str {
        self.spec.volume_mode.as_deref().unwrap_or(FILESYSTEM)
    }

    /// How much it holds; nothing when it does not say.
    #[must_use]
    pub fn size(&self) -> Quantity {
        let size = self.spec.capacity.get(STORAGE).and_then(|wire| Quantity::try_from(wire).ok());
        size.unwrap_or(Quantity::ZERO)
    }

    /// Whether a node has it.
    #[must_use]
    pub fn is_on(&self, node: NodeView<'_>) -> bool {
        Required::of(None, self.spec.node_affinity.as_deref()).matches(node)
    }
}

/// A storage class.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Class {
    /// Metadata.
    pub metadata: ObjectMeta,
    /// Who makes volumes of this class.
    pub provisioner: String,
    /// What becomes of volumes without a claim.
    pub reclaim_policy: Option<String>,
    /// `Immediate` or `WaitForFirstConsumer`.
    pub volume_binding_mode: Option<String>,
    /// Whether claims of this class may grow.
    pub allow_volume_expansion: bool,
    /// How its volumes are mounted.
    pub mount_options: Vec<String>,
    /// Where its volumes may be.
    pub allowed_topologies: Vec<Topology>,
}
slim_resource!(Class => api_types::storage::StorageClass);

/// Nodes with labels, all of them.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
pub struct Topology {
    /// The labels.
    pub match_label_expressions: Vec<TopologyTerm>,
}

/// A label and its values.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(default)]
pub struct TopologyTerm {
    /// The label.
    pub key: String,
    /// One of these.
    pub values: Vec<String>,
}

impl Class {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.metadata.name.as_deref().unwrap_or_default()
    }

    /// Whether claims without a class get it.
    #[must_use]
    pub fn is_default(&self) -> bool {
        DEFAULT_CLASS.iter().any(|key| annotation(&self.metadata, key) == Some("true"))
    }

    /// Whether the scheduler chooses the volumes, when it chooses a pod's node.
    #[must_use]
    pub fn waits(&self) -> bool {
        self.volume_binding_mode.as_deref() == Some("WaitForFirstConsumer")
    }

    /// Whether its volumes may be on a node with these labels.
    #[must_use]
    pub fn is_on(&self, labels: &BTreeMap<String, String>) -> bool {
        let holds = |term: &TopologyTerm| labels.get(&term.key).is_some_and(|value| term.values.contains(value));
        self.allowed_topologies.is_empty()
            || self.allowed_topologies.iter().any(|topology| {
                !topology.match_label_expressions.is_empty() && topology.match_label_expressions.iter().all(holds)
            })
    }
}
