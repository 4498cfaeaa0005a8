//! Pure: a sandbox or container configuration in CRI's words.

use std::path::{Path, PathBuf};

use super::protocol::{self as wire, LinuxContainerConfig, LinuxPodSandboxConfig, Mode, ProfileType, Propagation};
use super::{
    ContainerConfig, DnsConfig, HostLimits, ImageInfo, LinuxResources, Mount, MountPropagation, NamespaceMode,
    PodIdentity, SandboxConfig, SandboxId, labels, security,
};
use crate::network::{HostPort, Protocol};

/// Where a pod's containers write what they print: `<namespace>_<name>_<uid>`.
pub(super) fn log_directory(pod_logs: &Path, pod: &PodIdentity) -> PathBuf {
    pod_logs.join(format!("{}_{}_{}", pod.namespace, pod.name, pod.uid))
}

/// A sandbox.
pub(super) fn sandbox(config: &SandboxConfig, pod_logs: &Path) -> wire::PodSandboxConfig {
    let on_node = config.namespaces.network == NamespaceMode::Node;
    wire::PodSandboxConfig {
        metadata: Some(wire::PodSandboxMetadata {
            name: config.pod.name.clone(),
            uid: config.pod.uid.0.clone(),
            namespace: config.pod.namespace.clone(),
            attempt: config.attempt,
        }),
        hostname: if on_node { String::new() } else { config.hostname.clone() },
        log_directory: log_directory(pod_logs, &config.pod).to_string_lossy().into_owned(),
        dns_config: config.dns.as_ref().map(dns),
        port_mappings: config.host_ports.iter().map(port).collect(),
        labels: labels::of_sandbox(&config.pod, &config.labels),
        annotations: config.annotations.clone(),
        linux: Some(LinuxPodSandboxConfig {
            cgroup_parent: config.cgroup_parent.clone().unwrap_or_default(),
            security_context: Some(wire::SandboxSecurityContext {
                namespace_options: Some(namespaces(config)),
                readonly_rootfs: true,
                privileged: config.privileged,
                seccomp: Some(wire::SecurityProfile {
                    profile_type: ProfileType::RuntimeDefault.into(),
                    localhost_ref: String::new(),
                }),
            }),
            sysctls: config.sysctls.clone(),
        }),
    }
}

/// A container of image `image` in sandbox `id`.
pub(super) fn container(
    id: &SandboxId,
    sandbox: &SandboxConfig,
    config: &ContainerConfig,
    image: &ImageInfo,
    limits: &HostLimits,
) -> wire::ContainerConfig {
    let mut shared = namespaces(sandbox);
    if let Some(target) = config.target.as_ref().filter(|_| sandbox.namespaces.pid == NamespaceMode::Container) {
        shared.pid = Mode::Target.into();
        shared.target_id = target.0.clone();
    }
    wire::ContainerConfig {
        metadata: Some(wire::ContainerMetadata { name: config.name.clone(), attempt: config.attempt }),
        image: Some(wire::ImageSpec { image: image.id.0.clone(), user_specified_image: config.image_name.clone() }),
        command: config.command.clone(),
        args: config.args.clone(),
        working_dir: config.working_dir.clone().unwrap_or_default(),
        envs: config.env.iter().map(|(key, value)| wire::KeyValue { key: key.clone(), value: value.clone() }).collect(),
        mounts: config.mounts.iter().map(mount).collect(),
        devices: config.devices.iter().map(device).collect(),
        labels: labels::of_container(&sandbox.pod, config),
        annotations: labels::annotations(config, id.as_str(), &image.id),
        log_path: log_path(config),
        stdin: config.stdin,
        stdin_once: config.stdin_once,
        tty: config.tty,
        linux: Some(LinuxContainerConfig {
            resources: Some(resources(&config.resources, limits)),
            security_context: Some(security::of_container(&config.security, shared, image)),
        }),
    }
}

/// Where in the pod's directory of logs a container writes.
pub(super) fn log_path(config: &ContainerConfig) -> String {
    format!("{}/{}.log", config.name, config.attempt)
}

fn resources(resources: &LinuxResources, limits: &HostLimits) -> wire::Resources {
    wire::Resources {
        cpu_period: resources.cpu_period,
        cpu_quota: resources.cpu_quota,
        cpu_shares: resources.cpu_shares,
        memory_limit_in_bytes: resources.memory_limit,
        oom_score_adj: limits.oom_score_adj(resources.oom_score_adj),
        // Equal to the limit: no swap.
        memory_swap_limit_in_bytes: resources.memory_limit,
    }
}

