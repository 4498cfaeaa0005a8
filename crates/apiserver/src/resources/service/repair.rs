//! Makes the pools agree with the services, after a server died between taking an address and storing the service, or
//! after the range was changed.

use std::{
    collections::{BTreeMap, HashSet},
    net::IpAddr,
    time::Duration,
};

use api_types::{StatusError, core::Service, jiff::Timestamp};

use super::{
    addresses::Owner,
    allocate::{Pools, addresses_of, node_ports_of},
    pool::{Pool, PoolError},
    range::Place,
};
use crate::{
    registry::{Registry, strategy::now},
    storage::cache::{Freshness, ListRequest},
};

/// How often the pools are compared with the services: upstream's interval. A place that no service holds is given back
/// only when it was seen so twice in a row, which is further apart than any request may take that holds a place before
/// its service is stored.
const INTERVAL: Duration = Duration::from_secs(180);

/// What services hold.
#[derive(Default)]
struct InUse {
    /// Of two services with one address, the one that was there first.
    addresses: BTreeMap<IpAddr, Owner>,
    ports: HashSet<Place>,
}

impl InUse {
    async fn read(registry: &Registry, pools: &Pools) -> Result<Self, StatusError> {
        let rest = registry.core("services")?;
        let all = ListRequest::all(rest.scope(""), Freshness::Consistent);
        let listing = rest.cache().list(&all).await.map_err(|error| rest.store_error("", &error))?;
        let mut services = Vec::with_capacity(listing.entries.len());
        for entry in listing.entries {
            services.extend(rest.decode(entry.item()).await?.downcast_ref::<Service>().cloned());
        }
        services.sort_by(|a, b| a.metadata.creation_timestamp.cmp(&b.metadata.creation_timestamp));
        let mut used = Self::default();
        for (service, spec) in services.iter().filter_map(|service| Some((service, service.spec.as_ref()?))) {
            for address in addresses_of(spec) {
                used.addresses.entry(address).or_insert_with(|| Owner::of(service));
            }
            used.ports.extend(node_ports_of(spec).into_iter().filter_map(|port| pools.ports.range.place_of_port(port)));
        }
        Ok(used)
    }
}

/// Ports that are taken although no service holds them.
#[derive(Default)]
pub struct Suspects(HashSet<Place>);

/// Keeps the pools right, until it is dropped.
pub async fn keep(registry: &Registry, pools: &Pools) {
    let mut suspects = Suspects::default();
    loop {
        match round(registry, pools, &suspects, now()).await {
            Ok(found) => suspects = found,
            Err(error) => tracing::warn!("repairing the allocations of services: {error}"),
        }
        tokio::time::sleep(INTERVAL).await;
    }
}

/// Takes what services hold, gives back what none holds if it was suspected before, and tells what is to be suspected.
///
/// # Errors
/// The store's.
pub async fn round(
    registry: &Registry,
    pools: &Pools,
    before: &Suspects,
    at: Timestamp,
) -> Result<Suspects, StatusError> {
    let used = InUse::read(registry, pools).await?;
    pools.addresses.repair(&used.addresses, at).await?;
    repair(&pools.ports, &used.ports, &before.0).await.map(Suspects)
}

/// Makes sure that the addresses of all services are taken.
///
/// # Errors
/// The store's.
pub async fn addresses(registry: &Registry, pools: &Pools) -> Result<(), StatusError> {
    let used = InUse::read(registry, pools).await?;
    pools.addresses.repair(&used.addresses, now()).await
}

async fn repair(pool: &Pool, used: &HashSet<Place>, suspected: &HashSet<Place>) -> Result<HashSet<Place>, StatusError> {
    claim(pool, used).await?;
    let unused: HashSet<Place> =
        pool.taken().await.map_err(failed)?.iter().filter(|place| !used.contains(place)).collect();
    for place in unused.intersection(suspected) {
        tracing::info!(range = pool.range.spec(), place = place.0, "given back: no service holds it");
        pool.give_back(*place).await.map_err(failed)?;
    }
    Ok(unused.difference(suspected).copied().collect())
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
