//! The service `kubernetes`, by which pods reach the API servers: each server keeps a short-lived mark in the store, and
//! every server makes the endpoints what the marks say.

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use api_types::{
    IntOrString, Object, StatusError,
    core::{EndpointAddress, EndpointPort, EndpointSubset, Endpoints, Service, ServicePort, ServiceSpec},
    discovery::{Endpoint, EndpointConditions, EndpointPort as SlicePort, EndpointSlice},
    meta::ObjectMeta,
};
use component::CancellationToken;

use super::{loopback_user, own_options};
use crate::{
    registry::{Change, Changed, Part, Registry, Stored, Target, Write},
    resources::service::range::{Place, Range},
    storage::{Key, ListQuery, Prefix, StoreError, Ttl},
};

/// How often a server renews its mark and looks at the endpoints: upstream's interval.
const INTERVAL: Duration = Duration::from_secs(10);
/// How long a mark outlives its server; upstream's `--apiserver-lease-ttl`.
const MARK_TTL: u32 = 15;

const NAME: &str = "kubernetes";
const NAMESPACE: &str = "default";
const PORT_NAME: &str = "https";
/// The port of the service.
const SERVICE_PORT: i32 = 443;

/// How others reach this server.
#[derive(Clone, Debug)]
pub struct Advertised {
    /// Its address.
    pub address: IpAddr,
    /// Its HTTPS port.
    pub port: u16,
    /// Where the marks are stored.
    pub marks: Prefix,
}

/// Creates the service unless it is there, at the first address of the range.
///
/// # Errors
/// The store's; 422 when something else has the address.
pub async fn ensure_service(
    registry: &Registry,
    addresses: &Range,
    advertised: &Advertised,
) -> Result<(), StatusError> {
    let services = registry.core("services")?;
    let user = loopback_user();
    let first = addresses.address(Place(0));
    let object: Box<dyn Object> = Box::new(service(first, advertised.port));
    match registry.create(&services, &Write::new(&user, own_options()), NAMESPACE, object).await {
        Err(error) if error.reason() == "AlreadyExists" => Ok(()),
        // The address of a service that is there is taken, too.
        Err(error) if error.reason() == "Invalid" => {
            registry.get(&services, Target { namespace: NAMESPACE, name: NAME }).await.map(drop).map_err(|_| error)
        }
        result => result.map(drop),
    }
}

fn service(address: Option<IpAddr>, port: u16) -> Service {
    let labels = BTreeMap::from([("component", "apiserver"), ("provider", "kubernetes")]);
    let spec = ServiceSpec {
        type_: Some("ClusterIP".into()),
        cluster_ip: address.map(|address| address.to_string()),
        session_affinity: Some("None".into()),
        ports: Some(vec![ServicePort {
            name: Some(PORT_NAME.into()),
            protocol: Some("TCP".into()),
            port: SERVICE_PORT,
            target_port: Some(IntOrString::Int(port.into())),
            ..ServicePort::default()
        }]),
        ..ServiceSpec::default()
    };
    Service { metadata: metadata(labels), spec: Some(spec), status: None }
}

fn metadata(labels: BTreeMap<&str, &str>) -> ObjectMeta {
    ObjectMeta {
        name: Some(NAME.into()),
        namespace: Some(NAMESPACE.into()),
        labels: Some(labels.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()),
        ..ObjectMeta::default()
    }
}

/// Keeps the endpoints right until shutdown, and leaves them without this server.
pub async fn keep_endpoints(registry: &Registry, advertised: &Advertised, shutdown: &CancellationToken) {
    loop {
        if let Err(error) = publish(registry, advertised).await {
            tracing::warn!("endpoints of the service kubernetes: {error}");
        }
        if shutdown.run_until_cancelled(tokio::time::sleep(INTERVAL)).await.is_none() {
            break;
        }
    }
    if let Err(error) = withdraw(registry, advertised).await {
        tracing::debug!("withdrawing from the service kubernetes: {error}");
    }
}

async fn publish(registry: &Registry, advertised: &Advertised) -> Result<(), StatusError> {
    mark(registry, advertised).await.map_err(StatusError::internal)?;
    let addresses = marked(registry, advertised).await.map_err(StatusError::internal)?;
    write_endpoints(registry, &addresses, advertised.port).await
}

fn key(advertised: &Advertised) -> Key {
    Key::new(format!("{}{}", advertised.marks.as_str(), advertised.address))
}

