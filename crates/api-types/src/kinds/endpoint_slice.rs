//! `discovery.k8s.io/v1.EndpointSlice`.

use serde_json::Value;

use crate::{
    discovery::{Endpoint, EndpointPort, EndpointSlice},
    field::{FieldError, Path},
    object::{Column, Kind},
    table,
    validation::{endpoint, meta::immutable, names},
};

const ADDRESS_TYPES: [&str; 3] = ["FQDN", "IPv4", "IPv6"];
const MAX_ENDPOINTS: usize = 1000;
const MAX_PORTS: usize = 20_000;
const MAX_ADDRESSES: usize = 100;

impl Kind for EndpointSlice {
    const COLUMNS: &'static [Column] = &[
        Column::NAME,
        Column::text("AddressType", "What the addresses are."),
        Column::text("Ports", "Ports that each endpoint has."),
        Column::text("Endpoints", "Addresses of the endpoints."),
        Column::AGE,
    ];

    fn set_defaults(&mut self) {
        for port in self.ports.iter_mut().flatten() {
            port.name.get_or_insert_default();
            port.protocol.get_or_insert_with(|| "TCP".to_owned());
        }
    }

    fn validate(&self) -> Vec<FieldError> {
        let mut errors = Vec::new();
        match self.address_type.as_str() {
            "" => errors.push(FieldError::required(&Path::new("addressType"), "")),
            kind if !ADDRESS_TYPES.contains(&kind) => {
                errors.push(FieldError::not_supported(&Path::new("addressType"), kind, &ADDRESS_TYPES));
            }
            kind => errors.extend(validate_endpoints(kind, self.endpoints.as_deref().unwrap_or_default())),
        }
        errors.extend(validate_ports(self.ports.as_deref().unwrap_or_default()));
        errors
    }

    fn validate_update(&self, old: &Self) -> Vec<FieldError> {
        immutable(&Path::new("addressType"), &self.address_type, &old.address_type).into_iter().collect()
    }

    fn cells(&self) -> Vec<Value> {
        vec![
            self.metadata.name.clone().into(),
            self.address_type.clone().into(),
            ports(self.ports.as_deref().unwrap_or_default()).into(),
            addresses(self.endpoints.as_deref().unwrap_or_default()).into(),
            table::age(self.metadata.creation_timestamp.as_ref()).into(),
        ]
    }
}

fn ports(ports: &[EndpointPort]) -> String {
    let number = |port: &EndpointPort| port.port.map_or_else(|| "*".to_owned(), |port| port.to_string());
    let first: Vec<String> = ports.iter().take(3).map(number).collect();
    table::at_most_three(&first, ports.len(), "<unset>")
}

fn addresses(endpoints: &[Endpoint]) -> String {
    let all: Vec<String> = endpoints.iter().flat_map(|endpoint| endpoint.addresses.iter().cloned()).collect();
    table::at_most_three(&all, all.len(), "<unset>")
}

fn validate_endpoints(kind: &str, endpoints: &[Endpoint]) -> Vec<FieldError> {
    let path = Path::new("endpoints");
    if endpoints.len() > MAX_ENDPOINTS {
        return vec![FieldError::too_many(&path, endpoints.len(), MAX_ENDPOINTS)];
    }
    let indexed = endpoints.iter().enumerate();
    indexed.flat_map(|(i, endpoint)| validate_endpoint(&path.index(i), kind, endpoint)).collect()
}

fn validate_endpoint(path: &Path, kind: &str, endpoint: &Endpoint) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let addresses_path = path.child("addresses");
    match endpoint.addresses.len() {
        0 => errors.push(FieldError::required(&addresses_path, "must contain at least 1 address")),
        count if count > MAX_ADDRESSES => errors.push(FieldError::too_many(&addresses_path, count, MAX_ADDRESSES)),
        _ => {}
    }
    for (i, address) in endpoint.addresses.iter().enumerate() {
        errors.extend(validate_address(&addresses_path.index(i), kind, address));
    }
    if let Some(hostname) = endpoint.hostname.as_deref() {
        let wrong = names::dns1123_label(hostname);
        errors.extend(wrong.into_iter().map(|e| FieldError::invalid(&path.child("hostname"), hostname, e)));
    }
    if let Some(node) = endpoint.node_name.as_deref() {
        let wrong = names::dns1123_subdomain(node);
        errors.extend(wrong.into_iter().map(|e| FieldError::invalid(&path.child("nodeName"), node, e)));
    }
    errors.extend(zones(&path.child("hints").child("forZones"), endpoint));
    errors
}

const MAX_ZONES: usize = 8;

fn zones(path: &Path, endpoint: &Endpoint) -> Vec<FieldError> {
    let zones = endpoint.hints.as_ref().and_then(|hints| hints.for_zones.as_deref()).unwrap_or_default();
    if zones.len() > MAX_ZONES {
        return vec![FieldError::too_many(path, zones.len(), MAX_ZONES)];
    }
    let mut errors = Vec::new();
    let mut seen = std::collections::BTreeSet::new();
    for (i, zone) in zones.iter().enumerate() {
        let path = path.index(i).child("name");
        if !seen.insert(&zone.name) {
            errors.push(FieldError::duplicate(&path, zone.name.as_str()));
        }
        errors.extend(names::check(names::label_value, &path, &zone.name));
    }
    errors
}

