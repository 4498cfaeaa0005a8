//! What a service may be.

use std::collections::BTreeSet;

use crate::{
    core::{LoadBalancerIngress, Service, ServicePort, ServiceSpec},
    field::{FieldError, Path},
    validation::{
        address::{self, Kept},
        endpoint, meta,
        names::{self, one_of},
        number,
    },
};

const TYPES: [&str; 4] = ["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"];
const AFFINITIES: [&str; 2] = ["ClientIP", "None"];
const POLICIES: [&str; 2] = ["Cluster", "Local"];
const IP_FAMILY_POLICIES: [&str; 3] = ["PreferDualStack", "RequireDualStack", "SingleStack"];
const DISTRIBUTIONS: [&str; 3] = ["PreferClose", "PreferSameNode", "PreferSameZone"];
/// The longest time that a client can stick to its endpoint, in seconds: a day.
const MAX_AFFINITY: i32 = 86_400;

pub(super) fn validate(service: &Service) -> Vec<FieldError> {
    let default = ServiceSpec::default();
    let spec = service.spec.as_ref().unwrap_or(&default);
    let path = Path::new("spec");
    let mut errors = Vec::new();
    errors.extend(validate_ports(&path.child("ports"), spec));
    errors.extend(one_of(&path.child("sessionAffinity"), spec.session_affinity.as_deref(), &AFFINITIES));
    errors.extend(affinity_timeout(&path, spec));
    errors.extend(one_of(&path.child("type"), spec.type_.as_deref(), &TYPES));
    if let Some(selector) = &spec.selector {
        errors.extend(meta::labels(&path.child("selector"), selector));
    }
    errors.extend(by_type(&path, spec));
    errors.extend(addresses(&path, spec));
    errors.extend(policies(&path, spec));
    errors
}

const MODES: [&str; 2] = ["Proxy", "VIP"];

/// What a load balancer says of where it can be reached.
pub(super) fn validate_status(new: &Service, old: &Service) -> Vec<FieldError> {
    let points = |service: &'_ Service| {
        let balancer = service.status.as_ref().and_then(|status| status.load_balancer.clone());
        balancer.and_then(|balancer| balancer.ingress).unwrap_or_default()
    };
    let (points, before) = (points(new), points(old));
    let kept: Kept<'_> = before.iter().filter_map(|point| point.ip.as_deref()).collect();
    let path = Path::new("status").child("loadBalancer").child("ingress");
    let balanced = new.spec.as_ref().is_some_and(|spec| spec.type_.as_deref() == Some("LoadBalancer"));
    if !balanced && !points.is_empty() {
        return vec![FieldError::forbidden(&path, "may only be used when `spec.type` is 'LoadBalancer'")];
    }
    points.iter().enumerate().flat_map(|(i, own)| point(&path.index(i), own, &kept)).collect()
}

fn point(path: &Path, own: &LoadBalancerIngress, kept: &Kept<'_>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let (ip, mode_path) = (own.ip.as_deref().filter(|ip| !ip.is_empty()), path.child("ipMode"));
    if let Some(ip) = ip {
        errors.extend(address::unless_kept(address::lenient, &path.child("ip"), ip, kept));
    }
    match (ip, own.ip_mode.as_deref()) {
        (Some(_), None) => errors.push(FieldError::required(&mode_path, "must be specified when `ip` is set")),
        (None, Some(_)) => errors.push(FieldError::forbidden(&mode_path, "may not be specified when `ip` is not set")),
        (_, mode) => errors.extend(names::none_or_one_of(&mode_path, mode, &MODES)),
    }
    let (host, host_path) = (own.hostname.as_deref(), path.child("hostname"));
    errors.extend(names::check_optional(names::dns1123_subdomain, &host_path, host));
    errors.extend(address::no_address(&host_path, host.unwrap_or_default()));
    errors
}

