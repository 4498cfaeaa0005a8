//! A service in `kubectl get services`.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::{
    core::{Service, ServicePort, ServiceSpec},
    object::Column,
    table,
};

pub(super) const COLUMNS: &[Column] = &[
    Column::NAME,
    Column::text("Type", "type determines how the Service is exposed. Defaults to ClusterIP. Valid options are ExternalName, ClusterIP, NodePort, and LoadBalancer. \"ClusterIP\" allocates a cluster-internal IP address for load-balancing to endpoints. Endpoints are determined by the selector or if that is not specified, by manual construction of an Endpoints object or EndpointSlice objects. If clusterIP is \"None\", no virtual IP is allocated and the endpoints are published as a set of endpoints rather than a virtual IP. \"NodePort\" builds on ClusterIP and allocates a port on every node which routes to the same endpoints as the clusterIP. \"LoadBalancer\" builds on NodePort and creates an external load-balancer (if supported in the current cloud) which routes to the same endpoints as the clusterIP. \"ExternalName\" aliases this service to the specified externalName. Several other fields do not apply to ExternalName services. More info: https://kubernetes.io/docs/concepts/services-networking/service/#publishing-services-service-types"),
    Column::text("Cluster-IP", "clusterIP is the IP address of the service and is usually assigned randomly. If an address is specified manually, is in-range (as per system configuration), and is not in use, it will be allocated to the service; otherwise creation of the service will fail. This field may not be changed through updates unless the type field is also being changed to ExternalName (which requires this field to be blank) or the type field is being changed from ExternalName (in which case this field may optionally be specified, as describe above).  Valid values are \"None\", empty string (\"\"), or a valid IP address. Setting this to \"None\" makes a \"headless service\" (no virtual IP), which is useful when direct endpoint connections are preferred and proxying is not required.  Only applies to types ClusterIP, NodePort, and LoadBalancer. If this field is specified when creating a Service of type ExternalName, creation will fail. This field will be wiped when updating a Service to type ExternalName. More info: https://kubernetes.io/docs/concepts/services-networking/service/#virtual-ips-and-service-proxies"),
    Column::text("External-IP", "externalIPs is a list of IP addresses for which nodes in the cluster will also accept traffic for this service.  These IPs are not managed by Kubernetes.  The user is responsible for ensuring that traffic arrives at a node with this IP.  A common example is external load-balancers that are not part of the Kubernetes system."),
    Column::text("Port(s)", "The list of ports that are exposed by this service. More info: https://kubernetes.io/docs/concepts/services-networking/service/#virtual-ips-and-service-proxies"),
    Column::AGE,
    Column::text("Selector", "Route service traffic to pods with label keys and values matching this selector. If empty or not present, the service is assumed to have an external process managing its endpoints, which Kubernetes will not modify. Only applies to types ClusterIP, NodePort, and LoadBalancer. Ignored if type is ExternalName. More info: https://kubernetes.io/docs/concepts/services-networking/service/").wide(),
];

pub(super) fn cells(service: &Service) -> Vec<Value> {
    let default = ServiceSpec::default();
    let spec = service.spec.as_ref().unwrap_or(&default);
    let cluster_ip = spec.cluster_ips.iter().flatten().next().or(spec.cluster_ip.as_ref());
    vec![
        service.metadata.name.clone().into(),
        spec.type_.clone().into(),
        table::or_none(cluster_ip.map(String::as_str)).into(),
        external_ip(service, spec).into(),
        ports(spec.ports.as_deref().unwrap_or_default()).into(),
        table::age(service.metadata.creation_timestamp.as_ref()).into(),
        table::labels(spec.selector.as_ref()).into(),
    ]
}

fn external_ip(service: &Service, spec: &ServiceSpec) -> String {
    let external_ips = spec.external_ips.as_deref().unwrap_or_default();
    match spec.type_.as_deref().unwrap_or_default() {
        "ExternalName" => spec.external_name.clone().unwrap_or_default(),
        "LoadBalancer" => {
            let mut addresses: Vec<&str> = ingress(service).into_iter().collect();
            addresses.extend(external_ips.iter().map(String::as_str));
            if addresses.is_empty() { "<pending>".to_owned() } else { addresses.join(",") }
        }
        _ => table::or_none(Some(&external_ips.join(","))),
    }
}

fn ingress(service: &Service) -> BTreeSet<&str> {
    let balancer = service.status.as_ref().and_then(|status| status.load_balancer.as_ref());
    let ingress = balancer.and_then(|balancer| balancer.ingress.as_deref()).unwrap_or_default();
    let address = |text: &'_ Option<String>| text.as_ref().is_some_and(|text| !text.is_empty());
    let pick = ingress.iter().filter_map(|i| if address(&i.ip) { i.ip.as_deref() } else { i.hostname.as_deref() });
    pick.filter(|text| !text.is_empty()).collect()
}

fn ports(ports: &[ServicePort]) -> String {
    let text = |port: &ServicePort| {
        let protocol = port.protocol.as_deref().unwrap_or_default();
        match port.node_port {
            Some(node_port) if node_port > 0 => format!("{}:{node_port}/{protocol}", port.port),
            _ => format!("{}/{protocol}", port.port),
        }
    };
    table::or_none(Some(&ports.iter().map(text).collect::<Vec<_>>().join(",")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn addresses_and_ports_are_shown() {
        let cases = [
            (
                json!({"spec": {"type": "ClusterIP", "clusterIP": "10.0.0.1", "ports": [{"port": 80, "protocol": "TCP"}]}}),
                ["ClusterIP", "10.0.0.1", "<none>", "80/TCP"],
            ),
            (json!({"spec": {"type": "ClusterIP", "clusterIP": "None"}}), ["ClusterIP", "None", "<none>", "<none>"]),
            (
                json!({"spec": {"type": "NodePort", "clusterIPs": ["10.0.0.1"], "externalIPs": ["1.2.3.4"], "ports": [{"port": 80, "nodePort": 30080, "protocol": "TCP"}, {"port": 53, "nodePort": 30053, "protocol": "UDP"}]}}),
                ["NodePort", "10.0.0.1", "1.2.3.4", "80:30080/TCP,53:30053/UDP"],
            ),
            (json!({"spec": {"type": "LoadBalancer"}}), ["LoadBalancer", "<none>", "<pending>", "<none>"]),
            (
                json!({"spec": {"type": "LoadBalancer"}, "status": {"loadBalancer": {"ingress": [{"hostname": "b"}, {"ip": "1.1.1.1"}]}}}),
                ["LoadBalancer", "<none>", "1.1.1.1,b", "<none>"],
            ),
            (
                json!({"spec": {"type": "ExternalName", "externalName": "a.example"}}),
                ["ExternalName", "<none>", "a.example", "<none>"],
            ),
        ];
        for (service, expected) in cases {
            let service: Service = serde_json::from_value(service).unwrap();
            assert_eq!(cells(&service)[1..5], expected.map(Value::from));
        }
    }
}
