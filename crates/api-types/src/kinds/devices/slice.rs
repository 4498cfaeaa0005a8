//! `resource.k8s.io/v1.ResourceSlice`.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{EFFECTS, binding, each, each_once, pool_name, qualified};
use crate::{
    devices::{
        CapacityRequestPolicy, CapacityRequestPolicyRange, Counter, Device, DeviceAttribute, DeviceCapacity,
        DeviceTaint, ResourceSlice, ResourceSliceSpec,
    },
    field::{FieldError, Path},
    meta::Time,
    object::{Column, Kind, SelectableField},
    pod_spec::validate::node_selector,
    quantity::{Quantity, Wire},
    table,
    validation::{meta, names, quantity, volume},
};

const MAX_DEVICES: usize = 128;
const MAX_DEVICES_WITH_MORE: usize = 64;
const MAX_COUNTER_SETS: usize = 8;
const MAX_COUNTERS: usize = 32;
const MAX_CONSUMPTIONS: usize = 2;
const MAX_PROPERTIES: usize = 32;
const MAX_VALUE: usize = 64;
const MAX_TAINTS: usize = 16;
const MAX_OPTIONS: usize = 10;
const ONE_PLACE: &str = "exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required";
const ONE_PLACE_EACH: &str = "exactly one of `nodeName`, `nodeSelector`, or `allNodes` is required when `perDeviceNodeSelection` is set to true in the ResourceSlice spec";
const NO_PLACE_EACH: &str = "`nodeName`, `nodeSelector` and `allNodes` can only be set if `perDeviceNodeSelection` is set to true in the ResourceSlice spec";
const TRUE_OR_NOTHING: &str = "must be either unset or set to true";

impl Kind for ResourceSlice {
    const COLUMNS: &'static [Column] = &[
        Column::NAME,
        Column::text(
            "Node",
            "NodeName identifies the node which provides the resources in this pool. A field selector can be used to list only ResourceSlice objects belonging to a certain node.\n\nThis field can be used to limit access from nodes to ResourceSlices with the same node name. It also indicates to autoscalers that adding new nodes of the same type as some old node might also make new resources available.\n\nExactly one of NodeName, NodeSelector, AllNodes, and PerDeviceNodeSelection must be set. This field is immutable.",
        ),
        Column::text(
            "Driver",
            "Driver identifies the DRA driver providing the capacity information. A field selector can be used to list only ResourceSlice objects with a certain driver name.\n\nMust be a DNS subdomain and should end with a DNS domain owned by the vendor of the driver. It should use only lower case characters. This field is immutable.",
        ),
        Column::text(
            "Pool",
            "Name is used to identify the pool. For node-local devices, this is often the node name, but this is not required.\n\nIt must not be longer than 253 characters and must consist of one or more DNS sub-domains separated by slashes. This field is immutable.",
        ),
        Column::AGE,
    ];
    const SELECTABLE: &'static [SelectableField] =
        &[SelectableField::text("spec.nodeName"), SelectableField::text("spec.driver")];

    fn set_defaults(&mut self) {
        let devices = self.spec.devices.iter_mut().flatten();
        let taints = devices.flat_map(|device| device.taints.iter_mut().flatten());
        for taint in taints.filter(|taint| taint.time_added.is_none()) {
            let now = crate::jiff::Timestamp::now();
            taint.time_added = crate::jiff::Timestamp::from_second(now.as_second()).ok().map(Time);
        }
    }

    fn validate(&self) -> Vec<FieldError> {
        validate(&self.spec, None)
    }

    fn revalidate(&self, old: &Self) -> Vec<FieldError> {
        validate(&self.spec, Some(&old.spec))
    }

    fn cells(&self) -> Vec<Value> {
        vec![
            self.metadata.name.clone().into(),
            self.spec.node_name.clone().unwrap_or_default().into(),
            self.spec.driver.clone().into(),
            self.spec.pool.name.clone().into(),
            table::age(self.metadata.creation_timestamp.as_ref()).into(),
        ]
    }
}

