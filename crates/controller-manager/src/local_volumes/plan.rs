//! Which volume a claim gets, and when a volume goes. Pure.

use std::collections::BTreeMap;

use api_types::{
    core::{
        LocalVolumeSource, NodeSelector, NodeSelectorRequirement, NodeSelectorTerm, PersistentVolume,
        PersistentVolumeClaim, PersistentVolumeSpec, VolumeNodeAffinity,
    },
    meta::ObjectMeta,
};
use component::volumes::{
    Class, PROVISIONED_BY, PROVISIONER, SELECTED_NODE, STORAGE, Volume, access_modes, annotation, claim_reference,
    local, matching::requested, volume_mode, volume_name,
};

use crate::slim::Node;

/// The label by which a node is told from others.
pub(super) const HOSTNAME: &str = "kubernetes.io/hostname";
/// Keeps a volume until what it stands for has been taken away; upstream's, of provisioners outside.
pub(super) const FINALIZER: &str = "external-provisioner.volume.kubernetes.io/finalizer";
/// The ways in which a directory of one node can be used.
const MODES: [&str; 2] = ["ReadWriteOnce", "ReadWriteOncePod"];

/// Why a claim gets no volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// It asks for what there is not.
    Never(String),
    /// Not on this node.
    NotThere(String),
}

impl Refusal {
    pub(super) fn why(&self) -> &str {
        match self {
            Self::Never(why) | Self::NotThere(why) => why,
        }
    }
}

/// Whether a claim asks for a volume, and here.
pub(super) fn is_asked(claim: &PersistentVolumeClaim) -> bool {
    volume_name(claim).is_empty()
        && claim.metadata.deletion_timestamp.is_none()
        && annotation(&claim.metadata, PROVISIONER) == Some(local::PROVISIONER)
}

/// The volume for a claim.
pub(super) fn volume_for(
    claim: &PersistentVolumeClaim,
    class: &Class,
    node: Option<&Node>,
) -> Result<PersistentVolume, Refusal> {
    refuse_what_there_is_not(claim, class)?;
    let name = annotation(&claim.metadata, SELECTED_NODE).unwrap_or_default();
    let Some(node) = node else { return Err(Refusal::NotThere(format!("node {name:?} not found"))) };
    let directory = annotation(&node.metadata, local::DIRECTORY).filter(|path| is_plain(path));
    let (Some(directory), Some(hostname)) = (directory, node.label(HOSTNAME)) else {
        return Err(Refusal::NotThere(format!("node {name:?} has no directory for local volumes")));
    };
    let volume = local::name_of(claim.metadata.uid.as_deref().unwrap_or_default());
    let local = LocalVolumeSource { path: format!("{}/{volume}", directory.trim_end_matches('/')), fs_type: None };
    let spec = PersistentVolumeSpec {
        access_modes: Some(access_modes(claim).to_vec()),
        capacity: Some(BTreeMap::from([(STORAGE.to_owned(), requested(claim).to_wire())])),
        claim_ref: Some(claim_reference(claim)),
        local: Some(local),
        mount_options: Some(class.mount_options.clone()).filter(|options| !options.is_empty()),
        node_affinity: Some(only_on(hostname)),
        persistent_volume_reclaim_policy: Some(class.reclaim_policy.clone().unwrap_or_else(|| "Delete".to_owned())),
        storage_class_name: Some(class.name().to_owned()),
        volume_mode: Some(volume_mode(claim).to_owned()),
        ..PersistentVolumeSpec::default()
    };
    let metadata = ObjectMeta {
        name: Some(volume),
        annotations: Some(BTreeMap::from([(PROVISIONED_BY.to_owned(), local::PROVISIONER.to_owned())])),
        finalizers: Some(vec![FINALIZER.to_owned()]),
        ..ObjectMeta::default()
    };
    Ok(PersistentVolume { metadata, spec: Some(spec), status: None })
}

