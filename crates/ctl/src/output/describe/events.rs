//! The events of an object.

use api_types::{jiff::Timestamp, meta::Time, table};
use serde_json::Value;

use super::{Writer, text};

/// Writes the table of events, oldest first.
pub fn describe(writer: &mut Writer, events: &[Value]) {
    if events.is_empty() {
        writer.field("Events", "<none>");
        return;
    }
    let mut events: Vec<&Value> = events.iter().collect();
    events.sort_by_key(|event| last_seen(event));
    writer.section("Events", |writer| {
        let rows = events.iter().map(|event| row(event)).collect();
        writer.table(&["Type", "Reason", "Age", "From", "Message"], rows);
    });
}

fn last_seen(event: &Value) -> String {
    let times = [&event["series"]["lastObservedTime"], &event["lastTimestamp"], &event["eventTime"]];
    let created = &event["metadata"]["creationTimestamp"];
    times.into_iter().find(|time| time.is_string()).map_or_else(|| text(created), text)
}

fn row(event: &Value) -> Vec<String> {
    let age = |time: &str| table::age(time.parse::<Timestamp>().ok().map(Time).as_ref());
    let count = event["series"]["count"].as_i64().or(event["count"].as_i64()).unwrap_or(1);
    let last = age(&last_seen(event));
    let seen =
        if count > 1 { format!("{last} (x{count} over {})", age(&text(&event["firstTimestamp"]))) } else { last };
    let from = [&event["source"]["component"], &event["reportingComponent"]];
    let from = from.into_iter().map(text).find(|from| !from.is_empty()).unwrap_or_default();
    vec![text(&event["type"]), text(&event["reason"]), seen, from, text(&event["message"]).trim().to_owned()]
}
