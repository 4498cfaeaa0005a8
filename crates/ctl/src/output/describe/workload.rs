//! Deployments, replica sets, replication controllers.

use serde_json::Value;

use super::{Writer, controller, metadata, or_none, pairs, pod, text};
use crate::commands::pods::selector;

fn number(value: &Value) -> i64 {
    value.as_i64().unwrap_or(0)
}

/// Writes a deployment.
pub fn deployment(writer: &mut Writer, object: &Value) {
    let (spec, status) = (&object["spec"], &object["status"]);
    metadata(writer, object);
    writer.field("CreationTimestamp", text(&object["metadata"]["creationTimestamp"]));
    writer.field("Selector", or_none(&selector(object).unwrap_or_default().into()));
    writer.field(
        "Replicas",
        format!(
            "{} desired | {} updated | {} total | {} available | {} unavailable",
            number(&spec["replicas"]),
            number(&status["updatedReplicas"]),
            number(&status["replicas"]),
            number(&status["availableReplicas"]),
            number(&status["unavailableReplicas"])
        ),
    );
    writer.field("StrategyType", text(&spec["strategy"]["type"]));
    writer.field("MinReadySeconds", number(&spec["minReadySeconds"]).to_string());
    let rolling = &spec["strategy"]["rollingUpdate"];
    if rolling.is_object() {
        let (unavailable, surge) = (text(&rolling["maxUnavailable"]), text(&rolling["maxSurge"]));
        writer.field("RollingUpdateStrategy", format!("{unavailable} max unavailable, {surge} max surge"));
    }
    template(writer, &spec["template"]);
    let conditions = status["conditions"].as_array().into_iter().flatten();
    let rows: Vec<Vec<String>> = conditions
        .map(|condition| ["type", "status", "reason"].iter().map(|field| text(&condition[*field])).collect())
        .collect();
    if !rows.is_empty() {
        writer.section("Conditions", |writer| writer.table(&["Type", "Status", "Reason"], rows));
    }
}

/// Writes a replica set or a replication controller.
pub fn replica_set(writer: &mut Writer, object: &Value) {
    let (spec, status) = (&object["spec"], &object["status"]);
    metadata(writer, object);
    writer.field("Selector", or_none(&selector(object).unwrap_or_default().into()));
    controller(writer, object);
    let (current, desired) = (number(&status["replicas"]), number(&spec["replicas"]));
    writer.field("Replicas", format!("{current} current / {desired} desired"));
    template(writer, &spec["template"]);
}

fn template(writer: &mut Writer, template: &Value) {
    writer.section("Pod Template", |writer| {
        writer.list("Labels", &pairs(&template["metadata"]["labels"], "="));
        let annotations = pairs(&template["metadata"]["annotations"], ": ");
        if !annotations.is_empty() {
            writer.list("Annotations", &annotations);
        }
        pod::containers(writer, &template["spec"], None);
        pod::volumes(writer, &template["spec"]);
    });
}