fn namespaces(sandbox: &SandboxConfig) -> wire::NamespaceOption {
    let mode = |mode: NamespaceMode, own: Mode| match mode {
        NamespaceMode::Node => Mode::Node.into(),
        NamespaceMode::Pod => Mode::Pod.into(),
        NamespaceMode::Container => own.into(),
    };
    wire::NamespaceOption {
        network: mode(sandbox.namespaces.network, Mode::Pod),
        pid: mode(sandbox.namespaces.pid, Mode::Container),
        ipc: mode(sandbox.namespaces.ipc, Mode::Pod),
        target_id: String::new(),
    }
}

fn dns(dns: &DnsConfig) -> wire::DnsConfig {
    wire::DnsConfig { servers: dns.servers.clone(), searches: dns.searches.clone(), options: dns.options.clone() }
}

fn port(port: &HostPort) -> wire::PortMapping {
    let protocol = match port.protocol {
        Protocol::Tcp => wire::PortProtocol::Tcp,
        Protocol::Udp => wire::PortProtocol::Udp,
        Protocol::Sctp => wire::PortProtocol::Sctp,
    };
    wire::PortMapping {
        protocol: protocol.into(),
        container_port: port.container_port.into(),
        host_port: port.host_port.into(),
        host_ip: port.host_ip.map(|ip| ip.to_string()).unwrap_or_default(),
    }
}

fn mount(mount: &Mount) -> wire::Mount {
    let propagation = match mount.propagation {
        MountPropagation::Private => Propagation::Private,
        MountPropagation::HostToContainer => Propagation::HostToContainer,
        MountPropagation::Bidirectional => Propagation::Bidirectional,
    };
    wire::Mount {
        container_path: mount.container_path.clone(),
        host_path: mount.host_path.to_string_lossy().into_owned(),
        readonly: mount.read_only,
        propagation: propagation.into(),
    }
}

fn device(device: &super::Device) -> wire::Device {
    wire::Device {
        container_path: device.container_path.clone(),
        host_path: device.host_path.clone(),
        permissions: device.permissions.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Namespaces;
    use super::*;

    fn pod_with(namespaces: Namespaces) -> SandboxConfig {
        let pod = PodIdentity { uid: "u".into(), namespace: "ns".into(), name: "p".into() };
        SandboxConfig { pod, hostname: "p".into(), namespaces, ..SandboxConfig::default() }
    }

    #[test]
    fn namespaces_are_joined_as_the_pod_says() {
        use NamespaceMode::{Container, Node, Pod};
        let limits = HostLimits { min_oom_score_adj: None };
        for (given, target, expected) in [
            (Namespaces { network: Pod, pid: Container, ipc: Pod }, None, (Mode::Pod, Mode::Container, Mode::Pod)),
            (Namespaces::default(), None, (Mode::Pod, Mode::Container, Mode::Pod)),
            (Namespaces { network: Node, pid: Node, ipc: Node }, Some("c"), (Mode::Node, Mode::Node, Mode::Node)),
            (Namespaces { network: Pod, pid: Pod, ipc: Pod }, Some("c"), (Mode::Pod, Mode::Pod, Mode::Pod)),
            (Namespaces::default(), Some("c"), (Mode::Pod, Mode::Target, Mode::Pod)),
        ] {
            let config = ContainerConfig { target: target.map(Into::into), ..ContainerConfig::default() };
            let made = container(&"sb".into(), &pod_with(given), &config, &ImageInfo::default(), &limits);
            let got = made.linux.unwrap().security_context.unwrap().namespace_options.unwrap();
            assert_eq!((got.network(), got.pid(), got.ipc()), expected, "{given:?} {target:?}");
        }
    }

    #[test]
    fn a_sandbox_says_whose_it_is_and_where_logs_go() {
        let made = sandbox(&pod_with(Namespaces::default()), Path::new("/var/log/pods"));
        assert_eq!((made.hostname.as_str(), made.log_directory.as_str()), ("p", "/var/log/pods/ns_p_u"));
        assert_eq!(labels::pod(&made.labels).unwrap().uid.as_str(), "u");
        let on_node = Namespaces { network: NamespaceMode::Node, ..Namespaces::default() };
        assert_eq!(sandbox(&pod_with(on_node), Path::new("/l")).hostname, "");
    }
}
