//! The endpoint slices of a service.

use std::{collections::BTreeMap, sync::Arc};

use api_types::{
    core::{ObjectReference, Service},
    discovery::{Endpoint, EndpointConditions, EndpointSlice},
    meta::ObjectMeta,
};

use crate::{
    ownership::controller_reference,
    pod_state::is_ready,
    service_endpoints::{HEADLESS, hostname, is_headless, is_of_family, publishes_not_ready, target_port},
    slices::{Action, Group, MANAGED_BY, Port, SERVICE_NAME},
    slim::Pod,
};

/// This controller in [`MANAGED_BY`].
pub(super) const MANAGER: &str = "endpointslice-controller.k8s.io";
/// Most endpoints in a slice; upstream's default.
const MAX_ENDPOINTS: usize = 100;

/// Compares the slices that there are with what the pods make. Slices are changed as little as
/// possible: an endpoint stays where it is, new ones fill slices that change anyway, and only then
/// others. `zone_of` names the zone of a node.
pub(super) fn plan(
    service: &Service,
    pods: &[Arc<Pod>],
    existing: &[Arc<EndpointSlice>],
    zone_of: &dyn Fn(&str) -> Option<String>,
) -> Vec<Action> {
    let mut desired = desired(service, pods, zone_of);
    let types = address_types(service);
    let mut slices: BTreeMap<Group, Vec<Arc<EndpointSlice>>> = BTreeMap::new();
    let mut actions = Vec::new();
    for slice in existing {
        match types.contains(&slice.address_type) {
            true => slices.entry(Group::of(slice)).or_default().push(Arc::clone(slice)),
            false => actions.push(Action::Delete(Arc::clone(slice))),
        }
    }
    // A service without endpoints still has a slice of each address type, empty and without ports.
    for address_type in &types {
        if !desired.keys().any(|group| group.address_type == *address_type) {
            desired.insert(Group { address_type: address_type.clone(), ports: Vec::new() }, BTreeMap::new());
        }
    }
    for (group, endpoints) in desired {
        let of_group = slices.remove(&group).unwrap_or_default();
        actions.extend(plan_group(service, &group, endpoints, &of_group));
    }
    actions.extend(slices.into_values().flatten().map(Action::Delete));
    actions
}

/// Endpoints by what identifies them: the pod's uid.
type Endpoints = BTreeMap<String, Endpoint>;

/// The endpoints that should be, by group.
fn desired(
    service: &Service,
    pods: &[Arc<Pod>],
    zone_of: &dyn Fn(&str) -> Option<String>,
) -> BTreeMap<Group, Endpoints> {
    let mut groups: BTreeMap<Group, Endpoints> = BTreeMap::new();
    for address_type in address_types(service) {
        for pod in pods {
            let Some(address) = pod.addresses().find(|ip| is_of_family(ip, &address_type)) else { continue };
            let group = Group { address_type: address_type.clone(), ports: ports(service, pod) };
            let endpoint = endpoint(service, pod, address, zone_of);
            groups.entry(group).or_default().insert(pod.uid().to_owned(), endpoint);
        }
    }
    groups
}

fn address_types(service: &Service) -> Vec<String> {
    let families = service.spec.as_ref().and_then(|spec| spec.ip_families.clone()).unwrap_or_default();
    if families.is_empty() { vec!["IPv4".to_owned()] } else { families }
}

fn ports(service: &Service, pod: &Pod) -> Vec<Port> {
    let wanted = service.spec.as_ref().and_then(|spec| spec.ports.as_deref()).unwrap_or_default();
    let found = wanted.iter().filter_map(|port| {
        let number = target_port(pod, port)?;
        let protocol = port.protocol.clone().unwrap_or_else(|| "TCP".to_owned());
        Some((port.name.clone().unwrap_or_default(), number, protocol, port.app_protocol.clone()))
    });
    let mut ports: Vec<_> = found.collect();
    ports.sort();
    ports
}

