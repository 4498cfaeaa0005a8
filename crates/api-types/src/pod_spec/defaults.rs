//! Upstream's defaults for pod specs.

use super::image::default_pull_policy;
use crate::{
    core::{
        Container, ContainerPort, EnvVar, EphemeralContainer, GRPCAction, HTTPGetAction, LifecycleHandler,
        ObjectFieldSelector, PodSpec, Probe, ResourceFieldSelector, ResourceRequirements,
    },
    pod::resources::{container_requests, is_pod_level},
    quantity::{self, Quantity, Wire},
};

#[cfg(test)]
mod tests;
mod volumes;

/// Sets `field` unless it has a value; an empty string is none, as it is upstream.
pub(crate) fn default_text(field: &mut Option<String>, value: &str) {
    if field.as_ref().is_none_or(String::is_empty) {
        *field = Some(value.to_owned());
    }
}

/// Sets `field` unless it has a value; zero is none, as it is upstream for fields that are no
/// pointers there.
fn default_number(field: &mut Option<i32>, value: i32) {
    if field.is_none_or(|own| own == 0) {
        *field = Some(value);
    }
}

/// An empty string is an absent field.
fn drop_empty(field: &mut Option<String>) {
    if field.as_ref().is_some_and(String::is_empty) {
        *field = None;
    }
}

/// The defaults that pods and pod templates share.
pub fn set_defaults(spec: &mut PodSpec) {
    default_text(&mut spec.dns_policy, "ClusterFirst");
    default_text(&mut spec.restart_policy, "Always");
    default_text(&mut spec.scheduler_name, "default-scheduler");
    spec.security_context.get_or_insert_default();
    spec.termination_grace_period_seconds.get_or_insert(30);
    drop_empty(&mut spec.node_name);
    one_service_account(spec);
    if let Some(overhead) = &mut spec.overhead {
        quantity::canonicalize(overhead);
    }
    if let Some(resources) = &mut spec.resources {
        canonicalize(resources);
    }
    spec.volumes.iter_mut().flatten().for_each(volumes::set_defaults);
    let init = spec.init_containers.iter_mut().flatten();
    spec.containers.iter_mut().chain(init).for_each(container);
    spec.ephemeral_containers.iter_mut().flatten().for_each(ephemeral_container);
}

/// The defaults that a pod has beyond those of a template.
pub fn set_pod_defaults(spec: &mut PodSpec) {
    spec.enable_service_links.get_or_insert(true);
    let host_network = spec.host_network == Some(true);
    let init = spec.init_containers.iter_mut().flatten();
    for container in spec.containers.iter_mut().chain(init) {
        if let Some(resources) = &mut container.resources {
            requests_from_limits(resources);
        }
        if host_network {
            container.ports.iter_mut().flatten().for_each(host_port);
        }
    }
    whole_pod_requests(spec);
}

/// A pod that is limited as a whole asks for what its containers ask for together; where they ask for nothing, for what
/// it is limited to. Huge pages cannot be overcommitted, so that only the limit counts.
fn whole_pod_requests(spec: &mut PodSpec) {
    let limited = |resources: &ResourceRequirements| resources.limits.as_ref().is_some_and(|limits| !limits.is_empty());
    if !spec.resources.as_ref().is_some_and(limited) {
        return;
    }
    let asked: Vec<(String, Quantity)> = container_requests(spec)
        .into_iter()
        .filter(|(name, _)| is_pod_level(name) && !name.starts_with("hugepages-"))
        .map(|(name, amount)| (name.to_owned(), amount))
        .collect();
    let Some(resources) = &mut spec.resources else { return };
    let requests = resources.requests.get_or_insert_default();
    for (name, amount) in asked {
        requests.entry(name).or_insert_with(|| amount.to_wire());
    }
    requests_from_limits(resources);
}

/// `serviceAccount` is the old name of `serviceAccountName`; both are always shown.
fn one_service_account(spec: &mut PodSpec) {
    drop_empty(&mut spec.service_account);
    drop_empty(&mut spec.service_account_name);
    let name = spec.service_account_name.take().or(spec.service_account.take());
    spec.service_account.clone_from(&name);
    spec.service_account_name = name;
}

