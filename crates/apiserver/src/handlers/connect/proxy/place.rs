//! Where the other end of a proxy is.

use std::net::IpAddr;

use api_types::{
    StatusError,
    core::{EndpointAddress, Endpoints, Pod, Service},
};
use rand::Rng;

use super::super::{
    KubeletClient,
    client::{Address, Backend, Peer, Reach, is_global_unicast},
    plain, related,
};
use crate::{catalogue::Call, registry::Target};

/// `name`, `name:port` or `scheme:name:port`, of which only the name must be something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Named<'a> {
    peer: Peer,
    name: &'a str,
    port: &'a str,
}

impl<'a> Named<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let parts: Vec<&str> = text.splitn(4, ':').collect();
        let (scheme, name, port) = match parts.as_slice() {
            [name] => ("", *name, ""),
            [name, port] => ("", *name, *port),
            [scheme, name, port] => (*scheme, *name, *port),
            _ => return None,
        };
        let peer = match scheme {
            "" | "http" => Peer::Http,
            "https" => Peer::Https,
            _ => return None,
        };
        (!name.is_empty()).then_some(Self { peer, name, port })
    }

    fn of_call(call: &'a Call<'_>, kind: &str) -> Result<Self, StatusError> {
        let name = &call.place.name;
        Self::parse(name).ok_or_else(|| StatusError::bad_request(format!("invalid {kind} request {name:?}")))
    }

    /// A port, where it has to be a number, or one of the names that every machine knows.
    fn number(&self) -> Result<u16, StatusError> {
        match self.port {
            "" | "http" if self.peer == Peer::Http => Ok(80),
            "" | "https" => Ok(443),
            "http" => Ok(80),
            port => port.parse().map_err(|_| {
                let numeric = port.bytes().all(|byte| byte.is_ascii_digit());
                let why = if numeric {
                    format!("address {port}: invalid port")
                } else {
                    format!("lookup tcp/{port}: unknown port")
                };
                unreachable(&format!("dial tcp: {why}"))
            }),
        }
    }

    fn backend(&self, host: String, port: u16) -> Backend {
        Backend { address: Address { host, port }, peer: self.peer, reach: Reach::Outside }
    }
}

/// 503, in upstream's words.
pub(super) fn unreachable(why: &dyn std::fmt::Display) -> StatusError {
    StatusError::service_unavailable(format!("error trying to reach service: {why}"))
}

fn not_allowed() -> StatusError {
    StatusError::bad_request("address not allowed")
}

fn target<'a>(call: &'a Call<'_>, name: &'a str) -> Target<'a> {
    Target { name, ..call.target() }
}

/// The kubelet of a node, to which this server shows who it is; or another port, to which it does not.
pub(super) async fn of_node(client: &KubeletClient, call: &Call<'_>) -> Result<Backend, StatusError> {
    let named = Named::of_call(call, "node")?;
    let object = call.registry().get_object(call.rest, target(call, named.name)).await?;
    let kubelet = client.address(object.expect_ref("Node")?).map_err(plain)?;
    let allowed = kubelet.is_allowed().await.map_err(|error| StatusError::bad_request(error.to_string()))?;
    if !allowed {
        return Err(not_allowed());
    }
    if named.port.is_empty() || named.port == kubelet.port.to_string() {
        return Ok(Backend { address: kubelet, peer: Peer::Kubelet, reach: Reach::Outside });
    }
    Ok(named.backend(kubelet.host, named.number()?))
}

/// A pod's own address.
pub(super) async fn of_pod(call: &Call<'_>) -> Result<Backend, StatusError> {
    let mut named = Named::of_call(call, "pod")?;
    let object = call.registry().get_object(call.rest, target(call, named.name)).await?;
    let pod: &Pod = object.expect_ref("Pod")?;
    let own = port_of_pod(pod, named.port);
    let address = pod_addresses(pod).next().filter(|address| may_be_reached(address)).ok_or_else(not_allowed)?;
    if let Some(port) = &own {
        named.port = port;
    }
    Ok(named.backend(address.to_owned(), named.number()?))
}

/// The number of a pod's port of this name; of its first port, when no name is given.
fn port_of_pod(pod: &Pod, wanted: &str) -> Option<String> {
    let containers = pod.spec.as_ref().map(|spec| spec.containers.as_slice()).unwrap_or_default();
    let mut ports = containers.iter().flat_map(|container| container.ports.iter().flatten());
    let port = ports.find(|port| wanted.is_empty() || port.name.as_deref() == Some(wanted))?;
    Some(port.container_port.to_string())
}

fn pod_addresses(pod: &Pod) -> impl Iterator<Item = &str> {
    let addresses = pod.status.iter().flat_map(|status| status.pod_ips.iter().flatten());
    addresses.map(|address| address.ip.as_str())
}

fn may_be_reached(address: &str) -> bool {
    address.parse::<IpAddr>().is_ok_and(is_global_unicast)
}

