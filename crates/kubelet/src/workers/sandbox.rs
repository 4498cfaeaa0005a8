//! The pod's sandbox and its network.

use std::sync::Arc;
use std::time::Duration;

use api_types::core::{Container, Pod};
use component::recorder::EventType::Warning;

use super::NODE_LABEL;
use super::runtime_class::RUNTIME;
use super::worker::Worker;
use crate::admission::sysctls;
use crate::dns;
use crate::network::{HostPort, Protocol};
use crate::pod::{PodExt, grace};
use crate::runtime::{NamespaceMode, Namespaces, SandboxConfig, SandboxId, SandboxState, SandboxStatus};
use crate::status::Reason;

impl Worker {
    /// Creates the sandbox and wires it. The event has been recorded when this fails.
    pub(super) async fn create_sandbox(&mut self, pod: &Arc<Pod>, attempt: u32) -> Result<(), ()> {
        if let Err(why) = self.context.network.ready().await
            && !pod.host_network()
        {
            let message = format!("network is not ready: container runtime network not ready: {why}");
            self.context.events.pod(pod, Warning, "NetworkNotReady", &message);
            return Err(());
        }
        match self.try_create_sandbox(pod, attempt).await {
            Ok((config, sandbox)) => {
                self.runtime.identity = pod.identity();
                self.runtime.sandboxes.insert(0, sandbox);
                self.sandbox = Some(config);
                Ok(())
            }
            Err(why) => {
                let message = format!("Failed to create pod sandbox: {why}");
                self.context.events.pod(pod, Warning, "FailedCreatePodSandBox", &message);
                Err(())
            }
        }
    }

    async fn try_create_sandbox(
        &mut self,
        pod: &Arc<Pod>,
        attempt: u32,
    ) -> Result<(SandboxConfig, SandboxStatus), String> {
        dns::check_hostname(pod, &self.context.dns)?;
        if pod.pod_spec().host_users == Some(false) {
            // Root of such a pod must not be the node's root.
            return Err("can't set `spec.hostUsers: false`, runtime does not support user namespaces".to_owned());
        }
        let config = self.sandbox_config(pod, attempt, self.runtime_handler(pod).await?);
        let created = self.context.runtime.run_sandbox(&config).await;
        let sandbox = created.map_err(|error| error.to_string())?;
        if pod.host_network() {
            self.ips.clone_from(&self.context.node.ips);
            return Ok((config, sandbox));
        }
        match self.context.network.set_up(&pod.identity(), &sandbox, &host_ports(pod)).await {
            Ok(ips) => {
                self.ips = ips;
                Ok((config, sandbox))
            }
            Err(error) => {
                self.remove_sandbox(&sandbox.id).await;
                let key = pod.key();
                Err(format!("failed to set up pod \"{}_{}\" network: {error}", key.name, key.namespace))
            }
        }
    }

    /// Connects a sandbox that runs without an address: the kubelet was ended between making it and connecting it. The
    /// event has been recorded when this fails.
    pub(super) async fn connect_sandbox(&mut self, pod: &Arc<Pod>) -> Result<(), ()> {
        let Some(sandbox) = self.runtime.ready_sandbox().filter(|_| self.ips.is_empty() && !pod.host_network()) else {
            return Ok(());
        };
        match self.context.network.set_up(&pod.identity(), sandbox, &host_ports(pod)).await {
            Ok(ips) => {
                self.ips = ips;
                Ok(())
            }
            Err(error) => {
                let key = pod.key();
                let message = format!("failed to set up pod \"{}_{}\" network: {error}", key.name, key.namespace);
                self.context.events.pod(pod, Warning, "FailedCreatePodSandBox", &message);
                Err(())
            }
        }
    }

    /// The configuration of the pod's sandbox, the same again after a restart of the kubelet.
    pub(super) fn sandbox_config(&self, pod: &Pod, attempt: u32, runtime: Option<String>) -> SandboxConfig {
        let node = dns::node_resolv_conf(&self.context.resolv_conf);
        let security = pod.pod_spec().security_context.as_ref();
        let asked = security.and_then(|context| context.sysctls.as_deref()).unwrap_or_default();
        let mut labels = pod.metadata.labels.clone().unwrap_or_default();
        labels.insert(NODE_LABEL.to_owned(), self.context.node.name.clone());
        SandboxConfig {
            pod: pod.identity(),
            attempt,
            hostname: dns::hostname(pod, &self.context.dns).0,
            dns: Some(dns::of_pod(pod, &self.context.dns, &node)),
            namespaces: namespaces(pod),
            sysctls: asked.iter().map(|sysctl| (sysctls::normal(&sysctl.name), sysctl.value.clone())).collect(),
            labels,
            annotations: runtime.iter().map(|runtime| (RUNTIME.to_owned(), runtime.clone())).collect(),
            runtime,
            host_ports: if pod.host_network() { Vec::new() } else { host_ports(pod) },
            privileged: pod.all_containers().iter().any(|(_, container)| is_privileged(container)),
            ..SandboxConfig::default()
        }
    }