fn validate(spec: &ResourceSliceSpec, old: Option<&ResourceSliceSpec>) -> Vec<FieldError> {
    let path = Path::new("spec");
    let (driver, pool) = (path.child("driver"), path.child("pool"));
    let mut errors = volume::driver_name(&driver, &spec.driver);
    errors.extend(pool_name(&pool.child("name"), &spec.pool.name));
    let (count, generation) = (spec.pool.resource_slice_count, spec.pool.generation);
    if count <= 0 {
        errors.push(FieldError::invalid(&pool.child("resourceSliceCount"), count, "must be greater than zero"));
    }
    if generation < 0 {
        let detail = "must be greater than or equal to zero";
        errors.push(FieldError::invalid(&pool.child("generation"), generation, detail));
    }
    if let Some(old) = old {
        errors.extend(meta::immutable(&pool.child("name"), &spec.pool.name, &old.pool.name));
        errors.extend(meta::immutable(&driver, &spec.driver, &old.driver));
        errors.extend(meta::immutable(&path.child("nodeName"), &spec.node_name, &old.node_name));
    }
    errors.extend(place(&path, spec));
    if spec.shared_counters.is_some() && spec.devices.is_some() {
        errors.push(FieldError::invalid(&path, "", "only one of `sharedCounters` or `devices` is allowed"));
    }
    let devices = spec.devices.as_deref().unwrap_or_default();
    let more = devices.iter().any(|own| some(own.taints.as_ref()) || some(own.consumes_counters.as_ref()));
    let max = if more { MAX_DEVICES_WITH_MORE } else { MAX_DEVICES };
    let each_its_own = spec.per_device_node_selection == Some(true);
    let before = old.iter().flat_map(|old| old.devices.iter().flatten());
    let before: BTreeMap<&str, &Device> = before.map(|device| (device.name.as_str(), device)).collect();
    let name = |own: &Device| own.name.clone();
    errors.extend(each_once(&path.child("devices"), spec.devices.as_ref(), max, name, |path, own| {
        device(path, own, before.get(own.name.as_str()).copied(), each_its_own)
    }));
    let sets = path.child("sharedCounters");
    let name = |own: &crate::devices::CounterSet| own.name.clone();
    errors.extend(each_once(&sets, spec.shared_counters.as_ref(), MAX_COUNTER_SETS, name, |path, own| {
        let mut errors = names::required_name(names::dns1123_label, &path.child("name"), &own.name);
        errors.extend(counters(path, &own.counters));
        errors
    }));
    errors
}

fn some<T>(list: Option<&Vec<T>>) -> bool {
    list.is_some_and(|list| !list.is_empty())
}

fn set_fields(fields: &[&str]) -> String {
    format!("{{{}}}", fields.join(", "))
}

fn place(path: &Path, spec: &ResourceSliceSpec) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let mut set = Vec::new();
    match spec.node_name.as_deref() {
        Some("") => {
            let detail = "must be either unset or set to a non-empty string";
            errors.push(FieldError::invalid(&path.child("nodeName"), "", detail));
        }
        Some(name) => {
            set.push("`nodeName`");
            errors.extend(names::check(names::dns1123_subdomain, &path.child("nodeName"), name));
        }
        None => {}
    }
    if let Some(selector) = &spec.node_selector {
        let path = path.child("nodeSelector");
        set.push("`nodeSelector`");
        errors.extend(node_selector(&path, selector));
        if selector.node_selector_terms.len() != 1 {
            let terms = serde_json::to_value(&selector.node_selector_terms).unwrap_or_default();
            let detail = "must have exactly one node selector term";
            errors.push(FieldError::invalid(&path.child("nodeSelectorTerms"), terms, detail));
        }
    }
    for (field, told, value) in [
        ("allNodes", "`allNodes`", spec.all_nodes),
        ("perDeviceNodeSelection", "`perDeviceNodeSelection`", spec.per_device_node_selection),
    ] {
        match value {
            Some(true) => set.push(told),
            Some(false) => errors.push(FieldError::invalid(&path.child(field), false, TRUE_OR_NOTHING)),
            None => {}
        }
    }
    match set.len() {
        0 => errors.push(FieldError::required(path, ONE_PLACE)),
        1 => {}
        _ => {
            let detail = format!("{ONE_PLACE}, but multiple fields are set");
            errors.push(FieldError::invalid(path, set_fields(&set), detail));
        }
    }
    errors
}

