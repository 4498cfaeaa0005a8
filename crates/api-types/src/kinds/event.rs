//! `v1.Event`, the form in which events of both APIs are stored.

use serde_json::Value;

use crate::{
    core::Event,
    field::{FieldError, Path},
    meta::{MicroTime, Time},
    object::{Column, Kind, SelectableField},
    table,
    validation::names,
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
        validate(self, "reportingComponent")
    }

    fn cells(&self) -> Vec<Value> {
        cells(self)
    }
}

/// So long may be who reports, what was done and why, in bytes.
const MAX_WORD: usize = 128;
const MAX_MESSAGE: usize = 1024;

/// What is wrong with an event, by whichever API it comes; who reports has a name of its own in each. Events with a time
/// are told in the new style, and have to say more.
pub(super) fn validate(event: &Event, reporter: &str) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let own = event.metadata.namespace.as_deref().unwrap_or_default();
    let involved = event.involved_object.namespace.as_deref().unwrap_or_default();
    let new_style = event.event_time.is_some();
    // Events about cluster-scoped objects live in `default`.
    let agrees = match (new_style, involved) {
        (true, "") => matches!(own, "default" | "kube-system"),
        (false, "") => matches!(own, "default" | ""),
        (new_style, involved) => new_style || own == involved,
    };
    if !agrees {
        let path = Path::new("involvedObject").child("namespace");
        errors.push(FieldError::invalid(&path, involved, "does not match event.namespace"));
    }
    if new_style {
        let (path, name) = (Path::new(reporter), event.reporting_component.as_deref().unwrap_or_default());
        errors.extend(names::required(&path, name));
        errors.extend(names::check(names::qualified_name, &path, name));
        errors.extend(word("reportingInstance", event.reporting_instance.as_deref()));
        errors.extend(word("action", event.action.as_deref()));
        errors.extend(word("reason", event.reason.as_deref()));
        let message = event.message.as_deref().unwrap_or_default();
        errors.extend((message.len() > MAX_MESSAGE).then(|| too_long("message", MAX_MESSAGE)));
    }
    errors
}

fn word(field: &str, value: Option<&str>) -> Option<FieldError> {
    match value.unwrap_or_default() {
        "" => Some(FieldError::required(&Path::new(field), "")),
        value => (value.len() > MAX_WORD).then(|| too_long(field, MAX_WORD)),
    }
}

fn too_long(field: &str, max: usize) -> FieldError {
    FieldError::invalid(&Path::new(field), "", format!("can have at most {max} characters"))
}

pub(super) const COLUMNS: &[Column] = &[
    Column::text("Last Seen", "The time at which the most recent occurrence of this event was recorded."),
    Column::text("Type", "Type of this event (Normal, Warning), new types could be added in the future"),
    Column::text("Reason", "This should be a short, machine understandable string that gives the reason for the transition into the object's current status."),
    Column::text("Object", "The object that this event is about."),
    Column::text("Subobject", "If referring to a piece of an object instead of an entire object, this string should contain a valid JSON/Go field access statement, such as desiredState.manifest.containers[2]. For example, if the object reference is to a container within a pod, this would take on a value like: \"spec.containers{name}\" (where \"name\" refers to the name of the container that triggered the event) or if no container name is specified \"spec.containers[2]\" (container with index 2 in this pod). This syntax is chosen only to have some well-defined way of referencing a part of an object.").wide(),
    Column::text("Source", "The component reporting this event. Should be a short machine understandable string.").wide(),
    Column::text("Message", "A human-readable description of the status of this operation."),
    Column::text("First Seen", "The time at which the event was first recorded. (Time of server receipt is in TypeMeta.)").wide(),
    Column::text("Count", "The number of times this event has occurred.").wide(),
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