/// One of the pods behind a service, at random.
pub(super) async fn of_service(call: &Call<'_>) -> Result<Backend, StatusError> {
    let named = Named::of_call(call, "service")?;
    let port = match named.port.parse::<i64>() {
        Err(_) => named.port.to_owned(),
        Ok(number) => {
            let object = call.registry().get_object(call.rest, target(call, named.name)).await?;
            port_name(object.expect_ref("Service")?, number).ok_or_else(|| {
                let name = named.name;
                StatusError::service_unavailable(format!("no service port {number} found for service {name:?}"))
            })?
        }
    };
    let object = related(call, "endpoints", target(call, named.name)).await?;
    let endpoints: &Endpoints = object.expect_ref("Endpoints")?;
    let mut candidates = candidates(endpoints, &port);
    while !candidates.is_empty() {
        let (address, port) = candidates.swap_remove(rand::rng().random_range(..candidates.len()));
        if is_of_a_pod(call, address).await {
            return Ok(named.backend(address.ip.clone(), port));
        }
    }
    let name = if endpoints.subsets.as_ref().is_none_or(Vec::is_empty) { named.name } else { &call.place.name };
    Err(StatusError::service_unavailable(format!("no endpoints available for service {name:?}")))
}

/// The name of the port of this number.
fn port_name(service: &Service, number: i64) -> Option<String> {
    let mut ports = service.spec.iter().flat_map(|spec| spec.ports.iter().flatten());
    ports.find(|port| i64::from(port.port) == number).map(|port| port.name.clone().unwrap_or_default())
}

/// Addresses that are ready and have a port of this name.
fn candidates<'a>(endpoints: &'a Endpoints, port: &str) -> Vec<(&'a EndpointAddress, u16)> {
    let subsets = endpoints.subsets.iter().flatten();
    let found = subsets.flat_map(|subset| {
        let ports = subset.ports.iter().flatten();
        let number = ports
            .filter(|own| own.name.as_deref().unwrap_or_default() == port)
            .find_map(|own| own.port.try_into().ok());
        let addresses = number.and(subset.addresses.as_ref()).into_iter().flatten();
        addresses.zip(number.into_iter().cycle())
    });
    found.collect()
}

/// Whether an address is what it pretends to be: whoever may write endpoints must not lead others anywhere they like.
async fn is_of_a_pod(call: &Call<'_>, address: &EndpointAddress) -> bool {
    let namespace = call.place.namespace.as_str();
    let reference = address.target_ref.as_ref();
    let reference = reference.filter(|reference| reference.namespace.as_deref() == Some(namespace));
    let Some(pod) = reference.and_then(|reference| reference.name.as_deref()) else { return false };
    let Ok(found) = related(call, "pods", Target { namespace, name: pod }).await else { return false };
    found.downcast_ref::<Pod>().is_some_and(|pod| pod_addresses(pod).any(|own| own == address.ip))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn names_are_taken_apart() {
        let named = |peer, name, port| Some(Named { peer, name, port });
        let cases = [
            ("p", named(Peer::Http, "p", "")),
            ("p:80", named(Peer::Http, "p", "80")),
            ("http:p:web", named(Peer::Http, "p", "web")),
            ("https:p:", named(Peer::Https, "p", "")),
            (":p:80", named(Peer::Http, "p", "80")),
            ("ftp:p:80", None),
            (":80", None),
            ("a:b:c:d", None),
            ("", None),
        ];
        for (text, expected) in cases {
            assert_eq!(Named::parse(text), expected, "{text}");
        }
    }

    #[test]
    fn ports_are_numbers_or_known() {
        let number = |text| Named::parse(text).unwrap().number().map_err(|error| error.to_string());
        for (text, expected) in [("p", 80), ("https:p:", 443), ("p:8080", 8080), ("p:https", 443), ("https:p:http", 80)]
        {
            assert_eq!(number(text).unwrap(), expected, "{text}");
        }
        let refused = "error trying to reach service: dial tcp: ";
        assert_eq!(number("p:70000").unwrap_err(), format!("{refused}address 70000: invalid port"));
        assert_eq!(number("p:nope").unwrap_err(), format!("{refused}lookup tcp/nope: unknown port"));
    }

    #[test]
    fn ports_of_pods_have_names() {
        let pod = json!({"metadata": {}, "spec": {"containers": [
            {"name": "a"}, {"name": "b", "ports": [{"containerPort": 1}, {"containerPort": 2, "name": "web"}]},
        ]}});
        let pod: Pod = serde_json::from_value(pod).unwrap();
        assert_eq!(port_of_pod(&pod, "").as_deref(), Some("1"));
        assert_eq!(port_of_pod(&pod, "web").as_deref(), Some("2"));
        assert_eq!(port_of_pod(&pod, "9"), None);
    }

    #[test]
    fn endpoints_need_the_port() {
        let endpoints = json!({"metadata": {}, "subsets": [
            {"addresses": [{"ip": "10.0.0.1"}], "ports": [{"name": "web", "port": 80}, {"name": "dns", "port": 53}]},
            {"notReadyAddresses": [{"ip": "10.0.0.2"}], "ports": [{"name": "web", "port": 80}]},
            {"addresses": [{"ip": "10.0.0.3"}, {"ip": "10.0.0.4"}], "ports": [{"port": 81}]},
        ]});
        let endpoints: Endpoints = serde_json::from_value(endpoints).unwrap();
        let found = |port| {
            let found = candidates(&endpoints, port);
            found.iter().map(|(address, port)| format!("{}:{port}", address.ip)).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(found("web"), "10.0.0.1:80");
        assert_eq!(found(""), "10.0.0.3:81 10.0.0.4:81");
        assert_eq!(found("other"), "");
    }
}
