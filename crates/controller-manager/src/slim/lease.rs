//! Leases, for node heartbeats.

use api_types::meta::{MicroTime, ObjectMeta};
use serde::Deserialize;

/// A lease.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Lease {
    /// Metadata.
    pub metadata: ObjectMeta,
    /// Spec.
    pub spec: LeaseSpec,
}

/// `spec` of a lease.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LeaseSpec {
    /// The holder's last renewal, by the holder's clock.
    pub renew_time: Option<MicroTime>,
}

component::slim_resource!(Lease => api_types::coordination::Lease);
