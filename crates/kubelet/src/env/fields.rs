//! A pod's own fields and its containers' resources, for the environment and for downward API files.

use std::collections::BTreeMap;
use std::net::IpAddr;

use api_types::core::{Container, Pod, ResourceFieldSelector};
use api_types::quantity::{Quantity, Wire};

use super::{Allocatable, EnvError};
use crate::pod::PodExt;

/// The value of `fieldPath`.
///
/// # Errors
/// When there is no such field.
pub fn field(pod: &Pod, path: &str, ips: &[IpAddr], node_ips: &[IpAddr]) -> Result<String, EnvError> {
    let meta = &pod.metadata;
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    if let Some((map, key)) = subscript(path) {
        let map = match map {
            "metadata.labels" => &meta.labels,
            "metadata.annotations" => &meta.annotations,
            _ => return Err(EnvError::Field(path.to_owned())),
        };
        return Ok(map.as_ref().and_then(|map| map.get(key)).cloned().unwrap_or_default());
    }
    Ok(match path {
        "metadata.name" => text(&meta.name),
        "metadata.namespace" => text(&meta.namespace),
        "metadata.uid" => text(&meta.uid),
        "metadata.labels" => lines(meta.labels.as_ref()),
        "metadata.annotations" => lines(meta.annotations.as_ref()),
        "spec.nodeName" => text(&pod.pod_spec().node_name),
        "spec.serviceAccountName" => text(&pod.pod_spec().service_account_name),
        "status.podIP" => first(ips),
        "status.podIPs" => joined(ips),
        "status.hostIP" => first(node_ips),
        "status.hostIPs" => joined(node_ips),
        _ => return Err(EnvError::Field(path.to_owned())),
    })
}

/// `map['key']`.
fn subscript(path: &str) -> Option<(&str, &str)> {
    let (map, key) = path.strip_suffix("']")?.split_once("['")?;
    Some((map, key))
}

/// One `key="value"` a line, as downward API files have it.
fn lines(map: Option<&BTreeMap<String, String>>) -> String {
    let lines: Vec<String> = map.into_iter().flatten().map(|(key, value)| format!("{key}={value:?}")).collect();
    lines.join("\n")
}

fn first(ips: &[IpAddr]) -> String {
    ips.first().map(IpAddr::to_string).unwrap_or_default()
}

fn joined(ips: &[IpAddr]) -> String {
    ips.iter().map(IpAddr::to_string).collect::<Vec<_>>().join(",")
}

/// The value of a `resourceFieldRef`, rounded up to whole divisors. Without a limit it is what the node has.
///
/// # Errors
/// When there is no such resource, or the divisor is no quantity.
pub fn resource(
    container: &Container,
    selector: &ResourceFieldSelector,
    allocatable: &Allocatable,
) -> Result<String, EnvError> {
    let unknown = || EnvError::Resource(format!("unsupported container resource : {}", selector.resource));
    let (list, name) = selector.resource.split_once('.').ok_or_else(unknown)?;
    let resources = container.resources.as_ref();
    let limit = resources.and_then(|resources| resources.limits.as_ref()?.get(name));
    let request = resources.and_then(|resources| resources.requests.as_ref()?.get(name));
    let parse = |wire: &Wire| Quantity::try_from(wire).map_err(|error| EnvError::Resource(error.to_string()));
    let amount = match list {
        "limits" => match limit {
            Some(limit) => parse(limit)?,
            None => allocatable.get(name).copied().unwrap_or_default(),
        },
        "requests" => request.map(parse).transpose()?.unwrap_or_default(),
        _ => return Err(unknown()),
    };
    let divisor = selector.divisor.as_ref().map(parse).transpose()?.filter(|divisor| !divisor.is_zero());
    let divisor = divisor.unwrap_or(Quantity::from_milli(1000));
    let (amount, divisor) =
        if name == "cpu" { (amount.milli_value(), divisor.milli_value()) } else { (amount.value(), divisor.value()) };
    Ok((amount / divisor.max(1) + i64::from(amount % divisor.max(1) > 0)).to_string())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn resources_are_divided_and_rounded_up() {
        let container: Container = serde_json::from_value(json!({"name": "c", "resources": {
            "limits": {"cpu": "1500m", "memory": "100Mi"}, "requests": {"cpu": "250m"}}}))
        .unwrap();
        let allocatable = Allocatable::from([("memory".to_owned(), Quantity::from_bytes(1 << 30))]);
        let cases = [
            ("limits.cpu", None, "2"),
            ("limits.cpu", Some("1m"), "1500"),
            ("requests.cpu", Some("100m"), "3"),
            ("limits.memory", Some("1Mi"), "100"),
            ("limits.memory", None, "104857600"),
            ("requests.memory", None, "0"),
            ("limits.memory", Some("3Mi"), "34"),
        ];
        for (resource_name, divisor, expected) in cases {
            let selector: ResourceFieldSelector = match divisor {
                Some(divisor) => {
                    serde_json::from_value(json!({"resource": resource_name, "divisor": divisor})).unwrap()
                }
                None => serde_json::from_value(json!({"resource": resource_name})).unwrap(),
            };
            let got = resource(&container, &selector, &allocatable).unwrap();
            assert_eq!(got, expected, "{resource_name} / {divisor:?}");
        }
    }
}
