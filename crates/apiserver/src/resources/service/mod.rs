//! Services: their addresses and node ports come from pools that all API servers share.

pub mod addresses;
mod allocate;
mod network;
pub mod pool;
mod prepare;
pub mod range;
pub mod repair;

use api_types::{
    StatusError,
    core::{Service, ServiceStatus},
};
use futures::future::BoxFuture;

pub use allocate::Pools;
pub use network::{PortRange, ServiceNetwork};

use crate::registry::{
    DryRun, TypedStrategy,
    reservation::Reservation,
    shape::Split,
    strategy::{AbsentUpdate, DeleteAnswer},
};

pub(super) struct Services {
    /// What addresses and ports are taken from.
    pub(super) pools: Pools,
}

impl TypedStrategy for Services {
    type Kind = Service;
    type Shape = Split;
    const ABSENT_UPDATE: AbsentUpdate = AbsentUpdate::Creates;
    const DELETE_ANSWER: DeleteAnswer = DeleteAnswer::Object;

    fn prepare_for_create(&self, new: &mut Service) {
        let load_balancer = Some(Default::default());
        new.status = Some(ServiceStatus { load_balancer, ..ServiceStatus::default() });
        prepare::carry_over(new, None);
    }

    fn prepare_for_update(&self, new: &mut Service, old: &Service) {
        prepare::carry_over(new, Some(old));
    }

    fn reserve<'a>(
        &'a self,
        new: Option<&'a mut Service>,
        old: Option<&'a Service>,
        dry_run: DryRun,
    ) -> BoxFuture<'a, Result<Reservation, StatusError>> {
        Box::pin(allocate::reserve(&self.pools, new, old, dry_run))
    }
}
