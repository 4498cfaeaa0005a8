//! `v1.Endpoints`.

use std::net::IpAddr;

use serde_json::Value;

use crate::{
    core::{EndpointAddress, EndpointPort, EndpointSubset, Endpoints},
    field::{FieldError, Path},
    object::{Column, Kind},
    pod_spec::defaults::default_text,
    table,
    validation::{endpoint, names, number},
};

impl Kind for Endpoints {
    const COLUMNS: &'static [Column] = &[
        Column::NAME,
        Column::text(
            "Endpoints",
            "The set of all endpoints is the union of all subsets. Addresses are placed into subsets according to the IPs they share. A single address with multiple ports, some of which are ready and some of which are not (because they come from different containers) will result in the address being displayed in different subsets for the different ports. No address will appear in both Addresses and NotReadyAddresses in the same subset. Sets of addresses and ports that comprise a service.",
        ),
        Column::AGE,
    ];

    fn set_defaults(&mut self) {
        let subsets = self.subsets.iter_mut().flatten();
        for port in subsets.flat_map(|subset| subset.ports.iter_mut().flatten()) {
            default_text(&mut port.protocol, "TCP");
        }
    }

    fn validate(&self) -> Vec<FieldError> {
        let path = Path::new("subsets");
        let subsets = self.subsets.iter().flatten().enumerate();
        subsets.flat_map(|(i, subset)| validate_subset(&path.index(i), subset)).collect()
    }

    fn cells(&self) -> Vec<Value> {
        vec![
            self.metadata.name.clone().into(),
            addresses(self.subsets.as_deref().unwrap_or_default()).into(),
            table::age(self.metadata.creation_timestamp.as_ref()).into(),
        ]
    }
}

fn addresses(subsets: &[EndpointSubset]) -> String {
    if subsets.is_empty() {
        return table::NONE.to_owned();
    }
    let mut all = Vec::new();
    for subset in subsets {
        let addresses = subset.addresses.as_deref().unwrap_or_default();
        let ports = subset.ports.as_deref().unwrap_or_default();
        if ports.is_empty() {
            all.extend(addresses.iter().map(|address| address.ip.clone()));
        }
        for port in ports {
            all.extend(addresses.iter().map(|address| match address.ip.parse() {
                Ok(IpAddr::V6(ip)) => format!("[{ip}]:{}", port.port),
                _ => format!("{}:{}", address.ip, port.port),
            }));
        }
    }
    table::at_most_three(&all, all.len(), "")
}

fn validate_subset(path: &Path, subset: &EndpointSubset) -> Vec<FieldError> {
    let ready = subset.addresses.as_deref().unwrap_or_default();
    let not_ready = subset.not_ready_addresses.as_deref().unwrap_or_default();
    let ports = subset.ports.as_deref().unwrap_or_default();
    let mut errors = Vec::new();
    if ready.is_empty() && not_ready.is_empty() {
        errors.push(FieldError::required(path, "must specify `addresses` or `notReadyAddresses`"));
    }
    for (field, addresses) in [("addresses", ready), ("notReadyAddresses", not_ready)] {
        for (i, address) in addresses.iter().enumerate() {
            errors.extend(validate_address(&path.child(field).index(i), address));
        }
    }
    for (i, port) in ports.iter().enumerate() {
        errors.extend(validate_port(&path.child("ports").index(i), port, ports.len() > 1));
    }
    errors
}

fn validate_address(path: &Path, address: &EndpointAddress) -> Vec<FieldError> {
    let ip_path = path.child("ip");
    let ip = address.ip.as_str();
    let mut errors: Vec<FieldError> = names::ip(ip).into_iter().map(|e| FieldError::invalid(&ip_path, ip, e)).collect();
    if let Some(hostname) = address.hostname.as_deref().filter(|hostname| !hostname.is_empty()) {
        let wrong = names::dns1123_label(hostname);
        errors.extend(wrong.into_iter().map(|e| FieldError::invalid(&path.child("hostname"), hostname, e)));
    }
    if let Some(node) = address.node_name.as_deref() {
        errors.extend(names::check(names::dns1123_subdomain, &path.child("nodeName"), node));
    }
    if errors.is_empty() {
        errors.extend(endpoint::special_ip(&ip_path, ip));
    }
    errors
}

fn validate_port(path: &Path, port: &EndpointPort, several: bool) -> Vec<FieldError> {
    let mut errors = Vec::new();
    match port.name.as_deref().unwrap_or_default() {
        "" if several => errors.push(FieldError::required(&path.child("name"), "")),
        "" => {}
        name => {
            let wrong = names::dns1123_label(name);
            errors.extend(wrong.into_iter().map(|e| FieldError::invalid(&path.child("name"), name, e)));
        }
    }
    errors.extend(number::port(&path.child("port"), port.port));
    errors.extend(endpoint::protocol(&path.child("protocol"), port.protocol.as_deref()));
    if let Some(protocol) = port.app_protocol.as_deref() {
        errors.extend(names::check(names::qualified_name, &path.child("appProtocol"), protocol));
    }
    errors
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn endpoints(value: Value) -> Endpoints {
        let mut endpoints: Endpoints = serde_json::from_value(value).unwrap();
        endpoints.set_defaults();
        endpoints
    }

    #[test]
    fn three_addresses_are_shown() {
        let ips = |n: usize| (1..=n).map(|i| json!({"ip": format!("10.0.0.{i}")})).collect::<Vec<_>>();
        let cases = [
            (json!({}), "<none>"),
            (json!({"subsets": [{"addresses": ips(1)}]}), "10.0.0.1"),
            (json!({"subsets": [{"addresses": [{"ip": "fd00::1"}], "ports": [{"port": 80}]}]}), "[fd00::1]:80"),
            (
                json!({"subsets": [{"addresses": ips(2), "ports": [{"name": "a", "port": 80}, {"name": "b", "port": 81}]}]}),
                "10.0.0.1:80,10.0.0.2:80,10.0.0.1:81 + 1 more...",
            ),
            (json!({"subsets": [{"notReadyAddresses": ips(2)}]}), ""),
        ];
        for (value, text) in cases {
            assert_eq!(endpoints(value).cells()[1], text);
        }
    }

    #[test]
    fn mistakes_are_told() {
        let cases = [
            (json!({"subsets": [{"addresses": [{"ip": "10.0.0.1"}], "ports": [{"port": 80}]}]}), vec![]),
            (
                json!({"subsets": [{}]}),
                vec!["subsets[0]: Required value: must specify `addresses` or `notReadyAddresses`"],
            ),
            (
                json!({"subsets": [{"addresses": [{"ip": "127.0.0.1"}], "ports": [{"port": 0}]}]}),
                vec![
                    r#"subsets[0].addresses[0].ip: Invalid value: "127.0.0.1": may not be in the loopback range (127.0.0.0/8, ::1/128)"#,
                    "subsets[0].ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive",
                ],
            ),
        ];
        for (value, expected) in cases {
            let errors: Vec<String> = endpoints(value).validate().iter().map(ToString::to_string).collect();
            assert_eq!(errors, expected);
        }
    }
}
