//! Nodes.

use serde_json::Value;

use super::{Writer, labels, text};

/// Writes a node.
pub fn describe(writer: &mut Writer, node: &Value) {
    let (spec, status) = (&node["spec"], &node["status"]);
    writer.field("Name", text(&node["metadata"]["name"]));
    let roles = node["metadata"]["labels"].as_object().into_iter().flatten();
    let roles: Vec<&str> = roles.filter_map(|(label, _)| label.strip_prefix("node-role.kubernetes.io/")).collect();
    writer.field("Roles", if roles.is_empty() { "<none>".to_owned() } else { roles.join(",") });
    labels(writer, node);
    writer.field("CreationTimestamp", text(&node["metadata"]["creationTimestamp"]));
    let taints = spec["taints"].as_array().into_iter().flatten();
    let taint = |taint: &Value| {
        let value = taint["value"].as_str().filter(|value| !value.is_empty()).map(|value| format!("={value}"));
        format!("{}{}:{}", text(&taint["key"]), value.unwrap_or_default(), text(&taint["effect"]))
    };
    writer.list("Taints", &taints.map(taint).collect::<Vec<_>>());
    writer.field("Unschedulable", (spec["unschedulable"] == true).to_string());
    writer.section("Conditions", |writer| {
        let fields = ["type", "status", "lastHeartbeatTime", "lastTransitionTime", "reason", "message"];
        let conditions = status["conditions"].as_array().into_iter().flatten();
        let rows = conditions.map(|condition| fields.iter().map(|field| text(&condition[*field])).collect()).collect();
        writer.table(&["Type", "Status", "LastHeartbeatTime", "LastTransitionTime", "Reason", "Message"], rows);
    });
    writer.section("Addresses", |writer| {
        for address in status["addresses"].as_array().into_iter().flatten() {
            writer.field(&text(&address["type"]), text(&address["address"]));
        }
    });
    for (name, field) in [("Capacity", "capacity"), ("Allocatable", "allocatable")] {
        writer.section(name, |writer| {
            for (resource, amount) in status[field].as_object().into_iter().flatten() {
                writer.field(resource, text(amount));
            }
        });
    }
    writer.section("System Info", |writer| {
        for (name, value) in status["nodeInfo"].as_object().into_iter().flatten() {
            writer.field(name, text(value));
        }
    });
    for (name, field) in [("PodCIDR", "podCIDR"), ("ProviderID", "providerID")] {
        if spec[field].is_string() {
            writer.field(name, text(&spec[field]));
        }
    }
}
