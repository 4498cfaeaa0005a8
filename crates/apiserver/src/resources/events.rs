//! Events: one resource, stored as `v1`, served as `v1` and as `events.k8s.io/v1`.

use std::sync::Arc;

use api_types::{Object, Resource, core, events, meta::MicroTime};

use crate::registry::{StoredAs, TypedStrategy, strategy::AbsentUpdate};

pub(super) struct CoreEvents;

impl TypedStrategy for CoreEvents {
    type Kind = core::Event;
    const ABSENT_UPDATE: AbsentUpdate = AbsentUpdate::Creates;
}

pub(super) struct Events;

impl TypedStrategy for Events {
    type Kind = events::Event;
    const ABSENT_UPDATE: AbsentUpdate = AbsentUpdate::Creates;
}

/// How `events.k8s.io` events are stored.
pub(super) fn stored_as(row: Arc<Resource>) -> StoredAs {
    StoredAs {
        row,
        to_stored: |object| object.downcast_ref().map(|event| Box::new(to_core(event)) as Box<dyn Object>),
        from_stored: |object| object.downcast_ref().map(|event| Box::new(from_core(event)) as Box<dyn Object>),
        field: core_field,
    }
}

/// Only the name of the object that an event is about differs between the versions.
fn core_field(field: &str) -> &str {
    const NAMES: &[(&str, &str)] = &[
        ("regarding.kind", "involvedObject.kind"),
        ("regarding.namespace", "involvedObject.namespace"),
        ("regarding.name", "involvedObject.name"),
        ("regarding.uid", "involvedObject.uid"),
        ("regarding.apiVersion", "involvedObject.apiVersion"),
        ("regarding.resourceVersion", "involvedObject.resourceVersion"),
        ("regarding.fieldPath", "involvedObject.fieldPath"),
        ("reportingController", "reportingComponent"),
    ];
    NAMES.iter().find(|(own, _)| *own == field).map_or(field, |(_, core)| core)
}

fn to_core(event: &events::Event) -> core::Event {
    let event = event.clone();
    core::Event {
        metadata: event.metadata,
        involved_object: event.regarding.unwrap_or_default(),
        related: event.related,
        reason: event.reason,
        message: event.note,
        type_: event.type_,
        action: event.action,
        event_time: event.event_time.map(|time| MicroTime(time.0)),
        reporting_component: event.reporting_controller,
        reporting_instance: event.reporting_instance,
        series: event.series.map(|series| core::EventSeries {
            count: Some(series.count),
            last_observed_time: Some(series.last_observed_time),
        }),
        source: event.deprecated_source,
        first_timestamp: event.deprecated_first_timestamp,
        last_timestamp: event.deprecated_last_timestamp,
        count: event.deprecated_count,
    }
}

fn from_core(event: &core::Event) -> events::Event {
    let event = event.clone();
    events::Event {
        metadata: event.metadata,
        regarding: Some(event.involved_object),
        related: event.related,
        reason: event.reason,
        note: event.message,
        type_: event.type_,
        action: event.action,
        event_time: event.event_time,
        reporting_controller: event.reporting_component,
        reporting_instance: event.reporting_instance,
        series: event.series.map(|series| events::EventSeries {
            count: series.count.unwrap_or(0),
            last_observed_time: series.last_observed_time.unwrap_or_else(|| MicroTime(Default::default())),
        }),
        deprecated_source: event.source,
        deprecated_first_timestamp: event.first_timestamp,
        deprecated_last_timestamp: event.last_timestamp,
        deprecated_count: event.count,
    }
}
