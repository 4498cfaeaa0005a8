//! Makes the pools agree with the services, after a server died between taking an address and storing the service, or
//! after the range was changed.

use std::{collections::HashSet, time::Duration};

use api_types::{StatusError, core::Service};

use super::{
    allocate::{Pools, addresses_of, node_ports_of},
    pool::{Pool, PoolError},
    range::Place,
};
use crate::{
    registry::Registry,
    storage::cache::{At, Freshness, ListRequest},
};

/// A place that no service holds is given back only after it was seen so twice, this far apart: longer than any request
/// may take, which holds a place before its service is stored.
const SUSPICION: Duration = Duration::from_secs(150);

/// What services hold.
struct InUse {
    addresses: HashSet<Place>,
    ports: HashSet<Place>,
}

impl InUse {
    async fn read(registry: &Registry, pools: &Pools) -> Result<Self, StatusError> {
        let rest = registry.core("services")?;
        let all = ListRequest {
            scope: rest.scope(""),
            selector: None,
            start_after: None,
            limit: None,
            at: At::Newest(Freshness::Consistent),
        };
        let listing = rest.cache.list(&all).await.map_err(|error| rest.store_error("", &error))?;
        let mut used = Self { addresses: HashSet::new(), ports: HashSet::new() };
        for entry in listing.entries {
            let object = rest.decode(entry.item())?;
            let Some(spec) = object.downcast_ref::<Service>().and_then(|service| service.spec.as_ref()) else {
                continue;
            };
            let places = addresses_of(spec).into_iter().filter_map(|ip| pools.addresses.range.place_of_address(ip));
            used.addresses.extend(places);
            used.ports.extend(node_ports_of(spec).into_iter().filter_map(|port| pools.ports.range.place_of_port(port)));
        }
        Ok(used)
    }
}

/// Takes what services hold, and after a while gives back what none holds.
///
/// # Errors
/// The store's.
pub async fn run(registry: &Registry, pools: &Pools) -> Result<(), StatusError> {
    let used = InUse::read(registry, pools).await?;
    claim(&pools.addresses, &used.addresses).await?;
    claim(&pools.ports, &used.ports).await?;
    let suspects = (suspects(&pools.addresses, &used.addresses).await?, suspects(&pools.ports, &used.ports).await?);
    if suspects.0.is_empty() && suspects.1.is_empty() {
        return Ok(());
    }
    tokio::time::sleep(SUSPICION).await;
    let used = InUse::read(registry, pools).await?;
    give_back(&pools.addresses, &suspects.0, &used.addresses).await?;
    give_back(&pools.ports, &suspects.1, &used.ports).await
}

fn failed(error: PoolError) -> StatusError {
    StatusError::internal(error)
}

async fn claim(pool: &Pool, used: &HashSet<Place>) -> Result<(), StatusError> {
    let claimed = pool.change(|places| {
        for place in used {
            places.insert(*place);
        }
        Ok(())
    });
    claimed.await.map_err(failed)
}

async fn suspects(pool: &Pool, used: &HashSet<Place>) -> Result<HashSet<Place>, StatusError> {
    let taken = pool.taken().await.map_err(failed)?;
    Ok(taken.iter().filter(|place| !used.contains(place)).collect())
}

async fn give_back(pool: &Pool, suspects: &HashSet<Place>, used: &HashSet<Place>) -> Result<(), StatusError> {
    for place in suspects.difference(used) {
        tracing::info!(range = pool.range.spec(), place = place.0, "given back: no service holds it");
        pool.give_back(*place).await.map_err(failed)?;
    }
    Ok(())
}
