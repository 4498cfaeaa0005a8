//! Pure: a sandbox or container configuration as the body of Docker's `POST /containers/create`.

use std::collections::HashMap;

use bollard::models::{
    ContainerCreateBody, DeviceMapping, HostConfig, HostConfigLogConfig, Mount as DockerMount, MountBindOptions,
    MountBindOptionsPropagationEnum as Propagation, MountType,
};

use super::{
    ContainerConfig, DockerConfig, HostLimits, LinuxResources, Mount, MountPropagation, NamespaceMode, Result,
    SandboxConfig, SandboxId, labels, security,
};

/// `oom_score_adj` of a sandbox: it must be the last of the pod to go.
const SANDBOX_OOM_SCORE_ADJ: i64 = -998;
/// Weight of a sandbox, which does nothing.
const SANDBOX_CPU_SHARES: i64 = 2;
const HOST: &str = "host";

/// The body for a sandbox.
pub(super) fn sandbox(config: &SandboxConfig, limits: &HostLimits, docker: &DockerConfig) -> ContainerCreateBody {
    let on_node = config.namespaces.network == NamespaceMode::Node;
    let network = if on_node { HOST } else { docker.sandbox_network.as_str() };
    ContainerCreateBody {
        image: Some(docker.pause_image.clone()),
        hostname: (!on_node && !config.hostname.is_empty()).then(|| config.hostname.clone()),
        labels: Some(labels::of_sandbox(config)),
        host_config: Some(HostConfig {
            network_mode: Some(network.to_owned()),
            // Docker's default is `private`, which other containers cannot join.
            ipc_mode: Some(if config.namespaces.ipc == NamespaceMode::Node { HOST } else { "shareable" }.to_owned()),
            pid_mode: (config.namespaces.pid == NamespaceMode::Node).then(|| HOST.to_owned()),
            cgroup_parent: config.cgroup_parent.clone(),
            runtime: config.runtime.clone(),
            cpu_shares: Some(SANDBOX_CPU_SHARES),
            oom_score_adj: Some(limits.oom_score_adj(SANDBOX_OOM_SCORE_ADJ)),
            sysctls: Some(config.sysctls.clone().into_iter().collect()),
            log_config: Some(HostConfigLogConfig { typ: Some("none".to_owned()), config: None }),
            security_opt: Some(vec!["no-new-privileges".to_owned()]),
            readonly_rootfs: Some(true),
            ..HostConfig::default()
        }),
        ..ContainerCreateBody::default()
    }
}

/// The body for a container in sandbox `id`.
pub(super) fn container(
    id: &SandboxId,
    sandbox: &SandboxConfig,
    config: &ContainerConfig,
    limits: &HostLimits,
    docker: &DockerConfig,
) -> Result<ContainerCreateBody> {
    let mut host = HostConfig {
        cgroup_parent: sandbox.cgroup_parent.clone(),
        runtime: sandbox.runtime.clone(),
        log_config: Some(log_config(docker)),
        mounts: Some(config.mounts.iter().map(mount).collect()),
        devices: Some(config.devices.iter().map(device).collect()),
        ..HostConfig::default()
    };
    join_namespaces(id, sandbox, &mut host);
    if let Some(target) = config.target.as_ref().filter(|_| sandbox.namespaces.pid == NamespaceMode::Container) {
        host.pid_mode = Some(format!("container:{target}"));
    }
    limit(&config.resources, limits, &mut host);
    security::apply(&config.security, &mut host)?;
    Ok(ContainerCreateBody {
        image: Some(config.image.clone()),
        entrypoint: (!config.command.is_empty()).then(|| config.command.clone()),
        cmd: (!config.args.is_empty()).then(|| config.args.clone()),
        env: Some(config.env.iter().map(|(name, value)| format!("{name}={value}")).collect()),
        working_dir: config.working_dir.clone(),
        user: security::user(&config.security),
        open_stdin: Some(config.stdin),
        stdin_once: Some(config.stdin_once),
        tty: Some(config.tty),
        stop_signal: config.stop_signal.clone(),
        labels: Some(labels::of_container(&sandbox.pod, id, config)),
        host_config: Some(host),
        ..ContainerCreateBody::default()
    })
}

fn join_namespaces(id: &SandboxId, sandbox: &SandboxConfig, host: &mut HostConfig) {
    let of_sandbox = format!("container:{id}");
    let shared = |mode: NamespaceMode| if mode == NamespaceMode::Node { HOST.to_owned() } else { of_sandbox.clone() };
    host.network_mode = Some(of_sandbox.clone());
    host.ipc_mode = Some(shared(sandbox.namespaces.ipc));
    host.pid_mode = match sandbox.namespaces.pid {
        NamespaceMode::Container => None,
        mode => Some(shared(mode)),
    };
    if sandbox.namespaces.network == NamespaceMode::Node {
        host.uts_mode = Some(HOST.to_owned());
    }
}

