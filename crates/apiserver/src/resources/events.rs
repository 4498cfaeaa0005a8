//! Events: one resource, stored as `v1`, served as `v1` and as `events.k8s.io/v1`.

use api_types::{core, event_from_core, event_to_core, events};

use crate::registry::{TypedStrategy, conversion::Between, shape::Plain, strategy::AbsentUpdate};

pub(super) struct CoreEvents;

impl TypedStrategy for CoreEvents {
    type Kind = core::Event;
    type Shape = Plain;
    const ABSENT_UPDATE: AbsentUpdate = AbsentUpdate::Creates;
}

pub(super) struct Events;

impl TypedStrategy for Events {
    type Kind = events::Event;
    type Shape = Plain;
    const ABSENT_UPDATE: AbsentUpdate = AbsentUpdate::Creates;
}

/// Between `events.k8s.io/v1` and `v1`, in which events are stored.
pub(super) const CONVERSION: Between<events::Event, core::Event> =
    Between { to_stored: |event| event_to_core(event.clone()), to_served: |event| event_from_core(event.clone()) };
