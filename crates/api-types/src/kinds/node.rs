//! `v1.Node`.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::{
    core::Node,
    field::{FieldError, Path},
    object::{Column, Kind, SelectableField},
    quantity, table,
    validation::taints,
};

const UNKNOWN: &str = "<unknown>";

impl Kind for Node {
    const COLUMNS: &'static [Column] = &[
        Column::NAME,
        Column::text("Status", "The status of the node"),
        Column::text("Roles", "The roles of the node"),
        Column::AGE,
        Column::text("Version", "Kubelet Version reported by the node."),
        Column::text("Internal-IP", "List of addresses reachable to the node. Queried from cloud provider, if available. More info: https://kubernetes.io/docs/reference/node/node-status/#addresses Note: This field is declared as mergeable, but the merge key is not sufficiently unique, which can cause data corruption when it is merged. Callers should instead use a full-replacement patch. See https://pr.k8s.io/79391 for an example. Consumers should assume that addresses can change during the lifetime of a Node. However, there are some exceptions where this may not be possible, such as Pods that inherit a Node's address in its own status or consumers of the downward API (status.hostIP).").wide(),
        Column::text("External-IP", "List of addresses reachable to the node. Queried from cloud provider, if available. More info: https://kubernetes.io/docs/reference/node/node-status/#addresses Note: This field is declared as mergeable, but the merge key is not sufficiently unique, which can cause data corruption when it is merged. Callers should instead use a full-replacement patch. See https://pr.k8s.io/79391 for an example. Consumers should assume that addresses can change during the lifetime of a Node. However, there are some exceptions where this may not be possible, such as Pods that inherit a Node's address in its own status or consumers of the downward API (status.hostIP).").wide(),
        Column::text("OS-Image", "OS Image reported by the node from /etc/os-release (e.g. Debian GNU/Linux 7 (wheezy)).").wide(),
        Column::text("Kernel-Version", "Kernel Version reported by the node from 'uname -r' (e.g. 3.16.0-0.bpo.4-amd64).").wide(),
        Column::text("Container-Runtime", "ContainerRuntime Version reported by the node through runtime remote API (e.g. containerd://1.4.2).").wide(),
    ];

    const SELECTABLE: &'static [SelectableField] = &[SelectableField::boolean("spec.unschedulable")];

    fn set_defaults(&mut self) {
        self.spec.get_or_insert_default();
        let status = self.status.get_or_insert_default();
        for list in [&mut status.capacity, &mut status.allocatable].into_iter().flatten() {
            quantity::canonicalize(list);
        }
        if status.allocatable.is_none() {
            status.allocatable.clone_from(&status.capacity);
        }
        one_pod_cidr(self);
    }

    fn validate(&self) -> Vec<FieldError> {
        let Some(spec) = &self.spec else { return Vec::new() };
        let path = Path::new("spec");
        let mut errors = taints::validate(&path.child("taints"), spec.taints.as_deref().unwrap_or_default());
        errors.extend(capacity(self));
        errors.extend(pod_cidrs(&path.child("podCIDRs"), spec.pod_cidrs.as_deref().unwrap_or_default()));
        errors
    }

    fn validate_status_update(&self, _: &Self) -> Vec<FieldError> {
        capacity(self)
    }

    fn validate_update(&self, old: &Self) -> Vec<FieldError> {
        let (Some(new), Some(old)) = (&self.spec, &old.spec) else { return Vec::new() };
        let path = Path::new("spec");
        let mut errors = Vec::new();
        if old.pod_cidrs.as_ref().is_some_and(|cidrs| !cidrs.is_empty()) && new.pod_cidrs != old.pod_cidrs {
            let detail = "node updates may not change podCIDR except from \"\" to valid";
            errors.push(FieldError::forbidden(&path.child("podCIDRs"), detail));
        }
        if old.provider_id.as_ref().is_some_and(|id| !id.is_empty()) && new.provider_id != old.provider_id {
            let detail = "node updates may not change providerID except from \"\" to valid";
            errors.push(FieldError::forbidden(&path.child("providerID"), detail));
        }
        errors
    }

    fn warnings(&self, _old: Option<&Self>) -> Vec<String> {
        let Some(spec) = &self.spec else { return Vec::new() };
        let source = spec.config_source.is_some().then_some("spec.configSource: the feature is removed");
        let id = spec.external_id.as_ref().is_some_and(|id| !id.is_empty());
        let id = id.then_some("spec.externalID: this field is deprecated, and is unused by Kubernetes");
        source.into_iter().chain(id).map(str::to_owned).collect()
    }

    fn cells(&self) -> Vec<Value> {
        let info = self.status.as_ref().and_then(|status| status.node_info.as_ref());
        let known = |text: Option<&String>| {
            text.filter(|text| !text.is_empty()).map_or_else(|| UNKNOWN.to_owned(), Clone::clone)
        };
        vec![
            self.metadata.name.clone().into(),
            status(self).into(),
            roles(self).into(),
            table::age(self.metadata.creation_timestamp.as_ref()).into(),
            info.map(|info| info.kubelet_version.clone()).unwrap_or_default().into(),
            address(self, "InternalIP").into(),
            address(self, "ExternalIP").into(),
            known(info.map(|info| &info.os_image)).into(),
            known(info.map(|info| &info.kernel_version)).into(),
            known(info.map(|info| &info.container_runtime_version)).into(),
        ]
    }
}

