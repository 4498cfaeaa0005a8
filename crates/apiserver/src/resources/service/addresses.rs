//! Cluster IPs. Each that is taken is an `IPAddress`, and to create that object is to take the address: of several who
//! try, one succeeds. They come from the ranges that `ServiceCIDR`s tell.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
};

use api_types::{
    Object, StatusError,
    core::Service,
    jiff::{SignedDuration, Timestamp},
    meta::ObjectMeta,
    networking::{IPAddress, IPAddressSpec, ParentReference, ServiceCIDR},
    rows,
};
use futures::future::BoxFuture;
use ipnet::IpNet;

use super::range::{Places, Range};
use crate::{
    registry::{
        Registry, Rest, Target, Write,
        admission::Handle,
        own::{loopback_user, own_options},
        reservation::Release,
    },
    storage::{Item, StoreError},
};

/// Tells of which family an address is.
const FAMILY_LABEL: &str = "ipaddress.kubernetes.io/ip-family";
/// Tells who made the object.
const MANAGER_LABEL: &str = "ipaddress.kubernetes.io/managed-by";
const MANAGER: &str = "ipallocator.k8s.io";
const READY: &str = "Ready";

/// So many addresses are tried at random before it is found out which ones are free.
const GUESSES: usize = 8;

/// An address that no service holds is given back once it is so old: longer than any request may take that holds one
/// before its service is stored. Upstream's number.
const ORPHAN_AGE: SignedDuration = SignedDuration::from_secs(60);

/// Why an address cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum AddressError {
    /// Somebody has it.
    #[error("provided IP is already allocated")]
    Taken,
    /// Everybody has one.
    #[error("range is full")]
    Full,
    /// No range has it.
    #[error("the provided network does not match the current range")]
    NoRange,
    /// It means a range as a whole.
    #[error("the provided IP ({0}) is not in the valid range. The range of valid IPs is {1}")]
    Reserved(IpAddr, IpNet),
    /// It cannot be found out.
    #[error("{0}")]
    Failed(StatusError),
}

impl From<StatusError> for AddressError {
    fn from(error: StatusError) -> Self {
        Self::Failed(error)
    }
}

/// The service that an address is for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Owner {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl Owner {
    /// A service as one.
    #[must_use]
    pub fn of(service: &Service) -> Self {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        Self { namespace: text(&service.metadata.namespace), name: text(&service.metadata.name) }
    }

    fn parent(&self) -> ParentReference {
        ParentReference {
            group: None,
            resource: "services".into(),
            namespace: Some(self.namespace.clone()),
            name: self.name.clone(),
        }
    }

    fn has(&self, address: &IPAddress) -> bool {
        let parent = &address.spec.parent_ref;
        parent.group.as_deref().unwrap_or_default().is_empty()
            && parent.resource == "services"
            && parent.namespace.as_deref() == Some(&*self.namespace)
            && parent.name == self.name
    }
}

/// The addresses that services can have.
#[derive(Clone)]
pub struct Addresses {
    registry: Handle,
    /// What the flag says. Addresses are of its family.
    pub range: Range,
}

impl Addresses {
    /// The addresses of the ranges that the registry tells.
    pub fn new(registry: Handle, range: Range) -> Self {
        Self { registry, range }
    }

    /// Takes an address for a service: this one, or any.
    ///
    /// # Errors
    /// When it cannot be had.
    pub async fn take(&self, owner: &Owner, wish: Option<IpAddr>) -> Result<IpAddr, AddressError> {
        let table = self.table()?;
        if let Some(address) = wish {
            check(&table.ranges().await?, address)?;
            return table.create(owner, address).await.map(|()| address);
        }
        for range in table.ranges().await? {
            match table.take_any(owner, range).await {
                Err(AddressError::Full) => {}
                other => return other,
            }
        }
        Err(AddressError::Full)
    }

    /// What [`Self::take`] would give now; nothing is taken.
    ///
    /// # Errors
    /// When it cannot be had.
    pub async fn look(&self, wish: Option<IpAddr>) -> Result<IpAddr, AddressError> {
        let table = self.table()?;
        let ranges = table.ranges().await?;
        if let Some(address) = wish {
            check(&ranges, address)?;
            return if table.is_known(address).await { Err(AddressError::Taken) } else { Ok(address) };
        }
        for range in ranges {
            let places = table.places(range).await?;
            if let Some(address) = range.pick(&places).and_then(|place| range.address(place)) {
                return Ok(address);
            }
        }
        Err(AddressError::Full)
    }

