//! The part of EndpointSlices that those read who lead packets to endpoints, by address or by name.

use std::net::IpAddr;

use api_types::meta::ObjectMeta;
use serde::Deserialize;

/// Names the Service that a slice belongs to.
const LABEL_SERVICE_NAME: &str = "kubernetes.io/service-name";

/// An EndpointSlice.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EndpointSlice {
    /// Identity, and the label that names the Service.
    pub metadata: ObjectMeta,
    /// `IPv4`, `IPv6` or `FQDN`.
    #[serde(default)]
    pub address_type: String,
    /// Endpoints; a Go server writes an empty list as `null`.
    #[serde(default)]
    pub endpoints: Option<Vec<Endpoint>>,
    /// Ports of every endpoint; a Go server writes an empty list as `null`.
    #[serde(default)]
    pub ports: Option<Vec<EndpointPort>>,
}
crate::slim_resource!(EndpointSlice => api_types::discovery::EndpointSlice);

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
#[serde(rename_all = "camelCase", default)]
pub struct Endpoint {
    /// Addresses that mean the same endpoint.
    pub addresses: Vec<String>,
    /// What state it is in.
    pub conditions: Conditions,
    /// The node that it is on.
    pub node_name: Option<Box<str>>,
    /// The pod's `spec.hostname`, when its `subdomain` is the service.
    pub hostname: Option<Box<str>>,
    /// Who is to use it.
    pub hints: Option<Box<Hints>>,
}

/// See `EndpointHints` of the API.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Hints {
    /// Zones.
    pub for_zones: Option<Vec<Hint>>,
    /// Nodes.
    pub for_nodes: Option<Vec<Hint>>,
}

/// One zone or node.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Hint {
    /// Its name.
    pub name: Box<str>,
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

/// See `EndpointConditions` of the API: what is missing is unknown and counts as well.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Conditions {
    /// Takes new connections.
    pub ready: Option<bool>,
    /// Able to answer.
    pub serving: Option<bool>,
    /// About to end.
    pub terminating: Option<bool>,
}

/// One port of a slice.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct EndpointPort {
    /// The Service port's name.
    pub name: Option<String>,
    /// `TCP` when missing.
    pub protocol: Option<String>,
    /// Missing means all ports, which a Service does not use.
    pub port: Option<u16>,
}
