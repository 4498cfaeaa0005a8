//! What is known to give a pod the node.

use std::collections::BTreeSet;

use api_types::core::{LifecycleHandler, Probe, SELinuxOptions, SecurityContext};

use super::{
    Member, Pod, Version, Violation,
    words::{Texts, containers, plural, quoted, setters},
};

const CAPABILITIES: &[&str] = &[
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];
/// Kernel parameters that belong to the pod, and since when they are known to.
const SYSCTLS: &[(&str, u32)] = &[
    ("kernel.shm_rmid_forced", 0),
    ("net.ipv4.ip_local_port_range", 0),
    ("net.ipv4.tcp_syncookies", 0),
    ("net.ipv4.ping_group_range", 0),
    ("net.ipv4.ip_unprivileged_port_start", 0),
    ("net.ipv4.ip_local_reserved_ports", 27),
    ("net.ipv4.tcp_keepalive_time", 29),
    ("net.ipv4.tcp_fin_timeout", 29),
    ("net.ipv4.tcp_keepalive_intvl", 29),
    ("net.ipv4.tcp_keepalive_probes", 29),
    ("net.ipv4.tcp_rmem", 32),
    ("net.ipv4.tcp_wmem", 32),
];
/// Types of SELinux for containers, and since when.
const SE_LINUX_TYPES: &[(&str, u32)] =
    &[("", 0), ("container_t", 0), ("container_init_t", 0), ("container_kvm_t", 0), ("container_engine_t", 31)];
const APP_ARMOR: &str = "container.apparmor.security.beta.kubernetes.io/";
const SECCOMP_POD: &str = "seccomp.security.alpha.kubernetes.io/pod";
const SECCOMP_CONTAINER: &str = "container.seccomp.security.alpha.kubernetes.io/";

pub(super) fn app_armor_profile(pod: &Pod<'_>, _: Version) -> Option<Violation> {
    let bad = |kind: &&str| !matches!(*kind, "RuntimeDefault" | "Localhost");
    let of_pod = pod.context().and_then(|context| context.app_armor_profile.as_ref());
    let of_pod = of_pod.map(|profile| profile.type_.as_str()).filter(bad);
    let of = |member: &Member<'_>| -> Option<String> {
        let profile = member.context?.app_armor_profile.as_ref()?;
        Some(profile.type_.as_str()).filter(bad).map(str::to_owned)
    };
    let names = pod.which(|member| of(member).is_some());
    let kinds: BTreeSet<String> =
        of_pod.map(str::to_owned).into_iter().chain(pod.containers.iter().filter_map(of)).collect();
    let allowed = |value: &str| value.is_empty() || value == "runtime/default" || value.starts_with("localhost/");
    let annotated = pod.annotations.into_iter().flatten();
    let annotated = annotated.filter(|(key, value)| key.starts_with(APP_ARMOR) && !allowed(value));
    let annotations: Vec<String> = annotated.map(|(key, value)| format!("{key}={value:?}")).collect();
    let mut who: Vec<String> = setters(of_pod.is_some(), &names).into_iter().collect();
    if !annotations.is_empty() {
        who.push(plural("annotation", "annotations", annotations.len()).to_owned());
    }
    if who.is_empty() {
        return None;
    }
    let values: Vec<&str> = kinds.iter().chain(&annotations).map(String::as_str).collect();
    let reason = plural("forbidden AppArmor profile", "forbidden AppArmor profiles", values.len());
    Violation::new(reason, format!("{} must not set AppArmor profile type to {}", who.join(" and "), quoted(values)))
}

pub(super) fn capabilities(pod: &Pod<'_>, _: Version) -> Option<Violation> {
    added(pod, "non-default capabilities", &|name| CAPABILITIES.contains(&name))
}

/// Capabilities that containers add although they must not.
pub(super) fn added(pod: &Pod<'_>, reason: &str, allowed: &dyn Fn(&str) -> bool) -> Option<Violation> {
    let of = |member: &Member<'_>| -> Vec<String> {
        let capabilities = member.context.and_then(|context| context.capabilities.as_ref());
        let add = capabilities.and_then(|own| own.add.as_ref()).into_iter().flatten();
        add.filter(|name| !allowed(name)).cloned().collect()
    };
    let names = pod.which(|member| !of(member).is_empty());
    let added: BTreeSet<String> = pod.containers.iter().flat_map(of).collect();
    if names.is_empty() {
        return None;
    }
    let added = quoted(added.iter().map(String::as_str));
    let detail = format!("{} must not include {added} in securityContext.capabilities.add", containers(&names));
    Violation::new(reason, detail)
}

pub(super) fn host_namespaces(pod: &Pod<'_>, _: Version) -> Option<Violation> {
    let own = [
        ("hostNetwork=true", pod.spec.host_network),
        ("hostPID=true", pod.spec.host_pid),
        ("hostIPC=true", pod.spec.host_ipc),
    ];
    let shared: Vec<&str> = own.into_iter().filter(|(_, on)| *on == Some(true)).map(|(name, _)| name).collect();
    if shared.is_empty() { None } else { Violation::new("host namespaces", shared.join(", ")) }
}

