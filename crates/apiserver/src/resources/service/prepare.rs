//! What a service keeps or loses when it is changed; nothing here allocates.

use std::collections::{HashMap, HashSet};

use api_types::core::{Service, ServicePort, ServiceSpec};

pub(super) const HEADLESS: &str = "None";

/// Whether the service is another name, and nothing besides.
pub(super) fn is_by_name(spec: &ServiceSpec) -> bool {
    spec.type_.as_deref() == Some("ExternalName")
}

/// Whether the service has no address, and nothing in the cluster finds its endpoints: they can be of any family.
pub(super) fn is_anybodys(spec: &ServiceSpec) -> bool {
    spec.cluster_ip.as_deref() == Some(HEADLESS) && spec.selector.as_ref().is_none_or(|selector| selector.is_empty())
}

/// Whether the service has an address of its own.
pub(super) fn needs_address(spec: &ServiceSpec) -> bool {
    !is_by_name(spec) && spec.cluster_ip.as_deref() != Some(HEADLESS)
}

/// Whether the service has a port on every node.
pub(super) fn needs_node_ports(spec: &ServiceSpec) -> bool {
    match spec.type_.as_deref() {
        Some("NodePort") => true,
        Some("LoadBalancer") => spec.allocate_load_balancer_node_ports != Some(false),
        _ => false,
    }
}

/// Whether the service has a port for the health checks of a load balancer.
pub(super) fn needs_health_check_port(spec: &ServiceSpec) -> bool {
    spec.type_.as_deref() == Some("LoadBalancer") && spec.external_traffic_policy.as_deref() == Some("Local")
}

/// The two spellings of the address are made one, and what an update leaves out is taken from the old service.
pub(super) fn carry_over(new: &mut Service, old: Option<&Service>) {
    let Some(spec) = &mut new.spec else { return };
    if let Some(old) = old.and_then(|old| old.spec.as_ref()) {
        keep_allocated(spec, old);
        drop_superfluous(spec, old);
    }
    sync_addresses(spec, old.and_then(|old| old.spec.as_ref()));
    default_families(spec, old.and_then(|old| old.spec.as_ref()));
}

fn text(value: &Option<String>) -> &str {
    value.as_deref().unwrap_or_default()
}

/// A client that sends a manifest again does not mean to give up what was allocated.
fn keep_allocated(spec: &mut ServiceSpec, old: &ServiceSpec) {
    if needs_address(spec) && needs_address(old) && text(&spec.cluster_ip).is_empty() {
        spec.cluster_ip.clone_from(&old.cluster_ip);
        if spec.cluster_ips.as_ref().is_none_or(Vec::is_empty) {
            spec.cluster_ips.clone_from(&old.cluster_ips);
        }
    }
    if needs_node_ports(spec) && needs_node_ports(old) {
        let before = old.ports.iter().flatten().rev().map(|port| (number(port), port.node_port));
        let before: HashMap<_, _> = before.collect();
        for port in spec.ports.iter_mut().flatten().filter(|port| port.node_port.unwrap_or(0) == 0) {
            port.node_port = before.get(&number(port)).copied().flatten();
        }
    }
    if needs_health_check_port(spec) && needs_health_check_port(old) && spec.health_check_node_port.unwrap_or(0) == 0 {
        spec.health_check_node_port = old.health_check_node_port;
    }
}

fn number(port: &ServicePort) -> (i32, Option<&str>) {
    (port.port, port.protocol.as_deref())
}

