//! Which pods stand behind a service, and on which ports.

use std::sync::Arc;

use api_types::{
    IntOrString,
    core::{Service, ServicePort},
    selector::label::Selector,
};
use component::{
    informer::{Event, Informer, ObjectKey},
    queue::WorkQueue,
};

use crate::{
    pod_state::{is_ready, is_terminal},
    slim::Pod,
};

/// Label of endpoints and slices of services without a cluster IP.
pub const HEADLESS: &str = "service.kubernetes.io/headless";

/// The selector of a service whose endpoints are made here: it has one, and is no alias.
#[must_use]
pub fn selector(service: &Service) -> Option<Selector> {
    let spec = service.spec.as_ref()?;
    let labels = spec.selector.as_ref().filter(|labels| !labels.is_empty())?;
    (spec.type_.as_deref() != Some("ExternalName")).then(|| Selector::from_labels(labels))
}

/// Whether the service has no cluster IP by intention.
#[must_use]
pub fn is_headless(service: &Service) -> bool {
    service.spec.as_ref().and_then(|spec| spec.cluster_ip.as_deref()) == Some("None")
}

/// Whether pods count as ready before they are.
#[must_use]
pub fn publishes_not_ready(service: &Service) -> bool {
    service.spec.as_ref().and_then(|spec| spec.publish_not_ready_addresses) == Some(true)
}

/// The pods of the service that have an address and have not finished.
#[must_use]
pub fn pods_of(service: &Service, selector: &Selector, pods: &[Arc<Pod>]) -> Vec<Arc<Pod>> {
    let namespace = &service.metadata.namespace;
    pods.iter()
        .filter(|pod| pod.metadata.namespace == *namespace && selector.matches(&pod.metadata.labels))
        .filter(|pod| !is_terminal(pod) && pod.addresses().next().is_some())
        .cloned()
        .collect()
}

/// The number of the service's port on this pod; `None` when the pod has no port of that name.
#[must_use]
pub fn target_port(pod: &Pod, port: &ServicePort) -> Option<i32> {
    let protocol = |protocol: Option<&str>| protocol.unwrap_or("TCP").to_owned();
    match &port.target_port {
        None => Some(port.port),
        Some(IntOrString::Int(0)) => Some(port.port),
        Some(IntOrString::Int(number)) => Some(*number),
        Some(IntOrString::String(name)) => {
            let sidecars = pod.spec.init_containers.iter().filter(|c| c.restart_policy.as_deref() == Some("Always"));
            let mut ports = pod.spec.containers.iter().chain(sidecars).flat_map(|container| &container.ports);
            ports
                .find(|declared| {
                    declared.name.as_ref() == Some(name)
                        && protocol(declared.protocol.as_deref()) == protocol(port.protocol.as_deref())
                })
                .map(|declared| declared.container_port)
        }
    }
}

/// The host name that DNS gives the pod under this service, if it has one.
#[must_use]
pub fn hostname(pod: &Pod, service: &Service) -> Option<String> {
    let hostname = pod.spec.hostname.as_ref().filter(|hostname| !hostname.is_empty())?;
    (pod.spec.subdomain == service.metadata.name).then(|| hostname.clone())
}

/// Whether an address belongs to the family, `IPv4` or `IPv6`.
#[must_use]
pub fn is_of_family(address: &str, family: &str) -> bool {
    address.contains(':') == (family == "IPv6")
}

/// Queues a service when it changes, and the services of a pod when what endpoints show of it does.
pub fn subscribe(services: &Informer<Service>, pods: &Informer<Pod>, queue: &Arc<WorkQueue<ObjectKey>>) {
    let keys = Arc::clone(queue);
    services.on_event(move |event| keys.add(ObjectKey::of(&**event.object())));
    let (services, keys) = (services.clone(), Arc::clone(queue));
    pods.on_event(move |event| {
        let states: &[&Pod] = match event {
            Event::Added(pod) | Event::Deleted(pod) => &[pod],
            Event::Updated { old, new } if shows_the_same(old, new) => &[],
            Event::Updated { old, new } => &[old, new],
        };
        let Some(namespace) = states.first().and_then(|pod| pod.metadata.namespace.as_deref()) else { return };
        for service in services.store().list_namespace(namespace) {
            let selected = |selector: Selector| states.iter().any(|pod| selector.matches(&pod.metadata.labels));
            if selector(&service).is_some_and(selected) {
                keys.add(ObjectKey::of(&*service));
            }
        }
    });
}

fn shows_the_same(old: &Pod, new: &Pod) -> bool {
    old.metadata.uid == new.metadata.uid
        && old.metadata.labels == new.metadata.labels
        && old.metadata.deletion_timestamp.is_some() == new.metadata.deletion_timestamp.is_some()
        && is_terminal(old) == is_terminal(new)
        && is_ready(old) == is_ready(new)
        && old.addresses().eq(new.addresses())
        && old.spec.node_name == new.spec.node_name
        && old.spec.hostname == new.spec.hostname
        && old.spec.subdomain == new.spec.subdomain
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn ports_are_found_by_name_and_protocol() {
        let pod: Pod = serde_json::from_value(json!({"spec": {
            "containers": [{"name": "c", "ports": [
                {"name": "http", "containerPort": 8080}, {"name": "dns", "containerPort": 53, "protocol": "UDP"},
            ]}],
            "initContainers": [
                {"name": "once", "ports": [{"name": "init", "containerPort": 1}]},
                {"name": "sidecar", "restartPolicy": "Always", "ports": [{"name": "metrics", "containerPort": 9}]},
            ],
        }}))
        .unwrap();
        let cases = [
            (json!({"port": 80, "targetPort": 8000}), Some(8000)),
            (json!({"port": 80}), Some(80)),
            (json!({"port": 80, "targetPort": "http"}), Some(8080)),
            (json!({"port": 53, "targetPort": "dns", "protocol": "UDP"}), Some(53)),
            (json!({"port": 53, "targetPort": "dns", "protocol": "TCP"}), None),
            (json!({"port": 1, "targetPort": "init"}), None),
            (json!({"port": 9, "targetPort": "metrics"}), Some(9)),
        ];
        for (port, expected) in cases {
            let port: ServicePort = serde_json::from_value(port).unwrap();
            assert_eq!(target_port(&pod, &port), expected, "{port:?}");
        }
    }

    #[test]
    fn only_services_with_selectors_have_endpoints() {
        let cases = [
            (json!({"selector": {"app": "web"}}), true),
            (json!({"selector": {}}), false),
            (json!({}), false),
            (json!({"selector": {"app": "web"}, "type": "ExternalName"}), false),
        ];
        for (spec, expected) in cases {
            let service: Service = serde_json::from_value(json!({"metadata": {}, "spec": spec})).unwrap();
            assert_eq!(selector(&service).is_some(), expected, "{service:?}");
        }
    }
}
