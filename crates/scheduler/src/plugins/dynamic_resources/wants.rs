//! What a claim wants, ready to be searched for.

use std::{collections::BTreeMap, sync::Arc};

use api_types::{
    devices::{
        CapacityRequirements, Device, DeviceClass, DeviceConstraint, DeviceRequest, DeviceSelector, DeviceSubRequest,
        DeviceToleration, ExactDeviceRequest, ResourceClaim,
    },
    expressions::{Program, selects},
    quantity::Quantity,
};

use super::selectors::Selectors;
use crate::devices::{Devices, Offer};

/// What a claim wants.
pub(super) struct Wants {
    pub(super) claim: Arc<ResourceClaim>,
    pub(super) requests: Vec<Request>,
    pub(super) constraints: Vec<Constraint>,
}

/// A request: the first alternative that can be met counts.
pub(super) struct Request {
    pub(super) name: String,
    pub(super) alternatives: Vec<Alternative>,
}

/// One way to meet a request.
pub(super) struct Alternative {
    /// As results name it: `request`, or `request/alternative`.
    pub(super) name: String,
    pub(super) class: Arc<DeviceClass>,
    selectors: Vec<Arc<Program>>,
    pub(super) amount: Amount,
    /// Whether others who have a device do not matter.
    pub(super) admin: bool,
    pub(super) tolerations: Vec<DeviceToleration>,
    /// Least capacities.
    capacities: BTreeMap<String, Quantity>,
}

/// How many devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Amount {
    Exactly(usize),
    /// All that there are on the node, at least one.
    All,
}

/// What the devices of some requests must have to do with each other.
pub(super) struct Constraint {
    /// Empty for all.
    pub(super) requests: Vec<String>,
    pub(super) attribute: String,
    pub(super) rule: Rule,
}

/// The attribute is the same in all, or different in each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rule {
    Same,
    Distinct,
}

/// Where alternatives are read from, in either form of a request.
struct Source<'a> {
    name: String,
    class: &'a str,
    selectors: Option<&'a Vec<DeviceSelector>>,
    mode: Option<&'a str>,
    count: Option<i64>,
    admin: bool,
    tolerations: Option<&'a Vec<DeviceToleration>>,
    capacity: Option<&'a CapacityRequirements>,
}

impl<'a> Source<'a> {
    fn exactly(request: &str, own: &'a ExactDeviceRequest) -> Self {
        Self {
            name: request.to_owned(),
            class: &own.device_class_name,
            selectors: own.selectors.as_ref(),
            mode: own.allocation_mode.as_deref(),
            count: own.count,
            admin: own.admin_access == Some(true),
            tolerations: own.tolerations.as_ref(),
            capacity: own.capacity.as_ref(),
        }
    }

    fn alternative(request: &str, own: &'a DeviceSubRequest) -> Self {
        Self {
            name: format!("{request}/{}", own.name),
            class: &own.device_class_name,
            selectors: own.selectors.as_ref(),
            mode: own.allocation_mode.as_deref(),
            count: own.count,
            admin: false,
            tolerations: own.tolerations.as_ref(),
            capacity: own.capacity.as_ref(),
        }
    }
}

impl Wants {
    /// What a claim wants.
    ///
    /// # Errors
    /// When it asks for what there cannot be: why.
    pub(super) fn of(claim: &Arc<ResourceClaim>, devices: &Devices, selectors: &Selectors) -> Result<Self, String> {
        let spec = claim.spec.devices.clone().unwrap_or_default();
        let request = |own: &DeviceRequest| Request::of(own, devices, selectors);
        Ok(Self {
            claim: Arc::clone(claim),
            requests: spec.requests.iter().flatten().map(request).collect::<Result<_, _>>()?,
            constraints: spec.constraints.iter().flatten().filter_map(Constraint::of).collect(),
        })
    }
}

impl Request {
    fn of(own: &DeviceRequest, devices: &Devices, selectors: &Selectors) -> Result<Self, String> {
        let exactly = own.exactly.iter().map(|exactly| Source::exactly(&own.name, exactly));
        let several =
            own.first_available.iter().flatten().map(|alternative| Source::alternative(&own.name, alternative));
        let alternatives = exactly.chain(several).map(|source| Alternative::of(source, devices, selectors));
        Ok(Self { name: own.name.clone(), alternatives: alternatives.collect::<Result<_, _>>()? })
    }
}

