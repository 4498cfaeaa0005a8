//! What services may have and hardly anybody means, in upstream's words.

use std::net::Ipv6Addr;

use ipnet::Ipv6Net;

use crate::{
    core::{Service, ServiceSpec},
    field::Path,
};

const HINTS: &str = "service.kubernetes.io/topology-aware-hints";
const MODE: &str = "service.kubernetes.io/topology-mode";
const EXTERNAL_NAME: &str = "ExternalName";

pub(super) fn of(service: &Service) -> Vec<String> {
    let mut warnings = Vec::new();
    if service.metadata.annotations.as_ref().is_some_and(|own| own.contains_key(HINTS)) {
        warnings.push(format!("annotation {HINTS} is deprecated, please use {MODE} instead"));
    }
    let Some(spec) = &service.spec else { return warnings };
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let (kind, address, balancer) = (text(&spec.type_), text(&spec.cluster_ip), text(&spec.load_balancer_ip));
    let (by_name, headless) = (kind == EXTERNAL_NAME, kind == "ClusterIP" && address == "None");
    let external = spec.external_ips.as_ref().is_some_and(|addresses| !addresses.is_empty());
    if !by_name && !matches!(address.as_str(), "" | "None") {
        warnings.extend(addresses("clusterIPs", spec.cluster_ips.as_ref()));
    }
    let told = [
        (headless && !balancer.is_empty(), "spec.loadBalancerIP is ignored for headless services"),
        (headless && external, "spec.externalIPs is ignored for headless services"),
        (headless && sticky(spec), "spec.SessionAffinity is ignored for headless services"),
    ];
    warnings.extend(told.into_iter().filter(|(so, _)| *so).map(|(_, what)| what.to_owned()));
    warnings.extend(addresses("externalIPs", spec.external_ips.as_ref()));
    if external && !headless && !by_name {
        warnings.push("spec.externalIPs is deprecated and may no longer be implemented in some clusters".to_owned());
    }
    warnings.extend(address_warning(&Path::new("spec").child("loadBalancerIP"), &balancer));
    let ranges = Path::new("spec").child("loadBalancerSourceRanges");
    for (i, range) in spec.load_balancer_source_ranges.iter().flatten().enumerate() {
        warnings.extend(range_warning(&ranges.index(i), range));
    }
    if by_name && external {
        warnings.push(format!("spec.externalIPs is ignored when spec.type is {EXTERNAL_NAME:?}"));
    }
    if !by_name && !text(&spec.external_name).is_empty() {
        warnings.push(format!("spec.externalName is ignored when spec.type is not {EXTERNAL_NAME:?}"));
    }
    if spec.traffic_distribution.as_deref() == Some("PreferClose") {
        warnings.push(r#"spec.trafficDistribution: "PreferClose" is deprecated; use "PreferSameZone""#.to_owned());
    }
    warnings
}

fn sticky(spec: &ServiceSpec) -> bool {
    spec.session_affinity.as_deref() != Some("None")
}

fn addresses(field: &str, list: Option<&Vec<String>>) -> Vec<String> {
    let path = Path::new("spec").child(field);
    list.into_iter().flatten().enumerate().filter_map(|(i, own)| address_warning(&path.index(i), own)).collect()
}

/// An address of IPv6 can be written in many ways, of which one is right.
fn address_warning(path: &Path, value: &str) -> Option<String> {
    let right = value.parse::<Ipv6Addr>().ok()?.to_string();
    (right != value)
        .then(|| format!("{path}: IPv6 address {value:?} should be in RFC 5952 canonical format ({right:?})"))
}

fn range_warning(path: &Path, value: &str) -> Option<String> {
    let right = value.trim().parse::<Ipv6Net>().ok()?.to_string();
    (right != value.trim())
        .then(|| format!("{path}: IPv6 CIDR value {value:?} should be in RFC 5952 canonical format ({right:?})"))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn what_is_hardly_meant_is_told() {
        let cases: [(Value, &[&str]); 5] = [
            (json!({"type": "ClusterIP", "sessionAffinity": "None", "clusterIP": "10.0.0.1"}), &[]),
            (
                json!({"type": "ClusterIP", "clusterIP": "None", "sessionAffinity": "ClientIP", "externalIPs": ["1.2.3.4"]}),
                &[
                    "spec.externalIPs is ignored for headless services",
                    "spec.SessionAffinity is ignored for headless services",
                ],
            ),
            (
                json!({"type": "ClusterIP", "externalIPs": ["FD00::1"], "externalName": "a"}),
                &[
                    r#"spec.externalIPs[0]: IPv6 address "FD00::1" should be in RFC 5952 canonical format ("fd00::1")"#,
                    "spec.externalIPs is deprecated and may no longer be implemented in some clusters",
                    r#"spec.externalName is ignored when spec.type is not "ExternalName""#,
                ],
            ),
            (
                json!({"type": "ExternalName", "externalIPs": ["1.2.3.4"]}),
                &[r#"spec.externalIPs is ignored when spec.type is "ExternalName""#],
            ),
            (
                json!({"type": "ClusterIP", "trafficDistribution": "PreferClose"}),
                &[r#"spec.trafficDistribution: "PreferClose" is deprecated; use "PreferSameZone""#],
            ),
        ];
        for (spec, expected) in cases {
            let service: Service = serde_json::from_value(json!({"spec": spec})).unwrap();
            assert_eq!(of(&service), expected);
        }
    }
}