fn endpoint(service: &Service, pod: &Pod, address: &str, zone_of: &dyn Fn(&str) -> Option<String>) -> Endpoint {
    let (serving, terminating) = (is_ready(pod), pod.metadata.deletion_timestamp.is_some());
    let ready = publishes_not_ready(service) || (serving && !terminating);
    Endpoint {
        addresses: vec![address.to_owned()],
        conditions: Some(EndpointConditions {
            ready: Some(ready),
            serving: Some(serving),
            terminating: Some(terminating),
        }),
        hostname: hostname(pod, service),
        node_name: pod.spec.node_name.clone(),
        target_ref: Some(ObjectReference {
            kind: Some("Pod".to_owned()),
            namespace: pod.metadata.namespace.clone(),
            name: pod.metadata.name.clone(),
            uid: pod.metadata.uid.clone(),
            ..ObjectReference::default()
        }),
        zone: zone_of(pod.node_name()),
        ..Endpoint::default()
    }
}

/// A slice in the making.
struct Draft {
    slice: Arc<EndpointSlice>,
    endpoints: Vec<Endpoint>,
    changed: bool,
}

fn plan_group(
    service: &Service,
    group: &Group,
    mut desired: Endpoints,
    existing: &[Arc<EndpointSlice>],
) -> Vec<Action> {
    let mut drafts: Vec<Draft> = existing.iter().map(|slice| keep_desired(service, slice, &mut desired)).collect();
    let empty = desired.is_empty() && drafts.iter().all(|draft| draft.endpoints.is_empty());
    let mut rest = desired.into_values();
    drafts.sort_by_key(|draft| (!draft.changed, std::cmp::Reverse(draft.endpoints.len())));
    for draft in &mut drafts {
        let room = MAX_ENDPOINTS.saturating_sub(draft.endpoints.len());
        let before = draft.endpoints.len();
        draft.endpoints.extend(rest.by_ref().take(room));
        draft.changed |= draft.endpoints.len() != before;
    }
    let mut actions = Vec::new();
    let mut placeholder = empty;
    for draft in drafts {
        if draft.endpoints.is_empty() && !std::mem::take(&mut placeholder) {
            actions.push(Action::Delete(draft.slice));
        } else if draft.changed {
            actions.push(Action::Update(filled(service, &draft.slice, draft.endpoints)));
        }
    }
    let mut rest: Vec<Endpoint> = rest.collect();
    while !rest.is_empty() || placeholder {
        let chunk = rest.drain(..rest.len().min(MAX_ENDPOINTS)).collect();
        actions.push(Action::Create(new_slice(service, group, chunk)));
        placeholder = false;
    }
    actions
}

/// Keeps of a slice what is still desired, as it is desired now, and takes that out of `desired`.
fn keep_desired(service: &Service, slice: &Arc<EndpointSlice>, desired: &mut Endpoints) -> Draft {
    let current = slice.endpoints.as_deref().unwrap_or_default();
    let uid = |endpoint: &Endpoint| endpoint.target_ref.as_ref().and_then(|target| target.uid.clone());
    let endpoints: Vec<Endpoint> =
        current.iter().filter_map(|endpoint| desired.remove(&uid(endpoint).unwrap_or_default())).collect();
    let changed = endpoints != current || slice.metadata.labels != Some(labels(service));
    Draft { slice: Arc::clone(slice), endpoints, changed }
}

/// The service's labels and those that say whose slice it is.
fn labels(service: &Service) -> BTreeMap<String, String> {
    let mut labels = service.metadata.labels.clone().unwrap_or_default();
    labels.remove(HEADLESS);
    if is_headless(service) {
        labels.insert(HEADLESS.to_owned(), String::new());
    }
    labels.insert(SERVICE_NAME.to_owned(), service.metadata.name.clone().unwrap_or_default());
    labels.insert(MANAGED_BY.to_owned(), MANAGER.to_owned());
    labels
}

fn filled(service: &Service, slice: &EndpointSlice, endpoints: Vec<Endpoint>) -> EndpointSlice {
    let mut slice = slice.clone();
    slice.metadata.labels = Some(labels(service));
    slice.endpoints = Some(endpoints);
    slice
}

fn new_slice(service: &Service, group: &Group, endpoints: Vec<Endpoint>) -> EndpointSlice {
    let metadata = ObjectMeta {
        generate_name: Some(format!("{}-", service.metadata.name.as_deref().unwrap_or_default())),
        namespace: service.metadata.namespace.clone(),
        labels: Some(labels(service)),
        owner_references: Some(vec![controller_reference(service)]),
        ..ObjectMeta::default()
    };
    EndpointSlice {
        metadata,
        address_type: group.address_type.clone(),
        endpoints: Some(endpoints),
        ports: Some(group.slice_ports()),
    }
}

#[cfg(test)]
mod tests;
