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
    Column::text("Type", "How the service is exposed."),
    Column::text("Cluster-IP", "Address within the cluster."),
    Column::text("External-IP", "Addresses that can be reached from outside."),
    Column::text("Port(s)", "Ports of the service, with their node ports."),
    Column::AGE,
    Column::text("Selector", "Labels of the pods behind the service.").wide(),
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
