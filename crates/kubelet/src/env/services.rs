//! The variables by which containers of old find services: `FOO_SERVICE_HOST`, and Docker's links.

use std::collections::BTreeMap;
use std::sync::Arc;

use api_types::core::{Pod, Service, ServicePort};
use component::informer::Store;

use crate::pod::PodExt;

/// The service of the API itself, which every pod is told of.
const MASTER: (&str, &str) = ("default", "kubernetes");

/// The variables for a pod: of the API's service always, of its namespace's unless `enableServiceLinks` is false.
#[must_use]
pub fn of_pod(pod: &Pod, services: &Store<Service>) -> BTreeMap<String, String> {
    let links = pod.pod_spec().enable_service_links != Some(false);
    let own = if links { services.list_namespace(&pod.key().namespace) } else { Vec::new() };
    let master = services.get(&component::informer::ObjectKey::new(MASTER.0, MASTER.1));
    variables(master.into_iter().chain(own))
}

/// The variables of services that have an address.
#[must_use]
pub fn variables(services: impl Iterator<Item = Arc<Service>>) -> BTreeMap<String, String> {
    let mut variables = BTreeMap::new();
    for service in services {
        add(&service, &mut variables);
    }
    variables
}

fn add(service: &Service, variables: &mut BTreeMap<String, String>) {
    let Some(spec) = &service.spec else { return };
    let address = spec.cluster_ip.as_deref().unwrap_or_default();
    let ports = spec.ports.as_deref().unwrap_or_default();
    let Some(first) = ports.first().filter(|_| !matches!(address, "" | "None")) else { return };
    let prefix = variable_name(service.metadata.name.as_deref().unwrap_or_default());
    variables.insert(format!("{prefix}_SERVICE_HOST"), address.to_owned());
    variables.insert(format!("{prefix}_SERVICE_PORT"), first.port.to_string());
    for port in ports {
        if let Some(name) = port.name.as_deref().filter(|name| !name.is_empty()) {
            variables.insert(format!("{prefix}_SERVICE_PORT_{}", variable_name(name)), port.port.to_string());
        }
    }
    variables.insert(format!("{prefix}_PORT"), url(address, first));
    for port in ports {
        let link = format!("{prefix}_PORT_{}_{}", port.port, protocol(port));
        variables.insert(format!("{link}_PROTO"), protocol(port).to_ascii_lowercase());
        variables.insert(format!("{link}_PORT"), port.port.to_string());
        variables.insert(format!("{link}_ADDR"), address.to_owned());
        variables.insert(link, url(address, port));
    }
}

fn protocol(port: &ServicePort) -> &str {
    port.protocol.as_deref().unwrap_or("TCP")
}

fn url(address: &str, port: &ServicePort) -> String {
    let host = if address.contains(':') { format!("[{address}]") } else { address.to_owned() };
    format!("{}://{host}:{}", protocol(port).to_ascii_lowercase(), port.port)
}

fn variable_name(name: &str) -> String {
    name.to_ascii_uppercase().replace('-', "_")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn services_become_variables() {
        let service = json!({"metadata": {"name": "my-db"}, "spec": {"clusterIP": "10.96.0.9",
            "ports": [{"name": "sql-x", "port": 5432}, {"name": "m", "port": 53, "protocol": "UDP"}]}});
        let headless = json!({"metadata": {"name": "h"}, "spec": {"clusterIP": "None", "ports": [{"port": 1}]}});
        let services = [service, headless].map(|value| Arc::new(serde_json::from_value(value).unwrap()));
        let variables = variables(services.into_iter());
        let expected = [
            ("MY_DB_PORT", "tcp://10.96.0.9:5432"),
            ("MY_DB_PORT_53_UDP", "udp://10.96.0.9:53"),
            ("MY_DB_PORT_53_UDP_ADDR", "10.96.0.9"),
            ("MY_DB_PORT_53_UDP_PORT", "53"),
            ("MY_DB_PORT_53_UDP_PROTO", "udp"),
            ("MY_DB_PORT_5432_TCP", "tcp://10.96.0.9:5432"),
            ("MY_DB_PORT_5432_TCP_ADDR", "10.96.0.9"),
            ("MY_DB_PORT_5432_TCP_PORT", "5432"),
            ("MY_DB_PORT_5432_TCP_PROTO", "tcp"),
            ("MY_DB_SERVICE_HOST", "10.96.0.9"),
            ("MY_DB_SERVICE_PORT", "5432"),
            ("MY_DB_SERVICE_PORT_M", "53"),
            ("MY_DB_SERVICE_PORT_SQL_X", "5432"),
        ];
        let got: Vec<(&str, &str)> = variables.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(got, expected);
    }
}
