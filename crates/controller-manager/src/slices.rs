//! What the controllers that write endpoint slices have in common.

use std::sync::Arc;

use api_types::discovery::{EndpointPort, EndpointSlice};
use component::{api::Api, informer::ObjectKey};
use kube::{
    Client,
    api::{DeleteParams, Preconditions},
};

use crate::{
    step::{Error, failed},
    write,
    written::Written,
};

/// Label: the service's name.
pub const SERVICE_NAME: &str = "kubernetes.io/service-name";
/// Label: who writes the slice.
pub const MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";

/// A port: name, number, protocol, application protocol.
pub type Port = (String, i32, String, Option<String>);

/// What slices have in common: address type and ports; sorted, so that it can be a key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Group {
    /// `IPv4` or `IPv6`.
    pub address_type: String,
    /// Sorted.
    pub ports: Vec<Port>,
}

impl Group {
    /// That of a slice.
    #[must_use]
    pub fn of(slice: &EndpointSlice) -> Self {
        let port = |port: &EndpointPort| {
            let protocol = port.protocol.clone().unwrap_or_else(|| "TCP".to_owned());
            (port.name.clone().unwrap_or_default(), port.port.unwrap_or(0), protocol, port.app_protocol.clone())
        };
        let mut ports: Vec<_> = slice.ports.iter().flatten().map(port).collect();
        ports.sort();
        Self { address_type: slice.address_type.clone(), ports }
    }

    /// The ports as a slice has them.
    #[must_use]
    pub fn slice_ports(&self) -> Vec<EndpointPort> {
        let port = |(name, port, protocol, app_protocol): &Port| EndpointPort {
            name: Some(name.clone()),
            port: Some(*port),
            protocol: Some(protocol.clone()),
            app_protocol: app_protocol.clone(),
        };
        self.ports.iter().map(port).collect()
    }
}

/// What to write.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// A new slice.
    Create(EndpointSlice),
    /// The same slice with other content.
    Update(EndpointSlice),
    /// A slice that nothing is left for.
    Delete(Arc<EndpointSlice>),
}

/// The service of a slice that this manager writes.
#[must_use]
pub fn service_of(slice: &EndpointSlice, manager: &str) -> Option<ObjectKey> {
    let labels = slice.metadata.labels.as_ref()?;
    let ours = labels.get(MANAGED_BY).is_some_and(|own| own == manager);
    let name = labels.get(SERVICE_NAME).filter(|_| ours)?;
    Some(ObjectKey::new(slice.metadata.namespace.clone().unwrap_or_default(), name.clone()))
}

/// Writes slices, and remembers which of its writes the cache does not show yet.
pub struct Writer {
    client: Client,
    /// What was written and is not seen, by service.
    pub written: Written,
}

impl Writer {
    /// Nothing was written yet.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self { client, written: Written::default() }
    }

    /// Carries out what was planned for the slices of a service, in this order.
    ///
    /// # Errors
    /// When the server refuses; a namespace that goes away is no error.
    pub async fn carry_out(&self, service: &ObjectKey, actions: Vec<Action>) -> Result<(), Error> {
        let api: Api<EndpointSlice> = Api::namespaced(self.client.clone(), &service.namespace);
        for action in actions {
            let (operation, result) = match action {
                Action::Create(slice) => {
                    ("creating an endpoint slice", api.create(&write::post_params(), &slice).await)
                }
                Action::Update(slice) => {
                    let name = slice.metadata.name.as_deref().unwrap_or_default();
                    ("updating an endpoint slice", api.replace(name, &write::post_params(), &slice).await)
                }
                Action::Delete(slice) => {
                    self.delete(service, &api, &slice).await?;
                    continue;
                }
            };
            match result {
                Ok(slice) => self.written.stored(service, &slice),
                Err(error) if write::is_namespace_terminating(&error) => {}
                Err(error) => return Err(failed(operation)(error)),
            }
        }
        Ok(())
    }

    async fn delete(&self, service: &ObjectKey, api: &Api<EndpointSlice>, slice: &EndpointSlice) -> Result<(), Error> {
        let this_one = Preconditions { uid: slice.metadata.uid.clone(), resource_version: None };
        let parameters = DeleteParams { preconditions: Some(this_one), ..DeleteParams::default() };
        match api.delete(slice.metadata.name.as_deref().unwrap_or_default(), &parameters).await {
            Err(error) if !write::is_race(&error) => Err(failed("deleting an endpoint slice")(error)),
            _ => {
                self.written.deleted(service, slice);
                Ok(())
            }
        }
    }
}
