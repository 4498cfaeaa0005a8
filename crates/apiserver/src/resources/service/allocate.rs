//! Takes cluster IPs and node ports for a service, and finds what a change makes superfluous.

use std::{
    collections::{HashMap, HashSet},
    net::IpAddr,
};

use api_types::{
    GroupResource, StatusError,
    core::{Service, ServiceSpec},
    field::{FieldError, Path},
};

use super::{
    addresses::{AddressError, Addresses, Owner},
    pool::{Held, Pool, PoolError, Wanted},
    prepare::{is_anybodys, is_by_name, needs_address, needs_health_check_port, needs_node_ports},
    range::{Place, Range},
};
use crate::registry::{
    DryRun,
    reservation::{Release, Reservation},
};

/// The pools of the cluster.
#[derive(Clone)]
pub struct Pools {
    /// Cluster IPs.
    pub addresses: Addresses,
    /// Node ports.
    pub ports: Pool,
}

/// The addresses that a service holds.
pub(super) fn addresses_of(spec: &ServiceSpec) -> Vec<IpAddr> {
    if !needs_address(spec) {
        return Vec::new();
    }
    let listed = spec.cluster_ips.as_deref().unwrap_or_default();
    let single = spec.cluster_ip.as_slice();
    let texts = if listed.is_empty() { single } else { listed };
    texts.iter().filter_map(|text| text.parse().ok()).collect()
}

/// The node ports that a service holds, each once, even when two protocols share it.
pub(super) fn node_ports_of(spec: &ServiceSpec) -> Vec<i32> {
    let mut ports: Vec<i32> = Vec::new();
    if needs_node_ports(spec) {
        ports.extend(spec.ports.iter().flatten().filter_map(|port| port.node_port));
    }
    if needs_health_check_port(spec) {
        ports.extend(spec.health_check_node_port);
    }
    ports.retain(|port| *port != 0);
    ports.sort_unstable();
    ports.dedup();
    ports
}

/// What a write takes of pools: nothing, in a dry run.
struct Taking {
    dry_run: DryRun,
    reservation: Reservation,
}

impl Taking {
    async fn take(&mut self, pool: &Pool, wishes: &[Wanted]) -> Result<Vec<Place>, PoolError> {
        if self.dry_run == DryRun::All {
            return pool.look(wishes).await;
        }
        let places = pool.take(wishes).await?;
        self.reservation.taken.extend(places.iter().map(|place| held(pool, *place)));
        Ok(places)
    }

    async fn take_address(
        &mut self,
        addresses: &Addresses,
        owner: &Owner,
        wish: Option<IpAddr>,
    ) -> Result<IpAddr, AddressError> {
        if self.dry_run == DryRun::All {
            return addresses.look(wish).await;
        }
        let address = addresses.take(owner, wish).await?;
        self.reservation.taken.push(addresses.held(owner, address));
        Ok(address)
    }
}

/// Makes sure that a service has what it needs; what the old one had need not be taken again.
pub(super) async fn reserve(
    pools: &Pools,
    new: Option<&mut Service>,
    old: Option<&Service>,
    dry_run: DryRun,
) -> Result<Reservation, StatusError> {
    let mut taking = Taking { dry_run, reservation: Reservation::default() };
    let old_spec = old.and_then(|old| old.spec.as_ref());
    let had_addresses = old_spec.map(addresses_of).unwrap_or_default();
    let had_ports: HashSet<i32> = old_spec.map(node_ports_of).unwrap_or_default().into_iter().collect();
    let (mut addresses, mut ports) = (Vec::new(), HashSet::new());
    if let Some(new) = new {
        let owner = Owner::of(new);
        if let Some(spec) = &mut new.spec
            && let Err(error) = fill(pools, &owner, spec, (&had_addresses, &had_ports), &mut taking).await
        {
            taking.reservation.cancel().await;
            return Err(error.into_status(&owner.name));
        }
        addresses = new.spec.as_ref().map(addresses_of).unwrap_or_default();
        ports = new.spec.as_ref().map(node_ports_of).unwrap_or_default().into_iter().collect();
    }
    let mut reservation = taking.reservation;
    let gone = had_addresses.iter().filter(|address| !addresses.contains(address));
    let owner = old.map(Owner::of);
    let gone = gone.zip(owner.iter().cycle()).map(|(address, owner)| pools.addresses.held(owner, *address));
    reservation.superseded.extend(gone);
    let gone = had_ports.iter().filter(|port| !ports.contains(port));
    let gone = gone.filter_map(|port| pools.ports.range.place_of_port(*port));
    reservation.superseded.extend(gone.map(|place| held(&pools.ports, place)));
    Ok(reservation)
}

