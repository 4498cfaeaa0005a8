//! What the kubelet asks of an API pod.

pub mod annotations;
pub mod ephemeral;
pub mod grace;
pub mod qos;
pub mod restart;
pub mod sound;

use std::borrow::Cow;

use api_types::core::{Container, Pod, PodSpec};
use api_types::meta::Time;
use component::informer::ObjectKey;
use sha2::{Digest, Sha256};

use crate::runtime::{PodIdentity, PodUid};
pub use restart::RestartPolicy;

/// What part a container plays in its pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    /// Runs to its end before the next container starts.
    Init,
    /// An init container with `restartPolicy: Always`: started in turn, then runs as long as the pod.
    Sidecar,
    /// One of `spec.containers`.
    App,
    /// One of `spec.ephemeralContainers`: started once beside the others, whatever they do.
    Ephemeral,
}

impl Role {
    /// The list in the spec that containers of this role stand in, as event field paths name it.
    #[must_use]
    pub const fn list(self) -> &'static str {
        match self {
            Self::Init | Self::Sidecar => "initContainers",
            Self::App => "containers",
            Self::Ephemeral => "ephemeralContainers",
        }
    }
}

/// Questions to a pod.
pub trait PodExt {
    /// `metadata.uid`.
    fn uid(&self) -> PodUid;
    /// Who it is to the runtime.
    fn identity(&self) -> PodIdentity;
    /// Namespace and name.
    fn key(&self) -> ObjectKey;
    /// `name_namespace(uid)`, as upstream's messages name a pod.
    fn described(&self) -> String;
    /// The spec; a pod without one has no containers.
    fn pod_spec(&self) -> &PodSpec;
    /// Every container that the pod is made of, with its role, in the order in which they start.
    fn all_containers(&self) -> Vec<(Role, &Container)>;
    /// The same, and the ephemeral containers after them.
    fn every_container(&self) -> Vec<(Role, Cow<'_, Container>)>;
    /// One container, of any role.
    fn container(&self, name: &str) -> Option<(Role, Cow<'_, Container>)>;
    /// Whether it lives in the node's network.
    fn host_network(&self) -> bool;
    /// `metadata.annotations[key]`.
    fn annotation(&self, key: &str) -> Option<&str>;
    /// Whether it came from a manifest.
    fn is_static(&self) -> bool;
    /// Whether it is the API's picture of a static pod.
    fn is_mirror(&self) -> bool;
    /// `status.phase`, empty when unset.
    fn phase(&self) -> &str;
    /// When it was asked to go.
    fn deletion_timestamp(&self) -> Option<&Time>;
}

/// What a pod without a spec is read as.
static NO_SPEC: std::sync::LazyLock<PodSpec> = std::sync::LazyLock::new(PodSpec::default);

impl PodExt for Pod {
    fn uid(&self) -> PodUid {
        self.metadata.uid.clone().unwrap_or_default().into()
    }

    fn identity(&self) -> PodIdentity {
        let ObjectKey { namespace, name } = self.key();
        PodIdentity { uid: self.uid(), namespace, name }
    }

    fn key(&self) -> ObjectKey {
        ObjectKey::of(self)
    }

    fn described(&self) -> String {
        let ObjectKey { namespace, name } = self.key();
        format!("{name}_{namespace}({})", self.uid())
    }

    fn pod_spec(&self) -> &PodSpec {
        self.spec.as_ref().unwrap_or(&NO_SPEC)
    }

    fn all_containers(&self) -> Vec<(Role, &Container)> {
        let spec = self.pod_spec();
        let init = spec.init_containers.iter().flatten().map(|container| (init_role(container), container));
        init.chain(spec.containers.iter().map(|container| (Role::App, container))).collect()
    }

    fn every_container(&self) -> Vec<(Role, Cow<'_, Container>)> {
        let own = self.all_containers().into_iter().map(|(role, container)| (role, Cow::Borrowed(container)));
        let ephemeral = self.pod_spec().ephemeral_containers.iter().flatten();
        own.chain(ephemeral.map(|own| (Role::Ephemeral, Cow::Owned(ephemeral::as_container(own))))).collect()
    }

    fn container(&self, name: &str) -> Option<(Role, Cow<'_, Container>)> {
        let mut own = self.all_containers().into_iter();
        if let Some((role, container)) = own.find(|(_, container)| container.name == name) {
            return Some((role, Cow::Borrowed(container)));
        }
        let ephemeral = self.pod_spec().ephemeral_containers.iter().flatten().find(|own| own.name == name)?;
        Some((Role::Ephemeral, Cow::Owned(ephemeral::as_container(ephemeral))))
    }

    fn host_network(&self) -> bool {
        self.pod_spec().host_network == Some(true)
    }

    fn annotation(&self, key: &str) -> Option<&str> {
        self.metadata.annotations.as_ref()?.get(key).map(String::as_str)
    }

    fn is_static(&self) -> bool {
        self.annotation(annotations::CONFIG_SOURCE).is_some_and(|source| source != annotations::SOURCE_API)
    }

    fn is_mirror(&self) -> bool {
        self.annotation(annotations::CONFIG_MIRROR).is_some()
    }

    fn phase(&self) -> &str {
        self.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or_default()
    }

    fn deletion_timestamp(&self) -> Option<&Time> {
        self.metadata.deletion_timestamp.as_ref()
    }
}

fn init_role(container: &Container) -> Role {
    if container.restart_policy.as_deref() == Some("Always") { Role::Sidecar } else { Role::Init }
}

/// Identifies what of a container's spec needs a new container when it changes: name and image, as upstream.
#[must_use]
pub fn container_hash(container: &Container) -> String {
    let digest = Sha256::digest(format!("{}\n{}", container.name, container.image.as_deref().unwrap_or_default()));
    hex(&digest[..4])
}

/// Lower-case hexadecimal.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
