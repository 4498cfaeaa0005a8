//! What pods may have and hardly anybody means: who writes it is warned, in upstream's words.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::{
    core::{
        ContainerPort, EnvVar, NodeSelectorTerm, PersistentVolumeClaimSpec, Pod, PodAffinityTerm, PodSpec,
        PodTemplateSpec, SecurityContext, Volume, WeightedPodAffinityTerm,
    },
    field::Path,
    k8s_openapi::apimachinery::pkg::api::resource::Quantity as WireQuantity,
    meta::ObjectMeta,
    quantity::Quantity,
    validation::names::dns1123_label,
};

/// Labels of nodes that have other names by now, or no meaning.
const OLD_LABELS: &[(&str, &str)] = &[
    ("app.kubernetes.io/created-by", "deprecated since v1.9"),
    ("beta.kubernetes.io/arch", r#"deprecated since v1.14; use "kubernetes.io/arch" instead"#),
    ("beta.kubernetes.io/instance-type", r#"deprecated since v1.17; use "node.kubernetes.io/instance-type" instead"#),
    ("beta.kubernetes.io/os", r#"deprecated since v1.14; use "kubernetes.io/os" instead"#),
    (
        "failure-domain.beta.kubernetes.io/region",
        r#"deprecated since v1.17; use "topology.kubernetes.io/region" instead"#,
    ),
    ("failure-domain.beta.kubernetes.io/zone", r#"deprecated since v1.17; use "topology.kubernetes.io/zone" instead"#),
    ("node-role.kubernetes.io/master", r#"use "node-role.kubernetes.io/control-plane" instead"#),
    ("scheduler.alpha.kubernetes.io/preferAvoidPods", "deprecated since v1.22; use Taints and Tolerations instead"),
];
/// Annotations in whose place there are fields.
const OLD_ANNOTATIONS: &[(&str, &str)] = &[
    (
        "scheduler.alpha.kubernetes.io/critical-pod",
        r#"non-functional in v1.16+; use the "priorityClassName" field instead"#,
    ),
    ("security.alpha.kubernetes.io/sysctls", r#"non-functional in v1.11+; use the "sysctls" field instead"#),
    ("security.alpha.kubernetes.io/unsafe-sysctls", r#"non-functional in v1.11+; use the "sysctls" field instead"#),
];
const SECCOMP: &str = "seccomp.security.alpha.kubernetes.io/pod";
const SECCOMP_OF_CONTAINER: &str = "container.seccomp.security.alpha.kubernetes.io/";
const APP_ARMOR_OF_CONTAINER: &str = "container.apparmor.security.beta.kubernetes.io/";
const NO_SECCOMP: &str = r#"non-functional in v1.27+; use the "seccompProfile" field instead"#;
const NO_APP_ARMOR: &str = r#"deprecated since v1.30; use the "appArmorProfile" field instead"#;
const NO_SELECTOR: &str = "a null labelSelector results in matching no pod";
/// A port is compared with so many others of its number at most.
const PORTS_MAX: usize = 16;

/// What becomes of a label of nodes, if it is an old one.
pub(crate) fn of_node_label(key: &str) -> Option<&'static str> {
    OLD_LABELS.iter().find(|(old, _)| *old == key).map(|(_, why)| *why)
}

/// In which field the class of a volume is by now.
pub(crate) const CLASS_FIELD: &str = r#"deprecated since v1.8; use "storageClassName" attribute instead"#;

/// Why an annotation is not to be used, if an object has it.
pub(crate) fn of_annotation(meta: &ObjectMeta, key: &str, why: &str) -> Option<String> {
    let path = Path::new("metadata").child("annotations").key(key);
    meta.annotations.as_ref()?.contains_key(key).then(|| format!("{path}: {why}"))
}

/// A name that pods get should be good for their host names.
pub(crate) fn of_host_name(name: Option<&str>) -> Vec<String> {
    no_label("Pod names and hostnames", name)
}

fn no_label(what: &str, name: Option<&str>) -> Vec<String> {
    let wrong = dns1123_label(name.unwrap_or_default());
    if wrong.is_empty() {
        return Vec::new();
    }
    let why = wrong.join(" ");
    vec![format!(
        "metadata.name: this is used in {what}, which can result in surprising behavior; a DNS label is recommended: [{why}]"
    )]
}

/// The warnings about a pod.
#[must_use]
pub(crate) fn of_pod(pod: &Pod) -> Vec<String> {
    let mut warnings = no_label("the Pod's hostname", pod.metadata.name.as_deref());
    let Some(spec) = &pod.spec else { return warnings };
    warnings.extend(of(&Path::new("spec"), spec));
    warnings.extend(annotations(&Path::new("metadata"), Some(&pod.metadata), spec, Subject::Pod));
    warnings
}

/// The warnings about a template at this path.
#[must_use]
pub(crate) fn of_template(path: &Path, template: Option<&PodTemplateSpec>) -> Vec<String> {
    let Some((template, spec)) = template.and_then(|own| Some((own, own.spec.as_ref()?))) else { return Vec::new() };
    let mut warnings = of(&path.child("spec"), spec);
    warnings.extend(annotations(&path.child("metadata"), template.metadata.as_ref(), spec, Subject::Template));
    warnings
}

/// What is warned of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Subject {
    Pod,
    Template,
}

fn of(path: &Path, spec: &PodSpec) -> Vec<String> {
    let mut warnings = Vec::new();
    for key in spec.node_selector.iter().flat_map(BTreeMap::keys) {
        let why = of_node_label(key).map(|why| format!("{}: {why}", path.child("nodeSelector").key(key)));
        warnings.extend(why);
    }
    warnings.extend(node_affinity(&path.child("affinity").child("nodeAffinity"), spec));
    for (i, constraint) in spec.topology_spread_constraints.iter().flatten().enumerate() {
        let path = path.child("topologySpreadConstraints").index(i);
        let key = &constraint.topology_key;
        warnings.extend(of_node_label(key).map(|why| format!("{}: {key} is {why}", path.child("topologyKey"))));
        if constraint.label_selector.is_none() {
            warnings.push(format!("{}: {NO_SELECTOR}", path.child("labelSelector")));
        }
    }
    warnings.extend(volumes(&path.child("volumes"), spec.volumes.as_deref().unwrap_or_default()));
    warnings.extend(host_aliases(&path.child("hostAliases"), spec));
    warnings.extend(pull_secrets(path, spec));
    warnings.extend(spec.overhead.iter().flat_map(|overhead| fractions(&path.child("overhead"), overhead)));
    warnings.extend(containers(path, spec));
    if spec.termination_grace_period_seconds.is_some_and(|seconds| seconds < 0) {
        let path = path.child("terminationGracePeriodSeconds");
        warnings.push(format!("{path}: must be >= 0; negative values are invalid and will be treated as 1"));
    }
    warnings.extend(affinity(&path.child("affinity"), spec));
    warnings
}

fn node_affinity(path: &Path, spec: &PodSpec) -> Vec<String> {
    let Some(own) = spec.affinity.as_ref().and_then(|affinity| affinity.node_affinity.as_ref()) else {
        return Vec::new();
    };
    let terms = path.child("requiredDuringSchedulingIgnoredDuringExecution").child("nodeSelectorTerms");
    let required = own.required_during_scheduling_ignored_during_execution.iter();
    let required = required.flat_map(|own| own.node_selector_terms.iter().enumerate());
    let mut warnings: Vec<String> = required.flat_map(|(i, term)| of_node_term(&terms.index(i), term)).collect();
    let path = path.child("preferredDuringSchedulingIgnoredDuringExecution");
    for (i, term) in own.preferred_during_scheduling_ignored_during_execution.iter().flatten().enumerate() {
        warnings.extend(of_node_term(&path.index(i).child("preference"), &term.preference));
    }
    warnings
}

/// The warnings about labels by which nodes are selected.
pub(crate) fn of_node_term(path: &Path, term: &NodeSelectorTerm) -> Vec<String> {
    let keys = term.match_expressions.iter().flatten().map(|own| own.key.as_str());
    of_expressions(&path.child("matchExpressions"), keys)
}

/// The same, of the keys of expressions.
pub(crate) fn of_expressions<'a>(path: &Path, keys: impl Iterator<Item = &'a str>) -> Vec<String> {
    let old = keys.enumerate().filter_map(|(i, key)| Some((i, key, of_node_label(key)?)));
    old.map(|(i, key, why)| format!("{}: {key} is {why}", path.index(i).child("key"))).collect()
}

fn volumes(path: &Path, volumes: &[Volume]) -> Vec<String> {
    let mut warnings = Vec::new();
    for (i, own) in volumes.iter().enumerate() {
        let path = path.index(i);
        let old = [
            ("photonPersistentDisk", own.photon_persistent_disk.is_some(), "v1.11, non-functional in v1.16+"),
            ("gitRepo", own.git_repo.is_some(), "v1.11"),
            ("scaleIO", own.scale_io.is_some(), "v1.16, non-functional in v1.22+"),
            ("flocker", own.flocker.is_some(), "v1.22, non-functional in v1.25+"),
            ("storageOS", own.storageos.is_some(), "v1.22, non-functional in v1.25+"),
            ("quobyte", own.quobyte.is_some(), "v1.22, non-functional in v1.25+"),
            ("glusterfs", own.glusterfs.is_some(), "v1.25, non-functional in v1.26+"),
            ("cephfs", own.cephfs.is_some(), "v1.28, non-functional in v1.31+"),
            ("rbd", own.rbd.is_some(), "v1.28, non-functional in v1.31+"),
        ];
        let used = old.into_iter().filter(|(_, used, _)| *used);
        warnings.extend(used.map(|(field, _, since)| format!("{}: deprecated in {since}", path.child(field))));
        if let Some(template) = own.ephemeral.as_ref().and_then(|own| own.volume_claim_template.as_ref()) {
            let path = path.child("ephemeral").child("volumeClaimTemplate").child("spec");
            warnings.extend(of_claim(&path, &template.spec));
        }
    }
    warnings.extend(shadowed(path, volumes));
    warnings
}

/// The warnings about what a claim of a volume asks for.
#[must_use]
pub(crate) fn of_claim(path: &Path, spec: &PersistentVolumeClaimSpec) -> Vec<String> {
    let mut warnings = Vec::new();
    let resources = spec.resources.iter();
    for (field, list) in resources.flat_map(|own| [("requests", &own.requests), ("limits", &own.limits)]) {
        let path = path.child("resources").child(field);
        warnings.extend(list.as_ref().and_then(|list| fraction(&path, list, "storage")));
    }
    warnings
}

/// Paths in projected volumes at which there is a token as well.
fn shadowed(path: &Path, volumes: &[Volume]) -> Vec<String> {
    let sources = |own: &'_ Volume| own.projected.clone().and_then(|own| own.sources).unwrap_or_default();
    let tokens: HashSet<String> =
        volumes.iter().flat_map(sources).filter_map(|own| Some(own.service_account_token?.path)).collect();
    if tokens.is_empty() {
        return Vec::new();
    }
    let mut warnings = Vec::new();
    let mut note = |path: Path, own: &str| {
        if tokens.contains(own) {
            warnings.push(format!("{path}: has duplicated path with ServiceAccountToken {own:?}"));
        }
    };
    for (i, volume) in volumes.iter().enumerate() {
        let path = path.index(i).child("projected").child("sources");
        for source in sources(volume) {
            let lists = [
                ("configMap", source.config_map.and_then(|own| own.items)),
                ("secrets", source.secret.and_then(|own| own.items)),
            ];
            for (field, items) in lists {
                for (j, item) in items.iter().flatten().enumerate() {
                    note(path.child(field).index(j), &item.path);
                }
            }
            for (j, item) in source.downward_api.and_then(|own| own.items).iter().flatten().enumerate() {
                note(path.child("downwardAPI").index(j), &item.path);
            }
            if let Some(bundle) = source.cluster_trust_bundle {
                note(path.child("ClusterTrustBundle"), &bundle.path);
            }
        }
    }
    warnings
}

fn host_aliases(path: &Path, spec: &PodSpec) -> Vec<String> {
    let mut seen = HashSet::new();
    let aliases = spec.host_aliases.iter().flatten().enumerate();
    let again = aliases.filter(|(_, own)| !seen.insert(own.ip.as_str()));
    again.map(|(i, own)| format!("{}: duplicate ip {:?}", path.index(i).child("ip"), own.ip)).collect()
}

fn pull_secrets(path: &Path, spec: &PodSpec) -> Vec<String> {
    let secrets = || spec.image_pull_secrets.iter().flatten().map(|secret| secret.name.as_str()).enumerate();
    let path = |i: usize| path.child("imagePullSecrets").index(i).child("name");
    let mut seen = HashSet::new();
    let again = secrets().filter(|(_, name)| !seen.insert(*name));
    let again: Vec<String> = again.map(|(i, name)| format!("{}: duplicate name {name:?}", path(i))).collect();
    let empty = secrets().filter(|(_, name)| name.is_empty());
    again.into_iter().chain(empty.map(|(i, _)| format!("{}: invalid empty name \"\"", path(i)))).collect()
}

/// Annotations that say what fields are there to say, unless these say it, too.
fn annotations(path: &Path, meta: Option<&ObjectMeta>, spec: &PodSpec, subject: Subject) -> Vec<String> {
    let Some(own) = meta.and_then(|meta| meta.annotations.as_ref()) else { return Vec::new() };
    let path = path.child("annotations");
    let told = |key: &str, why: &str| own.contains_key(key).then(|| format!("{}: {why}", path.key(key)));
    let mut warnings: Vec<String> = OLD_ANNOTATIONS.iter().filter_map(|(key, why)| told(key, why)).collect();
    let context = spec.security_context.as_ref();
    if context.is_none_or(|context| context.seccomp_profile.is_none()) {
        warnings.extend(told(SECCOMP, NO_SECCOMP));
    }
    let armored = context.is_some_and(|context| context.app_armor_profile.is_some());
    for (name, context) in securities(spec) {
        if context.is_none_or(|context| context.seccomp_profile.is_none()) {
            warnings.extend(told(&format!("{SECCOMP_OF_CONTAINER}{name}"), NO_SECCOMP));
        }
        let armored = armored || context.is_some_and(|context| context.app_armor_profile.is_some());
        if subject == Subject::Template && !armored {
            warnings.extend(told(&format!("{APP_ARMOR_OF_CONTAINER}{name}"), NO_APP_ARMOR));
        }
    }
    warnings
}

/// The names and security contexts of all containers.
fn securities(spec: &PodSpec) -> impl Iterator<Item = (&str, Option<&SecurityContext>)> {
    let own = spec.init_containers.iter().flatten().chain(&spec.containers);
    let own = own.map(|own| (own.name.as_str(), own.security_context.as_ref()));
    let ephemeral = spec.ephemeral_containers.iter().flatten();
    own.chain(ephemeral.map(|own| (own.name.as_str(), own.security_context.as_ref())))
}

fn containers(path: &Path, spec: &PodSpec) -> Vec<String> {
    let lists = [("initContainers", spec.init_containers.as_deref()), ("containers", Some(spec.containers.as_slice()))];
    let all = || {
        let each = lists
            .iter()
            .flat_map(|(field, list)| list.iter().flat_map(|list| list.iter().enumerate()).map(move |at| (*field, at)));
        each.map(|(field, (i, container))| (path.child(field).index(i), container))
    };
    let mut warnings = Vec::new();
    for (path, container) in all() {
        for (field, list) in
            container.resources.iter().flat_map(|own| [("limits", &own.limits), ("requests", &own.requests)])
        {
            let path = path.child("resources").child(field);
            warnings.extend(list.iter().flat_map(|list| fractions(&path, list)));
        }
        warnings.extend(hidden(&path.child("env"), container.env.as_deref().unwrap_or_default()));
    }
    let mut ports = Ports::default();
    for (path, container) in all() {
        for (i, port) in container.ports.iter().flatten().enumerate() {
            ports.add(path.child("ports").index(i), port);
        }
    }
    warnings.extend(ports.warnings);
    warnings
}

/// Ports that have been looked at, by number and protocol.
#[derive(Default)]
struct Ports<'a> {
    seen: HashMap<(i32, &'a str), Vec<(Path, &'a ContainerPort)>>,
    warnings: Vec<String>,
}

impl<'a> Ports<'a> {
    fn add(&mut self, path: Path, port: &'a ContainerPort) {
        let ContainerPort { container_port: number, .. } = port;
        let text = |text: &'a Option<String>| text.as_deref().unwrap_or_default();
        let (protocol, address, host) = (text(&port.protocol), text(&port.host_ip), port.host_port.unwrap_or_default());
        if !address.is_empty() && host == 0 {
            let name = text(&port.name);
            let shown =
                format!("{{Name:{name} HostPort:{host} ContainerPort:{number} Protocol:{protocol} HostIP:{address}}}");
            self.warnings.push(format!("{path}: hostIP set without hostPort: {shown}"));
        }
        let others = self.seen.entry((*number, protocol)).or_default();
        for (place, other) in others.iter() {
            let (others_address, others_host) = (text(&other.host_ip), other.host_port.unwrap_or_default());
            let what = if (address, host) == (others_address, others_host) {
                "duplicate"
            } else if host == 0 || others_host == 0 {
                "overlapping"
            } else if host == others_host && address.is_empty() != others_address.is_empty() {
                "dangerously ambiguous"
            } else {
                continue;
            };
            self.warnings.push(format!("{path}: {what} port definition with {place}"));
        }
        if others.len() < PORTS_MAX {
            others.push((path, port));
        }
    }
}

/// There are no parts of bytes.
fn fractions(path: &Path, list: &BTreeMap<String, WireQuantity>) -> Vec<String> {
    ["memory", "ephemeral-storage"].into_iter().filter_map(|name| fraction(path, list, name)).collect()
}

fn fraction(path: &Path, list: &BTreeMap<String, WireQuantity>, name: &str) -> Option<String> {
    let amount = list.get(name).and_then(|wire| Quantity::try_from(wire).ok()).filter(|amount| !amount.is_whole())?;
    let amount = amount.to_string();
    Some(format!("{}: fractional byte value {amount:?} is invalid, must be an integer", path.key(name)))
}

/// A variable that is set once more may be meant to grow, which it does only when it names itself.
fn hidden(path: &Path, variables: &[EnvVar]) -> Vec<String> {
    let mut warnings = Vec::new();
    let mut seen = HashSet::new();
    for (i, variable) in variables.iter().enumerate() {
        let name = variable.name.as_str();
        let itself = format!("$({name})");
        let grows = variable.value.as_deref().is_some_and(|value| value.contains(&itself) && value != itself);
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
            "spec.imagePullSecrets[2].name: duplicate name \"s\"",
            "spec.imagePullSecrets[0].name: invalid empty name \"\"",
            "spec.containers[0].resources.requests[memory]: fractional byte value \"100m\" is invalid, must be an integer",
            "spec.containers[0].env[2]: hides previous definition of \"A\", which may be dropped when using apply",
            "spec.containers[0].ports[1]: duplicate port definition with spec.containers[0].ports[0]",
            "spec.terminationGracePeriodSeconds: must be >= 0; negative values are invalid and will be treated as 1",
            "spec.affinity.podAntiAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].podAffinityTerm.labelSelector: a null labelSelector results in matching no pod",
        ];
        assert_eq!(of(&Path::new("spec"), &spec), expected);
    }

    #[test]
    fn what_has_become_something_else_is_told() {
        let template = json!({
            "metadata": {"annotations": {
                "scheduler.alpha.kubernetes.io/critical-pod": "",
                "seccomp.security.alpha.kubernetes.io/pod": "x",
                "container.apparmor.security.beta.kubernetes.io/c": "x",
            }},
            "spec": {
                "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
                    {"matchExpressions": [{"key": "beta.kubernetes.io/arch", "operator": "Exists"}]},
                ]}}},
                "hostAliases": [{"ip": "1.2.3.4"}, {"ip": "1.2.3.4"}],
                "overhead": {"memory": "1m"},
                "volumes": [
                    {"name": "g", "gitRepo": {"repository": "r"}},
                    {"name": "e", "ephemeral": {"volumeClaimTemplate": {"spec": {"resources": {"requests": {"storage": "1m"}}}}}},
                    {"name": "p", "projected": {"sources": [
                        {"serviceAccountToken": {"path": "t"}}, {"configMap": {"items": [{"key": "k", "path": "t"}]}},
                    ]}},
                ],
                "containers": [{
                    "name": "c",
                    "env": [{"name": "A", "value": "1"}, {"name": "A", "value": "$(A)"}],
                    "ports": [
                        {"containerPort": 80, "protocol": "TCP", "hostPort": 80},
                        {"containerPort": 80, "protocol": "TCP"},
                        {"containerPort": 80, "protocol": "TCP", "hostPort": 80, "hostIP": "1.2.3.4"},
                        {"containerPort": 81, "protocol": "TCP", "hostIP": "1.2.3.4"},
                    ],
                }],
            },
        });
        let template: PodTemplateSpec = serde_json::from_value(template).unwrap();
        let expected = [
            "t.spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0].matchExpressions[0].key: beta.kubernetes.io/arch is deprecated since v1.14; use \"kubernetes.io/arch\" instead",
            "t.spec.volumes[0].gitRepo: deprecated in v1.11",
            "t.spec.volumes[1].ephemeral.volumeClaimTemplate.spec.resources.requests[storage]: fractional byte value \"1m\" is invalid, must be an integer",
            "t.spec.volumes[2].projected.sources.configMap[0]: has duplicated path with ServiceAccountToken \"t\"",
            "t.spec.hostAliases[1].ip: duplicate ip \"1.2.3.4\"",
            "t.spec.overhead[memory]: fractional byte value \"1m\" is invalid, must be an integer",
            "t.spec.containers[0].env[1]: hides previous definition of \"A\", which may be dropped when using apply",
            "t.spec.containers[0].ports[1]: overlapping port definition with t.spec.containers[0].ports[0]",
            "t.spec.containers[0].ports[2]: dangerously ambiguous port definition with t.spec.containers[0].ports[0]",
            "t.spec.containers[0].ports[2]: overlapping port definition with t.spec.containers[0].ports[1]",
            "t.spec.containers[0].ports[3]: hostIP set without hostPort: {Name: HostPort:0 ContainerPort:81 Protocol:TCP HostIP:1.2.3.4}",
            "t.metadata.annotations[scheduler.alpha.kubernetes.io/critical-pod]: non-functional in v1.16+; use the \"priorityClassName\" field instead",
            "t.metadata.annotations[seccomp.security.alpha.kubernetes.io/pod]: non-functional in v1.27+; use the \"seccompProfile\" field instead",
            "t.metadata.annotations[container.apparmor.security.beta.kubernetes.io/c]: deprecated since v1.30; use the \"appArmorProfile\" field instead",
        ];
        assert_eq!(of_template(&Path::new("t"), Some(&template)), expected);
    }
}