    /// Takes back a sandbox's network, then the sandbox.
    pub(super) async fn remove_sandbox(&mut self, id: &SandboxId) {
        if let Err(error) = self.context.network.tear_down(id).await {
            tracing::warn!(pod = %self.uid, sandbox = %id, "tearing down the network: {error}");
        }
        match self.context.runtime.remove_sandbox(id).await {
            Ok(()) => self.runtime.sandboxes.retain(|sandbox| sandbox.id != *id),
            Err(error) => tracing::warn!(pod = %self.uid, sandbox = %id, "removing the sandbox: {error}"),
        }
    }

    /// Stops every container with the pod's own grace period, then every sandbox.
    pub(super) async fn tear_down(&mut self, pod: &Arc<Pod>) {
        let own = grace::of_container(pod, None);
        let grace = self.evicted.map_or(own, |seconds| Duration::from_secs(seconds.into()));
        self.killer(pod).kill_all(self.running(pod), grace, None).await;
        self.stop_sandboxes().await;
        // A container of the next sandbox starts afresh.
        self.reasons.retain(|_, reason: &mut Reason| reason.reason == "CrashLoopBackOff");
    }

    /// Takes back the network of every sandbox and stops it.
    pub(super) async fn stop_sandboxes(&mut self) {
        for sandbox in self.runtime.sandboxes.clone() {
            if let Err(error) = self.context.network.tear_down(&sandbox.id).await {
                tracing::warn!(pod = %self.uid, sandbox = %sandbox.id, "tearing down the network: {error}");
            }
            if sandbox.pid.is_none() {
                continue;
            }
            match self.context.runtime.stop_sandbox(&sandbox.id).await {
                Ok(()) => self.note_stopped(&sandbox.id),
                Err(error) => tracing::warn!(pod = %self.uid, sandbox = %sandbox.id, "stopping the sandbox: {error}"),
            }
        }
        self.sandbox = None;
    }

    fn note_stopped(&mut self, id: &SandboxId) {
        for sandbox in self.runtime.sandboxes.iter_mut().filter(|sandbox| sandbox.id == *id) {
            sandbox.state = SandboxState::NotReady;
            sandbox.pid = None;
        }
    }
}

fn is_privileged(container: &Container) -> bool {
    container.security_context.as_ref().is_some_and(|context| context.privileged == Some(true))
}

fn namespaces(pod: &Pod) -> Namespaces {
    let spec = pod.pod_spec();
    let node_or_pod = |host: Option<bool>| if host == Some(true) { NamespaceMode::Node } else { NamespaceMode::Pod };
    let pid = match (spec.host_pid, spec.share_process_namespace) {
        (Some(true), _) => NamespaceMode::Node,
        (_, Some(true)) => NamespaceMode::Pod,
        _ => NamespaceMode::Container,
    };
    Namespaces { network: node_or_pod(spec.host_network), pid, ipc: node_or_pod(spec.host_ipc) }
}

/// The host ports of all containers. A port that cannot be is left out; the API server refuses those.
pub(super) fn host_ports(pod: &Pod) -> Vec<HostPort> {
    let containers = pod.all_containers();
    let ports = containers.iter().flat_map(|(_, container)| container.ports.iter().flatten());
    ports
        .filter_map(|port| {
            Some(HostPort {
                host_ip: port.host_ip.as_deref().and_then(|ip| ip.parse().ok()),
                host_port: u16::try_from(port.host_port?).ok().filter(|port| *port > 0)?,
                container_port: u16::try_from(port.container_port).ok()?,
                protocol: match port.protocol.as_deref() {
                    Some("UDP") => Protocol::Udp,
                    Some("SCTP") => Protocol::Sctp,
                    _ => Protocol::Tcp,
                },
            })
        })
        .collect()
}