fn held(pool: &Pool, place: Place) -> Box<dyn Release> {
    Box::new(Held { pool: pool.clone(), place })
}

async fn fill(
    pools: &Pools,
    owner: &Owner,
    spec: &mut ServiceSpec,
    (had_addresses, had_ports): (&[IpAddr], &HashSet<i32>),
    taking: &mut Taking,
) -> Result<(), Refusal> {
    check_families(&pools.addresses.range, spec)?;
    if needs_address(spec) {
        fill_address(&pools.addresses, owner, spec, had_addresses, taking).await?;
    }
    let mut wishes = PortWishes::of(&pools.ports.range, spec, had_ports)?;
    let places =
        taking.take(&pools.ports, &wishes.wanted()).await.map_err(|error| wishes.refusal(&pools.ports.range, error))?;
    let ports: Vec<i32> = places.iter().filter_map(|place| pools.ports.range.port(*place)).collect();
    wishes.fulfil(spec, &ports);
    Ok(())
}

/// The cluster has addresses of one family.
fn check_families(addresses: &Range, spec: &ServiceSpec) -> Result<(), Refusal> {
    if is_by_name(spec) || is_anybodys(spec) {
        return Ok(());
    }
    let path = Path::new("spec");
    let policy = spec.ip_family_policy.as_deref().filter(|policy| *policy == "RequireDualStack");
    let policy = policy.map(|policy| {
        let why = "this cluster is not configured for dual-stack services";
        FieldError::invalid(&path.child("ipFamilyPolicy"), policy, why)
    });
    let own = if addresses.address(Place(0)).is_some_and(|address| address.is_ipv6()) { "IPv6" } else { "IPv4" };
    let others = spec.ip_families.iter().flatten().enumerate().filter(|(_, family)| *family != own);
    let others = others.map(|(i, family)| {
        FieldError::invalid(&path.child("ipFamilies").index(i), family.as_str(), "not configured on this cluster")
    });
    let errors: Vec<FieldError> = policy.into_iter().chain(others).collect();
    if errors.is_empty() { Ok(()) } else { Err(Refusal::Invalid(errors)) }
}

async fn fill_address(
    addresses: &Addresses,
    owner: &Owner,
    spec: &mut ServiceSpec,
    had: &[IpAddr],
    taking: &mut Taking,
) -> Result<(), Refusal> {
    let asked = addresses_of(spec).first().copied();
    if asked.is_some_and(|address| had.contains(&address)) {
        return Ok(());
    }
    let address = taking.take_address(addresses, owner, asked).await.map_err(|error| match (error, asked) {
        (AddressError::Failed(error), _) => Refusal::Other(error),
        (error, Some(address)) => {
            let why = format!("failed to allocate IP {address}: {error}");
            let path = Path::new("spec").child("clusterIPs");
            Refusal::Invalid(vec![FieldError::invalid(&path, spec.cluster_ips.clone(), why)])
        }
        (error, None) => Refusal::Other(StatusError::internal(format!("failed to allocate a serviceIP: {error}"))),
    })?;
    spec.cluster_ips = Some(vec![address.to_string()]);
    spec.cluster_ip = Some(address.to_string());
    Ok(())
}

