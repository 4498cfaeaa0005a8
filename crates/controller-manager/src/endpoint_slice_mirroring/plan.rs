//! The slices that mirror endpoints.

use std::{
    collections::{BTreeMap, HashMap},
    net::IpAddr,
    sync::Arc,
};

use api_types::{
    core::{EndpointAddress, EndpointSubset, Endpoints},
    discovery::{Endpoint, EndpointConditions, EndpointSlice},
    meta::ObjectMeta,
};

use crate::{
    ownership::controller_reference,
    slices::{Action, Group, MANAGED_BY, Port, SERVICE_NAME},
};

/// This controller in [`MANAGED_BY`].
pub(super) const MANAGER: &str = "endpointslicemirroring-controller.k8s.io";
/// Label: `true` leaves endpoints alone.
const SKIP_MIRROR: &str = "endpointslice.kubernetes.io/skip-mirror";
/// Annotation of endpoints that are but a lock.
const LEADER: &str = "control-plane.alpha.kubernetes.io/leader";
/// Annotations that say something of the endpoints alone.
const NOT_MIRRORED: [&str; 2] =
    ["endpoints.kubernetes.io/last-change-trigger-time", "kubectl.kubernetes.io/last-applied-configuration"];

/// Whether endpoints ask for mirrors, as far as they can tell.
pub(super) fn is_to_be_mirrored(endpoints: &Endpoints) -> bool {
    let labels = endpoints.metadata.labels.as_ref();
    let skipped = labels.and_then(|labels| labels.get(SKIP_MIRROR)).is_some_and(|value| value == "true");
    let is_lock = endpoints.metadata.annotations.as_ref().is_some_and(|own| own.contains_key(LEADER));
    !skipped && !is_lock
}

/// What to do, and what is left out.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Plan {
    /// What to write.
    pub actions: Vec<Action>,
    /// Addresses that are none.
    pub invalid: usize,
    /// Addresses that are not mirrored, those among them.
    pub skipped: usize,
}

/// What identifies an endpoint: everything but its conditions.
type Identity = (IpAddr, String, String, String);

type Mirrored = BTreeMap<Identity, Endpoint>;

/// Makes of every set of ports and every address family one slice. A slice that nothing is left for becomes one that is
/// missing, where it can. Of each subset at most `max` addresses are mirrored, and in a slice are at most as many.
pub(super) fn plan(endpoints: &Endpoints, existing: &[Arc<EndpointSlice>], max: usize) -> Plan {
    let mut plan = Plan::default();
    let mut desired: BTreeMap<Group, Mirrored> = BTreeMap::new();
    for subset in endpoints.subsets.iter().flatten() {
        add(subset, max, &mut desired, &mut plan);
    }
    let mut slices: BTreeMap<Group, Vec<Arc<EndpointSlice>>> = BTreeMap::new();
    for slice in existing {
        slices.entry(Group::of(slice)).or_default().push(Arc::clone(slice));
    }
    let (mut missing, mut updates) = (Vec::new(), Vec::new());
    for (group, mirrored) in desired {
        let mut slice = mirror(endpoints, &group, mirrored.into_values().take(max).collect());
        let of_group = slices.get_mut(&group).filter(|slices| !slices.is_empty()).map(|slices| slices.remove(0));
        match of_group {
            None => missing.push(slice),
            Some(current) => {
                take_identity(&mut slice, &current);
                if !is_same(&slice, &current) {
                    updates.push(slice);
                }
            }
        }
    }
    let mut superfluous: HashMap<String, Vec<Arc<EndpointSlice>>> = HashMap::new();
    for slice in slices.into_values().flatten() {
        superfluous.entry(slice.address_type.clone()).or_default().push(slice);
    }
    for mut slice in missing {
        match superfluous.get_mut(&slice.address_type).and_then(Vec::pop) {
            Some(recycled) => {
                take_identity(&mut slice, &recycled);
                updates.push(slice);
            }
            // Endpoints that go away get no new slices.
            None if endpoints.metadata.deletion_timestamp.is_some() => {}
            None => plan.actions.push(Action::Create(slice)),
        }
    }
    plan.actions.extend(updates.into_iter().map(Action::Update));
    plan.actions.extend(superfluous.into_values().flatten().map(Action::Delete));
    plan
}

