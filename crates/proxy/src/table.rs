//! Services with their endpoints, kept current one service at a time.

use std::collections::HashMap;
use std::sync::Arc;

use component::informer::ObjectKey;
use iptables::Family;

use crate::endpoint::{Place, endpoint_map};
use crate::fault::Faults;
use crate::model;
use crate::service::{ServiceMap, ServicePort, ServicePortName, service_map};

/// A service port that is no longer what it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Which.
    pub name: Arc<ServicePortName>,
    /// What it was; `None` when it is new.
    pub old: Option<Arc<ServicePort>>,
    /// What it is; `None` when it is gone.
    pub new: Option<Arc<ServicePort>>,
}

/// Every service port of one address family.
#[derive(Clone, Debug)]
pub struct ServiceTable {
    family: Family,
    ports: ServiceMap,
    /// What of services cannot be served, as it was told last.
    faults: HashMap<ObjectKey, Faults>,
}

impl ServiceTable {
    /// No services.
    #[must_use]
    pub fn new(family: Family) -> Self {
        Self { family, ports: ServiceMap::new(), faults: HashMap::new() }
    }

    /// The address family.
    #[must_use]
    pub fn family(&self) -> Family {
        self.family
    }

    /// Every service port.
    #[must_use]
    pub fn ports(&self) -> &ServiceMap {
        &self.ports
    }

    /// The ports of one service.
    pub fn of(&self, key: &ObjectKey) -> impl Iterator<Item = (&Arc<ServicePortName>, &Arc<ServicePort>)> {
        let from = ServicePortName { namespace: key.namespace.clone(), name: key.name.clone(), port: String::new() };
        let rest = self.ports.range(Arc::new(from)..);
        let (namespace, name) = (key.namespace.clone(), key.name.clone());
        rest.take_while(move |(port, _)| port.namespace == namespace && port.name == name)
    }

    /// Takes note of what a service and its slices are now; what that changes.
    pub fn update<'a>(
        &mut self,
        key: &ObjectKey,
        service: Option<&'a model::Service>,
        slices: impl IntoIterator<Item = &'a model::EndpointSlice>,
        place: &Place,
    ) -> Vec<Change> {
        let mut now = ServiceMap::new();
        let mut faults = Faults::default();
        if let Some(service) = service {
            let endpoints = endpoint_map(slices, place, self.family, &mut faults);
            now = service_map(service, endpoints, self.family, &mut faults);
        }
        self.tell(key, faults);
        let before: Vec<_> = self.of(key).map(|(name, port)| (Arc::clone(name), Arc::clone(port))).collect();
        let mut changes = Vec::new();
        for (name, old) in before {
            let new = now.remove(&name);
            if new.as_ref() != Some(&old) {
                changes.push(Change { name, old: Some(old), new });
            }
        }
        changes.extend(now.into_iter().map(|(name, new)| Change { name, old: None, new: Some(new) }));
        for Change { name, new, .. } in &changes {
            match new {
                Some(port) => self.ports.insert(Arc::clone(name), Arc::clone(port)),
                None => self.ports.remove(name),
            };
        }
        changes
    }
    /// Names what is new of what cannot be served.
    fn tell(&mut self, key: &ObjectKey, faults: Faults) {
        if faults.is_empty() {
            self.faults.remove(key);
        } else if self.faults.get(key) != Some(&faults) {
            tracing::warn!(service = %key, family = %self.family, "a part of a service is not served: {}", faults.text());
            self.faults.insert(key.clone(), faults);
        }
    }
}