impl Alternative {
    fn of(source: Source<'_>, devices: &Devices, selectors: &Selectors) -> Result<Self, String> {
        let Source { name, class, mode, count, .. } = source;
        let class =
            devices.class(class).ok_or_else(|| format!("request {name}: device class {class} does not exist"))?;
        let texts = class.spec.selectors.iter().flatten().chain(source.selectors.into_iter().flatten());
        let texts = texts.filter_map(|selector| selector.cel.as_ref());
        let compiled = texts.map(|cel| selectors.compiled(&cel.expression));
        let programs = compiled.collect::<Result<_, _>>().map_err(|error| format!("request {name}: {error}"))?;
        let amount = match mode {
            Some("All") => Amount::All,
            Some("ExactCount") | None => Amount::Exactly(count.and_then(|count| count.try_into().ok()).unwrap_or(1)),
            Some(mode) => return Err(format!("request {name}: unknown allocation mode {mode}")),
        };
        let least = source.capacity.and_then(|own| own.requests.as_ref()).into_iter().flatten();
        let least = least.map(|(name, own)| Quantity::try_from(own).map(|own| (name.clone(), own)));
        let capacities = least.collect::<Result<_, _>>().map_err(|error| format!("request {name}: {error}"))?;
        let (admin, tolerations) = (source.admin, source.tolerations.cloned().unwrap_or_default());
        Ok(Self { name, class, selectors: programs, amount, admin, tolerations, capacities })
    }

    /// Whether a device is wanted, whoever has it.
    ///
    /// # Errors
    /// When a selector cannot be evaluated.
    pub(super) fn wants(&self, offer: &Offer) -> Result<bool, String> {
        let device = offer.device();
        if !self.is_tolerated(device) || !self.is_large_enough(offer) {
            return Ok(false);
        }
        for selector in &self.selectors {
            let wanted = selects(selector, &offer.id.driver, device);
            let failed = |error| format!("request {}: device {}: {error}", self.name, offer.id.device);
            if !wanted.map_err(failed)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn is_tolerated(&self, device: &Device) -> bool {
        let mut taints =
            device.taints.iter().flatten().filter(|taint| taint.effect.starts_with("No") && taint.effect != "None");
        taints.all(|taint| {
            self.tolerations.iter().any(|own| {
                let exists = own.operator.as_deref() == Some("Exists");
                let key = own.key.as_deref().unwrap_or_default();
                let effect = own.effect.as_deref().unwrap_or_default();
                (key == taint.key || (key.is_empty() && exists))
                    && (effect.is_empty() || effect == taint.effect)
                    && (exists
                        || own.value.as_deref().unwrap_or_default() == taint.value.as_deref().unwrap_or_default())
            })
        })
    }

    fn is_large_enough(&self, offer: &Offer) -> bool {
        let known = offer.device().capacity.as_ref();
        let large = |(name, least): (&String, &Quantity)| {
            let own = find(known, name, &offer.id.driver).and_then(|own| Quantity::try_from(&own.value).ok());
            own.is_some_and(|own| own >= *least)
        };
        self.capacities.iter().all(large)
    }
}

impl Constraint {
    fn of(own: &DeviceConstraint) -> Option<Self> {
        let same = own.match_attribute.as_ref().map(|attribute| (attribute, Rule::Same));
        let (attribute, rule) = same.or_else(|| own.distinct_attribute.as_ref().map(|own| (own, Rule::Distinct)))?;
        Some(Self { requests: own.requests.clone().unwrap_or_default(), attribute: attribute.clone(), rule })
    }

    /// Whether it is about a request, met in this way.
    pub(super) fn concerns(&self, request: &str, alternative: &str) -> bool {
        self.requests.is_empty() || self.requests.iter().any(|own| own == request || own == alternative)
    }
}

/// What a device has under a name, which may leave out the driver's domain.
pub(super) fn find<'v, V>(values: Option<&'v BTreeMap<String, V>>, name: &str, driver: &str) -> Option<&'v V> {
    let values = values?;
    let bare = || name.strip_prefix(driver).and_then(|rest| rest.strip_prefix('/')).and_then(|bare| values.get(bare));
    let full = || (!name.contains('/')).then(|| values.get(&format!("{driver}/{name}"))).flatten();
    values.get(name).or_else(bare).or_else(full)
}