/// Networks of pods: one of each family at most.
fn pod_cidrs(path: &Path, cidrs: &[String]) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let mut networks = Vec::new();
    for (i, cidr) in cidrs.iter().enumerate() {
        let detail = match cidr.parse::<ipnet::IpNet>() {
            Err(_) => "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)",
            Ok(network) => {
                networks.push(network);
                if network.trunc() == network {
                    continue;
                }
                "must not have bits set beyond the prefix length"
            }
        };
        errors.push(FieldError::invalid(&path.index(i), cidr.as_str(), detail));
    }
    let of = |wanted: fn(&ipnet::IpNet) -> bool| networks.iter().filter(|network| wanted(network)).count();
    let (v4, v6) = (of(|net| matches!(net, ipnet::IpNet::V4(_))), of(|net| matches!(net, ipnet::IpNet::V6(_))));
    if v4 > 1 || v6 > 1 {
        let detail = "may specify no more than one CIDR for each IP family";
        errors.push(FieldError::invalid(path, cidrs.to_vec(), detail));
    }
    errors
}

/// What a node has is not less than nothing, and whole where it is counted.
fn capacity(node: &Node) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let amounts = node.status.as_ref().and_then(|status| status.capacity.as_ref());
    for (name, wire) in amounts.into_iter().flatten() {
        let path = Path::new("status").child("capacity").child(name);
        let amount = match quantity::Quantity::try_from(wire) {
            Ok(amount) => amount,
            Err(error) => {
                errors.push(FieldError::invalid(&path, wire.0.as_str(), error.to_string()));
                continue;
            }
        };
        let counted = name == "pods" || (name.contains('/') && !name.contains("kubernetes.io/"));
        if amount.is_negative() {
            let detail = "must be greater than or equal to 0";
            errors.push(FieldError::invalid(&path, amount.to_string(), detail));
        } else if counted && !amount.is_whole() {
            errors.push(FieldError::invalid(&path, amount.to_string(), "must be an integer"));
        }
    }
    errors
}

/// `podCIDR` is the first of `podCIDRs`; where they disagree it counts.
fn one_pod_cidr(node: &mut Node) {
    let Some(spec) = &mut node.spec else { return };
    let first = spec.pod_cidrs.as_ref().and_then(|cidrs| cidrs.first());
    match spec.pod_cidr.as_ref().filter(|cidr| !cidr.is_empty()) {
        Some(cidr) if first != Some(cidr) => spec.pod_cidrs = Some(vec![cidr.clone()]),
        Some(_) => {}
        None => spec.pod_cidr = first.cloned(),
    }
}

