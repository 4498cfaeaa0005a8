//! Services.

use serde_json::Value;

use super::{Writer, metadata, or_none, pairs, text};

/// Writes a service.
pub fn describe(writer: &mut Writer, service: &Value) {
    let spec = &service["spec"];
    metadata(writer, service);
    writer.field("Selector", or_none(&pairs(&spec["selector"], "=").join(",").into()));
    writer.field("Type", text(&spec["type"]));
    writer.field("IP Family Policy", or_none(&spec["ipFamilyPolicy"]));
    let joined =
        |list: &Value| or_none(&list.as_array().into_iter().flatten().map(text).collect::<Vec<_>>().join(",").into());
    writer.field("IP Families", joined(&spec["ipFamilies"]));
    writer.field("IP", or_none(&spec["clusterIP"]));
    writer.field("IPs", joined(&spec["clusterIPs"]));
    if spec["externalName"].is_string() {
        writer.field("External Name", text(&spec["externalName"]));
    }
    for port in spec["ports"].as_array().into_iter().flatten() {
        let name = port["name"].as_str().unwrap_or("<unset>");
        let protocol = text(&port["protocol"]);
        writer.field("Port", format!("{name}  {}/{protocol}", text(&port["port"])));
        writer.field("TargetPort", format!("{}/{protocol}", text(&port["targetPort"])));
        if port["nodePort"].is_number() {
            writer.field("NodePort", format!("{name}  {}/{protocol}", text(&port["nodePort"])));
        }
    }
    writer.field("Session Affinity", text(&spec["sessionAffinity"]));
    for (name, field) in
        [("External Traffic Policy", "externalTrafficPolicy"), ("Internal Traffic Policy", "internalTrafficPolicy")]
    {
        if spec[field].is_string() {
            writer.field(name, text(&spec[field]));
        }
    }
}
