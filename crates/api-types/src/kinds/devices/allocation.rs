//! The status of a claim: which devices it got, who uses them, and how they are.

use std::collections::BTreeSet;

use super::{MAX_CONFIGURATIONS, binding, configuration, data, each, each_once, pool_name, request::RequestNames};
use crate::{
    devices::{
        AllocatedDeviceStatus, AllocationResult, DeviceRequestAllocationResult, NetworkDeviceData, ResourceClaim,
        ResourceClaimConsumerReference, ResourceClaimStatus,
    },
    field::{FieldError, Path},
    pod_spec::validate::node_selector,
    validation::{address, conditions, meta, names, volume},
};

const MAX_USERS: usize = 256;
const MAX_RESULTS: usize = 32;
const MAX_CONDITIONS: usize = 8;
const MAX_ADDRESSES: usize = 16;
const MAX_INTERFACE: usize = 256;
const MAX_HARDWARE_ADDRESS: usize = 128;
const SOURCES: [&str; 2] = ["FromClaim", "FromClass"];
const NO_UID: &str = "uid must be in RFC 4122 normalized form, `xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx` with lowercase hexadecimal characters";
const NO_ADDRESS: &str = "must be a valid address in CIDR form, (e.g. 10.9.8.7/24 or 2001:db8::1/64)";

pub fn set_defaults(own: &mut AllocationResult) {
    let results = own.devices.iter_mut().flat_map(|devices| devices.results.iter_mut().flatten());
    for toleration in results.flat_map(|result| result.tolerations.iter_mut().flatten()) {
        let operator = toleration.operator.get_or_insert_default();
        if operator.is_empty() {
            "Equal".clone_into(operator);
        }
    }
}

pub fn validate_update(new: &ResourceClaim, old: &ResourceClaim) -> Vec<FieldError> {
    let path = Path::new("status");
    let default = ResourceClaimStatus::default();
    let (status, before) = (new.status.as_ref().unwrap_or(&default), old.status.as_ref().unwrap_or(&default));
    let users_path = path.child("reservedFor");
    let mut errors = each_once(&users_path, status.reserved_for.as_ref(), MAX_USERS, |own| own.uid.clone(), user);
    let allocated = allocated(status.allocation.as_ref());
    errors.extend(each_once(
        &path.child("devices"),
        status.devices.as_ref(),
        usize::MAX,
        |own| id(&own.driver, &own.pool, &own.device, own.share_id.as_deref()),
        |path, own| device(path, own, &allocated),
    ));
    let users = status.reserved_for.as_deref().unwrap_or_default();
    let same = |own: &'_ ResourceClaimConsumerReference| {
        (own.api_group.clone(), own.resource.clone(), own.name.clone(), own.uid.clone())
    };
    let users_before: BTreeSet<_> = before.reserved_for.iter().flatten().map(same).collect();
    if !users.is_empty() && status.allocation.is_none() {
        errors.push(FieldError::forbidden(&users_path, "may not be specified when `allocated` is not set"));
    } else if new.metadata.deletion_timestamp.is_some() && users.iter().any(|own| !users_before.contains(&same(own))) {
        let detail = "new entries may not be added while `deallocationRequested` or `deletionTimestamp` are set";
        errors.push(FieldError::forbidden(&users_path, detail));
    }
    let path = path.child("allocation");
    match (&before.allocation, &status.allocation) {
        (Some(before), Some(now)) => errors.extend(meta::immutable(&path, now, before)),
        (None, Some(now)) => errors.extend(allocation(&path, now, &RequestNames::of(new.spec.devices.as_ref()))),
        (_, None) => {}
    }
    errors
}

fn user(path: &Path, own: &ResourceClaimConsumerReference) -> Vec<FieldError> {
    let fields = [("resource", &own.resource), ("name", &own.name), ("uid", &own.uid)];
    fields.into_iter().filter_map(|(field, value)| names::required(&path.child(field), value)).collect()
}

/// How a device that was allocated is called.
fn id(driver: &str, pool: &str, device: &str, share: Option<&str>) -> String {
    let share = share.map(|share| format!("/{share}")).unwrap_or_default();
    format!("{driver}/{pool}/{device}{share}")
}

fn allocated(allocation: Option<&AllocationResult>) -> BTreeSet<String> {
    let devices = allocation.and_then(|allocation| allocation.devices.as_ref());
    let results = devices.into_iter().flat_map(|devices| devices.results.iter().flatten());
    results.map(|own| id(&own.driver, &own.pool, &own.device, own.share_id.as_deref())).collect()
}