fn validate_address(path: &Path, kind: &str, address: &str) -> Vec<FieldError> {
    let wrong = match kind {
        "IPv4" if address.parse::<std::net::Ipv4Addr>().is_err() => vec!["must be a valid IPv4 address".to_owned()],
        "IPv6" => match address.parse::<std::net::Ipv6Addr>() {
            Err(_) => vec!["must be a valid IPv6 address".to_owned()],
            Ok(ip) if ip.to_string() != address => vec![format!("must be in canonical form (\"{ip}\")")],
            Ok(_) => Vec::new(),
        },
        "FQDN" => names::dns1123_subdomain(address.strip_suffix('.').unwrap_or(address)),
        _ => Vec::new(),
    };
    if wrong.is_empty() && kind != "FQDN" {
        return endpoint::special_ip(path, address).into_iter().collect();
    }
    wrong.into_iter().map(|error| FieldError::invalid(path, address, error)).collect()
}

fn validate_ports(ports: &[EndpointPort]) -> Vec<FieldError> {
    let path = Path::new("ports");
    if ports.len() > MAX_PORTS {
        return vec![FieldError::too_many(&path, ports.len(), MAX_PORTS)];
    }
    let mut errors = Vec::new();
    let mut seen = std::collections::BTreeSet::new();
    for (i, port) in ports.iter().enumerate() {
        let path = path.index(i);
        let name = port.name.as_deref().unwrap_or_default();
        if !name.is_empty() {
            let wrong = names::dns1123_label(name);
            errors.extend(wrong.into_iter().map(|e| FieldError::invalid(&path.child("name"), name, e)));
        }
        if !seen.insert(name) {
            errors.push(FieldError::duplicate(&path.child("name"), name));
        }
        match port.protocol.as_deref() {
            Some("") => {
                errors.push(FieldError::not_supported(&path.child("protocol"), "", &endpoint::PROTOCOLS));
            }
            protocol => errors.extend(endpoint::protocol(&path.child("protocol"), protocol)),
        }
        if let Some(protocol) = port.app_protocol.as_deref() {
            errors.extend(names::check(names::qualified_name, &path.child("appProtocol"), protocol));
        }
    }
    errors
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn slice(value: Value) -> EndpointSlice {
        let mut slice: EndpointSlice = serde_json::from_value(value).unwrap();
        slice.set_defaults();
        slice
    }

    #[test]
    fn ports_and_addresses_are_shown() {
        let cells = slice(json!({
            "addressType": "IPv4",
            "ports": [{"port": 80}, {}],
            "endpoints": [{"addresses": ["10.0.0.1"]}, {"addresses": ["10.0.0.2"]}, {"addresses": ["10.0.0.3"]}, {"addresses": ["10.0.0.4"]}],
        }))
        .cells();
        assert_eq!((&cells[2], &cells[3]), (&json!("80,*"), &json!("10.0.0.1,10.0.0.2,10.0.0.3 + 1 more...")));
        let empty = slice(json!({"addressType": "IPv4"})).cells();
        assert_eq!((&empty[2], &empty[3]), (&json!("<unset>"), &json!("<unset>")));
    }

    #[test]
    fn mistakes_are_told() {
        let cases = [
            (
                json!({"addressType": "IPv4", "endpoints": [{"addresses": ["10.0.0.1"]}], "ports": [{"port": 80}]}),
                vec![],
            ),
            (
                json!({"addressType": "X"}),
                vec![r#"addressType: Unsupported value: "X": supported values: "FQDN", "IPv4", "IPv6""#],
            ),
            (
                json!({"addressType": "IPv4", "endpoints": [{"addresses": []}, {"addresses": ["fd00::1"]}]}),
                vec![
                    "endpoints[0].addresses: Required value: must contain at least 1 address",
                    r#"endpoints[1].addresses[0]: Invalid value: "fd00::1": must be a valid IPv4 address"#,
                ],
            ),
            (json!({"addressType": "IPv4", "ports": [{"name": "a", "port": -1}, {"port": 65536}]}), vec![]),
            (
                json!({"addressType": "IPv6", "endpoints": [{"addresses": ["FD00::1"], "hints": {"forZones": [{"name": "a"}, {"name": "a"}]}}]}),
                vec![
                    r#"endpoints[0].addresses[0]: Invalid value: "FD00::1": must be in canonical form ("fd00::1")"#,
                    r#"endpoints[0].hints.forZones[1].name: Duplicate value: "a""#,
                ],
            ),
            (
                json!({"addressType": "IPv4", "ports": [{"protocol": "", "appProtocol": "a b"}]}),
                vec![
                    r#"ports[0].protocol: Unsupported value: "": supported values: "SCTP", "TCP", "UDP""#,
                    r#"ports[0].appProtocol: Invalid value: "a b": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"#,
                ],
            ),
            (json!({"addressType": "IPv4", "ports": [{}, {}]}), vec![r#"ports[1].name: Duplicate value: """#]),
        ];
        for (value, expected) in cases {
            let errors: Vec<String> = slice(value).validate().iter().map(ToString::to_string).collect();
            assert_eq!(errors, expected);
        }
    }
}
