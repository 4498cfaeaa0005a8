//! The part of Services, EndpointSlices and Namespaces that is in DNS.

use std::net::IpAddr;

use api_types::meta::ObjectMeta;
pub use component::informer::endpoint_slice::{EndpointPort, EndpointSlice};
use serde::Deserialize;

/// A Namespace: only that it exists.
#[derive(Clone, Debug, Deserialize)]
pub struct Namespace {
    /// Identity.
    pub metadata: ObjectMeta,
}
component::slim_resource!(Namespace => api_types::core::Namespace);

/// A Service.
#[derive(Clone, Debug, Deserialize)]
pub struct Service {
    /// Identity.
    pub metadata: ObjectMeta,
    /// What is wanted.
    #[serde(default)]
    pub spec: ServiceSpec,
}
component::slim_resource!(Service => api_types::core::Service);

/// See `ServiceSpec` of the API.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ServiceSpec {
    /// `ClusterIP`, `NodePort`, `LoadBalancer` or `ExternalName`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The first virtual address, `None` for a headless service.
    #[serde(rename = "clusterIP")]
    pub cluster_ip: String,
    /// The virtual addresses, one a family.
    #[serde(rename = "clusterIPs")]
    pub cluster_ips: Vec<String>,
    /// What an `ExternalName` service stands for.
    pub external_name: String,
    /// Ports.
    pub ports: Vec<ServicePort>,
    /// Whether endpoints have names before they are ready.
    pub publish_not_ready_addresses: bool,
}

/// One port of a Service.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct ServicePort {
    /// May be empty when it is the only one.
    pub name: String,
    /// `TCP` when empty.
    pub protocol: String,
    /// On the virtual address.
    pub port: u16,
}

impl Service {
    /// The virtual addresses; none when it is headless.
    pub fn cluster_ips(&self) -> impl Iterator<Item = IpAddr> {
        let fallback = Some(&self.spec.cluster_ip).filter(|_| self.spec.cluster_ips.is_empty());
        self.spec.cluster_ips.iter().chain(fallback).filter_map(|text| text.parse().ok())
    }

    /// Whether it stands for a name elsewhere.
    #[must_use]
    pub fn is_external_name(&self) -> bool {
        self.spec.kind == "ExternalName"
    }

    /// Whether clients are given the endpoints themselves.
    #[must_use]
    pub fn is_headless(&self) -> bool {
        self.spec.cluster_ip == "None"
    }
}