fn device(path: &Path, own: &AllocatedDeviceStatus, allocated: &BTreeSet<String>) -> Vec<FieldError> {
    let mut errors = device_name(path, &own.driver, &own.pool, &own.device);
    errors.extend(own.share_id.as_ref().and_then(|share| uid(&path.child("shareID"), share)));
    let id = id(&own.driver, &own.pool, &own.device, own.share_id.as_deref());
    if !allocated.contains(&id) {
        errors.push(FieldError::invalid(path, id, "must be an allocated device in the claim"));
    }
    let path_of_conditions = path.child("conditions");
    let own_conditions = own.conditions.as_deref().unwrap_or_default();
    if own_conditions.len() > MAX_CONDITIONS {
        errors.push(FieldError::too_many(&path_of_conditions, own_conditions.len(), MAX_CONDITIONS));
    }
    errors.extend(conditions::validate(&path_of_conditions, own_conditions));
    errors.extend(own.data.as_ref().and_then(|own| data(&path.child("data"), own)));
    if let Some(network) = &own.network_data {
        errors.extend(network_data(&path.child("networkData"), network));
    }
    errors
}

fn device_name(path: &Path, driver: &str, pool: &str, device: &str) -> Vec<FieldError> {
    let mut errors = volume::driver_name(&path.child("driver"), driver);
    errors.extend(pool_name(&path.child("pool"), pool));
    errors.extend(names::check(names::dns1123_label, &path.child("device"), device));
    errors
}

fn uid(path: &Path, uid: &str) -> Option<FieldError> {
    let normalized = uid.len() == 36
        && uid.bytes().enumerate().all(|(i, byte)| match i {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
        });
    (!normalized).then(|| FieldError::invalid(path, uid, NO_UID))
}

fn network_data(path: &Path, own: &NetworkDeviceData) -> Vec<FieldError> {
    let too_long = |field: &str, value: Option<&String>, max: usize| {
        value.filter(|value| value.len() > max).map(|_| FieldError::too_long(&path.child(field), max))
    };
    let mut errors: Vec<FieldError> =
        too_long("interfaceName", own.interface_name.as_ref(), MAX_INTERFACE).into_iter().collect();
    errors.extend(too_long("hardwareAddress", own.hardware_address.as_ref(), MAX_HARDWARE_ADDRESS));
    errors.extend(each_once(&path.child("ips"), own.ips.as_ref(), MAX_ADDRESSES, String::clone, |path, address| {
        let detail = match address::parse_range(address).map(|range| range.to_string()) {
            None => NO_ADDRESS.to_owned(),
            Some(right) if right != *address => format!("must be in canonical form ({right:?})"),
            Some(_) => return Vec::new(),
        };
        vec![FieldError::invalid(path, address.as_str(), detail)]
    }));
    errors
}

fn allocation(path: &Path, own: &AllocationResult, known: &RequestNames<'_>) -> Vec<FieldError> {
    let devices = own.devices.clone().unwrap_or_default();
    let path_of_devices = path.child("devices");
    let check = |path: &Path, own: &DeviceRequestAllocationResult| result(path, own, known);
    let mut errors = each(&path_of_devices.child("results"), devices.results.as_ref(), MAX_RESULTS, check);
    let (config, max) = (path_of_devices.child("config"), 2 * MAX_CONFIGURATIONS);
    errors.extend(each(&config, devices.config.as_ref(), max, |path, own| {
        let source = names::one_of(&path.child("source"), Some(&own.source), &SOURCES);
        let mut errors: Vec<FieldError> = source.into_iter().collect();
        errors.extend(known.check_each(path, own.requests.as_ref()));
        errors.extend(configuration(path, own.opaque.as_ref()));
        errors
    }));
    if let Some(selector) = &own.node_selector {
        errors.extend(node_selector(&path.child("nodeSelector"), selector));
    }
    errors
}

fn result(path: &Path, own: &DeviceRequestAllocationResult, known: &RequestNames<'_>) -> Vec<FieldError> {
    let mut errors = known.check(&path.child("request"), &own.request);
    errors.extend(device_name(path, &own.driver, &own.pool, &own.device));
    errors.extend(binding(path, own.binding_conditions.as_ref(), own.binding_failure_conditions.as_ref()));
    errors.extend(super::tolerations(&path.child("tolerations"), own.tolerations.as_ref()));
    errors.extend(own.share_id.as_ref().and_then(|share| uid(&path.child("shareID"), share)));
    errors
}