pub(super) fn validate_update(new: &Service, old: &Service) -> Vec<FieldError> {
    let (Some(new), Some(old)) = (&new.spec, &old.spec) else { return Vec::new() };
    let path = Path::new("spec");
    let has_ip = |spec: &ServiceSpec| spec.type_.as_deref() != Some("ExternalName");
    let old_ip = old.cluster_ip.as_deref().filter(|ip| !ip.is_empty());
    let mut errors = Vec::new();
    if has_ip(new) && has_ip(old) && old_ip.is_some() {
        let ips = |spec: &ServiceSpec| {
            spec.cluster_ips.as_ref().and_then(|ips| ips.first()).or(spec.cluster_ip.as_ref()).cloned()
        };
        if ips(new) != ips(old) {
            let value = new.cluster_ips.clone().unwrap_or_else(|| new.cluster_ip.iter().cloned().collect());
            let detail = "may not change once set";
            errors.push(FieldError::invalid(&path.child("clusterIPs").index(0), value, detail));
        }
    }
    if new.load_balancer_class != old.load_balancer_class
        && old.type_.as_deref() == Some("LoadBalancer")
        && new.type_ == old.type_
    {
        let value = new.load_balancer_class.clone();
        errors.push(FieldError::invalid(&path.child("loadBalancerClass"), value, "may not change once set"));
    }
    errors
}

fn is_headless(spec: &ServiceSpec) -> bool {
    spec.cluster_ip.as_deref() == Some("None")
}

fn validate_ports(path: &Path, spec: &ServiceSpec) -> Vec<FieldError> {
    let ports = spec.ports.as_deref().unwrap_or_default();
    if ports.is_empty() && !is_headless(spec) && spec.type_.as_deref() != Some("ExternalName") {
        return vec![FieldError::required(path, "")];
    }
    let mut errors = Vec::new();
    let mut port_names = BTreeSet::new();
    let mut numbers = BTreeSet::new();
    for (i, port) in ports.iter().enumerate() {
        let path = path.index(i);
        errors.extend(validate_port(&path, port, ports.len() > 1, &mut port_names));
        if !numbers.insert((port.protocol.as_deref(), port.port)) {
            let value = serde_json::json!({"protocol": port.protocol, "port": port.port});
            errors.push(FieldError::duplicate(&path, value));
        }
    }
    errors.extend(node_ports(path, spec, ports));
    errors
}

fn validate_port<'a>(
    path: &Path,
    port: &'a ServicePort,
    several: bool,
    port_names: &mut BTreeSet<&'a str>,
) -> Vec<FieldError> {
    let mut errors = Vec::new();
    match port.name.as_deref().unwrap_or_default() {
        "" if several => errors.push(FieldError::required(&path.child("name"), "")),
        "" => {}
        name => {
            let wrong = names::dns1123_label(name);
            errors.extend(wrong.into_iter().map(|e| FieldError::invalid(&path.child("name"), name, e)));
            if !port_names.insert(name) {
                errors.push(FieldError::duplicate(&path.child("name"), name));
            }
        }
    }
    errors.extend(number::port(&path.child("port"), port.port));
    errors.extend(endpoint::protocol(&path.child("protocol"), port.protocol.as_deref()));
    if let Some(target) = &port.target_port {
        errors.extend(number::port_or_name(&path.child("targetPort"), target));
    }
    if let Some(protocol) = port.app_protocol.as_deref() {
        let wrong = names::qualified_name(protocol);
        errors.extend(wrong.into_iter().map(|e| FieldError::invalid(&path.child("appProtocol"), protocol, e)));
    }
    errors
}

fn node_ports(path: &Path, spec: &ServiceSpec, ports: &[ServicePort]) -> Vec<FieldError> {
    let kind = spec.type_.as_deref().unwrap_or_default();
    let mut errors = Vec::new();
    let mut seen = BTreeSet::new();
    for (i, port) in ports.iter().enumerate() {
        let Some(number) = port.node_port.filter(|number| *number != 0) else { continue };
        let path = path.index(i).child("nodePort");
        if kind == "ClusterIP" {
            errors.push(FieldError::forbidden(&path, "may not be used when `type` is 'ClusterIP'"));
        } else if !seen.insert((port.protocol.as_deref(), number)) {
            errors.push(FieldError::duplicate(&path, number));
        }
    }
    errors
}