pub(super) fn host_path_volumes(pod: &Pod<'_>, _: Version) -> Option<Violation> {
    let volumes = pod.spec.volumes.iter().flatten().filter(|volume| volume.host_path.is_some());
    let names: Vec<&str> = volumes.map(|volume| volume.name.as_str()).collect();
    if names.is_empty() {
        return None;
    }
    let volumes = plural("volume", "volumes", names.len());
    Violation::new("hostPath volumes", format!("{volumes} {}", quoted(names)))
}

pub(super) fn host_ports(pod: &Pod<'_>, _: Version) -> Option<Violation> {
    let of = |member: &Member<'_>| -> Vec<String> {
        let ports = member.ports.iter().filter_map(|port| port.host_port).filter(|port| *port != 0);
        ports.map(|port| port.to_string()).collect()
    };
    let names = pod.which(|member| !of(member).is_empty());
    let ports: BTreeSet<String> = pod.containers.iter().flat_map(of).collect();
    if names.is_empty() {
        return None;
    }
    let (uses, what) = (plural("uses", "use", names.len()), plural("hostPort", "hostPorts", ports.len()));
    let ports = ports.into_iter().collect::<Vec<_>>().join(", ");
    Violation::new("hostPort", format!("{} {uses} {what} {ports}", containers(&names)))
}

pub(super) fn host_probes(pod: &Pod<'_>, _: Version) -> Option<Violation> {
    fn of_probe(probe: &Probe) -> impl Iterator<Item = &str> {
        let http = probe.http_get.as_ref().and_then(|get| get.host.as_deref());
        let tcp = probe.tcp_socket.as_ref().and_then(|socket| socket.host.as_deref());
        http.into_iter().chain(tcp)
    }
    fn of_handler(handler: &LifecycleHandler) -> impl Iterator<Item = &str> {
        let http = handler.http_get.as_ref().and_then(|get| get.host.as_deref());
        let tcp = handler.tcp_socket.as_ref().and_then(|socket| socket.host.as_deref());
        http.into_iter().chain(tcp)
    }
    fn of<'a>(member: &Member<'a>) -> Vec<&'a str> {
        let probes = member.probes.into_iter().flatten().flat_map(of_probe);
        let handlers = member.lifecycle.into_iter().flat_map(|own| own.post_start.iter().chain(&own.pre_stop));
        probes.chain(handlers.flat_map(of_handler)).filter(|host| !host.is_empty()).collect()
    }
    let names: Texts<'_> = pod.which(|member| !of(member).is_empty()).into_iter().collect();
    let hosts: Texts<'_> = pod.containers.iter().flat_map(of).collect();
    if names.is_empty() {
        return None;
    }
    let names: Vec<&str> = names.into_iter().collect();
    let uses = plural("uses", "use", names.len());
    let what = plural("probe or lifecycle host", "probe or lifecycle hosts", hosts.len());
    Violation::new("probe or lifecycle host", format!("{} {uses} {what} {}", containers(&names), quoted(hosts)))
}

pub(super) fn privileged(pod: &Pod<'_>, _: Version) -> Option<Violation> {
    let names = pod.which(|member| member.context.is_some_and(|context| context.privileged == Some(true)));
    if names.is_empty() {
        return None;
    }
    Violation::new("privileged", format!("{} must not set securityContext.privileged=true", containers(&names)))
}

/// Since 1.35 all is well where root in the pod is nobody on the node.
pub(super) fn proc_mount(pod: &Pod<'_>, version: Version) -> Option<Violation> {
    if version >= Version(35) && pod.has_own_users() { None } else { any_proc_mount(pod) }
}

pub(super) fn any_proc_mount(pod: &Pod<'_>) -> Option<Violation> {
    fn of<'a>(member: &Member<'a>) -> Option<&'a str> {
        member.context?.proc_mount.as_deref().filter(|kind| *kind != "Default")
    }
    let names = pod.which(|member| of(member).is_some());
    let kinds: Texts<'_> = pod.containers.iter().filter_map(of).collect();
    if names.is_empty() {
        return None;
    }
    let detail = format!("{} must not set securityContext.procMount to {}", containers(&names), quoted(kinds));
    Violation::new("procMount", detail)
}

