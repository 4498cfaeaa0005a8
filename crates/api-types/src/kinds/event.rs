//! `v1.Event`, the form in which events of both APIs are stored.

use serde_json::Value;

use crate::{
    core::Event,
    field::{FieldError, Path},
    meta::{MicroTime, Time},
    object::{Column, Kind, SelectableField},
    table,
};

impl Kind for Event {
    const COLUMNS: &'static [Column] = COLUMNS;

    const SELECTABLE: &'static [SelectableField] = &[
        SelectableField::text("involvedObject.kind"),
        SelectableField::text("involvedObject.namespace"),
        SelectableField::text("involvedObject.name"),
        SelectableField::text("involvedObject.uid"),
        SelectableField::text("involvedObject.apiVersion"),
        SelectableField::text("involvedObject.resourceVersion"),
        SelectableField::text("involvedObject.fieldPath"),
        SelectableField::text("reason"),
        SelectableField::text("reportingComponent"),
        SelectableField::text("source").stored_at("source.component").or("reportingComponent"),
        SelectableField::text("type"),
    ];

    fn validate(&self) -> Vec<FieldError> {
        let own = self.metadata.namespace.as_deref().unwrap_or_default();
        let involved = self.involved_object.namespace.as_deref().unwrap_or_default();
        // Events about cluster-scoped objects live in `default`.
        let agrees = own == involved || (involved.is_empty() && matches!(own, "default" | "kube-system" | ""));
        if agrees {
            return Vec::new();
        }
        let detail = "does not match event.namespace";
        vec![FieldError::invalid(&Path::new("involvedObject").child("namespace"), involved, detail)]
    }

    fn cells(&self) -> Vec<Value> {
        cells(self)
    }
}

pub(super) const COLUMNS: &[Column] = &[
    Column::text("Last Seen", "Time since the event was seen last."),
    Column::text("Type", "Normal or Warning."),
    Column::text("Reason", "Why the event was recorded, in one word."),
    Column::text("Object", "What the event is about."),
    Column::text("Subobject", "The part of the object that the event is about.").wide(),
    Column::text("Source", "The component that recorded the event.").wide(),
    Column::text("Message", "What happened."),
    Column::text("First Seen", "Time since the event was seen first.").wide(),
    Column::integer("Count", "How often the event was seen.").wide(),
    Column::NAME.wide(),
];

pub(super) fn cells(event: &Event) -> Vec<Value> {
    let first = since(event.first_timestamp.as_ref(), event.event_time.as_ref());
    let (last, count) = match (&event.series, event.count.unwrap_or_default()) {
        (Some(series), _) => (since(None, series.last_observed_time.as_ref()), series.count.unwrap_or_default()),
        (None, count) => {
            let last = event.last_timestamp.as_ref().map(|time| table::age(Some(time)));
            (last.unwrap_or_else(|| first.clone()), count.max(1))
        }
    };
    let object = &event.involved_object;
    vec![
        last.into(),
        event.type_.clone().unwrap_or_default().into(),
        event.reason.clone().unwrap_or_default().into(),
        subject(object.kind.as_deref(), object.name.as_deref()).into(),
        object.field_path.clone().unwrap_or_default().into(),
        source(event).into(),
        event.message.as_deref().unwrap_or_default().trim().into(),
        first.into(),
        count.into(),
        event.metadata.name.clone().into(),
    ]
}

fn since(time: Option<&Time>, micro_time: Option<&MicroTime>) -> String {
    let micro_time = micro_time.map(|time| Time(time.0));
    table::age(time.or(micro_time.as_ref()))
}

fn subject(kind: Option<&str>, name: Option<&str>) -> String {
    let kind = kind.unwrap_or_default().to_lowercase();
    match name.unwrap_or_default() {
        "" => kind,
        name => format!("{kind}/{name}"),
    }
}

fn source(event: &Event) -> String {
    let source = event.source.as_ref();
    let pick = |old: Option<&String>, new: Option<&String>| {
        old.filter(|text| !text.is_empty()).or(new).cloned().unwrap_or_default()
    };
    let component = pick(source.and_then(|s| s.component.as_ref()), event.reporting_component.as_ref());
    let host = pick(source.and_then(|s| s.host.as_ref()), event.reporting_instance.as_ref());
    if host.is_empty() { component } else { format!("{component}, {host}") }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn events_are_shown() {
        let event: Event = serde_json::from_value(json!({
            "metadata": {"name": "a.1"},
            "involvedObject": {"kind": "Pod", "name": "a", "fieldPath": "spec.containers{c}"},
            "type": "Warning", "reason": "Failed", "message": " no image\n", "count": 3,
            "source": {"component": "kubelet", "host": "n1"},
        }))
        .unwrap();
        let expected = json!([
            "<unknown>",
            "Warning",
            "Failed",
            "pod/a",
            "spec.containers{c}",
            "kubelet, n1",
            "no image",
            "<unknown>",
            3,
            "a.1"
        ]);
        assert_eq!(Value::from(event.cells()), expected);
    }

    #[test]
    fn an_event_stands_beside_its_object() {
        let event = |own: &str, involved: &str| -> Event {
            serde_json::from_value(json!({"metadata": {"namespace": own}, "involvedObject": {"namespace": involved}}))
                .unwrap()
        };
        for (own, involved, count) in [("a", "a", 0), ("default", "", 0), ("a", "b", 1), ("a", "", 1)] {
            assert_eq!(event(own, involved).validate().len(), count, "{own} {involved}");
        }
    }
}