fn affinity_timeout(path: &Path, spec: &ServiceSpec) -> Option<FieldError> {
    let path = path.child("sessionAffinityConfig");
    let config = spec.session_affinity_config.as_ref();
    if spec.session_affinity.as_deref() == Some("None") {
        return config.map(|_| FieldError::forbidden(&path, "must not be set when session affinity is None"));
    }
    let seconds = config?.client_ip.as_ref()?.timeout_seconds?;
    let path = path.child("clientIP").child("timeoutSeconds");
    let wrong = !(1..=MAX_AFFINITY).contains(&seconds);
    wrong.then(|| FieldError::invalid(&path, seconds, format!("must be greater than 0 and less than {MAX_AFFINITY}")))
}

fn by_type(path: &Path, spec: &ServiceSpec) -> Vec<FieldError> {
    let kind = spec.type_.as_deref().unwrap_or_default();
    let mut errors = Vec::new();
    if kind == "ExternalName" {
        let name_path = path.child("externalName");
        match spec.external_name.as_deref().unwrap_or_default() {
            "" => errors.push(FieldError::required(&name_path, "")),
            name => {
                let wrong = names::dns1123_subdomain(name.strip_suffix('.').unwrap_or(name));
                errors.extend(wrong.into_iter().map(|e| FieldError::invalid(&name_path, name, e)));
            }
        }
        let detail = "may not be set for ExternalName services";
        if spec.cluster_ip.as_deref().is_some_and(|ip| !ip.is_empty()) {
            errors.push(FieldError::forbidden(&path.child("clusterIPs"), detail));
        }
        if spec.ip_families.as_ref().is_some_and(|families| !families.is_empty()) {
            errors.push(FieldError::forbidden(&path.child("ipFamilies"), detail));
        }
        if spec.ip_family_policy.is_some() {
            errors.push(FieldError::forbidden(&path.child("ipFamilyPolicy"), detail));
        }
    }
    if kind != "LoadBalancer" {
        let detail = "may only be used when `type` is 'LoadBalancer'";
        let fields = [
            ("loadBalancerSourceRanges", spec.load_balancer_source_ranges.as_ref().is_some_and(|r| !r.is_empty())),
            ("allocateLoadBalancerNodePorts", spec.allocate_load_balancer_node_ports.is_some()),
            ("loadBalancerClass", spec.load_balancer_class.is_some()),
        ];
        let set = fields.iter().filter(|(_, set)| *set);
        errors.extend(set.map(|(field, _)| FieldError::forbidden(&path.child(field), detail)));
    }
    let local = kind == "LoadBalancer" && spec.external_traffic_policy.as_deref() == Some("Local");
    if let Some(port) = spec.health_check_node_port.filter(|port| *port != 0 && !local) {
        let detail = "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'";
        errors.push(FieldError::invalid(&path.child("healthCheckNodePort"), port, detail));
    }
    if is_headless(spec) && matches!(kind, "NodePort" | "LoadBalancer") {
        let detail = format!("may not be set to 'None' for {kind} services");
        errors.push(FieldError::invalid(&path.child("clusterIPs").index(0), "None", detail));
    }
    errors
}

fn addresses(path: &Path, spec: &ServiceSpec) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let cluster_path = path.child("clusterIPs");
    let first = spec.cluster_ip.as_deref().unwrap_or_default();
    let ips: Vec<&str> = match spec.cluster_ips.as_deref() {
        Some(ips) if !ips.is_empty() => ips.iter().map(String::as_str).collect(),
        _ => vec![first],
    };
    if spec.cluster_ips.is_some() && !first.is_empty() && ips.first() != Some(&first) {
        errors.push(FieldError::invalid(&cluster_path, ips.clone(), "first value must match `clusterIP`"));
    }
    if first.is_empty() && ips.iter().any(|ip| !ip.is_empty()) {
        let detail = "must be empty when `clusterIP` is not specified";
        errors.push(FieldError::invalid(&cluster_path, ips.clone(), detail));
    }
    errors.extend(families(path, spec));
    errors.extend(cluster_ips(&cluster_path, &ips));
    for (i, ip) in spec.external_ips.iter().flatten().enumerate() {
        let path = path.child("externalIPs").index(i);
        let wrong: Vec<FieldError> =
            names::ip(ip).into_iter().map(|e| FieldError::invalid(&path, ip.as_str(), e)).collect();
        let special = if wrong.is_empty() { endpoint::special_ip(&path, ip) } else { None };
        errors.extend(wrong.into_iter().chain(special));
    }
    errors
}

