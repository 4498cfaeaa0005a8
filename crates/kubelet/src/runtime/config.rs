//! What the kubelet wants a sandbox or a container to be.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::{ContainerId, PodIdentity};
use crate::network::HostPort;

/// A pod's sandbox: the pause container, which owns the namespaces that the pod's containers share.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SandboxConfig {
    /// Whose sandbox this is.
    pub pod: PodIdentity,
    /// 0 for the pod's first sandbox, then one more for each that replaced it.
    pub attempt: u32,
    /// The host name inside; ignored in the node's network, where it is the node's.
    pub hostname: String,
    /// Contents of `/etc/resolv.conf` in all the pod's containers; `None` leaves it to the runtime.
    pub dns: Option<DnsConfig>,
    /// Which namespaces are the node's.
    pub namespaces: Namespaces,
    /// `namespaced` sysctls, from the pod's security context.
    pub sysctls: BTreeMap<String, String>,
    /// Further labels, kept and given back by [`super::Runtime::list_pods`].
    pub labels: BTreeMap<String, String>,
    /// Annotations, kept likewise.
    pub annotations: BTreeMap<String, String>,
    /// The runtime's handler for everything in the pod; `None` is its default.
    pub runtime: Option<String>,
    /// Ports of the node that lead to the pod, for runtimes that connect sandboxes themselves.
    pub host_ports: Vec<HostPort>,
    /// Whether one of the pod's containers is privileged.
    pub privileged: bool,
    /// Parent cgroup of everything in the pod; `None` is the runtime's own.
    pub cgroup_parent: Option<String>,
}

/// The three lists of a `resolv.conf`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DnsConfig {
    /// `nameserver` lines.
    pub servers: Vec<String>,
    /// The `search` line.
    pub searches: Vec<String>,
    /// The `options` line (`ndots:5`).
    pub options: Vec<String>,
}

impl DnsConfig {
    /// The file's text, in the order `search`, `nameserver`, `options` that upstream writes.
    pub fn render(&self) -> String {
        let mut text = String::new();
        if !self.searches.is_empty() {
            text.push_str(&format!("search {}\n", self.searches.join(" ")));
        }
        for server in &self.servers {
            text.push_str(&format!("nameserver {server}\n"));
        }
        if !self.options.is_empty() {
            text.push_str(&format!("options {}\n", self.options.join(" ")));
        }
        text
    }
}

/// Where each of a pod's namespaces comes from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Namespaces {
    /// `hostNetwork`: [`NamespaceMode::Pod`] or [`NamespaceMode::Node`].
    pub network: NamespaceMode,
    /// `hostPID` or `shareProcessNamespace`; a container's own (the default) is [`NamespaceMode::Container`].
    pub pid: NamespaceMode,
    /// `hostIPC`: [`NamespaceMode::Pod`] or [`NamespaceMode::Node`].
    pub ipc: NamespaceMode,
}

/// Who shares a namespace.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum NamespaceMode {
    /// The containers of the pod share it.
    Pod,
    /// Each container has its own. For network and IPC it means the same as `Pod`.
    #[default]
    Container,
    /// It is the node's.
    Node,
}

/// A container of a pod.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ContainerConfig {
    /// The container's name in the pod.
    pub name: String,
    /// The restart count: part of the container's name, and found again from a label.
    pub attempt: u32,
    /// Image to run: an id from [`super::Runtime::inspect_image`], or a name.
    pub image: String,
    /// The image as the pod names it, for `status.containerStatuses[].image`.
    pub image_name: String,
    /// Replaces the image's entry point (and its command) unless empty.
    pub command: Vec<String>,
    /// Replaces the image's command unless empty.
    pub args: Vec<String>,
    /// Environment in order; later entries win.
    pub env: Vec<(String, String)>,
    /// Working directory; `None` is the image's.
    pub working_dir: Option<String>,
    /// Bind mounts from the host.
    pub mounts: Vec<Mount>,
    /// Device nodes of the host.
    pub devices: Vec<Device>,
    /// Limits and shares.
    pub resources: LinuxResources,
    /// Who the process is and what it may do.
    pub security: SecurityContext,
    /// Keep standard input open.
    pub stdin: bool,
    /// Close standard input after the first attached client has gone.
    pub stdin_once: bool,
    /// Give it a terminal.
    pub tty: bool,
    /// Signal that asks it to stop (`SIGTERM`); `None` is the image's.
    pub stop_signal: Option<String>,
    /// Container whose processes it sees and is seen by, unless the pod shares them anyway.
    pub target: Option<ContainerId>,
    /// Hash of the container's spec: another hash means that it must be replaced.
    pub hash: String,
    /// `terminationMessagePath`, kept in a label.
    pub termination_message_path: String,
    /// `terminationMessagePolicy`, kept in a label.
    pub termination_message_policy: String,
    /// Further labels.
    pub labels: BTreeMap<String, String>,
    /// Annotations.
    pub annotations: BTreeMap<String, String>,
}

/// A bind mount.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mount {
    /// Directory or file on the node; must exist.
    pub host_path: PathBuf,
    /// Where it appears in the container.
    pub container_path: String,
    /// Refuse writes.
    pub read_only: bool,
    /// Whether mounts made later cross.
    pub propagation: MountPropagation,
}

/// `mountPropagation` of a volume mount.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum MountPropagation {
    /// `None`: private.
    #[default]
    Private,
    /// `HostToContainer`.
    HostToContainer,
    /// `Bidirectional`.
    Bidirectional,
}

/// A device node handed to a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// Path on the node.
    pub host_path: String,
    /// Path in the container.
    pub container_path: String,
    /// Any of `r`, `w`, `m`.
    pub permissions: String,
}

