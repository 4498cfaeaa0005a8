//! Services of type `LoadBalancer` without a cloud: they get addresses of the nodes, or of a pool that leads to the nodes.
//!
//! Nothing is set up besides the status: kube-proxy takes what arrives on every node for the addresses in it.

mod addresses;
mod host_ports;
mod ledger;
mod nodes;
mod reserved;
mod status;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
};

pub use addresses::Addresses;
use api_types::{
    core::{Service, ServiceStatus},
    discovery::EndpointSlice,
};
use component::{
    api::Api,
    informer::{Event, Informer, ObjectKey},
    queue::{Outcome, WorkQueue},
    recorder::{EventType, Recorder},
};
use kube::{Client, api::Patch};
use parking_lot::Mutex;
pub use reserved::{DEFAULT_RESERVED, ReservedPorts};
use serde_json::json;

use self::{
    ledger::{Grant, Ledger, Port, Refusal, Request},
    reserved::Reserved,
    status::Role,
};
use crate::{
    context::Context,
    controllers::Run,
    ownership::object_reference,
    slim::{Node, Pod},
    step::{Error, failed},
    write,
};

/// Index: slices by namespace and name of their service, whoever made them.
const OF_SERVICE: &str = "load-balancer";
/// Names the service of a slice.
const SERVICE_NAME: &str = "kubernetes.io/service-name";
/// The service, and the slice, of the API servers.
const APISERVER: (&str, &str) = ("default", "kubernetes");

struct Controller {
    client: Client,
    services: Informer<Service>,
    nodes: Informer<Node>,
    slices: Informer<EndpointSlice>,
    pods: Informer<Pod>,
    addresses: Addresses,
    /// No service gets these of the nodes.
    reserved: ReservedPorts,
    /// Who has what; filled from the services' statuses before the worker starts.
    ledger: Mutex<Ledger>,
    /// Services that did not get what they want, with what they were told.
    waiting: Mutex<BTreeMap<ObjectKey, String>>,
    queue: Arc<WorkQueue<ObjectKey>>,
    recorder: Recorder,
}

/// The controller of load balancers; with `--load-balancer-addresses` only.
pub(crate) fn start(context: &Context) -> Option<Run> {
    let addresses = context.config.flags.load_balancer_addresses.clone()?;
    let mut pods = context.informer::<Pod>();
    if addresses.are_nodes() {
        pods = pods.with_index(host_ports::BY_HOST_PORT, host_ports::index);
    }
    let controller = Arc::new(Controller {
        client: context.client.clone(),
        services: context.informer(),
        nodes: context.informer(),
        slices: context
            .informer::<EndpointSlice>()
            .with_index(OF_SERVICE, |slice| service_of(slice).map(|key| key.to_string()).into_iter().collect()),
        pods,
        addresses,
        reserved: context.config.flags.load_balancer_reserved_ports.clone(),
        ledger: Mutex::default(),
        waiting: Mutex::default(),
        queue: WorkQueue::new(),
        recorder: context.recorder("service-controller"),
    });
    controller.subscribe();
    let daemon = context.daemon.clone();
    Some(Box::new(move || {
        controller.adopt_all();
        // One worker: who comes first is served first.
        Arc::clone(&controller.queue).run(&daemon, "service", 1, move |key| {
            let controller = Arc::clone(&controller);
            async move { write::settle_races(controller.reconcile(&key).await) }
        });
    }))
}

impl Controller {
    fn subscribe(self: &Arc<Self>) {
        let keys = Arc::clone(&self.queue);
        self.services.on_event(move |event| keys.add(ObjectKey::of(&**event.object())));
        if !self.addresses.are_nodes() {
            return;
        }
        let this = Arc::clone(self);
        self.nodes.on_event(move |event| match event {
            Event::Updated { old, new } if nodes::shows_the_same(old, new) => {}
            _ => this.queue_all(),
        });
        let this = Arc::clone(self);
        self.slices.on_event(move |event| this.on_slice(event.object()));
        let this = Arc::clone(self);
        self.pods.on_event(move |event| this.queue_with_ports(&host_ports::changed(event)));
    }

    fn queue_all(&self) {
        self.queue_those(|_| true);
    }

    /// The services that want one of these ports, of which something has changed.
    fn queue_with_ports(&self, ports: &BTreeSet<Port>) {
        if !ports.is_empty() {
            let wants = |request: Request| request.ports.iter().any(|port| ports.contains(port));
            self.queue_those(|service| status::request(service).is_ok_and(wants));
        }
    }

    fn queue_those(&self, wanted: impl Fn(&Service) -> bool) {
        let services = self.services.store().list();
        let balanced = services.iter().filter(|service| status::role(service) == Role::Wants && wanted(service));
        balanced.for_each(|service| self.queue.add(ObjectKey::of(&**service)));
    }

