//! `events.k8s.io/v1.Event`: the same events as `v1.Event`, with other fields' names.

use jiff::tz::TimeZone;
use serde::Serialize;
use serde_json::Value;

use super::event;
use crate::{
    core,
    events::{Event, EventSeries},
    field::{FieldError, Path},
    meta::MicroTime,
    object::{Column, Kind, SelectableField},
    validation::meta,
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
        let mut errors = self.revalidate(self);
        errors.extend(series(self));
        if self.event_time.is_none() {
            errors.push(FieldError::required(&Path::new("eventTime"), ""));
        }
        let kind = self.type_.as_deref().unwrap_or_default();
        if !matches!(kind, "Normal" | "Warning") {
            errors.push(FieldError::invalid(&Path::new("type"), "", format!("has invalid value: {kind}")));
        }
        let source = self.deprecated_source.as_ref();
        let some = |text: Option<&String>| text.is_some_and(|text| !text.is_empty());
        let old = [
            ("firstTimestamp", self.deprecated_first_timestamp.is_some()),
            ("lastTimestamp", self.deprecated_last_timestamp.is_some()),
            ("count", self.deprecated_count.is_some_and(|count| count != 0)),
            ("source", source.is_some_and(|own| some(own.component.as_ref()) || some(own.host.as_ref()))),
        ];
        let set = old.into_iter().filter(|(_, set)| *set);
        errors.extend(set.map(|(field, _)| FieldError::invalid(&Path::new(field), "", "needs to be unset")));
        errors
    }

    fn revalidate(&self, _old: &Self) -> Vec<FieldError> {
        event::validate(&to_core(self.clone()), "reportingController")
    }

    /// Nothing but how often it was seen may change.
    fn validate_update(&self, old: &Self) -> Vec<FieldError> {
        let again = if self.series == old.series { Vec::new() } else { series(self) };
        let (new, old) = (to_core(self.clone()), to_core(old.clone()));
        let fixed = [
            fixed("involvedObject", &new.involved_object, &old.involved_object),
            fixed("reason", &new.reason, &old.reason),
            fixed("message", &new.message, &old.message),
            fixed("source", &new.source.unwrap_or_default(), &old.source.unwrap_or_default()),
            fixed("firstTimestamp", &new.first_timestamp, &old.first_timestamp),
            fixed("lastTimestamp", &new.last_timestamp, &old.last_timestamp),
            fixed("count", &new.count.unwrap_or_default(), &old.count.unwrap_or_default()),
            fixed("type", &new.type_, &old.type_),
            fixed("eventTime", &new.event_time, &old.event_time),
            fixed("action", &new.action, &old.action),
            fixed("related", &new.related, &old.related),
            fixed("reportingController", &new.reporting_component, &old.reporting_component),
            fixed("reportingInstance", &new.reporting_instance, &old.reporting_instance),
        ];
        again.into_iter().chain(fixed.into_iter().flatten()).collect()
    }

    fn cells(&self) -> Vec<Value> {
        event::cells(&to_core(self.clone()))
    }
}

fn fixed<T: PartialEq + Serialize>(field: &str, new: &T, old: &T) -> Option<FieldError> {
    meta::immutable(&Path::new(field), new, old)
}

fn series(event: &Event) -> Vec<FieldError> {
    let Some(series) = &event.series else { return Vec::new() };
    let few = series.count < 2;
    let few = few.then(|| FieldError::invalid(&Path::new("series.count"), "", "should be at least 2"));
    let never = is_zero(&series.last_observed_time);
    let never = never.then(|| FieldError::required(&Path::new("series.lastObservedTime"), ""));
    few.into_iter().chain(never).collect()
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
