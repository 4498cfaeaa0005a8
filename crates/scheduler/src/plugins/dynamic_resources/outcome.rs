//! What is written of the devices that a claim gets.

use api_types::{
    core::{NodeSelector, NodeSelectorRequirement, NodeSelectorTerm},
    devices::{AllocationResult, DeviceAllocationConfiguration, DeviceAllocationResult, DeviceRequestAllocationResult},
    jiff::Timestamp,
    meta::Time,
};

use super::{search::Picked, wants::Wants};
use crate::{
    cache::NodeInfo,
    devices::{Offered, Reach},
};

/// What is written of the devices that a claim gets on a node.
pub(super) fn result(wants: &Wants, picked: &[Picked], offered: &Offered, node: &NodeInfo) -> AllocationResult {
    let results: Vec<_> = picked.iter().map(|own| device(wants, *own, offered)).collect();
    let config = configuration(wants, picked);
    AllocationResult {
        allocation_timestamp: Some(Time(Timestamp::now())),
        devices: Some(DeviceAllocationResult {
            config: (!config.is_empty()).then_some(config),
            results: (!results.is_empty()).then_some(results),
        }),
        node_selector: selector(picked, offered, node),
    }
}

fn device(wants: &Wants, picked: Picked, offered: &Offered) -> DeviceRequestAllocationResult {
    let own = &wants.requests[picked.request].alternatives[picked.alternative];
    let id = offered.offers[picked.offer].id.clone();
    DeviceRequestAllocationResult {
        request: own.name.clone(),
        driver: id.driver,
        pool: id.pool,
        device: id.device,
        admin_access: own.admin.then_some(true),
        tolerations: (!own.tolerations.is_empty()).then(|| own.tolerations.clone()),
        ..DeviceRequestAllocationResult::default()
    }
}

/// What classes and the claim tell drivers, the classes' first.
fn configuration(wants: &Wants, picked: &[Picked]) -> Vec<DeviceAllocationConfiguration> {
    let mut used: Vec<(usize, usize)> = picked.iter().map(|own| (own.request, own.alternative)).collect();
    used.dedup();
    let mut all = Vec::new();
    for (request, alternative) in &used {
        let own = &wants.requests[*request].alternatives[*alternative];
        all.extend(own.class.spec.config.iter().flatten().map(|config| DeviceAllocationConfiguration {
            source: "FromClass".to_owned(),
            requests: Some(vec![own.name.clone()]),
            opaque: config.opaque.clone(),
        }));
    }
    let concerns = |names: &[String]| {
        used.iter().any(|(request, alternative)| {
            let request = &wants.requests[*request];
            names.iter().any(|own| *own == request.name || *own == request.alternatives[*alternative].name)
        })
    };
    let claim = wants.claim.spec.devices.iter().flat_map(|devices| devices.config.iter().flatten());
    let claim = claim.filter(|own| own.requests.as_deref().is_none_or(|own| own.is_empty() || concerns(own)));
    all.extend(claim.map(|own| DeviceAllocationConfiguration {
        source: "FromClaim".to_owned(),
        requests: own.requests.clone(),
        opaque: own.opaque.clone(),
    }));
    all
}

/// The nodes from which all of the devices can be reached; `None` for all nodes.
fn selector(picked: &[Picked], offered: &Offered, node: &NodeInfo) -> Option<NodeSelector> {
    let reaches = || picked.iter().map(|own| offered.offers[own.offer].reach());
    let mut term = NodeSelectorTerm::default();
    if reaches().any(|reach| matches!(reach, Reach::Node(_))) {
        term.match_fields = Some(vec![NodeSelectorRequirement {
            key: "metadata.name".to_owned(),
            operator: "In".to_owned(),
            values: Some(vec![node.name().to_owned()]),
        }]);
    } else {
        // Each has one term, and this one asks for all that they ask for.
        for selected in reaches() {
            let Reach::Selected(selector) = selected else { continue };
            for own in &selector.node_selector_terms {
                add(&mut term.match_expressions, own.match_expressions.as_ref());
                add(&mut term.match_fields, own.match_fields.as_ref());
            }
        }
    }
    (term != NodeSelectorTerm::default()).then(|| NodeSelector { node_selector_terms: vec![term] })
}

fn add(all: &mut Option<Vec<NodeSelectorRequirement>>, more: Option<&Vec<NodeSelectorRequirement>>) {
    for own in more.into_iter().flatten() {
        let all = all.get_or_insert_default();
        if !all.contains(own) {
            all.push(own.clone());
        }
    }
}
