//! Ranges of cluster IPs, and the addresses that are taken of them.

use std::net::IpAddr;

use api_types::meta::ObjectMeta;
use ipnet::IpNet;
use serde::Deserialize;

/// Tells who made an address' object.
const MANAGER_LABEL: &str = "ipaddress.kubernetes.io/managed-by";
/// The API server, which takes addresses for services.
const ALLOCATOR: &str = "ipallocator.k8s.io";

/// A range.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct ServiceCidr {
    /// Metadata.
    pub metadata: ObjectMeta,
    /// Spec.
    pub spec: ServiceCidrSpec,
    /// Status.
    pub status: ServiceCidrStatus,
}

/// `spec` of a range.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct ServiceCidrSpec {
    /// One a family.
    pub cidrs: Vec<String>,
}

/// `status` of a range.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct ServiceCidrStatus {
    /// Whether it is ready, among others.
    pub conditions: Vec<Condition>,
}

/// A condition without what nobody reads.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Condition {
    /// What it is about.
    #[serde(rename = "type")]
    pub kind: String,
    /// `True`, `False` or `Unknown`.
    pub status: String,
}

impl ServiceCidr {
    /// The networks.
    pub fn networks(&self) -> impl Iterator<Item = IpNet> {
        self.spec.cidrs.iter().filter_map(|cidr| cidr.parse().ok())
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.metadata.name.as_deref().unwrap_or_default()
    }

    /// The status of a condition.
    #[must_use]
    pub fn condition(&self, kind: &str) -> Option<&str> {
        self.status.conditions.iter().find(|condition| condition.kind == kind).map(|condition| &*condition.status)
    }
}

/// An address.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct ServiceAddress {
    /// Metadata; the name is the address.
    pub metadata: ObjectMeta,
}

impl ServiceAddress {
    /// The address, if the API server has taken it for a service.
    #[must_use]
    pub fn of_service(&self) -> Option<IpAddr> {
        let manager = self.metadata.labels.as_ref()?.get(MANAGER_LABEL)?;
        if manager == ALLOCATOR { self.metadata.name.as_deref()?.parse().ok() } else { None }
    }
}

component::slim_resource!(ServiceCidr => api_types::networking::ServiceCIDR);
component::slim_resource!(ServiceAddress => api_types::networking::IPAddress);
