//! The endpoints of a service.

use std::{collections::BTreeMap, sync::Arc};

use api_types::core::{EndpointAddress, EndpointPort, EndpointSubset, Endpoints, ObjectReference, Service};

use crate::{
    pod_state::is_ready,
    service_endpoints::{HEADLESS, hostname, is_headless, is_of_family, publishes_not_ready, target_port},
    slim::Pod,
};

/// Most addresses in one object; upstream's limit.
const CAPACITY: usize = 1000;
const OVER_CAPACITY: &str = "endpoints.kubernetes.io/over-capacity";
const MANAGED_BY: &str = "endpoints.kubernetes.io/managed-by";

/// A set of ports, comparable: name, number, protocol, application protocol.
type Ports = Vec<(String, i32, String, Option<String>)>;

/// The addresses of pods with the same ports, ready and not.
#[derive(Default)]
struct Addresses {
    ready: Vec<EndpointAddress>,
    not_ready: Vec<EndpointAddress>,
}

/// The subsets that the service's pods make: pods with equal ports together, addresses sorted.
fn subsets(service: &Service, pods: &[Arc<Pod>]) -> Vec<EndpointSubset> {
    let mut by_ports: BTreeMap<Ports, Addresses> = BTreeMap::new();
    for pod in pods.iter().filter(|pod| pod.metadata.deletion_timestamp.is_none() || publishes_not_ready(service)) {
        let Some(address) = address(service, pod) else { continue };
        let Some(ports) = ports(service, pod) else { continue };
        let addresses = by_ports.entry(ports).or_default();
        if is_ready(pod) || publishes_not_ready(service) {
            addresses.ready.push(address);
        } else {
            addresses.not_ready.push(address);
        }
    }
    by_ports.into_iter().map(|(ports, addresses)| subset(ports, addresses)).collect()
}

fn subset(ports: Ports, mut addresses: Addresses) -> EndpointSubset {
    for list in [&mut addresses.ready, &mut addresses.not_ready] {
        list.sort_by(|a, b| a.ip.cmp(&b.ip).then_with(|| pod_uid(a).cmp(&pod_uid(b))));
    }
    let port = |(name, port, protocol, app_protocol): (String, i32, String, Option<String>)| EndpointPort {
        name: (!name.is_empty()).then_some(name),
        port,
        protocol: Some(protocol),
        app_protocol,
    };
    let unless_empty = |list: Vec<EndpointAddress>| (!list.is_empty()).then_some(list);
    EndpointSubset {
        addresses: unless_empty(addresses.ready),
        not_ready_addresses: unless_empty(addresses.not_ready),
        ports: (!ports.is_empty()).then(|| ports.into_iter().map(port).collect()),
    }
}

fn pod_uid(address: &EndpointAddress) -> Option<&String> {
    address.target_ref.as_ref()?.uid.as_ref()
}

/// The pod's ports for the service; `None` when it has ports and this pod none of them.
fn ports(service: &Service, pod: &Pod) -> Option<Ports> {
    let wanted = service.spec.as_ref().and_then(|spec| spec.ports.as_deref()).unwrap_or_default();
    let found = wanted.iter().filter_map(|port| {
        let number = target_port(pod, port)?;
        let protocol = port.protocol.clone().unwrap_or_else(|| "TCP".to_owned());
        Some((port.name.clone().unwrap_or_default(), number, protocol, port.app_protocol.clone()))
    });
    let mut ports: Ports = found.collect();
    ports.sort();
    (!ports.is_empty() || wanted.is_empty()).then_some(ports)
}

fn address(service: &Service, pod: &Pod) -> Option<EndpointAddress> {
    let families = service.spec.as_ref().and_then(|spec| spec.ip_families.as_deref()).unwrap_or_default();
    let family = families.first().map_or("IPv4", String::as_str);
    let ip = pod.addresses().find(|address| is_of_family(address, family))?;
    Some(EndpointAddress {
        ip: ip.to_owned(),
        hostname: hostname(pod, service),
        node_name: pod.spec.node_name.clone(),
        target_ref: Some(ObjectReference {
            kind: Some("Pod".to_owned()),
            namespace: pod.metadata.namespace.clone(),
            name: pod.metadata.name.clone(),
            uid: pod.metadata.uid.clone(),
            ..ObjectReference::default()
        }),
    })
}

/// Drops addresses beyond the capacity, those that are not ready first. Whether any were.
fn truncate(subsets: &mut Vec<EndpointSubset>) -> bool {
    let mut room = CAPACITY;
    let mut truncated = false;
    let mut cut = |list: &mut Option<Vec<EndpointAddress>>| {
        let Some(addresses) = list else { return };
        truncated |= addresses.len() > room;
        addresses.truncate(room);
        room -= addresses.len();
        if addresses.is_empty() {
            *list = None;
        }
    };
    for subset in subsets.iter_mut() {
        cut(&mut subset.addresses);
    }
    for subset in subsets.iter_mut() {
        cut(&mut subset.not_ready_addresses);
    }
    subsets.retain(|subset| subset.addresses.is_some() || subset.not_ready_addresses.is_some());
    truncated
}

/// Whether this controller made the object.
pub(super) fn is_managed(endpoints: &Endpoints) -> bool {
    endpoints.metadata.labels.as_ref().is_some_and(|labels| labels.contains_key(MANAGED_BY))
}

