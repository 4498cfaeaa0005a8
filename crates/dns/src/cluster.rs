//! What is asked about the cluster, and the informers that know.

use std::net::IpAddr;
use std::sync::Arc;

use component::Daemon;
use component::informer::{Informer, ObjectKey, Scope};
use kube::Client;

use crate::model::{EndpointSlice, Namespace, Service};

/// Slices by `namespace/service`.
const BY_SERVICE: &str = "service";
/// Services and slices by address.
const BY_ADDRESS: &str = "address";

/// The cluster as DNS sees it. Reading is cheap and never waits.
pub trait Cluster: Send + Sync + 'static {
    /// Whether everything is known. Until then nothing may be said not to exist.
    fn is_synced(&self) -> bool;
    /// Whether the namespace exists.
    fn has_namespace(&self, name: &str) -> bool;
    /// A service.
    fn service(&self, namespace: &str, name: &str) -> Option<Arc<Service>>;
    /// The slices of a service.
    fn slices(&self, namespace: &str, service: &str) -> Vec<Arc<EndpointSlice>>;
    /// The services with this virtual address.
    fn services_at(&self, ip: IpAddr) -> Vec<Arc<Service>>;
    /// The slices with an endpoint at this address.
    fn slices_at(&self, ip: IpAddr) -> Vec<Arc<EndpointSlice>>;
}

/// Informers of a real cluster.
#[derive(Debug)]
pub struct Informed {
    namespaces: Informer<Namespace>,
    services: Informer<Service>,
    slices: Informer<EndpointSlice>,
}

impl Informed {
    /// Starts the informers.
    #[must_use]
    pub fn start(client: &Client, daemon: &Daemon) -> Self {
        let everywhere = Scope::default();
        let informed = Self {
            namespaces: Informer::new(&(), &everywhere),
            services: Informer::new(&(), &everywhere)
                .with_index(BY_ADDRESS, |service: &Service| service.cluster_ips().map(|ip| ip.to_string()).collect()),
            slices: Informer::new(&(), &everywhere)
                .with_index(BY_SERVICE, service_of)
                .with_index(BY_ADDRESS, |slice| slice.addresses().map(|(ip, _)| ip.to_string()).collect()),
        };
        informed.namespaces.start(client.clone(), daemon);
        informed.services.start(client.clone(), daemon);
        informed.slices.start(client.clone(), daemon);
        informed
    }
}

fn service_of(slice: &EndpointSlice) -> Vec<String> {
    let namespace = slice.metadata.namespace.as_deref().unwrap_or_default();
    slice.service().map(|service| format!("{namespace}/{service}")).into_iter().collect()
}

impl Cluster for Informed {
    fn is_synced(&self) -> bool {
        self.namespaces.has_synced() && self.services.has_synced() && self.slices.has_synced()
    }

    fn has_namespace(&self, name: &str) -> bool {
        self.namespaces.store().get(&ObjectKey::new("", name)).is_some()
    }

    fn service(&self, namespace: &str, name: &str) -> Option<Arc<Service>> {
        self.services.store().get(&ObjectKey::new(namespace, name))
    }

    fn slices(&self, namespace: &str, service: &str) -> Vec<Arc<EndpointSlice>> {
        self.slices.store().by_index(BY_SERVICE, &format!("{namespace}/{service}"))
    }

    fn services_at(&self, ip: IpAddr) -> Vec<Arc<Service>> {
        self.services.store().by_index(BY_ADDRESS, &ip.to_string())
    }

    fn slices_at(&self, ip: IpAddr) -> Vec<Arc<EndpointSlice>> {
        self.slices.store().by_index(BY_ADDRESS, &ip.to_string())
    }
}