    fn on_slice(&self, slice: &EndpointSlice) {
        if ObjectKey::of(slice) == ObjectKey::new(APISERVER.0, APISERVER.1) {
            return self.queue_all();
        }
        let Some(key) = service_of(slice) else { return };
        if self.services.store().get(&key).is_some_and(|service| is_local(&service)) {
            self.queue.add(key);
        }
    }

    /// What the services have had since before, the oldest first.
    fn adopt_all(&self) {
        let mut services = self.services.store().list();
        services.retain(|service| status::role(service) == Role::Wants);
        services.sort_by_key(|service| (service.metadata.creation_timestamp.clone(), ObjectKey::of(&**service)));
        let mut ledger = self.ledger.lock();
        for service in services {
            let Ok(request) = status::request(&service) else { continue };
            let ips = status::ingress(&service).iter().filter_map(|entry| entry.ip.as_ref()?.parse::<IpAddr>().ok());
            let claims = ips.flat_map(|ip| match self.addresses {
                Addresses::Nodes => ledger::claims_of_ports(ip, &request.ports).collect(),
                Addresses::Pool(_) => vec![ledger::whole(ip)],
            });
            ledger.adopt(&ObjectKey::of(&*service), claims.collect::<Vec<_>>());
        }
    }

    async fn reconcile(&self, key: &ObjectKey) -> Result<Outcome, Error> {
        let service = self.services.store().get(key);
        let role = service.as_ref().map_or(Role::Other, |service| status::role(service));
        match (service, role) {
            (Some(service), Role::Wants) if !status::has_finalizer(&service) => {
                let mut finalizers = service.metadata.finalizers.clone().unwrap_or_default();
                finalizers.push(status::FINALIZER.to_owned());
                self.write_finalizers(&service, finalizers).await?;
            }
            (Some(service), Role::Wants) => self.give(key, &service).await?,
            (Some(service), Role::Leaves) => self.take_back(key, &service).await?,
            (_, _) => self.release(key),
        }
        Ok(Outcome::Done)
    }

    async fn give(&self, key: &ObjectKey, service: &Service) -> Result<(), Error> {
        let request = match status::request(service) {
            Ok(request) => request,
            Err(mistake) => {
                self.release(key);
                self.tell_refusal(key, service, "SyncLoadBalancerFailed", mistake);
                self.write_status(service, status::without_addresses(service)).await?;
                return Ok(());
            }
        };
        let (settled, freed) = self.settle(key, service, &request);
        // Others get what was given up when it is no longer told.
        self.write_status(service, status::told(service, &settled)).await?;
        if freed {
            self.wake_waiting();
        }
        match settled {
            Ok(Grant { addresses, conflict }) => {
                self.tell_addresses(service, &addresses);
                match conflict {
                    Some(conflict) => self.tell_refusal(key, service, "SyncLoadBalancerFailed", conflict.to_string()),
                    None => drop(self.waiting.lock().remove(key)),
                }
            }
            Err(Refusal::NoNodes) => {
                self.tell_refusal(key, service, "UnAvailableLoadBalancer", Refusal::NoNodes.to_string());
            }
            Err(refusal) => self.tell_refusal(key, service, "SyncLoadBalancerFailed", refusal.to_string()),
        }
        Ok(())
    }

    fn settle(&self, key: &ObjectKey, service: &Service, request: &Request) -> (Result<Grant, Refusal>, bool) {
        let pool = match &self.addresses {
            Addresses::Pool(pool) => pool,
            Addresses::Nodes => {
                let nodes = self.nodes.store().list();
                let local = is_local(service).then(|| nodes::with_endpoints(&self.slices_of(key)));
                let takes = |node: &&Arc<Node>| local.as_ref().is_none_or(|names| names.contains(node.name()));
                let ips: Vec<IpAddr> = nodes.iter().filter(takes).flat_map(|node| nodes::addresses(node)).collect();
                let reserved = self.reserved(&nodes, request);
                return self.ledger.lock().settle_on_nodes(key, request, &ips, &reserved);
            }
        };
        self.ledger.lock().settle_in_pool(key, request, pool)
    }

    /// What the nodes, the API servers and pods have; of the pods' ports only those that are asked for.
    fn reserved(&self, nodes: &[Arc<Node>], request: &Request) -> Reserved {
        let apiserver = self.slices.store().get(&ObjectKey::new(APISERVER.0, APISERVER.1));
        let mut owners = nodes::reserved(nodes, apiserver.as_deref());
        for port in &request.ports {
            for pod in self.pods.store().by_index(host_ports::BY_HOST_PORT, &port.to_string()) {
                let node = self.nodes.store().get(&ObjectKey::new("", pod.node_name()));
                let addresses = node.map_or_else(Vec::new, |node| nodes::addresses(&node));
                owners.extend(host_ports::claims(&pod, port, &addresses));
            }
        }
        Reserved { ports: self.reserved.clone(), owners }
    }