/// cgroup values of one container. Zero or `None` leaves the runtime's default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LinuxResources {
    /// Relative CPU weight, 1024 per core.
    pub cpu_shares: i64,
    /// CPU time per period in microseconds.
    pub cpu_quota: i64,
    /// The period in microseconds.
    pub cpu_period: i64,
    /// Memory limit in bytes.
    pub memory_limit: i64,
    /// `oom_score_adj`; what the host refuses is clamped by the runtime.
    pub oom_score_adj: i64,
}

impl LinuxResources {
    /// Whether these are in force where `actual` is; `oom_score_adj` does not count.
    #[must_use]
    pub fn same_limits(&self, actual: &Self) -> bool {
        let limits = |of: &Self| (of.cpu_shares, of.cpu_quota, of.cpu_period, of.memory_limit);
        limits(self) == limits(actual)
    }

    /// CPU that the shares stand for, in thousandths.
    #[must_use]
    pub fn milli_cpu_of_shares(&self) -> i64 {
        self.cpu_shares.saturating_mul(1000).saturating_add(SHARES_PER_CPU - 1) / SHARES_PER_CPU
    }

    /// CPU that the quota allows, in thousandths; `None` without a quota.
    #[must_use]
    pub fn milli_cpu_of_quota(&self) -> Option<i64> {
        (self.cpu_quota > 0 && self.cpu_period > 0).then(|| self.cpu_quota.saturating_mul(1000) / self.cpu_period)
    }
}

/// Upstream's constants for turning millicores into cgroup values.
const SHARES_PER_CPU: i64 = 1024;
const MIN_SHARES: i64 = 2;
const MAX_SHARES: i64 = 262_144;
const QUOTA_PERIOD_US: i64 = 100_000;
const MIN_QUOTA_US: i64 = 1_000;

impl LinuxResources {
    /// From a container's requests and limits: CPU in millicores, memory in bytes.
    ///
    /// As upstream does: a missing CPU request is the limit when there is one, and the smallest weight otherwise.
    pub fn from_requests(cpu_request: Option<i64>, cpu_limit: Option<i64>, memory_limit: Option<i64>) -> Self {
        let request = cpu_request.or(cpu_limit).unwrap_or(0);
        let limit = cpu_limit.unwrap_or(0);
        let (cpu_quota, cpu_period) = if limit > 0 {
            let quota = limit.saturating_mul(QUOTA_PERIOD_US) / 1000;
            (quota.max(MIN_QUOTA_US), QUOTA_PERIOD_US)
        } else {
            (0, 0)
        };
        Self {
            cpu_shares: (request.saturating_mul(SHARES_PER_CPU) / 1000).clamp(MIN_SHARES, MAX_SHARES),
            cpu_quota,
            cpu_period,
            memory_limit: memory_limit.unwrap_or(0),
            oom_score_adj: 0,
        }
    }
}

/// Who a container's process is and what it may do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SecurityContext {
    /// `runAsUser`; `None` is the image's user.
    pub run_as_user: Option<i64>,
    /// `runAsGroup`.
    pub run_as_group: Option<i64>,
    /// `supplementalGroups` and `fsGroup`.
    pub supplemental_groups: Vec<i64>,
    /// All capabilities and all devices.
    pub privileged: bool,
    /// Added to and dropped from the runtime's default set.
    pub capabilities: Capabilities,
    /// `readOnlyRootFilesystem`.
    pub read_only_root_fs: bool,
    /// The opposite of `allowPrivilegeEscalation`.
    pub no_new_privileges: bool,
    /// `seccompProfile`.
    pub seccomp: SeccompProfile,
    /// AppArmor profile name; `None` is the runtime's default.
    pub apparmor: Option<String>,
    /// `procMount: Unmasked`.
    pub unmasked_proc: bool,
}

/// Capability names without the `CAP_` prefix; `ALL` is allowed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// Added.
    pub add: Vec<String>,
    /// Dropped.
    pub drop: Vec<String>,
}

/// Which system calls are allowed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum SeccompProfile {
    /// All: Kubernetes' default.
    #[default]
    Unconfined,
    /// The runtime's default profile.
    RuntimeDefault,
    /// A profile file on the node.
    Localhost(PathBuf),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resources_follow_upstreams_arithmetic() {
        let cases = [
            (None, None, None, (2, 0, 0, 0)),
            (Some(100), None, None, (102, 0, 0, 0)),
            (None, Some(500), Some(64 << 20), (512, 50_000, 100_000, 64 << 20)),
            (Some(1), Some(5), None, (2, 1_000, 100_000, 0)),
            (Some(i64::MAX), Some(i64::MAX), None, (262_144, i64::MAX / 1000, 100_000, 0)),
        ];
        for (request, limit, memory, expected) in cases {
            let got = LinuxResources::from_requests(request, limit, memory);
            let got = (got.cpu_shares, got.cpu_quota, got.cpu_period, got.memory_limit);
            assert_eq!(got, expected, "request {request:?} limit {limit:?}");
        }
    }

    #[test]
    fn resolv_conf_is_written_as_upstream_does() {
        let dns = DnsConfig {
            servers: vec!["10.96.0.10".into()],
            searches: vec!["default.svc.cluster.local".into(), "svc.cluster.local".into()],
            options: vec!["ndots:5".into()],
        };
        let expected = "search default.svc.cluster.local svc.cluster.local\nnameserver 10.96.0.10\noptions ndots:5\n";
        assert_eq!(dns.render(), expected);
        assert_eq!(DnsConfig::default().render(), "");
    }
}