fn host_port(port: &mut ContainerPort) {
    default_number(&mut port.host_port, port.container_port);
}

fn requests_from_limits(resources: &mut ResourceRequirements) {
    let Some(limits) = &resources.limits else { return };
    let requests = resources.requests.get_or_insert_default();
    for (name, limit) in limits {
        if !requests.contains_key(name) {
            requests.insert(name.clone(), limit.clone());
        }
    }
}

/// Canonical, and no finer than thousandths.
fn canonicalize(resources: &mut ResourceRequirements) {
    let lists = [&mut resources.limits, &mut resources.requests];
    for wire in lists.into_iter().flatten().flat_map(|list| list.values_mut()) {
        if let Ok(quantity) = Quantity::try_from(&*wire) {
            *wire = quantity.rounded_to_milli().to_wire();
        }
    }
}

/// The fields that containers and ephemeral containers share, which are two types.
struct Common<'a> {
    image: &'a str,
    image_pull_policy: &'a mut Option<String>,
    termination_message_path: &'a mut Option<String>,
    termination_message_policy: &'a mut Option<String>,
    resources: &'a mut Option<ResourceRequirements>,
    ports: &'a mut Option<Vec<ContainerPort>>,
    env: &'a mut Option<Vec<EnvVar>>,
    probes: [&'a mut Option<Probe>; 3],
    handlers: [Option<&'a mut LifecycleHandler>; 2],
}

macro_rules! common {
    ($container:expr) => {{
        let container = $container;
        let [post_start, pre_stop] = match &mut container.lifecycle {
            Some(lifecycle) => [lifecycle.post_start.as_mut(), lifecycle.pre_stop.as_mut()],
            None => [None, None],
        };
        Common {
            image: container.image.as_deref().unwrap_or_default(),
            image_pull_policy: &mut container.image_pull_policy,
            termination_message_path: &mut container.termination_message_path,
            termination_message_policy: &mut container.termination_message_policy,
            resources: &mut container.resources,
            ports: &mut container.ports,
            env: &mut container.env,
            probes: [&mut container.liveness_probe, &mut container.readiness_probe, &mut container.startup_probe],
            handlers: [post_start, pre_stop],
        }
    }};
}

fn container(container: &mut Container) {
    common!(container).set_defaults();
}

fn ephemeral_container(container: &mut EphemeralContainer) {
    common!(container).set_defaults();
}

impl Common<'_> {
    fn set_defaults(self) {
        default_text(self.image_pull_policy, default_pull_policy(self.image));
        default_text(self.termination_message_path, "/dev/termination-log");
        default_text(self.termination_message_policy, "File");
        canonicalize(self.resources.get_or_insert_default());
        for port in self.ports.iter_mut().flatten() {
            default_text(&mut port.protocol, "TCP");
        }
        for source in self.env.iter_mut().flatten().filter_map(|env| env.value_from.as_mut()) {
            source.field_ref.iter_mut().for_each(field_ref);
            source.resource_field_ref.iter_mut().for_each(resource_field_ref);
        }
        self.probes.into_iter().flatten().for_each(probe);
        let handlers = self.handlers.into_iter().flatten();
        handlers.filter_map(|handler| handler.http_get.as_mut()).for_each(http_get);
    }
}

fn probe(probe: &mut Probe) {
    default_number(&mut probe.timeout_seconds, 1);
    default_number(&mut probe.period_seconds, 10);
    default_number(&mut probe.success_threshold, 1);
    default_number(&mut probe.failure_threshold, 3);
    probe.http_get.iter_mut().for_each(http_get);
    if let Some(GRPCAction { service, .. }) = &mut probe.grpc {
        service.get_or_insert_default();
    }
}

fn http_get(action: &mut HTTPGetAction) {
    default_text(&mut action.path, "/");
    default_text(&mut action.scheme, "HTTP");
}

fn field_ref(reference: &mut ObjectFieldSelector) {
    default_text(&mut reference.api_version, "v1");
}

fn resource_field_ref(reference: &mut ResourceFieldSelector) {
    quantity::canonicalize_one(reference.divisor.get_or_insert_with(|| Wire("0".to_owned())));
}