fn device(path: &Path, own: &Device, before: Option<&Device>, its_own_place: bool) -> Vec<FieldError> {
    let mut errors = names::check(names::dns1123_label, &path.child("name"), &own.name);
    let (attributes, capacity) = (own.attributes.clone().unwrap_or_default(), own.capacity.clone().unwrap_or_default());
    let properties = attributes.len() + capacity.len();
    if properties > MAX_PROPERTIES {
        let detail = format!("the total number of attributes and capacities must not exceed {MAX_PROPERTIES}");
        errors.push(FieldError::invalid(path, properties, detail));
    }
    for (name, value) in &attributes {
        let path = path.child("attributes");
        errors.extend(qualified(&path, name));
        errors.extend(attribute(&path.key(name), value));
    }
    if before.is_none_or(|before| before.capacity != own.capacity) {
        let shared = own.allow_multiple_allocations == Some(true);
        for (name, value) in &capacity {
            let path = path.child("capacity");
            errors.extend(qualified(&path, name));
            errors.extend(amount(&path.key(name), value, shared));
        }
    }
    if before.is_none_or(|before| before.taints != own.taints) {
        errors.extend(each(&path.child("taints"), own.taints.as_ref(), MAX_TAINTS, taint));
    }
    let consumed = path.child("consumesCounters");
    let set = |own: &crate::devices::DeviceCounterConsumption| own.counter_set.clone();
    errors.extend(each_once(&consumed, own.consumes_counters.as_ref(), MAX_CONSUMPTIONS, set, |path, own| {
        let mut errors = names::required_name(names::dns1123_label, &path.child("counterSet"), &own.counter_set);
        errors.extend(counters(path, &own.counters));
        errors
    }));
    errors.extend(place_of_device(path, own, its_own_place));
    errors.extend(binding(path, own.binding_conditions.as_ref(), own.binding_failure_conditions.as_ref()));
    errors
}

fn place_of_device(path: &Path, own: &Device, its_own_place: bool) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if !its_own_place {
        if own.node_name.is_some() || own.node_selector.is_some() || own.all_nodes.is_some() {
            errors.push(FieldError::invalid(path, Value::Null, NO_PLACE_EACH));
        }
        return errors;
    }
    let mut set = Vec::new();
    match own.node_name.as_deref() {
        Some("") => errors.push(FieldError::invalid(&path.child("nodeName"), "", "must not be empty")),
        Some(name) => {
            set.push("`nodeName`");
            errors.extend(names::check(names::dns1123_subdomain, &path.child("nodeName"), name));
        }
        None => {}
    }
    if let Some(selector) = &own.node_selector {
        set.push("`nodeSelector`");
        errors.extend(node_selector(&path.child("nodeSelector"), selector));
    }
    match own.all_nodes {
        Some(true) => set.push("`allNodes`"),
        Some(false) => errors.push(FieldError::invalid(&path.child("allNodes"), false, TRUE_OR_NOTHING)),
        None => {}
    }
    match set.len() {
        0 => errors.push(FieldError::required(path, ONE_PLACE_EACH)),
        1 => {}
        _ => errors.push(FieldError::invalid(path, set_fields(&set), ONE_PLACE_EACH)),
    }
    errors
}

