//! Upstream's defaults for services.

use crate::{
    IntOrString,
    core::{ClientIPConfig, Service, ServicePort, ServiceSpec, SessionAffinityConfig},
    pod_spec::defaults::default_text,
};

/// How long a client sticks to its endpoint, in seconds.
const AFFINITY_SECONDS: i32 = 10_800;

pub(super) fn set_defaults(service: &mut Service) {
    let spec = service.spec.get_or_insert_default();
    default_text(&mut spec.session_affinity, "None");
    default_text(&mut spec.type_, "ClusterIP");
    session_affinity(spec);
    spec.ports.iter_mut().flatten().for_each(port);
    traffic_policies(spec);
    let load_balancer = spec.type_.as_deref() == Some("LoadBalancer");
    if load_balancer {
        spec.allocate_load_balancer_node_ports.get_or_insert(true);
    }
    let status = service.status.get_or_insert_default().load_balancer.get_or_insert_default();
    for ingress in status.ingress.iter_mut().flatten() {
        if load_balancer && ingress.ip.as_ref().is_some_and(|ip| !ip.is_empty()) {
            ingress.ip_mode.get_or_insert_with(|| "VIP".to_owned());
        }
    }
}

fn session_affinity(spec: &mut ServiceSpec) {
    if spec.session_affinity.as_deref() == Some("None") {
        spec.session_affinity_config = None;
    }
    if spec.session_affinity.as_deref() == Some("ClientIP") {
        let config: &mut SessionAffinityConfig = spec.session_affinity_config.get_or_insert_default();
        let client_ip: &mut ClientIPConfig = config.client_ip.get_or_insert_default();
        client_ip.timeout_seconds.get_or_insert(AFFINITY_SECONDS);
    }
}

fn port(port: &mut ServicePort) {
    default_text(&mut port.protocol, "TCP");
    let unset = match &port.target_port {
        None | Some(IntOrString::Int(0)) => true,
        Some(IntOrString::String(name)) => name.is_empty(),
        Some(IntOrString::Int(_)) => false,
    };
    if unset {
        port.target_port = Some(IntOrString::Int(port.port));
    }
}

fn traffic_policies(spec: &mut ServiceSpec) {
    let kind = spec.type_.as_deref().unwrap_or_default();
    let external_ips = spec.external_ips.as_ref().is_some_and(|ips| !ips.is_empty());
    if matches!(kind, "LoadBalancer" | "NodePort") || (kind == "ClusterIP" && external_ips) {
        default_text(&mut spec.external_traffic_policy, "Cluster");
    }
    if matches!(kind, "ClusterIP" | "NodePort" | "LoadBalancer") {
        default_text(&mut spec.internal_traffic_policy, "Cluster");
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn services_are_defaulted() {
        let status = json!({"loadBalancer": {}});
        let cases = [
            (
                json!({"ports": [{"port": 80}]}),
                json!({
                    "type": "ClusterIP", "sessionAffinity": "None", "internalTrafficPolicy": "Cluster",
                    "ports": [{"port": 80, "protocol": "TCP", "targetPort": 80}],
                }),
            ),
            (
                json!({"type": "NodePort", "sessionAffinity": "ClientIP", "ports": [{"port": 80, "targetPort": "http", "protocol": "UDP"}]}),
                json!({
                    "type": "NodePort", "sessionAffinity": "ClientIP", "internalTrafficPolicy": "Cluster",
                    "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 10800}},
                    "externalTrafficPolicy": "Cluster", "ports": [{"port": 80, "protocol": "UDP", "targetPort": "http"}],
                }),
            ),
            (
                json!({"type": "LoadBalancer"}),
                json!({
                    "type": "LoadBalancer", "sessionAffinity": "None", "internalTrafficPolicy": "Cluster",
                    "externalTrafficPolicy": "Cluster", "allocateLoadBalancerNodePorts": true,
                }),
            ),
            (
                json!({"type": "ExternalName", "externalName": "a.example"}),
                json!({"type": "ExternalName", "externalName": "a.example", "sessionAffinity": "None"}),
            ),
        ];
        for (spec, expected) in cases {
            let mut service: Service = serde_json::from_value(json!({"spec": spec})).unwrap();
            set_defaults(&mut service);
            let value = serde_json::to_value(&service).unwrap();
            assert_eq!((&value["spec"], &value["status"]), (&expected, &status));
        }
    }
}