async fn mark(registry: &Registry, advertised: &Advertised) -> Result<(), StoreError> {
    let (store, key, ttl) = (registry.store(), key(advertised), Some(Ttl::seconds(MARK_TTL)));
    let endpoints =
        Endpoints { subsets: Some(vec![subset(&[advertised.address], advertised.port)]), ..Endpoints::default() };
    let value = bytes::Bytes::from(endpoints.encode());
    match store.get(&key).await {
        Ok(item) => store.update(&key, item.revision, value, ttl).await.map(drop),
        Err(StoreError::NotFound { .. }) => store.create(&key, value, ttl).await.map(drop),
        Err(error) => Err(error),
    }
}

async fn marked(registry: &Registry, advertised: &Advertised) -> Result<Vec<IpAddr>, StoreError> {
    let page = registry.store().list(&ListQuery::all(advertised.marks.clone())).await?;
    let names = page.items.iter().filter_map(|item| item.key.as_str().strip_prefix(advertised.marks.as_str()));
    Ok(names.filter_map(|name| name.parse().ok()).collect())
}

async fn withdraw(registry: &Registry, advertised: &Advertised) -> Result<(), StoreError> {
    let item = registry.store().get(&key(advertised)).await?;
    registry.store().delete(&item.key, item.revision).await.map(drop)
}

async fn write_endpoints(registry: &Registry, addresses: &[IpAddr], port: u16) -> Result<(), StatusError> {
    let user = loopback_user();
    let write = Write::new(&user, own_options());
    let target = Target { namespace: NAMESPACE, name: NAME };
    let subsets = vec![subset(addresses, port)];
    let change = SetEndpoints(Endpoints { metadata: metadata(mirrored_by_nobody()), subsets: Some(subsets) });
    registry.update(&*registry.core("endpoints")?, &write, target, Part::Main, &change).await?;
    let slices = registry.find("discovery.k8s.io", "v1", "endpointslices");
    let slices = slices.ok_or_else(|| StatusError::internal("endpointslices are not served"))?;
    registry.update(&slices, &write, target, Part::Main, &SetSlice(slice(addresses, port))).await.map(drop)
}

/// The label that keeps the endpoint slice controller from making a second slice of the endpoints.
fn mirrored_by_nobody() -> BTreeMap<&'static str, &'static str> {
    BTreeMap::from([("endpointslice.kubernetes.io/skip-mirror", "true")])
}

fn subset(addresses: &[IpAddr], port: u16) -> EndpointSubset {
    let address = |ip: &IpAddr| EndpointAddress { ip: ip.to_string(), ..EndpointAddress::default() };
    EndpointSubset {
        addresses: Some(addresses.iter().map(address).collect()),
        ports: Some(vec![EndpointPort {
            name: Some(PORT_NAME.into()),
            port: port.into(),
            protocol: Some("TCP".into()),
            ..EndpointPort::default()
        }]),
        ..EndpointSubset::default()
    }
}

fn slice(addresses: &[IpAddr], port: u16) -> EndpointSlice {
    let endpoint = |ip: &IpAddr| Endpoint {
        addresses: vec![ip.to_string()],
        conditions: Some(EndpointConditions { ready: Some(true), ..EndpointConditions::default() }),
        ..Endpoint::default()
    };
    let family = if addresses.iter().all(IpAddr::is_ipv4) { "IPv4" } else { "IPv6" };
    EndpointSlice {
        metadata: metadata(BTreeMap::from([("kubernetes.io/service-name", NAME)])),
        address_type: family.into(),
        endpoints: Some(addresses.iter().map(endpoint).collect()),
        ports: Some(vec![SlicePort {
            name: Some(PORT_NAME.into()),
            port: Some(port.into()),
            protocol: Some("TCP".into()),
            ..SlicePort::default()
        }]),
    }
}

struct SetEndpoints(Endpoints);

impl Change for SetEndpoints {
    fn apply(&self, current: &Stored) -> Result<Changed, StatusError> {
        let mut new = current.object.clone_object();
        if let Some(endpoints) = new.downcast_mut::<Endpoints>() {
            endpoints.subsets.clone_from(&self.0.subsets);
        }
        Ok(new.into())
    }

    fn create(&self) -> Result<Option<Changed>, StatusError> {
        Ok(Some(self.0.clone_object().into()))
    }
}

struct SetSlice(EndpointSlice);

impl Change for SetSlice {
    fn apply(&self, current: &Stored) -> Result<Changed, StatusError> {
        let mut new = current.object.clone_object();
        if let Some(slice) = new.downcast_mut::<EndpointSlice>() {
            slice.endpoints.clone_from(&self.0.endpoints);
            slice.ports.clone_from(&self.0.ports);
        }
        Ok(new.into())
    }

    fn create(&self) -> Result<Option<Changed>, StatusError> {
        Ok(Some(self.0.clone_object().into()))
    }
}
