//! What pods may have and hardly anybody means: who writes it is warned, in upstream's words.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::{
    core::{Container, EnvVar, PodAffinityTerm, PodSpec, WeightedPodAffinityTerm},
    field::Path,
    quantity::Quantity,
};

/// Labels of nodes that have other names by now.
const OLD_LABELS: &[(&str, &str, &str)] = &[
    ("beta.kubernetes.io/arch", "v1.14", "kubernetes.io/arch"),
    ("beta.kubernetes.io/os", "v1.14", "kubernetes.io/os"),
    ("failure-domain.beta.kubernetes.io/region", "v1.17", "topology.kubernetes.io/region"),
    ("failure-domain.beta.kubernetes.io/zone", "v1.17", "topology.kubernetes.io/zone"),
    ("beta.kubernetes.io/instance-type", "v1.17", "node.kubernetes.io/instance-type"),
];

const NO_SELECTOR: &str = "a null labelSelector results in matching no pod";

/// The warnings about a spec at this path.
#[must_use]
pub fn of(path: &Path, spec: &PodSpec) -> Vec<String> {
    let mut warnings = Vec::new();
    for key in spec.node_selector.iter().flat_map(BTreeMap::keys) {
        if let Some((old, since, new)) = OLD_LABELS.iter().find(|(old, ..)| old == key) {
            let path = path.child("nodeSelector").key(old);
            warnings.push(format!("{path}: deprecated since {since}; use \"{new}\" instead"));
        }
    }
    for (i, constraint) in spec.topology_spread_constraints.iter().flatten().enumerate() {
        if constraint.label_selector.is_none() {
            let path = path.child("topologySpreadConstraints").index(i).child("labelSelector");
            warnings.push(format!("{path}: {NO_SELECTOR}"));
        }
    }
    warnings.extend(pull_secrets(path, spec));
    warnings.extend(containers(path, spec));
    warnings.extend(affinity(&path.child("affinity"), spec));
    if spec.termination_grace_period_seconds.is_some_and(|seconds| seconds < 0) {
        let path = path.child("terminationGracePeriodSeconds");
        warnings.push(format!("{path}: must be >= 0; negative values are invalid and will be treated as 1"));
    }
    warnings
}

fn pull_secrets(path: &Path, spec: &PodSpec) -> Vec<String> {
    let mut warnings = Vec::new();
    let mut seen = HashSet::new();
    for (i, secret) in spec.image_pull_secrets.iter().flatten().enumerate() {
        let (name, path) = (secret.name.as_str(), path.child("imagePullSecrets").index(i).child("name"));
        if name.is_empty() {
            warnings.push(format!("{path}: invalid empty name \"\""));
        } else if !seen.insert(name) {
            warnings.push(format!("{path}: duplicate name {name:?}"));
        }
    }
    warnings
}

fn containers(path: &Path, spec: &PodSpec) -> Vec<String> {
    let mut warnings = Vec::new();
    let mut ports = HashMap::new();
    let lists = [("initContainers", spec.init_containers.as_deref()), ("containers", Some(spec.containers.as_slice()))];
    for (field, list) in lists {
        for (i, container) in list.into_iter().flatten().enumerate() {
            let path = path.child(field).index(i);
            warnings.extend(fractions(&path.child("resources"), container));
            warnings.extend(hidden(&path.child("env"), container.env.as_deref().unwrap_or_default()));
            for (j, port) in container.ports.iter().flatten().enumerate() {
                let place = path.child("ports").index(j);
                let key = (port.container_port, port.protocol.as_deref(), port.host_port, port.host_ip.as_deref());
                match ports.get(&key) {
                    Some(first) => warnings.push(format!("{place}: duplicate port definition with {first}")),
                    None => drop(ports.insert(key, place)),
                }
            }
        }
    }
    warnings
}

/// There are no parts of bytes.
fn fractions(path: &Path, container: &Container) -> Vec<String> {
    let Some(resources) = &container.resources else { return Vec::new() };
    let mut warnings = Vec::new();
    for (field, list) in [("limits", &resources.limits), ("requests", &resources.requests)] {
        for name in ["memory", "ephemeral-storage"] {
            let amount = list.as_ref().and_then(|list| list.get(name)).and_then(|wire| Quantity::try_from(wire).ok());
            if let Some(amount) = amount.filter(|amount| !amount.is_whole()) {
                let (path, amount) = (path.child(field).key(name), amount.to_string());
                warnings.push(format!("{path}: fractional byte value {amount:?} is invalid, must be an integer"));
            }
        }
    }
    warnings
}