pub(super) fn se_linux_options(pod: &Pod<'_>, version: Version) -> Option<Violation> {
    fn of<'a>(member: &Member<'a>) -> Option<&'a SELinuxOptions> {
        member.context?.se_linux_options.as_ref()
    }
    let is_set = |text: &Option<String>| text.as_ref().is_some_and(|text| !text.is_empty());
    let bad_type = |options: &SELinuxOptions| {
        let known = |kind: &str| SE_LINUX_TYPES.iter().any(|(name, since)| *name == kind && Version(*since) <= version);
        options.type_.as_ref().is_some_and(|kind| !known(kind))
    };
    let bad = |options: &&SELinuxOptions| bad_type(options) || is_set(&options.user) || is_set(&options.role);
    let of_pod = pod.context().and_then(|context| context.se_linux_options.as_ref());
    let of_pod = of_pod.filter(bad);
    let names = pod.which(|member| of(member).filter(bad).is_some());
    let who = setters(of_pod.is_some(), &names)?;
    let all: Vec<&SELinuxOptions> =
        of_pod.into_iter().chain(pod.containers.iter().filter_map(of).filter(bad)).collect();
    let kinds = all.iter().filter(|options| bad_type(options)).filter_map(|options| options.type_.as_deref());
    let kinds: Texts<'_> = kinds.collect();
    let mut told = Vec::new();
    if !kinds.is_empty() {
        told.push(format!("{} {}", plural("type", "types", kinds.len()), quoted(kinds)));
    }
    if all.iter().any(|options| is_set(&options.user)) {
        told.push("user may not be set".into());
    }
    if all.iter().any(|options| is_set(&options.role)) {
        told.push("role may not be set".into());
    }
    let detail = format!("{who} set forbidden securityContext.seLinuxOptions: {}", told.join("; "));
    Violation::new("seLinuxOptions", detail)
}

/// Before 1.19 there were only annotations.
pub(super) fn seccomp_profile(pod: &Pod<'_>, version: Version) -> Option<Violation> {
    if version >= Version(19) { bad_seccomp_profiles(pod) } else { bad_seccomp_annotations(pod) }
}

fn bad_seccomp_annotations(pod: &Pod<'_>) -> Option<Violation> {
    let allowed =
        |value: &str| value == "runtime/default" || value == "docker/default" || value.starts_with("localhost/");
    let of_containers = pod.containers.iter().map(|member| format!("{SECCOMP_CONTAINER}{}", member.name));
    let keys = std::iter::once(SECCOMP_POD.to_owned()).chain(of_containers);
    let bad = keys.filter_map(|key| {
        let value = pod.annotation(&key).filter(|value| !allowed(value))?;
        Some(format!("{key}={value:?}"))
    });
    let bad: BTreeSet<String> = bad.collect();
    if bad.is_empty() {
        return None;
    }
    let what = plural("annotation", "annotations", bad.len());
    let bad = bad.into_iter().collect::<Vec<_>>().join(", ");
    Violation::new("seccompProfile", format!("forbidden {what} {bad}"))
}

/// Whether a kind of profile confines.
pub(super) fn confines(kind: &str) -> bool {
    matches!(kind, "RuntimeDefault" | "Localhost")
}

/// The kind of profile that a container sets.
pub(super) fn seccomp_of(context: Option<&SecurityContext>) -> Option<&str> {
    context?.seccomp_profile.as_ref().map(|profile| profile.type_.as_str())
}

/// Profiles that are set and confine nothing.
pub(super) fn bad_seccomp_profiles(pod: &Pod<'_>) -> Option<Violation> {
    let of_pod = pod.context().and_then(|context| context.seccomp_profile.as_ref());
    let of_pod = of_pod.map(|profile| profile.type_.as_str()).filter(|kind| !confines(kind));
    let names = pod.which(|member| seccomp_of(member.context).is_some_and(|kind| !confines(kind)));
    let who = setters(of_pod.is_some(), &names)?;
    let of_containers = pod.containers.iter().filter_map(|member| seccomp_of(member.context));
    let kinds: Texts<'_> = of_pod.into_iter().chain(of_containers.filter(|kind| !confines(kind))).collect();
    let detail = format!("{who} must not set securityContext.seccompProfile.type to {}", quoted(kinds));
    Violation::new("seccompProfile", detail)
}

pub(super) fn sysctls(pod: &Pod<'_>, version: Version) -> Option<Violation> {
    let known = |name: &str| SYSCTLS.iter().any(|(own, since)| *own == name && Version(*since) <= version);
    let set = pod.context().and_then(|context| context.sysctls.as_ref()).into_iter().flatten();
    let bad: Vec<&str> = set.map(|sysctl| sysctl.name.as_str()).filter(|name| !known(name)).collect();
    if bad.is_empty() { None } else { Violation::new("forbidden sysctls", bad.join(", ")) }
}

pub(super) fn windows_host_process(pod: &Pod<'_>, _: Version) -> Option<Violation> {
    let of_pod = pod.context().and_then(|context| context.windows_options.as_ref()?.host_process) == Some(true);
    let of = |member: &Member<'_>| {
        member.context.and_then(|context| context.windows_options.as_ref()?.host_process) == Some(true)
    };
    let who = setters(of_pod, &pod.which(of))?;
    Violation::new("hostProcess", format!("{who} must not set securityContext.windowsOptions.hostProcess=true"))
}
