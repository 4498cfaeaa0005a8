//! Where a service's port is: one of its ready endpoints, or else the address of the service itself.

use std::net::{IpAddr, SocketAddr};

use api_types::{
    Object, StatusError,
    core::{Service, ServicePort},
    discovery::{Endpoint, EndpointSlice},
};
use rand::Rng;

use crate::registry::{Registry, Rest, Target, admission::Handle};

const OF_SERVICE: &str = "kubernetes.io/service-name";

/// Where to connect to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Address {
    /// An address of this network.
    At(SocketAddr),
    /// A name that has to be looked up, and a port.
    Named(String, u16),
}

/// Where a service is when nothing behind it is known to be ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Otherwise {
    /// At its own address: whoever forwards that may know better.
    OwnAddress,
    /// Nowhere.
    Nowhere,
}

/// Finds an address of a port of a service.
///
/// # Errors
/// When there is none, in upstream's words.
pub(super) async fn find(
    registry: &Handle,
    namespace: &str,
    name: &str,
    port: u16,
    otherwise: Otherwise,
) -> Result<Address, StatusError> {
    let registry = registry.registry()?;
    let services = registry.core("services")?;
    let object = registry.get_object(&services, Target { namespace, name }).await?;
    let service: &Service = object.expect_ref("Service")?;
    let spec = service.spec.clone().unwrap_or_default();
    if spec.type_.as_deref() == Some("ExternalName") {
        return Ok(Address::Named(spec.external_name.unwrap_or_default(), port));
    }
    let wanted = spec.ports.iter().flatten().find(|own| own.port == i32::from(port));
    let Some(wanted) = wanted else {
        return Err(StatusError::service_unavailable(format!("no service port {port} found for service {name:?}")));
    };
    let ready = endpoints(&registry, namespace, name, wanted).await?;
    if !ready.is_empty() {
        return Ok(Address::At(ready[rand::rng().random_range(..ready.len())]));
    }
    match spec.cluster_ip.as_deref().unwrap_or_default().parse::<IpAddr>() {
        Ok(own) if otherwise == Otherwise::OwnAddress => Ok(Address::At(SocketAddr::new(own, port))),
        _ => Err(StatusError::service_unavailable(format!("no endpoints available for service {name:?}"))),
    }
}

async fn endpoints(
    registry: &Registry,
    namespace: &str,
    name: &str,
    port: &ServicePort,
) -> Result<Vec<SocketAddr>, StatusError> {
    let slices = slices(registry, namespace, name).await?;
    Ok(slices.iter().flat_map(|slice| addresses(slice, port)).collect())
}

/// What is known of what is behind a service.
///
/// # Errors
/// The store's.
pub async fn slices(registry: &Registry, namespace: &str, name: &str) -> Result<Vec<EndpointSlice>, StatusError> {
    let Some(slices) = registry.find("discovery.k8s.io", "v1", "endpointslices") else { return Ok(Vec::new()) };
    let entries = registry.list_cached(&slices, namespace).await?;
    let mut found = Vec::new();
    for entry in entries.iter().filter(|entry| entry.labels().any(|(key, value)| key == OF_SERVICE && value == name)) {
        if let Some(slice) = decoded(&slices, entry.item()).await {
            found.push(slice.expect_ref::<EndpointSlice>("EndpointSlice")?.clone());
        }
    }
    Ok(found)
}

async fn decoded(slices: &Rest, item: &crate::storage::Item) -> Option<Box<dyn Object>> {
    slices.shown(item, slices.decode(item).await)
}

/// Where the port of this name is, on everything that is ready.
#[must_use]
pub fn addresses(slice: &EndpointSlice, port: &ServicePort) -> Vec<SocketAddr> {
    let name = port.name.as_deref().unwrap_or_default();
    let same = slice.ports.iter().flatten().find(|own| own.name.as_deref().unwrap_or_default() == name);
    let Some(number) = same.and_then(|own| own.port).and_then(|port| u16::try_from(port).ok()) else {
        return Vec::new();
    };
    let of = |endpoint: &Endpoint| endpoint.addresses.first().and_then(|address| address.parse::<IpAddr>().ok());
    let ready = slice.endpoints.iter().flatten().filter(|endpoint| is_ready(endpoint));
    ready.filter_map(of).map(|address| SocketAddr::new(address, number)).collect()
}

/// Who does not say is ready.
fn is_ready(endpoint: &Endpoint) -> bool {
    endpoint.conditions.as_ref().and_then(|conditions| conditions.ready).unwrap_or(true)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn ready_endpoints_have_the_port() {
        let slice: EndpointSlice = serde_json::from_value(json!({
            "metadata": {"name": "a"}, "addressType": "IPv4",
            "ports": [{"name": "web", "port": 8443}, {"name": "all"}],
            "endpoints": [
                {"addresses": ["10.0.0.1", "10.0.0.9"]},
                {"addresses": ["10.0.0.2"], "conditions": {"ready": false}},
                {"addresses": ["10.0.0.3"], "conditions": {"ready": true}},
                {"addresses": ["nonsense"]},
            ],
        }))
        .unwrap();
        let found = |name: &str| {
            let port: ServicePort = serde_json::from_value(json!({"name": name, "port": 443})).unwrap();
            addresses(&slice, &port).iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(found("web"), "10.0.0.1:8443 10.0.0.3:8443");
        assert_eq!(found("all"), "");
        assert_eq!(found("other"), "");
    }
}