    /// An address of a service that is to be given back.
    pub(super) fn held(&self, owner: &Owner, address: IpAddr) -> Box<dyn Release> {
        Box::new(Held { addresses: self.clone(), owner: owner.clone(), address })
    }

    /// Makes the objects agree with what services hold: after a server died between the two, after somebody changed the
    /// objects, or where services are older than the objects.
    ///
    /// # Errors
    /// The store's.
    pub async fn repair(&self, held: &BTreeMap<IpAddr, Owner>, now: Timestamp) -> Result<(), StatusError> {
        let table = self.table()?;
        let mut right = BTreeSet::new();
        for object in table.all().await? {
            let Some(address) = object.metadata.name.as_deref().and_then(|name| name.parse().ok()) else { continue };
            match held.get(&address) {
                Some(owner) if owner.has(&object) && is_ours(&object) => {
                    right.insert(address);
                }
                None if !is_ours(&object) || !is_old(&object, now) => {}
                _ => {
                    tracing::info!(%address, "given back: no service holds it as it says");
                    table.delete(address, |current| current.metadata.uid == object.metadata.uid).await?;
                }
            }
        }
        for (address, owner) in held.iter().filter(|(address, _)| !right.contains(*address)) {
            match table.create(owner, *address).await {
                Ok(()) | Err(AddressError::Taken) => {}
                Err(AddressError::Failed(error)) => return Err(error),
                Err(error) => return Err(StatusError::internal(error)),
            }
        }
        Ok(())
    }

    fn table(&self) -> Result<Table, StatusError> {
        let registry = self.registry.registry()?;
        let find = |row: &api_types::Resource| {
            let rest = registry.find(&row.group, &row.version, &row.plural);
            rest.ok_or_else(|| StatusError::internal(format!("{} are not served", row.plural)))
        };
        let (addresses, cidrs) = (find(&rows::IP_ADDRESSES)?, find(&rows::SERVICE_CIDRS)?);
        Ok(Table { addresses, cidrs, flag: self.range, registry })
    }
}

/// Whether an address can be a service's.
fn check(ranges: &[Range], address: IpAddr) -> Result<(), AddressError> {
    let networks = ranges.iter().filter_map(|range| range.network());
    let mut around = networks.filter(|network| network.contains(&address)).peekable();
    let Some(first) = around.peek().copied() else { return Err(AddressError::NoRange) };
    let usable = |network: IpNet| address != network.network() && (address.is_ipv6() || address != network.broadcast());
    if around.any(usable) { Ok(()) } else { Err(AddressError::Reserved(address, first)) }
}

fn is_ours(address: &IPAddress) -> bool {
    let labels = address.metadata.labels.as_ref();
    labels.and_then(|labels| labels.get(MANAGER_LABEL)).is_some_and(|manager| manager == MANAGER)
}

fn is_old(address: &IPAddress, now: Timestamp) -> bool {
    let created = address.metadata.creation_timestamp.as_ref();
    created.is_some_and(|created| now.duration_since(created.0) > ORPHAN_AGE)
}

/// Where the objects are.
struct Table {
    registry: Arc<Registry>,
    addresses: Arc<Rest>,
    cidrs: Arc<Rest>,
    flag: Range,
}

impl Table {
    /// The ranges that addresses are taken from; the flag's until anything is told.
    async fn ranges(&self) -> Result<Vec<Range>, StatusError> {
        let entries = self.registry.list_cached(&self.cidrs, "").await?;
        if entries.is_empty() {
            return Ok(vec![self.flag]);
        }
        let mut ranges = Vec::new();
        for entry in entries {
            let object = self.cidrs.decode(entry.item()).await?;
            let own = object.downcast_ref::<ServiceCIDR>().filter(|own| is_ready(own));
            let cidrs = own.and_then(|own| own.spec.as_ref()?.cidrs.as_ref()).into_iter().flatten();
            ranges.extend(cidrs.filter_map(|cidr| cidr.parse().ok()).map(Range::Addresses));
        }
        let family = |range: &Range| range.network().map(|network| network.addr().is_ipv4());
        ranges.retain(|range| family(range) == family(&self.flag));
        Ok(ranges)
    }

    async fn all(&self) -> Result<Vec<IPAddress>, StatusError> {
        let mut all = Vec::new();
        for entry in self.registry.list_cached(&self.addresses, "").await? {
            let object = self.addresses.decode(entry.item()).await?;
            all.extend(object.downcast_ref::<IPAddress>().cloned());
        }
        Ok(all)
    }

