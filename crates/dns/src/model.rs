//! The part of Services, EndpointSlices and Namespaces that is in DNS.

use std::net::IpAddr;

use api_types::meta::ObjectMeta;
use serde::Deserialize;

/// Names the Service that a slice belongs to.
const LABEL_SERVICE_NAME: &str = "kubernetes.io/service-name";

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

/// An EndpointSlice.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EndpointSlice {
    /// Identity, and the label that names the Service.
    pub metadata: ObjectMeta,
    /// Endpoints; a Go server writes an empty list as `null`.
    #[serde(default)]
    pub endpoints: Option<Vec<Endpoint>>,
    /// Ports of every endpoint; a Go server writes an empty list as `null`.
    #[serde(default)]
    pub ports: Option<Vec<EndpointPort>>,
}
component::slim_resource!(EndpointSlice => api_types::discovery::EndpointSlice);

impl EndpointSlice {
    /// The Service that it belongs to.
    #[must_use]
    pub fn service(&self) -> Option<&str> {
        self.metadata.labels.as_ref()?.get(LABEL_SERVICE_NAME).map(String::as_str).filter(|name| !name.is_empty())
    }

    /// Every address of every endpoint.
    pub fn addresses(&self) -> impl Iterator<Item = (IpAddr, &Endpoint)> {
        let endpoints = self.endpoints.iter().flatten();
        endpoints.flat_map(|e| e.addresses.iter().filter_map(move |text| Some((text.parse().ok()?, e))))
    }
}

/// One endpoint of a slice.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Endpoint {
    /// Its addresses.
    pub addresses: Vec<String>,
    /// What state it is in.
    pub conditions: Conditions,
    /// The pod's `spec.hostname`, when its `subdomain` is the service.
    pub hostname: Option<String>,
}

impl Endpoint {
    /// Whether it is ready, or that is not known.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.conditions.ready.unwrap_or(true)
    }

    /// Its name below its service: the host name, or the address with dashes.
    #[must_use]
    pub fn label(&self, ip: IpAddr) -> String {
        match self.hostname.as_deref() {
            Some(hostname) if !hostname.is_empty() => hostname.to_owned(),
            _ => ip.to_string().replace(['.', ':'], "-"),
        }
    }
}

/// See `EndpointConditions` of the API.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Conditions {
    /// Takes new connections.
    pub ready: Option<bool>,
}

/// One port of a slice.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct EndpointPort {
    /// The Service port's name.
    pub name: Option<String>,
    /// `TCP` when missing.
    pub protocol: Option<String>,
    /// Missing means all ports.
    pub port: Option<u16>,
}