/// Why a service does not get what it needs.
enum Refusal {
    Invalid(Vec<FieldError>),
    Failed(&'static str, PoolError),
    Other(StatusError),
}

impl Refusal {
    fn into_status(self, name: &str) -> StatusError {
        match self {
            Self::Invalid(errors) => StatusError::invalid(GroupResource::new("", "Service"), name, &errors),
            Self::Failed(_, PoolError::Store(error)) => {
                crate::registry::errors::status(GroupResource::new("", "services"), name, &error)
            }
            Self::Other(error) => error,
            Self::Failed(what, error) => StatusError::internal(format!("{what}: {error}")),
        }
    }
}

/// Which place a node port goes to.
#[derive(Clone, Copy)]
enum Slot {
    /// `spec.ports[i].nodePort`.
    Port(usize),
    /// `spec.healthCheckNodePort`.
    HealthCheck,
}

/// What node ports a service lacks.
struct PortWishes {
    /// What to ask the pool for, and where the answer goes.
    open: Vec<(Slot, Wanted)>,
    /// The numbers that it asks for.
    asked: HashSet<i32>,
    /// Ports that get the same node port as an earlier one, because only the protocol differs.
    shared: Vec<(usize, usize)>,
}

impl PortWishes {
    fn of(range: &Range, spec: &ServiceSpec, had: &HashSet<i32>) -> Result<Self, Refusal> {
        let mut wishes = Self { open: Vec::new(), asked: HashSet::new(), shared: Vec::new() };
        if needs_node_ports(spec) {
            let mut first_by_number: HashMap<(i32, i32), usize> = HashMap::new();
            for (index, port) in spec.ports.iter().flatten().enumerate() {
                let asked = port.node_port.unwrap_or(0);
                match first_by_number.get(&(port.port, asked)) {
                    Some(first) => wishes.shared.push((index, *first)),
                    None => {
                        first_by_number.insert((port.port, asked), index);
                        wishes.ask(range, Slot::Port(index), asked, had)?;
                    }
                }
            }
        }
        if needs_health_check_port(spec) {
            wishes.ask(range, Slot::HealthCheck, spec.health_check_node_port.unwrap_or(0), had)?;
        }
        Ok(wishes)
    }

    fn ask(&mut self, range: &Range, slot: Slot, asked: i32, had: &HashSet<i32>) -> Result<(), Refusal> {
        if had.contains(&asked) {
            return Ok(());
        }
        let wanted = match asked {
            0 => Wanted::Any,
            port => Wanted::Exactly(range.place_of_port(port).ok_or_else(|| {
                let why =
                    format!("provided port is not in the valid range. The range of valid ports is {}", range.spec());
                Refusal::Invalid(vec![FieldError::invalid(&slot.path(), port, why)])
            })?),
        };
        // Two ports of one service may ask for the same number when their protocols differ.
        if wanted == Wanted::Any || self.asked.insert(asked) {
            self.open.push((slot, wanted));
        }
        Ok(())
    }

    fn wanted(&self) -> Vec<Wanted> {
        self.open.iter().map(|(_, wanted)| *wanted).collect()
    }

    fn refusal(&self, range: &Range, error: PoolError) -> Refusal {
        let PoolError::Taken(place) = error else {
            return Refusal::Failed("failed to allocate a nodePort", error);
        };
        let slot = self.open.iter().find(|(_, wanted)| *wanted == Wanted::Exactly(place)).map(|(slot, _)| *slot);
        let path = slot.map_or_else(|| Path::new("spec"), Slot::path);
        Refusal::Invalid(vec![FieldError::invalid(&path, range.port(place), "provided port is already allocated")])
    }

    fn fulfil(&mut self, spec: &mut ServiceSpec, ports: &[i32]) {
        for ((slot, _), port) in self.open.iter().zip(ports) {
            match slot {
                Slot::HealthCheck => spec.health_check_node_port = Some(*port),
                Slot::Port(index) => set_node_port(spec, *index, Some(*port)),
            }
        }
        for (index, first) in &self.shared {
            let port = spec.ports.iter().flatten().nth(*first).and_then(|port| port.node_port);
            set_node_port(spec, *index, port);
        }
    }
}

fn set_node_port(spec: &mut ServiceSpec, index: usize, port: Option<i32>) {
    if let Some(slot) = spec.ports.iter_mut().flatten().nth(index) {
        slot.node_port = port;
    }
}

impl Slot {
    fn path(self) -> Path {
        let spec = Path::new("spec");
        match self {
            Self::Port(index) => spec.child("ports").index(index).child("nodePort"),
            Self::HealthCheck => spec.child("healthCheckNodePort"),
        }
    }
}
