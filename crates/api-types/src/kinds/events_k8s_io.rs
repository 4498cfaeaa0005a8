//! `events.k8s.io/v1.Event`: the same events as `v1.Event`, with other fields' names.

use jiff::tz::TimeZone;
use serde_json::Value;

use super::event;
use crate::{
    core,
    events::{Event, EventSeries},
    field::{FieldError, Path},
    meta::MicroTime,
    object::{Column, Kind, SelectableField},
};

impl Kind for Event {
    const COLUMNS: &'static [Column] = event::COLUMNS;

    const SELECTABLE: &'static [SelectableField] = &[
        SelectableField::text("regarding.kind").stored_at("involvedObject.kind"),
        SelectableField::text("regarding.namespace").stored_at("involvedObject.namespace"),
        SelectableField::text("regarding.name").stored_at("involvedObject.name"),
        SelectableField::text("regarding.uid").stored_at("involvedObject.uid"),
        SelectableField::text("regarding.apiVersion").stored_at("involvedObject.apiVersion"),
        SelectableField::text("regarding.resourceVersion").stored_at("involvedObject.resourceVersion"),
        SelectableField::text("regarding.fieldPath").stored_at("involvedObject.fieldPath"),
        SelectableField::text("reason"),
        SelectableField::text("reportingController").stored_at("reportingComponent"),
        SelectableField::text("type"),
    ];

    fn validate(&self) -> Vec<FieldError> {
        let mut errors = to_core(self.clone()).validate();
        if self.series.as_ref().is_some_and(|series| is_zero(&series.last_observed_time)) {
            errors.push(FieldError::required(&Path::new("series").child("lastObservedTime"), ""));
        }
        errors
    }

    fn cells(&self) -> Vec<Value> {
        event::cells(&to_core(self.clone()))
    }
}

/// Whether this is Go's zero time: what is read where none was sent.
fn is_zero(MicroTime(time): &MicroTime) -> bool {
    time.to_zoned(TimeZone::UTC).year() == 1
}

/// The same event as a `v1.Event`, as it is stored.
#[must_use]
pub fn to_core(event: Event) -> core::Event {
    core::Event {
        metadata: event.metadata,
        involved_object: event.regarding.unwrap_or_default(),
        message: event.note,
        source: event.deprecated_source,
        first_timestamp: event.deprecated_first_timestamp,
        last_timestamp: event.deprecated_last_timestamp,
        count: event.deprecated_count,
        reporting_component: event.reporting_controller,
        reporting_instance: event.reporting_instance,
        series: event.series.map(|series| core::EventSeries {
            count: Some(series.count),
            last_observed_time: Some(series.last_observed_time),
        }),
        action: event.action,
        event_time: event.event_time,
        reason: event.reason,
        related: event.related,
        type_: event.type_,
    }
}

/// A stored `v1.Event` as `events.k8s.io` shows it.
#[must_use]
pub fn from_core(event: core::Event) -> Event {
    let series = event.series.and_then(|series| {
        Some(EventSeries { count: series.count.unwrap_or_default(), last_observed_time: series.last_observed_time? })
    });
    Event {
        metadata: event.metadata,
        regarding: Some(event.involved_object),
        note: event.message,
        deprecated_source: event.source,
        deprecated_first_timestamp: event.first_timestamp,
        deprecated_last_timestamp: event.last_timestamp,
        deprecated_count: event.count,
        reporting_controller: event.reporting_component,
        reporting_instance: event.reporting_instance,
        series,
        action: event.action,
        event_time: event.event_time,
        reason: event.reason,
        related: event.related,
        type_: event.type_,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn both_forms_say_the_same() {
        let event: Event = serde_json::from_value(json!({
            "metadata": {"name": "a.1", "namespace": "default"}, "regarding": {"kind": "Pod", "name": "a"}, "note": "hello",
            "reportingController": "c", "reportingInstance": "i", "action": "Run", "reason": "Ran", "type": "Normal",
            "eventTime": "2026-01-01T00:00:00.000001Z",
            "series": {"count": 2, "lastObservedTime": "2026-01-01T00:00:01.000000Z"},
        }))
        .unwrap();
        let stored = to_core(event.clone());
        assert_eq!((stored.message.as_deref(), stored.involved_object.name.as_deref()), (Some("hello"), Some("a")));
        assert_eq!(from_core(stored), event);
    }
}