fn limit(resources: &LinuxResources, limits: &HostLimits, host: &mut HostConfig) {
    let set = |value: i64| (value != 0).then_some(value);
    host.cpu_shares = set(resources.cpu_shares);
    host.cpu_quota = set(resources.cpu_quota);
    host.cpu_period = set(resources.cpu_period);
    host.memory = set(resources.memory_limit);
    // Equal to the limit: no swap.
    host.memory_swap = set(resources.memory_limit);
    host.oom_score_adj = set(limits.oom_score_adj(resources.oom_score_adj));
}

fn log_config(docker: &DockerConfig) -> HostConfigLogConfig {
    let options = HashMap::from([
        ("max-size".to_owned(), docker.log_max_size.to_string()),
        ("max-file".to_owned(), docker.log_max_files.max(1).to_string()),
    ]);
    HostConfigLogConfig { typ: Some("json-file".to_owned()), config: Some(options) }
}

fn mount(mount: &Mount) -> DockerMount {
    let propagation = match mount.propagation {
        MountPropagation::Private => Propagation::RPRIVATE,
        MountPropagation::HostToContainer => Propagation::RSLAVE,
        MountPropagation::Bidirectional => Propagation::RSHARED,
    };
    DockerMount {
        typ: Some(MountType::BIND),
        source: Some(mount.host_path.to_string_lossy().into_owned()),
        target: Some(mount.container_path.clone()),
        read_only: Some(mount.read_only),
        bind_options: Some(MountBindOptions { propagation: Some(propagation), ..MountBindOptions::default() }),
        ..DockerMount::default()
    }
}

fn device(device: &super::Device) -> DeviceMapping {
    DeviceMapping {
        path_on_host: Some(device.host_path.clone()),
        path_in_container: Some(device.container_path.clone()),
        cgroup_permissions: Some(device.permissions.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Namespaces, PodIdentity};
    use super::*;

    const FREE: HostLimits = HostLimits { min_oom_score_adj: None };

    fn pod_with(namespaces: Namespaces) -> SandboxConfig {
        let pod = PodIdentity { uid: "u".into(), namespace: "ns".into(), name: "p".into() };
        SandboxConfig { pod, hostname: "p".into(), namespaces, ..SandboxConfig::default() }
    }

    #[test]
    fn namespaces_are_joined_as_the_pod_says() {
        use NamespaceMode::{Container, Node, Pod};
        type Modes = (Option<&'static str>, Option<&'static str>, Option<&'static str>, Option<&'static str>);
        let cases: [(Namespaces, Modes); 3] = [
            (
                Namespaces { network: Pod, pid: Container, ipc: Pod },
                (Some("container:sb"), Some("container:sb"), None, None),
            ),
            (
                Namespaces { network: Node, pid: Node, ipc: Node },
                (Some("container:sb"), Some("host"), Some("host"), Some("host")),
            ),
            (
                Namespaces { network: Pod, pid: Pod, ipc: Pod },
                (Some("container:sb"), Some("container:sb"), Some("container:sb"), None),
            ),
        ];
        for (namespaces, expected) in cases {
            let pod = pod_with(namespaces);
            let body =
                container(&"sb".into(), &pod, &ContainerConfig::default(), &FREE, &DockerConfig::default()).unwrap();
            let host = body.host_config.unwrap();
            let got = (
                host.network_mode.as_deref(),
                host.ipc_mode.as_deref(),
                host.pid_mode.as_deref(),
                host.uts_mode.as_deref(),
            );
            assert_eq!(got, expected, "{namespaces:?}");
        }
    }

    #[test]
    fn a_sandbox_waits_without_a_network_of_dockers() {
        let body = sandbox(&pod_with(Namespaces::default()), &FREE, &DockerConfig::default());
        let host = body.host_config.unwrap();
        assert_eq!((body.hostname.as_deref(), host.network_mode.as_deref()), (Some("p"), Some("none")));
        assert_eq!((host.ipc_mode.as_deref(), host.oom_score_adj), (Some("shareable"), Some(-998)));
        let on_node = Namespaces { network: NamespaceMode::Node, ..Namespaces::default() };
        let body = sandbox(&pod_with(on_node), &FREE, &DockerConfig::default());
        assert_eq!((body.hostname, body.host_config.unwrap().network_mode.as_deref()), (None, Some("host")));
    }

    #[test]
    fn command_replaces_entry_point_and_args_replace_command() {
        let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        for (command, args, entry_point, cmd) in [
            ("", "", None, None),
            ("a", "", Some("a"), None),
            ("", "b c", None, Some("b c")),
            ("a", "b", Some("a"), Some("b")),
        ] {
            let config = ContainerConfig { command: words(command), args: words(args), ..ContainerConfig::default() };
            let pod = pod_with(Namespaces::default());
            let body = container(&"sb".into(), &pod, &config, &FREE, &DockerConfig::default()).unwrap();
            assert_eq!((body.entrypoint, body.cmd), (entry_point.map(words), cmd.map(words)));
        }
    }
}