const FAMILIES: [&str; 2] = ["IPv4", "IPv6"];

fn families(path: &Path, spec: &ServiceSpec) -> Vec<FieldError> {
    if spec.type_.as_deref() == Some("ExternalName") {
        return Vec::new();
    }
    let mut errors = Vec::new();
    let mut seen = BTreeSet::new();
    for (i, family) in spec.ip_families.iter().flatten().enumerate() {
        let path = path.child("ipFamilies").index(i);
        if !FAMILIES.contains(&family.as_str()) {
            errors.push(FieldError::not_supported(&path, family.as_str(), &FAMILIES));
        }
        if !seen.insert(family) {
            errors.push(FieldError::duplicate(&path, family.as_str()));
        }
    }
    errors
}

/// One address of each family, or none at all.
fn cluster_ips(path: &Path, ips: &[&str]) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for (i, ip) in ips.iter().enumerate().filter(|(_, ip)| !ip.is_empty()) {
        if i == 0 && *ip == "None" {
            if ips.len() > 1 {
                let detail = "'None' must be the first and only value";
                errors.push(FieldError::invalid(path, ips.to_vec(), detail));
            }
            continue;
        }
        errors.extend(names::ip(ip).into_iter().map(|e| FieldError::invalid(&path.index(i), *ip, e)));
    }
    if ips.len() > 2 {
        errors.push(FieldError::invalid(path, ips.to_vec(), "may only hold up to 2 values"));
    }
    let of = |six: bool| ips.iter().filter(|ip| ip.contains(':') == six).count();
    if errors.is_empty() && ips.len() > 1 && (of(true) > 1 || of(false) > 1) {
        let detail = "may specify no more than one IP for each IP family";
        errors.push(FieldError::invalid(path, ips.to_vec(), detail));
    }
    errors
}