/// A change of the type takes away what only the old type had, unless the client changed it as well.
fn drop_superfluous(spec: &mut ServiceSpec, old: &ServiceSpec) {
    if !is_by_name(old) && is_by_name(spec) {
        if spec.cluster_ip == old.cluster_ip && spec.cluster_ips == old.cluster_ips {
            spec.cluster_ip = None;
            spec.cluster_ips = None;
        }
        spec.ip_families.take_if(|families| old.ip_families.as_ref() == Some(families));
        spec.ip_family_policy.take_if(|policy| old.ip_family_policy.as_ref() == Some(policy));
        spec.internal_traffic_policy.take_if(|policy| old.internal_traffic_policy.as_ref() == Some(policy));
    }
    if needs_node_ports(old) && !needs_node_ports(spec) {
        let before = old.ports.iter().flatten().map(|port| (number(port), port.node_port));
        let before: HashSet<_> = before.collect();
        for port in spec.ports.iter_mut().flatten() {
            if before.contains(&(number(port), port.node_port)) {
                port.node_port = None;
            }
        }
    }
    if needs_health_check_port(old)
        && !needs_health_check_port(spec)
        && spec.health_check_node_port == old.health_check_node_port
    {
        spec.health_check_node_port = None;
    }
    let policy = &old.external_traffic_policy;
    if is_external(old) && !is_external(spec) && spec.external_traffic_policy == *policy {
        spec.external_traffic_policy = None;
    }
    let balanced = |spec: &ServiceSpec| spec.type_.as_deref() == Some("LoadBalancer");
    if balanced(old) && !balanced(spec) {
        if spec.allocate_load_balancer_node_ports == old.allocate_load_balancer_node_ports {
            spec.allocate_load_balancer_node_ports = None;
        }
        if spec.load_balancer_class == old.load_balancer_class {
            spec.load_balancer_class = None;
        }
    }
}

/// Whether traffic from outside the cluster can reach the service.
fn is_external(spec: &ServiceSpec) -> bool {
    match spec.type_.as_deref() {
        Some("NodePort" | "LoadBalancer") => true,
        Some("ClusterIP") => spec.external_ips.as_ref().is_some_and(|ips| !ips.is_empty()),
        _ => false,
    }
}

/// `clusterIP` and the first of `clusterIPs` are the same; old clients know the former only.
fn sync_addresses(spec: &mut ServiceSpec, old: Option<&ServiceSpec>) {
    let single = text(&spec.cluster_ip).to_owned();
    let has_list = spec.cluster_ips.as_ref().is_some_and(|list| !list.is_empty());
    let changed = old.is_some_and(|old| text(&old.cluster_ip) != single && old.cluster_ips == spec.cluster_ips);
    match (single.is_empty(), has_list) {
        (true, true) if changed => spec.cluster_ips = None,
        // A new service has to name the first: validation says so.
        (true, true) if old.is_none() => {}
        (true, true) => spec.cluster_ip = spec.cluster_ips.as_ref().and_then(|list| list.first().cloned()),
        (false, false) => spec.cluster_ips = Some(vec![single]),
        (false, true) if changed => spec.cluster_ips = Some(vec![single]),
        _ => {}
    }
}

const FAMILIES: [&str; 2] = ["IPv4", "IPv6"];
const SINGLE: &str = "SingleStack";