/// Adds the endpoints of a subset, those that are ready first.
fn add(subset: &EndpointSubset, max: usize, desired: &mut BTreeMap<Group, Mirrored>, plan: &mut Plan) {
    let ports = ports(subset);
    let ready = subset.addresses.iter().flatten().map(|address| (address, true));
    let all = ready.chain(subset.not_ready_addresses.iter().flatten().map(|address| (address, false)));
    let mut added = 0;
    for (address, ready) in all {
        if added >= max {
            plan.skipped += 1;
            continue;
        }
        let Some(ip) = address_of(&address.ip) else {
            plan.invalid += 1;
            plan.skipped += 1;
            continue;
        };
        added += 1;
        let address_type = if ip.is_ipv4() { "IPv4" } else { "IPv6" };
        let group = Group { address_type: address_type.to_owned(), ports: ports.clone() };
        desired.entry(group).or_default().insert(identity(ip, address), endpoint(ip, address, ready));
    }
}

fn ports(subset: &EndpointSubset) -> Vec<Port> {
    let own = subset.ports.iter().flatten();
    let mut ports: Vec<Port> = own
        .map(|port| {
            let protocol = port.protocol.clone().unwrap_or_else(|| "TCP".to_owned());
            (port.name.clone().unwrap_or_default(), port.port, protocol, port.app_protocol.clone())
        })
        .collect();
    ports.sort();
    ports
}

/// An address as it was always understood in endpoints: octets may begin with zeros, and IPv4 may be written as IPv6.
fn address_of(text: &str) -> Option<IpAddr> {
    let parsed = text.parse::<IpAddr>().ok().or_else(|| {
        let octets: Option<Vec<u8>> = text.split('.').map(octet).collect();
        Some(<[u8; 4]>::try_from(octets?).ok()?.into())
    });
    parsed.map(|ip| ip.to_canonical())
}

fn octet(text: &str) -> Option<u8> {
    let digits = text.trim_start_matches('0');
    let sound = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if sound && digits.is_empty() { Some(0) } else { digits.parse().ok().filter(|_| sound) }
}

fn identity(ip: IpAddr, address: &EndpointAddress) -> Identity {
    let uid = address.target_ref.as_ref().and_then(|target| target.uid.clone());
    let (hostname, node) = (address.hostname.clone(), address.node_name.clone());
    (ip, hostname.unwrap_or_default(), node.unwrap_or_default(), uid.unwrap_or_default())
}

fn endpoint(ip: IpAddr, address: &EndpointAddress, ready: bool) -> Endpoint {
    Endpoint {
        addresses: vec![ip.to_string()],
        conditions: Some(EndpointConditions { ready: Some(ready), ..EndpointConditions::default() }),
        hostname: address.hostname.clone().filter(|hostname| !hostname.is_empty()),
        node_name: address.node_name.clone(),
        target_ref: address.target_ref.clone(),
        ..Endpoint::default()
    }
}

/// A new slice.
fn mirror(endpoints: &Endpoints, group: &Group, mirrored: Vec<Endpoint>) -> EndpointSlice {
    let name = endpoints.metadata.name.clone().unwrap_or_default();
    let mut labels = endpoints.metadata.labels.clone().unwrap_or_default();
    labels.insert(SERVICE_NAME.to_owned(), name.clone());
    labels.insert(MANAGED_BY.to_owned(), MANAGER.to_owned());
    let mut annotations = endpoints.metadata.annotations.clone().unwrap_or_default();
    annotations.retain(|key, _| !NOT_MIRRORED.contains(&key.as_str()));
    let metadata = ObjectMeta {
        generate_name: Some(format!("{name}-")),
        namespace: endpoints.metadata.namespace.clone(),
        labels: Some(labels),
        annotations: (!annotations.is_empty()).then_some(annotations),
        owner_references: Some(vec![controller_reference(endpoints)]),
        ..ObjectMeta::default()
    };
    EndpointSlice {
        metadata,
        address_type: group.address_type.clone(),
        endpoints: Some(mirrored),
        ports: Some(group.slice_ports()),
    }
}

/// Makes the slice replace another one, as it was seen.
fn take_identity(slice: &mut EndpointSlice, current: &EndpointSlice) {
    let ObjectMeta { labels, annotations, owner_references, .. } = std::mem::take(&mut slice.metadata);
    slice.metadata = ObjectMeta { labels, annotations, owner_references, ..current.metadata.clone() };
}

/// Whether a slice is as it should be. The order of endpoints means nothing.
fn is_same(desired: &EndpointSlice, current: &EndpointSlice) -> bool {
    let sorted = |slice: &EndpointSlice| {
        let mut endpoints = slice.endpoints.clone().unwrap_or_default();
        endpoints.sort_by(|a, b| a.addresses.cmp(&b.addresses).then_with(|| a.hostname.cmp(&b.hostname)));
        endpoints
    };
    let annotations = |slice: &EndpointSlice| slice.metadata.annotations.clone().unwrap_or_default();
    desired.metadata.labels == current.metadata.labels
        && annotations(desired) == annotations(current)
        && desired.metadata.owner_references == current.metadata.owner_references
        && sorted(desired) == sorted(current)
}

#[cfg(test)]
mod tests;