/// The endpoints object as it should be, when it differs from `current`.
pub(super) fn plan(service: &Service, pods: &[Arc<Pod>], current: Option<&Endpoints>) -> Option<Endpoints> {
    let mut subsets = subsets(service, pods);
    let over_capacity = truncate(&mut subsets);
    let mut desired = current.cloned().unwrap_or_default();
    desired.metadata.name.clone_from(&service.metadata.name);
    desired.metadata.namespace.clone_from(&service.metadata.namespace);
    let mut labels = service.metadata.labels.clone().unwrap_or_default();
    labels.remove(HEADLESS);
    if is_headless(service) {
        labels.insert(HEADLESS.to_owned(), String::new());
    }
    labels.insert(MANAGED_BY.to_owned(), "endpoint-controller".to_owned());
    desired.metadata.labels = Some(labels);
    let mut annotations = desired.metadata.annotations.take().unwrap_or_default();
    if over_capacity {
        annotations.insert(OVER_CAPACITY.to_owned(), "truncated".to_owned());
    } else {
        annotations.remove(OVER_CAPACITY);
    }
    desired.metadata.annotations = (!annotations.is_empty()).then_some(annotations);
    desired.subsets = (!subsets.is_empty()).then_some(subsets);
    let same = current.is_some_and(|current| {
        current.subsets.as_deref().unwrap_or_default() == desired.subsets.as_deref().unwrap_or_default()
            && current.metadata.labels == desired.metadata.labels
            && current.metadata.annotations.clone().unwrap_or_default()
                == desired.metadata.annotations.clone().unwrap_or_default()
    });
    (!same).then_some(desired)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn service(spec: &Value) -> Service {
        serde_json::from_value(
            json!({"metadata": {"name": "web", "namespace": "n", "labels": {"a": "b"}}, "spec": spec}),
        )
        .unwrap()
    }

    fn pod(name: &str, ip: &str, ready: &str, named_port: i32) -> Arc<Pod> {
        Arc::new(
            serde_json::from_value(json!({
                "metadata": {"name": name, "namespace": "n", "uid": name},
                "spec": {"nodeName": "node", "containers": [{"name": "c", "ports": [{"name": "http", "containerPort": named_port}]}]},
                "status": {"phase": "Running", "podIP": ip, "podIPs": [{"ip": ip}], "conditions": [{"type": "Ready", "status": ready}]},
            }))
            .unwrap(),
        )
    }

    /// `ready;not ready:ports` per subset.
    fn text(endpoints: &Endpoints) -> String {
        let ips = |list: &Option<Vec<EndpointAddress>>| {
            list.iter().flatten().map(|address| address.ip.clone()).collect::<Vec<_>>().join(",")
        };
        let ports = |subset: &EndpointSubset| {
            subset.ports.iter().flatten().map(|port| port.port.to_string()).collect::<Vec<_>>().join(",")
        };
        let subset = |s: &EndpointSubset| format!("{};{}:{}", ips(&s.addresses), ips(&s.not_ready_addresses), ports(s));
        endpoints.subsets.iter().flatten().map(subset).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn pods_with_equal_ports_stand_together() {
        let named = json!({"ports": [{"port": 80, "targetPort": "http"}]});
        let pods = [
            pod("c", "10.0.0.3", "True", 8080),
            pod("a", "10.0.0.1", "False", 8080),
            pod("b", "10.0.0.2", "True", 9090),
            pod("d", "10.0.0.0", "True", 8080),
        ];
        let cases = [
            (named.clone(), "10.0.0.0,10.0.0.3;10.0.0.1:8080 10.0.0.2;:9090"),
            (json!({"ports": [{"port": 80}]}), "10.0.0.0,10.0.0.2,10.0.0.3;10.0.0.1:80"),
            (
                json!({"ports": [{"port": 80}], "publishNotReadyAddresses": true}),
                "10.0.0.0,10.0.0.1,10.0.0.2,10.0.0.3;:80",
            ),
            (json!({"clusterIP": "None"}), "10.0.0.0,10.0.0.2,10.0.0.3;10.0.0.1:"),
            (json!({"ports": [{"port": 80, "targetPort": "none"}]}), ""),
            (json!({"ports": [{"port": 80}], "ipFamilies": ["IPv6"]}), ""),
        ];
        for (spec, expected) in cases {
            let planned = plan(&service(&spec), &pods, None).unwrap();
            assert_eq!(text(&planned), expected, "{spec}");
        }
    }

    #[test]
    fn an_unchanged_object_is_not_written() {
        let service = service(&json!({"ports": [{"port": 80}], "clusterIP": "None"}));
        let pods = [pod("a", "10.0.0.1", "True", 80)];
        let planned = plan(&service, &pods, None).unwrap();
        assert_eq!(planned.metadata.labels.as_ref().unwrap()[HEADLESS], "");
        assert!(plan(&service, &pods, Some(&planned)).is_none());
        assert!(plan(&service, &[], Some(&planned)).is_some());
    }

    #[test]
    fn too_many_addresses_are_cut_off() {
        let pods: Vec<_> = (0..1200)
            .map(|i| {
                pod(
                    &i.to_string(),
                    &format!("10.0.{}.{}", i / 250, i % 250),
                    if i < 900 { "True" } else { "False" },
                    80,
                )
            })
            .collect();
        let planned = plan(&service(&json!({"ports": [{"port": 80}]})), &pods, None).unwrap();
        let subset = &planned.subsets.as_ref().unwrap()[0];
        assert_eq!(subset.addresses.as_ref().unwrap().len(), 900);
        assert_eq!(subset.not_ready_addresses.as_ref().unwrap().len(), 100);
        assert_eq!(planned.metadata.annotations.unwrap()[OVER_CAPACITY], "truncated");
    }
}