    fn slices_of(&self, key: &ObjectKey) -> Vec<Arc<EndpointSlice>> {
        self.slices.store().by_index(OF_SERVICE, &key.to_string())
    }

    async fn take_back(&self, key: &ObjectKey, service: &Service) -> Result<(), Error> {
        let record = |reason, message| {
            self.recorder.record(&object_reference(service), EventType::Normal, reason, message);
        };
        record("DeletingLoadBalancer", "Deleting load balancer");
        let stored = self.write_status(service, status::without_addresses(service)).await?;
        self.release(key);
        let current = stored.as_ref().unwrap_or(service);
        let mut finalizers = current.metadata.finalizers.clone().unwrap_or_default();
        finalizers.retain(|finalizer| finalizer != status::FINALIZER);
        self.write_finalizers(current, finalizers).await?;
        record("DeletedLoadBalancer", "Deleted load balancer");
        Ok(())
    }

    /// Takes back what the service has, if it has something.
    fn release(&self, key: &ObjectKey) {
        self.waiting.lock().remove(key);
        if self.ledger.lock().release(key) {
            self.wake_waiting();
        }
    }

    /// Those who wait try again, the oldest first.
    fn wake_waiting(&self) {
        let waiting: Vec<ObjectKey> = self.waiting.lock().keys().cloned().collect();
        let mut services: Vec<_> = waiting.iter().filter_map(|key| self.services.store().get(key)).collect();
        services.sort_by_key(|service| (service.metadata.creation_timestamp.clone(), ObjectKey::of(&**service)));
        services.iter().for_each(|service| self.queue.add(ObjectKey::of(&**service)));
    }

    /// Says once what is in the way, and again only when that is something else.
    fn tell_refusal(&self, key: &ObjectKey, service: &Service, reason: &str, message: String) {
        let before = self.waiting.lock().insert(key.clone(), message.clone());
        if before.as_ref() != Some(&message) {
            let prefix = if reason == "SyncLoadBalancerFailed" { "Error syncing load balancer: " } else { "" };
            let message = format!("{prefix}{message}");
            self.recorder.record(&object_reference(service), EventType::Warning, reason, message);
        }
    }

    /// As upstream's service controller says it.
    fn tell_addresses(&self, service: &Service, addresses: &[IpAddr]) {
        let before = status::ingress(service);
        let same = before.len() == addresses.len()
            && before.iter().zip(addresses).all(|(entry, ip)| entry.ip == Some(ip.to_string()));
        let (reason, message) = match before {
            [] => ("EnsuredLoadBalancer", "Ensured load balancer"),
            _ if same => return,
            _ => ("UpdatedLoadBalancer", "Updated load balancer with new hosts"),
        };
        self.recorder.record(&object_reference(service), EventType::Normal, reason, message);
    }

    /// The service as it is stored then; `None` when it has this status already.
    async fn write_status(&self, service: &Service, new: ServiceStatus) -> Result<Option<Service>, Error> {
        if service.status.as_ref() == Some(&new) {
            return Ok(None);
        }
        let ServiceStatus { conditions, load_balancer } = new;
        let ingress = load_balancer.and_then(|balancer| balancer.ingress);
        let patch = json!({
            "metadata": {"uid": service.metadata.uid, "resourceVersion": service.metadata.resource_version},
            "status": {"loadBalancer": {"ingress": ingress}, "conditions": conditions},
        });
        let api = self.api(service);
        let name = service.metadata.name.as_deref().unwrap_or_default();
        let written = api.patch_status(name, &write::patch_params(), &Patch::Merge(patch)).await;
        written.map(Some).map_err(failed("writing the addresses"))
    }

    async fn write_finalizers(&self, service: &Service, finalizers: Vec<String>) -> Result<(), Error> {
        let meta = &service.metadata;
        let patch =
            json!({"metadata": {"uid": meta.uid, "resourceVersion": meta.resource_version, "finalizers": finalizers}});
        let name = meta.name.as_deref().unwrap_or_default();
        let written = self.api(service).patch(name, &write::patch_params(), &Patch::Merge(patch)).await;
        written.map_err(failed("changing the finalizer"))?;
        Ok(())
    }

    fn api(&self, service: &Service) -> Api<Service> {
        Api::namespaced(self.client.clone(), service.metadata.namespace.as_deref().unwrap_or_default())
    }
}

fn service_of(slice: &EndpointSlice) -> Option<ObjectKey> {
    let name = slice.metadata.labels.as_ref()?.get(SERVICE_NAME)?;
    Some(ObjectKey::new(slice.metadata.namespace.clone().unwrap_or_default(), name.clone()))
}

/// Whether only nodes with endpoints take the service's traffic.
fn is_local(service: &Service) -> bool {
    service.spec.as_ref().and_then(|spec| spec.external_traffic_policy.as_deref()) == Some("Local")
}
