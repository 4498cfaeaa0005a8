//! Reading and writing JSON in one compiled place.
//!
//! Serde's code for a kind such as `Pod` is thousands of functions, and generic code is compiled anew in every crate that
//! calls it. The methods of [`FromJson`] and [`ToJson`] are not generic: for the types listed here they are compiled once, in this crate, and
//! a daemon that goes by them compiles no serialiser. Slim models of a few fields implement [`FromJson`] where they are.

use serde::{Serialize, de::DeserializeOwned};
pub use serde_json::Error;
use serde_json::Value;

use crate::{apps, batch, coordination, core, devices, discovery, encode, meta, policy, rbac};

/// A type that can be read from JSON.
pub trait FromJson: Sized {
    /// Reads a value; unknown fields are skipped.
    ///
    /// # Errors
    /// When the JSON is malformed or a field has another type.
    fn from_json(json: &[u8]) -> Result<Self, Error>;

    /// Reads a value from a JSON tree. By way of bytes: a deserialiser of trees would be compiled as well.
    ///
    /// # Errors
    /// When a field has another type.
    fn from_tree(tree: &Value) -> Result<Self, Error> {
        Self::from_json(tree.to_string().as_bytes())
    }
}

/// A type that can be written as JSON.
pub trait ToJson {
    /// The value in JSON.
    fn to_json(&self) -> Vec<u8>;

    /// The value as a JSON tree. By way of bytes, as [`FromJson::from_tree`].
    fn to_tree(&self) -> Value {
        serde_json::from_slice(&self.to_json()).unwrap_or_default()
    }
}

/// Implements [`FromJson`] for a small model with serde, compiled where this stands.
#[macro_export]
macro_rules! read_by_serde {
    ($type:ty) => {
        impl $crate::codec::FromJson for $type {
            fn from_json(json: &[u8]) -> ::std::result::Result<Self, $crate::codec::Error> {
                $crate::codec::by_serde(json)
            }
        }
    };
}

/// Reads a value with serde, compiled where this is called.
///
/// # Errors
/// As [`FromJson::from_json`].
pub fn by_serde<T: DeserializeOwned>(json: &[u8]) -> Result<T, Error> {
    // Everybody reads text, so that no deserialiser is compiled for bytes as well.
    serde_json::from_str(text(json)?)
}

/// Writes a value as its type's serialiser does, by the way that [`crate::object`] goes, too.
fn plain<T: Serialize>(value: &T) -> Vec<u8> {
    let mut json = Vec::new();
    match encode::write(value, None, &mut json) {
        Ok(()) => json,
        Err(_) => Vec::new(),
    }
}

/// Checked once as a whole, which is much faster than string by string.
pub(crate) fn text(json: &[u8]) -> Result<&str, Error> {
    std::str::from_utf8(json).map_err(serde::de::Error::custom)
}

/// Implements both with serde, compiled here.
macro_rules! compile {
    ($($type:ty),+ $(,)?) => {$(
        impl FromJson for $type {
            fn from_json(json: &[u8]) -> Result<Self, Error> {
                by_serde(json)
            }
        }

        impl ToJson for $type {
            fn to_json(&self) -> Vec<u8> {
                plain(self)
            }
        }
    )+};
}

compile! {
    apps::ControllerRevision,
    apps::DaemonSet,
    apps::DaemonSetStatus,
    apps::Deployment,
    apps::DeploymentStatus,
    apps::ReplicaSet,
    apps::ReplicaSetStatus,
    apps::StatefulSet,
    apps::StatefulSetStatus,
    batch::CronJob,
    batch::CronJobStatus,
    batch::Job,
    batch::JobStatus,
    coordination::Lease,
    core::Binding,
    core::ConfigMap,
    core::Endpoints,
    core::Event,
    core::Namespace,
    core::Node,
    core::NodeStatus,
    core::PersistentVolume,
    core::PersistentVolumeClaim,
    core::Pod,
    core::PodStatus,
    core::PodTemplateSpec,
    core::ReplicationController,
    core::ReplicationControllerStatus,
    core::ResourceQuota,
    core::Secret,
    core::Service,
    core::ServiceAccount,
    devices::DeviceClass,
    devices::ResourceClaim,
    devices::ResourceClaimTemplate,
    devices::ResourceSlice,
    discovery::EndpointSlice,
    meta::LabelSelector,
    meta::ObjectMeta,
    meta::Status,
    policy::PodDisruptionBudget,
    policy::PodDisruptionBudgetStatus,
    rbac::ClusterRole,
}