    /// The places of a range that are taken.
    async fn places(&self, range: Range) -> Result<Places, StatusError> {
        let mut places = Places::default();
        for entry in self.registry.list_cached(&self.addresses, "").await? {
            let (_, name) = self.addresses.names(entry.key());
            if let Some(place) = name.parse().ok().and_then(|address| range.place_of_address(address)) {
                places.insert(place);
            }
        }
        Ok(places)
    }

    async fn is_known(&self, address: IpAddr) -> bool {
        self.registry.is_known(&self.addresses, target(&address.to_string())).await
    }

    async fn take_any(&self, owner: &Owner, range: Range) -> Result<IpAddr, AddressError> {
        for address in (0..GUESSES).filter_map(|_| range.address(range.guess()?)) {
            if self.is_known(address).await {
                continue;
            }
            match self.create(owner, address).await {
                Err(AddressError::Taken) => {}
                other => return other.map(|()| address),
            }
        }
        let mut places = self.places(range).await?;
        while let Some(place) = range.pick(&places) {
            let Some(address) = range.address(place) else { break };
            match self.create(owner, address).await {
                // Somebody was faster.
                Err(AddressError::Taken) => places.insert(place),
                other => return other.map(|()| address),
            };
        }
        Err(AddressError::Full)
    }

    async fn create(&self, owner: &Owner, address: IpAddr) -> Result<(), AddressError> {
        let family = if address.is_ipv4() { "IPv4" } else { "IPv6" };
        let labels = [(FAMILY_LABEL, family), (MANAGER_LABEL, MANAGER)].map(|(key, value)| (key.into(), value.into()));
        let object: Box<dyn Object> = Box::new(IPAddress {
            metadata: ObjectMeta {
                name: Some(address.to_string()),
                labels: Some(labels.into()),
                ..ObjectMeta::default()
            },
            spec: IPAddressSpec { parent_ref: owner.parent() },
        });
        let user = loopback_user();
        match self.registry.create(&self.addresses, &Write::new(&user, own_options()), "", object).await {
            Ok(_) => Ok(()),
            Err(error) if error.reason() == "AlreadyExists" => Err(AddressError::Taken),
            Err(error) => Err(error.into()),
        }
    }

    /// Deletes an object if it is still as it is to be.
    async fn delete(&self, address: IpAddr, is: impl Fn(&IPAddress) -> bool) -> Result<(), StatusError> {
        let name = address.to_string();
        let key = self.addresses.key("", &name);
        let failed = |error: StoreError| self.addresses.store_error(&name, &error);
        let store = self.registry.store();
        let mut item: Item = match store.get(&key).await {
            Ok(item) => item,
            Err(StoreError::NotFound { .. }) => return Ok(()),
            Err(error) => return Err(failed(error)),
        };
        loop {
            let object = self.addresses.decode(&item).await?;
            if !object.downcast_ref::<IPAddress>().is_some_and(&is) {
                return Ok(());
            }
            match store.delete(&key, item.revision).await {
                Ok(revision) => {
                    self.addresses.storage.wrote(revision);
                    return Ok(());
                }
                Err(StoreError::Conflict { current, .. }) => item = *current,
                Err(StoreError::NotFound { .. }) => return Ok(()),
                Err(error) => return Err(failed(error)),
            }
        }
    }
}

fn target(name: &str) -> Target<'_> {
    Target { namespace: "", name }
}

/// Whether addresses are taken from a range. That nobody says whether it is ready does not keep from it: perhaps no
/// controller manager runs.
fn is_ready(own: &ServiceCIDR) -> bool {
    let conditions = own.status.as_ref().and_then(|status| status.conditions.as_ref()).into_iter().flatten();
    let mut ready = conditions.filter(|condition| condition.type_ == READY);
    own.metadata.deletion_timestamp.is_none() && ready.all(|condition| condition.status == "True")
}

/// One address that is to be given back.
struct Held {
    addresses: Addresses,
    owner: Owner,
    address: IpAddr,
}

impl Release for Held {
    fn release(self: Box<Self>) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            let given_back =
                async { self.addresses.table()?.delete(self.address, |address| self.owner.has(address)).await };
            // What stays taken by mistake is found again by repair.
            if let Err(error) = given_back.await {
                tracing::warn!(address = %self.address, "giving back: {error}");
            }
        })
    }
}
