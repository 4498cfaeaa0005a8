//! Kinds with next to nothing of their own.

use api_types::{coordination::Lease, core, discovery::EndpointSlice};

use crate::registry::{
    TypedStrategy,
    shape::{Plain, advance},
    strategy::{AbsentUpdate, BlindUpdate, DeleteAnswer},
};

pub(super) struct EndpointsStrategy;

impl TypedStrategy for EndpointsStrategy {
    type Kind = core::Endpoints;
    type Shape = Plain;
    const ABSENT_UPDATE: AbsentUpdate = AbsentUpdate::Creates;
}

pub(super) struct ServiceAccounts;

impl TypedStrategy for ServiceAccounts {
    type Kind = core::ServiceAccount;
    type Shape = Plain;
    const DELETE_ANSWER: DeleteAnswer = DeleteAnswer::Object;
}

pub(super) struct LimitRanges;

impl TypedStrategy for LimitRanges {
    type Kind = core::LimitRange;
    type Shape = Plain;
    const ABSENT_UPDATE: AbsentUpdate = AbsentUpdate::Creates;

    fn prepare_for_create(&self, new: &mut core::LimitRange) {
        if new.metadata.name.as_ref().is_none_or(String::is_empty) {
            new.metadata.name = Some(uuid::Uuid::new_v4().to_string());
        }
    }
}

pub(super) struct Leases;

impl TypedStrategy for Leases {
    type Kind = Lease;
    type Shape = Plain;
    const ABSENT_UPDATE: AbsentUpdate = AbsentUpdate::Creates;
    const BLIND_UPDATE: BlindUpdate = BlindUpdate::Refused;
}

pub(super) struct EndpointSlices;

impl TypedStrategy for EndpointSlices {
    type Kind = EndpointSlice;
    type Shape = Plain;

    fn prepare_for_create(&self, new: &mut EndpointSlice) {
        new.metadata.generation = Some(1);
    }

    fn prepare_for_update(&self, new: &mut EndpointSlice, old: &EndpointSlice) {
        let same = new.endpoints == old.endpoints
            && new.ports == old.ports
            && new.address_type == old.address_type
            && new.metadata.labels == old.metadata.labels;
        if !same {
            advance(&mut new.metadata);
        }
    }
}