/// There is one address family, but for endpoints of which nobody knows.
fn default_families(spec: &mut ServiceSpec, old: Option<&ServiceSpec>) {
    if is_by_name(spec) {
        return;
    }
    if let Some(old) = old.filter(|old| !is_by_name(old)) {
        spec.ip_family_policy = spec.ip_family_policy.take().or_else(|| old.ip_family_policy.clone());
        spec.ip_families = spec.ip_families.take().filter(|own| !own.is_empty()).or_else(|| old.ip_families.clone());
    }
    let anybodys = is_anybodys(spec);
    let policy = spec.ip_family_policy.get_or_insert_with(|| if anybodys { "RequireDualStack" } else { SINGLE }.into());
    let families = spec.ip_families.get_or_insert_default();
    if families.is_empty() {
        let six = spec.cluster_ip.as_deref().is_some_and(|ip| ip.contains(':'));
        families.push(FAMILIES[usize::from(six)].to_owned());
    }
    if anybodys && policy != SINGLE && families.len() == 1 {
        let other = FAMILIES[usize::from(families[0] == FAMILIES[0])];
        families.push(other.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn service(spec: Value) -> Service {
        serde_json::from_value(json!({"spec": spec})).unwrap()
    }

    fn spec_after(new: Value, old: Value) -> Value {
        let mut new = service(new);
        carry_over(&mut new, Some(&service(old)));
        let spec = new.spec.unwrap();
        json!({
            "ip": spec.cluster_ip,
            "ips": spec.cluster_ips,
            "ports": spec.ports.unwrap_or_default().iter().map(|port| port.node_port).collect::<Vec<_>>(),
        })
    }

    #[test]
    fn a_manifest_sent_again_keeps_what_was_allocated() {
        let old = json!({
            "type": "NodePort", "clusterIP": "10.0.0.5", "clusterIPs": ["10.0.0.5"],
            "ports": [{"port": 80, "protocol": "TCP", "nodePort": 30001}],
        });
        let cases = [
            (
                json!({"type": "NodePort", "ports": [{"port": 80, "protocol": "TCP"}, {"port": 81, "protocol": "TCP"}]}),
                json!({"ip": "10.0.0.5", "ips": ["10.0.0.5"], "ports": [30001, null]}),
            ),
            (
                json!({"type": "ClusterIP", "ports": [{"port": 80, "protocol": "TCP", "nodePort": 30001}]}),
                json!({"ip": "10.0.0.5", "ips": ["10.0.0.5"], "ports": [null]}),
            ),
            (
                json!({"type": "ExternalName", "clusterIP": "10.0.0.5", "clusterIPs": ["10.0.0.5"]}),
                json!({"ip": null, "ips": null, "ports": []}),
            ),
        ];
        for (new, expected) in cases {
            assert_eq!(spec_after(new.clone(), old.clone()), expected, "{new}");
        }
    }

    #[test]
    fn what_only_the_old_type_had_goes_with_it() {
        let old = json!({
            "type": "ClusterIP", "clusterIP": "10.0.0.5", "clusterIPs": ["10.0.0.5"], "ipFamilies": ["IPv4"],
            "ipFamilyPolicy": "SingleStack", "internalTrafficPolicy": "Cluster",
        });
        let mut new = service(old.clone());
        new.spec.as_mut().unwrap().type_ = Some("ExternalName".into());
        let mut without_address = new.clone();
        carry_over(&mut new, Some(&service(old.clone())));
        assert_eq!(serde_json::to_value(new.spec).unwrap(), json!({"type": "ExternalName"}));
        let spec = without_address.spec.as_mut().unwrap();
        (spec.cluster_ip, spec.cluster_ips) = (None, None);
        carry_over(&mut without_address, Some(&service(old)));
        assert_eq!(serde_json::to_value(without_address.spec).unwrap(), json!({"type": "ExternalName"}));
    }

    #[test]
    fn endpoints_of_which_nobody_knows_are_of_any_family() {
        for (spec, families, policy) in [
            (json!({}), json!(["IPv4", "IPv6"]), "RequireDualStack"),
            (json!({"ipFamilies": ["IPv6"]}), json!(["IPv6", "IPv4"]), "RequireDualStack"),
            (json!({"ipFamilyPolicy": "SingleStack"}), json!(["IPv4"]), "SingleStack"),
            (json!({"ipFamilyPolicy": "PreferDualStack"}), json!(["IPv4", "IPv6"]), "PreferDualStack"),
            (json!({"selector": {"a": "b"}}), json!(["IPv4"]), "SingleStack"),
        ] {
            let mut headless = service(spec.clone());
            headless.spec.as_mut().unwrap().cluster_ip = Some("None".into());
            carry_over(&mut headless, None);
            let value = serde_json::to_value(headless.spec).unwrap();
            assert_eq!((&value["ipFamilies"], &value["ipFamilyPolicy"]), (&families, &json!(policy)), "{spec}");
        }
    }

    #[test]
    fn headless_services_say_so_in_both_spellings() {
        let mut headless = service(json!({"clusterIP": "None", "type": "ClusterIP"}));
        carry_over(&mut headless, None);
        assert_eq!(headless.spec.unwrap().cluster_ips, Some(vec!["None".to_owned()]));
    }
}