fn attribute(path: &Path, own: &DeviceAttribute) -> Vec<FieldError> {
    let mut errors = Vec::new();
    errors.extend(own.string.as_deref().and_then(|value| short(&path.child("string"), value)));
    if let Some(value) = own.version.as_deref() {
        errors.extend(version(&path.child("version"), value));
    }
    let empty = [
        ("bools", own.bools.as_ref().map(Vec::len)),
        ("ints", own.ints.as_ref().map(Vec::len)),
        ("strings", own.strings.as_ref().map(Vec::len)),
        ("versions", own.versions.as_ref().map(Vec::len)),
    ];
    for (field, _) in empty.iter().filter(|(_, length)| *length == Some(0)) {
        let nothing: Vec<Value> = Vec::new();
        errors.push(FieldError::invalid(&path.child(field), nothing, "must not be empty if specified"));
    }
    for (i, value) in own.strings.iter().flatten().enumerate() {
        errors.extend(short(&path.child("strings").index(i), value));
    }
    for (i, value) in own.versions.iter().flatten().enumerate() {
        errors.extend(version(&path.child("versions").index(i), value));
    }
    let single = [own.bool.is_some(), own.int.is_some(), own.string.is_some(), own.version.is_some()];
    let several = empty.iter().map(|(_, length)| length.is_some());
    let detail = "exactly one value must be specified";
    match single.into_iter().chain(several).filter(|set| *set).count() {
        0 => errors.push(FieldError::invalid(path, "", detail)),
        1 => {}
        _ => errors.push(FieldError::invalid(path, serde_json::to_value(own).unwrap_or_default(), detail)),
    }
    errors
}

fn short(path: &Path, value: &str) -> Option<FieldError> {
    (value.len() > MAX_VALUE).then(|| FieldError::too_long(path, MAX_VALUE))
}

fn version(path: &Path, value: &str) -> Vec<FieldError> {
    let wrong = (!is_semantic(value))
        .then(|| FieldError::invalid(path, value, "must be a string compatible with semver.org spec 2.0.0"));
    wrong.into_iter().chain(short(path, value)).collect()
}

/// Whether a version is one of semver.org: three numbers, what came before, what was built.
fn is_semantic(version: &str) -> bool {
    let (version, build) = version.split_once('+').map_or((version, None), |(version, build)| (version, Some(build)));
    let (numbers, before) =
        version.split_once('-').map_or((version, None), |(numbers, before)| (numbers, Some(before)));
    let number = |step: &str| step == "0" || (!step.starts_with('0') && digits(step));
    let word = |step: &str| !step.is_empty() && step.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    numbers.split('.').count() == 3
        && numbers.split('.').all(number)
        && before.is_none_or(|steps| steps.split('.').all(|step| word(step) && (!digits(step) || number(step))))
        && build.is_none_or(|steps| steps.split('.').all(word))
}

fn digits(step: &str) -> bool {
    !step.is_empty() && step.bytes().all(|byte| byte.is_ascii_digit())
}

fn counters(path: &Path, counters: &BTreeMap<String, Counter>) -> Vec<FieldError> {
    let path = path.child("counters");
    match counters.len() {
        0 => vec![FieldError::required(&path, "")],
        count if count > MAX_COUNTERS => vec![FieldError::too_many(&path, count, MAX_COUNTERS)],
        _ => counters.keys().flat_map(|name| names::check(names::dns1123_label, &path, name)).collect(),
    }
}

fn taint(path: &Path, own: &DeviceTaint) -> Vec<FieldError> {
    let mut errors = names::check(names::qualified_name, &path.child("key"), &own.key);
    errors.extend(names::check_optional(names::label_value, &path.child("value"), own.value.as_deref()));
    errors.extend(names::one_of(&path.child("effect"), Some(&own.effect), &EFFECTS));
    errors
}