/// A variable that is set once more may be meant to grow, which it does only when it names itself.
fn hidden(path: &Path, variables: &[EnvVar]) -> Vec<String> {
    let mut warnings = Vec::new();
    let mut seen = HashSet::new();
    for (i, variable) in variables.iter().enumerate() {
        let name = variable.name.as_str();
        let grows = variable.value.as_deref().is_some_and(|value| value.contains(&format!("$({name})")));
        if !seen.insert(name) && (variable.value_from.is_some() || !grows) {
            let path = path.index(i);
            warnings
                .push(format!("{path}: hides previous definition of {name:?}, which may be dropped when using apply"));
        }
    }
    warnings
}

fn affinity(path: &Path, spec: &PodSpec) -> Vec<String> {
    let Some(affinity) = &spec.affinity else { return Vec::new() };
    let mut warnings = Vec::new();
    let own = affinity.pod_affinity.as_ref().map(|own| {
        let required = own.required_during_scheduling_ignored_during_execution.as_deref();
        ("podAffinity", required, own.preferred_during_scheduling_ignored_during_execution.as_deref())
    });
    let anti = affinity.pod_anti_affinity.as_ref().map(|own| {
        let required = own.required_during_scheduling_ignored_during_execution.as_deref();
        ("podAntiAffinity", required, own.preferred_during_scheduling_ignored_during_execution.as_deref())
    });
    for (field, required, preferred) in own.into_iter().chain(anti) {
        warnings.extend(terms(&path.child(field), required, preferred));
    }
    warnings
}

fn terms(
    path: &Path,
    required: Option<&[PodAffinityTerm]>,
    preferred: Option<&[WeightedPodAffinityTerm]>,
) -> Vec<String> {
    let required_path = path.child("requiredDuringSchedulingIgnoredDuringExecution");
    let preferred_path = path.child("preferredDuringSchedulingIgnoredDuringExecution");
    let required = required.into_iter().flatten().enumerate().map(|(i, term)| (required_path.index(i), term));
    let preferred = preferred.into_iter().flatten().enumerate();
    let preferred =
        preferred.map(|(i, own)| (preferred_path.index(i).child("podAffinityTerm"), &own.pod_affinity_term));
    let blind = required.chain(preferred).filter(|(_, term)| term.label_selector.is_none());
    blind.map(|(path, _)| format!("{}: {NO_SELECTOR}", path.child("labelSelector"))).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_hardly_meant_is_told() {
        let spec = json!({
            "nodeSelector": {"beta.kubernetes.io/os": "linux"},
            "topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "z", "whenUnsatisfiable": "DoNotSchedule"}],
            "imagePullSecrets": [{"name": ""}, {"name": "s"}, {"name": "s"}],
            "containers": [{
                "name": "c",
                "env": [{"name": "A", "value": "1"}, {"name": "A", "value": "$(A)2"}, {"name": "A", "value": "3"}],
                "ports": [{"containerPort": 80, "protocol": "TCP"}, {"containerPort": 80, "protocol": "TCP"}, {"containerPort": 80, "protocol": "UDP"}],
                "resources": {"requests": {"memory": "100m", "cpu": "100m"}},
            }],
            "affinity": {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 1, "podAffinityTerm": {"topologyKey": "z"}}]}},
            "terminationGracePeriodSeconds": -1,
        });
        let spec: PodSpec = serde_json::from_value(spec).unwrap();
        let expected = [
            "spec.nodeSelector[beta.kubernetes.io/os]: deprecated since v1.14; use \"kubernetes.io/os\" instead",
            "spec.topologySpreadConstraints[0].labelSelector: a null labelSelector results in matching no pod",
            "spec.imagePullSecrets[0].name: invalid empty name \"\"",
            "spec.imagePullSecrets[2].name: duplicate name \"s\"",
            "spec.containers[0].resources.requests[memory]: fractional byte value \"100m\" is invalid, must be an integer",
            "spec.containers[0].env[2]: hides previous definition of \"A\", which may be dropped when using apply",
            "spec.containers[0].ports[1]: duplicate port definition with spec.containers[0].ports[0]",
            "spec.affinity.podAntiAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].podAffinityTerm.labelSelector: a null labelSelector results in matching no pod",
            "spec.terminationGracePeriodSeconds: must be >= 0; negative values are invalid and will be treated as 1",
        ];
        assert_eq!(of(&Path::new("spec"), &spec), expected);
    }
}