fn refuse_what_there_is_not(claim: &PersistentVolumeClaim, class: &Class) -> Result<(), Refusal> {
    let refuse = |why: &str| Err(Refusal::Never(why.to_owned()));
    let spec = claim.spec.clone().unwrap_or_default();
    if annotation(&claim.metadata, SELECTED_NODE).is_none() {
        return refuse("no node was chosen: the class has to have volumeBindingMode WaitForFirstConsumer");
    }
    if class.provisioner != local::PROVISIONER {
        return refuse("the class has another provisioner by now");
    }
    if !access_modes(claim).iter().all(|mode| MODES.contains(&mode.as_str())) {
        return refuse("only access modes ReadWriteOnce and ReadWriteOncePod are supported");
    }
    if volume_mode(claim) == "Block" {
        return refuse("block volumes are not supported");
    }
    if spec.selector.is_some() {
        return refuse("claim.spec.selector is not supported");
    }
    if spec.data_source.is_some() || spec.data_source_ref.is_some() {
        return refuse("claim.spec.dataSource is not supported");
    }
    if spec.volume_attributes_class_name.is_some_and(|name| !name.is_empty()) {
        return refuse("claim.spec.volumeAttributesClassName is not supported");
    }
    Ok(())
}

/// A node says where its volumes are, and others are told: it is a path that leads there and nowhere else.
fn is_plain(path: &str) -> bool {
    path.len() > 1
        && path.len() < 1024
        && path.starts_with('/')
        && path.split('/').all(|name| name != ".." && name != ".")
        && !path.chars().any(char::is_control)
}

fn only_on(hostname: &str) -> VolumeNodeAffinity {
    let requirement = NodeSelectorRequirement {
        key: HOSTNAME.to_owned(),
        operator: "In".to_owned(),
        values: Some(vec![hostname.to_owned()]),
    };
    let term = NodeSelectorTerm { match_expressions: Some(vec![requirement]), match_fields: None };
    VolumeNodeAffinity { required: Some(NodeSelector { node_selector_terms: vec![term] }) }
}

/// What the node of a volume that was made here calls itself.
pub(super) fn node_of(volume: &Volume) -> Option<&str> {
    if annotation(&volume.metadata, PROVISIONED_BY) != Some(local::PROVISIONER) {
        return None;
    }
    let selector = volume.spec.node_affinity.as_ref()?.required_during_scheduling_ignored_during_execution.as_ref()?;
    let requirements = selector.node_selector_terms.iter().flat_map(|term| term.match_expressions.iter().flatten());
    let mut values = requirements.filter(|own| own.key == HOSTNAME).flat_map(|own| own.values.iter().flatten());
    values.next().map(String::as_str)
}

/// How a volume goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Farewell {
    /// Nobody is to get it any more.
    Delete,
    /// What keeps it is taken away.
    Forget {
        /// After its directory.
        with_directory: bool,
    },
}

/// What there is to do for a volume to go; `None` while it stays.
pub(super) fn farewell(volume: &Volume) -> Option<Farewell> {
    let is_ours = annotation(&volume.metadata, PROVISIONED_BY) == Some(local::PROVISIONER);
    if !is_ours || !local::is_name(volume.name()) {
        return None;
    }
    let deletes = volume.spec.persistent_volume_reclaim_policy == "Delete";
    let was_had = matches!(volume.status.phase.as_str(), "Released" | "Failed") && volume.spec.claim_ref.is_some();
    if volume.metadata.deletion_timestamp.is_none() {
        return (was_had && deletes).then_some(Farewell::Delete);
    }
    let is_kept = volume.metadata.finalizers.iter().flatten().any(|own| own == FINALIZER);
    let is_had = volume.spec.claim_ref.is_some() && !was_had;
    (is_kept && !is_had).then_some(Farewell::Forget { with_directory: deletes })
}

/// The finalizers that stay when ours goes.
pub(super) fn other_finalizers(volume: &Volume) -> Vec<&str> {
    let all = volume.metadata.finalizers.iter().flatten().map(String::as_str);
    all.filter(|own| *own != FINALIZER).collect()
}

/// Where the directory of a volume is asked away, by way of the API server.
pub(super) fn removal(volume: &Volume, node: &str) -> String {
    let path = volume.spec.local.as_ref().map(|local| local.path.as_str()).unwrap_or_default();
    let query = url_encoded(path);
    format!("/api/v1/nodes/{node}/proxy{}/{}?path={query}", local::ROUTE, volume.name())
}

fn url_encoded(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => encoded.push(byte.into()),
            other => {
                encoded.push('%');
                encoded.push_str(&format!("{other:02X}"));
            }
        }
    }
    encoded
}