fn amount(path: &Path, own: &DeviceCapacity, shared: bool) -> Vec<FieldError> {
    let Some(policy) = &own.request_policy else { return Vec::new() };
    let path = path.child("requestPolicy");
    if !shared {
        return vec![FieldError::forbidden(&path, "allowMultipleAllocations must be true")];
    }
    let whole = match quantity::parse(&path, &own.value) {
        Ok(whole) => whole,
        Err(error) => return vec![error],
    };
    let required =
        |what: &str| vec![FieldError::required(&path.child("default"), format!("required when {what} is defined"))];
    let default = policy.default.as_ref().map(|default| quantity::parse(&path.child("default"), default));
    match (some(policy.valid_values.as_ref()), &policy.valid_range, default) {
        (true, Some(_), _) => vec![FieldError::forbidden(
            &path,
            r#"exactly one policy can be specified, cannot specify "validValues" and "validRange" at the same time"#,
        )],
        (_, _, Some(Err(error))) => vec![error],
        (true, None, None) => required("validValues"),
        (true, None, Some(Ok(default))) => options(&path.child("validValues"), policy, whole, default),
        (false, Some(_), None) => required("validRange"),
        (false, Some(range), Some(Ok(default))) => in_range(&path.child("validRange"), range, whole, default),
        (false, None, _) => Vec::new(),
    }
}

fn options(path: &Path, policy: &CapacityRequestPolicy, whole: Quantity, default: Quantity) -> Vec<FieldError> {
    let wire = policy.valid_values.iter().flatten().enumerate();
    let parsed: Result<Vec<Quantity>, FieldError> =
        wire.map(|(i, wire)| quantity::parse(&path.index(i), wire)).collect();
    let values = match parsed {
        Ok(values) => values,
        Err(error) => return vec![error],
    };
    let mut errors = Vec::new();
    for (i, pair) in values.windows(2).enumerate().filter(|(_, pair)| pair[0] > pair[1]) {
        let detail = "values must be sorted in ascending order";
        errors.push(FieldError::invalid(&path.index(i + 1), pair[1].to_string(), detail));
    }
    let number = |value: &Quantity| value.value().to_string();
    errors.extend(each_once(path, Some(&values), MAX_OPTIONS, number, |path, value| {
        let detail = || format!("option is larger than capacity value: {whole}");
        (*value > whole).then(|| FieldError::invalid(path, value.to_string(), detail())).into_iter().collect()
    }));
    if !values.contains(&default) {
        let detail = "default value is not valid according to the requestPolicy";
        errors.push(FieldError::invalid(path, default.to_string(), detail));
    }
    errors
}

fn in_range(path: &Path, range: &CapacityRequestPolicyRange, whole: Quantity, default: Quantity) -> Vec<FieldError> {
    let parse = |field: &str, wire: &Wire| quantity::parse(&path.child(field), wire);
    let optional = |field: &str, wire: Option<&Wire>| wire.map(|wire| parse(field, wire)).transpose();
    let (min, max, step) =
        match (parse("min", &range.min), optional("max", range.max.as_ref()), optional("step", range.step.as_ref())) {
            (Ok(min), Ok(max), Ok(step)) => (min, max, step),
            (Err(error), ..) | (_, Err(error), _) | (.., Err(error)) => return vec![error],
        };
    let mut errors = Vec::new();
    let mut wrong = |is: bool, field: &str, value: Quantity, detail: String| {
        if is {
            errors.push(FieldError::invalid(&path.child(field), value.to_string(), detail));
        }
    };
    wrong(min > whole, "min", min, format!("min is larger than capacity value: {whole}"));
    wrong(default < min, "default", default, format!("default is less than min: {min}"));
    if let Some(max) = max {
        wrong(min > max, "max", min, format!("min is larger than max: {max}"));
        wrong(max > whole, "max", max, format!("max is larger than capacity value: {whole}"));
        wrong(default > max, "default", default, format!("default is more than max: {max}"));
    }
    match step {
        Some(step) if step <= Quantity::ZERO => wrong(true, "step", step, "must be greater than zero".to_owned()),
        Some(step) => {
            let added = min + step;
            wrong(added > whole, "step", step, format!("one step {added} is larger than capacity value: {whole}"));
            for value in [Some(default), max].into_iter().flatten() {
                let rest = value.value().saturating_sub(min.value()).checked_rem(step.value()).unwrap_or_default();
                let detail = format!("value is not a multiple of a given step ({step}) from ({min})");
                wrong(rest != 0, "step", value, detail);
            }
        }
        None => {}
    }
    errors
}