fn status(node: &Node) -> String {
    let mut conditions = node.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let mut words = match conditions.rfind(|condition| condition.type_ == "Ready") {
        Some(ready) if ready.status == "True" => vec!["Ready"],
        Some(_) => vec!["NotReady"],
        None => vec!["Unknown"],
    };
    if node.spec.as_ref().is_some_and(|spec| spec.unschedulable == Some(true)) {
        words.push("SchedulingDisabled");
    }
    words.join(",")
}

fn roles(node: &Node) -> String {
    let labels = node.metadata.labels.iter().flatten();
    let roles: BTreeSet<&str> = labels
        .filter_map(|(key, value)| match key.strip_prefix("node-role.kubernetes.io/") {
            Some(role) => Some(role),
            None if key == "kubernetes.io/role" => Some(value.as_str()),
            None => None,
        })
        .filter(|role| !role.is_empty())
        .collect();
    table::or_none(Some(&roles.into_iter().collect::<Vec<_>>().join(",")))
}

fn address(node: &Node, kind: &str) -> String {
    let addresses = node.status.iter().flat_map(|status| status.addresses.iter().flatten());
    table::or_none(addresses.filter(|address| address.type_ == kind).map(|address| address.address.as_str()).next())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn node(value: Value) -> Node {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn status_and_roles_are_told() {
        let ready = |status: &str| json!([{"type": "Ready", "status": status}]);
        let cases = [
            (json!({}), "Unknown", "<none>"),
            (json!({"status": {"conditions": ready("True")}}), "Ready", "<none>"),
            (json!({"status": {"conditions": ready("Unknown")}}), "NotReady", "<none>"),
            (
                json!({
                    "metadata": {"labels": {"node-role.kubernetes.io/worker": "", "kubernetes.io/role": "edge"}},
                    "spec": {"unschedulable": true},
                    "status": {"conditions": ready("True")},
                }),
                "Ready,SchedulingDisabled",
                "edge,worker",
            ),
        ];
        for (value, status, roles) in cases {
            let cells = node(value).cells();
            assert_eq!((&cells[1], &cells[2]), (&json!(status), &json!(roles)));
        }
    }

    #[test]
    fn a_pod_cidr_is_both_fields_and_stays() {
        let mut old = node(json!({"spec": {"podCIDR": "10.0.0.0/24"}}));
        old.set_defaults();
        assert_eq!(old.spec.as_ref().unwrap().pod_cidrs, Some(vec!["10.0.0.0/24".to_owned()]));
        let mut new = node(json!({"spec": {"podCIDR": "10.0.1.0/24"}}));
        new.set_defaults();
        assert_eq!(
            new.validate_update(&old)[0].to_string(),
            "spec.podCIDRs: Forbidden: node updates may not change podCIDR except from \"\" to valid"
        );
    }

    #[test]
    fn networks_and_capacity_are_checked() {
        let cases = [
            (
                json!({"spec": {"podCIDRs": ["10.0.0.0/24", "fd00::/64"]}, "status": {"capacity": {"cpu": "1500m"}}}),
                vec![],
            ),
            (
                json!({"spec": {"podCIDRs": ["10.0.0.1/24", "10.0.1.0/24"]}}),
                vec![
                    r#"spec.podCIDRs[0]: Invalid value: "10.0.0.1/24": must not have bits set beyond the prefix length"#,
                    r#"spec.podCIDRs: Invalid value: ["10.0.0.1/24","10.0.1.0/24"]: may specify no more than one CIDR for each IP family"#,
                ],
            ),
            (
                json!({"spec": {}, "status": {"capacity": {"cpu": "-1", "pods": "1500m"}}}),
                vec![
                    r#"status.capacity.cpu: Invalid value: "-1": must be greater than or equal to 0"#,
                    r#"status.capacity.pods: Invalid value: "1500m": must be an integer"#,
                ],
            ),
        ];
        for (value, expected) in cases {
            let errors: Vec<String> = node(value).validate().iter().map(ToString::to_string).collect();
            assert_eq!(errors, expected);
        }
    }

    #[test]
    fn allocatable_defaults_to_capacity() {
        let mut node = node(json!({"status": {"capacity": {"cpu": "0.5"}}}));
        node.set_defaults();
        assert_eq!(node.status.unwrap().allocatable.unwrap()["cpu"].0, "500m");
    }
}
