//! What the standards check: a table, in upstream's order.

mod baseline;
mod restricted;
mod words;

use api_types::core::{
    Container, ContainerPort, EphemeralContainer, Lifecycle, PodSecurityContext, PodSpec, Probe, SecurityContext,
};
use std::collections::BTreeMap;

use super::policy::{Level, Standard, Version};

/// Why a pod does not meet a standard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Violation {
    /// In short.
    pub reason: String,
    /// Where; nothing where the reason tells.
    pub detail: String,
}

impl Violation {
    fn new(reason: impl Into<String>, detail: String) -> Option<Self> {
        Some(Self { reason: reason.into(), detail })
    }
}

/// A check.
struct Check {
    name: &'static str,
    level: Level,
    since: Version,
    /// Checks of the baseline that it makes superfluous.
    replaces: &'static str,
    find: fn(&Pod<'_>, Version) -> Option<Violation>,
}

const fn baseline(name: &'static str, since: u32, find: fn(&Pod<'_>, Version) -> Option<Violation>) -> Check {
    Check { name, level: Level::Baseline, since: Version(since), replaces: "", find }
}

const fn restricted(
    name: &'static str,
    since: u32,
    replaces: &'static str,
    find: fn(&Pod<'_>, Version) -> Option<Violation>,
) -> Check {
    Check { name, level: Level::Restricted, since: Version(since), replaces, find }
}

static CHECKS: &[Check] = &[
    baseline("appArmorProfile", 0, baseline::app_armor_profile),
    baseline("capabilities_baseline", 0, baseline::capabilities),
    baseline("hostNamespaces", 0, baseline::host_namespaces),
    baseline("hostPathVolumes", 0, baseline::host_path_volumes),
    baseline("hostPorts", 0, baseline::host_ports),
    baseline("hostProbesAndHostLifecycle", 34, baseline::host_probes),
    baseline("privileged", 0, baseline::privileged),
    baseline("procMount", 0, baseline::proc_mount),
    baseline("seLinuxOptions", 0, baseline::se_linux_options),
    baseline("seccompProfile_baseline", 0, baseline::seccomp_profile),
    baseline("sysctls", 0, baseline::sysctls),
    baseline("windowsHostProcess", 0, baseline::windows_host_process),
    restricted("allowPrivilegeEscalation", 8, "", restricted::privilege_escalation),
    restricted("capabilities_restricted", 22, "capabilities_baseline", restricted::capabilities),
    restricted("procMount_restricted", 35, "procMount", restricted::proc_mount),
    restricted("restrictedVolumes", 0, "hostPathVolumes", restricted::volumes),
    restricted("runAsNonRoot", 0, "", restricted::run_as_non_root),
    restricted("runAsUser", 23, "", restricted::run_as_user),
    restricted("seccompProfile_restricted", 19, "seccompProfile_baseline", restricted::seccomp_profile),
];

/// Everything in which a pod does not meet a standard.
pub(super) fn violations(standard: Standard, pod: &Pod<'_>) -> Vec<Violation> {
    if standard.level == Level::Privileged {
        return Vec::new();
    }
    let counts = |check: &&Check| check.level <= standard.level && check.since <= standard.version;
    let replaced = |name: &str| CHECKS.iter().filter(counts).any(|other| other.replaces == name);
    let checks = CHECKS.iter().filter(counts).filter(|check| !replaced(check.name));
    checks.filter_map(|check| (check.find)(pod, standard.version)).collect()
}

/// A pod as checks see it.
pub(super) struct Pod<'a> {
    annotations: Option<&'a BTreeMap<String, String>>,
    spec: &'a PodSpec,
    containers: Vec<Member<'a>>,
}

/// A container of any sort.
struct Member<'a> {
    name: &'a str,
    context: Option<&'a SecurityContext>,
    ports: &'a [ContainerPort],
    probes: [Option<&'a Probe>; 3],
    lifecycle: Option<&'a Lifecycle>,
}

impl<'a> Pod<'a> {
    pub(super) fn new(annotations: Option<&'a BTreeMap<String, String>>, spec: &'a PodSpec) -> Self {
        let first = spec.init_containers.iter().flatten().chain(&spec.containers).map(Member::of);
        let ephemeral = spec.ephemeral_containers.iter().flatten().map(Member::ephemeral);
        Self { annotations, spec, containers: first.chain(ephemeral).collect() }
    }

    fn context(&self) -> Option<&'a PodSecurityContext> {
        self.spec.security_context.as_ref()
    }

    fn annotation(&self, key: &str) -> Option<&'a str> {
        self.annotations?.get(key).map(String::as_str)
    }

    /// Whether root in the pod is nobody on the node.
    fn has_own_users(&self) -> bool {
        self.spec.host_users == Some(false)
    }

    fn is_for_windows(&self) -> bool {
        self.spec.os.as_ref().is_some_and(|os| os.name == "windows")
    }

    /// The names of the containers of which something is true.
    fn which(&self, is: impl Fn(&Member<'_>) -> bool) -> Vec<&'a str> {
        self.containers.iter().filter(|member| is(member)).map(|member| member.name).collect()
    }
}

impl<'a> Member<'a> {
    fn of(container: &'a Container) -> Self {
        Self {
            name: &container.name,
            context: container.security_context.as_ref(),
            ports: container.ports.as_deref().unwrap_or_default(),
            probes: [&container.liveness_probe, &container.readiness_probe, &container.startup_probe]
                .map(Option::as_ref),
            lifecycle: container.lifecycle.as_ref(),
        }
    }

    fn ephemeral(container: &'a EphemeralContainer) -> Self {
        Self {
            name: &container.name,
            context: container.security_context.as_ref(),
            ports: container.ports.as_deref().unwrap_or_default(),
            probes: [&container.liveness_probe, &container.readiness_probe, &container.startup_probe]
                .map(Option::as_ref),
            lifecycle: container.lifecycle.as_ref(),
        }
    }
}

#[cfg(test)]
mod tests;