fn policies(path: &Path, spec: &ServiceSpec) -> Vec<FieldError> {
    let kind = spec.type_.as_deref().unwrap_or_default();
    let external_ips = spec.external_ips.as_ref().is_some_and(|ips| !ips.is_empty());
    let external = matches!(kind, "NodePort" | "LoadBalancer") || (kind == "ClusterIP" && external_ips);
    let external_path = path.child("externalTrafficPolicy");
    let external_policy = spec.external_traffic_policy.as_deref().filter(|policy| !policy.is_empty());
    let mut errors = Vec::new();
    match (external, external_policy) {
        (false, Some(policy)) => {
            let detail = "may only be set for externally-accessible services";
            errors.push(FieldError::invalid(&external_path, policy, detail));
        }
        (true, policy) => errors.extend(one_of(&external_path, policy, &POLICIES)),
        (false, None) => {}
    }
    if kind != "ExternalName" {
        let internal = spec.internal_traffic_policy.as_deref();
        errors.extend(one_of(&path.child("internalTrafficPolicy"), internal, &POLICIES));
    }
    if let Some(policy) = spec.ip_family_policy.as_deref() {
        errors.extend(one_of(&path.child("ipFamilyPolicy"), Some(policy), &IP_FAMILY_POLICIES));
    }
    if let Some(distribution) = spec.traffic_distribution.as_deref() {
        errors.extend(one_of(&path.child("trafficDistribution"), Some(distribution), &DISTRIBUTIONS));
    }
    errors
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::Kind;

    fn service(spec: Value) -> Service {
        let mut service: Service = serde_json::from_value(json!({"spec": spec})).unwrap();
        service.set_defaults();
        service
    }

    #[test]
    fn mistakes_are_told() {
        let cases = [
            (json!({"ports": [{"port": 80}]}), vec![]),
            (json!({"clusterIP": "None"}), vec![]),
            (json!({"type": "ExternalName", "externalName": "a.example."}), vec![]),
            (json!({}), vec!["spec.ports: Required value"]),
            (
                json!({"ports": [{"port": 0, "protocol": "X"}]}),
                vec![
                    "spec.ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive",
                    r#"spec.ports[0].protocol: Unsupported value: "X": supported values: "SCTP", "TCP", "UDP""#,
                    "spec.ports[0].targetPort: Invalid value: 0: must be between 1 and 65535, inclusive",
                ],
            ),
            (
                json!({"ports": [{"port": 80}, {"name": "a", "port": 80}]}),
                vec![
                    "spec.ports[0].name: Required value",
                    r#"spec.ports[1]: Duplicate value: {"port":80,"protocol":"TCP"}"#,
                ],
            ),
            (
                json!({"type": "Own", "ports": [{"port": 80}], "internalTrafficPolicy": "Cluster"}),
                vec![
                    r#"spec.type: Unsupported value: "Own": supported values: "ClusterIP", "ExternalName", "LoadBalancer", "NodePort""#,
                ],
            ),
            (
                json!({"ports": [{"port": 80, "nodePort": 30000}]}),
                vec!["spec.ports[0].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'"],
            ),
            (
                json!({"type": "NodePort", "clusterIP": "None", "ports": [{"port": 80}]}),
                vec![r#"spec.clusterIPs[0]: Invalid value: "None": may not be set to 'None' for NodePort services"#],
            ),
            (
                json!({"clusterIPs": ["10.0.0.1", "10.0.0.2"], "ports": [{"port": 80}], "ipFamilies": ["IPv4", "IPv4", "IPv5"]}),
                vec![
                    r#"spec.clusterIPs: Invalid value: ["10.0.0.1","10.0.0.2"]: must be empty when `clusterIP` is not specified"#,
                    r#"spec.ipFamilies[1]: Duplicate value: "IPv4""#,
                    r#"spec.ipFamilies[2]: Unsupported value: "IPv5": supported values: "IPv4", "IPv6""#,
                    r#"spec.clusterIPs: Invalid value: ["10.0.0.1","10.0.0.2"]: may specify no more than one IP for each IP family"#,
                ],
            ),
            (
                json!({"ports": [{"port": 80}], "loadBalancerClass": "a/b", "loadBalancerSourceRanges": ["10.0.0.0/8"], "allocateLoadBalancerNodePorts": true, "healthCheckNodePort": 5}),
                vec![
                    "spec.loadBalancerSourceRanges: Forbidden: may only be used when `type` is 'LoadBalancer'",
                    "spec.allocateLoadBalancerNodePorts: Forbidden: may only be used when `type` is 'LoadBalancer'",
                    "spec.loadBalancerClass: Forbidden: may only be used when `type` is 'LoadBalancer'",
                    "spec.healthCheckNodePort: Invalid value: 5: may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'",
                ],
            ),
            (
                json!({"type": "ExternalName", "externalName": "a.b", "ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack"}),
                vec![
                    "spec.ipFamilies: Forbidden: may not be set for ExternalName services",
                    "spec.ipFamilyPolicy: Forbidden: may not be set for ExternalName services",
                ],
            ),
            (
                json!({"clusterIP": "x", "ports": [{"port": 80}]}),
                vec![
                    r#"spec.clusterIPs[0]: Invalid value: "x": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"#,
                ],
            ),
        ];
        for (spec, expected) in cases {
            let errors: Vec<String> = validate(&service(spec)).iter().map(ToString::to_string).collect();
            assert_eq!(errors, expected);
        }
    }

    #[test]
    fn the_cluster_ip_stays() {
        let old = service(json!({"clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1"], "ports": [{"port": 80}]}));
        let new = service(json!({"clusterIP": "10.0.0.2", "clusterIPs": ["10.0.0.2"], "ports": [{"port": 80}]}));
        let errors: Vec<String> = validate_update(&new, &old).iter().map(ToString::to_string).collect();
        assert_eq!(errors, [r#"spec.clusterIPs[0]: Invalid value: ["10.0.0.2"]: may not change once set"#]);
        assert!(validate_update(&old, &old).is_empty());
    }
}
